"""A trained run measured without training: the rows that its last epoch would have had, from its weights alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from wdrun.tensors import Tensors
from wdrun.training import network
from wdrun.training.diagnostics import norms
from wdrun.training.diagnostics.curvature import Told, nobody
from wdrun.training.state import State, laid_out, unflatten
from wdrun.training.step import Training
from wdrun.training.trainer import Rows, Trainer

Weights = tuple[Tensors, Tensors]  # parameters, buffers


def loaded(trainer: Trainer, tensors: Mapping[str, Tensor]) -> Weights:
    """Weights as training holds them, by the model's own names; ValueError where they are not those of this model.

    In the model's order, which is that of sums over the parameters, and in training's layout: both decide last bits.
    """
    network.check(trainer.model, tensors)
    params, buffers = network.trained(trainer.model), network.kept(trainer.model)
    kept = {name: tensors[name].to(own.device, own.dtype) for name, own in (params | buffers).items()}
    kept = laid_out(State(kept, {}), trainer.channels_last).tensors
    return {name: kept[name] for name in params}, {name: kept[name] for name in buffers}


@dataclass(frozen=True)
class Closing:
    """What a run measures once, when its training is over: rows of metrics.csv, columns of its row, and where a running
    average of the weights is kept, rows of evaluation.csv of it.
    """

    metrics: Rows
    summary: dict[str, float]
    average: Rows


def closing(
    trainer: Trainer, state: State, told: Callable[[str, int, int], None] = lambda what, done, of: None
) -> Closing:
    """The corrupted and attacked test split, the Hessian, and the average on val and test, of a run that is done.

    A measurement that fails is empty, and the trainer's `inspector.failures` say why. `told` hears of what is measured
    how many of how many parts are done; it may raise to leave.
    """
    standing = trainer.standing(state)
    training, buffers = unflatten(standing.state.tensors)
    rows, total = [], len(trainer.evaluator.strengths)
    for row in trainer.shifted(standing.epochs_done, *standing.to_test()):
        rows.append(row)
        told(row["corruption"], len(rows), total)
    found = trainer.inspector.end(training.params, buffers, partial(told, "hessian"))
    average: Rows = []
    for split in ("val", "test") if training.average else ():
        row = trainer.evaluate(split, standing.epochs_done, *with_average(training, buffers))
        average.append({"weights": "ema"} | row)
        told("ema", len(average), 2)
    return Closing(rows, found, average)


def with_average(training: Training, buffers: Tensors) -> Weights:
    """Parameters and buffers with the running average in the place of what it is of."""
    average = training.average
    return {n: average[n] for n in training.params}, {n: average.get(n, b) for n, b in buffers.items()}


def measure(
    trainer: Trainer, number: int, weights: Mapping[str, Weights], of: Mapping[str, str], told: Told = nobody
) -> dict[str, Rows]:
    """Rows of the tables EVALUATIONS after epoch `number`, by the trainer's `evaluate` and `diagnostics`.

    of[split] names the weights that the split is measured with; those of train are looked at by the diagnostics.
    ValueError where one of them fails. `told` as for `Inspector.end`.
    """
    metrics: Rows = []
    for split, name in of.items():
        metrics.append({"weights": name} | trainer.evaluate(split, number, *weights[name]))
        if split == "train":
            metrics[-1] |= trainer.inspector.end(*weights[name], told)
        if split == "test":
            metrics += [{"weights": name} | row for row in trainer.shifted(number, *weights[name])]
    params, buffers = weights[of["train"]]
    sizes = [{"parameter": name, "numel": w.numel(), **_numbers(norms(w))} for name, w in params.items()]
    layers, histograms = trainer.inspector.beside(sizes, params, buffers)
    if failures := trainer.inspector.failures:  # to be measured again by the same command, not taken for measured
        raise ValueError(failures[0].replace(" and is left empty", ""))
    leading = {"weights": of["train"], "epoch": number}
    return {
        "evaluation": metrics,
        "evaluation_layers": [leading | row for row in layers],
        "evaluation_histograms": [leading | row for row in histograms],
    }


def _numbers(found: Mapping[str, Tensor]) -> dict[str, Any]:
    values = {name: value.double().item() for name, value in found.items()}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
