"""Settings of every type, to try out what holds for all."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from cleaner.setting import NamesFile, Shown
from cleaner.settings import Settings, declare


@declare
class Inner(Settings):
    """Inner settings."""

    weights: Annotated[str, NamesFile("weights"), "A file."] = ""


INNER = Inner()


@declare
class Sample(Settings):
    """Sample settings."""

    share: Annotated[float, Meta(gt=0, le=1), "A share."] = 0.5
    rounds: Annotated[int, Shown("no limit"), Meta(ge=0), "Rounds."] = 0
    size: Annotated[int, Meta(ge=32, lt=1024), "Pixels."] = 160
    views: Annotated[Literal[1, 2], "Views."] = 2
    rule: Annotated[Literal["auto", "recipe"], "A rule."] = "auto"
    kinds: Annotated[tuple[Literal["coarse", "fine"], ...] | None, "Kinds."] = None
    top_k: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], "Passes."] = (5, 1)
    splits: Annotated[tuple[str, ...], "Names."] = ()
    fast: Annotated[bool, "A switch."] = False
    hidden: Annotated[int, Shown(option=None), "Without option."] = 3
    table: Annotated[str, NamesFile("labels"), Shown(option="--labels"), "A table."] = ""
    teachers: Annotated[tuple[str, ...], NamesFile("teacher"), "Files."] = ()
    inner: Inner = INNER
