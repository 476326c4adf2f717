"""What a stage trains, opened over its images: the probe on cached embeddings, or whole networks on cached pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cleaner.config import EmbeddingSettings, LearnerName, RunOptions
from cleaner.dataset.workspace import Workspace
from cleaner.engine.engine import open_engine
from cleaner.engine.local import count_workers
from cleaner.modeling.backbones import load_backbone, resolve_device, resolve_precision
from cleaner.modeling.closed_form import LARGEST_FOR_STEPS, ClosedFormLearner
from cleaner.modeling.finetune import FinetuneLearner, choose_learner, load_learner
from cleaner.modeling.learner import Learner
from cleaner.modeling.model_tasks import ClusterLearner, load_cluster_learner
from cleaner.modeling.probe import ProbeLearner
from cleaner.stages.inputs import embed_rows, image_paths, task_cache


@dataclass(frozen=True)
class OpenedLearner:
    """A learner over images, and what is recorded of it."""

    name: str
    """probe or finetune."""
    learner: Learner
    identity: str
    """Digest of the network and, for fine-tuning, of the images: what a cached fit depends on besides rows and seed."""
    card: dict[str, Any]
    """What the JSON beside a fold model says of what it takes and yields, but for the classes."""
    backbone: dict[str, Any]
    """The network it begins with, as `stage.json` has it."""
    device: str
    cache: Path
    """Where fits are kept, and checkpoints of those that are not done: where whoever trains can reach them."""


def open_learner(
    workspace: Workspace,
    images_root: Path,
    rows: pd.DataFrame,
    num_classes: int,
    name: LearnerName,
    embedding: EmbeddingSettings,
    options: RunOptions,
    outside: Sequence[tuple[str, Path]] = (),
) -> OpenedLearner:
    """The learner `name` over manifest rows in their order, followed by `outside` images (image_id, path).

    Raises BackboneError for a network that cannot be had or fine-tuned, BadInputError for an image that changed.
    """
    if choose_learner(name, options.device) == "finetune":
        return _open_finetune(workspace, image_paths(images_root, rows, outside), num_classes, embedding, options)
    backbone = load_backbone(embedding, options.device)
    embeddings = embed_rows(workspace, images_root, rows, backbone, options, outside)
    card = {
        "learner": "probe",
        "input": "(sign(e) * sqrt(|e|) - mean) / std of an embedding e",
        "backbone": backbone.describe(),
    }
    precision = resolve_precision(embedding.precision, resolve_device("cpu"))  # heads learn there, whatever embeds
    probe: Learner
    if len(rows) * num_classes > LARGEST_FOR_STEPS:
        probe = ClosedFormLearner(embeddings, num_classes)
    else:
        probe = ProbeLearner(embeddings, num_classes, precision, workspace.cache)
    device, identity = str(backbone.device), f"{backbone.key} {precision}"
    return OpenedLearner("probe", probe, identity, card, backbone.describe(), device, workspace.cache)


def _open_finetune(
    workspace: Workspace, images: tuple[list[str], list[Path]], num_classes: int, embedding: EmbeddingSettings,
    options: RunOptions,
) -> OpenedLearner:  # fmt: skip
    ids, paths = images
    engine = open_engine(options)
    workers, cache, progress = count_workers(options.workers), task_cache(workspace, options), options.progress
    learner: FinetuneLearner | ClusterLearner
    if engine.is_cluster:
        learner = load_cluster_learner(
            ids, paths, num_classes, embedding, options.device,
            cache=cache, own_cache=workspace.cache, workers=workers, progress=progress, engine_map=engine.map,
        )  # fmt: skip
    else:
        learner = load_learner(
            ids, paths, num_classes, embedding, options.device,
            cache=workspace.cache, workers=workers, progress=progress,
        )  # fmt: skip
        cache = workspace.cache
    network = learner.blueprint
    return OpenedLearner(
        "finetune", learner, learner.identity, learner.card(), network.describe(), str(network.device), cache
    )
