"""Outputs of R models at once. Shapes: R runs, B batch, C H W image, K classes; a parameter (…) is stacked as (R, …).

`vmap` lifts any functional-safe module. Plain stacks of layers (linear, mlp and cnn without norms) also go by hand:
`grouped` makes their convolutions one with a group of channels a run, and a batch that all runs share enters the first
layer as one wide layer of R·O outputs. Both are the same function; by hand is the faster, on a GPU too
(tests/bench/README.md; convolutions as batched matrix products were slower there).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from wdrun import models
from wdrun.tensors import Tensors

WAYS = ("vmap", "grouped")
PRODUCTS = {
    *(F.linear, F.conv1d, F.conv2d, F.conv3d, F.scaled_dot_product_attention, torch.einsum),
    *(torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm, Tensor.matmul, Tensor.__matmul__, Tensor.mm),
}
NORMS = {F.group_norm, F.layer_norm}  # a batch norm takes its statistics in float32 whatever its input is

Forward = Callable[[Tensors, Tensors, Tensor, bool], Tensor]  # params, buffers, x, is x shared -> (R, B, K)


def forward(model: nn.Module, way: str, bf16: bool = False) -> Forward:
    """The lifted model, `way` one of `ways(model)`. x is (B, …) when shared, else (R, B, …).

    `bf16`: the caller has autocast on; within vmap, where torch's own does nothing, its like is switched on here.
    """
    if way == "vmap":
        return _by_vmap(model, bf16)
    return _by_hand(list(_layers(model)))


def ways(model: nn.Module) -> tuple[str, ...]:
    """The ways this model can go, the one for a GPU first."""
    layers = list(_layers(model))
    own = {f"{name}.{part}" for name, layer in layers for part in dict(layer.named_parameters())}
    if not all(_known(layer) for _, layer in layers) or own != {n for n, _ in model.named_parameters()}:
        return ("vmap",)
    return ("grouped", "vmap")


class Cast(TorchFunctionMode):
    """Matrix products and convolutions in bf16, norms in float32, as autocast does it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = torch.bfloat16 if func in PRODUCTS else torch.float32 if func in NORMS else None
        if kind is not None:
            args, kwargs = tree_map_only(Tensor, lambda w: w.to(kind), (args, kwargs))
        return func(*args, **(kwargs or {}))


def _by_vmap(model: nn.Module, bf16: bool) -> Forward:
    def one(params: Tensors, buffers: Tensors, x: Tensor) -> Tensor:
        with Cast() if bf16 else nullcontext():
            return models.forward(model, params, buffers, x)

    def outputs(params: Tensors, buffers: Tensors, x: Tensor, shared: bool) -> Tensor:
        found: Tensor = torch.func.vmap(one, in_dims=(0, 0, None if shared else 0))(params, buffers, x)
        return found

    return outputs


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of the layers of a plain stack, each as often as it is used, or the model itself."""
    yield from model._modules.items() if type(model) is nn.Sequential else [("", model)]


def _known(layer: nn.Module) -> bool:
    if layer._forward_hooks or layer._forward_pre_hooks:
        return False
    if type(layer) is nn.Conv2d:
        as_made = (layer.stride, layer.padding, layer.dilation, layer.groups) == ((1, 1), (0, 0), (1, 1), 1)
        return as_made and layer.bias is not None
    if type(layer) is nn.Linear:
        return layer.bias is not None
    if type(layer) is nn.Flatten:
        return (layer.start_dim, layer.end_dim) == (1, -1)
    return type(layer) in (nn.ReLU, nn.MaxPool2d)


def _by_hand(layers: list[tuple[str, nn.Module]]) -> Forward:
    def outputs(params: Tensors, buffers: Tensors, x: Tensor, shared: bool) -> Tensor:
        for name, layer in layers:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                apply = grouped if isinstance(layer, nn.Conv2d) else dense
                x = apply(x, params[f"{name}.weight"], params[f"{name}.bias"], shared)
                shared = False
            elif isinstance(layer, nn.Flatten):
                x = x.flatten(1 if shared else 2)
            else:
                x = layer(x) if shared or isinstance(layer, nn.ReLU) else _pooled(layer, x)
        return x

    return outputs


def dense(x: Tensor, weight: Tensor, bias: Tensor, shared: bool) -> Tensor:
    """Wx + b of every run: x (R, B, I), or (B, I) when shared; weight (R, O, I), bias (R, O) -> (R, B, O)."""
    if shared:
        wide = F.linear(x, weight.flatten(0, 1), bias.flatten())
        return wide.unflatten(1, bias.shape).movedim(1, 0)
    return torch.baddbmm(bias[:, None], x, weight.mT)


def grouped(x: Tensor, weight: Tensor, bias: Tensor, shared: bool) -> Tensor:
    """Convolutions as one: x (R, B, C, H, W), or (B, C, H, W); weight (R, O, C, kh, kw) -> (R, B, O, H', W').

    In memory the runs lie beside the channels, (B, H', W', R, O), so a later layer takes them as they are.
    """
    runs = len(weight)
    if not shared:
        x = x.movedim(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    wide = F.conv2d(x, weight.flatten(0, 1), bias.flatten(), groups=1 if shared else runs)
    return wide.unflatten(1, (runs, -1)).movedim(1, 0)


def _pooled(layer: nn.Module, x: Tensor) -> Tensor:
    """A pooling of x (R, B, C, H, W), runs taken as channels or as examples: whichever costs no copy."""
    runs, batch, features = x.shape[:3]
    if x.stride(0) < x.stride(1):
        beside: Tensor = layer(x.movedim(0, 1).flatten(1, 2))
        return beside.unflatten(1, (runs, features)).movedim(1, 0)
    below: Tensor = layer(x.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    return below.unflatten(0, (runs, batch))
