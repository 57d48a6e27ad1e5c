"""Training a run: a generator that yields each epoch's rows and state. It does no I/O."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from wdrun.tensors import Tensors
from wdrun.training import divergence
from wdrun.training.assembly import Assembly
from wdrun.training.evaluation.predictions import predict
from wdrun.training.state import Epoch, Standing, State, laid_out, unflatten
from wdrun.training.step import Training, accuracy

Rows = list[dict[str, Any]]
CHECK_EVERY = 100  # steps between looks at the losses for one that is not finite


class Trainer(Assembly):
    """A run that trains: epoch by epoch, from any state, with what each epoch is worth."""

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
    """Add penalty = λΣcΩ(w) and objective = data loss + penalty, if known.

    Both are of the weights after the epoch, and of the λ at the end of its schedule: one objective in all epochs.
    """
    known = penalty is not None and row["data_loss"] is not None
    return row | {"penalty": penalty, "objective": row["data_loss"] + penalty if known else None}
