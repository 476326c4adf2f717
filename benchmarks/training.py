"""What each piece of training (recipe.md section 4) adds or costs: one table.

    python benchmarks/training.py DATA [--quick] [--seeds 0 1 2] [--only NAME …] [--work DIR]
        [--backbone NAME] [--image-size 64] [--epochs 3]

DATA is the folder with lay_out.py and the packs (../shared/data). The set is tiny50 with a long tail of 20 and 20 % of
labels wrong (symmetric); it is tested on the clean test images. Every variant differs from the first, `base`, in one
thing. A run that is in WORK/runs.jsonl is not made again. Figures: accuracy over all test images; mean accuracy of the
third of the classes with the most training images and of the third with the fewest; and the difference to `base` with
the same seed, mean and, over several seeds, standard error. `--quick` takes 100 images of a class at most and 20 test
images; without it all of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image

from cleaner.config import EmbeddingSettings
from cleaner.dataset.store import sha256_file
from cleaner.modeling.backbones import load_backbone
from cleaner.modeling.batches import Sample
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.embeddings import BATCH_SIZE, VIEWS, Embeddings
from cleaner.modeling.finetune import FinetuneLearner, Views
from cleaner.modeling.learner import log_priors
from cleaner.modeling.networks import Blueprint, load_blueprint
from cleaner.modeling.objective import Objective, Teacher
from cleaner.modeling.pixels import load_pixels
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.recipes import FinetuneRecipe
from cleaner.modeling.teachers import ProbeTeacher
from cleaner.modeling.training import Run
from cleaner.progress import Silent
from cleaner.scoring.evaluation import class_recalls, size_groups
from cleaner.scoring.groups import assign_folds
from cleaner.scoring.imbalance import compute_repeats

BASE = FinetuneRecipe(
    name="base", learning_rate=2e-3, weight_decay=0.05, mixup=0.0, epochs=3, augment=(("mirror", 0.5),)
)
NUM_TEACHERS = 3
PROBED = EmbeddingSettings(backbone="embedded-small")
"""What the probes that teach look through."""


@dataclass(frozen=True)
class Variant:
    """One way to train."""

    recipe: dict[str, Any] = field(default_factory=dict)
    """What differs from BASE."""
    rate: float = 1.0
    """Factor of the learning rate."""
    balance: bool = True
    prior: str = "bias"
    flood: float = 0.0
    teachers: Literal["", "networks", "probes"] = ""
    """What it learns from: networks trained as the base is, or the fold probes that `cleaner labels` leaves."""
    views: Views = field(default_factory=Views)


def with_step(*steps: tuple[str, float]) -> dict[str, Any]:
    return {"augment": (("mirror", 0.5), *steps)}


VARIANTS = {
    "base": Variant(),
    "without balance": Variant(balance=False),
    "without prior": Variant(prior="none"),
    "without either": Variant(balance=False, prior="none"),
    "prior in the loss": Variant(prior="loss"),
    "flooding 0.3": Variant(flood=0.3),
    "flooding 0.6": Variant(flood=0.6),
    "flooding 1.0": Variant(flood=1.0),
    "distillation": Variant(teachers="networks"),
    "probes distilled": Variant(teachers="probes"),
    "without mirror": Variant(recipe={"augment": ()}),
    "crop": Variant(recipe=with_step(("crop", 1.0))),
    "jitter": Variant(recipe=with_step(("jitter", 0.5))),
    "rot90": Variant(recipe=with_step(("rot90", 0.5))),
    "quality": Variant(recipe=with_step(("quality", 0.5))),
    "paste": Variant(recipe=with_step(("paste", 0.5))),
    "grid shuffle": Variant(recipe=with_step(("grid_shuffle", 0.3))),
    "erase": Variant(recipe=with_step(("erase", 0.5))),
    "cutmix": Variant(recipe={"cutmix": 1.0}),
    "mixup": Variant(recipe={"mixup": 0.2}),
    "label smoothing": Variant(recipe={"label_smoothing": 0.1}),
    "moving average": Variant(recipe={"ema": 0.98}),
    "layer decay": Variant(recipe={"layer_decay": 0.8}),
    "rate x 0.1": Variant(rate=0.1),
    "rate x 3": Variant(rate=3.0),
    "floor 0": Variant(recipe={"floor": 0.0}),
    "floor 0.1": Variant(recipe={"floor": 0.1}),
    "floor 0.3": Variant(recipe={"floor": 0.3}),
    "batch x 4": Variant(recipe={"batch_size": 256}),
    "batch x 4, rate x 4": Variant(recipe={"batch_size": 256}, rate=4.0),
    "two scales": Variant(views=Views(scales=(1.0, 1.2))),
    "norm momentum 0.9997": Variant(recipe={"norm_momentum": 0.9997}),
    "frozen norm": Variant(recipe={"freeze_norm": True}),
}


@dataclass(frozen=True)
class Bench:
    """The images of one seed, and what trains on them."""

    learner: FinetuneLearner
    targets: np.ndarray
    """Of the training images, which are the first rows."""
    test_targets: np.ndarray
    recipe: FinetuneRecipe
    seed: int


class Mean:
    """Teachers of the benchmark's own."""

    def __init__(self, learner: FinetuneLearner, networks: list[torch.nn.Module]) -> None:
        self.learner, self.networks = learner, networks

    @torch.no_grad()
    def probs(self, images: torch.Tensor) -> torch.Tensor:
        x = self.learner.blueprint.prepare(images)
        return torch.stack([n(x).float().softmax(1) for n in self.networks]).mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--work", type=Path, default=Path("/tmp/cleaner-training"))
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=BASE.epochs)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    runs = args.work / "runs.jsonl"
    key = [args.backbone, args.image_size, args.epochs, args.quick]
    done = [json.loads(line) for line in runs.read_text().splitlines()] if runs.exists() else []
    done = [row for row in done if row["key"] == key]
    for seed in args.seeds:
        missing = [
            n for n in dict.fromkeys(["base", *args.only]) if (n, seed) not in {(r["name"], r["seed"]) for r in done}
        ]
        if not missing:
            continue
        bench = prepare(args, seed)
        for name in missing:
            row = {"key": key, "name": name, "seed": seed} | measure(bench, VARIANTS[name])
            done.append(row)
            with runs.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name:<22} seed {seed}  {row['accuracy']:.3f}  {row['seconds']:.0f} s", file=sys.stderr, flush=True)
    print(tabulate(pd.DataFrame(done), args.seeds))


def prepare(args: argparse.Namespace, seed: int) -> Bench:
    """Lay the set out, decode it, and load the network."""
    folder = args.work / f"tail{'-quick' if args.quick else ''}-{seed}"
    options = ["--flip", "0.2", "--long-tail", "20", *(["--per-class", "100"] if args.quick else [])]
    paths = lay_out(args.data, "tiny50", options, folder, seed)
    if args.quick:
        paths["test"] = [p for label in sorted((folder / "test").iterdir()) for p in sorted(label.iterdir())[:20]]
    return open_bench(args, paths, seed)


def lay_out(data: Path, pack: str, options: list[str], folder: Path, seed: int) -> dict[str, list[Path]]:
    """The images of a pack under `train` and `test`, laid out in `folder` if they are not yet."""
    if not (folder / "truth.csv").exists():
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, str(data / "lay_out.py"), pack, *options, "--seed", str(seed), "--out", str(folder)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return {part: sorted((folder / part).rglob("*.*")) for part in ("train", "test")}


def open_bench(args: argparse.Namespace, paths: dict[str, list[Path]], seed: int) -> Bench:
    """Decode the images, and load the network."""
    classes = sorted({p.parent.name for p in paths["test"]})
    targets = {part: np.array([classes.index(p.parent.name) for p in those]) for part, those in paths.items()}
    every = [*paths["train"], *paths["test"]]
    pixels = load_pixels(
        [sha256_file(p) for p in every], every, args.image_size, args.work / "cache", workers=2, progress=Silent()
    )
    settings = EmbeddingSettings(backbone=args.backbone, image_size=args.image_size)
    blueprint = load_blueprint(settings, args.device, scratch=args.backbone.startswith("test_"))
    learner = FinetuneLearner(pixels, blueprint, len(classes), workers=2, progress=Silent())
    return Bench(learner, targets["train"], targets["test"], replace(BASE, epochs=args.epochs), seed)


def measure(bench: Bench, variant: Variant) -> dict[str, Any]:
    """Train as the variant says, and test."""
    started = time.monotonic()
    teacher = open_teacher(bench, variant.teachers) if variant.teachers else None
    network, losses = fit(bench, variant, seed=bench.seed, teacher=teacher)
    bench.learner.views = variant.views
    predicted = predict(bench, network).argmax(1)
    bench.learner.views = Views()
    sizes = np.bincount(bench.targets, minlength=bench.learner.num_classes)
    recalls, groups = class_recalls(bench.test_targets, predicted, len(sizes)), size_groups(sizes)
    return {
        "accuracy": float((predicted == bench.test_targets).mean()),
        "head": float(recalls[groups == "head"].mean()),
        "tail": float(recalls[groups == "tail"].mean()),
        "ensemble": None if teacher is None else accuracy(bench, teacher),
        "last_loss": losses[-1],
        "seconds": time.monotonic() - started,
    }


def open_teacher(bench: Bench, kind: str) -> Teacher:
    """What a student learns from, made from the same wrong labels."""
    if kind == "networks":
        seeds = [1000 + bench.seed * 10 + i for i in range(NUM_TEACHERS)]
        return Mean(bench.learner, [fit(bench, Variant(), seed=seed, teacher=None)[0] for seed in seeds])
    backbone, num_classes, rows = load_backbone(PROBED), bench.learner.num_classes, np.arange(len(bench.targets))
    pixels = [bench.learner.pixels.take(rows[i : i + BATCH_SIZE]) for i in range(0, len(rows), BATCH_SIZE)]
    embedded = [backbone.embed(np.stack([resize(p, backbone.image_size) for p in batch])) for batch in pixels]
    views = Embeddings.of_views([np.concatenate([e[name] for e in embedded]) for name in VIEWS])
    fold = assign_folds(rows, bench.targets, 5, np.random.default_rng(bench.seed))
    images = FoldedRows(rows, bench.targets, fold, np.ones(len(rows), np.float32))
    learner = ProbeLearner(views, num_classes)
    _, models = cross_train(learner, images, learner.recipes[0], seed=bench.seed)
    heads = [{name: torch.from_numpy(values) for name, values in model.state().items()} for model in models]
    return ProbeTeacher([Blueprint.of(backbone)], heads, torch.arange(num_classes))


def resize(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels (side, side, 3) uint8."""
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def accuracy(bench: Bench, teacher: Teacher) -> float:
    """Of a teacher, on the test images."""
    rows = len(bench.targets) + np.arange(len(bench.test_targets))
    hits = 0
    for part in np.array_split(rows, -(-len(rows) // BATCH_SIZE)):
        images = torch.from_numpy(bench.learner.pixels.take(part)).permute(0, 3, 1, 2).float()
        found = teacher.probs(images).argmax(1).cpu().numpy()
        hits += int((found == bench.test_targets[part - len(bench.targets)]).sum())
    return hits / len(rows)


def predict(bench: Bench, network: torch.nn.Module) -> np.ndarray:
    """Probabilities (m, K) of the test images."""
    rows = len(bench.targets) + np.arange(len(bench.test_targets))
    return np.concatenate([probs for _, probs in bench.learner.predict_with(network, rows)])


def fit(bench: Bench, variant: Variant, *, seed: int, teacher: Teacher | None) -> tuple[torch.nn.Module, list[float]]:
    recipe = replace(bench.recipe, learning_rate=bench.recipe.learning_rate * variant.rate, **variant.recipe)
    num_classes, rows = bench.learner.num_classes, np.arange(len(bench.targets))
    repeats = np.ones(len(rows), np.int64)
    if variant.balance:
        repeats = compute_repeats(bench.targets, num_classes, 1 / 3, 20, np.random.default_rng(seed)).astype(np.int64)
    prior = log_priors(np.bincount(bench.targets, repeats, num_classes))
    sample = Sample(bench.learner.pixels, rows, bench.targets, np.ones(len(rows), np.float32), repeats)
    objective = Objective(
        log_prior=prior,
        prior_form=variant.prior,
        flood=variant.flood,
        label_smoothing=recipe.label_smoothing,
        teacher=teacher,
    )
    # as many steps for each: what balance repeats must not pass for longer training
    shown = int(compute_repeats(bench.targets, num_classes, 1 / 3, 20, np.random.default_rng(seed)).sum())
    recipe = replace(recipe, epochs=max(1, round(recipe.epochs * shown / repeats.sum())))
    return bench.learner.train_one(sample, recipe, objective, seed=seed, run=Run(workers=2))


def tabulate(runs: pd.DataFrame, seeds: list[int]) -> str:
    """One line a variant: means over the seeds, and what it adds to `base`."""
    runs = runs[runs["seed"].isin(seeds)]
    base = runs[runs["name"] == "base"].set_index("seed")
    lines = []
    for name in (n for n in VARIANTS if (runs["name"] == n).any()):
        mine = runs[runs["name"] == name].set_index("seed")
        line: dict[str, Any] = {"variant": name, "seeds": len(mine)}
        for figure in ("accuracy", "head", "tail"):
            gain = 100 * (mine[figure] - base.loc[mine.index, figure])
            line[figure] = f"{100 * mine[figure].mean():.1f}"
            if name != "base":
                error = f" ± {gain.std(ddof=1) / len(gain) ** 0.5:.1f}" if len(gain) > 1 else ""
                line[f"+{figure}"] = f"{gain.mean():+.1f}{error}"
        lines.append(line | {"seconds": round(mine["seconds"].mean())})
    table = pd.DataFrame(lines).fillna("").to_string(index=False)
    taught = runs[runs["ensemble"].notna()] if "ensemble" in runs else runs.iloc[:0]
    if len(taught):
        each = taught.groupby("name")["ensemble"].mean()
        table += "".join(f"\nthe teachers of {name!r} together: {100 * share:.1f}" for name, share in each.items())
    return table


if __name__ == "__main__":
    main()
