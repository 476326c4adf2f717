"""The two sides of each comparison of speed.py: functions that prepare one and return what is then timed.

Each takes its source and options of its own; what it returns runs it once and says how many things it did, `num`,
beside what else is worth showing.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scores import precision_recall_f1

BATCH = 64
NUM_BATCHES = 4
PROCESSES = 2
NUM_LABELLED, NUM_DIMS, NUM_CLASSES = 50_000, 1280, 10
Run = Callable[[], dict[str, float]]


# --- embedding --------------------------------------------------------------------------------------------------------


def our_embedding(images: str, sight: str) -> Run:
    """Files to cache, with style, as the noise stage does it."""
    from cleaner.dataset.store import sha256_file
    from cleaner.modeling.embeddings import compute_embeddings
    from cleaner.progress import Silent

    paths = photos(images)
    ids = [sha256_file(p) for p in paths]
    backbones = load(sight)

    def run(num: int = len(paths)) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as cache:
            for backbone in backbones:
                compute_embeddings(
                    ids[:num],
                    paths[:num],
                    backbone,
                    Path(cache),
                    workers=PROCESSES,
                    progress=Silent(),
                    with_style=True,
                )
        return {"num": num}

    run(BATCH)
    return run


def timm_loop(images: str, sight: str, *, workers: int) -> Run:
    """The same networks, sizes and views by a plain loop in fp32."""
    import timm
    import torch
    from torch.utils.data import DataLoader, Dataset

    paths = photos(images)
    with no_mallopt():
        backbones = load(sight, precision="fp32")
    networks = [b.network.to(memory_format=torch.contiguous_format) for b in backbones]

    class Photos(Dataset):  # type: ignore[type-arg]
        def __init__(self, num: int, size: int) -> None:
            self.num = num
            self.transform = timm.data.create_transform(
                input_size=(3, size, size), mean=(127 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bicubic"
            )

        def __len__(self) -> int:
            return self.num

        def __getitem__(self, number: int) -> Any:
            return self.transform(Image.open(paths[number]).convert("RGB"))

    def run(num: int = len(paths)) -> dict[str, float]:
        with torch.inference_mode(), tempfile.TemporaryDirectory() as cache:
            for backbone, network in zip(backbones, networks, strict=True):
                found = []
                for x in DataLoader(Photos(num, backbone.image_size), BATCH, num_workers=workers):
                    found += [network(v) for v in (x, x.flip(3))[: backbone.settings.views]]
                np.save(Path(cache) / "embeddings.npy", torch.cat(found).numpy())
        return {"num": num}

    run(BATCH)
    return run


def our_network(images: str, sight: str) -> Run:
    """Batches through the networks alone, no file and no style."""
    import torch

    backbones = load(sight)
    inputs = [torch.from_numpy(one_batch(b)).contiguous(memory_format=torch.channels_last) for b in backbones]

    def run() -> dict[str, float]:
        with torch.inference_mode():
            for _ in range(NUM_BATCHES):
                for backbone, x in zip(backbones, inputs, strict=True):
                    for _ in range(backbone.settings.views):
                        backbone._forward(x)
        return {"num": NUM_BATCHES * BATCH}

    run()
    return run


def openvino_network(images: str, sight: str, *, hint: str, batch: int) -> Run:
    """The same by OpenVINO, in bf16 where the chip has it."""
    import openvino
    import torch

    with no_mallopt():
        backbones = load(sight)
    queues, inputs = [], [one_batch(b)[:batch] for b in backbones]
    for backbone, x in zip(backbones, inputs, strict=True):
        converted = openvino.convert_model(backbone.network, example_input=torch.from_numpy(x), input=[list(x.shape)])
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if backbone.precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": hint,
        }
        queues.append(openvino.AsyncInferQueue(openvino.Core().compile_model(converted, "CPU", options)))

    def run() -> dict[str, float]:
        num_batches = NUM_BATCHES * BATCH // batch
        for backbone, queue, x in zip(backbones, queues, inputs, strict=True):
            for _ in range(num_batches * backbone.settings.views):
                queue.start_async([x])
            queue.wait_all()
        return {"num": num_batches * batch}

    run()
    return run


def load(sight: str, **settings: Any) -> Any:
    """The backbones that `--backbone sight` names, with the product's own sizes and views."""
    from cleaner.config import EmbeddingSettings
    from cleaner.modeling.backbones import load_backbones

    return load_backbones(EmbeddingSettings(backbone=sight, **settings), "cpu")


def one_batch(backbone: Any) -> np.ndarray:
    """(64, 3, size, size) float32 noise."""
    size = backbone.image_size
    return np.random.default_rng(0).normal(size=(BATCH, 3, size, size)).astype(np.float32)


def photos(images: str) -> list[Path]:
    return sorted(Path(images).rglob("*.jpg"))


@contextmanager
def no_mallopt() -> Iterator[None]:
    """The peer shall not profit from our keeping freed memory."""
    from cleaner.modeling import backbones

    ours, backbones.keep_freed_memory = backbones.keep_freed_memory, lambda num_bytes: None
    try:
        yield
    finally:
        backbones.keep_freed_memory = ours


# --- scan -------------------------------------------------------------------------------------------------------------


def our_scan(images: str, *, workers: int) -> Run:
    """The stage with all its checks, from a folder to a manifest."""
    from cleaner.config import RunOptions, ScanSettings
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.scan import run_scan

    num = len(photos(images))

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            run_scan(Workspace(Path(folder)), Path(images), ScanSettings(), RunOptions(workers=workers))
        return {"num": num}

    run()
    return run


def cleanvision_scan(images: str, *, workers: int) -> Run:
    """`find_issues`, all of them."""
    from cleanvision import Imagelab

    def run() -> dict[str, float]:
        with redirect_stdout(io.StringIO()):
            lab = Imagelab(data_path=images)
            lab.find_issues(n_jobs=workers, verbose=False)
        return {"num": len(lab.issues)}

    run()
    return run


def imagededup_hash(images: str, *, workers: int) -> Run:
    """Perceptual hashes, and the search among them."""
    from imagededup.methods import PHash

    def run() -> dict[str, float]:
        hasher = PHash(verbose=False)
        hashes = hasher.encode_images(images, recursive=True, num_enc_workers=workers)
        hasher.find_duplicates(encoding_map=hashes, num_dist_workers=workers)
        return {"num": len(hashes)}

    run()
    return run


# --- labels -----------------------------------------------------------------------------------------------------------


def our_labels(rows: str) -> Run:
    """Rule auto and the recipe's fine pass with all their rounds, from embeddings."""
    import torch

    from cleaner.config import LabelsSettings
    from cleaner.dataset.store import ArrayStore
    from cleaner.freed_memory import keep_freed_memory
    from cleaner.modeling.backbones import KEPT_BYTES, resolve_precision
    from cleaner.modeling.embeddings import Embeddings
    from cleaner.modeling.probe import ProbeLearner
    from cleaner.progress import Silent
    from cleaner.scoring.groups import assign_folds
    from cleaner.stages.labels.fits import LabelSet, StoredFits
    from cleaner.stages.labels.issue_estimate import estimate_issues
    from cleaner.stages.labels.passes import run_pass

    keep_freed_memory(KEPT_BYTES)  # as load_backbone does in the stage
    precision = resolve_precision("auto", torch.device("cpu"))
    plain, mirrored, given, right = read_labelled(rows)
    everyone = np.arange(len(given))
    fold = assign_folds(everyone, given, 5, np.random.default_rng(0))
    learns, undecided = np.ones(len(given), bool), np.full(len(given), -1)
    labels = LabelSet(given, fold, everyone, learns, undecided, NUM_CLASSES, "speed")

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            learner = ProbeLearner(Embeddings(plain, mirrored), NUM_CLASSES, precision)
            fits = StoredFits(labels, learner, 0, ArrayStore(Path(folder)), Silent())
            fine = run_pass(fits, everyone, top_k=1, max_rounds=LabelsSettings().max_rounds)
            zero, _ = fits.cross_train_as_given(everyone, "rule")
            estimate = estimate_issues(fits, zero)
        return {
            "num": len(given),
            "f1": precision_recall_f1(estimate.flagged, given != right)[2],
            "f1_of_recipe": precision_recall_f1(~fine.positive, given != right)[2],
            "rounds": len(fine.rounds) + len(estimate.rounds) - 1,
        }

    return run


def sklearn_and_cleanlab(rows: str, *, jobs: int, standardise: bool) -> Run:
    """One cross-training and cleanlab's default filter."""
    from cleanlab.filter import find_label_issues
    from joblib import parallel_config
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    plain, _, given, right = read_labelled(rows)

    def run() -> dict[str, float]:
        head = make_pipeline(*([StandardScaler()] if standardise else []), LogisticRegression())
        x = plain.astype(np.float32)
        with parallel_config("threading"):  # its processes hang here; arithmetic lets go of the interpreter lock
            probs = cross_val_predict(head, x, given, cv=5, method="predict_proba", n_jobs=jobs)
        found = find_label_issues(given, probs, n_jobs=1)  # forks of a process that has threads may hang
        return {"num": len(given), "f1": precision_recall_f1(found, given != right)[2]}

    return run


def read_labelled(rows: str) -> tuple[np.ndarray, ...]:
    """Both views (N, D) float16, given and right classes."""
    arrays = np.load(rows)
    return tuple(arrays[name] for name in ("plain", "mirrored", "given", "right"))


def write_labelled(data: Path, embeddings: Path, num: int, folder: Path) -> Path:
    """The labelled rows as a file: CIFAR-10N random1, or synthetic features where nobody embedded it."""
    path = folder / f"{'cifar10n-random1' if embeddings.exists() else 'synthetic'}-{num}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        columns = cifar10n(data, embeddings) if embeddings.exists() else synthetic()
        some = np.random.default_rng(0).permutation(len(columns[0]))[:num]
        np.savez(path, **{n: c[some] for n, c in zip(("plain", "mirrored", "given", "right"), columns, strict=True)})
    return path


def cifar10n(data: Path, embeddings: Path) -> tuple[np.ndarray, ...]:
    frame = pd.read_parquet(data / "cifar10n.parquet", columns=["split", "random1", "clean"])
    train = (frame["split"] == "train").to_numpy()
    arrays = np.load(embeddings)
    classes, right = np.unique(frame.loc[train, "clean"].to_numpy(object), return_inverse=True)
    given = np.searchsorted(classes, frame.loc[train, "random1"].to_numpy(object))
    return arrays["plain"][train], arrays["mirrored"][train], given, right


def synthetic() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    right = rng.integers(0, NUM_CLASSES, NUM_LABELLED)
    given = np.where(rng.random(NUM_LABELLED) < 0.2, rng.integers(0, NUM_CLASSES, NUM_LABELLED), right)
    centres = 0.12 * rng.normal(size=(NUM_CLASSES, NUM_DIMS)).astype(np.float32)
    base = centres[right] + rng.normal(size=(NUM_LABELLED, NUM_DIMS), scale=1.0).astype(np.float32)
    views = [np.maximum(base + 0.5 * rng.normal(size=base.shape).astype(np.float32), 0) for _ in range(2)]
    return views[0].astype(np.float16), views[1].astype(np.float16), given, right
