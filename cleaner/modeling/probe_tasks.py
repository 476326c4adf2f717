"""The `probe` learner on a cluster: folds as tasks where there are many classes, and predictions by shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cleaner.dataset.store import Arrays, ArrayStore
from cleaner.modeling.backbones import num_threads, set_num_threads
from cleaner.modeling.embeddings import Embeddings
from cleaner.modeling.features import KeptFile
from cleaner.modeling.head_tasks import Work, map_there
from cleaner.modeling.learner import FitJob
from cleaner.modeling.linear_head import LinearHead
from cleaner.modeling.probe import ProbeLearner, fit_heads, fit_jobs


@dataclass(frozen=True, eq=False)
class HeadTask:
    """One head to be trained."""

    features: KeptFile
    job: FitJob
    """Of one model."""
    threads: int
    """Threads of the arithmetic: results depend on their number in the last bit."""


def fit_head(task: HeadTask) -> Arrays:
    """The head of a task, `weight` (K, d) and `bias` (K,)."""
    set_num_threads(task.threads)
    (head,) = fit_heads(task.features.open(), task.job)
    return {"weight": head.weight.numpy(), "bias": head.bias.numpy()}


class ClusterProbeLearner(ProbeLearner):
    """A ProbeLearner whose images are judged on a cluster, and whose folds are trained there if there are many classes
    (see `fit_jobs`).

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
        self._engine_map = engine_map

    def heads_of(self, job: FitJob) -> list[LinearHead]:
        """See ProbeLearner.heads_of."""
        jobs, file, threads = fit_jobs(job), self.features.file, num_threads()
        if len(jobs) == 1 or job.checkpoint_dir is None or file is None:
            return super().heads_of(job)
        tasks = []
        for number, one in enumerate(jobs):
            there = replace(one, on_epoch=_nothing, checkpoint_dir=None)
            tasks.append((f"head_{number}", HeadTask(file, there, threads)))
        heads = []
        for arrays in self._engine_map(fit_head, tasks, store=ArrayStore(job.checkpoint_dir), threads=threads):
            weight, bias = (torch.from_numpy(arrays[name]) for name in ("weight", "bias"))
            heads.append(LinearHead(self.features, weight, bias))
        for _ in range(job.recipe.epochs):
            job.on_epoch()
        return heads

    def _map(self, work: Work, job: FitJob) -> Iterator[tuple[slice, Arrays]]:
        file = self.features.file
        if len(work.parts) == 1 or job.checkpoint_dir is None or file is None:
            return super()._map(work, job)
        return map_there(work, file, self._engine_map, job.checkpoint_dir)


def _nothing() -> None:
    """No epoch is counted on another machine."""
