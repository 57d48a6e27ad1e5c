"""Where a run stands between two epochs: its tensors, its best weights so far, whether it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wdrun.config.run import Run
from wdrun.tensors import Tensors
from wdrun.training.step import Training


@dataclass
class State:
    """All a resumed run needs: tensors by name (`params/conv1.weight`, …) and plain JSON values."""

    tensors: Tensors
    values: dict[str, Any]


@dataclass
class Epoch:
    """What one epoch gives: rows for the tables, the state after it, and how the run stands."""

    number: int
    status: str  # running | done | diverged
    state: State
    metrics: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    histograms: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)  # columns of the run's row


class Standing:
    """How a run stands: the state after its last epoch, and the best weights on validation so far.

    `advance` takes what an epoch of training gave, alone or with others, and says whether the run is over.
    `classes` is 1 for a regression, which is judged by its loss.
    """

    def __init__(self, run: Run, classes: int, state: State) -> None:
        self.run, self.classes, self.state = run, classes, state
        self.values = dict(state.values)
        self.best = {n.removeprefix("best/"): w for n, w in state.tensors.items() if n.startswith("best/")}

    @property
    def epochs_done(self) -> int:
        """Number of the last epoch taken, 0 at the start."""
        return int(self.values["epoch"])

    def advance(self, number: int, training: Training, buffers: Tensors, val: Mapping[str, Any]) -> bool:
        """Take epoch `number`, its tensors and its validation row; whether the run ends with it.

        Best is the highest accuracy, of a regression the lowest loss, the earliest of equals. The run ends with the
        last epoch, or when `early_stopping.patience` epochs have gone by since the best.
        """
        score = val["accuracy"] if self.classes > 1 else -val["data_loss"]
        if self.values["best_score"] is None or score > self.values["best_score"]:
            self.values |= {"best_score": score, "best_epoch": number}
            # Copies: a batch norm writes to its buffers in place, and a fused run's tensors are parts of larger ones.
            self.best = {n: w.clone() for n, w in (training.params | buffers).items()}
        self.values["epoch"] = number
        tensors = flatten(training, buffers) | {f"best/{n}": w for n, w in self.best.items()}
        self.state = State(tensors, dict(self.values))
        patience = self.run.early_stopping["patience"]
        stopped = patience is not None and number - self.values["best_epoch"] >= patience
        return stopped or number == self.run.epochs

    def to_test(self) -> tuple[Tensors, Tensors]:
        """Parameters and buffers for the test split: the last, or with early stopping the best on validation."""
        training, buffers = unflatten(self.state.tensors)
        params = training.params
        if self.run.early_stopping["patience"] is not None:
            params = {n: self.best[n] for n in params}
            buffers = {n: self.best[n] for n in buffers}
        return params, buffers


def laid_out(state: State, channels_last: bool) -> State:
    """The state in the layout training has: a checkpoint keeps none, and the last bits of a sum follow it."""
    plain, images = torch.contiguous_format, torch.channels_last
    tensors = state.tensors.items()
    kept = {n: w.contiguous(memory_format=images if channels_last and w.ndim == 4 else plain) for n, w in tensors}
    return State(kept, state.values)


def flatten(training: Training, buffers: Tensors) -> Tensors:
    """One flat mapping: params/…, buffers/…, optimizer/slot/…, decay/…, average/…."""
    flat = {f"params/{n}": w for n, w in training.params.items()}
    flat |= {f"buffers/{n}": b.clone() for n, b in buffers.items()}
    flat |= {f"optimizer/{slot}/{n}": m for slot, ms in training.optimizer.items() for n, m in ms.items()}
    flat |= {f"decay/{n}": m for n, m in training.decay.items()}
    return flat | {f"average/{n}": e for n, e in training.average.items()}


def unflatten(tensors: Tensors) -> tuple[Training, Tensors]:
    """What `flatten` took apart; buffers are copies, since training writes to them."""
    part: dict[str, dict[str, Tensor]] = {"params": {}, "buffers": {}, "decay": {}, "average": {}}
    optimizer: dict[str, Tensors] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "optimizer":
            slot, _, name = name.partition("/")
            optimizer.setdefault(slot, {})[name] = value
        elif kind != "best":
            part[kind][name] = value.clone() if kind == "buffers" else value
    return Training(part["params"], optimizer, part["decay"], part["average"]), part["buffers"]
