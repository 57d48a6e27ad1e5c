"""The rows of layers.csv: functions of (before, after, gradient) of an epoch's last step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from wdrun.decay import Decay, Knobs, Rule
from wdrun.decay.l2 import L2
from wdrun.optim import Adam, Optimizer, Sgd
from wdrun.tensors import Tensors
from wdrun.training.step import Step, Training

MEASURES = (
    *("l1_norm", "l2_norm", "sparsity", "near_zero", "dead_filters"),
    *(
        "last_grad_norm",
        "last_update_norm",
        "last_update_ratio",
        "last_decay_share",
        "last_rotation",
        "last_effective_lr",
    ),
)
NEAR = 1e-3  # of a tensor's root mean square: what counts as near zero


def norms(w: Tensor) -> dict[str, Tensor]:
    """Σ|w|, √Σw², the shares of w = 0 and of |w| ≤ NEAR·rms, and of output rows (filters, neurons) that are all zero.

    Vectors have no rows: their share of dead ones is nan.
    """
    size, magnitude = torch.linalg.vector_norm(w), w.abs()
    dead = (w.flatten(1) == 0).all(1) if w.ndim > 1 else w.new_full((1,), math.nan)
    return {
        "l1_norm": magnitude.sum(),
        "l2_norm": size,
        "sparsity": _share(w == 0),
        "near_zero": _share(magnitude <= NEAR * size / math.sqrt(w.numel())),
        "dead_filters": _share(dead),
    }


def _share(true: Tensor) -> Tensor:
    # Counted before it is divided: a float32 mean of a large tensor is not exact.
    return true.sum().double() / true.numel()


def stable_rank(w: Tensor) -> float | None:
    """‖W‖_F²/σ₁² of a tensor as (outputs, everything else), σ₁ its largest singular value: from 1 to its rank.

    None for vectors and a tensor of zeros. σ₁² is the largest eigenvalue of the smaller Gram matrix, in float64: exact
    to about ten digits.
    """
    if w.ndim < 2 or not w.numel():
        return None
    matrix = w.detach().flatten(1).to(torch.complex128 if w.is_complex() else torch.float64)
    gram = matrix @ matrix.mH if matrix.shape[0] <= matrix.shape[1] else matrix.mH @ matrix
    top = torch.linalg.eigvalsh(gram)[-1].item()
    return gram.trace().real.item() / top if top > 0 else None


def rotation(before: Tensor, after: Tensor) -> Tensor:
    """Angle between a tensor before and after, in degrees: atan2 of the parts across and along, exact near zero."""
    a, b = before.flatten(), after.flatten()
    unit = a / torch.linalg.vector_norm(a)
    along = torch.dot(unit, b)
    across = torch.linalg.vector_norm(b - along * unit)
    return torch.rad2deg(torch.atan2(across, along))


def measure(before: Tensor, after: Tensor, undecayed: Tensor, grad: Tensor, lr: float | Tensor) -> dict[str, Tensor]:
    """One parameter over one step: norms after it, gradient, step, decay's part in it, rotation, effective lr.

    `undecayed` is where the same step would have ended with λ = 0: last_decay_share =
    ‖after − undecayed‖/‖after − before‖.
    last_effective_lr = lr/‖w‖², what the learning rate is to a scale-invariant weight (van Laarhoven 2017).
    """
    size = norms(after)
    update = torch.linalg.vector_norm(after - before)
    return size | {
        "last_grad_norm": torch.linalg.vector_norm(grad),
        "last_update_norm": update,
        "last_update_ratio": update / torch.linalg.vector_norm(before),
        "last_decay_share": torch.linalg.vector_norm(after - undecayed) / update,
        "last_rotation": rotation(before, after),
        "last_effective_lr": lr / size["l2_norm"].square(),
    }


def equilibrium(rule: Rule, optimizer: Optimizer, name: str, knobs: Knobs) -> float | None:
    """√(2δ(1−β)/(1+β)) in degrees: the rotation per step at which a scale-invariant weight settles.

    δ is the share a weight without gradient loses per step, β the momentum. Kosson et al. 2024, table 1: SGDM with
    coupled L2, δ = ηλ/(1−μ), is √(2ηλ/(1+μ)); AdamW, δ = ηλ, is √(2ηλ(1−β₁)/(1+β₁)). Decoupled SGD and the lr-free
    coupling (δ = sλ) follow by the same argument; in the coupled one a dampening τ makes η (1−τ)η. None for every other
    rule, coupling, regularizer or optimizer, and for AMSGrad.
    """
    if type(rule) is not Decay or not isinstance(rule.regularizer, L2):
        return None
    c = rule.scale.get(name)
    if c is None or isinstance(c, Tensor):
        return None
    share = 1.0  # of a gradient that the momentum takes
    if isinstance(optimizer, Sgd) and not optimizer.nesterov:
        beta, share = optimizer.momentum, 1 - optimizer.dampening if optimizer.momentum else 1.0
    elif isinstance(optimizer, Adam) and rule.coupling != "coupled" and not optimizer.amsgrad:
        beta = optimizer.beta1
    else:
        return None
    rate = {"coupled": knobs.lr * share / (1 - beta), "decoupled": knobs.lr, "independent": knobs.lr_scale}.get(
        rule.coupling
    )
    if rate is None:
        return None
    scheduled = rule.steady_scale if name in rule.steady else knobs.lam_scales[0]
    shrink = float(rate * knobs.lam * scheduled) * c
    return math.degrees(math.sqrt(2 * shrink * (1 - beta) / (1 + beta)))


def layers(step: Step, before: Training, after: Training, grads: Tensors, knobs: Knobs) -> list[dict[str, Any]]:
    """A row for every parameter over the step `before` → `after`; None where a value is undefined."""
    # One transfer for all values: reading them one at a time would wait for an accelerator at each.
    return tabulate(step, after.params, table(step, before, after, grads, knobs).tolist(), knobs)


def table(step: Step, before: Training, after: Training, grads: Tensors, knobs: Knobs) -> Tensor:
    """`measure` of every parameter, float64 (parameters, MEASURES); pure, so that `torch.func.vmap` lifts it over runs.

    The step is taken a second time with λ = 0 from the same memories, so what earlier decay left in a momentum
    buffer counts as the optimizer's and not as decay.
    """
    lam = knobs.lam
    slopes = {n: grads[n] if n in grads else torch.zeros_like(w) for n, w in after.params.items()}
    if isinstance(lam, Tensor) or lam:
        off = torch.zeros_like(lam) if isinstance(lam, Tensor) else 0.0
        undecayed = step.update(before, grads, knobs._replace(lam=off)).params
    else:
        undecayed = after.params
    lr = step.context(before, knobs).lr
    found = [measure(before.params[n], w, undecayed[n], slopes[n], lr(n)) for n, w in after.params.items()]
    return torch.stack([torch.stack([of[name].double() for name in MEASURES]) for of in found])


def tabulate(step: Step, params: Tensors, values: list[list[float]], knobs: Knobs) -> list[dict[str, Any]]:
    """The rows of a `table`, given as numbers, of parameters of these shapes."""
    rows = []
    for (name, w), of in zip(params.items(), values, strict=True):
        finite = (value if math.isfinite(value) else None for value in of)
        row = {"parameter": name, "numel": w.numel(), **dict(zip(MEASURES, finite, strict=True))}
        factor = step.lr_factors.get(name, 1.0)
        mine = knobs._replace(lr=knobs.lr * factor)
        settles = equilibrium(step.rule, step.optimizer, name, mine) if factor else None
        rows.append(row | {"last_rotation_equilibrium": settles})
    return rows
