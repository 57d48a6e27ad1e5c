"""Laws of Ω alone: gradient, sum, prox and projection against their definitions, by autograd and brute force."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from wdrun.decay import Decay, Regularizer
from wdrun.laws.cases import Case, weights
from wdrun.tensors import Tensors


def gradient_is_derivative(case: Case) -> str | None:
    """grad equals autograd of value."""
    for name, omega, w in _omegas(case, weights()):
        found, expected = omega.grad(w), torch.func.grad(omega.value)(w)
        if not torch.allclose(found, expected, rtol=1e-10, atol=1e-12):
            return f"{name}: grad is off autograd by {(found - expected).abs().max():.2e}"
    return None


def each_adds_up(case: Case) -> str | None:
    """each is shaped like w, and its sum is value."""
    for name, omega, w in _omegas(case, weights()):
        if (each := omega.each(w)).shape != w.shape:
            return f"{name}: each is shaped {tuple(each.shape)}, not {tuple(w.shape)} as w is"
        if not torch.allclose(each.sum(), omega.value(w), rtol=1e-10, atol=1e-12):
            return f"{name}: each adds up to {each.sum():.6g}, and value is {omega.value(w):.6g}"
    return None


def prox_is_minimal(case: Case) -> str | None:
    """prox(w, t) beats random neighbours in ½‖z−w‖² + tΩ(z), and t = 0 leaves w."""
    for name, omega, w in _omegas(case, weights()):
        if not torch.allclose(omega.prox(w, 0.0), w, rtol=0, atol=1e-12):
            return f"{name}: prox with t = 0 moved w"
        for t in (0.1, 1.0):
            best = omega.prox(w, t)
            least = 0.5 * (best - w).square().sum() + t * omega.value(best)
            for z in _around(best, w):
                if 0.5 * (z - w).square().sum() + t * omega.value(z) < least - 1e-12:
                    return f"{name}: a neighbour of prox(w, {t}) is better"
    return None


def prox_by_brute_force(case: Case) -> str | None:
    """On two weights no point of a fine grid is better than prox(w, t): the minimum is the global one."""
    for _, omega, w in _omegas(case, _pair()):
        for t in (0.05, 0.3, 2.0):
            best, grid = omega.prox(w, t), _grid()
            least = 0.5 * (best - w).square().sum() + t * omega.value(best)
            others = 0.5 * (grid - w).square().sum((1, 2)) + t * torch.func.vmap(omega.value)(grid)
            if others.min() < least - 1e-12:
                return f"prox({w.tolist()}, {t}) = {best.tolist()}, but {grid[others.argmin()].tolist()} is better"
    return None


def projection_is_nearest(case: Case) -> str | None:
    """project(w, r) is feasible, idempotent, leaves a feasible w, and no feasible neighbour is nearer to w."""
    if case.decay == "none":
        return None
    for name, omega, w in _omegas(case, weights()):
        whole = float(omega.value(w))
        if omega.violation(w, 2 * whole) == 0 and not torch.equal(omega.project(w, 2 * whole), w):
            return f"{name}: a feasible tensor was moved"
        for share in (0.1, 0.7):
            radius = share * whole
            best = omega.project(w, radius)
            if omega.violation(best, radius) > radius * 1e-9:
                return f"{name}: the projection misses Ω ≤ {radius:.6g} by {omega.violation(best, radius):.2g}"
            if not torch.allclose(omega.project(best, radius), best, rtol=1e-9, atol=1e-9):
                return f"{name}: projecting twice moved it again"
            distance = (best - w).norm()
            for i, z in enumerate(_around(best, w)):
                feasible = z if omega.violation(z, radius) == 0 else omega.project(z, radius) if i % 9 == 0 else best
                if (feasible - w).norm() < distance - 1e-9:
                    return f"{name}: a feasible neighbour is nearer"
    return None


def projection_by_brute_force(case: Case) -> str | None:
    """On two weights no feasible point of a fine grid is nearer to w than project(w, r)."""
    for _, omega, w in _omegas(case, _pair()):
        radius = 0.4 * float(omega.value(w))
        best, grid = omega.project(w, radius), _grid()
        feasible = grid[torch.func.vmap(lambda z, o=omega, r=radius: o.violation(z, r))(grid) == 0]
        distances = (feasible - w).square().sum((1, 2)).sqrt()
        if len(feasible) and distances.min() < (best - w).norm() - 1e-12:
            return f"project({w.tolist()}) = {best.tolist()}, but {feasible[distances.argmin()].tolist()} is nearer"
    return None


def lacking(law: Callable[[Case], str | None], case: Case) -> str:
    """Why the law does not apply to the decay: what it needs and the decay has not; "" where it applies."""
    rule = case.rule(weights(), scope="all")
    if type(rule) is not Decay:
        return "a rule of its own"
    missing = [f"no {ability}" for ability in REGULARIZER_LAWS[law] if not rule.regularizer.can(ability)]
    return " and ".join(missing)


def _omegas(case: Case, params: Tensors) -> Iterator[tuple[str, Regularizer, Tensor]]:
    """Ω of each tensor; one with memory started elsewhere. TypeError for a rule of its own, which has none."""
    rule = case.rule(params, scope="all")
    if type(rule) is not Decay:
        raise TypeError(f"{case}: is a rule of its own, without Ω")
    memory = rule.init({n: 0.5 * w + 0.1 for n, w in params.items()})
    for name, w in params.items():
        yield name, rule.omega(name, memory), w


def _pair() -> Tensors:
    return {"pair.weight": torch.tensor([[0.9, -0.35]], dtype=torch.float64)}


def _grid() -> Tensor:
    """Matrices of two weights over the square [−1, 1]²: (points, 1, 2)."""
    axis = torch.linspace(-1, 1, 201, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis).unsqueeze(1)


def _around(best: Tensor, w: Tensor) -> Iterator[Tensor]:
    """Neighbours of a claimed optimum: random ones at several distances, and points on the way to w and to 0."""
    source = torch.Generator().manual_seed(5)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(20):
            yield best + size * torch.randn(best.shape, generator=source, dtype=best.dtype)
        yield best + size * (w - best)
        yield best * (1 - size)


# What each needs the regularizer to offer; one case a decay is enough for these.
REGULARIZER_LAWS: dict[Callable[[Case], str | None], tuple[str, ...]] = {
    gradient_is_derivative: ("grad", "value"),
    each_adds_up: ("each",),
    prox_is_minimal: ("prox", "value"),
    prox_by_brute_force: ("prox", "value"),
    projection_is_nearest: ("project", "value"),
    projection_by_brute_force: ("project", "value"),
}
