"""`cleaner map`."""

import dataclasses
from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, keys, takes
from cleaner.cli.session import open_session


@takes(keys("embedding"), run=("seed", "device", "workers", "engine", "address", "storage", "force"))
def map(
    line: CommandLine,
    method: Annotated[
        str,
        typer.Option(
            **o.choice("auto", "umap", "principal"),
            help="umap needs the extra `map`; principal takes the first two principal directions.",
            show_default="umap if it is installed and there are at most 50,000 images",
        ),
    ] = "auto",
) -> None:
    """Place the images in a plane, alike ones together. `cleaner report` then shows the map.

    Example: `cleaner map && cleaner report`
    """
    session = open_session(line)
    from cleaner.dataset.embedding_map import map_folder
    from cleaner.stages.embedding_map import compute_map

    with session.lock():
        result = compute_map(session.workspace, session.config.embedding, session.options, method)
    done = " · up to date, nothing done (--force runs it again)" if result.was_current else ""
    head = f"map     {result.record.num_images:,} images · {result.record.method} · {result.record.networks}{done}"
    following = session.next_command("report")
    session.console.result(
        [head, f"  in {map_folder(session.workspace)}/; the next report shows it", f"next: {following}"]
    )
    document = {"workspace": str(session.workspace.root.resolve()), "was_current": result.was_current}
    session.console.document(document | dataclasses.asdict(result.record) | {"next": following})
