"""The closed-form learner: linear discriminants on cached embeddings, without gradient steps, for very many classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import Standardised
from cleaner.modeling.learner import NEVER, FitJob, ModelJob, Predictor
from cleaner.modeling.probe import Probe, probe_card
from cleaner.modeling.recipes import CLOSED_FORM_RECIPES, ClosedFormRecipe
from cleaner.scoring.held_out import HeldOut, predict_each
from cleaner.scoring.out_of_fold import OutOfFold

LARGEST_FOR_STEPS = 2_000_000_000
"""Images x classes above which heads are computed in closed form: gradient steps would take hours."""
_CHUNK = 4096
_SAMPLE_ROWS = 2_000
_LOG_TEMPERATURES = (0.0, 5.0)


class ClosedFormLearner:
    """Fits heads by linear discriminant analysis with a shrunken common covariance.

    Sigma' = (1 - s) Sigma + s tr(Sigma)/D I (Friedman 1989; Ledoit & Wolf 2004), w_k = Sigma'^-1 mu_k,
    b_k = -mu_k' w_k / 2; logits are divided by the temperature that makes the labels of a sample of rows most likely.
    Each model takes two passes over the data, and D x D and K x D values in memory.
    """

    recipes: tuple[ClosedFormRecipe, ...] = CLOSED_FORM_RECIPES
    final_recipe = ClosedFormRecipe("plain", "plain", 0.1)

    def __init__(self, embeddings: Embeddings, num_classes: int) -> None:
        self.num_classes = num_classes
        self.identity = f"{embeddings.origin.key} closed form"
        self.card = probe_card(embeddings)
        self.features = Standardised(embeddings)

    def fit_and_predict(self, job: FitJob, held_out: Sequence[HeldOut]) -> list[tuple[Predictor, OutOfFold]]:
        """See Learner.fit_and_predict."""
        return predict_each(self.fit(job), held_out)

    def fit(self, job: FitJob) -> list[Predictor]:
        """See Learner.fit."""
        heads = [self._fit_one(model) for model in job.models()]
        job.on_epoch()
        return heads

    def _fit_one(self, job: ModelJob) -> Predictor:
        recipe = job.recipe
        assert isinstance(recipe, ClosedFormRecipe)
        y, w = torch.from_numpy(job.targets), torch.from_numpy(job.weights.astype(np.float32))
        weight, bias = self._discriminant(job.rows, y, w, recipe)
        temperature = self._temperature(job, weight, bias)
        absent = torch.bincount(y, weights=w, minlength=self.num_classes) <= 0
        return Probe(self.features, weight / temperature, (bias / temperature).masked_fill(absent, NEVER))

    def _discriminant(
        self, rows: np.ndarray, y: torch.Tensor, w: torch.Tensor, recipe: ClosedFormRecipe
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (K, D) and biases (K,) float32."""
        dim, num_classes = self.features.dim, self.num_classes
        gram = torch.zeros(dim, dim, dtype=torch.float64)
        sums = torch.zeros(num_classes, dim, dtype=torch.float64)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            x = self.features(recipe.view, rows[part])
            weighted = x * w[part, None]
            gram += (weighted.T @ x).double()
            sums.index_add_(0, y[part], weighted.double())
        counts = torch.bincount(y, weights=w.double(), minlength=num_classes)
        means = sums / counts.clamp_min(1e-9)[:, None]
        within = (gram - sums.T @ means) / counts.sum().clamp_min(1e-9)
        shrink = recipe.shrinkage
        within = (1 - shrink) * within + shrink * within.diagonal().mean().clamp_min(1e-6) * torch.eye(dim).double()
        weight = torch.linalg.solve(within, means.T).T
        return weight.float(), (-0.5 * (means * weight).sum(1)).float()

    def _temperature(self, job: ModelJob, weight: torch.Tensor, bias: torch.Tensor) -> float:
        known = np.flatnonzero(job.weights > 0)
        drawn = known[:: max(1, len(known) // _SAMPLE_ROWS)]
        if not len(drawn):
            return 1.0
        logits = functional.linear(self.features(job.recipe.view, job.rows[drawn]), weight, bias)
        prior, y = torch.from_numpy(job.log_prior), torch.from_numpy(job.targets[drawn])

        def loss(log_temperature: float) -> float:
            return float(functional.cross_entropy(logits / float(np.exp(log_temperature)) + prior, y))

        found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 0.01})
        return float(np.exp(found.x))
