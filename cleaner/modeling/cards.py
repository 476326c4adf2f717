"""The JSON that describes a checkpoint: which classes it knows, and what network and input it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import timm
from msgspec import Meta

from cleaner.errors import BadInputError, first_few
from cleaner.reading import read_document, reading

CLASS_MAP = "class_map.json"
NEXT = "give a checkpoint of `cleaner train`, or of `cleaner labels` (labels/models)"
_Size = Annotated[int, Meta(ge=8, le=8192)]
_Level = Annotated[float, Meta(ge=-1e4, le=1e4)]
_Spread = Annotated[float, Meta(ge=1e-4, le=1e4)]


@dataclass(frozen=True, kw_only=True)
class NetworkCard:
    """Of a fine-tuned network."""

    classes: list[str]
    architecture: str
    """timm's name of it."""
    image_size: _Size
    mean: tuple[_Level, _Level, _Level]
    """Per channel, in 0 .. 255."""
    std: tuple[_Spread, _Spread, _Spread]

    def __post_init__(self) -> None:
        _require_distinct(self.classes)
        if not timm.is_model(self.architecture):
            raise ValueError(f"timm has no network {self.architecture!r}")


@dataclass(frozen=True, kw_only=True)
class FrozenNetwork:
    """A backbone on which a probe was trained."""

    name: str
    weights_sha256: str
    image_size: _Size
    precision: str


@dataclass(frozen=True, kw_only=True)
class ProbeCard:
    """Of a linear head on frozen networks."""

    classes: list[str]
    backbone: FrozenNetwork
    """The first."""
    backbones: list[FrozenNetwork] = ()  # type: ignore[assignment]
    """All of them; empty in cards of older versions."""

    def __post_init__(self) -> None:
        _require_distinct(self.classes)

    @property
    def networks(self) -> list[FrozenNetwork]:
        """The networks whose embeddings it takes, in their order."""
        return list(self.backbones) or [self.backbone]


def read_card(path: Path) -> NetworkCard | ProbeCard:
    """The description of a checkpoint: `NAME.json` beside it, or class_map.json of its folder.

    Raises BadInputError if there is none, or it is not what `cleaner` writes.
    """
    for beside in (path.with_suffix(".json"), path.with_name(CLASS_MAP)):
        if beside.exists():
            what = "description of a checkpoint and its classes"
            document = read_document(beside, dict[str, Any], what, NEXT)
            with reading(beside, what, NEXT):
                if document.get("learner") == "probe":
                    return msgspec.convert(document, ProbeCard)
                return msgspec.convert(document, NetworkCard)
    raise BadInputError(f"{path}: no file beside it says which classes it knows", next_step=NEXT)


def _require_distinct(classes: list[str]) -> None:
    twice = [name for name in dict.fromkeys(classes) if classes.count(name) > 1]
    if not classes or twice:
        raise ValueError(f"classes that stand there twice: {first_few(twice)}" if twice else "it lists no classes")
