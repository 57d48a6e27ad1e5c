"""A module's state as tensors by name, read and written: what learns, and what is kept beside it.

A complex tensor stands as its real view (…, 2), so that optimizers, decays, norms and files see real numbers, as
torch's optimizers do. Of tied parameters the first name stands for all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wdrun import models
from wdrun.config.run import Group
from wdrun.errors import ConfigError
from wdrun.tensors import Tensors

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
EXTRA = "_extra_state"  # how torch's state dicts name what `get_extra_state` gives


def trained(model: nn.Module) -> Tensors:
    """The parameters that learn, detached: those with requires_grad."""
    return {n: real(p.detach()) for n, p in model.named_parameters() if p.requires_grad}


def kept(model: nn.Module) -> Tensors:
    """What else the model's outputs hang on: frozen parameters, buffers (also those no state dict has), extra state."""
    found = {n: real(p.detach()) for n, p in model.named_parameters() if not p.requires_grad}
    found |= {n: real(b.detach()) for n, b in model.named_buffers()}
    return found | {name: packed(module.get_extra_state()) for name, module in _with_extra(model)}


def statistics(model: nn.Module) -> list[str]:
    """The names in `kept` of what batch and instance norms know of their inputs: running means and variances."""
    kept = dict(model.named_buffers())
    owners = [name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._NormBase)]
    names = (f"{owner}.{of}" if owner else of for owner in owners for of in ("running_mean", "running_var"))
    return [name for name in names if name in kept]


def write(model: nn.Module, params: Mapping[str, Tensor], beside: Mapping[str, Tensor]) -> None:
    """Give the model these values, in place: whatever holds on to its tensors holds on to the new ones."""
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    extra = dict(_with_extra(model))
    with torch.no_grad():
        for name, value in (*beside.items(), *params.items()):  # a buffer may be a view of a parameter, which counts
            if name in extra:
                extra[name].set_extra_state(_unpacked(value, extra[name].get_extra_state()))
            elif (there := real(own[name].detach())).shape == value.shape:
                there.copy_(value)
            else:  # a buffer that grows
                where, _, last = name.rpartition(".")
                setattr(model.get_submodule(where), last, value.clone())


def place(model: nn.Module, device: torch.device, dtype: torch.dtype, channels_last: bool) -> nn.Module:
    """The model on the device, its real tensors in `dtype`, complex ones in its like, images' layout as asked for."""

    def placed(w: Tensor) -> Tensor:
        kind = dtype if w.is_floating_point() else COMPLEX[dtype] if w.is_complex() else w.dtype
        w = w.to(device, kind)
        if any(stride == 0 and size > 1 for size, stride in zip(w.shape, w.stride(), strict=True)):
            w = w.clone(memory_format=torch.contiguous_format)  # an expanded one cannot be written to
        return w.contiguous(memory_format=torch.channels_last) if channels_last and w.ndim == 4 else w

    model._apply(placed)  # what Module.to does, which takes the imaginary part from a complex tensor
    model.train()  # in which some freeze a part of themselves, and then give nothing back
    return model


def rebuilt(spec: Group, input_shape: tuple[int, ...], classes: int, seed: int, weights: Tensors) -> nn.Module:
    """The model as a run trained it, on the CPU in evaluation mode: built with the run's seed, then given its state.

    ValueError where the weights are not those of this model.
    """
    model = models.build(spec, input_shape, classes, seed)
    dtype = next((w.dtype for w in weights.values() if w.dtype in COMPLEX), torch.float32)
    place(model, torch.device("cpu"), dtype, channels_last=False)
    check(model, weights)
    write(model, {}, weights)
    model.eval()
    return model


def check(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """ValueError unless the weights have the names of the model's tensors, and of its parameters the shapes.

    Buffers and extra state may have grown in training.
    """
    ours = trained(model) | kept(model)
    if odd := sorted(ours.keys() ^ weights.keys()):
        raise ValueError(f"the model has {'no' if odd[0] in weights else 'a'} {odd[0]}, unlike the weights")
    parameters = {name for name, _ in model.named_parameters()}
    for name, own in ours.items():
        if name in parameters and own.shape != weights[name].shape:
            shapes = [tuple(w.shape) for w in (weights[name], own)]
            raise ValueError(f"{name} has shape {shapes[0]}, in the model {shapes[1]}")


def check_learns(model: nn.Module, names: Collection[str], who: str) -> None:
    """ConfigError unless the parameters that learn are those of these names, as they were when the run began."""
    if odd := sorted({n for n, p in model.named_parameters() if p.requires_grad} ^ set(names)):
        now = "is frozen now and was not" if odd[0] in names else "learns now and did not"
        raise ConfigError(
            f"{who}: {odd[0]} {now} when training began: its forward pass sets requires_grad; freeze a part while the "
            "model is built, and go on from its weights in another run (init_from=…)"
        )


def saved(model: nn.Module) -> dict[str, str]:
    """The names that a state dict of the model gives its tensors -> those that they have here."""
    own = {id(w): name for name, w in (*model.named_parameters(), *model.named_buffers())}
    return {name: own[id(w)] for name, w in model.state_dict(keep_vars=True).items() if id(w) in own}


def real(w: Tensor) -> Tensor:
    """The tensor itself, of a complex one its real view."""
    return torch.view_as_real(w) if w.is_complex() else w


def has_extra_state(module: nn.Module) -> bool:
    """Whether it saves more than tensors, by a get_extra_state of its own."""
    return type(module).get_extra_state is not nn.Module.get_extra_state


def _with_extra(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if has_extra_state(module):
            yield f"{name}.{EXTRA}" if name else EXTRA, module


def packed(state: Any) -> Tensor:
    """Extra state as a tensor: itself where it is one, else the bytes of its JSON. TypeError where it is neither."""
    if isinstance(state, Tensor):
        return real(state.detach().clone())
    text = json.dumps(state)
    if json.loads(text) != state:
        raise TypeError("get_extra_state must give a tensor, or numbers, texts, lists and mappings by text")
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def _unpacked(value: Tensor, like: Any) -> Any:
    if isinstance(like, Tensor):
        return (torch.view_as_complex(value) if like.is_complex() else value).to(like.device, copy=True)
    return json.loads(bytes(value.tolist()).decode())
