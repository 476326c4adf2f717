"""Fast inference of a frozen convolutional network on a CPU: batch norm and activation fused by oneDNN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from cleaner.modeling.style import StagedNetwork

FORMAT = "onednn-1"
"""Part of every cache key; changes with what is computed here."""


def can_fuse(device: torch.device) -> bool:
    """Whether fused convolutions run on the device."""
    return device.type == "cpu" and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def fuse_network(network: nn.Module, dtype: torch.dtype, stages: Sequence[str] = ()) -> nn.Module:
    """`network` (in eval mode, on the CPU) with its batch norms folded into the convolutions before them.

    The weights of these convolutions are kept as `dtype`, float32 or bfloat16. The network itself is not changed.
    With `stages`, names of modules, the result returns their outputs too, as `StagedNetwork` does. A network whose
    `forward` torch.fx cannot trace runs unfused.
    """
    try:
        tracer = _Tracer(stages)
        graph = tracer.trace(network)
    except Exception:  # a network's own code may raise anything when it gets a proxy
        return StagedNetwork(network, stages) if stages else network
    if stages:
        (end,) = (node for node in graph.nodes if node.op == "output")
        end.args = ((end.args[0], list(tracer.ends)),)
    fused = fx.GraphModule(network, graph)
    modules = dict(fused.named_modules())
    uses = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in list(graph.nodes):
        before = node.args[0] if node.args else None
        if not (isinstance(before, fx.Node) and before.op == node.op == "call_module"):
            continue
        conv, norm = modules[str(before.target)], modules[str(node.target)]
        once = len(before.users) == uses[before.target] == uses[node.target] == 1
        if once and _is_plain(conv) and _is_norm(norm):
            fused.set_submodule(str(before.target), FusedConvolution(conv, norm, dtype))
            node.replace_all_uses_with(before)
            graph.erase_node(node)
    fused.recompile()
    return fused


class FusedConvolution(nn.Module):
    """A convolution, its batch norm and, if oneDNN supports it, the activation, in one pass over memory."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, dtype: torch.dtype) -> None:
        super().__init__()
        assert norm.running_mean is not None and norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        self.weight = nn.Parameter(
            weight.detach().to(dtype).contiguous(memory_format=torch.channels_last), requires_grad=False
        )
        self.bias = nn.Parameter(bias.detach().to(dtype), requires_grad=False)
        self.shape = [list(v) for v in (conv.padding, conv.stride, conv.dilation)]
        self.groups = conv.groups
        activation = getattr(norm, "act", nn.Identity())
        self.within = _ONEDNN_NAME.get(type(activation), ("none", []))
        self.after = nn.Identity() if type(activation) in _ONEDNN_NAME else activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) of any float type in, of the weights' type out."""
        x = x.to(self.weight.dtype)
        name, limits = self.within
        y: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.shape, self.groups, name, limits, ""
        )
        return self.after(y)  # type: ignore[no-any-return]


_ONEDNN_NAME: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}


class _Tracer(fx.Tracer):
    """Records where stages end."""

    def __init__(self, stages: Sequence[str]) -> None:
        super().__init__()
        self._stages = set(stages)
        self.ends: list[fx.Node] = []

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        out = super().call_module(m, forward, args, kwargs)
        if self.path_of_module(m) in self._stages:
            self.ends.append(out.node)
        return out

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m.__module__.startswith("timm.layers.") or super().is_leaf_module(m, module_qualified_name)


def _is_plain(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _is_norm(module: nn.Module) -> bool:
    """Torch's batch norm, or timm's with an activation, with fixed statistics."""
    name = type(module).__name__
    if not isinstance(module, nn.BatchNorm2d) or name not in ("BatchNorm2d", "BatchNormAct2d"):
        return False
    return module.running_mean is not None and isinstance(getattr(module, "drop", nn.Identity()), nn.Identity)
