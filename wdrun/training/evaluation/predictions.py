"""A regression's predictions on its test split, beside those of the exact minimum. Shapes: N examples, F features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wdrun.data import Dataset, Split
from wdrun.decay import Decay
from wdrun.decay.l2 import L2
from wdrun.tensors import Tensors
from wdrun.training.step import Step


def predict(step: Step, dataset: Dataset, params: Tensors, buffers: Tensors, lam: float) -> list[dict[str, Any]]:
    """A row for each test point: x (its first feature), target, prediction, closed_form (None where there is none)."""
    x, y = _examples(dataset.splits["test"])
    step.model.eval()
    with torch.no_grad():
        found = step.outputs(params, buffers, x.to(step.machine.device, step.input_dtype)).double().cpu()
    exact = minimum(step, dataset, lam)
    best = None if exact is None else x @ exact[0] + exact[1]
    return [
        {"x": x[i, 0].item(), "target": y[i, 0].item(), "prediction": found[i, 0].item()}
        | {"closed_form": None if best is None else best[i].item()}
        for i in range(len(x))
    ]


def minimum(step: Step, dataset: Dataset, lam: float) -> tuple[Tensor, Tensor] | None:
    """w (F,) and b that minimise the training split's mean squared error + ½λΣ c_j w_j², b free.

    Setting the derivatives to zero, with S the means of centred products: b = ȳ − w·x̄ and
    (S_xx + ½λ·diag(c))·w = S_xy; for article 000's one feature w = S_xy/(S_xx + λ/2). None for a model that is not
    linear, and for a decay whose end point is another: not l2, not coupled, or on the bias.
    """
    if set(params := dict(step.model.named_parameters())) != {"fc1.weight", "fc1.bias"}:
        return None
    x, y = _examples(dataset.splits["train"])
    shrink = torch.zeros(x.shape[1], dtype=torch.float64)
    rule = step.rule
    if lam:
        if type(rule) is not Decay or not isinstance(rule.regularizer, L2):
            return None
        if rule.coupling != "coupled" or "fc1.bias" in rule.scale:
            return None
        c = torch.as_tensor(rule.scale.get("fc1.weight", 0.0), dtype=torch.float64).cpu()
        shrink = 0.5 * lam * rule.schedule(1.0) * c.expand(params["fc1.weight"].shape)[0]
    away_x, away_y = x - x.mean(0), y[:, 0] - y.mean()
    xx, xy = away_x.T @ away_x / len(x), away_x.T @ away_y / len(x)
    w = torch.linalg.solve(xx + shrink.diag(), xy)
    return w, y.mean() - x.mean(0) @ w


def _examples(split: Split) -> tuple[Tensor, Tensor]:
    """The split's features (N, F) and targets (N, 1), float64."""
    return split.inputs[split.rows].double(), split.targets[split.rows].double()
