"""Speed against peers: one table of ratios.

    OMP_NUM_THREADS=2 python benchmarks/speed.py DATA [--only embed1 embed2 embed network scan duplicates labels]
        [--images DIR] [--photos 600] [--repeats 5] [--work DIR]

DATA is the folder with the packs (../shared/data). Each side of a comparison has a process of its own, set up and
warmed before anything is timed; then they take turns, `--repeats` times, and medians are compared. `cpu` is the ratio
of core seconds, which other work on the machine disturbs less. Unless `--images` names a folder with class folders,
the photos are pictures of tiny50 enlarged to 533 x 400 as JPEG of quality 90: their files are smaller than real ones.

  embed1      files to cache at 224 px, one view of each image (`--views 1`), against a plain timm loop in fp32
  embed2      the same, the product's default: two views of each image, on both sides
  embed       two views on our side, one on theirs
  network     one batch of 64 through the network at 224 px against OpenVINO in bf16 (fp32 where the chip has no bf16)
  scan        the stage with all its checks against cleanvision's find_issues, with as many processes as serve it best
  duplicates  the same stage against imagededup's perceptual hash and search alone
  labels      cached embeddings: rule auto and the recipe's fine pass, all their rounds, 5 folds, against sklearn's
              cross_val_predict(LogisticRegression) and cleanlab's find_label_issues, three runs; F1 of wrong labels too
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scores import precision_recall_f1

SIZE_PX = 224
BATCH = 64
NUM_LABELLED, NUM_DIMS, NUM_CLASSES = 50_000, 1280, 10
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
Side = Callable[[], dict[str, float]]
"""One timed run; what it returns is shown beside the times."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--images", type=Path)
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-speed"))
    parser.add_argument("--embeddings", type=Path, default=Path("/tmp/cleaner-label-decisions/cifar10n.npz"))
    args = parser.parse_args()
    images = args.images or make_photos(args.data, args.photos, args.work / f"photos-{args.photos}")
    rows = []
    for name in args.only:
        ours, theirs, repeats = PARTS[name]
        source = (str(args.data), str(args.embeddings)) if name == "labels" else (str(images),)
        rows.append({"part": name} | compare(ours, theirs, source, repeats or args.repeats))
        print(pd.DataFrame(rows).to_string(index=False, float_format="%.3g", na_rep=""), flush=True)


def make_photos(data: Path, num: int, folder: Path) -> Path:
    """Pictures of tiny50 at 533 x 400, in folders by class."""
    if (folder / "done").exists():
        return folder / "images"
    frame = pd.read_parquet(data / "tiny50.parquet").sample(num, random_state=0)
    for i, (content, label) in enumerate(zip(frame["image"], frame["clean"], strict=True)):
        path = folder / "images" / label / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        big = Image.open(io.BytesIO(content)).convert("RGB").resize((533, 400), Image.Resampling.BICUBIC)
        big.save(path, quality=90)
    (folder / "done").touch()
    return folder / "images"


def compare(ours: str, theirs: str, source: tuple[str, ...], repeats: int) -> dict[str, object]:
    """Medians of runs that take turns."""
    with worker(ours, source) as run_ours, worker(theirs, source) as run_theirs:
        pairs = [(run_ours(), run_theirs()) for _ in range(repeats)]
    sides = [pd.DataFrame(list(side)) for side in zip(*pairs, strict=True)]
    mine, other = (side.median() for side in sides)
    ratios = sides[1]["seconds"] / sides[0]["seconds"]
    row = {
        "ours_s": mine["seconds"],
        "theirs_s": other["seconds"],
        "ratio": float(ratios.median()),
        "lowest": ratios.min(),
        "highest": ratios.max(),
        "cpu": other["core_seconds"] / mine["core_seconds"],
        "runs": repeats,
    }
    for name in mine.index.difference(["seconds", "core_seconds"]):
        row |= {name: mine[name], f"theirs_{name}": other[name]}
    return row


@contextmanager
def worker(name: str, source: tuple[str, ...]) -> Iterator[Side]:
    """A process that has prepared a side; calling what comes out runs it once, times included."""
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=serve, args=(far, name, source))
    process.start()
    far.close()
    near.recv()

    def run() -> dict[str, float]:
        near.send("run")
        return near.recv()  # type: ignore[no-any-return]

    try:
        yield run
    finally:
        near.send("stop")
        process.join()


def serve(connection: Connection, name: str, source: tuple[str, ...]) -> None:
    """The worker's loop."""
    warnings.simplefilter("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    multiprocessing.set_start_method("fork", force=True)  # Linux' own, for the pools of peers; spawning costs seconds

    torch.set_num_threads(THREADS)
    side: Side = SIDES[name](*source)
    connection.send("ready")
    while connection.recv() == "run":
        before, cores = time.monotonic(), core_seconds()
        notes = side()
        took = {"seconds": time.monotonic() - before, "core_seconds": core_seconds() - cores}
        connection.send(took | notes)


def core_seconds() -> float:
    """Seconds of all cores in this process, its living descendants, and what these have waited for (Linux)."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            fields = stat.read_text().rpartition(")")[2].split()
            process = int(stat.parent.name)
            parents[process], ticks[process] = int(fields[1]), sum(map(int, fields[11:15]))
    total, family = 0, [os.getpid()]
    while family:
        member = family.pop()
        total += ticks.get(member, 0)
        family += [process for process, parent in parents.items() if parent == member]
    return total / os.sysconf("SC_CLK_TCK")


def our_embedding(images: str, views: Literal[1, 2] = 2) -> Side:
    from cleaner.config import EmbeddingSettings
    from cleaner.dataset.store import sha256_file
    from cleaner.modeling.backbones import load_backbone
    from cleaner.modeling.embeddings import compute_embeddings
    from cleaner.progress import Silent

    paths = sorted(Path(images).rglob("*.jpg"))
    ids = [sha256_file(p) for p in paths]
    backbone = load_backbone(EmbeddingSettings(backbone="embedded-small", image_size=SIZE_PX, views=views), "cpu")

    def run(num: int = len(paths)) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as cache:
            before = time.monotonic()
            compute_embeddings(ids[:num], paths[:num], backbone, Path(cache), workers=THREADS, progress=Silent())
            return {"per_second": num / (time.monotonic() - before)}

    run(BATCH)
    return run


def timm_loop(images: str, views: int = 1) -> Side:
    import timm
    from torch.utils.data import DataLoader, Dataset

    from cleaner.config import EmbeddingSettings
    from cleaner.modeling.backbones import load_backbone

    paths = sorted(Path(images).rglob("*.jpg"))
    transform = timm.data.create_transform(
        input_size=(3, SIZE_PX, SIZE_PX), mean=(127 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bicubic"
    )
    with no_mallopt():
        network = load_backbone(EmbeddingSettings(backbone="embedded-small", precision="fp32"), "cpu").network
    network = network.to(memory_format=torch.contiguous_format)

    class Photos(Dataset):  # type: ignore[type-arg]
        def __init__(self, num: int) -> None:
            self.num = num

        def __len__(self) -> int:
            return self.num

        def __getitem__(self, number: int) -> Any:
            return transform(Image.open(paths[number]).convert("RGB"))

    def run(num: int = len(paths)) -> dict[str, float]:
        before = time.monotonic()
        found = []
        with torch.inference_mode(), tempfile.TemporaryDirectory() as cache:
            for x in DataLoader(Photos(num), BATCH, num_workers=THREADS):
                found += [network(v) for v in (x, x.flip(3))[:views]]
            np.save(Path(cache) / "embeddings.npy", torch.cat(found).numpy())
        return {"per_second": num / (time.monotonic() - before)}

    run(BATCH)
    return run


@contextmanager
def no_mallopt() -> Iterator[None]:
    """The peer shall not profit from our keeping freed memory."""
    from cleaner.modeling import backbones

    ours, backbones.keep_freed_memory = backbones.keep_freed_memory, lambda num_bytes: None
    try:
        yield
    finally:
        backbones.keep_freed_memory = ours


def our_network(images: str) -> Side:
    from cleaner.config import EmbeddingSettings
    from cleaner.modeling.backbones import load_backbone

    backbone = load_backbone(EmbeddingSettings(backbone="embedded-small", image_size=SIZE_PX), "cpu")
    x = torch.from_numpy(one_batch()).contiguous(memory_format=torch.channels_last)

    def run() -> dict[str, float]:
        before = time.monotonic()
        with torch.inference_mode():
            for _ in range(4):
                backbone._forward(x)
        return {"per_second": 4 * BATCH / (time.monotonic() - before)}

    run()
    return run


def openvino_network(images: str) -> Side:
    import openvino

    from cleaner.config import EmbeddingSettings
    from cleaner.modeling.backbones import load_backbone

    with no_mallopt():
        backbone = load_backbone(EmbeddingSettings(backbone="embedded-small", image_size=SIZE_PX), "cpu")
    x = one_batch()
    converted = openvino.convert_model(backbone.network, example_input=torch.from_numpy(x), input=[list(x.shape)])
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if backbone.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": THREADS,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(converted, "CPU", options).create_infer_request()

    def run() -> dict[str, float]:
        before = time.monotonic()
        for _ in range(4):
            request.infer([x])
        return {"per_second": 4 * BATCH / (time.monotonic() - before)}

    run()
    return run


def one_batch() -> np.ndarray:
    """(64, 3, 224, 224) float32 noise."""
    return np.random.default_rng(0).normal(size=(BATCH, 3, SIZE_PX, SIZE_PX)).astype(np.float32)


def our_scan(images: str) -> Side:
    from cleaner.config import RunOptions, ScanSettings
    from cleaner.dataset.workspace import Workspace
    from cleaner.stages.scan import run_scan

    num = sum(1 for p in Path(images).rglob("*") if p.is_file())

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            before = time.monotonic()
            run_scan(Workspace(Path(folder)), Path(images), ScanSettings(), RunOptions(workers=THREADS))
            return {"per_second": num / (time.monotonic() - before), "processes": THREADS}

    run()
    return run


def cleanvision_scan(images: str) -> Side:
    from cleanvision import Imagelab

    def look(num_jobs: int, **source: Any) -> float:
        before = time.monotonic()
        with redirect_stdout(io.StringIO()):
            lab = Imagelab(**source)
            lab.find_issues(n_jobs=num_jobs, verbose=False)
        return len(lab.issues) / (time.monotonic() - before)

    # at its best: few files a process tell which number of them that is
    some = [str(p) for p in sorted(Path(images).rglob("*.jpg"))[:200]]
    rates = {num: max(look(num, filepaths=some) for _ in range(2)) for num in sorted({1, THREADS, 2 * THREADS})}
    jobs = max(rates, key=lambda num: rates[num])

    def run() -> dict[str, float]:
        return {"per_second": look(jobs, data_path=images), "processes": jobs}

    run()
    return run


def imagededup_hash(images: str) -> Side:
    from imagededup.methods import PHash

    def run() -> dict[str, float]:
        before = time.monotonic()
        hasher = PHash(verbose=False)
        hashes = hasher.encode_images(images, recursive=True, num_enc_workers=THREADS)
        hasher.find_duplicates(encoding_map=hashes, num_dist_workers=THREADS)
        return {"per_second": len(hashes) / (time.monotonic() - before), "processes": THREADS}

    run()
    return run


def our_labels(data: str, embeddings: str) -> Side:
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
    plain, mirrored, given, right = labelled(Path(data), Path(embeddings))
    rows = np.arange(len(given))
    fold = assign_folds(rows, given, 5, np.random.default_rng(0))
    everyone = np.ones(len(rows), bool)
    labels = LabelSet(given, fold, rows, everyone, np.full(len(rows), -1), NUM_CLASSES, "speed")

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            learner = ProbeLearner(Embeddings(plain, mirrored), NUM_CLASSES, precision)
            fits = StoredFits(labels, learner, 0, ArrayStore(Path(folder)), Silent())
            fine = run_pass(fits, rows, top_k=1, max_rounds=LabelsSettings().max_rounds)
            zero, _ = fits.cross_train_as_given(rows, "rule")
            estimate = estimate_issues(fits, zero)
        return {
            "f1": precision_recall_f1(estimate.flagged, given != right)[2],
            "recipe_f1": precision_recall_f1(~fine.positive, given != right)[2],
            "rounds": len(fine.rounds) + len(estimate.rounds) - 1,
        }

    return run


def sklearn_and_cleanlab(data: str, embeddings: str) -> Side:
    from cleanlab.filter import find_label_issues
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    plain, _, given, right = labelled(Path(data), Path(embeddings))

    def run() -> dict[str, float]:
        head = make_pipeline(StandardScaler(), LogisticRegression())
        probs = cross_val_predict(head, plain.astype(np.float32), given, cv=5, method="predict_proba")
        found = find_label_issues(given, probs, n_jobs=THREADS)
        return {"f1": precision_recall_f1(found, given != right)[2], "recipe_f1": float("nan"), "rounds": 1}

    return run


def labelled(data: Path, embeddings: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Both views (N, D) float16, given and right classes: CIFAR-10N random1, or synthetic where nobody embedded it."""
    if embeddings.exists():
        frame = pd.read_parquet(data / "cifar10n.parquet", columns=["split", "random1", "clean"])
        train = (frame["split"] == "train").to_numpy()
        arrays = np.load(embeddings)
        classes, right = np.unique(frame.loc[train, "clean"].to_numpy(object), return_inverse=True)
        given = np.searchsorted(classes, frame.loc[train, "random1"].to_numpy(object))
        return arrays["plain"][train], arrays["mirrored"][train], given, right
    rng = np.random.default_rng(0)
    right = rng.integers(0, NUM_CLASSES, NUM_LABELLED)
    given = np.where(rng.random(NUM_LABELLED) < 0.2, rng.integers(0, NUM_CLASSES, NUM_LABELLED), right)
    centres = 0.12 * rng.normal(size=(NUM_CLASSES, NUM_DIMS)).astype(np.float32)
    base = centres[right] + rng.normal(size=(NUM_LABELLED, NUM_DIMS), scale=1.0).astype(np.float32)
    views = [np.maximum(base + 0.5 * rng.normal(size=base.shape).astype(np.float32), 0) for _ in range(2)]
    return views[0].astype(np.float16), views[1].astype(np.float16), given, right


def our_embedding_of_one_view(images: str) -> Side:
    return our_embedding(images, views=1)


def timm_loop_of_two_views(images: str) -> Side:
    return timm_loop(images, views=2)


SIDES: dict[str, Callable[..., Side]] = {
    f.__name__: f
    for f in (
        our_embedding,
        our_embedding_of_one_view,
        timm_loop,
        timm_loop_of_two_views,
        our_network,
        openvino_network,
        our_scan,
        cleanvision_scan,
        imagededup_hash,
        our_labels,
        sklearn_and_cleanlab,
    )
}
PARTS = {
    "embed1": ("our_embedding_of_one_view", "timm_loop", 0),
    "embed2": ("our_embedding", "timm_loop_of_two_views", 0),
    "embed": ("our_embedding", "timm_loop", 0),
    "network": ("our_network", "openvino_network", 0),
    "scan": ("our_scan", "cleanvision_scan", 0),
    "duplicates": ("our_scan", "imagededup_hash", 0),
    "labels": ("our_labels", "sklearn_and_cleanlab", 3),
}
"""Ours, theirs, and how often they run where that is not for the caller to say."""

if __name__ == "__main__":
    main()
