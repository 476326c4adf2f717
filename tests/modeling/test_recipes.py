"""The recipes of fine-tuning."""

from __future__ import annotations

import pytest

from cleaner.errors import UsageError
from cleaner.modeling.recipes import FINETUNE_RECIPES, ROUND_RECIPES, find_recipe


def test_an_unknown_recipe_is_named_with_those_there_are() -> None:
    assert find_recipe("final") is FINETUNE_RECIPES[-1]
    with pytest.raises(UsageError, match="crip") as error:
        find_recipe("crip")
    assert "cutmix" in error.value.expected


def test_recipes_differ_from_their_neighbours_in_augmentation_and_optimisation() -> None:
    names = [r.name for r in FINETUNE_RECIPES]
    assert len(names) >= 5 and len(set(names)) == len(names)
    assert FINETUNE_RECIPES[:-1] == ROUND_RECIPES and FINETUNE_RECIPES[-1].name == "final"
    for one, other in zip(FINETUNE_RECIPES, [*FINETUNE_RECIPES[1:], FINETUNE_RECIPES[0]], strict=True):
        assert (one.augment, one.cutmix, one.mixup) != (other.augment, other.cutmix, other.mixup)
        assert (one.optimizer, one.learning_rate, one.weight_decay, one.layer_decay) != (
            other.optimizer,
            other.learning_rate,
            other.weight_decay,
            other.layer_decay,
        )
