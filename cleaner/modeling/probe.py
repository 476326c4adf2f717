"""The `probe` learner: a linear softmax head on cached embeddings of a frozen backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from cleaner.dataset.store import Arrays
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.learner import PROBE_RECIPES, Predictor, Recipe

_BATCH_SIZE = 512
NEVER = -1e4
"""Bias of a class without training rows: its probability is 0."""
_CHUNK_VALUES = 200_000
"""Probabilities computed at once: rows a chunk = this / classes."""
_KEPT_BYTES = 1 << 30
"""Features of all rows are kept ready while they take less than this."""


class ProbeLearner:
    """Fits linear heads by AdamW (Loshchilov & Hutter 2019) under a one-cycle cosine learning rate.

    Embeddings are square-rooted (they are averages of rectified activations, heavy-tailed; the Hellinger map)
    and standardised by the mean and deviation over all images.
    """

    recipes: tuple[Recipe, ...] = PROBE_RECIPES

    def __init__(self, embeddings: Embeddings, num_classes: int) -> None:
        self.num_classes = num_classes
        self._views = {"plain": embeddings.plain, "mirrored": embeddings.mirrored}
        mean, std = feature_moments(embeddings.plain)
        self._mean, self._std = torch.from_numpy(mean), torch.from_numpy(std)
        self._kept: dict[str, torch.Tensor] = {}
        if 2 * 4 * embeddings.plain.size <= _KEPT_BYTES:
            every = np.arange(len(embeddings.plain))
            self._kept = {view: self._compute_features(view, every) for view in self._views}

    def features(self, view: str, rows: np.ndarray) -> torch.Tensor:
        """Standardised features (n, D) float32 of a view's rows."""
        if view in self._kept:
            return self._kept[view][torch.from_numpy(rows)]
        return self._compute_features(view, rows)

    def _compute_features(self, view: str, rows: np.ndarray) -> torch.Tensor:
        x = hellinger(torch.from_numpy(self._views[view][rows]).float())
        return x.sub_(self._mean).div_(self._std)

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
        """See Learner.fit; the M heads are trained side by side, each batch read once."""
        num_models, num_classes = len(sample_weights), self.num_classes
        generator = torch.Generator().manual_seed(seed)
        dim = self._mean.shape[0]
        weight = torch.zeros(num_models * num_classes, dim, requires_grad=True)
        bias = torch.zeros(num_models * num_classes, requires_grad=True)
        # no decay on the bias: recipe.md, section 4
        optimizer = torch.optim.AdamW(
            [{"params": [weight], "weight_decay": recipe.weight_decay}, {"params": [bias], "weight_decay": 0.0}],
            lr=recipe.learning_rate,
            fused=True,
        )
        y, prior = torch.from_numpy(targets), torch.from_numpy(log_prior.astype(np.float32))
        w = torch.from_numpy(sample_weights.astype(np.float32))
        w = w / w.sum(1, keepdim=True).clamp_min(1e-12) * len(rows)
        num_steps = recipe.epochs * -(-len(rows) // _BATCH_SIZE)
        step = 0
        for _ in range(recipe.epochs):
            order = torch.randperm(len(rows), generator=generator)
            for batch in torch.split(order, _BATCH_SIZE):
                x, other, share = self._batch(rows, batch, recipe, generator)
                logits = functional.linear(x, weight, bias).view(len(batch), num_models, num_classes) + prior
                loss = -_mixed_log_prob(logits.log_softmax(-1), y, w, batch, other, share).mean(0).sum()
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * _one_cycle(step / num_steps)
                optimizer.step()
                step += 1
            on_epoch()
        # a class that a model never saw must not be predicted by it
        absent = torch.from_numpy(_class_weight(targets, sample_weights, num_classes) <= 0)  # (M, K)
        heads_w = weight.detach().view(num_models, num_classes, dim)
        heads_b = bias.detach().view(num_models, num_classes).masked_fill(absent, NEVER)
        return [Probe(self, heads_w[m].clone(), heads_b[m].clone(), recipe) for m in range(num_models)]

    def _batch(
        self, rows: np.ndarray, batch: torch.Tensor, recipe: Recipe, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features (B, D), the rows that each is mixed with (B,), and its own share of the mixture (B, 1)."""
        drawn = rows[batch.numpy()]
        if recipe.view == "either":
            x = self.features("plain", drawn)
            flipped = torch.rand(len(batch), generator=generator) < 0.5
            x[flipped] = self.features("mirrored", drawn[flipped.numpy()])
        else:
            x = self.features(recipe.view, drawn)
        if recipe.mixup == 0:
            return x, batch, torch.ones(len(batch), 1)
        gamma = torch._standard_gamma(torch.full((len(batch), 2), recipe.mixup), generator=generator)
        share = (gamma.max(1).values / gamma.sum(1).clamp_min(1e-12)).unsqueeze(1)
        other = torch.randperm(len(batch), generator=generator)
        return share * x + (1 - share) * x[other], batch[other], share


@dataclass(frozen=True)
class Probe:
    """A fitted linear head."""

    learner: ProbeLearner
    weight: torch.Tensor  # (K, D)
    bias: torch.Tensor  # (K,)
    recipe: Recipe

    @torch.inference_mode()
    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See Predictor.predict; the mean over both views."""
        size = max(1, _CHUNK_VALUES // max(1, self.learner.num_classes))
        for start in range(0, len(rows), size):
            part = slice(start, min(start + size, len(rows)))
            views = [
                functional.linear(self.learner.features(v, rows[part]), self.weight, self.bias).softmax(-1)
                for v in ("plain", "mirrored")
            ]
            yield part, ((views[0] + views[1]) / 2).numpy()

    def state(self) -> Arrays:
        """See Predictor.state: `weight` (K, D), `bias` (K,), and the `mean` and `std` (D,) that features take."""
        tensors = {"weight": self.weight, "bias": self.bias, "mean": self.learner._mean, "std": self.learner._std}
        return {name: tensor.numpy() for name, tensor in tensors.items()}


def _mixed_log_prob(
    log_probs: torch.Tensor,
    y: torch.Tensor,
    w: torch.Tensor,
    own: torch.Tensor,
    other: torch.Tensor,
    share: torch.Tensor,
) -> torch.Tensor:
    """Weighted log probability (B, M) of the mixed targets.

    Each half counts by its own row's weight, and a mixture with a row that a model must not learn from not at all:
    else the held-out fold would seep in through its partners.
    """
    own_w, other_w = w[:, own].T, w[:, other].T  # (B, M)
    index = torch.stack([y[own], y[other]], 1)[:, None, :].expand(-1, log_probs.shape[1], -1)
    both = log_probs.gather(-1, index)  # (B, M, 2)
    mixed = share * own_w * both[..., 0] + (1 - share) * other_w * both[..., 1]
    return mixed * ((own_w > 0) & (other_w > 0))


def _class_weight(targets: np.ndarray, sample_weights: np.ndarray, num_classes: int) -> np.ndarray:
    return np.stack([np.bincount(targets, weights=w, minlength=num_classes) for w in sample_weights])


def feature_moments(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (D,) float32 of the square-rooted embeddings (N, D), summed in chunks in float64."""
    total = np.zeros(embeddings.shape[1])
    squares = np.zeros(embeddings.shape[1])
    for start in range(0, len(embeddings), 2048):
        x = hellinger(torch.from_numpy(embeddings[start : start + 2048]).float()).double()
        total += x.sum(0).numpy()
        squares += (x * x).sum(0).numpy()
    num = max(1, len(embeddings))
    mean = total / num
    std = np.sqrt(np.maximum(squares / num - mean**2, 0)).clip(1e-4)
    return mean.astype(np.float32), std.astype(np.float32)


def hellinger(x: torch.Tensor) -> torch.Tensor:
    """Signed square root, elementwise: the Hellinger map for averages of rectified activations."""
    return x.sign() * x.abs().sqrt()


def _one_cycle(progress: float) -> float:
    """Share of the peak learning rate: a tenth of the way up, then a cosine down to 0."""
    if progress < 0.1:
        return progress / 0.1
    return 0.5 * (1 + float(np.cos(np.pi * (progress - 0.1) / 0.9)))
