"""Training a run: a generator that yields each epoch's rows and state. It does no I/O."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from wdrun import conventions, decay, models, optim, schedules
from wdrun.config.run import Run
from wdrun.conventions import Budget
from wdrun.data import Batches, Dataset
from wdrun.decay import Knobs
from wdrun.devices import Machine
from wdrun.errors import ConfigError
from wdrun.streams import generator, seeded, stream_seed
from wdrun.tensors import Tensors
from wdrun.terminal import results
from wdrun.training import diagnostics, divergence, network
from wdrun.training.conformity import conformity
from wdrun.training.eager import EagerStep
from wdrun.training.evaluation import Evaluator
from wdrun.training.evaluation.predictions import predict
from wdrun.training.state import Epoch, Standing, State, flatten, laid_out, unflatten
from wdrun.training.step import Step, Training, accuracy
from wdrun.training.warm_start import begin
from wdrun.wording import short

Rows = list[dict[str, Any]]
CHECK_EVERY = 100  # steps between looks at the losses for one that is not finite


@dataclass
class Trainer:
    """A run made ready: model, rule, optimizer, schedules and batches; it is not changed by training.

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
        self.evaluator = Evaluator(self.step, self.dataset, run.evaluate, run.seed)
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

    def at(self, lam: float) -> Trainer:
        """This trainer at another λ: nothing that is built depends on it."""
        other = copy(self)
        other.run = replace(self.run, lam=lam)
        vars(other).pop("budget", None)  # where it was computed and kept, it is that of the other λ
        return other

    def lasting(self, epochs: int) -> Trainer:
        """This trainer for another number of epochs, to ask for its `knobs`: nothing else depends on that number."""
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
        run, lam, steps = self.run, self.run.lam, range(self.steps)
        weights, rule = self._start[0], self.rule
        steady = isinstance(rule, decay.Decay) and rule.scale.keys() <= rule.steady  # no λ follows the schedule
        scales = (
            (1.0 if steady else self.decay_schedule(k / self.steps), self.schedule(k / self.steps)) for k in steps
        )
        return conventions.budget(
            run.coupling, ((lam * m, run.lr * s, s) for m, s in scales), epochs=run.epochs,
            gain=self.optimizer.gain(), rate=decay.rate(self.rule, weights, self.lr_factors) if lam else 1.0,
            overshoots=rule.overshoots,
        )  # fmt: skip

    def train(self, state: State | None = None, tick: Callable[[int], None] = lambda step: None) -> Iterator[Epoch]:
        """Train from `state` (default: from scratch), an `Epoch` at a time; `tick(step)` is called after every step.

        The last epoch has the status done or diverged. What `tick` raises leaves the training there. What is measured
        once, after a run that is done, is no part of it: `measurement.closing`.
        """
        standing = self.standing(state)
        training, buffers = unflatten(standing.state.tensors)
        for number in range(standing.epochs_done + 1, self.run.epochs + 1):
            started = time.perf_counter()
            # The model's own randomness (dropout) comes from the global generators, keyed anew each epoch and put back.
            with self.draws("model", number):
                outcome = self._epoch(number, training, buffers, tick)
            if isinstance(outcome, str):
                yield self.diverged(number, outcome, standing)
                return
            training, running, measured = outcome
            trained = time.perf_counter()
            val = self.evaluate("val", number, training.params, buffers)
            if cause := divergence.in_validation(val, number):
                yield self.diverged(number, cause, standing)
                return
            rows = [running, val]
            last = standing.advance(number, training, buffers, val)
            if last:
                rows.append(self.evaluate("test", number, *standing.to_test()))
            timing = self.timing(number, trained - started, time.perf_counter() - trained)
            yield self.completed(standing, last, rows, measured, timing)
            if last:
                return

    def standing(self, state: State | None) -> Standing:
        """How the run stands at this state, or at its start."""
        return Standing(self.run, self.dataset.classes, laid_out(state or self.initial(), self.channels_last))

    def completed(
        self,
        standing: Standing,
        last: bool,
        metrics: Rows,
        measured: tuple[Rows, Rows],
        timing: dict[str, Any],
    ) -> Epoch:
        """The epoch that `standing` has just advanced by, with its rows: metrics, (layers, histograms), timing."""
        number, status = standing.epochs_done, "done" if last else "running"
        layers, histograms = ([{"epoch": number, **row} for row in rows] for rows in measured)
        summary = self._summary(status, "", standing.state)
        return Epoch(number, status, standing.state, metrics, layers, histograms, [timing], summary)

    def diverged(self, number: int, cause: str, standing: Standing) -> Epoch:
        """The last epoch of a run that left the finite numbers in it: no rows, and the state before it."""
        return Epoch(number, "diverged", standing.state, summary=self._summary("diverged", cause, standing.state))

    def _summary(self, status: str, cause: str, state: State) -> dict[str, Any]:
        values = state.values
        return {
            "status": status,
            "cause": cause,
            "epochs_done": values["epoch"],
            "best_epoch": values["best_epoch"],
            "best_val_accuracy": values["best_score"] if self.dataset.classes > 1 else None,
            "norm_end": self.decayed_norm(state),
        }

    def decayed_norm(self, state: State) -> float | None:
        """√Σw² over the tensors that the decay moves; None when it moves none."""
        chosen = [state.tensors[f"params/{name}"] for name in self.decayed]
        sizes = [torch.linalg.vector_norm(w) for w in chosen]
        return torch.linalg.vector_norm(torch.stack(sizes)).item() if sizes else None

    def _epoch(
        self, number: int, training: Training, buffers: Tensors, tick: Callable[[int], None]
    ) -> tuple[Training, dict[str, Any], tuple[Rows, Rows]] | str:
        """Train one epoch; the state, train split's row and measurements after it, or why the run diverged."""
        self.model.train()
        # One tensor for all steps: one a step would stay among the activations and keep the allocator from using the
        # room between them again, which made the process grow by hundreds of megabytes in an epoch.
        losses, right = torch.empty(2, self.steps_per_epoch, dtype=torch.float64, device=self.machine.device)
        before, grads = training, training.params
        first = (number - 1) * self.steps_per_epoch + 1
        for i, (x, y) in enumerate(self.train_batches.epoch(self.run.seed, number)):
            t = first + i
            before = training
            training, grads, loss, correct = self.step(training, buffers, x, y, self.knobs(t))
            losses[i], right[i] = loss, correct
            if (i + 1) % CHECK_EVERY == 0 or i + 1 == len(losses):
                unseen = i - i % CHECK_EVERY
                if cause := divergence.in_losses(losses[unseen : i + 1], first + unseen, number):
                    return cause
            tick(t)
        finite = {name: bool(torch.isfinite(w).all()) for name, w in self.bounded(training.params | buffers).items()}
        if cause := divergence.in_tensors(finite, t, number):
            return cause
        running = self.running(number, losses.mean().item(), right.sum().item())
        measured = self.inspector.epoch(self.step.begun(before), training, grads, buffers, self.knobs(t))
        return training, self._with_penalty(running, training.params), measured

    def bounded(self, tensors: Tensors) -> Tensors:
        """Those that begin finite, and must stay it: a mask of attention is made of −inf."""
        return {name: w for name, w in tensors.items() if name not in self._unbounded}

    def running(self, number: int, loss: float, right: float) -> dict[str, Any]:
        """The metrics row of the train split: mean loss and number of right answers over the steps of an epoch."""
        examples = self.steps_per_epoch * self.run.batch_size
        row = {"epoch": number, "split": "train", "corruption": "", "severity": 0, "data_loss": loss}
        return row | {"accuracy": accuracy(right, examples), "examples": examples}

    def evaluate(self, split: str, number: int, params: Tensors, buffers: Tensors) -> dict[str, Any]:
        """A metrics row: scores of these weights on a whole split, in evaluation mode."""
        with self.evaluating():
            row = self.evaluator.clean(split, params, buffers)
        return {"epoch": number, "split": split, **self._with_penalty(row, params)}

    def _with_penalty(self, row: dict[str, Any], params: Tensors) -> dict[str, Any]:
        if not self.run.lam:
            return penalised(row, 0.0)
        known = self.rule.has_penalty
        return penalised(row, self.rule.penalty(params, self.decay_start, self.run.lam, 1.0).item() if known else None)

    @property
    def measured_once(self) -> list[str]:
        """What is measured of a run that is done, after its training: corruptions, attacks, Hessian, average."""
        shifts = dict.fromkeys(name for name, _ in self.evaluator.strengths)
        return [*shifts, *self.inspector.at_the_end, *["ema"] * (self.run.ema is not None)]

    def shifted(self, number: int, params: Tensors, buffers: Tensors) -> Iterator[dict[str, Any]]:
        """Metrics rows of these weights on the corrupted and attacked test split; empty scores where that failed."""
        with self.evaluating():
            for row in self.evaluator.shifted("test", params, buffers, self.inspector.attempt):
                yield {"epoch": number, "split": "test", **self._with_penalty(row, params)}

    def predictions(self, state: State) -> list[dict[str, Any]]:
        """Of a regression: its predictions at the test points, by the weights that were tested; else nothing."""
        if self.dataset.classes > 1:
            return []
        params, buffers = self.standing(state).to_test()
        with self.evaluating():
            return predict(self.step, self.dataset, params, buffers, self.run.lam)

    def timing(self, number: int, train_seconds: float, evaluate_seconds: float) -> dict[str, Any]:
        """A row of timing.csv."""
        images = self.steps_per_epoch * self.run.batch_size
        if self.machine.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.machine.device) / 2**20
        else:
            unit = 2**20 if sys.platform == "darwin" else 2**10
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        return {
            "epoch": number,
            "train_seconds": train_seconds,
            "evaluate_seconds": evaluate_seconds,
            "images_per_second": images / train_seconds,
            "peak_memory_mib": peak,
        }


def penalised(row: dict[str, Any], penalty: float | None) -> dict[str, Any]:
    """Add penalty = λΣcΩ(w) (of the weights at the end of the epoch) and objective = data loss + penalty, if known."""
    known = penalty is not None and row["data_loss"] is not None
    return row | {"penalty": penalty, "objective": row["data_loss"] + penalty if known else None}
