"""The learning rate over the course of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cleaner.modeling.batches import Sample
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.learner import FitJob
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import FINETUNE_RECIPES, PROBE_RECIPES, ProbeRecipe
from cleaner.modeling.schedule import learning_rate_share
from tests.support.networks import QUICK, trainer


@pytest.mark.parametrize(("warmup", "floor"), [(0.1, 0.0), (0.25, 0.2), (0.0, 0.5)])
def test_it_rises_from_the_floor_to_the_peak_and_falls_back(warmup: float, floor: float) -> None:
    shares = [learning_rate_share(i / 100, warmup=warmup, floor=floor) for i in range(101)]
    top = round(100 * warmup)
    assert shares[top] == 1 and shares[-1] == pytest.approx(floor) and min(shares) >= floor
    assert top == 0 or shares[0] == floor
    assert shares[: top + 1] == sorted(shares[: top + 1]) and shares[top:] == sorted(shares[top:], reverse=True)
    middle = learning_rate_share((1 + warmup) / 2, warmup=warmup, floor=floor)
    assert middle == pytest.approx((1 + floor) / 2)


def test_every_recipe_has_a_floor() -> None:
    assert all(0 < recipe.floor < 1 for recipe in (*PROBE_RECIPES, ProbeLearner.final_recipe, *FINETUNE_RECIPES))


def test_networks_take_the_floor_at_least(sample: Sample) -> None:
    rates: list[float] = []
    recipe = replace(QUICK, floor=0.3, epochs=2)
    this = trainer(sample, recipe, on_step=lambda: rates.append(this.optimizer.param_groups[0]["lr"]))
    this.train()
    assert min(rates) >= 0.3 * recipe.learning_rate > 0.2 * max(rates)


def test_heads_take_the_floor_at_least() -> None:
    """A training of one step takes it at the floor: without one, nothing would be learned."""
    rng = np.random.default_rng(2)
    embeddings = Embeddings.of_views([rng.random((12, 40)).astype(np.float16)])

    def length(floor: float) -> float:
        recipe = ProbeRecipe("brief", "plain", 0.02, 0.0, 0.0, 1, floor)
        job = FitJob(
            rows=np.arange(12),
            targets=np.arange(12) % 3,
            sample_weights=np.ones((1, 12), np.float32),
            num_classes=3,
            recipe=recipe,
            seed=1,
        )
        (model,) = ProbeLearner(embeddings, 3).fit(job)
        return float(np.abs(model.state()["weight"]).max())

    assert length(0.0) == 0.0
    assert length(0.4) == pytest.approx(4 * length(0.1), rel=1e-3)
