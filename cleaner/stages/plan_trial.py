"""Short trials of a run's parts on this machine: what scanning, embedding and the heads take."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleaner.config import Config, RunOptions
from cleaner.dataset.found_files import FoundFile
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.inspection import Batch, Limits, count_batch, inspect_batch, read_facts, rescue_of
from cleaner.engine.local import LocalEngine, count_workers
from cleaner.modeling.backbones import load_backbones, num_threads, resolve_device, resolve_precision
from cleaner.modeling.class_evidence import (
    MAX_REFERENCES,
    MeanViewFeatures,
    compute_class_evidence,
    compute_neighbour_agreement,
)
from cleaner.modeling.closed_form import ClosedFormLearner, is_for_closed_form
from cleaner.modeling.crossval import FoldedRows, cross_train, fit_and_predict
from cleaner.modeling.drawn_rows import most_draws
from cleaner.modeling.embeddings import BATCH_SIZE, Embeddings, compute_embeddings, join_embeddings
from cleaner.modeling.features import StyleFeatures
from cleaner.modeling.head_tasks import PREDICTED_ROWS, Here, map_here, predict_in_shards
from cleaner.modeling.learner import FitJob
from cleaner.modeling.probe import APART_CLASSES, ProbeLearner
from cleaner.modeling.recipes import CLOSED_FORM_RECIPES, PROBE_RECIPES, Recipe
from cleaner.progress import Silent, Task
from cleaner.scoring.held_out import NUM_OTHERS, HeldOutByModel
from cleaner.scoring.noise_evidence import EVIDENCE
from cleaner.scoring.noise_model import Features, NoiseModel, NoiseSeeds, Sight
from cleaner.scoring.noise_rounds import MAX_TRAINING_ROWS

_TRIAL_BATCH = 16
"""Files in one task of the trial scan: so few that all workers are busy and the rate shows."""
_ROWS_OF_STEPS = 20_480
"""Rows of the heads' trial, drawn with replacement from the sample's embeddings: from here on heads have all their
directions."""
_DRAWS, _VALUES = 30_720, 20_000_000
"""Draws from those rows in one epoch, and values of logits at most: batches grow with the set up to that size."""
_ROWS_OF_SUMS, _SHARE_OF_SUMS = (4096, 24_576), 0.025
"""A trial of sums takes this share of a run's rows, within these bounds: where there are few, what a chunk or a system
of all channels takes weighs more than it will. A size of an eighth tells what does not grow with the images."""
_ROUNDS_PER_PASS = 8
"""Of the labels stage: 4 and 5 on sample_data, all 8 on tiny50 with a fifth of its labels wrong."""
_RULE_ROUNDS = 2.5
"""Of the rule auto: 1 on sample_data and clean sets, 2 to 4 on tiny50 with wrong labels."""
_NOISE_ROUNDS = 5
"""Of the noise stage: 2 on sample_data, 3 on a synthetic set, up to 9 on photographs with 8 % noise images."""


@dataclass(frozen=True)
class Rate:
    """Time of n things: `start_s` once, and `each_s` for each."""

    start_s: float
    each_s: float

    def time_of(self, num: int) -> float:
        """Seconds of `num` things; 0 for none."""
        return self.start_s + self.each_s * num if num else 0.0


@dataclass(frozen=True)
class HeadTimes:
    """Seconds of the noise and labels stages without embedding."""

    noise_s: float
    labels_s: float
    shared_s: float
    """What a cluster shares of labels."""
    by_steps: bool
    """Whether heads are trained by steps, not in closed form."""


@dataclass(frozen=True)
class _Fit:
    """Seconds of a fit and of the predictions that follow."""

    all_s: float
    shared_s: float
    """What a cluster shares of it."""


def try_scan(
    sample: list[FoundFile], num_files: int, config: Config, options: RunOptions, task: Task
) -> tuple[Rate, list[ImageFacts], int]:
    """The scan's rate with as many processes as the run will have, the sample's facts, and bytes stored for each."""
    workers = min(count_workers(options.workers), -(-num_files // count_batch(num_files)))
    parts = [tuple(sample[i : i + _TRIAL_BATCH]) for i in range(0, len(sample), _TRIAL_BATCH)]
    limits = Limits(config.scan.max_pixels, config.scan.file_timeout)
    tasks = [(str(i), Batch(part, limits)) for i, part in enumerate(parts)]
    results = LocalEngine(workers).map(inspect_batch, tasks, rescue=rescue_of(limits))
    begun = time.monotonic()
    stamps, facts, num_bytes = [begun], [], 0
    for part, arrays in zip(parts, results, strict=True):
        stamps.append(time.monotonic())
        facts += read_facts(arrays)
        num_bytes += sum(a.nbytes for a in arrays.values())
        task.advance(len(part))
    return _rate(stamps, [len(p) for p in parts], workers), facts, num_bytes // len(sample)


def try_embedding(
    readable: list[tuple[str, Path]], config: Config, options: RunOptions, task: Task
) -> tuple[Rate, Embeddings]:
    """The embedding's rate, whose start is the loading of the network, and the sample's embeddings."""
    begun = time.monotonic()
    backbones = load_backbones(config.embedding, options.device)
    start_s = time.monotonic() - begun
    ids, paths = zip(*readable, strict=True)
    workers, each_s, each = count_workers(options.workers), 0.0, []
    with tempfile.TemporaryDirectory(prefix="cleaner-plan-") as folder:
        for backbone in backbones:
            clock = _Clock(task)
            begun = time.monotonic()
            each.append(
                compute_embeddings(ids, paths, backbone, Path(folder), workers=workers, progress=clock, with_style=True)
            )
            # a batch takes the same time whether it is full or not
            each_s += _rate([begun, *clock.stamps], [BATCH_SIZE] * len(clock.stamps)).each_s
    return Rate(start_s, each_s), join_embeddings(each)


def try_heads(
    embeddings: Embeddings, num_images: int, num_classes: int, config: Config, rng: np.random.Generator
) -> HeadTimes:
    """What heads over `num_images` take: parts of their work over few rows drawn from the sample's embeddings."""
    by_steps = not is_for_closed_form(num_images, num_classes)
    find = _steps_s if by_steps else _closed_form_s
    cross, one = find(_Drawn(embeddings, num_classes, config.labels.folds, rng), num_images, config)
    num_passes = sum(k == 1 or 2 * k < num_classes for k in config.labels.top_k)
    num_cross = num_passes + (_RULE_ROUNDS if config.labels.rule == "auto" else 0)
    num_ones = num_passes * _ROUNDS_PER_PASS
    return HeadTimes(
        noise_s=_noise_s(_Drawn(embeddings, num_classes, 5, rng), num_images),
        labels_s=num_cross * cross.all_s + num_ones * one.all_s,
        shared_s=num_cross * cross.shared_s + num_ones * one.shared_s,
        by_steps=by_steps,
    )


@dataclass(frozen=True)
class _Drawn:
    """Rows like those of a run, drawn with replacement."""

    embeddings: Embeddings
    num_classes: int
    num_folds: int
    rng: np.random.Generator

    def draw(self, num: int) -> tuple[Embeddings, np.ndarray, np.ndarray]:
        """Embeddings of `num` rows, class numbers (num,) and folds (num,)."""
        some = self.embeddings.take(self.rng.integers(0, len(self.embeddings.plain), num))
        return some, self.rng.integers(0, self.num_classes, num), np.arange(num) % self.num_folds

    def rate(self, work: Callable[[Embeddings, np.ndarray, np.ndarray], object], num_images: int) -> Rate:
        """The rate of `work` over rows, from two sizes."""
        many = max(2, _rows_of_sums(num_images))
        sizes, took = (max(1, many // 8), many), []
        for num in sizes:
            rows = self.draw(num)
            begun = time.monotonic()
            work(*rows)
            took.append(time.monotonic() - begun)
        each_s = max(0.0, took[1] - took[0]) / (sizes[1] - sizes[0])
        return Rate(max(0.0, took[1] - each_s * sizes[1]), each_s)


def _noise_s(drawn: _Drawn, num_images: int) -> float:
    """Seconds of class evidence, neighbours and rounds."""

    def evidence(some: Embeddings, targets: np.ndarray, fold: np.ndarray) -> None:
        compute_class_evidence(MeanViewFeatures(some), targets, fold, drawn.num_classes, np.ones(len(fold), bool))

    rate = drawn.rate(evidence, num_images)
    num = _rows_of_sums(num_images)
    some, targets, _ = drawn.draw(num)
    begun = time.monotonic()
    compute_neighbour_agreement(MeanViewFeatures(some), targets, np.arange(num))
    pair_s = (time.monotonic() - begun) / (num * min(num, MAX_REFERENCES))
    neighbours = pair_s * num_images * min(num_images, MAX_REFERENCES)
    num_taught = min(MAX_TRAINING_ROWS, _rows_of_sums(num_images) // 16)

    def learn(some: Embeddings, targets: np.ndarray, fold: np.ndarray) -> None:
        contents: list[Features] = [MeanViewFeatures(some)]
        if some.style is not None and some.style.shape[1]:
            contents.append(StyleFeatures(some.style))
        rows = np.arange(len(targets))
        ranks = drawn.rng.normal(size=(len(rows), len(EVIDENCE))).astype(np.float32)
        sight = Sight(contents, ranks, np.zeros(len(rows)), rows, np.ones(len(rows), bool))
        seeds = NoiseSeeds(rows < 2 * num_taught, rows < num_taught)
        NoiseModel(sight, seeds).learn(seeds.is_noise, seeds.is_seed & ~seeds.is_noise)

    rounds = _NOISE_ROUNDS * drawn.rate(learn, num_images).time_of(num_images) if num_taught else 0.0
    return rate.time_of(num_images) + neighbours + rounds


def _rows_of_sums(num_images: int) -> int:
    least, most = _ROWS_OF_SUMS
    return min(num_images, max(least, min(int(_SHARE_OF_SUMS * num_images), most)))


def _closed_form_s(drawn: _Drawn, num_images: int, config: Config) -> tuple[_Fit, _Fit]:
    """A cross-training and a round, in closed form; a cluster shares all of them.

    The rows of a trial are a shard, which one thread computes; a run has shards for all.
    """
    recipe = CLOSED_FORM_RECIPES[0]

    def train_folds(some: Embeddings, targets: np.ndarray, fold: np.ndarray) -> None:
        images = FoldedRows(np.arange(len(fold)), targets, fold, np.ones(len(fold)))
        cross_train(ClosedFormLearner(some, drawn.num_classes), images, recipe, seed=0)

    def train_one(some: Embeddings, targets: np.ndarray, fold: np.ndarray) -> None:
        rows, left = np.arange(len(fold)), np.flatnonzero(fold == 0)
        job = _job(rows, targets, 1, drawn.num_classes, recipe)
        fit_and_predict(ClosedFormLearner(some, drawn.num_classes), job, left, targets[left])

    folds, one = (drawn.rate(train, num_images) for train in (train_folds, train_one))
    folds_s, one_s = (Rate(r.start_s, r.each_s / num_threads()).time_of(num_images) for r in (folds, one))
    return _Fit(folds_s, folds_s), _Fit(one_s, one_s)


def _job(rows: np.ndarray, targets: np.ndarray, num_models: int, num_classes: int, recipe: Recipe) -> FitJob:
    """Models that all learn from the same rows (n,), with classes (n,)."""
    weights = np.ones((num_models, len(rows)), np.float32)
    return FitJob(rows=rows, targets=targets, sample_weights=weights, num_classes=num_classes, recipe=recipe, seed=0)


def _steps_s(drawn: _Drawn, num_images: int, config: Config) -> tuple[_Fit, _Fit]:
    """A cross-training and a round, by steps; from one epoch each, and predictions of a shard on one thread."""
    num_rows = min(num_images, _ROWS_OF_STEPS)
    some, targets, _ = drawn.draw(num_rows)
    begun = time.monotonic()
    precision = resolve_precision(config.embedding.precision, resolve_device("cpu"))
    learner = ProbeLearner(some, drawn.num_classes, precision)
    features_s = (time.monotonic() - begun) * num_images / num_rows
    draws = drawn.rng.integers(0, num_rows, min(num_images, _DRAWS, max(num_rows, _VALUES // drawn.num_classes)))
    one_epoch = [dataclasses.replace(PROBE_RECIPES[i], epochs=1) for i in (0, 1)]
    draw_s = []
    for recipe, num_models in ((one_epoch[0], 1), (one_epoch[0], drawn.num_folds), (one_epoch[1], 1)):
        begun = time.monotonic()
        heads = learner.heads_of(_job(draws, targets[draws], num_models, drawn.num_classes, recipe))
        draw_s.append((time.monotonic() - begun) / len(draws))
    _, folds_s, round_s = draw_s  # the first fit also includes what torch sets up once
    left = np.arange(min(num_rows, PREDICTED_ROWS))
    scorable = np.ones((1, drawn.num_classes), bool)
    begun = time.monotonic()
    images = HeldOutByModel(left, targets[left], np.zeros_like(left), scorable, NUM_OTHERS)
    predict_in_shards(heads, images, lambda work: map_here(work, Here(learner.features)))
    predict_s = (time.monotonic() - begun) * num_images / len(left) / num_threads()
    epochs, most = [recipe.epochs for recipe in PROBE_RECIPES], most_draws(drawn.num_classes)
    passes, left_s = len(config.labels.top_k) + _RULE_ROUNDS, predict_s / drawn.num_folds
    cross_s = min(epochs[0] * num_images, most) * folds_s
    one_s = min(float(np.mean(epochs)) * num_images, most) * round_s
    shared_s = predict_s + (cross_s if drawn.num_classes >= APART_CLASSES else 0.0)
    return _Fit(features_s / passes + cross_s + predict_s, shared_s), _Fit(one_s + left_s, left_s)


def _rate(stamps: list[float], steps: list[int], at_once: int = 1) -> Rate:
    """The rate, given the time of the beginning and of the end of each step; `steps` are the things done in each.

    The first `at_once` steps include the start of the workers; without further steps the two cannot be told apart.
    """
    if len(steps) <= at_once:
        return Rate(0.0, max(stamps[-1] - stamps[0], 1e-6) / sum(steps))
    each = max(stamps[-1] - stamps[at_once], 1e-6) / sum(steps[at_once:])
    return Rate(max(0.0, stamps[at_once] - stamps[0] - each * sum(steps[:at_once])), each)


class _Clock(Silent):
    """Progress that records when steps are done and passes them on."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.stamps: list[float] = []

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Task]:
        """Every task is this clock's one task."""
        yield self

    def advance(self, num: int = 1) -> None:
        """Record the time."""
        self.stamps.append(time.monotonic())
        self._task.advance(num)
