"""Checkpoints as teachers: trained networks and probes, of any architecture, whose mean prediction a student learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import nn

from cleaner.config import EmbeddingSettings
from cleaner.errors import BadInputError, first_few
from cleaner.modeling.backbone_names import EMBEDDED, architecture_of, each_network
from cleaner.modeling.backbones import load_backbone, require_finite, resolve_device, resolve_precision
from cleaner.modeling.cards import NEXT, FrozenNetwork, NetworkCard, ProbeCard, read_card
from cleaner.modeling.features import hellinger
from cleaner.modeling.networks import Blueprint
from cleaner.modeling.objective import Teacher
from cleaner.reading import reading


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
    probes: list[tuple[Path, ProbeCard]] = []
    for path in files:
        card = read_card(path)
        columns = _columns(card.classes, classes, path)
        if isinstance(card, ProbeCard):
            probes.append((path, card))
        else:
            teachers.append((_network_teacher(path, card, columns, device), 1))
    if probes:
        columns = _columns(probes[0][1].classes, classes, probes[0][0])
        teachers.append((_probe_teacher(probes, columns, settings, device), len(probes)))
    return Ensemble(teachers)


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


def _network_teacher(path: Path, card: NetworkCard, columns: torch.Tensor, device_name: str) -> NetworkTeacher:
    device, tensors = resolve_device(device_name), _read_tensors(path)
    network = timm.create_model(card.architecture, pretrained=False, num_classes=len(card.classes))
    with reading(path, "checkpoint of the network that the JSON beside it describes", NEXT):
        network.load_state_dict(tensors)
    precision = resolve_precision("auto", device)
    blueprint = Blueprint(card.architecture, "", card.image_size, card.mean, card.std, device, precision, body=None)
    network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    return NetworkTeacher(network, blueprint, columns.to(device))


def _probe_teacher(
    probes: list[tuple[Path, ProbeCard]], columns: torch.Tensor, settings: EmbeddingSettings, device: str
) -> ProbeTeacher:
    first = probes[0][1]
    backbones = [load_backbone(_probe_settings(one, settings), device) for one in first.networks]
    blueprints, weights, to = (
        [Blueprint.of(b) for b in backbones],
        [b.weights_sha256 for b in backbones],
        backbones[0].device,
    )
    dim = sum(_features(b, torch.zeros(1, 3, b.image_size, b.image_size, device=to)).shape[1] for b in blueprints)
    heads = []
    for path, card in probes:
        if [b.weights_sha256 for b in card.networks] != weights or card.classes != first.classes:
            raise BadInputError(
                f"{path}: a probe with other classes or other backbones",
                expected=", ".join(f"{b.name} with weights {b.weights_sha256[:12]}…" for b in backbones),
                found=", ".join(b.name for b in card.networks),
                next_step="give the same --backbone and --weights as to `cleaner labels`",
            )
        heads.append({name: tensor.float().to(to) for name, tensor in _read_head(path, len(card.classes), dim).items()})
    return ProbeTeacher(blueprints, heads, columns.to(to))


def _probe_settings(network: FrozenNetwork, settings: EmbeddingSettings) -> EmbeddingSettings:
    """The settings of a probe's backbone, by its card; weights from a file only if this run's network is the same."""
    same = settings.replace(image_size=network.image_size, precision=network.precision)
    for one in each_network(settings):
        if architecture_of(one) == network.name:
            return same.replace(backbone=one.backbone)
    embedded = (name for name, known in EMBEDDED.items() if known.architecture == network.name)
    return same.replace(weights="", backbone=next(embedded, network.name))


def _read_head(path: Path, num_classes: int, dim: int) -> dict[str, torch.Tensor]:
    tensors = _read_tensors(path)
    wanted = {"weight": (num_classes, dim), "bias": (num_classes,), "mean": (dim,), "std": (dim,)}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != wanted:
        raise BadInputError(
            f"{path}: not the probe that the JSON beside it describes",
            expected=", ".join(f"{name} {shape}" for name, shape in wanted.items()),
            found=first_few([f"{name} {shape}" for name, shape in found.items()]),
            next_step=NEXT,
        )
    return tensors


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    with reading(path, "checkpoint (.safetensors)", NEXT):
        tensors = load_file(path)
    require_finite(tensors, path)
    return tensors
