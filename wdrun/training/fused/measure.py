"""What an epoch's rows hold, of all runs of a stack at once: numbers by run, one transfer from the device each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wdrun.tensors import Tensors
from wdrun.training.diagnostics.layers import table
from wdrun.training.divergence import in_losses, in_tensors
from wdrun.training.evaluation.scores import means, summed, sums
from wdrun.training.fused.lift import Lift
from wdrun.training.fused.stack import Stack
from wdrun.training.step import Training
from wdrun.training.trainer import penalised

Rows = list[dict[str, Any]]
EXAMPLES, MOST = 20_000, 1000  # of an evaluation batch: examples × runs, and examples


def causes(stack: Stack, tensors: Tensors, number: int) -> list[str | None]:
    """Why each run left the finite numbers in epoch `number`; None when it did not."""
    end = number * len(stack.losses)
    losses = stack.losses.T.cpu()  # (R, S)
    rows = [torch.isfinite(w).reshape(len(w), -1).all(1) for w in tensors.values()]
    finite = torch.stack(rows, dim=1).tolist()  # (R, names)
    return [
        in_losses(of, end - len(of) + 1, number) or in_tensors(dict(zip(tensors, fine, strict=True)), end, number)
        for of, fine in zip(losses, finite, strict=True)
    ]


def running(stack: Stack) -> list[tuple[float, float]]:
    """Mean loss and number of right answers over the epoch's steps."""
    return list(zip(stack.losses.mean(0).tolist(), stack.right.sum(0).tolist(), strict=True))


def tables(lift: Lift, before: Training, after: Training, grads: Tensors, number: int) -> list[list[list[float]]]:
    """`diagnostics.layers.table` over the last step of epoch `number`, as numbers: [run][parameter][measure]."""
    knobs = lift.first.knobs(number * lift.first.steps_per_epoch)
    found: list[list[list[float]]] = lift.over(table, knobs, before, after, grads).tolist()
    return found


def penalties(lift: Lift, params: Tensors) -> list[float | None]:
    """λΣcΩ(w) of every run, λ that of its schedule's end; exactly 0 where λ is 0, None where it is not known."""
    lams = [t.run.lam for t in lift.trainers]
    if not any(lams):
        return [0.0] * lift.runs
    if not lift.first.rule.has_penalty:
        return [None if lam else 0.0 for lam in lams]
    starts = {n: torch.stack([t.decay_start[n] for t in lift.trainers]) for n in lift.first.decay_start}

    def one(params: Tensors, start: Tensors, lam: Tensor) -> Tensor:
        return lift.first.rule.penalty(params, start, lam, 1.0)

    found = torch.func.vmap(one)(params, starts, lift.exact_lam).tolist()
    return [penalty if lam else 0.0 for penalty, lam in zip(found, lams, strict=True)]


def evaluated(lift: Lift, split: str, number: int, params: Tensors, buffers: Tensors) -> Rows:
    """Metrics rows of a whole split, in evaluation mode; the runs of a fold see its batches together."""
    lift.first.model.eval()
    values = penalties(lift, params)
    rows: dict[int, dict[str, Any]] = {}
    folds = [t.run.fold for t in lift.trainers]
    for fold in dict.fromkeys(folds):
        places = [r for r, f in enumerate(folds) if f == fold]
        pick = torch.tensor(places, device=lift.device)
        mine = ({n: w[pick] for n, w in of.items()} if len(places) < lift.runs else of for of in (params, buffers))
        for r, scores in zip(places, _scores(lift, places, split, *mine), strict=True):
            row = {"epoch": number, "split": split, "corruption": "", "severity": 0, **scores}
            rows[r] = penalised(row, values[r])
    return [rows[r] for r in range(lift.runs)]


def _scores(lift: Lift, places: list[int], split: str, params: Tensors, buffers: Tensors) -> Rows:
    evaluator = lift.trainers[places[0]].evaluator
    calibration = evaluator.options["calibration"]
    lifted = torch.func.vmap(lambda outputs, y: sums(outputs, y, calibration), (0, None))
    with torch.no_grad():
        batches = evaluator.batches(split, max(1, min(MOST, EXAMPLES // len(places)))).sequential()
        pairs = ((lift.outputs(params, buffers, x, True), y) for x, y in batches)
        total, examples = summed(evaluator.ticked(pairs), lifted)
    total = {n: v.cpu() for n, v in total.items()}
    return [means({n: v[r] for n, v in total.items()}, examples) for r in range(len(places))]


def tested(lift: Lift, number: int, weights: Mapping[int, tuple[Tensors, Tensors]]) -> dict[int, Rows]:
    """Metrics rows on the clean test split of the runs (by place) that end with these weights."""
    if not weights:
        return {}
    ending = Lift([lift.trainers[r] for r in weights], lift.way)
    params, buffers = (
        {n: torch.stack([of[part][n] for of in weights.values()]) for n in next(iter(weights.values()))[part]}
        for part in (0, 1)
    )
    clean = evaluated(ending, "test", number, params, buffers)
    return {r: [row] for r, row in zip(weights, clean, strict=True)}
