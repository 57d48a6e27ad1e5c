"""A user's module before it trains: one step on a few examples says whether and how it can.

Alone every module trains as a loop in torch would train it (`eager.py`; the tests hold it to one). The dry run compares
builds and repeats with one another, refuses what no run of it could bear, and finds what else depends on the code: the
layout of images, and whether its step is a function of parameters and buffers that can be lifted over runs (`fused/`).
Shapes: B batch, C H W image, K classes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

from wdrun import models
from wdrun.config.run import Run
from wdrun.data import Dataset
from wdrun.devices import Machine
from wdrun.errors import ConfigError
from wdrun.streams import seeded, stream_seed
from wdrun.tensors import Tensors
from wdrun.terminal import results
from wdrun.training import network
from wdrun.training.dry_run import DryRun, StepError
from wdrun.training.likeness import Taken, attributes, close, copies, differ, difference
from wdrun.training.step import data_loss
from wdrun.wording import named

MORE = 4  # steps taken to tell a parameter that never gets a gradient from one that a random step leaves out
SAME, ALIKE = 1e-4, 0.02  # relative differences: of one computation done twice, of one function computed in two ways


@dataclass(frozen=True)
class Conformity:
    """What the dry run found: whether it takes images channels last, what it cannot do and why, what to tell."""

    channels_last: bool
    no_function: str | None  # why its loss is no function of the tensors alone that can be differentiated as one
    alone: str | None  # why runs of it do not train as one computation
    notes: tuple[str, ...]
    idle: tuple[str, ...] = ()  # the parameters that learn, but get no gradient in any step that was tried


_known: dict[object, tuple[Conformity, object]] = {}  # with what its key has the identity of


def conformity(run: Run, dataset: Dataset, machine: Machine, model: nn.Module, elsewhere: bool = False) -> Conformity:
    """The dry run of the run's module, once for each module and machine of a process; ConfigError: it cannot train.

    `model` is one of it, whose classes tell whether it is still the same after a reload of the code. Where the run is
    to train `elsewhere`, on a GPU it may be, a step that fails on this machine is a note.
    """
    asked = json.dumps(run.model, sort_keys=True), dataset.input_shape, dataset.classes, machine
    code = _code(model)
    key = models.factory(run.model["_target_"]), *asked, frozenset(map(id, code))
    if key not in _known:
        try:
            with results.dropped():  # what it prints is printed where it is built to train
                _known[key] = _found(DryRun(run, dataset, machine)), code
        except StepError as error:
            if not elsewhere:
                raise
            note = f"{str(error).partition(': ')[2]}, on the CPU of this machine; where it trains it is tried again"
            return Conformity(False, None, None, (note,))
    return _known[key][0]


def _code(model: nn.Module) -> list[object]:
    """What a reload of the code of a module makes anew: its classes, and the specs of the modules that they name."""
    classes = {cls for part in model.modules() for cls in type(part).__mro__}
    modules = [sys.modules[cls.__module__] for cls in classes if cls.__module__ in sys.modules]
    named_there = [value for module in modules for value in vars(module).values() if isinstance(value, ModuleType)]
    return [*classes, *(module.__spec__ for module in (*modules, *named_there))]


def _found(dry: DryRun) -> Conformity:
    """Take the step in every way that matters; ConfigError where it cannot be taken."""
    model = dry.build()
    params, kept = dry.start(model)
    before = attributes(model)
    with dry.refusing("a training step fails"):
        first = dry.step(model)
    _check_gradients(dry, first.grads)
    changed = [name for name, value in attributes(model).items() if value != before.get(name)]
    _check_repeats(dry, model, params, kept, first, changed)
    with dry.refusing("evaluation fails"):
        evaluated = dry.evaluated(model, params, kept)
    if dry.machine.precision == "bf16":
        with dry.refusing("a training step in bf16 fails, try precision=fp32"):
            dry.step(dry.build(), context=dry.machine.autocast())
    no_function = _why_no_function(dry, first, params, kept)
    alone = no_function or _why_alone(dry, first, params, kept, evaluated)
    numbers = [name for name in changed if isinstance(before.get(name), int | float)]
    idle = _idle(dry, first)
    notes = tuple(_notes(model, idle, numbers))
    return Conformity(_takes_channels_last(dry, first), no_function, alone, notes, tuple(idle))


def _check_gradients(dry: DryRun, grads: Tensors) -> None:
    """ConfigError where there is none, or one is not finite."""
    if not grads:
        raise ConfigError(f"{dry.who}: its output depends on no parameter that learns")
    if bad := next((name for name, g in grads.items() if not torch.isfinite(g).all()), None):
        raise ConfigError(f"{dry.who}: the gradient of {bad} is not finite before any training")


def _check_repeats(
    dry: DryRun, model: nn.Module, params: Tensors, kept: Tensors, first: Taken, changed: Sequence[str]
) -> None:
    """ConfigError unless equal seeds, parameters and buffers give equal steps: what a resumed run rests on."""
    other = dry.build()
    unseeded = "no seed reaches it: draw from torch, random or numpy.random, not from default_rng() or the like"
    if name := differ(params, network.trained(other), SAME):
        raise ConfigError(f"{dry.who}: built twice with one seed, {name} differs; {unseeded}")
    network.write(other, params, kept)
    if name := difference(first, dry.step(other), SAME):
        raise ConfigError(f"{dry.who}: two steps with one seed differ in {name}; {unseeded}")
    network.write(model, params, kept)
    if name := difference(first, dry.step(model), SAME):
        where = f" ({', '.join(changed)})" if changed else ""
        raise ConfigError(
            f"{dry.who}: a step depends on what an earlier one left behind in no parameter or buffer{where}; a "
            "resumed run would go on without it, so make it a tensor and register it with register_buffer"
        )


def _idle(dry: DryRun, first: Taken) -> list[str]:
    """The parameters that learn, but get no gradient in this step; nor in others, where steps draw."""
    idle = [name for name in first.params if name not in first.grads]
    if idle and dry.drew:
        seed = dry.seed
        for more in range(MORE):
            dry.seed = stream_seed(seed, "idle", more)
            with dry.refusing("a training step fails"):
                grads = dry.step(dry.build()).grads
            idle = [name for name in idle if name not in grads]
        dry.seed = seed
    return idle


def _takes_channels_last(dry: DryRun, first: Taken) -> bool:
    """Whether it is the same function of images laid out channels last, in which convolutions are faster."""
    if dry.x.ndim != 4 or not any(w.ndim == 4 for w in (*first.params.values(), *first.kept.values())):
        return False
    x = dry.x.contiguous(memory_format=torch.channels_last)
    try:
        model = dry.build(channels_last=True)
        taken = dry.step(model, x)
        dry.evaluated(model, taken.params, taken.kept, x)
    except Exception:  # a view of another layout, most often
        return False
    return difference(first, taken, ALIKE) is None


def _why_no_function(dry: DryRun, first: Taken, params: Tensors, kept: Tensors) -> str | None:
    """Why its step is not that of `functional_call` with its parameters and buffers; None where it is."""
    model = dry.build()
    if reason := _not_a_function(model):
        return reason
    if name := differ(params, first.params, 0.0):
        return f"its forward pass changes {name}"
    if dry.writes:
        return "its forward pass changes the images it is given"
    leaves, beside = {n: w.clone().requires_grad_() for n, w in params.items()}, copies(kept)
    model.train()
    try:
        with seeded(dry.seed, dry.machine.device, own=True):
            outputs = models.forward(model, leaves, beside, dry.x)
            found = torch.autograd.grad(data_loss(outputs, dry.y), [leaves[n] for n in first.grads])
    except Exception as error:  # whatever the user's code raises
        return f"it cannot be called with other parameters ({named(error)})"
    if sparse := next((n for n, g in zip(first.grads, found, strict=True) if g.is_sparse), None):
        return f"the gradient of {sparse} is sparse"
    taken = Taken(outputs.detach(), dict(zip(first.grads, found, strict=True)), first.params, beside)
    name = difference(first, taken, ALIKE)
    return name and f"called with other parameters, its {name} is another"


def _why_alone(dry: DryRun, first: Taken, params: Tensors, kept: Tensors, evaluated: Tensor) -> str | None:
    """Why it is one run's though it is a function of its tensors; None where it is not."""
    if dry.drew:
        return "it draws random numbers, which belong to one run"
    if idle := [name for name in params if name not in first.grads]:
        return f"{idle[0]} gets no gradient"
    if not close(evaluated, dry.evaluated(dry.build(dry.run.seed + 1), params, kept), SAME):
        return "what its seed draws is not all in parameters and buffers"
    return None


def _not_a_function(model: nn.Module) -> str | None:
    """What of a module functional_call leaves out, or may act in a later step only; None where there is nothing."""
    for name, p in model.named_parameters():
        if p._backward_hooks or p._post_accumulate_grad_hooks:
            return f"{name} has a hook"
    for name, w in (*model.named_parameters(), *model.named_buffers()):
        if w.is_complex():
            return f"{name} is complex"
    names: dict[nn.Module, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if names.setdefault(module, name) != name:  # functional_call would not put its parameters back
            return f"{names[module]} is {name} too"
        if network.has_extra_state(module):
            return f"{name or 'it'} has extra state"
        if getattr(module, "max_norm", None) is not None:
            return f"{name or 'it'} limits the norm of its weights (max_norm)"
    return None


def _notes(model: nn.Module, idle: Sequence[str], numbers: Sequence[str]) -> Iterator[str]:
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    if frozen:
        yield f"{_some(frozen)} frozen (requires_grad=False): kept as built, without decay"
    if idle:
        yield f"{_some(idle)} without gradient: a step leaves such a parameter alone, without decay"
    if numbers:
        yield f"{_some(numbers)} changed by the forward pass and no buffer: a resumed run begins with it as built"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return f"{names[0]}{more}"
