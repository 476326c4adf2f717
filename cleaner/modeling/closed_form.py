"""The closed-form learner: linear discriminants on cached embeddings, without gradient steps, for very many classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from cleaner.dataset.locations import is_remote
from cleaner.dataset.store import Arrays
from cleaner.modeling.drawn_rows import most_draws
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import Standardised
from cleaner.modeling.head_tasks import (
    Here,
    StandardisedThere,
    Work,
    map_here,
    map_there,
    predict_in_shards,
    rows_of_sums,
    sum_shard,
)
from cleaner.modeling.learner import NEVER, FitJob, ModelJob, Predictor
from cleaner.modeling.linear_head import LinearHead, card_of_heads
from cleaner.modeling.recipes import CLOSED_FORM_RECIPES, PROBE_RECIPES, ClosedFormRecipe
from cleaner.scoring.held_out import HeldOutByModel
from cleaner.scoring.out_of_fold import OutOfFold

LARGEST_FOR_STEPS = 12_000_000_000
"""Rows that a fit draws x classes above which heads are computed in closed form: gradient steps would take hours."""
_SAMPLE_ROWS = 2_000
_CHUNK_ROWS = 64
_LOG_TEMPERATURES = (0.0, 5.0)


def is_for_closed_form(num_images: int, num_classes: int) -> bool:
    """Whether heads over so many images and classes are computed in closed form."""
    draws = min(PROBE_RECIPES[0].epochs * num_images, most_draws(num_classes))
    return draws * num_classes > LARGEST_FOR_STEPS


class ClosedFormLearner:
    """Fits heads by linear discriminant analysis with a shrunken common covariance.

    Sigma' = (1 - s) Sigma + s tr(Sigma)/D I (Friedman 1989; Ledoit & Wolf 2004), w_k = Sigma'^-1 mu_k,
    b_k = -mu_k' w_k / 2; logits are divided by the temperature that makes the labels of a sample of rows most likely.
    All models of a job take one pass over the data, and D x D and K x D values each in memory. That pass and the
    predictions are cut into shards (head_tasks.py), which a cluster may share; their sums are added up in one order.
    """

    recipes: tuple[ClosedFormRecipe, ...] = CLOSED_FORM_RECIPES
    final_recipe = ClosedFormRecipe("plain", "plain", 0.1)

    def __init__(
        self,
        embeddings: Embeddings,
        num_classes: int,
        engine_map: Callable[..., Iterable[Arrays]] | None = None,
        there: Path | None = None,
    ) -> None:
        """`engine_map`: runs tasks as `Engine.map` does, on machines that reach the cache `there`; None: here."""
        self.num_classes = num_classes
        self.identity = f"{embeddings.origin.key} closed form by shards"
        self.card = card_of_heads(embeddings)
        self._engine_map, self._there = engine_map, there
        self._embeddings = embeddings if there is None or is_remote(there) else embeddings.in_files(there)
        self.features = Standardised(self._embeddings)

    @cached_property
    def _source(self) -> StandardisedThere:
        """The features for other machines."""
        assert self._there is not None
        return StandardisedThere.put(self._embeddings, self.features.moments, self._there)

    def fit_and_predict(self, job: FitJob, held_out: HeldOutByModel) -> tuple[list[Predictor], OutOfFold]:
        """See Learner.fit_and_predict."""
        heads = self._fit(job)
        return list(heads), predict_in_shards(heads, held_out, lambda work: self._map(work, job))

    def fit(self, job: FitJob) -> list[Predictor]:
        """See Learner.fit; the models of a job may differ in which rows they leave out, not in what a row counts."""
        return list(self._fit(job))

    def _fit(self, job: FitJob) -> list[LinearHead]:
        recipe = job.recipe
        assert isinstance(recipe, ClosedFormRecipe)
        learned, sums = self._sum(job, recipe)
        heads = []
        for model, kinds in zip(job.models(), learned, strict=True):
            of_model = {name: values[kinds].sum(0) for name, values in sums.items()}
            weight, bias = _discriminant(of_model, recipe.shrinkage)
            temperature = self._temperature(model, weight, bias)
            absent = torch.from_numpy(of_model["counts"] <= 0)
            heads.append(
                LinearHead(self.features, weight / temperature, (bias / temperature).masked_fill(absent, NEVER))
            )
        job.on_epoch()
        return heads

    def _sum(self, job: FitJob, recipe: ClosedFormRecipe) -> tuple[np.ndarray, Arrays]:
        """Which of P kinds of rows each model learns from, (M, P) bool, and the sums over each kind."""
        weights = job.sample_weights.max(0).astype(np.float32)
        if any((mine[mine > 0] != weights[mine > 0]).any() for mine in job.sample_weights):
            raise ValueError("models of one job give a row different weights")
        used = np.flatnonzero(weights > 0)
        kinds, learned = _kinds_of_rows(job.sample_weights[:, used] > 0)
        rows = {"rows": job.rows[used], "targets": job.targets[used], "weights": weights[used], "kinds": kinds}
        shape, dim = (learned.shape[1], self.num_classes), self.features.dim
        num_values = shape[0] * (dim * dim + self.num_classes * dim + self.num_classes)
        arrays = rows | {"shape": np.array(shape)}
        work = Work(sum_shard, arrays, rows_of_sums(*shape, dim), 8 * num_values, recipe.view)
        total = {
            "gram": np.zeros((shape[0], dim, dim)),
            "sums": np.zeros((*shape, dim)),
            "counts": np.zeros(shape),
        }
        for _, found in self._map(work, job):
            for name, values in total.items():
                values += found[name]
        return learned, total

    def _map(self, work: Work, job: FitJob) -> Iterator[tuple[slice, Arrays]]:
        if self._engine_map is None or job.checkpoint_dir is None:
            return map_here(work, Here(self.features))
        return map_there(work, self._source, self._engine_map, job.checkpoint_dir)

    def _temperature(self, job: ModelJob, weight: torch.Tensor, bias: torch.Tensor) -> float:
        known = np.flatnonzero(job.weights > 0)
        if not len(known):
            return 1.0
        drawn = known[np.linspace(0, len(known) - 1, min(len(known), _SAMPLE_ROWS)).astype(int)]
        logits = functional.linear(self.features(job.recipe.view, job.rows[drawn]), weight, bias)
        prior, y = torch.from_numpy(job.log_prior), torch.from_numpy(job.targets[drawn])
        parts = [slice(start, start + _CHUNK_ROWS) for start in range(0, len(y), _CHUNK_ROWS)]

        def loss(log_temperature: float) -> float:
            scale, total = float(np.exp(-log_temperature)), 0.0
            for part in parts:  # few enough rows to stay in the processor's cache: five times as fast
                total += float(functional.cross_entropy(logits[part] * scale + prior, y[part], reduction="sum"))
            return total / len(y)

        found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 0.01})
        return float(np.exp(found.x))


def _discriminant(arrays: Arrays, shrinkage: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (K, D) and biases (K,) float32 from `gram` (D, D), `sums` (K, D) and `counts` (K,)."""
    gram, sums, counts = (torch.from_numpy(arrays[name]) for name in ("gram", "sums", "counts"))
    means = sums / counts.clamp_min(1e-9)[:, None]
    within = (gram - sums.T @ means) / counts.sum().clamp_min(1e-9)
    spread = within.diagonal().mean().clamp_min(1e-6) * torch.eye(len(gram)).double()
    weight = torch.linalg.solve((1 - shrinkage) * within + shrinkage * spread, means.T).T
    return weight.float(), (-0.5 * (means * weight).sum(1)).float()


def _kinds_of_rows(learned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kinds (n,) int64 of n rows, equal for rows that the same models learn from, and those models (M, P) bool.

    `learned` (M, n) bool. A fold's rows are of one kind, so its sums are made once, for all the models but its own.
    """
    kinds = np.zeros(learned.shape[1], np.int64)
    for mine in learned:
        kinds = 2 * kinds + mine
        kinds = (np.cumsum(np.bincount(kinds) > 0) - 1)[kinds]
    first = np.unique(kinds, return_index=True)[1]
    return kinds, learned[:, first]
