"""A trained run measured without training: the rows that its last epoch would have had, from its weights alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wdrun.tensors import Tensors
from wdrun.training import network
from wdrun.training.diagnostics import norms
from wdrun.training.state import State, laid_out
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


def measure(trainer: Trainer, number: int, weights: Mapping[str, Weights], of: Mapping[str, str]) -> dict[str, Rows]:
    """Rows of the tables EVALUATIONS after epoch `number`, by the trainer's `evaluate` and `diagnostics`.

    of[split] names the weights that the split is measured with; those of train are looked at by the diagnostics.
    """
    metrics: Rows = []
    for split, name in of.items():
        metrics.append({"weights": name} | trainer.evaluate(split, number, *weights[name]))
        if split == "train":
            metrics[-1] |= trainer.inspector.end(*weights[name])
        if split == "test":
            metrics += [{"weights": name} | row for row in trainer.shifted(number, *weights[name])]
    params, buffers = weights[of["train"]]
    sizes = [{"parameter": name, "numel": w.numel(), **_numbers(norms(w))} for name, w in params.items()]
    layers, histograms = trainer.inspector.beside(sizes, params, buffers)
    leading = {"weights": of["train"], "epoch": number}
    return {
        "evaluation": metrics,
        "evaluation_layers": [leading | row for row in layers],
        "evaluation_histograms": [leading | row for row in histograms],
    }


def _numbers(found: Mapping[str, Tensor]) -> dict[str, Any]:
    values = {name: value.double().item() for name, value in found.items()}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
