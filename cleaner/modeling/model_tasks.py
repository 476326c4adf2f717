"""Models of the `finetune` learner as tasks: each is trained, and predicts, on any machine of a cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from cleaner.dataset.locations import is_remote, own_cache
from cleaner.dataset.store import Arrays, ArrayStore, digest_of
from cleaner.modeling.backbones import num_threads, other_network, set_num_threads
from cleaner.modeling.checkpoints import under_prefix, with_prefix
from cleaner.modeling.embeddings import Mapper
from cleaner.modeling.finetune import FinetunedModel, FinetuneLearner, LearnerPlan, load_learner
from cleaner.modeling.learner import FitJob, ModelJob, Predictor
from cleaner.modeling.networks import Blueprint, load_blueprint
from cleaner.modeling.pixels import Pixels, PixelsLater, digest_pixels, load_pixels
from cleaner.progress import Progress, Silent
from cleaner.scoring.held_out import HeldOut, HeldOutByModel, predict_held_out
from cleaner.scoring.out_of_fold import OutOfFold

_STATE, _PREDICTIONS = "state", "predictions"


@dataclass(frozen=True)
class WorkerPlan:
    """A LearnerPlan, and what the worker's learner must have in common with that of the machine that asks."""

    learner: LearnerPlan
    threads: int
    """Threads of the arithmetic: results depend on their number in the last bit."""
    identity: str
    """`FinetuneLearner.identity` on the machine that asks; the worker's must be the same."""

    def __hash__(self) -> int:
        return hash(self.identity)


@dataclass(frozen=True)
class ModelTask:
    """One model to be trained; see FinetuneLearner.fit_one."""

    plan: WorkerPlan
    job: ModelJob
    """Its checkpoint folder is one that all machines see, so that another can resume the work of a lost one."""
    held_out: HeldOut | None
    """What the model is to predict."""

    @property
    def key(self) -> str:
        """A digest of all that the result depends on."""
        job = self.job
        learned = (job.rows, job.targets, job.weights, job.log_prior, asdict(job.recipe), job.seed)
        asked = () if self.held_out is None else vars(self.held_out).values()
        return digest_of("fitted model", self.plan.identity, self.plan.threads, *learned, *asked)[:24]


def fit_model(task: ModelTask) -> Arrays:
    """Train the model of a task and predict its held-out images: its state and the predictions.

    Raises BackboneError if this machine's network is another one.
    """
    set_num_threads(task.plan.threads)
    model = _open_once(task.plan).fit_one(task.job)
    result = with_prefix(_STATE, model.state())
    if task.held_out is not None:
        result |= with_prefix(_PREDICTIONS, predict_held_out(model, task.held_out).arrays())
    return result


class ClusterLearner:
    """Trains whole networks on a cluster, one task for each model; see `cleaner.modeling.learner.Learner`.

    Models and predictions are those of FinetuneLearner to the last bit. Whatever else a model is asked, it predicts on
    this machine.
    """

    recipes = FinetuneLearner.recipes
    final_recipe = FinetuneLearner.final_recipe

    def __init__(self, here: FinetuneLearner, plan: WorkerPlan, engine_map: Callable[..., Any]) -> None:
        """`here` predicts on this machine; `engine_map` runs tasks, as `Engine.map` does."""
        self._here, self._plan = here, plan
        self._map = map_on(engine_map, here.blueprint)
        self.num_classes, self.identity, self.card = here.num_classes, here.identity, here.card

    @property
    def blueprint(self) -> Blueprint:
        """The network before training."""
        return self._here.blueprint

    def fit(self, job: FitJob) -> list[Predictor]:
        """See Learner.fit and FinetuneLearner.fit; all machines must see the job's `checkpoint_dir`."""
        return [self._model(arrays) for arrays in self._fit(job, [None] * len(job.sample_weights))]

    def fit_and_predict(self, job: FitJob, held_out: HeldOutByModel) -> tuple[list[Predictor], OutOfFold]:
        """See Learner.fit_and_predict; each model predicts where it was trained."""
        asked = [held_out.of(number) for number in range(len(job.sample_weights))]
        fitted = self._fit(job, asked)
        predicted = (
            OutOfFold.from_arrays(images.given, under_prefix(_PREDICTIONS, arrays))
            for images, arrays in zip(asked, fitted, strict=True)
        )
        return [self._model(arrays) for arrays in fitted], held_out.join(predicted)

    def _fit(self, job: FitJob, held_out: Sequence[HeldOut | None]) -> list[Arrays]:
        each = [ModelTask(self._plan, model, images) for model, images in zip(job.models(), held_out, strict=True)]
        tasks = [(task.key, task) for task in each]
        store = None if job.checkpoint_dir is None else ArrayStore(job.checkpoint_dir)
        results, num_epochs = [], 0
        for arrays in self._map(fit_model, tasks, store=store):
            results.append(arrays)
            while num_epochs * len(tasks) < job.recipe.epochs * len(results):
                num_epochs += 1
                job.on_epoch()
        return results

    def _model(self, arrays: Arrays) -> Predictor:
        return FinetunedModel(self._here, under_prefix(_STATE, arrays))


def load_cluster_learner(
    plan: LearnerPlan, *, own_cache: Path, workers: int, progress: Progress, engine_map: Callable[..., Any]
) -> ClusterLearner:
    """A ClusterLearner over images in their order; see load_learner. All machines reach `plan.cache`.

    If it is a folder, from which files can be mapped, tasks decode the pixels there, once. If it is a URL, each
    machine decodes for itself, this one into `own_cache`, and only if a model predicts here.
    """
    blueprint, size = load_blueprint(plan.settings, plan.device), plan.settings.image_size
    images = (plan.image_ids, plan.paths, size)
    load = functools.partial(load_pixels, *images, progress=progress, file_timeout_s=plan.file_timeout_s)
    pixels: Pixels
    if is_remote(plan.cache):
        later = functools.partial(load, own_cache, workers=workers)
        pixels = PixelsLater(digest_pixels(plan.image_ids, size), later)
    else:
        map_shards = functools.partial(engine_map, threads=num_threads())
        pixels = load(Path(plan.cache), workers=num_threads(), map_shards=map_shards)
    here = FinetuneLearner(pixels, blueprint, plan.num_classes, workers=workers, progress=progress)
    # an `auto` is resolved here, once, and not by each machine for itself
    settings = replace(plan.settings, precision=cast(Any, blueprint.precision))
    there = replace(plan, settings=settings, device=blueprint.device.type)
    return ClusterLearner(here, WorkerPlan(there, num_threads(), here.identity), engine_map)


def map_on(engine_map: Callable[..., Any], blueprint: Blueprint) -> Mapper:
    """`engine_map`, which reserves for each task what its arithmetic takes here: a GPU, or this many cores."""
    return functools.partial(engine_map, threads=num_threads(), gpu=blueprint.device.type == "cuda")


@functools.lru_cache(maxsize=1)
def _open_once(plan: WorkerPlan) -> FinetuneLearner:
    here = replace(plan.learner, cache=str(own_cache(plan.learner.cache)))
    learner = load_learner(here, workers=plan.threads, progress=Silent())
    if learner.identity != plan.identity:
        raise other_network()
    return learner
