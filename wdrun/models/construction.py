"""A model of its `conf/model/*.yaml`: one of ours, or a user's own nn.Module."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from wdrun.accepts import check_names
from wdrun.errors import ConfigError
from wdrun.models.blocks import resnet
from wdrun.models.plain import cnn, linear, mlp
from wdrun.streams import seeded, stream_seed
from wdrun.wording import named

MODELS: dict[str, Callable[..., nn.Module]] = {"linear": linear, "mlp": mlp, "cnn": cnn, "resnet": resnet}
BUILT_IN = ("hidden", "channels", "width", "dropout", "norm")  # what a user's own module may take of our options


def norms_itself(spec: Mapping[str, Any]) -> bool:
    """Whether which weights a normalisation follows is asked of the model: of a user's own, and of resnet."""
    return spec.get("_target_") is not None or spec["name"] == "resnet"


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
    of_resnet = _keys("resnet")  # all of them where its class takes that option's place, else they are the user's own
    ours = (*BUILT_IN, *of_resnet) if arguments.keys() >= set(of_resnet) else BUILT_IN
    offered |= {k: arguments.pop(k) for k in ours if k in arguments}
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
    check_names("model", arguments, _keys(name), name)
    return MODELS[name](input_shape, classes, **arguments)


def _keys(name: str) -> list[str]:
    return [p.name for p in inspect.signature(MODELS[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]


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
