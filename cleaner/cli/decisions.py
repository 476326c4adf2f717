"""`cleaner decisions import` and `cleaner decisions export`."""

from pathlib import Path
from typing import Annotated

import typer

from cleaner.cli import options as o
from cleaner.cli.command_line import CommandLine, takes
from cleaner.cli.session import open_session
from cleaner.errors import first_few

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@app.callback()
def _root() -> None:
    """Import and export people's decisions. The stages apply them when they next run."""


@app.command("import")
@takes(run=("dry_run",))
def import_(
    line: CommandLine,
    file: Annotated[
        Path,
        typer.Argument(
            help="Table: image_id, file_name or class; verdict; optional label, annotator.", show_default=False
        ),
    ],
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            **o.choice("table", "label-studio"),
            help="What FILE is: a table, or Label Studio's JSON export of tasks that `cleaner export` wrote for it.",
        ),
    ] = "table",
) -> None:
    """Add the decisions of a CSV, TSV or Parquet file: all of them, or none if a row is invalid.

    Verdicts on images: label (with the right class in `label`), noise, normal, drop, unsure; on classes: keep, drop,
    merge (into `label`). Rows that are already recorded are skipped.

    Example: `cleaner decisions import looked_at.csv`, `cleaner decisions import answers.json --from label-studio`
    """
    session = open_session(line)
    from cleaner.dataset.decision_files import import_decisions
    from cleaner.dataset.decisions import DecisionStore
    from cleaner.dataset.label_studio import read_annotations
    from cleaner.dataset.tables import read_table

    read = read_annotations if from_ == "label-studio" else read_table
    place = session.workspace
    with session.lock():
        manifest = (
            place.read("scan", ["file_name", "image_id", "label", "clean_label"]) if place.record("scan") else None
        )
        store, dry_run = DecisionStore(place.decisions_path), session.options.dry_run
        result = import_decisions(file, store, manifest, read=read, dry_run=dry_run)
    warnings = []
    if result.num_overruled:
        warnings.append(
            f"the last verdict of the file is not in force for {result.num_overruled} images or classes: "
            "it was undone or changed since, or annotators disagree"
        )
    if result.unknown_labels:
        warnings.append(f"no image has these classes (mistyped?): {first_few(result.unknown_labels)}")
    session.report_counts(
        f"decisions  {file}",
        {"added": result.num_added, "there already": result.num_present},
        warnings=warnings,
        following="noise",
    )


@app.command("export")
@takes()
def export(
    line: CommandLine,
    file: Annotated[Path, typer.Argument(help="Table to write: .csv, .tsv or .parquet.", show_default=False)],
) -> None:
    """Write every decision, including undone ones, to a file that `import` reads.

    Example: `cleaner decisions export decisions.csv`
    """
    session = open_session(line)
    from cleaner.dataset.decision_files import export_decisions
    from cleaner.dataset.decisions import DecisionStore

    num = export_decisions(file, DecisionStore(session.workspace.decisions_path))
    session.report_counts(f"decisions  {file}", {"exported": num})
