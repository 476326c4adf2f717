"""Folds of the `probe` learner as tasks: of many classes, each head is trained on any machine of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.modeling.backbones import num_threads, set_num_threads
from cleaner.modeling.checkpoints import under_prefix, with_prefix
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import KeptFile
from cleaner.modeling.learner import FitJob, Predictor
from cleaner.modeling.probe import Probe, ProbeLearner, fit_heads, fit_jobs
from cleaner.scoring.held_out import HeldOut, HeldOutByModel, predict_held_out
from cleaner.scoring.out_of_fold import OutOfFold

_PREDICTIONS = "predictions"


@dataclass(frozen=True, eq=False)
class HeadTask:
    """One head to be trained, and what it is to predict."""

    features: KeptFile
    job: FitJob
    """Of one model."""
    held_out: HeldOut
    threads: int
    """Threads of the arithmetic: results depend on their number in the last bit."""


def fit_head(task: HeadTask) -> Arrays:
    """The head of a task, `weight` (K, d) and `bias` (K,), and its predictions."""
    set_num_threads(task.threads)
    (head,) = fit_heads(task.features.open(), task.job)
    arrays = {"weight": head.weight.numpy(), "bias": head.bias.numpy()}
    return arrays | with_prefix(_PREDICTIONS, predict_held_out(head, task.held_out).arrays())


class ClusterProbeLearner(ProbeLearner):
    """A ProbeLearner whose folds are trained on a cluster where there are many classes (see `fit_jobs`).

    Its features lie in a file below `cache`, which all machines must be able to map. Models and predictions are those
    of ProbeLearner to the last bit.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        num_classes: int,
        precision: str,
        cache: Path,
        engine_map: Callable[..., Iterable[Arrays]],
    ) -> None:
        """`engine_map` runs tasks, as `Engine.map` does."""
        super().__init__(embeddings, num_classes, precision, cache, in_file=True)
        self._map = engine_map

    def fit_and_predict(self, job: FitJob, held_out: HeldOutByModel) -> tuple[list[Predictor], OutOfFold]:
        """See Learner.fit_and_predict; each head predicts where it was trained."""
        jobs, file = fit_jobs(job), self.features.file
        if len(jobs) == 1 or job.checkpoint_dir is None or file is None:
            return super().fit_and_predict(job, held_out)
        asked = [held_out.of(number) for number in range(len(jobs))]
        tasks = []
        for number, (one, images) in enumerate(zip(jobs, asked, strict=True)):
            there = replace(one, on_epoch=_nothing, checkpoint_dir=None)
            tasks.append((f"head_{number}", HeadTask(file, there, images, num_threads())))
        heads: list[Predictor] = []
        predictions = []
        store = ArrayStore(job.checkpoint_dir)
        for images, arrays in zip(asked, self._map(fit_head, tasks, store=store, threads=num_threads()), strict=True):
            weight, bias = (torch.from_numpy(arrays[name]) for name in ("weight", "bias"))
            heads.append(Probe(self.features, weight, bias))
            predictions.append(OutOfFold.from_arrays(images.given, under_prefix(_PREDICTIONS, arrays)))
        for _ in range(job.recipe.epochs):
            job.on_epoch()
        return heads, held_out.join(predictions)


def _nothing() -> None:
    """No epoch is counted on another machine."""
