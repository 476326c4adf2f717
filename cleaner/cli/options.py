"""The options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cleaner.dataset.locations import locate
from cleaner.errors import UsageError

_OUTPUT = "Output"

Images = Annotated[
    Path,
    typer.Argument(
        parser=locate,
        metavar="IMAGES",
        help="Folder of the images, or a URL such as s3://bucket/folder. It is never changed.",
        show_default=False,
    ),
]
Files = Annotated[
    list[str], typer.Argument(metavar="FILE…", help="Names in the manifest, paths, or the first digits of an image_id.")
]
FromFile = Annotated[
    Path | None,
    typer.Option(
        "--from",
        parser=locate,
        metavar="FILE",
        help="Manifest to read, or its URL.",
        show_default="that of the stage before",
    ),
]
Workspace = Annotated[
    Path, typer.Option("-C", "--workspace", metavar="DIR", help="Workspace to read from and write to.")
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file.", show_default="cleaner.toml in the workspace"),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show only warnings and errors.", rich_help_panel=_OUTPUT)]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Show more messages; -vv shows all.", rich_help_panel=_OUTPUT)
]
Json = Annotated[
    bool, typer.Option("--json", help="Write one JSON document to stdout, and nothing else.", rich_help_panel=_OUTPUT)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=_OUTPUT)]


QUEUES = (
    "noise",
    "noise-seeds",
    "noise-doubtful",
    "noise-found",
    "labels",
    "calibration",
    "conflicts",
    "low-count",
    "disagreements",
    "audit",
)
"""The keys of `review.queues.QUEUES`, which help must not import; a test holds them equal."""
QUEUES_HELP = f"One of {', '.join(QUEUES)}."

LOG_FORMATS = ("text", "json")
LogFormat = Annotated[
    str,
    typer.Option(
        metavar="[text|json]",
        help="Format of the lines on stderr: text, or one JSON object each.",
        rich_help_panel=_OUTPUT,
    ),
]


def choice(*values: str) -> dict[str, Any]:
    """What makes a typer option or argument take one of `values` and raise UsageError for another."""

    def check(parameter: typer.CallbackParam, value: str | None) -> str | None:
        name = parameter.opts[0] if parameter.param_type_name == "option" else str(parameter.name).upper()
        if value is not None:
            check_choice(name, value, values)
        return value

    return {"metavar": f"[{'|'.join(values)}]", "callback": check}


def check_choice(option: str, value: str, values: tuple[str, ...]) -> None:
    """Raise UsageError unless the value of an option is one of `values`."""
    if value not in values:
        raise UsageError(f"{option} {value}", expected=" or ".join(values))
