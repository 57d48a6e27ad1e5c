"""Which weights a normalisation follows, so that the loss does not feel their length: those that AdamC corrects."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from wdrun.decay.kinds import is_norm, makes_product
from wdrun.errors import ConfigError
from wdrun.wording import named

# Nodes of autograd's graph, by their names: a layer's product; what scales as its input does and so changes nothing for
# a norm behind it; torch's own norms, called as modules or as functions.
PRODUCTS = {"Convolution", "Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "Mv"}
PASSING = {
    *("T", "View", "UnsafeView", "ReshapeAlias", "Permute", "Transpose", "Movedim", "Unsqueeze", "Squeeze", "Expand"),
    *("Clone", "ToCopy", "Alias", "Slice", "Select", "Split", "SplitWithSizes", "Unbind", "ConstantPadNd", "Mean"),
    *("Relu", "LeakyRelu", "MaxPool2DWithIndices", "AvgPool2D", "AdaptiveAvgPool2D", "AdaptiveMaxPool2D"),
}
NORMS = {"NativeBatchNorm", "CudnnBatchNorm", "NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm", "_Norm"}


class _Norm(torch.autograd.Function):
    """The identity before a normalisation that is a module, which so has a node of its own in the graph."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def normed(model: nn.Module, x: Tensor) -> frozenset[str]:
    """Names of the parameters whose product goes nowhere but into a normalisation, found in one forward pass of `x`.

    Between the layer and the normalisation may be what passes a factor on: moves of elements, pooling, ReLU, dropout.
    A layer whose output goes elsewhere too, as into a residual sum, is not one. The pass is in evaluation mode, and the
    model is not to be used after it. ConfigError where it fails.
    """
    try:
        model.eval()
        for module in model.modules():
            if is_norm(module, model) and not any(map(makes_product, module.modules())):
                module.register_forward_pre_hook(_mark, with_kwargs=True)
        for p in model.parameters():
            p.requires_grad_(p.is_floating_point() or p.is_complex())
        with torch.enable_grad(), torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            outputs = model(x)
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"model: a forward pass of {len(x)} examples failed: {named(error)}") from error
    users = _users([w.grad_fn for w in tree_leaves(outputs) if isinstance(w, Tensor) and w.grad_fn])
    names = {id(p): name for name, p in model.named_parameters()}
    leaves = [node for node in users if hasattr(node, "variable")]
    return frozenset(names[id(leaf.variable)] for leaf in leaves if id(leaf.variable) in names and _led(leaf, users))


def _mark(module: nn.Module, args: Any, by_name: Any) -> Any:
    """Mark what goes into a normalisation; nothing where that is several tensors, which it may first add up."""
    tensors = [w for w in tree_leaves((args, by_name)) if isinstance(w, Tensor)]
    if len(tensors) != 1:
        return None
    return tree_map(lambda w: _Norm.apply(w) if isinstance(w, Tensor) and w.requires_grad else w, (args, by_name))


def _users(roots: list[Any]) -> dict[Any, list[Any]]:
    """Every node of the graph behind these -> the nodes that take what it gives."""
    found: dict[Any, list[Any]] = {root: [] for root in roots}
    waiting = list(found)
    while waiting:
        node = waiting.pop()
        for source, _ in node.next_functions:
            if source is None:
                continue
            if source not in found:
                found[source] = []
                waiting.append(source)
            found[source].append(node)
    return found


def _led(leaf: Any, users: dict[Any, list[Any]]) -> bool:
    """Whether all that is made of a parameter is one product and then, by way of PASSING alone, a normalisation."""
    waiting = [(user, False) for user in users[leaf]]
    ends = bool(waiting)
    while waiting and ends:
        node, product = waiting.pop()
        name = node.name().partition("Backward")[0]
        if product and name in NORMS:
            continue
        ends = bool(users[node]) and (name in PASSING or (not product and name in PRODUCTS))
        waiting += [(user, product or name in PRODUCTS) for user in users[node]]
    return ends
