"""Sets with wrong labels for benchmarks: embedded once, labels flipped as lay_out.py does."""

from __future__ import annotations

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cleaner.modeling.backbones import Backbone
from cleaner.modeling.embeddings import BATCH_SIZE, VIEWS, Embeddings

KINDS = {"sym": "symmetric", "sim": "similar", "pair": "pair"}
BACKBONES: list[Backbone] = []
"""What the images are seen with; the benchmark that runs fills it."""


def load(
    data: Path, name: str, seed: int, work: Path, num: int | None = None
) -> tuple[Embeddings, np.ndarray, np.ndarray, np.ndarray, Embeddings, np.ndarray]:
    """Training embeddings, given and clean labels, which are `tune`; test embeddings and labels.

    With `num`, as many training images of tiny50 or cifar10n, the first of each class, and no test images.
    """
    subset, _, body = name.rpartition("-")
    pack = "cifar10n" if name in ("aggre", "random1") else "realphotos" if subset else "tiny50"
    frame = pd.read_parquet(data / f"{pack}.parquet").rename(columns={"label": "clean"})
    if num and not subset:
        frame = frame[frame["split"] == "train"]
        frame = frame.groupby("clean", sort=False).head(num // frame["clean"].nunique()).sort_index()
    views = embed(f"{pack}-{num}" if num and not subset else pack, frame, work)
    if subset:
        mine = (frame["set"] == subset).to_numpy()
        views, frame = [view[mine] for view in views], frame[mine]
    train = (frame["split"] == "train").to_numpy()
    test = Embeddings.of_views([view[~train] for view in views])
    test_clean = frame.loc[~train, "clean"].to_numpy(object)
    views = [view[train] for view in views]
    frame = frame[train].drop(columns="image").reset_index(drop=True)
    clean = frame["clean"].to_numpy(object)
    if pack == "cifar10n":
        is_tune = (frame["file_name"].str[6:11].astype(int) < 25_000).to_numpy()
        return Embeddings.of_views(views), frame[name].to_numpy(object), clean, is_tune, test, test_clean
    rng = np.random.default_rng(seed)
    is_tune = np.isin(clean, sorted(set(clean))[::2])
    if body.endswith("t"):
        keep = long_tail(frame, 20.0, rng)
        views, clean, is_tune = [view[keep] for view in views], clean[keep], is_tune[keep]
    body = body.removesuffix("t")
    kind = body.rstrip("0123456789")
    kind, rate = ("sym", 0.0) if body == "clean" else (kind, int(body.removeprefix(kind)) / 100)
    nearest = json.loads((data / f"{pack}_nearest_class.json").read_text())
    given = flip(clean, rate, KINDS[kind], nearest[subset] if subset else nearest, rng)
    return Embeddings.of_views(views), given, clean, is_tune, test, test_clean


def long_tail(frame: pd.DataFrame, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Rows that remain of each class, as in lay_out.py."""
    names = list(rng.permutation(frame["clean"].unique()))
    share = {c: ratio ** (-i / (len(names) - 1)) for i, c in enumerate(names)}
    parts = [g.index[: max(1, round(len(g) * share[c]))] for c, g in frame.groupby("clean")]
    return np.concatenate([p.to_numpy() for p in parts])


def flip(clean: np.ndarray, rate: float, kind: str, nearest: dict[str, str], rng: np.random.Generator) -> np.ndarray:
    """Wrong labels, as in lay_out.py."""
    classes = list(np.unique(clean))
    given = clean.copy()
    for i in np.flatnonzero(rng.random(len(clean)) < rate):
        if kind == "similar":
            given[i] = nearest[clean[i]]
        else:
            step = 1 if kind == "pair" else int(rng.integers(1, len(classes)))
            given[i] = classes[(classes.index(clean[i]) + step) % len(classes)]
    return given


def embed(pack: str, frame: pd.DataFrame, work: Path) -> list[np.ndarray]:
    """One view or two of every image of a pack, (N, D) float16, as the backbones see it; kept in `work`."""
    each = [_embed_with(backbone, pack, frame, work) for backbone in BACKBONES]
    return [np.concatenate(columns, axis=1) for columns in zip(*each, strict=True)]


def _embed_with(backbone: Backbone, pack: str, frame: pd.DataFrame, work: Path) -> list[np.ndarray]:
    path = work / f"{pack}-{backbone.name}-{backbone.image_size}-{backbone.settings.views}.npz"
    names = VIEWS[: backbone.settings.views]
    if not path.exists():
        images = frame["image"].to_numpy()
        found = []
        with ThreadPoolExecutor(2) as pool:
            for start in range(0, len(images), BATCH_SIZE):
                batch = images[start : start + BATCH_SIZE]
                found.append(backbone.embed(np.stack(list(pool.map(partial(decode, size=backbone.image_size), batch)))))
                if start % (100 * BATCH_SIZE) == 0:
                    print(f"embedding {pack}: {start:,} of {len(images):,}", file=sys.stderr)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{name: np.concatenate([f[name] for f in found]) for name in names})
    arrays = np.load(path)
    return [arrays[name] for name in names]


def decode(data: bytes, size: int) -> np.ndarray:
    """Pixels (size, size, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
