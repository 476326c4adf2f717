"""`cleaner plan`: time, memory and disk of a run, from a short trial of its parts on a sample of the files."""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleaner.config import Config, RunOptions
from cleaner.dataset.class_folders import read_folders
from cleaner.dataset.files import list_files
from cleaner.dataset.found_files import FoundFile
from cleaner.dataset.images import ImageFacts
from cleaner.dataset.inspection import Batch, Limits, count_batch, inspect_batch, read_facts, rescue_of
from cleaner.dataset.locations import locate
from cleaner.engine.local import LocalEngine, count_workers
from cleaner.errors import BadInputError
from cleaner.modeling.backbone_names import each_network
from cleaner.modeling.backbones import load_backbones, resolve_device, resolve_precision
from cleaner.modeling.class_evidence import MeanViewFeatures, compute_class_evidence
from cleaner.modeling.columns import BYTES_IN_MEMORY, blocks_of
from cleaner.modeling.embeddings import BATCH_SIZE, Embeddings, compute_embeddings, join_embeddings
from cleaner.modeling.learner import FitJob
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.progress import Silent, Task

_TRIAL_FILES = 6 * BATCH_SIZE
"""Files in the sample: six batches of the network, of which the first is not timed."""
_TRIAL_BATCH = 16
"""Files in one task of the trial scan: so few that all workers are busy and the rate shows."""
_TRIAL_ROWS = 2048
"""Rows of the trial's heads, drawn with replacement from the sample's embeddings."""
_TRIAL_DRAWS, _TRIAL_VALUES = 30_720, 20_000_000
"""Draws from those rows in one epoch, and values of logits at most: batches grow with the set up to that size."""
_ROUNDS_PER_PASS = 8
"""Of the labels stage: 4 and 5 on sample_data, all 8 on tiny50 with a fifth of its labels wrong."""
_RULE_ROUNDS = 2.5
"""Of the rule auto: 1 on sample_data and clean sets, 2 to 4 on tiny50 with wrong labels."""
_SMALL_CLASS_S = 0.03
"""The balance stage's test of one small class: 1.3 s for 39 of tiny50, 0.3 s for 7 of sample_data."""
_NOISE_ROUNDS_SHARE = 8.0
"""The rounds of the noise stage take 5 to 8 times as long as its class evidence where 4 to 9 % of images are noise
(sample_data, tiny50, photos); where none is, they take next to nothing."""
_NOISE_ROUNDS_IMAGES = 50_000
"""In larger sets the rounds learn from no more images than in one of this size."""
_MANIFEST_ROW_BYTES = 2500
"""Memory for a row, including the copies that a stage makes."""
_MANIFEST_DISK_BYTES = 4 * 220
"""Disk for a row in four manifests and the tables of the rounds."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Expected cost of a run."""

    num_files: int
    num_bytes: int
    num_classes: int
    num_tried: int
    """Files that the trial read."""
    trial_s: float
    """How long the trial took."""
    scan_rate: float
    """Files a second, by all workers."""
    embedding_rate: float
    """Images a second, all views, from file to embedding."""
    seconds: dict[str, float]
    """start, scan, embedding, noise, labels, balance; they add up to `total_s`. Embedding is done by noise."""
    total_s: float
    memory_bytes: dict[str, int]
    """program, embeddings, manifest; they add up to `total_memory_bytes`, the peak."""
    total_memory_bytes: int
    disk_bytes: dict[str, int]
    """scan, embeddings, manifests; they add up to `total_disk_bytes`."""
    total_disk_bytes: int


@dataclass(frozen=True)
class _Rate:
    """Time of n things: `start_s` once, and `each_s` for each."""

    start_s: float
    each_s: float

    def time_of(self, num: int) -> float:
        return self.start_s + self.each_s * num if num else 0.0


def plan_run(images_root: Path, config: Config, options: RunOptions) -> Plan:
    """Estimate time, memory and disk of scan, noise, labels and balance over `images_root` on this machine.

    Reads a sample of the files, embeds it and fits heads for a few steps; writes nothing but a temporary folder.
    Raises BadInputError if there are no files, or none of the sample is an image.
    """
    start_s, begun = time.process_time(), time.monotonic()  # a run takes as long again to import all this
    found = list_files(images_root, config.scan.follow_symlinks)
    found = found.take(np.flatnonzero(found.sound).tolist()) if found.faulty else found
    if not found:
        raise BadInputError(f"{images_root}: holds no files", next_step="check the path")
    listing_s = time.monotonic() - begun
    rng = np.random.default_rng(options.seed)
    sample = [found[int(i)] for i in rng.permutation(len(found))[:_TRIAL_FILES]]
    with options.progress.task("trial scan", len(sample)) as task:
        scan, facts, row_bytes = _try_scan(sample, len(found), config, options, task)
    readable = [(fact.image_id, locate(file.path)) for file, fact in zip(sample, facts, strict=True) if not fact.fault]
    if not readable:
        raise BadInputError(
            f"{images_root}: none of {len(sample)} files tried is an image", next_step="run `cleaner scan IMAGES`"
        )
    num_images = math.ceil(len(found) * len(readable) / len(sample))
    class_sizes = read_folders(found, config.scan.label_from).labels.counts()
    num_classes = max(2, len(class_sizes))
    num_small = sum(size < config.balance.min_count for size in class_sizes.values())
    with options.progress.task("trial embedding", len(readable) * len(each_network(config.embedding))) as task:
        network, embeddings = _try_embedding(readable, config, options, task)
    heads = _try_heads(embeddings, num_images, num_classes, config, rng)
    seconds = {
        "start": start_s,
        "scan": listing_s + scan.time_of(len(found)),
        "embedding": network.each_s * BATCH_SIZE * math.ceil(num_images / BATCH_SIZE),
        "noise": network.start_s + heads["noise"],
        "labels": network.start_s + heads["labels"],
        "balance": network.start_s + _SMALL_CLASS_S * num_small,
    }
    memory, disk = _sizes(len(found), num_images, embeddings, row_bytes)
    return Plan(
        num_files=len(found),
        num_bytes=int(found.sizes.sum()),
        num_classes=num_classes,
        num_tried=len(sample),
        trial_s=time.monotonic() - begun,
        scan_rate=1 / scan.each_s,
        embedding_rate=1 / network.each_s,
        seconds=seconds,
        total_s=sum(seconds.values()),
        memory_bytes=memory,
        total_memory_bytes=sum(memory.values()),
        disk_bytes=disk,
        total_disk_bytes=sum(disk.values()),
    )


def _sizes(
    num_files: int, num_images: int, embeddings: Embeddings, row_bytes: int
) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of memory at the peak and of disk, by what takes them."""
    kept = [*embeddings.views, *([] if embeddings.style is None else [embeddings.style])]
    blocks = [num_images * b.shape[1] * b.dtype.itemsize for table in kept for b in blocks_of(table)]
    embedded, in_memory = sum(blocks), sum(size for size in blocks if size <= BYTES_IN_MEMORY)
    memory = {
        "program": _peak_memory_bytes(),
        "embeddings": in_memory,
        "manifest": _MANIFEST_ROW_BYTES * num_files,
    }
    disk = {
        "scan": row_bytes * num_files,
        "embeddings": embedded + 32 * num_images + embedded - in_memory,  # in shards, and in files while a stage runs
        "manifests": _MANIFEST_DISK_BYTES * num_files,
    }
    return memory, disk


def _try_scan(
    sample: list[FoundFile], num_files: int, config: Config, options: RunOptions, task: Task
) -> tuple[_Rate, list[ImageFacts], int]:
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


def _try_embedding(
    readable: list[tuple[str, Path]], config: Config, options: RunOptions, task: Task
) -> tuple[_Rate, Embeddings]:
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
    return _Rate(start_s, each_s), join_embeddings(each)


def _rate(stamps: list[float], steps: list[int], at_once: int = 1) -> _Rate:
    """The rate, given the time of the beginning and of the end of each step; `steps` are the things done in each.

    The first `at_once` steps include the start of the workers; without further steps the two cannot be told apart.
    """
    if len(steps) <= at_once:
        return _Rate(0.0, max(stamps[-1] - stamps[0], 1e-6) / sum(steps))
    each = max(stamps[-1] - stamps[at_once], 1e-6) / sum(steps[at_once:])
    return _Rate(max(0.0, stamps[at_once] - stamps[0] - each * sum(steps[:at_once])), each)


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


def _try_heads(
    embeddings: Embeddings,
    num_images: int,
    num_classes: int,
    config: Config,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Seconds of the noise and labels stages without embedding, from one epoch each on a few thousand rows."""
    num_rows = min(num_images, _TRIAL_ROWS)
    some = embeddings.take(rng.integers(0, len(embeddings.plain), num_rows))
    targets = rng.integers(0, num_classes, num_rows)
    begun = time.monotonic()
    fold = rng.integers(0, config.labels.folds, num_rows)
    compute_class_evidence(MeanViewFeatures(some), targets, fold, num_classes, np.ones(num_rows, bool))
    evidence_s = (time.monotonic() - begun) * num_images / num_rows
    precision = resolve_precision(config.embedding.precision, resolve_device("cpu"))
    learner = ProbeLearner(some, num_classes, precision)
    drawn = rng.integers(0, num_rows, min(num_images, _TRIAL_DRAWS, max(num_rows, _TRIAL_VALUES // num_classes)))
    one_epoch = [dataclasses.replace(PROBE_RECIPES[i], epochs=1) for i in (0, 1)]
    epoch_s = []
    for recipe, num_models in ((one_epoch[0], 1), (one_epoch[0], config.labels.folds), (one_epoch[1], 1)):
        begun = time.monotonic()
        weights = np.ones((num_models, len(drawn)), np.float32)
        job = FitJob(
            rows=drawn, targets=targets[drawn], sample_weights=weights, num_classes=num_classes, recipe=recipe, seed=0
        )
        learner.fit(job)
        epoch_s.append((time.monotonic() - begun) * num_images / len(drawn))
    _, folds_s, round_s = epoch_s  # the first fit also includes what torch sets up once
    epochs = [recipe.epochs for recipe in PROBE_RECIPES]
    one_pass = epochs[0] * folds_s + _ROUNDS_PER_PASS * float(np.mean(epochs)) * round_s
    num_passes = sum(k == 1 or 2 * k < num_classes for k in config.labels.top_k)
    rule = _RULE_ROUNDS * float(np.mean(epochs)) * folds_s if config.labels.rule == "auto" else 0.0
    noise_rounds = _NOISE_ROUNDS_SHARE * min(1.0, _NOISE_ROUNDS_IMAGES / num_images)
    return {"noise": (1 + noise_rounds) * evidence_s, "labels": num_passes * one_pass + rule}


def _peak_memory_bytes() -> int:
    """Peak memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
