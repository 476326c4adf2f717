"""The training of `cleaner train` as a task: one network, trained and measured on any machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import nn

from cleaner.config import TrainSettings
from cleaner.dataset.locations import own_cache
from cleaner.dataset.store import Arrays, digest_of
from cleaner.modeling.backbones import other_network, set_num_threads
from cleaner.modeling.batches import Sample, count_steps
from cleaner.modeling.checkpoints import under_prefix, with_prefix
from cleaner.modeling.diagnosis import NormHealth
from cleaner.modeling.embeddings import Mapper
from cleaner.modeling.finetune import FinetuneLearner, Views, portable_state
from cleaner.modeling.group import ALONE, Group, join_group
from cleaner.modeling.networks import Blueprint, load_blueprint
from cleaner.modeling.objective import Objective
from cleaner.modeling.pixels import Pixels, load_pixels
from cleaner.modeling.recipes import FinetuneRecipe
from cleaner.modeling.teachers import load_teachers
from cleaner.modeling.training import Run
from cleaner.progress import Progress, Silent

_STATE, _HEALTH = "state", "health"


@dataclass(frozen=True, kw_only=True)
class TrainTask:
    """All that a training depends on: ids, paths and settings, never pixels or weights."""

    image_ids: tuple[str, ...]
    """Of the t training images, then of the m held-out ones."""
    paths: tuple[str, ...]
    classes: tuple[str, ...]
    targets: np.ndarray
    """(t + m,) int64 class numbers."""
    repeats: np.ndarray
    """(t,) int64: how often an epoch shows each."""
    log_prior: np.ndarray
    """(K,) float32, times tau."""
    recipe: FinetuneRecipe
    settings: TrainSettings
    """With the precision resolved."""
    teachers: tuple[Path, ...]
    teachers_digest: str
    seed: int
    device: str
    """A device of this machine, or the kind of device that each worker uses."""
    threads: int
    """Threads of the arithmetic."""
    workers: int
    """Decoding processes."""
    file_timeout_s: float
    """Seconds of CPU for decoding one image."""
    blueprint_key: str
    """`Blueprint.key` on the machine that asks; the worker's must be the same."""
    cache: str
    """See model_tasks.LearnerPlan."""
    folder: Path
    """Where checkpoints go; all machines see it."""

    @property
    def key(self) -> str:
        """A digest of all that the result depends on."""
        images = (self.image_ids, self.classes, self.targets, self.repeats, self.log_prior)
        course = (asdict(self.recipe), asdict(self.settings), self.teachers_digest)
        return digest_of("train", *images, *course, self.seed, self.threads, self.blueprint_key)[:24]

    @property
    def num_train(self) -> int:
        """Number of training images."""
        return len(self.repeats)

    @property
    def size_px(self) -> int:
        """Side of the cached pixels in px."""
        return max(self.settings.embedding.image_size, round(self.settings.test_size * max(self.settings.scales)))

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return count_steps(int(self.repeats.sum()), self.recipe)


@dataclass(frozen=True)
class Trained:
    """A trained network, and its predictions for the m held-out images."""

    state: Arrays
    """The network's state dict, without the prior."""
    losses: list[float]
    """Mean training loss of each epoch."""
    predicted: np.ndarray
    """(m,) int64 class numbers."""
    confidence: np.ndarray
    """(m,) float32: their probabilities."""
    health: NormHealth | None

    def arrays(self) -> Arrays:
        """As named arrays, for an ArrayStore."""
        figures = {"losses": np.array(self.losses), "predicted": self.predicted, "confidence": self.confidence}
        health = {} if self.health is None else {name: np.array(value) for name, value in vars(self.health).items()}
        return with_prefix(_STATE, self.state) | figures | with_prefix(_HEALTH, health)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Trained:
        """The inverse of `arrays`."""
        values = {name: value.item() for name, value in under_prefix(_HEALTH, arrays).items()}
        health = NormHealth(**values) if values else None
        state, losses = under_prefix(_STATE, arrays), arrays["losses"].tolist()
        return cls(state, losses, arrays["predicted"], arrays["confidence"], health)


def train_elsewhere(task: TrainTask) -> Arrays:
    """Do a task on a machine of a cluster, alone or with other workers; only worker 0 returns arrays."""
    set_num_threads(task.threads)
    blueprint = load_blueprint(task.settings.embedding, task.device, scratch=task.settings.scratch)
    if blueprint.key != task.blueprint_key:
        raise other_network()
    pixels = open_pixels(task, own_cache(task.cache), Silent())
    trained = train_network(task, blueprint, pixels, Silent(), join_group())
    return {} if trained is None else trained.arrays()


def train_network(
    task: TrainTask, blueprint: Blueprint, pixels: Pixels, progress: Progress, group: Group = ALONE
) -> Trained | None:
    """Train the network of a task and measure it; None from all but the group's first worker.

    Raises CleanerError if training diverges, BadInputError for a teacher that cannot be used.
    """
    settings = task.settings
    learner = FinetuneLearner(
        pixels,
        blueprint,
        len(task.classes),
        workers=task.workers,
        progress=progress,
        views=Views(settings.scales, settings.crops),
        test_size=settings.test_size,
    )
    rows = np.arange(task.num_train)
    sample = Sample(learner.pixels, rows, task.targets[rows], np.ones(task.num_train, np.float32), task.repeats)
    held_out = np.arange(task.num_train, len(task.targets))
    with progress.task(f"training ({task.recipe.name}), steps", task.num_steps) as bar:
        run = Run(
            workers=task.workers,
            compile=settings.compile,
            folder=task.folder,
            group=group,
            progress=progress,
            on_step=bar.advance,
        )
        network, losses = learner.train_one(
            sample,
            task.recipe,
            _objective(task),
            seed=task.seed,
            run=run,
            identity=task.teachers_digest,
            validate=_accuracy(learner, task, np.array_split(held_out, group.size)[group.rank], group),
            patience=settings.patience if len(held_out) else 0,
        )
    if group.rank:
        return None
    state = {name: value.numpy().copy() for name, value in portable_state(network).items()}
    network = learner.load(state)  # if several workers trained it, its norms would wait for the others
    health = learner.diagnose(network, sample, task.seed)
    predicted, confidence = np.empty(len(held_out), np.int64), np.empty(len(held_out), np.float32)
    with progress.task("measuring", len(held_out)) as bar:
        for part, probs in learner.predict_with(network, held_out):
            predicted[part], confidence[part] = probs.argmax(1), probs.max(1)
            bar.advance(part.stop - part.start)
    return Trained(state, losses, predicted, confidence, health)


def open_pixels(task: TrainTask, cache: Path, progress: Progress, map_shards: Mapper | None = None) -> Pixels:
    """The pixels of all images of a task; see load_pixels."""
    images = (task.image_ids, task.paths, task.size_px)
    return load_pixels(
        *images,
        cache,
        workers=task.workers,
        progress=progress,
        map_shards=map_shards,
        file_timeout_s=task.file_timeout_s,
    )


def _objective(task: TrainTask) -> Objective:
    settings, teacher = task.settings, None
    if task.teachers:
        teacher = load_teachers(task.teachers, task.classes, settings.embedding, task.device)
    return Objective(
        log_prior=task.log_prior,
        prior_form=settings.prior,
        label_smoothing=task.recipe.label_smoothing,
        flood=settings.flood,
        teacher=teacher,
        teacher_share=settings.teacher_share,
        temperature=settings.temperature,
    )


def _accuracy(
    learner: FinetuneLearner, task: TrainTask, rows: np.ndarray, group: Group
) -> Callable[[nn.Module], float]:
    """A function for the accuracy on the held-out images; `rows` are this worker's part of them."""

    def accuracy(network: nn.Module) -> float:
        hits = sum(
            int((probs.argmax(1) == task.targets[rows[part]]).sum())
            for part, probs in learner.predict_with(network, rows)
        )
        return group.total(hits, learner.blueprint.device) / (len(task.targets) - task.num_train)

    return accuracy
