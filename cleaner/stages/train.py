"""`cleaner train`: the final network on the cleaned, balanced set, and how good it is. docs/training.md."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors.numpy import save as save_tensors

from cleaner.config import RunOptions, TrainSettings
from cleaner.dataset.checkpoint_files import find_checkpoints
from cleaner.dataset.locations import is_remote
from cleaner.dataset.store import ArrayStore, clear_folder, write_atomic, write_json
from cleaner.dataset.workspace import Workspace
from cleaner.engine.engine import open_engine
from cleaner.engine.local import count_workers
from cleaner.modeling.backbone_names import trained_network
from cleaner.modeling.backbones import num_threads
from cleaner.modeling.cards import CLASS_MAP
from cleaner.modeling.checkpoints import checkpoint_step
from cleaner.modeling.finetune import card_of
from cleaner.modeling.learner import log_priors
from cleaner.modeling.networks import Blueprint, load_blueprint
from cleaner.modeling.pixels import Pixels
from cleaner.modeling.recipes import FinetuneRecipe, find_recipe
from cleaner.modeling.train_task import Trained, TrainTask, open_pixels, train_elsewhere, train_network
from cleaner.progress import Task
from cleaner.stages.inputs import machine_of, scan_limits, task_cache
from cleaner.stages.stage_run import StageResult, StageRun
from cleaner.stages.train_figures import Figures, write_figures
from cleaner.stages.train_sets import ImageSet, training_images, validation_images

CHECKPOINT = "model.safetensors"
_FOLLOW_EVERY_S = 2.0


@dataclass(frozen=True)
class _Set:
    """All images of a run in one numbering: first those to train on, then those to test on."""

    classes: list[str]
    train: ImageSet
    val: ImageSet


def run_train(
    workspace: Workspace, settings: TrainSettings, options: RunOptions, from_file: Path | None = None
) -> StageResult:
    """Train a network on the kept images of a manifest, measure it on held-out ones, and write `train/`.

    Raises StaleStageError without a current parent, BadInputError where there is too little to train on, or a
    validation folder, teacher or image cannot be used.
    """
    recipe = _recipe(settings)  # first, as an unknown recipe is an error even if nothing has to run
    run = StageRun.open(workspace, "train", settings, options, from_file)
    return run.current() or _train(run, recipe)


def _train(run: StageRun[TrainSettings], recipe: FinetuneRecipe) -> StageResult:
    manifest = run.read_parent()
    classes, train = training_images(manifest, run.parent)
    val = validation_images(run, manifest, classes)
    task, blueprint = _task(run, _Set(classes, train, val), recipe)
    pixels = _pixels(task, run.options)
    folder = run.begin()
    trained = _fit(task, blueprint, pixels, run.options)
    write_atomic(folder / CHECKPOINT, save_tensors(trained.state))
    write_json(folder / CLASS_MAP, _class_map(task, blueprint))
    figures = _figures(trained, classes, train, val)
    health = trained.health
    result = run.complete_files(
        [CHECKPOINT, CLASS_MAP, *write_figures(folder, figures)],
        counts={"classes": len(classes), "images": len(train), "val_images": len(val)},
        machine=machine_of(blueprint),
        warnings=[*val.warnings, *(health.warnings(figures.recall) if health is not None else [])],
    )
    clear_folder(task.folder)
    return result


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


def _task(run: StageRun[TrainSettings], images: _Set, recipe: FinetuneRecipe) -> tuple[TrainTask, Blueprint]:
    """The training as a task for any machine, and its network."""
    train, val, settings, options = images.train, images.val, run.settings, run.options
    trained = trained_network(settings.embedding)
    blueprint = load_blueprint(trained, options.device, scratch=settings.scratch)
    # `auto` is resolved here, once, not on each machine
    settled = dataclasses.replace(trained, precision=cast(Any, blueprint.precision))
    is_cluster = options.engine == "ray"
    cache = task_cache(run.workspace, options) if is_cluster else run.workspace.cache
    prior = log_priors(np.bincount(train.targets, train.repeats, len(images.classes)))
    teachers = find_checkpoints([Path(t) for t in settings.teacher])
    task = TrainTask(
        image_ids=(*train.image_ids, *val.image_ids),
        paths=tuple(map(str, [*train.paths, *val.paths])),
        classes=tuple(images.classes),
        targets=np.concatenate([train.targets, val.targets]),
        repeats=train.repeats,
        log_prior=(settings.tau * prior).astype(np.float32),
        recipe=recipe,
        settings=dataclasses.replace(settings, embedding=settled),
        teachers=tuple(t.absolute() for t in teachers),
        teachers_digest="".join(i.sha256 for i in run.inputs if i.role == "teacher"),
        seed=options.seed,
        device=blueprint.device.type if is_cluster else str(blueprint.device),
        threads=num_threads(),
        workers=num_threads() if is_cluster else count_workers(options.workers),
        file_timeout_s=scan_limits(run.workspace).file_timeout_s,
        blueprint_key=blueprint.key,
        cache=str(cache),
        folder=cache / "training",
    )
    return task, blueprint


def _pixels(task: TrainTask, options: RunOptions) -> Pixels | None:
    """The images' pixels, decoded by the cluster if there is one; None if each machine decodes its own."""
    if is_remote(task.cache):
        return None
    engine = open_engine(options)
    map_shards = partial(engine.map, threads=task.threads) if engine.is_cluster else None
    return open_pixels(task, Path(task.cache), options.progress, map_shards)


def _fit(task: TrainTask, blueprint: Blueprint, pixels: Pixels | None, options: RunOptions) -> Trained:
    engine = open_engine(options)
    if not engine.is_cluster:
        assert pixels is not None
        trained = train_network(task, blueprint, pixels, options.progress)
        assert trained is not None
        return trained
    with (
        options.progress.task(f"training ({task.recipe.name}), steps", task.num_steps) as bar,
        _followed(task.folder, bar),
    ):
        arrays = engine.run_group(
            train_elsewhere,
            (task.key, task),
            store=ArrayStore(task.folder),
            num_workers=options.train_workers,
            threads=task.threads,
            gpu=blueprint.device.type == "cuda",
        )
    return Trained.from_arrays(arrays)


@contextmanager
def _followed(folder: Path, bar: Task) -> Iterator[None]:
    """Advance the progress of a training on other machines by its checkpoints."""
    done = threading.Event()

    def follow() -> None:
        shown = 0
        while not done.wait(_FOLLOW_EVERY_S):
            step = checkpoint_step(folder)
            if step > shown:
                bar.advance(step - shown)
                shown = step

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _figures(trained: Trained, classes: list[str], train: ImageSet, val: ImageSet) -> Figures:
    sizes = np.bincount(train.targets, minlength=len(classes))
    sampled = np.bincount(train.targets, weights=train.repeats, minlength=len(classes)).astype(np.int64)
    return Figures(
        classes=classes,
        sizes=sizes,
        sampled=sampled,
        source=val.source,
        targets=val.targets,
        predicted=trained.predicted,
        confidence=trained.confidence,
        losses=trained.losses,
        health=trained.health,
    )


def _class_map(task: TrainTask, blueprint: Blueprint) -> dict[str, Any]:
    """The card of the checkpoint: class names in output order, its input, and the prior left out of it."""
    settings = task.settings
    return card_of(blueprint, len(task.classes)) | {
        "file": CHECKPOINT,
        "test_size": settings.test_size or settings.embedding.image_size,
        "input": "(pixel - mean) / std, RGB in 0 .. 255, squashed to a square of test_size",
        "recipe": dataclasses.asdict(task.recipe),
        "prior": settings.prior,
        "tau": settings.tau,
        "classes": list(task.classes),
        "log_prior": [float(v) for v in task.log_prior],
    }
