"""The `probe` learner: a linear softmax head on cached embeddings of a frozen backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from cleaner.dataset.store import Arrays
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import HeadFeatures, PrincipalFeatures
from cleaner.modeling.learner import NEVER, FitJob, Predictor
from cleaner.modeling.recipes import PROBE_RECIPES, ProbeRecipe
from cleaner.modeling.schedule import learning_rate_share
from cleaner.scoring.held_out import HeldOut, predict_each
from cleaner.scoring.out_of_fold import OutOfFold

_BATCH_SIZES = (16, 1024)
_STEPS_PER_EPOCH = 30
"""Batch sizes give this many steps, within bounds: small sets are trained as far as large ones."""
_WARMUP = 0.1
"""Share of the steps over which the learning rate rises."""
_CHUNK_VALUES = 200_000
_CHUNK_ROWS = 2048
"""Rows predicted at once: the first / classes, but at most the second."""
_THREADED_VALUES = 200_000
"""With this many weights in all heads, a step is worth more than one thread."""


@dataclass(frozen=True)
class _Batch:
    """B rows, each mixed with another row of the batch."""

    positions: torch.Tensor
    """(B,) int64 in the rows learned from."""
    features: torch.Tensor
    """(B, D)."""
    mate: torch.Tensor
    """(B,) int64: which row of the batch each is mixed with."""
    share: torch.Tensor
    """(B,) float32: a row's own share of its mixture."""


class ProbeLearner:
    """Fits linear heads by AdamW (Loshchilov & Hutter 2019) under a one-cycle cosine learning rate.

    They learn from the principal directions of the embeddings, see `PrincipalFeatures`. `precision`, fp32 or bf16, is
    that of the products in training; weights, softmax and predictions are fp32. `scratch`: the folder for features too
    large for memory.
    """

    recipes: tuple[ProbeRecipe, ...] = PROBE_RECIPES
    final_recipe = ProbeRecipe("plain", "plain", 1e-3, 1e-1, 0.0, 20)

    def __init__(
        self, embeddings: Embeddings, num_classes: int, precision: str = "fp32", scratch: Path | None = None
    ) -> None:
        self.num_classes = num_classes
        self.identity = f"{embeddings.origin.key} {precision}"
        self.card = probe_card(embeddings)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.features = PrincipalFeatures(embeddings, dtype, scratch)

    def leading_features(self, rows: np.ndarray, num: int) -> np.ndarray:
        """Features (n, num or fewer) float16 of `rows` (n,) along the widest principal directions."""
        parts = np.array_split(rows, max(1, len(rows) // _CHUNK_ROWS))
        return np.concatenate([self.features("plain", part)[:, :num].half().numpy() for part in parts])

    def fit_and_predict(self, job: FitJob, held_out: Sequence[HeldOut]) -> list[tuple[Predictor, OutOfFold]]:
        """See Learner.fit_and_predict."""
        return predict_each(self.fit(job), held_out)

    @torch.no_grad()
    def fit(self, job: FitJob) -> list[Predictor]:
        """See Learner.fit; the M heads are trained side by side, each batch read once."""
        recipe = job.recipe
        assert isinstance(recipe, ProbeRecipe)
        num_models, num_classes, dim = len(job.sample_weights), self.num_classes, self.features.dim
        weight, bias = torch.zeros(num_models * num_classes, dim), torch.zeros(num_models * num_classes, 1)
        # no decay on the bias: recipe.md, section 4
        optimizer = torch.optim.AdamW(
            [{"params": [weight], "weight_decay": recipe.weight_decay}, {"params": [bias], "weight_decay": 0.0}],
            lr=recipe.learning_rate,
            fused=True,
        )
        y, prior = torch.from_numpy(job.targets), torch.from_numpy(job.log_prior).unsqueeze(2)
        w = torch.from_numpy(job.sample_weights.astype(np.float32))
        w = w / w.sum(1, keepdim=True).clamp_min(1e-12) * len(job.rows)
        batch_size = _batch_size(len(job.rows))
        steps_per_epoch = -(-len(job.rows) // batch_size)
        batches = self._batches(job.rows, batch_size, recipe, torch.Generator().manual_seed(job.seed))
        num_steps = recipe.epochs * steps_per_epoch
        with _threads_for(weight.numel()):
            for step, batch in enumerate(_made_ahead(batches)):
                x, mate, share = batch.features, batch.mate, batch.share
                # classes by images: softmax then runs along whole rows of memory, whatever the number of classes
                logits = (weight.to(x.dtype) @ x.T).float() + bias
                # a linear head's logits for a mixture are the mixture of its logits
                mixed = logits.index_select(1, mate).lerp_(logits, share).view(num_models, num_classes, -1) + prior
                slope = _slope(mixed, y, w, batch).view(num_models * num_classes, -1)
                slope = (share * slope).index_add_(1, mate, (1 - share) * slope)
                weight.grad, bias.grad = (slope.to(x.dtype) @ x).float(), slope.sum(1, keepdim=True)
                share_of_peak = learning_rate_share(step / num_steps, warmup=_WARMUP, floor=recipe.floor)
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * share_of_peak
                optimizer.step()
                if (step + 1) % steps_per_epoch == 0:
                    job.on_epoch()
        # a model must not predict a class that it never saw
        absent = torch.from_numpy(job.class_weights <= 0)  # (M, K)
        heads_w = weight.view(num_models, num_classes, dim)
        heads_b = bias.view(num_models, num_classes).masked_fill(absent, NEVER)
        return [Probe(self.features, heads_w[m].clone(), heads_b[m].clone()) for m in range(num_models)]

    def _batches(
        self, rows: np.ndarray, batch_size: int, recipe: ProbeRecipe, generator: torch.Generator
    ) -> Iterator[_Batch]:
        """All batches of all epochs."""
        numbers = torch.from_numpy(rows)
        for _ in range(recipe.epochs):
            for batch in torch.split(torch.randperm(len(rows), generator=generator), batch_size):
                num = len(batch)
                mirrored = torch.full((num,), recipe.view == "mirrored")
                if recipe.view == "either":
                    mirrored = torch.rand(num, generator=generator) < 0.5
                x = self.features.take(numbers[batch], mirrored)
                if recipe.mixup == 0:
                    yield _Batch(batch, x, torch.arange(num), torch.ones(num))
                    continue
                gamma = torch._standard_gamma(torch.full((num, 2), recipe.mixup), generator=generator)
                share = gamma.max(1).values / gamma.sum(1).clamp_min(1e-12)
                yield _Batch(batch, x, torch.randperm(num, generator=generator), share)


@dataclass(frozen=True)
class Probe:
    """A fitted linear head."""

    features: HeadFeatures
    weight: torch.Tensor  # (K, dim)
    bias: torch.Tensor  # (K,)

    @torch.inference_mode()
    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See Predictor.predict; the mean over the views."""
        size = min(max(1, _CHUNK_VALUES // max(1, len(self.bias))), _CHUNK_ROWS)
        for start in range(0, len(rows), size):
            part = slice(start, min(start + size, len(rows)))
            views = [
                functional.linear(self.features(v, rows[part]), self.weight, self.bias).softmax(-1)
                for v in self.features.views
            ]
            yield part, torch.stack(views).mean(0).numpy()

    def state(self) -> Arrays:
        """See Predictor.state: `weight` (K, D), `bias` (K,), and the `mean` and `std` (D,) that features take."""
        weight = self.features.channel_weights(self.weight)
        tensors = {"weight": weight, "bias": self.bias, "mean": self.features.mean, "std": self.features.std}
        return {name: tensor.numpy() for name, tensor in tensors.items()}


def probe_card(embeddings: Embeddings) -> dict[str, Any]:
    """`Learner.card` of a linear head on these embeddings."""
    return {
        "learner": "probe",
        "input": "(sign(e) * sqrt(|e|) - mean) / std of an embedding e",
        "backbone": embeddings.origin.backbones[0] if embeddings.origin.backbones else {},
        "backbones": list(embeddings.origin.backbones),
    }


def _batch_size(num_rows: int) -> int:
    low, high = _BATCH_SIZES
    return min(max(-(-num_rows // _STEPS_PER_EPOCH), low), high)


def _made_ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """The batches, each made by another thread while the one before is trained on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


@contextmanager
def _threads_for(num_values: int) -> Iterator[None]:
    """One thread for heads so small that splitting their work costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if num_values < _THREADED_VALUES else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _slope(logits: torch.Tensor, y: torch.Tensor, w: torch.Tensor, batch: _Batch) -> torch.Tensor:
    """Gradient (M, K, B), with respect to the logits of B mixtures, of the batch's mean weighted cross-entropy.

    Each half of a mixture counts by its own row's weight; a mixture with a row that a model must not learn from does
    not count: otherwise the held-out fold would leak in through its mates.
    """
    own, other, share = batch.positions, batch.positions[batch.mate], batch.share
    own_w, other_w = w.index_select(1, own), w.index_select(1, other)  # (M, B)
    learned = ((own_w > 0) & (other_w > 0)) / len(own)
    own_w, other_w = share * own_w * learned, (1 - share) * other_w * learned
    slope = logits.softmax(1).mul_((own_w + other_w).unsqueeze(1))
    for weights, rows in ((own_w, own), (other_w, other)):
        slope.scatter_add_(1, y[rows].expand(len(logits), 1, -1), -weights.unsqueeze(1))
    return slope
