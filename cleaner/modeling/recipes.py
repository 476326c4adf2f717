"""Recipes: one optimisation setting and augmentation each; the rounds of a stage rotate through a learner's recipes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cleaner.errors import UsageError

Steps = tuple[tuple[str, float], ...]

FLOOR = 0.05
"""Chosen for the probe by leaving out one set of fifteen at a time (docs/experiments.md)."""


@dataclass(frozen=True)
class ProbeRecipe:
    """How a linear head is trained on cached embeddings."""

    name: str
    view: str
    """Which cached view is trained on: plain, mirrored, or either, drawn again for each row and batch."""
    learning_rate: float
    weight_decay: float
    mixup: float
    """Parameter of the Beta distribution that mixes pairs of embeddings (Zhang et al. 2018); 0: no mixing."""
    epochs: int
    floor: float = FLOOR
    """Share of the peak learning rate that it starts from and falls to."""


@dataclass(frozen=True)
class ClosedFormRecipe:
    """How a linear head is computed from cached embeddings."""

    name: str
    view: str
    """Which cached view is learned from: plain or mirrored."""
    shrinkage: float
    """Weight of the mean variance against the common covariance, 0 .. 1."""
    epochs: int = 1
    """Progress counts a closed-form fit as one."""


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe:
    """How a whole network is trained."""

    name: str
    view: str = field(default="plain", init=False)
    """Always the image itself; augmentation mirrors it."""
    learning_rate: float = 1e-3
    weight_decay: float
    mixup: float = 0.0
    """Beta parameter of MixUp (Zhang et al. 2018); 0: none."""
    epochs: int
    augment: Steps = (("mirror", 0.5),)
    """Augmentations of single images in order: name (see augment.AUGMENTATIONS) and probability."""
    cutmix: float = 0.0
    """Beta parameter of CutMix (Yun et al. 2019); 0: none. With `mixup` too, each batch gets one of them."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    batch_size: int = 64
    """The effective batch; where memory allows fewer images at once, gradients are accumulated."""
    layer_decay: float = 1.0
    """Learning rate of each layer below the head as a share of the layer's above; 1: the same for all."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises, before it falls by a cosine."""
    floor: float = FLOOR
    """Share of the peak learning rate that it starts from and falls to."""
    label_smoothing: float = 0.0
    clip_norm: float = 5.0
    """Gradients are scaled down to this norm."""
    ema: float = 0.0
    """Decay of the moving average of the weights, which then is the model; 0: none."""
    norm_momentum: float = 0.9
    """Share of a batch norm's running statistics that a step keeps; 0.9997 lags behind (recipe.md)."""
    freeze_norm: bool = False
    """Leave the running statistics of batch norm as pre-training left them."""


Recipe = ProbeRecipe | ClosedFormRecipe | FinetuneRecipe

PROBE_RECIPES = (
    ProbeRecipe("either-mixup-gentle", "either", 1.3e-3, 1e-1, 0.4, 6),
    ProbeRecipe("mirrored-mixup", "mirrored", 3.5e-3, 1e-1, 0.4, 6),
    ProbeRecipe("either-more-mixup", "either", 3.5e-3, 1e-1, 0.8, 6),
    ProbeRecipe("plain-mixup-decay", "plain", 5e-3, 1.0, 0.4, 5),
    ProbeRecipe("either-brief", "either", 5e-3, 1e-1, 0.4, 4),
    ProbeRecipe("mirrored", "mirrored", 3.5e-3, 1e-1, 0.0, 5),
)
"""Rotation of the probe's recipes: consecutive ones differ in view and in optimisation or augmentation.

They take few steps, and the first recipe small ones: a head that trains longer learns the wrong labels too, and in
round 0 none of them has been removed yet (docs/experiments.md)."""

CLOSED_FORM_RECIPES = (
    ClosedFormRecipe("discriminant", "plain", 0.3),
    ClosedFormRecipe("discriminant-mirrored", "mirrored", 0.1),
    ClosedFormRecipe("discriminant-smooth", "plain", 0.6),
)
"""Rotation of the closed-form learner's recipes."""

_CROPPED: Steps = (("crop", 1.0), ("mirror", 0.5))
_JITTERED: Steps = (*_CROPPED, ("jitter", 0.5))
_TURNED: Steps = (*_CROPPED, ("rot90", 0.5))
_WORSENED: Steps = (*_CROPPED, ("quality", 0.5))
_CUT: Steps = (("mirror", 0.5), ("grid_shuffle", 0.3), ("erase", 0.5))
_PASTED: Steps = (("mirror", 0.5), ("paste", 0.5), ("jitter", 0.5))
_ALL: Steps = (*_JITTERED, ("quality", 0.2), ("paste", 0.2), ("grid_shuffle", 0.1))

FINETUNE_RECIPES = (
    FinetuneRecipe(name="crop", weight_decay=0.05, epochs=8, augment=_CROPPED, label_smoothing=0.1),
    FinetuneRecipe(name="cutmix", weight_decay=0.02, epochs=10, augment=_JITTERED, cutmix=1.0),
    FinetuneRecipe(
        name="turned-sgd", optimizer="sgd", learning_rate=2e-2, weight_decay=1e-4, epochs=10, augment=_TURNED
    ),
    FinetuneRecipe(name="quality-mixup", weight_decay=0.05, mixup=0.2, epochs=10, augment=_WORSENED, layer_decay=0.8),
    FinetuneRecipe(
        name="grid-erase",
        learning_rate=5e-4,
        weight_decay=0.1,
        epochs=10,
        augment=_CUT,
        label_smoothing=0.1,
        ema=0.99,
    ),
    FinetuneRecipe(
        name="paste-sgd",
        optimizer="sgd",
        learning_rate=1e-2,
        weight_decay=5e-4,
        mixup=0.2,
        epochs=12,
        augment=_PASTED,
        ema=0.99,
    ),
    FinetuneRecipe(name="final", weight_decay=0.05, epochs=20, augment=_ALL, cutmix=1.0, layer_decay=0.9, ema=0.995),
)
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
