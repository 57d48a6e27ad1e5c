"""A run put together before it trains: model, rule, optimizer, schedules, batches, and what can be told from them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any, Self

import torch
from torch import Tensor

from wdrun import conventions, decay, models, optim, schedules
from wdrun.config.run import Run
from wdrun.conventions import Budget
from wdrun.data import Batches, Dataset
from wdrun.decay import Knobs
from wdrun.decay.l2 import L2
from wdrun.decay.spectral import Spectral
from wdrun.devices import Machine
from wdrun.errors import ConfigError
from wdrun.streams import generator, seeded, stream_seed
from wdrun.tensors import Tensors
from wdrun.terminal import results
from wdrun.training import diagnostics, network
from wdrun.training.conformity import conformity
from wdrun.training.eager import EagerStep
from wdrun.training.evaluation import Evaluator
from wdrun.training.state import State, flatten
from wdrun.training.step import Step, Training
from wdrun.training.warm_start import begin
from wdrun.wording import short


@dataclass
class Assembly:
    """The parts of a run, which training does not change.

    Building it checks what a config alone cannot: ConfigError for a decay, optimizer or schedule that does not fit the
    model, the data or the number of steps.
    """

    run: Run
    dataset: Dataset
    machine: Machine
    weights: Tensors | None = None  # that it begins with, in the place of those that the seed draws
    elsewhere: bool = False  # whether it is only looked at here, and trains on another machine

    def __post_init__(self) -> None:
        run, machine = self.run, self.machine
        self.model = models.build(run.model, self.dataset.input_shape, self.dataset.classes, run.seed)
        if self.weights is not None:
            network.place(self.model, torch.device("cpu"), machine.dtype, channels_last=False)
            begin(self.model, self.weights, run.init_skip or (), f"init_from={run.init_from}")
        own = run.model.get("_target_") is not None  # a user's module
        self.found = conformity(run, self.dataset, machine, self.model, self.elsewhere) if own else None
        self.channels_last = self.found is None or self.found.channels_last
        network.place(self.model, machine.device, machine.dtype, self.channels_last)
        params, kept = network.trained(self.model), network.kept(self.model)
        if self.found is not None:  # a user's module is trained in place
            params, kept = ({n: w.clone() for n, w in of.items()} for of in (params, kept))
        self._start = params, kept
        if not params:
            raise ConfigError(f"model={run.model['name']}: it has no parameters to train")
        self._unbounded = [n for n, w in kept.items() if not torch.isfinite(w).all()]
        self.train_batches = self._train_batches()
        if (size := len(self.dataset.splits["train"])) < run.batch_size:
            raise ConfigError(f"batch_size={run.batch_size}: the training split has only {size} examples")
        self.steps_per_epoch = len(self.train_batches)
        self.steps = self.steps_per_epoch * run.epochs
        self.schedule, self.decay_schedule = self._schedules()
        self.optimizer = optim.build(run.optimizer)
        self.lr_factors = optim.lr_factors(run.optimizer.get("lr_scales", ()), params)
        self.layers = decay.Layers(decay.kinds(self.model), self._normed, models.norms_itself(run.model))
        self.rule = decay.build(run.decay, params, self._lambda_schedule, run.coupling, layers=self.layers)
        self.decay_start = self.rule.init(params)  # what the penalty compares with
        self.step = self._step()
        self.evaluator = Evaluator(self.step, self.dataset, run.evaluate, run.seed, own=self.found is not None)
        self.inspector = diagnostics.Inspector(
            self.step, run.diagnostics, run.seed, self.sample, self._weights(), self.evaluating, self.found is not None
        )

    def _step(self) -> Step:
        options = self.run.optimizer
        parts = (self.model, self.rule, self.optimizer, options["clip_norm"], options["clip_value"], self.machine)
        more: dict[str, Any] = {
            "clip_data": options.get("clip") == "data",
            "ema": self.run.ema,
            "lr_factors": self.lr_factors,
            "smoothing": self.run.label_smoothing,
            "shares": self.train_batches.mixing is not None,
        }
        if self.found is None:
            return Step(*parts, **more)
        if "hessian" in self.run.diagnostics and self.found.no_function:
            raise ConfigError(f"diagnostics=[hessian]: not of this model: {self.found.no_function}")
        return EagerStep(*parts, **more, channels_last=self.found.channels_last, no_function=self.found.no_function)

    def _weights(self) -> list[str]:
        """The names of the weights of layers, in the scope of a decay or not: no biases, no norms."""
        return [name for name, kind in decay.kinds(self.model, by_layer=True).items() if kind.scope != "all"]

    @cached_property
    def decayed(self) -> list[str]:
        """The parameters that the decay moves: those in its scope that get a gradient and are not frozen."""
        idle = {*(self.found.idle if self.found else ()), *self.frozen}
        return [name for name in self.rule.scope() if name not in idle]

    @property
    def frozen(self) -> list[str]:
        """The parameters that nothing moves: η × 0 by optimizer.lr_scales."""
        return [name for name, factor in self.lr_factors.items() if not factor]

    def at(self, lam: float) -> Self:
        """This run at another λ: nothing that is built depends on it."""
        other = copy(self)
        other.run = replace(self.run, lam=lam)
        vars(other).pop("budget", None)  # where it was computed and kept, it is that of the other λ
        return other

    def lasting(self, epochs: int) -> Self:
        """This run for another number of epochs, to ask for its `knobs`: nothing else depends on that number."""
        other = self.at(self.run.lam)
        other.run, other.steps = replace(self.run, epochs=epochs), self.steps_per_epoch * epochs
        other.schedule, other.decay_schedule = other._schedules()
        other.rule = decay.build(
            self.run.decay, self._start[0], other._lambda_schedule, self.run.coupling, layers=self.layers
        )
        return other

    def _schedules(self) -> tuple[schedules.Schedule, schedules.Schedule]:
        """Of the lr and of λ."""
        run = self.run
        return schedules.build(run.schedule, epochs=run.epochs, steps=self.steps), self._lambda_schedule(run.decay)

    def _lambda_schedule(self, spec: Mapping[str, Any]) -> schedules.Schedule:
        return schedules.of_lambda(spec, epochs=self.run.epochs, steps=self.steps)

    def _normed(self) -> frozenset[str]:
        """The parameters that a normalisation follows."""
        run, data, machine = self.run, self.dataset, self.machine
        like = torch.zeros(2, *data.input_shape, device=machine.device, dtype=machine.dtype)
        with results.dropped(), self.evaluating():
            model = models.build(run.model, data.input_shape, data.classes, run.seed)
            return decay.normed(network.place(model, machine.device, machine.dtype, self.channels_last), like)

    def _train_batches(self) -> Batches:
        run, machine, data = self.run, self.machine, self.dataset
        if data.classes == 1 and (run.label_smoothing or run.augment.get("mix")):
            smoothed = f"label_smoothing={short(run.label_smoothing)}: must be 0"
            words = smoothed if run.label_smoothing else f"augment.mix={run.augment['mix']}: must be null"
            raise ConfigError(f"{words} for a regression, whose targets are no classes")
        return Batches(
            data.splits["train"], batch_size=run.batch_size, mean=data.mean, std=data.std, device=machine.device,
            dtype=machine.input_dtype if self.found is None else machine.dtype, augment=run.augment,
            channels_last=self.channels_last and not models.flattens(self.model), classes=data.classes,
        )  # fmt: skip

    def sample(self, size: int) -> tuple[Tensor, Tensor]:
        """Training examples x (B, C, H, W), y (B,), as they are, drawn by the seed alone: the same ones every time."""
        rows = self.dataset.splits["train"].rows
        chosen = torch.randperm(len(rows), generator=generator(self.run.seed, "sample"))[:size]
        x, y = next(self.evaluator.batches("train", size, rows[chosen]).sequential())
        return x if self.channels_last else x.contiguous(), y

    def initial(self) -> State:
        """State before the first step."""
        params, buffers = ({n: w.clone() for n, w in of.items()} for of in self._start)
        training = Training(params, self.optimizer.init(params), self.rule.init(params), self._average(params, buffers))
        values = {"epoch": 0, "best_epoch": None, "best_score": None}
        return State(flatten(training, buffers), values)

    def _average(self, params: Tensors, buffers: Tensors) -> Tensors:
        """The running average before the first step, which takes its place; {} where none is asked for."""
        if self.run.ema is None:
            return {}
        kept = params | {name: buffers[name] for name in network.statistics(self.model)}
        return {name: w.clone() for name, w in kept.items()}

    def draws(self, stream: str, epoch: int) -> AbstractContextManager[None]:
        """The global generators keyed by (seed, stream, epoch), and put back: what the model itself draws from."""
        key = stream_seed(self.run.seed, stream, epoch)
        return seeded(key, self.machine.device, own=self.found is not None)

    def evaluating(self) -> AbstractContextManager[None]:
        """The generators during an evaluation: a user's module may draw in it, and gets the same draws every time."""
        return nullcontext() if self.found is None else self.draws("evaluation", 0)

    def knobs(self, t: int) -> Knobs:
        """λ, lr and the schedules' values of step t, counted from 1 over the whole run."""
        progress = (t - 1) / self.steps
        scale = self.schedule(progress)
        return Knobs(self.run.lam, self.run.lr * scale, scale, self.rule.lam_scales(progress), t)

    @cached_property
    def budget(self) -> Budget:
        """How much the decay can do over the run: total decay and timescale. Found once, from the initial weights."""
        run, lam, progress = self.run, self.run.lam, [k / self.steps for k in range(self.steps)]
        weights, rule = self._start[0], self.rule
        # None: λ follows the schedule somewhere
        steady = rule.steady_scale if isinstance(rule, decay.Decay) and rule.scale.keys() <= rule.steady else None
        scales = ((self.decay_schedule(p) if steady is None else steady, self.schedule(p)) for p in progress)
        return conventions.budget(
            run.coupling, ((lam * m, run.lr * s, s) for m, s in scales), epochs=run.epochs,
            gain=self.optimizer.gain(), rate=decay.rate(self.rule, weights, self.lr_factors) if lam else 1.0,
            overshoots=rule.overshoots, limit=self._limit(),
        )  # fmt: skip

    def _limit(self) -> float:
        """ηλ from which on the decay alone makes weights swing ever further; ∞ where its pull is not linear in them."""
        rule = self.rule
        if not (isinstance(rule, decay.Decay) and isinstance(rule.regularizer, L2 | Spectral)):
            return inf
        return self.optimizer.limit() if rule.coupling == "coupled" else 2.0

    def bounded(self, tensors: Tensors) -> Tensors:
        """Those that begin finite, and must stay it: a mask of attention is made of −inf."""
        return {name: w for name, w in tensors.items() if name not in self._unbounded}

    @property
    def measured_once(self) -> list[str]:
        """What is measured of a run that is done, after its training: corruptions, attacks, Hessian, average."""
        shifts = dict.fromkeys(name for name, _ in self.evaluator.strengths)
        return [*shifts, *self.inspector.at_the_end, *["ema"] * (self.run.ema is not None)]
