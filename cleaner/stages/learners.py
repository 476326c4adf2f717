"""Opens the learner that a stage trains: a probe on cached embeddings, or whole networks on cached pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from cleaner.config import LabelsSettings, RunOptions, VerifySettings
from cleaner.dataset.locations import is_remote
from cleaner.dataset.workspace import Workspace
from cleaner.engine.engine import open_engine
from cleaner.engine.local import count_workers
from cleaner.modeling.backbone_names import trained_network
from cleaner.modeling.backbones import resolve_device, resolve_precision
from cleaner.modeling.closed_form import ClosedFormLearner, is_for_closed_form
from cleaner.modeling.embedding_views import Embeddings
from cleaner.modeling.finetune import FinetuneLearner, LearnerPlan, choose_learner, load_learner
from cleaner.modeling.learner import Learner
from cleaner.modeling.model_tasks import ClusterLearner, load_cluster_learner
from cleaner.modeling.probe import ProbeLearner
from cleaner.modeling.probe_tasks import ClusterProbeLearner
from cleaner.stages.inputs import embed_for, image_paths, machine_of, scan_limits, task_cache
from cleaner.stages.stage_run import Machine, StageRun


@dataclass(frozen=True)
class OpenedLearner:
    """A learner over images, and its part of the record."""

    learner: Learner
    machine: Machine
    cache: Path
    """Where fits, and checkpoints of unfinished ones, are stored; every machine that trains can reach it."""


def open_learner(
    run: StageRun[LabelsSettings] | StageRun[VerifySettings],
    rows: pd.DataFrame,
    num_classes: int,
    outside: Sequence[tuple[str, Path]] = (),
) -> OpenedLearner:
    """The learner of the settings, over manifest rows in their order and then `outside` images (image_id, path).

    Raises BackboneError for a network that cannot be loaded or fine-tuned, BadInputError for an image that changed.
    """
    workspace, options, embedding = run.workspace, run.options, run.settings.embedding
    if choose_learner(run.settings.learner, options.device) == "finetune":
        ids, paths = image_paths(run.parent.images_root, rows, outside)
        cache, trained = task_cache(workspace, options), trained_network(embedding)
        images = (tuple(ids), tuple(map(str, paths)), num_classes)
        timeout_s = scan_limits(workspace).file_timeout_s
        plan = LearnerPlan(*images, trained, options.device, str(cache), timeout_s)
        return _open_finetune(workspace, plan, options)
    embeddings, machine = embed_for(run, rows, outside)
    precision = resolve_precision(embedding.precision, resolve_device("cpu"))  # heads are trained on the CPU
    learner, cache = _open_heads(workspace, embeddings, num_classes, precision, options)
    return OpenedLearner(learner, machine, cache)


def _open_heads(
    workspace: Workspace, embeddings: Embeddings, num_classes: int, precision: str, options: RunOptions
) -> tuple[Learner, Path]:
    """Linear heads by steps or, of very many images and classes, in closed form; and where their fits are stored."""
    engine, cache = open_engine(options), task_cache(workspace, options)
    if is_for_closed_form(embeddings.plain.shape[0], num_classes):
        if engine.is_cluster:
            return ClosedFormLearner(embeddings, num_classes, engine.map, cache), cache
        return ClosedFormLearner(embeddings, num_classes), workspace.cache
    if engine.is_cluster and not is_remote(cache):
        return ClusterProbeLearner(embeddings, num_classes, precision, cache, engine.map), cache
    return ProbeLearner(embeddings, num_classes, precision, workspace.cache), workspace.cache


def _open_finetune(workspace: Workspace, plan: LearnerPlan, options: RunOptions) -> OpenedLearner:
    engine = open_engine(options)
    workers, progress = count_workers(options.workers), options.progress
    learner: FinetuneLearner | ClusterLearner
    if engine.is_cluster:
        learner = load_cluster_learner(
            plan, own_cache=workspace.cache, workers=workers, progress=progress, engine_map=engine.map
        )
        cache = task_cache(workspace, options)
    else:
        cache = workspace.cache
        learner = load_learner(replace(plan, cache=str(cache)), workers=workers, progress=progress)
    network = learner.blueprint
    machine = machine_of(network)
    return OpenedLearner(learner, machine, cache)
