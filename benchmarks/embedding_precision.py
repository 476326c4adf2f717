"""How far the fast forms of the network stray from its plain fp32 one, and how many label decisions that turns.

    python benchmarks/embedding_precision.py DATA [--per-class 80]

DATA is the folder with the packs (../shared/data). Training images of tiny50 with 20 % symmetric wrong labels (seed 0)
are embedded at 160 px by the network as timm runs it in fp32, in bf16 autocast, and as `Backbone.embed` runs it in
either precision. Heads are cross-trained on each with the same folds and draws. Turned: images whose top out-of-fold
prediction is another than with plain fp32, and images that one says are mislabelled (given label not predicted) and
the other not. `another seed` is plain fp32 with another draw of batches: what chance alone turns.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from label_sets import decode, flip

from cleaner.config import EmbeddingSettings
from cleaner.modeling.backbones import load_backbone
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.embeddings import BATCH_SIZE, Embeddings
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.scoring.groups import assign_folds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--per-class", type=int, default=80)
    args = parser.parse_args()
    frame = pd.read_parquet(args.data / "tiny50.parquet")
    frame = frame[frame["split"] == "train"].groupby("clean").head(args.per_class)
    given = flip(frame["clean"].to_numpy(object), 0.2, "symmetric", args.data, np.random.default_rng(0))
    targets = np.unique(given, return_inverse=True)[1]
    views = embed_all(frame["image"].to_numpy())
    plain, chance = views["timm fp32"], predict(views["timm fp32"], targets, seed=1)
    before = predict(plain, targets, seed=0)
    rows = [line("another seed", plain, plain, before, chance, targets)]
    for name, found in views.items():
        rows.append(line(name, plain, found, before, predict(found, targets, seed=0), targets))
    print(f"{len(targets):,} images")
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.5f"))


def embed_all(images: np.ndarray) -> dict[str, Embeddings]:
    """Both views of every image by each form of the network."""
    backbones = {precision: load_backbone(SMALL.replace(precision=precision), "cpu") for precision in PRECISIONS}
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for start in range(0, len(images), BATCH_SIZE):
        pixels = np.stack([decode(content) for content in images[start : start + BATCH_SIZE]])
        for precision, backbone in backbones.items():
            both = [as_timm_runs_it(backbone.network, p, precision) for p in (pixels, pixels[:, :, ::-1].copy())]
            parts.setdefault(f"timm {precision}", []).append((both[0], both[1]))
            ours = backbone.embed(pixels)
            parts.setdefault(f"cleaner {precision}", []).append((ours["plain"], ours["mirrored"]))
    return {name: Embeddings(*(np.concatenate(v) for v in zip(*p, strict=True))) for name, p in parts.items()}


SMALL = EmbeddingSettings(backbone="embedded-small")
PRECISIONS = ("fp32", "bf16")


@torch.inference_mode()
def as_timm_runs_it(network: torch.nn.Module, pixels: np.ndarray, precision: str) -> np.ndarray:
    """(B, D) float16."""
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        features: np.ndarray = network(x).float().numpy().astype(np.float16)
    return features


def predict(embeddings: Embeddings, targets: np.ndarray, seed: int) -> np.ndarray:
    """Top out-of-fold predictions (n,)."""
    rows, num_classes = np.arange(len(targets)), int(targets.max()) + 1
    fold = assign_folds(rows, targets, 5, np.random.default_rng(0))
    images = FoldedRows(rows, targets, fold, np.ones(len(rows), np.float32))
    predictions, _ = cross_train(ProbeLearner(embeddings, num_classes), images, PROBE_RECIPES[0], seed=seed)
    return predictions.predicted


def line(
    name: str, plain: Embeddings, found: Embeddings, before: np.ndarray, after: np.ndarray, targets: np.ndarray
) -> dict[str, object]:
    a, b = plain.plain.astype(np.float32), found.plain.astype(np.float32)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return {
        "form": name,
        "lowest cosine": cosine.min(),
        "mean cosine": cosine.mean(),
        "predictions turned": int((before != after).sum()),
        "share": float((before != after).mean()),
        "verdicts turned": int(((before != targets) != (after != targets)).sum()),
    }


if __name__ == "__main__":
    main()
