"""Small networks, and what they learn from, for tests of fine-tuning."""

from __future__ import annotations

from typing import Any

import numpy as np

from cleaner.config import EmbeddingSettings
from cleaner.modeling.batches import Sample
from cleaner.modeling.finetune import (
    freeze_bias,
)
from cleaner.modeling.networks import Blueprint, load_blueprint
from cleaner.modeling.objective import Objective
from cleaner.modeling.recipes import FinetuneRecipe
from cleaner.modeling.training import Run, Trainer

TINY = "test_efficientnet"
"""timm's smallest network, made for tests."""
SIDE = 32
NUM = 96
CLASSES = 3
QUICK = FinetuneRecipe(
    name="quick", learning_rate=3e-3, weight_decay=0.01, mixup=0.0, epochs=6, batch_size=16, augment=(("mirror", 0.5),)
)


def blueprint(name: str = TINY) -> Blueprint:
    settings = EmbeddingSettings(backbone=name, image_size=SIDE, precision="fp32")
    return load_blueprint(settings, "cpu", scratch=True)


EVEN = np.log(np.full(CLASSES, 1 / CLASSES)).astype(np.float32)


def trainer(
    sample: Sample,
    recipe: FinetuneRecipe = QUICK,
    *,
    name: str = TINY,
    objective: Any = None,
    key: str = "k",
    **run: Any,
) -> Trainer:
    plan = blueprint(name)
    objective = objective or Objective(log_prior=EVEN)
    network = plan.build(CLASSES, 0)
    freeze_bias(network, objective)
    return Trainer(network, plan, sample, recipe, objective, seed=5, key=key, run=Run(**run))


class Interrupted(Exception):
    pass
