"""`cleaner train`: the final network on the cleaned, balanced set, and how good it is. recipe.md section 4."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleaner.config import RunOptions, TrainSettings
from cleaner.dataset.manifest import read_manifest
from cleaner.dataset.store import sha256_file, write_json
from cleaner.dataset.workspace import Input, Workspace, clear_folder
from cleaner.engine.local import count_workers
from cleaner.modeling.backbones import num_threads
from cleaner.modeling.crossval import log_priors
from cleaner.modeling.diagnosis import NormHealth
from cleaner.modeling.finetune import FinetuneLearner, Views, save_network
from cleaner.modeling.networks import load_blueprint
from cleaner.modeling.objective import Objective
from cleaner.modeling.pixels import load_pixels
from cleaner.modeling.recipes import FinetuneRecipe, find_recipe
from cleaner.modeling.teachers import CLASS_MAP, find_checkpoints, load_teachers
from cleaner.modeling.training import Run, Sample, count_steps
from cleaner.stages.inputs import parent_input, require_parent, weights_inputs
from cleaner.stages.lifecycle import StageResult, current_result, record_stage
from cleaner.stages.train_figures import METRICS, Figures, write_figures
from cleaner.stages.train_sets import ImageSet, training_images, validation_files, validation_images

CHECKPOINT = "model.safetensors"


@dataclass(frozen=True)
class _Set:
    """All images of a run: those learned from, then those measured on, in one numbering."""

    classes: list[str]
    train: ImageSet
    val: ImageSet

    @property
    def val_rows(self) -> np.ndarray:
        """Row numbers (m,) int64 of the held-out images."""
        return np.arange(len(self.train), len(self.train) + len(self.val))


def run_train(
    workspace: Workspace, settings: TrainSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Train a network on the kept images of a manifest, measure it on held-out ones, and write `train/`.

    Raises StaleStageError without a current parent, BadInputError where there is too little to train on, or a
    validation folder, teacher or image cannot be used.
    """
    started = time.monotonic()
    recipe = _recipe(settings)
    parent = require_parent(workspace, "train", from_file)
    manifest = read_manifest(parent.path)
    files, val_inputs = validation_files(settings.val)
    teachers = find_checkpoints([Path(t) for t in settings.teacher])
    inputs = [parent_input(workspace, parent), *weights_inputs(settings.embedding), *val_inputs]
    inputs += [Input("teacher", workspace.relative(t), sha256_file(t)) for t in teachers]
    current = current_result(workspace, "train", settings, options, inputs)
    if current is not None:
        return current
    classes, train = training_images(manifest, parent.images_root, parent.path)
    val = validation_images(workspace, manifest, parent.images_root, classes, settings.val, files, options)
    images = _Set(classes, train, val)
    learner = _learner(workspace, images, settings, options)
    folder = workspace.begin("train")
    objective = _objective(images, recipe, settings, options, teachers)
    checkpoints = workspace.cache / "training"
    figures, health = _train(learner, images, recipe, objective, settings, options, checkpoints, folder, teachers)
    write_json(folder / CLASS_MAP, _class_map(learner, images, objective, recipe, settings))
    outputs = [CHECKPOINT, CLASS_MAP, *write_figures(folder, figures)]
    result = record_stage(
        workspace, "train", outputs,
        settings=settings, options=options, images_root=str(parent.images_root), inputs=inputs, started=started,
        counts={"classes": len(classes), "images": len(train), "val_images": len(val)},
        backbone=learner.blueprint.describe(), device=str(learner.blueprint.device), threads=num_threads(),
    )  # fmt: skip
    clear_folder(checkpoints)
    warnings = [*val.warnings, *(health.warnings(figures.recall) if health is not None else [])]
    return dataclasses.replace(result, warnings=warnings)


def _recipe(settings: TrainSettings) -> FinetuneRecipe:
    recipe = find_recipe(settings.recipe)
    return dataclasses.replace(
        recipe,
        epochs=settings.epochs or recipe.epochs,
        batch_size=settings.batch_size or recipe.batch_size,
        learning_rate=settings.learning_rate or recipe.learning_rate,
        norm_momentum=settings.norm_momentum,
        freeze_norm=settings.freeze_norm,
    )


def _learner(workspace: Workspace, images: _Set, settings: TrainSettings, options: RunOptions) -> FinetuneLearner:
    blueprint = load_blueprint(settings.embedding, options.device, scratch=settings.scratch)
    workers = count_workers(options.workers)
    size = max(settings.embedding.image_size, round(settings.test_size * max(settings.scales)))
    pixels = load_pixels(
        [*images.train.image_ids, *images.val.image_ids], [*images.train.paths, *images.val.paths], size,
        workspace.cache, workers=workers, progress=options.progress,
    )  # fmt: skip
    return FinetuneLearner(
        pixels, blueprint, len(images.classes), workers=workers, progress=options.progress,
        views=Views(settings.scales, settings.crops), test_size=settings.test_size,
    )  # fmt: skip


def _objective(
    images: _Set, recipe: FinetuneRecipe, settings: TrainSettings, options: RunOptions, teachers: list[Path]
) -> Objective:
    prior = log_priors(images.train.targets, images.train.repeats[None].astype(np.float32), len(images.classes))[0]
    teacher = None
    if teachers:
        teacher = load_teachers(teachers, images.classes, settings.embedding, options.device)
    return Objective(
        log_prior=(settings.tau * prior).astype(np.float32), prior_form=settings.prior,
        label_smoothing=recipe.label_smoothing, flood=settings.flood, teacher=teacher,
        teacher_share=settings.teacher_share, temperature=settings.temperature,
    )  # fmt: skip


def _train(
    learner: FinetuneLearner, images: _Set, recipe: FinetuneRecipe, objective: Objective, settings: TrainSettings,
    options: RunOptions, checkpoints: Path, folder: Path, teachers: list[Path],
) -> tuple[Figures, NormHealth | None]:  # fmt: skip
    """Train, save the checkpoint, and measure it."""
    train, val = images.train, images.val
    sample = Sample(
        learner.pixels, np.arange(len(train)), train.targets, np.ones(len(train), np.float32), train.repeats
    )

    def accuracy(network: Any) -> float:
        parts = [probs.argmax(1) == val.targets[part] for part, probs in learner.predict_with(network, images.val_rows)]
        return float(np.concatenate(parts).mean())

    num_steps = count_steps(int(train.repeats.sum()), recipe)
    with options.progress.task(f"training ({recipe.name})", num_steps) as task:
        run = Run(
            workers=count_workers(options.workers), compile=settings.compile, folder=checkpoints,
            progress=options.progress, on_step=task.advance,
        )  # fmt: skip
        network, losses = learner.train_one(
            sample, recipe, objective, seed=options.seed, run=run, identity="".join(map(sha256_file, teachers)),
            validate=accuracy if len(val) else None, patience=settings.patience if len(val) else 0,
        )  # fmt: skip
    health = learner.diagnose(network, sample, options.seed)
    save_network(network, folder / CHECKPOINT)
    predicted = np.empty(len(val), np.int64)
    confidence = np.empty(len(val), np.float32)
    with options.progress.task("measuring", len(val)) as task:
        for part, probs in learner.predict_with(network, images.val_rows):
            predicted[part], confidence[part] = probs.argmax(1), probs.max(1)
            task.advance(part.stop - part.start)
    sizes = np.bincount(train.targets, minlength=len(images.classes))
    sampled = np.bincount(train.targets, weights=train.repeats, minlength=len(images.classes)).astype(np.int64)
    figures = Figures(images.classes, sizes, sampled, val.source, val.targets, predicted, confidence, losses, health)
    return figures, health


def _class_map(
    learner: FinetuneLearner, images: _Set, objective: Objective, recipe: FinetuneRecipe, settings: TrainSettings
) -> dict[str, Any]:
    """The card of the checkpoint: class names in the order of its outputs, what it takes, and the prior it left out."""
    return learner.card() | {
        "file": CHECKPOINT,
        "test_size": settings.test_size or settings.embedding.image_size,
        "input": "(pixel - mean) / std, RGB in 0 .. 255, squashed to a square of test_size",
        "recipe": dataclasses.asdict(recipe),
        "prior": settings.prior,
        "tau": settings.tau,
        "classes": images.classes,
        "log_prior": [float(v) for v in objective.log_prior],
    }


__all__ = ["CHECKPOINT", "METRICS", "run_train"]
