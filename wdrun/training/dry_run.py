"""A user's module on a few training examples: built, stepped and evaluated from one seed, its output checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
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
from wdrun.training import network
from wdrun.training.eager import backward
from wdrun.training.likeness import Taken, copies, generators
from wdrun.wording import counted, named

EXAMPLES = 4


class StepError(ConfigError):
    """A step or an evaluation failed, which another machine may be able to do."""


class DryRun:
    """Steps of the run's module, each from the same seed and on the same examples `x` (4, …) and `y`."""

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

    @contextmanager
    def refusing(self, what: str) -> Iterator[None]:
        """Any error of the user's code is a ConfigError of one line."""
        try:
            yield
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            raise StepError(f"{self.who}: {what}: {named(error)}") from error

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
