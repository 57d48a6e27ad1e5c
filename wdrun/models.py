"""The models: linear, mlp, cnn, or a user's own nn.Module. Shapes: B batch, C H W image, K classes."""

from __future__ import annotations

import importlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from wdrun.accepts import check_names
from wdrun.errors import ConfigError
from wdrun.streams import seeded, stream_seed
from wdrun.wording import named

# Layers that keep no state and draw nothing: a chain of them is run without functional_call.
PLAIN = (nn.Linear, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten)
SMALL_PRODUCT = 2**20  # multiply-adds below which a CPU gains nothing by bf16
NORMS = ("none", "batch", "group", "layer")


def linear(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Multinomial logistic regression, or linear regression when K = 1: W·x + b, (B, C, H, W) or (B, F) -> (B, K)."""
    return mlp(input_shape, classes, hidden=(), dropout=0.0, norm="none")


def mlp(input_shape: tuple[int, ...], classes: int, *, hidden: tuple[int, ...], dropout: float, norm: str) -> nn.Module:
    """Fully connected ReLU network (articles 001-003): flatten, then fc → norm → relu → dropout a hidden layer."""
    widths = (prod(input_shape), *hidden)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i in range(1, len(widths)):
        layers[f"fc{i}"] = nn.Linear(widths[i - 1], widths[i])
        layers |= _norm(f"norm{i}", norm, widths[i], spatial=False)
        layers[f"relu{i}"] = nn.ReLU()
        layers |= _dropout(f"dropout{i}", dropout)
    layers[f"fc{len(widths)}"] = nn.Linear(widths[-1], classes)
    return nn.Sequential(layers)


def cnn(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    channels: tuple[int, ...],
    width: int,
    dropout: float,
    norm: str,
) -> nn.Module:
    """Article 004's network: 5×5 convolutions, each max-pooled by 2, then two fully connected layers.

    With channels (64, 64), width 128 and 3×32×32 inputs the flattened size is 64·5·5 = 1600 (the article's
    64·28·28 cannot run) and there are 313,546 parameters. ReLU follows the pooling: the same function, since both
    are monotone, on a quarter of the elements.
    """
    if len(input_shape) != 3:
        raise ConfigError("model=cnn: needs images; these data are features, which model=linear and model=mlp take")
    depth, height, across = input_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, features in enumerate(channels, start=1):
        layers[f"conv{i}"] = nn.Conv2d(depth, features, kernel_size=5)
        layers |= _norm(f"norm{i}", norm, features, spatial=True)
        layers[f"pool{i}"] = nn.MaxPool2d(2)
        layers[f"relu{i}"] = nn.ReLU()
        depth, height, across = features, (height - 4) // 2, (across - 4) // 2
    if height < 1 or across < 1:
        raise ConfigError(_too_small(channels, input_shape))
    last = len(channels) + 1
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(depth * height * across, width)
    layers |= _norm(f"norm{last}", norm, width, spatial=False)
    layers[f"relu{last}"] = nn.ReLU()
    layers |= _dropout("dropout", dropout)
    layers["fc2"] = nn.Linear(width, classes)
    return nn.Sequential(layers)


def _too_small(channels: tuple[int, ...], input_shape: tuple[int, ...]) -> str:
    """The refusal of images that so many 5×5 convolutions, each pooled by 2, leave no pixel of."""
    edges = [1]
    while len(edges) <= len(channels):
        edges.append(2 * edges[-1] + 4)
    fit = sum(edge <= min(input_shape[1:]) for edge in edges[1:])
    fewer = f"{list(channels[:fit])} or " if fit else ""
    return (
        f"model.channels={list(channels)}: needs images of {edges[-1]}×{edges[-1]} or more, not "
        f"{input_shape[1]}×{input_shape[2]}; take {fewer}model=mlp"
    )


def _norm(name: str, kind: str, features: int, *, spatial: bool) -> dict[str, nn.Module]:
    if kind == "none":
        return {}
    if kind == "batch":
        return {name: nn.BatchNorm2d(features) if spatial else nn.BatchNorm1d(features)}
    # One group over all channels is layer norm for a convolution; 8 groups where they divide the channels.
    groups = 8 if kind == "group" and features % 8 == 0 else 1
    return {name: nn.GroupNorm(groups, features)}


def _dropout(name: str, rate: float) -> dict[str, nn.Module]:
    return {name: nn.Dropout(rate)} if rate else {}


MODELS: dict[str, Callable[..., nn.Module]] = {"linear": linear, "mlp": mlp, "cnn": cnn}
BUILT_IN = ("hidden", "channels", "width", "dropout", "norm")


def build(spec: Mapping[str, Any], input_shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
    """The model of a `conf/model/*.yaml`, initialised on the CPU from (seed, "init") so that every device agrees.

    A user's class (`model._target_=my.module.Net`) is called with the keys the user added, and with `input_shape`,
    `classes` and the built-in options' arguments where its signature names them; what it draws from `random` and numpy
    is keyed like torch's, and its lazy layers take their shapes from a forward pass over zeros. ConfigError when it
    cannot be imported or does not take its arguments.
    """
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items() if k not in ("name", "_target_")}
    target = spec.get("_target_")
    if target is None:
        with seeded(stream_seed(seed, "init")):
            return _built_in(spec["name"], arguments, input_shape, classes)
    made = factory(target)
    offered: dict[str, Any] = {"input_shape": input_shape, "classes": classes}
    offered |= {k: arguments.pop(k) for k in BUILT_IN if k in arguments}
    with seeded(stream_seed(seed, "init"), own=True):
        try:
            taken = inspect.signature(made).parameters
            model = made(**arguments, **{k: v for k, v in offered.items() if k in taken})
            if isinstance(model, nn.Module):
                _give_shapes(model, input_shape)
        except Exception as error:  # whatever the user's code raises
            raise ConfigError(f"model._target_={target}: {named(error)}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model._target_={target}: gave a {type(model).__name__}, not a torch.nn.Module")
    return model


def _give_shapes(model: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Let lazy layers, where there are any, take their shapes: by a forward pass that moves no statistics."""
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        model.eval()
        with torch.no_grad():
            model(torch.zeros(2, *input_shape))
        model.train()


def _built_in(name: str, arguments: Mapping[str, Any], input_shape: tuple[int, ...], classes: int) -> nn.Module:
    if name not in MODELS:
        raise ConfigError(f"model.name={name}: must be one of {', '.join(MODELS)}, or set model._target_")
    takes = [p.name for p in inspect.signature(MODELS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    check_names("model", arguments, takes, name)
    return MODELS[name](input_shape, classes, **arguments)


def factory(target: str) -> Any:
    """The user's class or function; what its module draws while it is imported here is the same in every process."""
    module, _, attribute = target.rpartition(".")
    if not module:
        raise ConfigError(f"model._target_={target}: cannot be imported; write a dotted name such as my.module.Net")
    try:
        with seeded(stream_seed(0, "import"), own=True):
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"model._target_={target}: cannot be imported ({type(error).__name__}: {error})") from error


def flattens(model: nn.Module) -> bool:
    """Whether the first thing done to an image is to flatten it, so that it is best laid out as NCHW."""
    return isinstance(next(model.children(), None), nn.Flatten)


def forward(model: nn.Module, params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
    """Logits (B, K) of the model with these parameters; `buffers` is updated in place by a training-mode batch norm."""
    if (layers := plain_layers(model)) is None:
        return functional_call(model, (params, buffers), (x,))
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


def worth_bf16(model: nn.Module, batch: int, device: torch.device) -> list[str]:
    """The layers of a plain chain whose products are faster in bf16: on a CPU not those of under 2²⁰ multiply-adds.

    A product so small takes a processor half the time in fp32, where it is at least as exact.
    """
    least = SMALL_PRODUCT if device.type == "cpu" else 0
    return [
        name
        for name, layer in plain_layers(model) or ()
        if isinstance(layer, nn.Conv2d)
        or (isinstance(layer, nn.Linear) and batch * layer.in_features * layer.out_features >= least)
    ]


def plain_layers(model: nn.Module) -> list[tuple[str, nn.Module]] | None:
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
    return not hooked and getattr(layer, "padding_mode", "zeros") == "zeros"
