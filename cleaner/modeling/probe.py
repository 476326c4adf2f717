"""The `probe` learner: a linear softmax head on cached embeddings of a frozen backbone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cleaner.dataset.store import Arrays
from cleaner.modeling.columns import new_table
from cleaner.modeling.drawn_rows import DrawnRows
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import KeptFeatures, PrincipalFeatures
from cleaner.modeling.head_tasks import Here, Work, map_here, predict_in_shards
from cleaner.modeling.learner import NEVER, FitJob, Predictor
from cleaner.modeling.linear_head import LinearHead, card_of_heads
from cleaner.modeling.recipes import PROBE_RECIPES, ProbeRecipe
from cleaner.modeling.schedule import learning_rate_share
from cleaner.scoring.held_out import HeldOutByModel
from cleaner.scoring.out_of_fold import OutOfFold

_FORMAT = "probe-5"
"""Part of the key of every stored fit; changes with what a fit computes."""
_BATCH_SIZES = (16, 1024)
_STEPS_PER_EPOCH = 30
"""Batch sizes give this many steps, within bounds: small sets are trained as far as large ones."""
_CHUNK_ROWS = 2048
"""Rows whose features are put together at once."""
_WARMUP = 0.1
"""Share of the steps over which the learning rate rises."""
_BATCHES_AHEAD = 4
APART_CLASSES = 500
"""With as many classes, the models of a job are trained one by one, or on several machines (docs/decisions.md)."""
_THREADED_VALUES = 200_000
"""With this many weights in all heads, a step is worth more than one thread."""


@dataclass(frozen=True)
class _Batch:
    """B rows, each mixed with the one before it, the first with the last; their order is random."""

    positions: torch.Tensor
    """(B,) int64 in the rows learned from."""
    features: torch.Tensor
    """(B, D)."""
    share: torch.Tensor | None
    """(B,) float32: a row's own share of its mixture; None where none is mixed."""


class ProbeLearner:
    """Fits linear heads by AdamW (Loshchilov & Hutter 2019) under a one-cycle cosine learning rate.

    They learn from the principal directions of the embeddings, see `PrincipalFeatures`. `precision`, fp32 or bf16, is
    that of the products in training; weights, softmax and predictions are fp32. `scratch`: the folder for features too
    large for memory, or for all of them (`in_file`).
    """

    recipes: tuple[ProbeRecipe, ...] = PROBE_RECIPES
    final_recipe = ProbeRecipe("plain", "plain", 1e-3, 1e-1, 0.0, 20)

    def __init__(
        self,
        embeddings: Embeddings,
        num_classes: int,
        precision: str = "fp32",
        scratch: Path | None = None,
        *,
        in_file: bool = False,
    ) -> None:
        self.num_classes = num_classes
        self.identity = f"{embeddings.origin.key} {precision} {_FORMAT}"
        self.card = card_of_heads(embeddings)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.features = PrincipalFeatures(embeddings, dtype, scratch, in_file=in_file)
        self._scratch = scratch

    def leading_features(self, rows: np.ndarray, num: int) -> np.ndarray:
        """Features (n, num or fewer) float16 of `rows` (n,) along the widest principal directions, see `new_table`."""
        found = new_table(len(rows), min(num, self.features.dim), np.float16, self._scratch)
        for start in range(0, len(rows), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            found[part] = self.features("plain", rows[part])[:, :num].half().numpy()
        return found

    def fit_and_predict(self, job: FitJob, held_out: HeldOutByModel) -> tuple[list[Predictor], OutOfFold]:
        """See Learner.fit_and_predict."""
        heads = self.heads_of(job)
        return list(heads), predict_in_shards(heads, held_out, lambda work: self._map(work, job))

    def fit(self, job: FitJob) -> list[Predictor]:
        """See Learner.fit."""
        return list(self.heads_of(job))

    def heads_of(self, job: FitJob) -> list[LinearHead]:
        """The M heads of a job; of few classes they are trained side by side, each batch read once."""
        return [head for one in fit_jobs(job) for head in fit_heads(self.features, one)]

    def _map(self, work: Work, job: FitJob) -> Iterator[tuple[slice, Arrays]]:
        return map_here(work, Here(self.features))


def fit_jobs(job: FitJob) -> list[FitJob]:
    """The models of a job in jobs of their own, if there are many classes: to read each batch once gains nothing then.

    Which way it is done shows in the last bit, so it depends on nothing but the number of classes.
    """
    num_models, num_epochs = len(job.sample_weights), 0
    if num_models == 1 or job.num_classes < APART_CLASSES:
        return [job]

    def count_epoch() -> None:
        nonlocal num_epochs
        num_epochs += 1
        if num_epochs % num_models == 0:
            job.on_epoch()

    return [replace(job, sample_weights=weights[None], on_epoch=count_epoch) for weights in job.sample_weights]


@torch.no_grad()
def fit_heads(features: KeptFeatures, job: FitJob) -> list[LinearHead]:
    """The M heads of a job, trained side by side; see ProbeLearner."""
    recipe = job.recipe
    assert isinstance(recipe, ProbeRecipe)
    num_models, num_classes, dim = len(job.sample_weights), job.num_classes, features.dim
    weight, bias = torch.zeros(num_models * num_classes, dim), torch.zeros(num_models * num_classes, 1)
    # no decay on the bias: recipe.md, section 4
    optimizer = torch.optim.AdamW(
        [{"params": [weight], "weight_decay": recipe.weight_decay}, {"params": [bias], "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        fused=True,
    )
    drawn = DrawnRows(job, recipe.epochs)
    y, prior = torch.from_numpy(job.targets), torch.from_numpy(drawn.log_prior).view(num_models * num_classes, 1)
    w = torch.from_numpy(job.sample_weights.astype(np.float32))
    w = w / torch.from_numpy(drawn.class_weights).sum(1, keepdim=True).clamp_min(1e-12).float() * drawn.pass_rows
    batch_size = _batch_size(len(job.rows))
    num_steps = drawn.num_passes * -(-drawn.pass_rows // batch_size)
    batches = _batches(features, drawn, batch_size, recipe, torch.Generator().manual_seed(job.seed))
    with _threads_for(weight.numel()):
        for step, batch in enumerate(_made_ahead(batches)):
            x = batch.features
            # classes by images: softmax then runs along whole rows of memory, whatever the number of classes
            logits = (weight.to(x.dtype) @ x.T).float()
            if batch.share is not None:
                # a linear head's logits for a mixture are the mixture of its logits
                logits = logits.roll(1, 1).lerp_(logits, batch.share)
            logits = logits.add_(bias + prior).view(num_models, num_classes, -1)
            slope = _slope(logits, y, w, batch).view(num_models * num_classes, -1)
            share_of_peak = learning_rate_share(step / num_steps, warmup=_WARMUP, floor=recipe.floor)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * share_of_peak
            weight.grad, bias.grad = (slope.to(x.dtype) @ x).float(), slope.sum(1, keepdim=True)
            optimizer.step()
            for _ in range(recipe.epochs * step // num_steps, recipe.epochs * (step + 1) // num_steps):
                job.on_epoch()  # where the bound ends a fit early, an epoch is as large a part of it
    # a model must not predict a class that it never saw
    absent = torch.from_numpy(drawn.class_weights <= 0)  # (M, K)
    heads_w = weight.view(num_models, num_classes, dim)
    heads_b = bias.view(num_models, num_classes).masked_fill(absent, NEVER)
    return [LinearHead(features, heads_w[m].clone(), heads_b[m].clone()) for m in range(num_models)]


def _batches(
    features: KeptFeatures, drawn: DrawnRows, batch_size: int, recipe: ProbeRecipe, generator: torch.Generator
) -> Iterator[_Batch]:
    """All batches of all passes."""
    numbers = torch.from_numpy(drawn.job.rows)
    for _ in range(drawn.num_passes):
        for batch in torch.split(drawn.order(generator), batch_size):
            num = len(batch)
            mirrored = torch.full((num,), recipe.view == "mirrored")
            if recipe.view == "either":
                mirrored = torch.rand(num, generator=generator) < 0.5
            x = features.take(numbers[batch], mirrored)
            share = None
            if recipe.mixup:
                gamma = torch._standard_gamma(torch.full((num, 2), recipe.mixup), generator=generator)
                share = gamma.max(1).values / gamma.sum(1).clamp_min(1e-12)
            yield _Batch(batch, x, share)


def _batch_size(num_rows: int) -> int:
    low, high = _BATCH_SIZES
    return min(max(-(-num_rows // _STEPS_PER_EPOCH), low), high)


def _made_ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """The batches, a few at a time made by another thread while those before are trained on."""
    with ThreadPoolExecutor(1) as pool:

        def more() -> Future[list[_Batch]]:
            return pool.submit(list, itertools.islice(batches, _BATCHES_AHEAD))

        coming = more()
        while made := coming.result():
            coming = more()
            yield from made


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
    """Gradient (M, K, B), with respect to the logits of B rows, of their mixtures' mean weighted cross-entropy.

    `logits` (M, K, B) are those of the mixtures; they are overwritten. Each half of a mixture counts by its own row's
    weight; a mixture with a row that a model must not learn from does not count: otherwise the held-out fold would leak
    in through its mates.
    """
    own_w, own_y, share = w.index_select(1, batch.positions), y[batch.positions], batch.share
    slope = logits.softmax(1)
    if share is None:
        own_w = own_w / len(own_y)
        slope.mul_(own_w.unsqueeze(1))
        return slope.scatter_add_(1, own_y.expand(len(slope), 1, -1), -own_w.unsqueeze(1))
    other_w, other_y = own_w.roll(1, 1), own_y.roll(1)
    learned = ((own_w > 0) & (other_w > 0)) / len(own_y)
    own_w, other_w = own_w * share * learned, other_w * (1 - share) * learned
    slope.mul_((own_w + other_w).unsqueeze(1))
    for weights, classes in ((own_w, own_y), (other_w, other_y)):
        slope.scatter_add_(1, classes.expand(len(slope), 1, -1), -weights.unsqueeze(1))
    return (slope * share).add_((slope * (1 - share)).roll(-1, 2))
