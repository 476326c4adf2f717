"""The closed-form learner: linear discriminants on cached embeddings, without gradient steps, for very many classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import Standardised
from cleaner.modeling.learner import NEVER, Predictor, Recipe
from cleaner.modeling.probe import Probe

LARGEST_FOR_STEPS = 2_000_000_000
"""Images x classes beyond which heads are computed in closed form: gradient steps would take hours."""
_CHUNK = 4096
_SAMPLE_ROWS = 2_000
_LOG_TEMPERATURES = (0.0, 5.0)
CLOSED_FORM_RECIPES = (
    Recipe("discriminant", "plain", 0.0, 0.3, 0.0, 1),
    Recipe("discriminant-mirrored", "mirrored", 0.0, 0.1, 0.0, 1),
    Recipe("discriminant-smooth", "plain", 0.0, 0.6, 0.0, 1),
)
"""Rotation of recipes; `weight_decay` is the shrinkage of the covariance."""


class ClosedFormLearner:
    """Fits heads by linear discriminant analysis with a shrunken common covariance.

    Sigma' = (1 - s) Sigma + s tr(Sigma)/D I (Friedman 1989; Ledoit & Wolf 2004), w_k = Sigma'^-1 mu_k,
    b_k = -mu_k' w_k / 2; logits are divided by the temperature that makes the labels of a sample of rows most likely.
    Two passes over the data a model, D x D and K x D in memory.
    """

    recipes: tuple[Recipe, ...] = CLOSED_FORM_RECIPES

    def __init__(self, embeddings: Embeddings, num_classes: int) -> None:
        self.num_classes = num_classes
        self.features = Standardised(embeddings)

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        sample_weights: np.ndarray,
        log_prior: np.ndarray,
        recipe: Recipe,
        seed: int,
        checkpoint_dir: Path | None = None,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> list[Predictor]:
        """See Learner.fit."""
        y = torch.from_numpy(targets)
        heads: list[Predictor] = []
        for weights, prior in zip(sample_weights, log_prior, strict=True):
            w = torch.from_numpy(weights.astype(np.float32))
            weight, bias = self._discriminant(rows, y, w, recipe)
            temperature = self._temperature(rows, y, w, (weight, bias, torch.from_numpy(prior)), recipe)
            absent = torch.bincount(y, weights=w, minlength=self.num_classes) <= 0
            heads.append(
                Probe(self.features, weight / temperature, (bias / temperature).masked_fill(absent, NEVER), recipe)
            )
        on_epoch()
        return heads

    def _discriminant(
        self, rows: np.ndarray, y: torch.Tensor, w: torch.Tensor, recipe: Recipe
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
        shrink = recipe.weight_decay
        within = (1 - shrink) * within + shrink * within.diagonal().mean().clamp_min(1e-6) * torch.eye(dim).double()
        weight = torch.linalg.solve(within, means.T).T
        return weight.float(), (-0.5 * (means * weight).sum(1)).float()

    def _temperature(
        self,
        rows: np.ndarray,
        y: torch.Tensor,
        w: torch.Tensor,
        head: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        recipe: Recipe,
    ) -> float:
        weight, bias, prior = head
        known = torch.nonzero(w > 0).ravel()
        drawn = known[:: max(1, len(known) // _SAMPLE_ROWS)]
        if not len(drawn):
            return 1.0
        logits = functional.linear(self.features(recipe.view, rows[drawn.numpy()]), weight, bias)

        def loss(log_temperature: float) -> float:
            return float(functional.cross_entropy(logits / float(np.exp(log_temperature)) + prior, y[drawn]))

        found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 0.01})
        return float(np.exp(found.x))
