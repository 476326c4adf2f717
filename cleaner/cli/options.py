"""The options that several commands share, each once: name, type and help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cleaner.dataset.locations import locate

_MODEL = "What the models look through"
_RUN = "How to run"
_OUTPUT = "Output"

Images = Annotated[
    Path,
    typer.Argument(
        parser=locate,
        metavar="IMAGES",
        help="Folder of the images, or a URL such as s3://bucket/folder; nothing in it is ever changed.",
        show_default=False,
    ),
]
WorkspaceDir = Annotated[
    Path, typer.Option("-C", "--workspace", metavar="DIR", help="Workspace to read from and write to.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file.", show_default="cleaner.toml in the workspace"),
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
CleanSplit = Annotated[
    list[str] | None,
    typer.Option("--clean-split", metavar="NAME", help="Split besides train that may lose images; repeatable."),
]
SeedsFile = Annotated[
    Path | None,
    typer.Option(
        "--seeds",
        metavar="FILE",
        help="Table with file_name,is_noise, or a folder with noise/ and normal/.",
        show_default="people's decisions, else a cold start",
    ),
]

Backbone = Annotated[
    str | None,
    typer.Option(help="`embedded` or any timm model name.", show_default="embedded", rich_help_panel=_MODEL),
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Checkpoint for the backbone (.safetensors, .pth).", rich_help_panel=_MODEL),
]
ImageSize = Annotated[
    int | None,
    typer.Option(help="Side in pixels of what the backbone sees.", show_default="160", rich_help_panel=_MODEL),
]
Precision = Annotated[str | None, typer.Option(help="auto, fp32 or bf16.", show_default="auto", rich_help_panel=_MODEL)]
Views = Annotated[
    int | None,
    typer.Option(
        help="2: embed each image and its mirror image; 1: the image alone, in half the time, a little less sharp.",
        show_default="2",
        rich_help_panel=_MODEL,
    ),
]

LearnerName = Annotated[
    str | None,
    typer.Option(
        help="probe, a linear head; finetune, whole networks; auto: finetune on a CUDA GPU.",
        show_default="probe",
        rich_help_panel=_MODEL,
    ),
]

Seed = Annotated[int, typer.Option(help="Seed of every random draw.", rich_help_panel=_RUN)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=_RUN)]
Workers = Annotated[int, typer.Option(help="Decoding workers; 0: one for each core.", rich_help_panel=_RUN)]
TrainWorkers = Annotated[int, typer.Option(help="Ray workers that train the network together.", rich_help_panel=_RUN)]
Engine = Annotated[str, typer.Option(help="local, or ray: a Ray cluster (docs/scaling.md).", rich_help_panel=_RUN)]
Address = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster, or `auto`; implies --engine ray.",
        show_default="one on this machine alone",
        rich_help_panel=_RUN,
    ),
]
Storage = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Folder or URL that all machines reach: results of tasks, copies of manifests.",
        show_default="the workspace",
        rich_help_panel=_RUN,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Run although it is up to date.", rich_help_panel=_RUN)]

Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.", rich_help_panel=_OUTPUT)]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout, nothing else there.", rich_help_panel=_OUTPUT),
]
ScanLimit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", help="Only the first N files, to try things out.", show_default="all"),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and why; change no file.", rich_help_panel=_RUN)
]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Say more; twice: still more.", rich_help_panel=_OUTPUT)
]
LogFormat = Annotated[
    str,
    typer.Option(metavar="FORMAT", help="Lines on stderr: text, or json (an object a line).", rich_help_panel=_OUTPUT),
]
Files = Annotated[
    list[str], typer.Argument(metavar="FILE…", help="Names in the manifest, paths, or the first digits of an image_id.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=_OUTPUT)]
