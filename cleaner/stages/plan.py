"""`cleaner plan`: time, memory and disk of a run, from a short trial of its parts on a sample of the files."""

from __future__ import annotations

import math
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleaner.config import Config, RunOptions
from cleaner.dataset.class_folders import read_folders
from cleaner.dataset.files import list_files
from cleaner.dataset.locations import locate
from cleaner.dataset.manifest import GROUP_ROWS
from cleaner.errors import BadInputError
from cleaner.modeling.backbone_names import each_network
from cleaner.modeling.columns import BYTES_IN_MEMORY, blocks_of
from cleaner.modeling.embeddings import BATCH_SIZE, Embeddings
from cleaner.modeling.features import num_directions
from cleaner.stages.plan_trial import try_embedding, try_heads, try_scan

_TRIAL_FILES = 2 * BATCH_SIZE, 6 * BATCH_SIZE
"""Files in the sample, a quarter of all within these bounds: whole batches of the network, the first not timed."""
_SMALL_CLASS_S = 0.03
"""The balance stage's test of one small class: 1.3 s for 39 of tiny50, 0.3 s for 7 of sample_data."""
_HEAD_BYTES = 2
"""Of each number that heads by steps learn from, where the chip has bf16."""
_MANIFEST_ROW_BYTES = 700
_WRITTEN_ROW_BYTES = 500
"""Memory for a row at a stage's peak, and besides for each row of the group that is being written:
noise over one million rows held 1.9 GB, over ten million 7.4, 0.5 of them the program itself."""
_MANIFEST_DISK_BYTES = 4 * 220
"""Disk for a row in four manifests and the tables of the rounds."""
_MACHINES = 1, 10, 100


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Expected cost of a run."""

    num_files: int
    """Those that are there, or as many as were asked about."""
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
    seconds_on_machines: dict[str, float]
    """By the number of machines like this one in a cluster: what they share takes its share of the time."""
    memory_bytes: dict[str, int]
    """program, embeddings, manifest; they add up to `total_memory_bytes`, the peak."""
    total_memory_bytes: int
    disk_bytes: dict[str, int]
    """scan, embeddings, features (in files while a stage runs), manifests; they add up to `total_disk_bytes`."""
    total_disk_bytes: int


def plan_run(images_root: Path, config: Config, options: RunOptions, *, num_files: int = 0) -> Plan:
    """Estimate time, memory and disk of scan, noise, labels and balance over `images_root` on this machine.

    `num_files`: so many files like those, 0: those. Reads a sample of the files, embeds it and fits heads for a few
    steps; writes nothing but a temporary folder. Raises BadInputError if there are no files, or none of the sample is
    an image.
    """
    start_s, begun = time.process_time(), time.monotonic()  # a run takes as long again to import all this
    found = list_files(images_root, config.scan.follow_symlinks)
    found = found.take(np.flatnonzero(found.sound).tolist()) if found.faulty else found
    if not found:
        raise BadInputError(f"{images_root}: holds no files", next_step="check the path")
    listing_s = time.monotonic() - begun
    num_files = num_files or len(found)
    times = num_files / len(found)
    rng = np.random.default_rng(options.seed)
    few, many = _TRIAL_FILES
    sample = [found[int(i)] for i in rng.permutation(len(found))[: min(max(few, len(found) // 4), many)]]
    with options.progress.task("trial scan", len(sample)) as task:
        scan, facts, row_bytes = try_scan(sample, num_files, config, options, task)
    readable = [(fact.image_id, locate(file.path)) for file, fact in zip(sample, facts, strict=True) if not fact.fault]
    if not readable:
        raise BadInputError(
            f"{images_root}: none of {len(sample)} files tried is an image", next_step="run `cleaner scan IMAGES`"
        )
    num_images = math.ceil(num_files * len(readable) / len(sample))
    class_sizes = read_folders(found, config.scan.label_from).labels.counts()
    num_classes = max(2, len(class_sizes))
    num_small = sum(size * times < config.balance.min_count for size in class_sizes.values())
    with options.progress.task("trial embedding", len(readable) * len(each_network(config.embedding))) as task:
        network, embeddings = try_embedding(readable, config, options, task)
    heads = try_heads(embeddings, num_images, num_classes, config, rng)
    seconds = {
        "start": start_s,
        "scan": listing_s * times + scan.time_of(num_files),
        "embedding": network.each_s * BATCH_SIZE * math.ceil(num_images / BATCH_SIZE),
        "noise": network.start_s + heads.noise_s,
        "labels": network.start_s + heads.labels_s,
        "balance": network.start_s + _SMALL_CLASS_S * num_small,
    }
    shared = scan.each_s * num_files + seconds["embedding"] + heads.shared_s
    total_s = sum(seconds.values())
    memory, disk = _sizes(num_files, num_images, embeddings, row_bytes, by_steps=heads.by_steps)
    return Plan(
        num_files=num_files,
        num_bytes=round(int(found.sizes.sum()) * times),
        num_classes=num_classes,
        num_tried=len(sample),
        trial_s=time.monotonic() - begun,
        scan_rate=1 / scan.each_s,
        embedding_rate=1 / network.each_s,
        seconds=seconds,
        total_s=total_s,
        seconds_on_machines={str(num): total_s - shared * (1 - 1 / num) for num in _MACHINES},
        memory_bytes=memory,
        total_memory_bytes=sum(memory.values()),
        disk_bytes=disk,
        total_disk_bytes=sum(disk.values()),
    )


def _sizes(
    num_files: int, num_images: int, embeddings: Embeddings, row_bytes: int, *, by_steps: bool
) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of memory at the peak and of disk, by what takes them."""
    views, style = embeddings.views, [] if embeddings.style is None else [embeddings.style]
    blocks = [num_images * b.shape[1] * b.dtype.itemsize for table in (*views, *style) for b in blocks_of(table)]
    heads = num_images * len(views) * num_directions(num_images, views[0].shape[1]) * _HEAD_BYTES if by_steps else 0
    embedded, tables = sum(blocks), [*blocks, heads]
    memory = {
        "program": _peak_memory_bytes(),
        "embeddings": sum(size for size in tables if size <= BYTES_IN_MEMORY),
        "manifest": _MANIFEST_ROW_BYTES * num_files + _WRITTEN_ROW_BYTES * min(num_files, GROUP_ROWS),
    }
    disk = {
        "scan": row_bytes * num_files,
        "embeddings": embedded + 32 * num_images,
        "features": sum(size for size in tables if size > BYTES_IN_MEMORY),
        "manifests": _MANIFEST_DISK_BYTES * num_files,
    }
    return memory, disk


def _peak_memory_bytes() -> int:
    """Peak memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
