"""The forward pass, and the chains of plain layers that need nothing of `functional_call` for it."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

# Layers that keep no state and draw nothing: a chain of them is run without functional_call.
PLAIN = (nn.Linear, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten)
Layers = list[tuple[str, nn.Module]]  # of a chain, by name
SMALL_PRODUCT = 2**20  # multiply-adds below which a CPU gains nothing by bf16


def flattens(model: nn.Module) -> bool:
    """Whether the first thing done to an image is to flatten it, so that it is best laid out as NCHW."""
    return isinstance(next(model.children(), None), nn.Flatten)


def forward(model: nn.Module, params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
    """Logits (B, K) of the model with these parameters; `buffers` is updated in place by a training-mode batch norm."""
    if (layers := plain_layers(model)) is None:
        return functional_call(model, (params, buffers), (x,))
    return through(layers, params, x)


def through(layers: Layers, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The outputs of a chain of plain layers with these parameters."""
    for name, layer in layers:
        if isinstance(layer, nn.Linear):
            weight = params[f"{name}.weight"]
            x = F.linear(x.to(weight.dtype), weight, params.get(f"{name}.bias"))
        elif isinstance(layer, nn.Conv2d):
            weight, bias = params[f"{name}.weight"], params.get(f"{name}.bias")
            x = F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        else:
            x = layer(x)
    return x


def worth_bf16(layers: Layers, batch: int, device: torch.device) -> list[str]:
    """The layers of a plain chain whose products are faster in bf16: on a CPU not those of under 2²⁰ multiply-adds.

    A product so small takes a processor half the time in fp32, where it is at least as exact.
    """
    least = SMALL_PRODUCT if device.type == "cpu" else 0
    return [
        name
        for name, layer in layers
        if isinstance(layer, nn.Conv2d)
        or (isinstance(layer, nn.Linear) and batch * layer.in_features * layer.out_features >= least)
    ]


def plain_layers(model: nn.Module) -> Layers | None:
    """The layers of a chain that needs nothing of `functional_call` but its parameters: our models without norms.

    The same function without functional_call's exchange of parameters, which takes as long as a small layer.
    """
    if type(model) is not nn.Sequential:
        return None
    layers = list(model._modules.items())
    return layers if all(type(m) in PLAIN and _as_made(m) for _, m in layers) else None


def _as_made(layer: nn.Module) -> bool:
    """Whether a layer of PLAIN does no more than its function: no hooks, padded with zeros."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
    return not hooked and (type(layer) is not nn.Conv2d or layer.padding_mode == "zeros")
