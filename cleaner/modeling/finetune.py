"""The `finetune` learner: a whole timm network, trained by a recipe, predicting from several views of an image."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from cleaner.config import EmbeddingSettings, LearnerName
from cleaner.dataset.store import Arrays, digest_of
from cleaner.modeling.backbones import resolve_device
from cleaner.modeling.batches import Sample
from cleaner.modeling.decoding import FILE_TIMEOUT_S
from cleaner.modeling.diagnosis import NormHealth, diagnose_norms
from cleaner.modeling.learner import NEVER, FitJob, ModelJob, Predictor
from cleaner.modeling.networks import Blueprint, classifier_of, load_blueprint
from cleaner.modeling.objective import MIN_PRIOR, Objective
from cleaner.modeling.pixels import Pixels, load_pixels
from cleaner.modeling.recipes import FINETUNE_RECIPES, ROUND_RECIPES, FinetuneRecipe
from cleaner.modeling.training import Run, Trainer
from cleaner.progress import Progress
from cleaner.random_streams import Stream, open_stream
from cleaner.scoring.held_out import HeldOutByModel, predict_by_model
from cleaner.scoring.out_of_fold import OutOfFold

CHUNK = 64
"""Images predicted at once; the last chunk is padded to this size, so that no prediction depends on its neighbours."""
_DIAGNOSED = 1024


@dataclass(frozen=True)
class Views:
    """The views that a prediction averages the probabilities of."""

    scales: tuple[float, ...] = (1.0,)
    """1: the whole image; 1.25: crops of 1/1.25 of its side, in which everything is that much larger."""
    crops: int = 1
    """Crops at each scale above 1: 1 (the middle) or 5 (the corners too)."""
    mirrored: bool = True
    """Each view flipped left to right too."""

    def cut(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """The views of images (B, 3, H, W), each (B, 3, h, w)."""
        height, width = images.shape[-2:]
        for scale in self.scales:
            h, w = round(height / scale), round(width / scale)
            down, right = height - h, width - w
            corners = [(down // 2, right // 2)]
            if scale > 1 and self.crops == 5:
                corners += [(0, 0), (0, right), (down, 0), (down, right)]
            for top, left in corners:
                view = images[..., top : top + h, left : left + w]
                yield view
                if self.mirrored:
                    yield view.flip(-1)


class FinetuneLearner:
    """Trains whole networks on cached pixels, one model after the other."""

    recipes = ROUND_RECIPES
    final_recipe = FINETUNE_RECIPES[-1]

    def __init__(
        self,
        pixels: Pixels,
        blueprint: Blueprint,
        num_classes: int,
        *,
        workers: int,
        progress: Progress,
        views: Views | None = None,
        test_size: int = 0,
    ) -> None:
        self.pixels, self.blueprint, self.num_classes = pixels, blueprint, num_classes
        self.views = views or Views()
        self._viewer = blueprint.at(test_size or blueprint.image_size)
        self._workers, self._progress = workers, progress
        self._spare: nn.Module | None = None

    @property
    def identity(self) -> str:
        """Digest of images and network: what a fit depends on besides its job."""
        return digest_of(
            "finetune",
            self.pixels.digest,
            self.blueprint.key,
            asdict(self.views),
            self._viewer.image_size,
            self.num_classes,
        )

    @property
    def card(self) -> dict[str, Any]:
        """See Learner.card: enough to load the network and prepare its input (see teachers.py)."""
        return card_of(self.blueprint, self.num_classes)

    def fit(self, job: FitJob) -> list[Predictor]:
        """See Learner.fit; the M models are trained in turn, and `on_epoch` is called once for each M model epochs.

        The log prior is each network's frozen last bias. With a `checkpoint_dir` an interrupted fit is resumed at the
        step of the model that it was in, with the same weights as a result.
        """
        num_models, num_epochs = len(job.sample_weights), 0

        def count_epoch() -> None:
            nonlocal num_epochs
            num_epochs += 1
            if num_epochs % num_models == 0:
                job.on_epoch()

        return [self.fit_one(model, count_epoch) for model in job.models()]

    def fit_and_predict(self, job: FitJob, held_out: HeldOutByModel) -> tuple[list[Predictor], OutOfFold]:
        """See Learner.fit_and_predict."""
        models = self.fit(job)
        return models, predict_by_model(models, held_out)

    def fit_one(self, job: ModelJob, on_epoch: Callable[[], None] = lambda: None) -> FinetunedModel:
        """Fit one model as `fit` does."""
        recipe = job.recipe
        assert isinstance(recipe, FinetuneRecipe)
        used = np.flatnonzero(job.weights > 0)
        sample = Sample(self.pixels, job.rows[used], job.targets[used], job.weights[used], np.ones(len(used), np.int64))
        run = Run(workers=self._workers, folder=job.folder, progress=self._progress, on_epoch=on_epoch)
        objective = Objective(log_prior=job.log_prior, label_smoothing=recipe.label_smoothing)
        network, _ = self.train_one(sample, recipe, objective, seed=job.seed, run=run)
        return FinetunedModel(self, {k: v.numpy().copy() for k, v in portable_state(network).items()})

    def train_one(
        self,
        sample: Sample,
        recipe: FinetuneRecipe,
        objective: Objective,
        *,
        seed: int,
        run: Run,
        identity: str = "",
        validate: Callable[[nn.Module], float] | None = None,
        patience: int = 0,
    ) -> tuple[nn.Module, list[float]]:
        """Train one network; return it in eval mode, without the prior, and the mean loss of each epoch.

        See Trainer.train; `validate` gets networks without the prior too. `identity` is the digest of the objective's
        teacher, if any.
        """
        network = self.blueprint.build(self.num_classes, seed)
        freeze_bias(network, objective)
        examples = (sample.rows, sample.targets, sample.weights, sample.repeats)
        terms = {k: v for k, v in vars(objective).items() if k not in ("log_prior", "teacher")}
        course = (patience, seed, torch.get_num_threads())
        key = digest_of(self.identity, asdict(recipe), *examples, terms, objective.log_prior, identity, *course)
        trainer = Trainer(network, self.blueprint, sample, recipe, objective, seed=seed, key=key, run=run)
        judge = None if validate is None else lambda n: validate(without_prior(copy.deepcopy(n), objective))
        network = without_prior(trainer.train(judge, patience), objective)
        return network, trainer.losses

    @torch.inference_mode()
    def predict_with(self, network: nn.Module, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Probabilities of images by row number, in chunks, as Predictor.predict yields them; bias included."""
        network.eval()
        for start in range(0, len(rows), CHUNK):
            part = slice(start, min(start + CHUNK, len(rows)))
            num = part.stop - start
            padded = np.concatenate([rows[part], np.repeat(rows[part][-1:], CHUNK - num)])
            images = torch.from_numpy(self.pixels.take(padded)).permute(0, 3, 1, 2)
            yield part, predict_images(network, self._viewer, self.views, images)[:num].cpu().numpy()

    def diagnose(self, network: nn.Module, sample: Sample, seed: int) -> NormHealth | None:
        """The health of a trained network's batch norms on part of its training images; None if it has none."""
        rng = open_stream(seed, Stream.NORM_HEALTH)
        part = rng.permutation(len(sample.rows))[:_DIAGNOSED]  # mixed as in training: batch statistics depend on it
        batches = []
        for positions in np.array_split(part, -(-len(part) // CHUNK)):
            images = torch.from_numpy(self.pixels.take(sample.rows[positions])).permute(0, 3, 1, 2)
            batches.append((self.blueprint.prepare(images), sample.targets[positions]))
        return diagnose_norms(network, batches, self.num_classes)

    def load(self, state: Arrays) -> nn.Module:
        """A network with a model's state; the next call reuses the same network."""
        if self._spare is None:
            self._spare = self.blueprint.build(self.num_classes, 0)
        self._spare.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
        return self._spare.eval()


@dataclass(frozen=True)
class FinetunedModel:
    """A trained network, kept as arrays until it predicts: five of them take no memory on a GPU."""

    learner: FinetuneLearner
    arrays: Arrays

    def predict(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """See Predictor.predict; the mean over the learner's views, without the prior."""
        yield from self.learner.predict_with(self.learner.load(self.arrays), rows)

    def state(self) -> Arrays:
        """See Predictor.state: the network's state dict; its last bias is 0, or -10000 for a class without rows."""
        return self.arrays


def predict_images(network: nn.Module, blueprint: Blueprint, views: Views, images: torch.Tensor) -> torch.Tensor:
    """Probabilities (B, K) float32 of images (B, 3, H, W) in 0 .. 255: the mean over their views."""
    total: torch.Tensor | None = None
    num = 0
    for view in views.cut(images.to(blueprint.device)):
        with torch.autocast(blueprint.device.type, torch.bfloat16, enabled=blueprint.precision == "bf16"):
            logits = network(blueprint.prepare(view))
        probs = logits.float().softmax(1)
        total = probs if total is None else total + probs
        num += 1
    assert total is not None
    return total / num


def freeze_bias(network: nn.Module, objective: Objective) -> None:
    """Make the log prior the last layer's bias, which is then not trained, if the objective has it there."""
    if objective.prior_form == "bias":
        bias = classifier_of(network).bias
        assert bias is not None
        with torch.no_grad():
            bias.copy_(torch.from_numpy(np.asarray(objective.log_prior, np.float32)))
        bias.requires_grad_(False)


def without_prior(network: nn.Module, objective: Objective) -> nn.Module:
    """The network as it predicts: a frozen bias becomes 0, or -10000 for a class without rows. In place."""
    bias = classifier_of(network).bias
    assert bias is not None
    absent = torch.from_numpy(np.asarray(objective.log_prior) < MIN_PRIOR).to(bias.device)
    with torch.no_grad():
        if objective.prior_form == "bias":
            bias.zero_()
        bias.masked_fill_(absent, NEVER)
    return network


def choose_learner(name: LearnerName, device_name: str) -> Literal["probe", "finetune"]:
    """What `auto` stands for on a device: `finetune` on a CUDA GPU, where it takes minutes, else `probe`."""
    if name != "auto":
        return name
    return "finetune" if resolve_device(device_name).type == "cuda" else "probe"


@dataclass(frozen=True)
class LearnerPlan:
    """What any machine needs to open the same FinetuneLearner: ids, paths and settings, never pixels or weights."""

    image_ids: tuple[str, ...]
    paths: tuple[str, ...]
    num_classes: int
    settings: EmbeddingSettings
    """The network and its resolution."""
    device: str
    cache: str
    """Where the pixels are cached: a folder or, for other machines, a URL."""
    file_timeout_s: float = FILE_TIMEOUT_S
    """Seconds of CPU for decoding one image."""


def load_learner(plan: LearnerPlan, *, workers: int, progress: Progress) -> FinetuneLearner:
    """A FinetuneLearner over images in their order; `plan.cache` is a folder.

    Raises BackboneError for a network that is unknown or has no weights, BadInputError for an image that changed.
    """
    blueprint, size = load_blueprint(plan.settings, plan.device), plan.settings.image_size
    pixels = load_pixels(
        plan.image_ids,
        plan.paths,
        size,
        Path(plan.cache),
        workers=workers,
        progress=progress,
        file_timeout_s=plan.file_timeout_s,
    )
    return FinetuneLearner(pixels, blueprint, plan.num_classes, workers=workers, progress=progress)


def card_of(blueprint: Blueprint, num_classes: int) -> dict[str, Any]:
    """What the JSON beside a trained network says of it, except its classes."""
    return {"learner": "finetune", "num_classes": num_classes} | blueprint.card()


def portable_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's state dict on the CPU, contiguous."""
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
