"""Frozen networks that turn an image into an embedding: the embedded ones, or any timm model."""

from __future__ import annotations

import functools
import pickle
import platform
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from timm.data import resolve_model_data_config
from torch import nn

from cleaner.config import EmbeddingSettings
from cleaner.dataset.images import PIXELS_VERSION
from cleaner.dataset.store import Arrays, digest_of, sha256_file
from cleaner.errors import BackboneError, BadInputError, UsageError
from cleaner.freed_memory import keep_freed_memory
from cleaner.modeling import fusion
from cleaner.modeling.backbone_names import EMBEDDED, EmbeddedNetwork, architecture_of, each_network, require_known
from cleaner.modeling.style import StagedNetwork, compute_style, find_stages
from cleaner.reading import reading
from cleaner.system_errors import is_out_of_memory

_PIXELS = f"torch-bicubic {PIXELS_VERSION}"
"""How `embeddings.load_square` resizes; part of every cache key."""
_MOST = 60_000.0
"""Embeddings are kept as float16."""
_STYLE = "style-1"
"""How `embed` computes style; likewise."""
KEPT_BYTES = 1 << 30
"""Freed buffers that are kept: page faults took 40 % of embedding time."""


@dataclass(frozen=True)
class NetworkSpec:
    """Which network it is, and what input it takes."""

    name: str
    """timm's name of the architecture."""
    weights_sha256: str
    image_size: int
    mean: tuple[float, float, float]
    """Per channel, in 0 .. 255."""
    std: tuple[float, float, float]
    device: torch.device
    precision: str
    """fp32 or bf16."""

    def describe(self) -> dict[str, Any]:
        """Its entry in `stage.json`."""
        return {name: getattr(self, name) for name in ("name", "weights_sha256", "image_size", "precision")}


@dataclass(frozen=True)
class Backbone(NetworkSpec):
    """A network without its classifier, ready for inference."""

    network: nn.Module
    """As it was trained; on a CPU, `embed` runs a faster form of it."""
    settings: EmbeddingSettings
    """The settings it was loaded by, of this network alone."""

    @property
    def key(self) -> str:
        """A digest of all that an embedding depends on besides the image."""
        network = (self.name, self.weights_sha256, self.image_size, self.mean, self.std)
        arithmetic = (self.precision, self.device.type, _PIXELS, _STYLE)
        fused = fusion.FORMAT if fusion.can_fuse(self.device) else ""
        return digest_of(*network, *arithmetic, fused, *(["plain alone"] if self.settings.views == 1 else []))

    def describe(self) -> dict[str, Any]:
        """Its entry in `stage.json`, with the number of views."""
        return super().describe() | {"views": self.settings.views}

    @torch.inference_mode()
    def embed(self, pixels: np.ndarray) -> Arrays:
        """Embeddings of a batch, of its mirror images if there are two views, and its style.

        `pixels` (B, H, W, 3) uint8 RGB. Returns float16 arrays: `plain` and `mirrored` (B, D), and `style` (B, S) of
        the plain view, see modeling/style.py; S is 0 if timm does not name the network's stages.
        """
        x = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()  # channels last in memory already
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        x = x.sub_(mean).div_(std).to(self._dtype)
        plain, maps = self._forward(x)
        style = compute_style(maps, list(self._stages.values())) if maps else plain[:, :0]
        found = {"plain": _to_float16(plain), "style": _to_float16(style)}
        if self.settings.views == 2:
            found["mirrored"] = _to_float16(self._forward(x.flip(3))[0])
        return found

    def _forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Features (B, D) of normalised pixels, and the maps of the stages."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            found = self._inference(x)
        features, maps = found if self._stages else (found, [])
        return features, maps

    @functools.cached_property
    def _stages(self) -> dict[str, int]:
        return find_stages(self.network)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @functools.cached_property
    def _inference(self) -> nn.Module:
        stages = list(self._stages)
        if fusion.can_fuse(self.device):
            return fusion.fuse_network(self.network, self._dtype, stages)
        return StagedNetwork(self.network, stages) if stages else self.network


def _to_float16(values: torch.Tensor) -> np.ndarray:
    half: np.ndarray = values.float().clamp(-_MOST, _MOST).cpu().numpy().astype(np.float16)
    return half


def load_backbones(settings: EmbeddingSettings, device_name: str = "auto") -> tuple[Backbone, ...]:
    """The backbones that `settings` name, on the device; raises as `load_backbone` does."""
    return tuple(load_backbone(one, device_name) for one in each_network(settings))


def load_backbone(settings: EmbeddingSettings, device_name: str = "auto") -> Backbone:
    """The one backbone that `settings` name, on the device. An embedded network is read once in a process.

    Raises BackboneError if it is unknown or its weights cannot be fetched, BadInputError for a bad `weights` file,
    ValueError if settings name several.
    """
    (settings,) = each_network(settings)
    keep_freed_memory(KEPT_BYTES)
    is_embedded = settings.backbone in EMBEDDED and not settings.weights
    return (_load_once if is_embedded else _load)(settings, resolve_device(device_name))


def _load(settings: EmbeddingSettings, device: torch.device) -> Backbone:
    name, embedded = architecture_of(settings), EMBEDDED.get(settings.backbone)
    if settings.weights:
        path = Path(settings.weights)
        network = create_network(name, pretrained=False)
        _load_into(network, _read_checkpoint(path), path)
        digest = sha256_file(path)
    elif embedded is not None:
        network, digest = _embedded(embedded)
    else:
        network = create_network(name, pretrained=True)
        digest = digest_of(*(v.cpu().float().numpy() for v in network.state_dict().values()))
    mean, std = normalisation_of(network, embedded=embedded is not None)
    network.reset_classifier(0)  # type: ignore[operator]
    network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.weights:
        _require_sight(network, settings.image_size, device, settings.weights)
    precision = resolve_precision(settings.precision, device)
    return Backbone(name, digest, settings.image_size, mean, std, device, precision, network, settings)


_load_once = functools.lru_cache(maxsize=4)(_load)  # the stages of one run use the same networks


def resolve_device(name: str) -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`. Raises UsageError if this machine has none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r} is unknown", expected="auto, cpu, cuda, cuda:N or mps") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False):
        raise UsageError(f"device {name!r} is not on this machine", next_step="use --device cpu, or leave it at auto")
    return device


def resolve_precision(precision: str, device: torch.device) -> str:
    """The arithmetic for `auto`: bf16 if the chip has it, by a fixed table, never by timing."""
    if precision != "auto":
        return precision
    has_bf16 = False
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported()
    elif device.type == "cpu":
        has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported() and _has_avx512_bf16()
    return "bf16" if has_bf16 else "fp32"


def num_threads() -> int:
    """Threads of the arithmetic; results may depend on their number in the last bit."""
    return torch.get_num_threads()


def set_num_threads(num: int) -> None:
    """Set the number of threads for this process."""
    torch.set_num_threads(num)


def _has_avx512_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def create_network(name: str, *, pretrained: bool) -> nn.Module:
    """Timm's network of that name. Raises BackboneError if there is none, or its weights cannot be fetched."""
    require_known(name)
    try:
        network: nn.Module = timm.create_model(name, pretrained=pretrained)
    except Exception as error:  # hub, network and file errors of many libraries
        if is_out_of_memory(error):
            raise
        raise BackboneError(
            f"backbone {name!r}: its weights could not be fetched from the model hub",
            found=f"{type(error).__name__}: {error}".splitlines()[0],
            next_step="use the embedded default (leave --backbone out), or give a local checkpoint with --weights FILE",
        ) from error
    return network


def _embedded(embedded: EmbeddedNetwork) -> tuple[nn.Module, str]:
    """A network with the weights of its package, whose entries are in timm's order, with equal shapes."""
    path = embedded.weights_path()
    network = create_network(embedded.architecture, pretrained=False)
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = network.state_dict()
    if [v.shape for v in theirs.values()] != [v.shape for v in ours.values()]:
        raise BackboneError(
            f"{path}: entries differ from timm's {embedded.architecture}", next_step="pip install -U timm"
        )
    network.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
    return network, sha256_file(path)


def normalisation_of(
    network: nn.Module, *, embedded: bool
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of each channel, in 0 .. 255, that normalise a network's input."""
    if embedded:
        return (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)
    config = resolve_model_data_config(network)
    mean, std = (tuple(255.0 * v for v in config[k]) for k in ("mean", "std"))
    return mean, std


def _read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise BadInputError(
            f"{path}: no such weights file", next_step="give a .safetensors or .pth file with --weights"
        )
    save = "save the model's state_dict again, best with safetensors"
    with reading(path, "weights file (.safetensors or .pth)", save):
        state: Any = load_file(path) if path.suffix == ".safetensors" else _read_pth(path)
        for wrapper in ("state_dict_ema", "state_dict", "model"):
            if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
                state = state[wrapper]
        if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
            raise ValueError("it holds no table of tensors")
        if not all(isinstance(k, str) for k in state):
            raise ValueError("its tensors have no names")
        return {k.removeprefix("module."): v for k, v in state.items()}


def _load_into(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Load everything but the classifier, all of which must be there and fit."""
    classifier = network.get_classifier()  # type: ignore[operator]
    head = {n for n, m in network.named_modules() if m is classifier}
    wanted = network.state_dict()
    body = {k for k in wanted if not any(k.startswith(f"{h}.") for h in head)}
    wrong = sorted(k for k in body if k not in state or state[k].shape != wanted[k].shape)
    if wrong:
        raise BadInputError(
            f"{path}: does not fit the backbone",
            expected=f"an entry {wrong[0]} of shape {tuple(wanted[wrong[0]].shape)}",
            found=f"{tuple(state[wrong[0]].shape)}" if wrong[0] in state else "no such entry",
            next_step="name the network that it belongs to with --backbone",
        )
    require_finite({k: state[k] for k in sorted(body)}, path)
    with reading(path, "weights file that fits the backbone", "save the model's state_dict again"):
        network.load_state_dict({k: v for k, v in state.items() if k in body}, strict=False)


def _require_sight(network: nn.Module, image_size: int, device: torch.device, path: str) -> None:
    """Raise BadInputError for a network, finite as its weights are, that makes no finite embedding of a picture."""
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, image_size, image_size, device=device))
    if not (features.abs() < _MOST).all():
        raise BadInputError(
            f"{path}: the network sees nothing with these weights",
            expected=f"embeddings between {-_MOST:,.0f} and {_MOST:,.0f}",
            found=f"up to {features.abs().max():.3g} for a grey picture",
            next_step="save the weights of another epoch, or train again",
        )


def _read_pth(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # of old pickles and sparse tensors
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # whose advice is to load it all the same
        raise ValueError("it is damaged, or would run code when it is loaded: nothing was run") from error


def require_finite(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Raise BadInputError, naming the entry, for weights that are NaN or infinite, or no real numbers."""
    for name, values in tensors.items():
        is_plain = values.layout == torch.strided and not values.is_complex() and not values.is_quantized
        if not is_plain or not torch.isfinite(values).all():
            raise BadInputError(
                f"{path}: {name} holds what no sound network does",
                expected="finite numbers",
                found="NaN or infinity" if is_plain else f"{values.dtype}, {values.layout}",
                next_step="save the weights of another epoch, or train again",
            )


def other_network() -> BackboneError:
    """The error of a worker whose network is not that of the machine that asks."""
    return BackboneError(
        f"{platform.node()}: its network is not that of the machine that asked",
        expected="equal weights, precision and kind of device on all nodes",
        next_step="install the same packages on all nodes, and the weights where all can read them",
    )
