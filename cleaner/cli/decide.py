"""`cleaner decide`."""

from __future__ import annotations

from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session
from cleaner.errors import UsageError, first_few


@takes(run=("dry_run",))
def decide(
    line: CommandLine,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE…", help="Names in the manifest, paths, or digits of an image_id."),
    ] = None,
    label: Annotated[str, typer.Option(metavar="CLASS", help="The images show this class.")] = "",
    noise: Annotated[bool, typer.Option("--noise", help="The images belong to no class.")] = False,
    normal: Annotated[bool, typer.Option("--normal", help="The images are not noise images.")] = False,
    unsure: Annotated[bool, typer.Option("--unsure", help="You cannot tell.")] = False,
    class_: Annotated[str, typer.Option("--class", metavar="CLASS", help="Decide on a class, not on images.")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the class.")] = False,
    merge_into: Annotated[str, typer.Option(metavar="CLASS", help="Merge the class into this one.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="Drop the images or the class.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back the last verdict.")] = False,
    annotator: Annotated[str, typer.Option(help="Who decides.")] = "",
    queue: Annotated[
        str,
        typer.Option(
            **o.choice("", *o.QUEUES) | {"metavar": "QUEUE"},
            help="The queue this answers. An audit counts only its own answers; `disagreements` settles a dispute.",
            show_default="none",
        ),
    ] = "",
) -> None:
    """Record a verdict on images or on a class. The stages apply it when they next run.

    Example: `cleaner decide cat/0017.jpg cat/0018.jpg --label dog`
    """
    on_images = {"label": bool(label), "noise": noise, "normal": normal, "unsure": unsure}
    on_class = {"keep": keep, "merge": bool(merge_into)}
    verdicts = [name for name, given in (on_images | on_class | {"drop": drop, "undo": undo}).items() if given]
    if len(verdicts) != 1 or bool(files) == bool(class_):
        raise UsageError(
            "decide: name images or a class, and one verdict",
            expected="FILE… or --class CLASS, and one of "
            "--label, --noise, --normal, --drop, --unsure (images), --keep, --drop, --merge-into (class), --undo",
            found=" ".join(f"--{v}" for v in verdicts) or "no verdict",
        )
    session = open_session(line)
    from cleaner.review.command_line import class_keys, decide_all, image_keys, warn_of_new_label

    place, text = session.workspace, label or merge_into
    keys = image_keys(place, files or []) if files else class_keys(place, class_)
    with session.lock():
        done = decide_all(
            place,
            keys,
            verdicts[0],
            label=text,
            annotator=annotator,
            queue=queue,
            dry_run=session.options.dry_run,
        )
    what = f"decided  {first_few(files or [class_])}"
    session.report_counts(what, {verdicts[0]: len(done)}, warnings=warn_of_new_label(place, text), following="status")
