"""Checkpoints as teachers: trained networks and probes, of any architecture, whose mean prediction a student learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cleaner.config import EmbeddingSettings
from cleaner.dataset.store import read_json
from cleaner.errors import BadInputError, first_few
from cleaner.modeling.backbone_names import EMBEDDED, architecture_of, each_network
from cleaner.modeling.backbones import load_backbone, resolve_device, resolve_precision
from cleaner.modeling.features import hellinger
from cleaner.modeling.networks import Blueprint
from cleaner.modeling.objective import Teacher

CLASS_MAP = "class_map.json"
_NEXT = "give a checkpoint of `cleaner train`, or of `cleaner labels` (labels/models)"


@dataclass(frozen=True)
class NetworkTeacher:
    """A fine-tuned network."""

    network: nn.Module
    blueprint: Blueprint
    columns: torch.Tensor
    """(K,) int64: the teacher's class number for each of the student's classes."""

    @torch.no_grad()
    def probs(self, images: torch.Tensor) -> torch.Tensor:
        """See Teacher.probs."""
        device = self.blueprint.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.blueprint.precision == "bf16"):
            logits = self.network(self.blueprint.prepare(images))
        probs: torch.Tensor = logits.float()[:, self.columns].softmax(1)
        return probs


@dataclass(frozen=True)
class ProbeTeacher:
    """Several probes on the same frozen backbones, such as the folds of a labels stage."""

    blueprints: list[Blueprint]
    heads: list[dict[str, torch.Tensor]]
    """weight (K, D), bias (K,), mean and std (D,) of each."""
    columns: torch.Tensor

    @torch.no_grad()
    def probs(self, images: torch.Tensor) -> torch.Tensor:
        """See Teacher.probs."""
        features = torch.cat([_features(blueprint, images) for blueprint in self.blueprints], 1)
        each = [
            nn.functional.linear((features - h["mean"]) / h["std"], h["weight"], h["bias"])[:, self.columns].softmax(1)
            for h in self.heads
        ]
        return torch.stack(each).mean(0)


def _features(blueprint: Blueprint, images: torch.Tensor) -> torch.Tensor:
    """What a probe learned from (B, D), of pixels (B, 3, H, W) in 0 .. 255."""
    assert blueprint.body is not None
    with torch.autocast(blueprint.device.type, torch.bfloat16, enabled=blueprint.precision == "bf16"):
        features: torch.Tensor = blueprint.body(blueprint.prepare(images))
    return hellinger(features.float())


@dataclass(frozen=True)
class Ensemble:
    """The mean of several teachers."""

    teachers: list[tuple[Teacher, int]]
    """Each with the number of its checkpoints."""

    @property
    def size(self) -> int:
        """Number of checkpoints."""
        return sum(num for _, num in self.teachers)

    def probs(self, images: torch.Tensor) -> torch.Tensor:
        """See Teacher.probs."""
        return torch.stack([t.probs(images) * num for t, num in self.teachers]).sum(0) / self.size


def load_teachers(files: Sequence[Path], classes: Sequence[str], settings: EmbeddingSettings, device: str) -> Ensemble:
    """The teachers in `files`, for `classes` in their order; probes use their own backbone.

    Raises BadInputError, naming the file, if one cannot be read, lacks a class or needs another backbone.
    """
    teachers: list[tuple[Teacher, int]] = []
    probes: list[tuple[Path, dict[str, Any]]] = []
    for path in files:
        card = read_card(path)
        columns = _columns(card["classes"], classes, path)
        if card.get("learner") == "probe":
            probes.append((path, card))
        else:
            teachers.append((_network_teacher(path, card, columns, device), 1))
    if probes:
        columns = _columns(probes[0][1]["classes"], classes, probes[0][0])
        teachers.append((_probe_teacher(probes, columns, settings, device), len(probes)))
    return Ensemble(teachers)


def read_card(path: Path) -> dict[str, Any]:
    """The JSON that describes a checkpoint: `NAME.json` beside it, or class_map.json of its folder."""
    for beside in (path.with_suffix(".json"), path.with_name(CLASS_MAP)):
        if beside.is_file():
            try:
                card = read_json(beside)
                if isinstance(card, dict) and isinstance(card.get("classes"), list):
                    return card
            except ValueError:
                pass
            raise BadInputError(f"{beside}: does not list the classes", next_step=_NEXT)
    raise BadInputError(f"{path}: no file beside it says which classes it knows", next_step=_NEXT)


def _columns(theirs: list[str], ours: Sequence[str], path: Path) -> torch.Tensor:
    place = {name: i for i, name in enumerate(theirs)}
    lacking = [name for name in ours if name not in place]
    if lacking:
        raise BadInputError(
            f"{path}: a teacher that does not know {len(lacking)} of the classes",
            found=f"no {first_few(lacking)}",
            next_step="train the teacher on the same classes, or give another one",
        )
    return torch.tensor([place[name] for name in ours])


def _network_teacher(path: Path, card: dict[str, Any], columns: torch.Tensor, device_name: str) -> NetworkTeacher:
    device = resolve_device(device_name)
    try:
        network = timm.create_model(card["architecture"], pretrained=False, num_classes=len(card["classes"]))
        network.load_state_dict(_read_tensors(path))
        mean, std = ((v[0], v[1], v[2]) for v in (card["mean"], card["std"]))
        precision = resolve_precision("auto", device)
        blueprint = Blueprint(card["architecture"], "", card["image_size"], mean, std, device, precision, body=None)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise BadInputError(
            f"{path}: does not fit the JSON beside it", found=str(error)[:300], next_step=_NEXT
        ) from error
    network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    return NetworkTeacher(network, blueprint, columns.to(device))


def _probe_teacher(
    probes: list[tuple[Path, dict[str, Any]]], columns: torch.Tensor, settings: EmbeddingSettings, device: str
) -> ProbeTeacher:
    first = probes[0][1]
    backbones = [load_backbone(_probe_settings(card, settings), device) for card in _backbone_cards(first)]
    weights, to = [b.weights_sha256 for b in backbones], backbones[0].device
    heads = []
    for path, card in probes:
        theirs = _backbone_cards(card)
        if [b["weights_sha256"] for b in theirs] != weights or card["classes"] != first["classes"]:
            raise BadInputError(
                f"{path}: a probe with other classes or other backbones",
                expected=", ".join(f"{b.name} with weights {b.weights_sha256[:12]}…" for b in backbones),
                found=", ".join(str(b["name"]) for b in theirs),
                next_step="give the same --backbone and --weights as to `cleaner labels`",
            )
        heads.append({name: tensor.float().to(to) for name, tensor in _read_tensors(path).items()})
    return ProbeTeacher([Blueprint.of(b) for b in backbones], heads, columns.to(to))


def _backbone_cards(card: dict[str, Any]) -> list[dict[str, Any]]:
    cards: list[dict[str, Any]] = card.get("backbones") or [card["backbone"]]
    return cards


def _probe_settings(card: dict[str, Any], settings: EmbeddingSettings) -> EmbeddingSettings:
    """The settings of a probe's backbone, by its card; weights from a file only if this run's network is the same."""
    same = replace(settings, image_size=card["image_size"], precision=card["precision"])
    for one in each_network(settings):
        if architecture_of(one) == card["name"]:
            return replace(same, backbone=one.backbone)
    embedded = (name for name, network in EMBEDDED.items() if network.architecture == card["name"])
    return replace(same, weights="", backbone=next(embedded, card["name"]))


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{path}: not a readable checkpoint", found=str(error)[:300], next_step=_NEXT) from error
