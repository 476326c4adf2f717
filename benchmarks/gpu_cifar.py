"""Cross-training from scratch on CIFAR-10: how fast one GPU is, and how good.

    python benchmarks/gpu_cifar.py DATA [--part random1 matrix] [--seed 0] [--device cuda] [--small]

DATA is the folder with cifar10n.parquet (../shared/data). A ResNet-9 of its own learns through the Learner seam, the
images all on the device, without compilation.

random1: five folds over the 50,000 images with the human labels `random1` (17.2 % wrong), then rounds of pulling back;
prints the seconds (goal: under 120), out-of-fold accuracy against the clean labels (goal: 0.92) and the F1 of wrong
labels (goal: 0.82). matrix: labels flipped by a random sparse noise matrix at 20 % and 40 % as in the
confident-learning paper (Northcutt et al. 2021: sparsity 0.6), the flagged ones pruned, trained again, last epoch, test
accuracy (its figures: 91.1 and 87.1; on the noisy labels 78.4 and 60.2). `--small` runs all of it on 1,000 images with
a narrow network in two minutes on a CPU, to show that it runs and learns; its figures are no measure of either goal.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scores import precision_recall_f1
from torch import nn
from torch.nn import functional

from cleaner.dataset.store import Arrays
from cleaner.modeling.crossval import FoldedRows, cross_train, fit_and_predict
from cleaner.modeling.learner import FitJob, ModelJob, Predictor
from cleaner.modeling.networks import seeded
from cleaner.modeling.recipes import ProbeRecipe
from cleaner.modeling.schedule import learning_rate_share
from cleaner.scoring.held_out import HeldOutByModel, predict_by_model
from cleaner.scoring.out_of_fold import OutOfFold

CHUNK = 2000
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
RECIPE = ProbeRecipe("resnet9", "plain", 0.4, 5e-4, 0.0, 16)
ROUNDS = 3


def conv(inputs: int, outputs: int, pool: bool = False) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class ResNet9(nn.Module):
    """The network of DAWNBench's CIFAR-10 entries (Page 2018)."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, width), conv(width, 2 * width, pool=True))
        self.first = nn.Sequential(conv(2 * width, 2 * width), conv(2 * width, 2 * width))
        self.middle = nn.Sequential(conv(2 * width, 4 * width, pool=True), conv(4 * width, 8 * width, pool=True))
        self.last = nn.Sequential(conv(8 * width, 8 * width), conv(8 * width, 8 * width))
        self.head = nn.Linear(8 * width, num_classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.middle(x + self.first(x))
        x = x + self.last(x)
        return self.head(x.amax((2, 3))) * 0.125


class Resnet9Learner:
    """Trains ResNet-9 by SGD on images that lie on the device: mirror, shift by 4 px, 8 px holes."""

    recipes = (RECIPE,)
    final_recipe = RECIPE
    identity = "resnet9"

    def __init__(self, pixels: np.ndarray, num_classes: int, device: torch.device, width: int, batch_size: int) -> None:
        self.card = {"learner": "resnet9"}
        x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.x = ((x - mean) / std).to(kind).contiguous(memory_format=torch.channels_last)
        self.num_classes, self.device, self.width, self.batch_size = num_classes, device, width, batch_size

    def fit(self, job: FitJob) -> list[Predictor]:
        """See Learner.fit; the models in turn, `on_epoch` for each epoch of each."""
        models: list[Predictor] = []
        for number, one in enumerate(job.models()):
            used = np.flatnonzero(one.weights > 0)
            kept = replace(one, rows=one.rows[used], targets=one.targets[used], weights=one.weights[used])
            with seeded(self.device, job.seed, number):
                models.append(self._fit_one(kept, job.on_epoch))
        return models

    def fit_and_predict(self, job: FitJob, held_out: HeldOutByModel) -> tuple[list[Predictor], OutOfFold]:
        """See Learner.fit_and_predict."""
        models = self.fit(job)
        return models, predict_by_model(models, held_out)

    def _fit_one(self, job: ModelJob, on_epoch: Callable[[], None]) -> Predictor:
        recipe = job.recipe
        assert isinstance(recipe, ProbeRecipe)
        network = ResNet9(self.num_classes, self.width).to(self.device, memory_format=torch.channels_last)
        norms = [p for p in network.parameters() if p.ndim < 2]
        rest = [p for p in network.parameters() if p.ndim > 1]
        optimizer = torch.optim.SGD(
            [{"params": rest, "weight_decay": recipe.weight_decay}, {"params": norms, "weight_decay": 0.0}],
            lr=recipe.learning_rate,
            momentum=0.9,
            nesterov=True,
        )
        place = torch.from_numpy(job.rows).to(self.device)
        y, w = torch.from_numpy(job.targets).to(self.device), torch.from_numpy(job.weights).to(self.device)
        w, shift = w / w.mean(), torch.from_numpy(job.log_prior).to(self.device)
        batch = min(self.batch_size, len(job.rows))
        per_epoch = len(job.rows) // batch
        for step in range(recipe.epochs * per_epoch):
            if step % per_epoch == 0:
                order = torch.randperm(len(job.rows), device=self.device)
            share = learning_rate_share(step / (recipe.epochs * per_epoch), warmup=0.2, floor=recipe.floor)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * share
            part = order[step % per_epoch * batch :][:batch]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                logits = network(augment(self.x[place[part]])).float() + shift
            loss = (functional.cross_entropy(logits, y[part], reduction="none", label_smoothing=0.1) * w[part]).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if (step + 1) % per_epoch == 0:
                on_epoch()
        return Resnet9(self, network.eval())


@dataclass(frozen=True)
class Resnet9:
    """A trained network."""

    learner: Resnet9Learner
    network: nn.Module

    @torch.inference_mode()
    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See Predictor.predict; the mean over both mirror images."""
        for start in range(0, len(rows), CHUNK):
            part = slice(start, min(start + CHUNK, len(rows)))
            x = self.learner.x[torch.from_numpy(rows[part]).to(self.learner.device)]
            with torch.autocast(x.device.type, torch.bfloat16, enabled=x.device.type == "cuda"):
                views = [self.network(v).float().softmax(1) for v in (x, x.flip(3))]
            yield part, ((views[0] + views[1]) / 2).cpu().numpy()

    def state(self) -> Arrays:
        """See Predictor.state."""
        return {k: v.float().cpu().contiguous().numpy() for k, v in self.network.state_dict().items()}


def augment(x: torch.Tensor) -> torch.Tensor:
    """Each image (B, 3, 32, 32) mirrored by chance, shifted by up to 4 px, with a hole of 8 x 8 px."""
    num, side = len(x), x.shape[-1]
    x = torch.where(torch.rand(num, 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)
    padded = functional.pad(x, (4, 4, 4, 4), mode="reflect")
    ys, xs = (torch.randint(0, 9, (num, 1), device=x.device) + torch.arange(side, device=x.device) for _ in range(2))
    line = torch.arange(num, device=x.device)[:, None, None]
    x = padded.permute(0, 2, 3, 1)[line, ys[:, :, None], xs[:, None, :]].permute(0, 3, 1, 2)
    top, left = (torch.randint(0, side - 7, (num, 1), device=x.device) for _ in range(2))
    at = torch.arange(side, device=x.device)
    hole = ((at >= top) & (at < top + 8))[:, None, :, None] & ((at >= left) & (at < left + 8))[:, None, None, :]
    return x.masked_fill(hole, 0.0).contiguous(memory_format=torch.channels_last)


def find_wrong(
    learner: Resnet9Learner, given: np.ndarray, recipe: ProbeRecipe, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which labels (n,) bool are wrong by five folds and rounds of pulling back; and the out-of-fold predictions."""
    rows = np.arange(len(given))
    fold = np.random.default_rng(seed).permutation(len(given)) % 5
    predictions, _ = cross_train(learner, FoldedRows(rows, given, fold, np.ones(len(given))), recipe, seed=seed)
    positive = predictions.given_rank == 0
    for number in range(1, ROUNDS + 1):
        negatives = np.flatnonzero(~positive)
        learned = np.flatnonzero(positive)
        job = job_of(learned, given[learned], recipe, seed * 1009 + number)
        again = fit_and_predict(learner, job, negatives, given[negatives])
        back = negatives[again.given_rank == 0]
        positive[back] = True
        print(f"  round {number}: {len(back):,} pulled back", flush=True)
        if not len(back):
            break
    return ~positive, predictions.predicted


def job_of(rows: np.ndarray, targets: np.ndarray, recipe: ProbeRecipe, seed: int) -> FitJob:
    """One model, for which all rows count the same."""
    weights = np.ones((1, len(rows)), np.float32)
    return FitJob(rows=rows, targets=targets, sample_weights=weights, num_classes=10, recipe=recipe, seed=seed)


def f1_of(flagged: np.ndarray, wrong: np.ndarray) -> str:
    """Precision, recall and F1 of what was flagged."""
    precision, recall, f1 = precision_recall_f1(flagged, wrong)
    return f"F1 {f1:.3f} (precision {precision:.3f}, recall {recall:.3f})"


def noise_matrix(rate: float, sparsity: float, rng: np.random.Generator) -> np.ndarray:
    """P(given | clean), rows sum to 1: `rate` wrong on average, a share `sparsity` of the other cells empty."""
    matrix = np.zeros((10, 10))
    for clean in range(10):
        others = rng.permutation(np.delete(np.arange(10), clean))[: max(1, round(9 * (1 - sparsity)))]
        wrong = np.clip(rate * rng.uniform(0.6, 1.4), 0, 0.9)
        matrix[clean, others] = rng.dirichlet(np.ones(len(others))) * wrong
        matrix[clean, clean] = 1 - wrong
    return matrix


def run_random1(learner: Resnet9Learner, data: Data, recipe: ProbeRecipe, seed: int) -> None:
    started = time.monotonic()
    flagged, predicted = find_wrong(learner, data.random1, recipe, seed)
    seconds = time.monotonic() - started
    accuracy = (predicted == data.clean).mean()
    wrong = data.random1 != data.clean
    print(f"random1, five folds and rounds: {seconds:.1f} s · out-of-fold accuracy {accuracy:.4f}")
    print(f"  wrong labels: {f1_of(flagged, wrong)}")


def run_matrix(learner: Resnet9Learner, data: Data, recipe: ProbeRecipe, seed: int) -> None:
    for rate in (0.2, 0.4):
        rng = np.random.default_rng([seed, int(100 * rate)])
        matrix = noise_matrix(rate, 0.6, rng)
        given = np.array([rng.choice(10, p=matrix[c]) for c in data.clean])
        flagged, _ = find_wrong(learner, given, recipe, seed)
        raw = test_accuracy(learner, data, given, np.ones(len(given), bool), recipe, seed)
        pruned = test_accuracy(learner, data, given, ~flagged, recipe, seed)
        wrong = given != data.clean
        print(f"matrix {rate:.0%} ({wrong.mean():.1%} wrong): raw {raw:.4f} · pruned {pruned:.4f}")
        print(f"  wrong labels: {f1_of(flagged, wrong)}")


def test_accuracy(
    learner: Resnet9Learner, data: Data, given: np.ndarray, keep: np.ndarray, recipe: ProbeRecipe, seed: int
) -> float:
    """Accuracy on the test images of a network that learned the kept ones, after the last epoch."""
    rows = np.flatnonzero(keep)
    (model,) = learner.fit(job_of(rows, given[rows], recipe, seed + 77))
    test = len(given) + np.arange(len(data.test))
    return float((np.concatenate([p.argmax(1) for _, p in model.predict(test)]) == data.test).mean())


@dataclass(frozen=True)
class Data:
    """Labels as class numbers; the pixels lie with the learner, training images first."""

    clean: np.ndarray
    random1: np.ndarray
    test: np.ndarray


def load(path: Path, small: bool) -> tuple[np.ndarray, Data]:
    frame = pd.read_parquet(path)
    parts = [frame[frame["split"] == "train"], frame[frame["split"] != "train"]]
    if small:
        parts = [parts[0].iloc[::50], parts[1].iloc[::20]]
    number = {name: i for i, name in enumerate(sorted(frame["clean"].unique()))}
    with ThreadPoolExecutor() as pool:
        images = pool.map(lambda b: np.asarray(Image.open(io.BytesIO(b)).convert("RGB")), pd.concat(parts)["image"])
        pixels = np.stack(list(images))
    clean, random1 = (parts[0][c].map(number).to_numpy(np.int64) for c in ("clean", "random1"))
    return pixels, Data(clean, random1, parts[1]["clean"].map(number).to_numpy(np.int64))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", nargs="+", choices=["random1", "matrix"], default=["random1", "matrix"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.backends.cudnn.benchmark = True
    pixels, data = load(args.data / "cifar10n.parquet", args.small)
    learner = Resnet9Learner(pixels, 10, device, 8 if args.small else 64, 64 if args.small else 512)
    epochs = 6 if args.small else args.epochs
    recipe = replace(RECIPE, epochs=epochs, learning_rate=RECIPE.learning_rate * learner.batch_size / 512)
    if args.small:
        print("small: shows that it runs and learns; its figures are no measure of the goals")
    for part in args.part:
        (run_random1 if part == "random1" else run_matrix)(learner, data, recipe, args.seed)


if __name__ == "__main__":
    main()
