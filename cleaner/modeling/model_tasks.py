"""Models of the `finetune` learner as tasks: each is trained, and asked, on whatever machine of a cluster has room."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from cleaner.config import EmbeddingSettings
from cleaner.dataset.locations import is_remote
from cleaner.dataset.store import Arrays, ArrayStore, digest_of
from cleaner.errors import BackboneError
from cleaner.modeling.backbones import num_threads, set_num_threads
from cleaner.modeling.crossval import Judgement, Question, judge
from cleaner.modeling.embeddings import Mapper
from cleaner.modeling.finetune import FinetunedModel, FinetuneLearner, load_learner, model_seed
from cleaner.modeling.learner import Predictor, Recipe
from cleaner.modeling.networks import Blueprint, load_blueprint
from cleaner.modeling.pixels import Pixels, PixelsLater, digest_pixels, load_pixels
from cleaner.modeling.recipes import ROUND_RECIPES
from cleaner.progress import Progress, Silent

_STATE, _JUDGEMENT = "state.", "judgement."


@dataclass(frozen=True)
class LearnerPlan:
    """What any machine needs to open the same FinetuneLearner: ids, paths and settings, never pixels or weights."""

    image_ids: tuple[str, ...]
    paths: tuple[str, ...]
    num_classes: int
    settings: EmbeddingSettings
    device: str
    threads: int
    """Of the arithmetic, here as on the machine that asks: results depend on their number in the last bit."""
    cache: str
    """Where the pixels lie; a URL, which no file can be mapped from: each machine has its own."""
    identity: str
    """`FinetuneLearner.identity` on the machine that asks; the worker's must be the same."""

    def __hash__(self) -> int:
        return hash(self.identity)


@dataclass(frozen=True)
class ModelTask:
    """One model to be trained; see FinetuneLearner.fit_one."""

    plan: LearnerPlan
    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    log_prior: np.ndarray
    recipe: Recipe
    seed: int
    folder: Path | None
    """Where its checkpoints go: all machines see it, so that another one goes on where a lost one was."""
    question: Question | None

    @property
    def key(self) -> str:
        """A digest of all that the result depends on."""
        asked = [] if self.question is None else list(vars(self.question).values())
        return digest_of(
            "model", self.plan.identity, self.plan.threads, self.rows, self.targets, self.weights, self.log_prior,
            asdict(self.recipe), self.seed, *asked,
        )[:24]  # fmt: skip


def fit_model(task: ModelTask) -> Arrays:
    """Train the model of a task and judge what it is asked: its state and the judgement.

    Raises BackboneError if this machine's network is not the one that was asked for.
    """
    set_num_threads(task.plan.threads)
    model = _open_once(task.plan).fit_one(
        task.rows, task.targets, task.weights, task.log_prior,
        recipe=task.recipe, seed=task.seed, folder=task.folder,
    )  # fmt: skip
    result = {f"{_STATE}{name}": values for name, values in model.state().items()}
    if task.question is not None:
        judgement = judge(model, **vars(task.question))
        result |= {f"{_JUDGEMENT}{name}": values for name, values in judgement.arrays().items()}
    return result


class ClusterLearner:
    """Trains whole networks on a cluster, a task for each model; see `cleaner.modeling.learner.Learner`.

    Models and judgements are those of FinetuneLearner to the last bit. A model that is asked for more predicts on
    this machine.
    """

    recipes = ROUND_RECIPES

    def __init__(self, here: FinetuneLearner, plan: LearnerPlan, engine_map: Callable[..., Any]) -> None:
        """`here` predicts on this machine; `engine_map` runs tasks, as `Engine.map` does."""
        self._here, self._plan = here, plan
        self._map = map_on(engine_map, here.blueprint)

    @property
    def identity(self) -> str:
        """See FinetuneLearner.identity."""
        return self._here.identity

    @property
    def blueprint(self) -> Blueprint:
        """The network before training."""
        return self._here.blueprint

    def card(self) -> dict[str, Any]:
        """See FinetuneLearner.card."""
        return self._here.card()

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
        """See Learner.fit and FinetuneLearner.fit; `checkpoint_dir` must be where all machines see it."""
        unasked: list[Question | None] = [None] * len(sample_weights)
        results = self._fit(rows, targets, sample_weights, log_prior, recipe, seed, checkpoint_dir, on_epoch, unasked)
        return [self._model(arrays) for arrays in results]

    def fit_and_judge(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        questions: Sequence[Question],
        *,
        sample_weights: np.ndarray,
        log_prior: np.ndarray,
        recipe: Recipe,
        seed: int,
        checkpoint_dir: Path | None = None,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> list[tuple[Predictor, Judgement]]:
        """As `fit`, and each model answers its question where it was trained; see crossval.FitsAndJudges."""
        results = self._fit(rows, targets, sample_weights, log_prior, recipe, seed, checkpoint_dir, on_epoch, questions)
        return [(self._model(arrays), Judgement.from_arrays(_under(_JUDGEMENT, arrays))) for arrays in results]

    def _fit(
        self, rows: np.ndarray, targets: np.ndarray, sample_weights: np.ndarray, log_prior: np.ndarray, recipe: Recipe,
        seed: int, checkpoint_dir: Path | None, on_epoch: Callable[[], None], questions: Sequence[Question | None],
    ) -> list[Arrays]:  # fmt: skip
        tasks = []
        for number, (weights, prior, question) in enumerate(zip(sample_weights, log_prior, questions, strict=True)):
            folder = None if checkpoint_dir is None else checkpoint_dir / f"model_{number}"
            task = ModelTask(
                self._plan, rows, targets, weights, prior, recipe, model_seed(seed, number), folder, question
            )
            tasks.append((task.key, task))
        store = None if checkpoint_dir is None else ArrayStore(checkpoint_dir)
        results, num_epochs = [], 0
        for arrays in self._map(fit_model, tasks, store=store):
            results.append(arrays)
            while num_epochs * len(tasks) < recipe.epochs * len(results):
                num_epochs += 1
                on_epoch()
        return results

    def _model(self, arrays: Arrays) -> Predictor:
        return FinetunedModel(self._here, _under(_STATE, arrays))


def load_cluster_learner(
    image_ids: Sequence[str],
    paths: Sequence[Path],
    num_classes: int,
    settings: EmbeddingSettings,
    device: str,
    *,
    cache: Path,
    own_cache: Path,
    workers: int,
    progress: Progress,
    engine_map: Callable[..., Any],
) -> ClusterLearner:
    """A ClusterLearner over images in their order; see load_learner.

    `cache` is what all machines reach. Where files can be mapped from it, the pixels are decoded there by tasks, once;
    else each machine decodes for itself, this one into `own_cache`, and only if a model predicts here.
    """
    blueprint = load_blueprint(settings, device)
    size = settings.image_size
    pixels: Pixels
    if is_remote(cache):
        load = functools.partial(load_pixels, image_ids, paths, size, own_cache, workers=workers, progress=progress)
        pixels = PixelsLater(digest_pixels(image_ids, size), load)
    else:
        pixels = load_pixels(
            image_ids, paths, size, cache,
            workers=num_threads(), progress=progress, map_shards=functools.partial(engine_map, threads=num_threads()),
        )  # fmt: skip
    here = FinetuneLearner(pixels, blueprint, num_classes, workers=workers, progress=progress)
    # an `auto` is settled here, once, and not by each machine for itself
    settled = replace(settings, precision=cast(Any, blueprint.precision))
    plan = LearnerPlan(
        tuple(image_ids), tuple(map(str, paths)), num_classes, settled, blueprint.device.type, num_threads(),
        str(cache), here.identity,
    )  # fmt: skip
    return ClusterLearner(here, plan, engine_map)


def map_on(engine_map: Callable[..., Any], blueprint: Blueprint) -> Mapper:
    """`engine_map`, which sets aside for each task what its arithmetic takes here: a GPU, or so many cores."""
    return functools.partial(engine_map, threads=num_threads(), gpu=blueprint.device.type == "cuda")


def pixel_cache(cache: str) -> Path:
    """Where this machine maps pixels from: the common cache, or a folder of its own where that lies behind a URL."""
    if not is_remote(cache):
        return Path(cache)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cleaner"


@functools.lru_cache(maxsize=1)
def _open_once(plan: LearnerPlan) -> FinetuneLearner:
    learner = load_learner(
        plan.image_ids, plan.paths, plan.num_classes, plan.settings, plan.device,
        cache=pixel_cache(plan.cache), workers=plan.threads, progress=Silent(),
    )  # fmt: skip
    if learner.identity != plan.identity:
        raise other_network()
    return learner


def other_network() -> BackboneError:
    """What is wrong where a machine's network is not the one that was asked for."""
    return BackboneError(
        f"{platform.node()}: its network is not that of the machine that asked",
        expected="equal weights, precision and kind of device on all nodes",
        next_step="install the same packages on all nodes, and the weights where all can read them",
    )


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
