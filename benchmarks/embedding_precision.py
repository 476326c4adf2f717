"""How far the fast forms of the network stray from its plain fp32 one, what decisions that turns, and how fast each is.

    python benchmarks/embedding_precision.py DATA [--sets tiny50 grocery objects trash] [--per-class 80] [--openvino]

DATA is the folder with the packs (../shared/data). Training images of each set with 20 % symmetric wrong labels (seed
0) are embedded at 160 px by the network as timm runs it in fp32, in bf16 autocast, and as `Backbone.embed` runs it in
either precision. Heads are cross-trained on each with the same folds and draws. Turned: images whose top out-of-fold
prediction is another than with plain fp32, and images that one says are mislabelled (given label not predicted) and
the other not. `another seed` is plain fp32 with another draw of batches: what chance alone turns. F1 is that of wrong
labels, where all that the top prediction is not given is called wrong.

--openvino (with `pip install nncf`) adds OpenVINO, batch by batch, in bf16 where the chip has it, and in int8 (weights
and activations, NNCF's quantisation after training, calibrated on 300 pictures of the crawl, which is none of these
sets). `images/s` is both views through the network, form after form on each batch, threads as torch has them; style is
in none of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from label_sets import decode, flip
from scores import precision_recall_f1

from cleaner.config import EmbeddingSettings
from cleaner.modeling.backbones import Backbone, load_backbone
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.embeddings import BATCH_SIZE, Embeddings
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import PROBE_RECIPES
from cleaner.scoring.groups import assign_folds

SMALL = EmbeddingSettings(backbone="embedded-small")
PRECISIONS = ("fp32", "bf16")
SETS = ("tiny50", "grocery", "objects", "trash")
NUM_CALIBRATION = 300
Forward = Callable[[torch.Tensor], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--per-class", type=int, default=80)
    parser.add_argument("--openvino", action="store_true")
    args = parser.parse_args()
    forms = dict(our_forms())
    if args.openvino:
        crawl = pd.read_parquet(args.data / "crawl_sports.parquet")
        crawl = crawl[crawl["verdict"] == "ok"].sample(NUM_CALIBRATION, random_state=0)
        forms |= openvino_forms(pixels_of(crawl["image"].to_numpy()))
    rows = []
    for name in args.sets:
        images, targets, right = read_set(args.data, name, args.per_class)
        views, seconds = embed_all(images, forms)
        plain = views["timm fp32"]
        before, chance = predict(plain, targets, seed=0), predict(plain, targets, seed=1)
        wrong, of_set = targets != right, {"set": name, "images": len(targets)}
        rows.append(of_set | line("another seed", plain, plain, before, chance, targets, wrong))
        for form, found in views.items():
            turned = line(form, plain, found, before, predict(found, targets, seed=0), targets, wrong)
            rows.append(of_set | turned | {"images/s": len(targets) / seconds[form]})
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.4f"))


def read_set(data: Path, name: str, per_class: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Files, given and right labels (n,) of the first training images of each class."""
    pack = "tiny50" if name == "tiny50" else "realphotos"
    frame = pd.read_parquet(data / f"{pack}.parquet").rename(columns={"label": "clean"})
    mine = (frame["split"] == "train") & ((frame["set"] == name) if pack == "realphotos" else True)
    frame = frame[mine].groupby("clean").head(per_class)
    clean = frame["clean"].to_numpy(object)
    nearest = json.loads((data / f"{pack}_nearest_class.json").read_text())
    given = flip(clean, 0.2, "symmetric", nearest, np.random.default_rng(0))
    classes, right = np.unique(clean, return_inverse=True)
    return frame["image"].to_numpy(), np.searchsorted(classes, given), right


# --- forms of the network ---------------------------------------------------------------------------------------------


def our_forms() -> Iterator[tuple[str, Forward]]:
    """Each takes normalised pixels (B, 3, H, W) float32, channels last, and returns features (B, D)."""
    for precision in PRECISIONS:
        backbone = load_backbone(SMALL.replace(precision=precision), "cpu")
        yield f"timm {precision}", as_timm_runs_it(backbone)
        yield f"cleaner {precision}", as_we_run_it(backbone)


def as_timm_runs_it(backbone: Backbone) -> Forward:
    def forward(x: torch.Tensor) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=backbone.precision == "bf16"):
            return np.asarray(backbone.network(x).float())

    return forward


def as_we_run_it(backbone: Backbone) -> Forward:
    return lambda x: np.asarray(backbone._forward(x.to(backbone._dtype))[0].float())


def openvino_forms(calibration: np.ndarray) -> dict[str, Forward]:
    import nncf
    import openvino

    backbone = load_backbone(SMALL, "cpu")
    example = normalised(calibration[:1])
    model = openvino.convert_model(backbone.network, example_input=example, input=[-1, *example.shape[1:]])
    batches = [normalised(calibration[i : i + 1]).contiguous().numpy() for i in range(len(calibration))]
    quantised = nncf.quantize(model, nncf.Dataset(batches), subset_size=len(batches))
    core, options = openvino.Core(), {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    precision = {"INFERENCE_PRECISION_HINT": "bf16" if backbone.precision == "bf16" else "f32"}

    def form(model: openvino.Model) -> Forward:
        compiled = core.compile_model(model, "CPU", options | precision)
        return lambda x: next(iter(compiled([x.contiguous().numpy()]).values())).copy()

    return {f"openvino {backbone.precision}": form(model), "openvino int8": form(quantised)}


# --- what they see ----------------------------------------------------------------------------------------------------


def pixels_of(images: np.ndarray) -> np.ndarray:
    size = load_backbone(SMALL, "cpu").image_size
    return np.stack([decode(content, size) for content in images])


def normalised(pixels: np.ndarray) -> torch.Tensor:
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128


@torch.inference_mode()
def embed_all(images: np.ndarray, forms: dict[str, Forward]) -> tuple[dict[str, Embeddings], dict[str, float]]:
    """Both views of every image by each form, and the seconds that each took."""
    parts: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in forms}
    seconds = dict.fromkeys(forms, 0.0)
    for start in range(0, len(images), BATCH_SIZE):
        x = normalised(pixels_of(images[start : start + BATCH_SIZE]))
        both = [view.contiguous(memory_format=torch.channels_last) for view in (x, x.flip(3))]
        for name, forward in forms.items():
            if not start:
                forward(both[0])  # what is made once is not counted
            started = time.perf_counter()
            parts[name].append(tuple(forward(view).astype(np.float16) for view in both))
            seconds[name] += time.perf_counter() - started
    return {name: Embeddings(*(np.concatenate(v) for v in zip(*p, strict=True))) for name, p in parts.items()}, seconds


def predict(embeddings: Embeddings, targets: np.ndarray, seed: int) -> np.ndarray:
    """Top out-of-fold predictions (n,)."""
    rows, num_classes = np.arange(len(targets)), int(targets.max()) + 1
    fold = assign_folds(rows, targets, 5, np.random.default_rng(0))
    images = FoldedRows(rows, targets, fold, np.ones(len(rows), np.float32))
    predictions, _ = cross_train(ProbeLearner(embeddings, num_classes), images, PROBE_RECIPES[0], seed=seed)
    return predictions.predicted


def line(
    form: str,
    plain: Embeddings,
    found: Embeddings,
    before: np.ndarray,
    after: np.ndarray,
    targets: np.ndarray,
    wrong: np.ndarray,
) -> dict[str, object]:
    a, b = plain.plain.astype(np.float32), found.plain.astype(np.float32)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return {
        "form": form,
        "lowest cosine": cosine.min(),
        "mean cosine": cosine.mean(),
        "predictions turned": float((before != after).mean()),
        "verdicts turned": float(((before != targets) != (after != targets)).mean()),
        "F1": precision_recall_f1(after != targets, wrong)[2],
    }


if __name__ == "__main__":
    main()
