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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from wdrun import models
from wdrun.config.run import Run
from wdrun.data import Batches, Dataset
from wdrun.devices import Machine
from wdrun.errors import ConfigError
from wdrun.streams import seeded, stream_seed
from wdrun.tensors import Tensors
from wdrun.terminal import results
from wdrun.training import network
from wdrun.training.eager import backward
from wdrun.training.likeness import Taken, attributes, close, copies, differ, difference, generators
from wdrun.training.step import data_loss
from wdrun.wording import counted, named

EXAMPLES = 4
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


class _StepError(ConfigError):
    """A step or an evaluation failed, which another machine may be able to do."""


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
                _known[key] = _DryRun(run, dataset, machine).found(), code
        except _StepError as error:
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


class _DryRun:
    def __init__(self, run: Run, dataset: Dataset, machine: Machine) -> None:
        self.run, self.dataset, self.machine = run, dataset, machine
        self.who = f"model._target_={run.model['_target_']}"
        self.seed = stream_seed(run.seed, "dry run")
        part = dataset.splits["train"]
        batches = Batches(
            replace(part, rows=part.rows[:EXAMPLES]), batch_size=EXAMPLES, mean=dataset.mean, std=dataset.std,
            device=machine.device, dtype=machine.dtype, augment={"name": "none"},
        )  # fmt: skip
        x, self.y = next(batches.sequential())
        self.x = x.contiguous()
        self.drew = False  # whether a step or an evaluation drew from a generator
        self.writes = False  # whether the forward pass changes the images that it is given

    def found(self) -> Conformity:
        """Take the step in every way that matters; ConfigError where it cannot be taken."""
        model = self.build()
        params, kept = self.start(model)
        before = attributes(model)
        with self.refusing("a training step fails"):
            first = self.step(model)
        self.check_gradients(first.grads)
        changed = [name for name, value in attributes(model).items() if value != before.get(name)]
        self.check_repeats(model, params, kept, first, changed)
        with self.refusing("evaluation fails"):
            evaluated = self.evaluated(model, params, kept)
        if self.machine.precision == "bf16":
            with self.refusing("a training step in bf16 fails, try precision=fp32"):
                self.step(self.build(), context=self.machine.autocast())
        no_function = self.why_no_function(first, params, kept)
        alone = no_function or self.why_alone(first, params, kept, evaluated)
        numbers = [name for name in changed if isinstance(before.get(name), int | float)]
        idle = self.idle(first)
        notes = tuple(_notes(model, idle, numbers))
        return Conformity(self.takes_channels_last(first), no_function, alone, notes, tuple(idle))

    @contextmanager
    def refusing(self, what: str) -> Iterator[None]:
        """Any error of the user's code is a ConfigError of one line."""
        try:
            yield
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            raise _StepError(f"{self.who}: {what}: {named(error)}") from error

    def build(self, seed: int | None = None, channels_last: bool = False) -> nn.Module:
        """A module of the run's, or as another seed makes it, on the device; its output is checked at every call."""
        seed = self.run.seed if seed is None else seed
        model = models.build(self.run.model, self.dataset.input_shape, self.dataset.classes, seed)
        if not isinstance(model, torch.jit.ScriptModule):  # which takes no hook
            model.register_forward_hook(lambda module, given, output: self.check_output(output))
        return network.place(model, self.machine.device, self.machine.dtype, channels_last)

    def start(self, model: nn.Module) -> tuple[Tensors, Tensors]:
        """Copies of its tensors; ConfigError where none learns, or one is of a type that cannot be saved."""
        with self.refusing("its state cannot be saved"):
            params, kept = copies(network.trained(model)), copies(network.kept(model))
        if not params:
            frozen = sum(p.numel() for p in model.parameters())
            has = f"all its {counted(frozen, 'parameter')} are frozen" if frozen else "it has no parameters"
            raise ConfigError(f"{self.who}: {has}: nothing to train")
        return params, kept

    def step(self, model: nn.Module, x: Tensor | None = None, context: Any = None) -> Taken:
        """One step in training mode, from the dry run's seed."""
        model.train()
        learned, x = network.trained(model).keys(), self.x if x is None else x
        with seeded(self.seed, self.machine.device, own=True):
            before = generators(self.machine.device)
            outputs, _, grads = backward(model, given := x.clone(), self.y, context or nullcontext())
            self.drew |= generators(self.machine.device) != before
        self.check_output(outputs)
        self.writes |= not torch.equal(given, x)
        network.check_learns(model, learned, self.who)
        return Taken(outputs, grads, copies(network.trained(model)), copies(network.kept(model)))

    def evaluated(self, model: nn.Module, params: Tensors, kept: Tensors, x: Tensor | None = None) -> Tensor:
        """Outputs in evaluation mode, at these values."""
        network.write(model, params, kept)
        model.eval()
        with seeded(self.seed, self.machine.device, own=True), torch.no_grad():
            before = generators(self.machine.device)
            outputs: Tensor = model((self.x if x is None else x).clone())
            self.drew |= generators(self.machine.device) != before
        self.check_output(outputs)
        return outputs

    def check_output(self, output: object) -> None:
        """ConfigError unless it is a finite number for each class, or for a regression one, of every example."""
        classes = self.dataset.classes
        each = "a logit for each class" if classes > 1 else "a number for each example"
        must = f"must be a tensor of shape ({EXAMPLES}, {classes}) for {EXAMPLES} examples, {each}"
        if not isinstance(output, Tensor):
            raise ConfigError(f"{self.who}: its output is a {type(output).__name__}; it {must}")
        if output.shape != (len(self.y), classes):
            raise ConfigError(f"{self.who}: its output has shape {tuple(output.shape)}; it {must}")
        if not output.is_floating_point():
            raise ConfigError(f"{self.who}: its output is of type {output.dtype}; it must be of real numbers")
        if not torch.isfinite(output).all():
            raise ConfigError(f"{self.who}: its output is not finite before any training")

    def check_gradients(self, grads: Tensors) -> None:
        """ConfigError where there is none, or one is not finite."""
        if not grads:
            raise ConfigError(f"{self.who}: its output depends on no parameter that learns")
        if bad := next((name for name, g in grads.items() if not torch.isfinite(g).all()), None):
            raise ConfigError(f"{self.who}: the gradient of {bad} is not finite before any training")

    def check_repeats(
        self, model: nn.Module, params: Tensors, kept: Tensors, first: Taken, changed: Sequence[str]
    ) -> None:
        """ConfigError unless equal seeds, parameters and buffers give equal steps: what a resumed run rests on."""
        other = self.build()
        unseeded = "no seed reaches it: draw from torch, random or numpy.random, not from default_rng() or the like"
        if name := differ(params, network.trained(other), SAME):
            raise ConfigError(f"{self.who}: built twice with one seed, {name} differs; {unseeded}")
        network.write(other, params, kept)
        if name := difference(first, self.step(other), SAME):
            raise ConfigError(f"{self.who}: two steps with one seed differ in {name}; {unseeded}")
        network.write(model, params, kept)
        if name := difference(first, self.step(model), SAME):
            where = f" ({', '.join(changed)})" if changed else ""
            raise ConfigError(
                f"{self.who}: a step depends on what an earlier one left behind in no parameter or buffer{where}; a "
                "resumed run would go on without it, so make it a tensor and register it with register_buffer"
            )

    def idle(self, first: Taken) -> list[str]:
        """The parameters that learn, but get no gradient in this step; nor in others, where steps draw."""
        idle = [name for name in first.params if name not in first.grads]
        if idle and self.drew:
            seed = self.seed
            for more in range(MORE):
                self.seed = stream_seed(seed, "idle", more)
                with self.refusing("a training step fails"):
                    grads = self.step(self.build()).grads
                idle = [name for name in idle if name not in grads]
            self.seed = seed
        return idle

    def takes_channels_last(self, first: Taken) -> bool:
        """Whether it is the same function of images laid out channels last, in which convolutions are faster."""
        if self.x.ndim != 4 or not any(w.ndim == 4 for w in (*first.params.values(), *first.kept.values())):
            return False
        x = self.x.contiguous(memory_format=torch.channels_last)
        try:
            model = self.build(channels_last=True)
            taken = self.step(model, x)
            self.evaluated(model, taken.params, taken.kept, x)
        except Exception:  # a view of another layout, most often
            return False
        return difference(first, taken, ALIKE) is None

    def why_no_function(self, first: Taken, params: Tensors, kept: Tensors) -> str | None:
        """Why its step is not that of `functional_call` with its parameters and buffers; None where it is."""
        model = self.build()
        if reason := _not_a_function(model):
            return reason
        if name := differ(params, first.params, 0.0):
            return f"its forward pass changes {name}"
        if self.writes:
            return "its forward pass changes the images it is given"
        leaves, beside = {n: w.clone().requires_grad_() for n, w in params.items()}, copies(kept)
        model.train()
        try:
            with seeded(self.seed, self.machine.device, own=True):
                outputs = models.forward(model, leaves, beside, self.x)
                found = torch.autograd.grad(data_loss(outputs, self.y), [leaves[n] for n in first.grads])
        except Exception as error:  # whatever the user's code raises
            return f"it cannot be called with other parameters ({named(error)})"
        if sparse := next((n for n, g in zip(first.grads, found, strict=True) if g.is_sparse), None):
            return f"the gradient of {sparse} is sparse"
        taken = Taken(outputs.detach(), dict(zip(first.grads, found, strict=True)), first.params, beside)
        name = difference(first, taken, ALIKE)
        return name and f"called with other parameters, its {name} is another"

    def why_alone(self, first: Taken, params: Tensors, kept: Tensors, evaluated: Tensor) -> str | None:
        """Why it is one run's though it is a function of its tensors; None where it is not."""
        if self.drew:
            return "it draws random numbers, which belong to one run"
        if idle := [name for name in params if name not in first.grads]:
            return f"{idle[0]} gets no gradient"
        if not close(evaluated, self.evaluated(self.build(self.run.seed + 1), params, kept), SAME):
            return "what its seed draws is not all in parameters and buffers"
        return None


def _not_a_function(model: nn.Module) -> str | None:
    """What it has that functional_call leaves out, or that may act in a later step only."""
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
