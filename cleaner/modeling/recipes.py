"""The recipes of fine-tuning: optimisation and augmentation of whole networks; the rounds rotate through them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cleaner.errors import UsageError
from cleaner.modeling.learner import Recipe

Steps = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe(Recipe):
    """One optimisation setting and augmentation of a whole network."""

    view: str = field(default="plain", init=False)
    augment: Steps = (("mirror", 0.5),)
    """Augmentations of single images in order: name (see augment.AUGMENTATIONS) and probability."""
    cutmix: float = 0.0
    """Beta parameter of CutMix (Yun et al. 2019); 0: none. With `mixup` too, one of them for each batch."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    batch_size: int = 64
    """The effective batch: it stays where memory allows less at once."""
    layer_decay: float = 1.0
    """Each layer below the head learns at this share of the rate of the one above it; 1: all alike."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises; then it falls by a cosine to 0."""
    label_smoothing: float = 0.0
    clip_norm: float = 5.0
    """Gradients are scaled down to this norm."""
    ema: float = 0.0
    """Decay of the moving average of the weights, which then is the model; 0: none."""
    norm_momentum: float = 0.9
    """Share of a batch norm's running statistics that a step keeps; 0.9997 lags behind (recipe.md)."""
    freeze_norm: bool = False
    """Leave the running statistics of batch norm as the pre-training left them."""


_CROPPED: Steps = (("crop", 1.0), ("mirror", 0.5))

FINETUNE_RECIPES = (
    FinetuneRecipe(
        name="crop", learning_rate=1e-3, weight_decay=0.05, mixup=0.0, epochs=8,
        augment=_CROPPED, label_smoothing=0.1,
    ),
    FinetuneRecipe(
        name="cutmix", learning_rate=1e-3, weight_decay=0.02, mixup=0.0, epochs=10,
        augment=(*_CROPPED, ("jitter", 0.5)), cutmix=1.0,
    ),
    FinetuneRecipe(
        name="turned-sgd", learning_rate=2e-2, weight_decay=1e-4, mixup=0.0, epochs=10,
        augment=(*_CROPPED, ("rot90", 0.5)), optimizer="sgd",
    ),
    FinetuneRecipe(
        name="quality-mixup", learning_rate=1e-3, weight_decay=0.05, mixup=0.2, epochs=10,
        augment=(*_CROPPED, ("quality", 0.5)), layer_decay=0.8,
    ),
    FinetuneRecipe(
        name="grid-erase", learning_rate=5e-4, weight_decay=0.1, mixup=0.0, epochs=10,
        augment=(("mirror", 0.5), ("grid_shuffle", 0.3), ("erase", 0.5)), label_smoothing=0.1, ema=0.99,
    ),
    FinetuneRecipe(
        name="paste-sgd", learning_rate=1e-2, weight_decay=5e-4, mixup=0.2, epochs=12,
        augment=(("mirror", 0.5), ("paste", 0.5), ("jitter", 0.5)), optimizer="sgd", ema=0.99,
    ),
    FinetuneRecipe(
        name="final", learning_rate=1e-3, weight_decay=0.05, mixup=0.0, epochs=20,
        augment=(*_CROPPED, ("jitter", 0.5), ("quality", 0.2), ("paste", 0.2), ("grid_shuffle", 0.1)),
        cutmix=1.0, layer_decay=0.9, ema=0.995,
    ),
)  # fmt: skip
"""All of them: consecutive ones differ in optimisation and in augmentation; the last is for `train`."""
ROUND_RECIPES = FINETUNE_RECIPES[:-1]
"""Those that the rounds of a stage rotate through."""


def find_recipe(name: str) -> FinetuneRecipe:
    """The fine-tuning recipe of that name. Raises UsageError if there is none."""
    for recipe in FINETUNE_RECIPES:
        if recipe.name == name:
            return recipe
    known = ", ".join(r.name for r in FINETUNE_RECIPES)
    raise UsageError(f"recipe {name!r} is unknown", expected=f"one of {known}", next_step="see `cleaner recipes`")
