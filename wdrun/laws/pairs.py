"""Laws of a pair: what every decay × coupling owes with every optimizer, and what it owes by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wdrun.decay import Decay, Knobs, Regularizer
from wdrun.errors import ConfigError
from wdrun.laws.cases import LAM, LR, STEPS, Case, noise, nothing, step_of, train, weights
from wdrun.tensors import Scalar, Tensors
from wdrun.training.step import Step, Training


def zero_is_none(case: Case) -> str | None:
    """λ = 0 gives the run without decay, bit for bit."""
    params = weights()
    with_zero = case.trajectory(case.rule(params), 0.0, noise)
    none = Case("none", "coupled", case.optimizer, case.config_dir)
    without = none.trajectory(none.rule(params), 0.0, noise)
    for t, (a, b) in enumerate(zip(with_zero, without, strict=True), start=1):
        for name in a:
            if not torch.equal(a[name], b[name]):
                return f"λ = 0 changed {name} at step {t}"
    return None


def moves_its_scope(case: Case) -> str | None:
    """λ > 0 moves every parameter in scope within a few steps, and no other."""
    if case.decay == "none":
        return None
    params = weights()
    rule = case.rule(params)
    plain = case.trajectory(rule, 0.0, noise)[-1]
    lam = LAM if case.coupling != "projected" else 1e-9  # a radius that no tensor fulfils by itself
    moved = case.trajectory(rule, lam, noise)[-1]
    for name in params:
        changed = not torch.equal(plain[name], moved[name])
        if changed != (name in rule.scope()):
            where, did = "in" if name in rule.scope() else "out of", "moved" if changed else "did not move"
            return f"{name} is {where} scope and {did}"
    return None


def shrinks_by_formula(case: Case) -> str | None:
    """Without a gradient, one step after the optimizer is the coupling's formula with u = 0."""
    params = weights()
    rule = case.rule(params)
    if type(rule) is not Decay or case.coupling == "coupled":
        return None
    memory = rule.init(params)
    found = case.trajectory(rule, LAM, nothing)[0]
    for name, w in params.items():
        c = rule.scale.get(name, 0.0)
        omega = rule.omega(name, memory)
        expected = _by_hand(case.coupling, omega, w, float(c)) if c and case.decay != "none" else w
        if not torch.allclose(found[name], expected, rtol=0, atol=1e-12):
            return f"{name}: off the formula by {(found[name] - expected).abs().max():.2e}"
    return None


def _by_hand(coupling: str, omega: Regularizer, w: Tensor, c: float) -> Tensor:
    if coupling in ("decoupled", "cautious"):  # u = 0: the cautious mask u⊙w ≥ 0 is all true
        return w - LR * LAM * c * omega.grad(w)
    if coupling == "independent":
        return w - LAM * c * omega.grad(w)
    return omega.prox(w, LR * LAM * c) if coupling == "proximal" else omega.project(w, LAM * c)


def scale_is_lambda(case: Case) -> str | None:
    """Coefficient k on every parameter equals λ·k (a power of two, so the products are exact)."""
    params = weights()
    scaled = case.rule(params, scales=[["*.weight", 4.0], ["*.bias", 4.0]])
    plain = case.rule(params, scales=[["*.weight", 1.0], ["*.bias", 1.0]])
    a = case.trajectory(scaled, LAM, noise)[-1]
    b = case.trajectory(plain, 4 * LAM, noise)[-1]
    for name in params:
        if not torch.allclose(a[name], b[name], rtol=0, atol=1e-12):
            return f"{name}: scale 4 and 4λ differ by {(a[name] - b[name]).abs().max():.2e}"
    return None


def lifts_over_runs(case: Case) -> str | None:
    """torch.func.vmap over runs that differ in λ (0 among them), lr and weights gives each run's own steps."""
    rule, by = case.rule(weights()), case.by()
    lams, lrs = torch.tensor([[0.0, 0.01, LAM], [0.05, 0.05, 0.02]], dtype=torch.float64)
    runs = [{n: w * size for n, w in weights().items()} for size in (1.0, 2.0, 0.5)]
    noises = [{n: noise(t, n, w) for n, w in weights().items()} for t in (1, 2)]

    def steps(params: Tensors, lam: Scalar, lr: Scalar) -> Tensors:
        return train(rule, by, params, lambda t, p: noises[t - 1], lam, lr, [1.0, 1.0])[-1]

    stacked = {n: torch.stack([run[n] for run in runs]) for n in runs[0]}
    lifted = torch.func.vmap(steps)(stacked, lams, lrs)
    for i, run in enumerate(runs):
        alone = steps(run, lams[i].item(), lrs[i].item())
        for n, w in alone.items():
            if not torch.allclose(lifted[n][i], w, rtol=0, atol=1e-12):
                off = (lifted[n][i] - w).abs().max()
                return f"run {i}, {n}: lifted differs from alone by {off:.2e} at λ = {lams[i]:g}"
    return None


def slice_is_a_scope(case: Case) -> str | None:
    """On a part of a tensor the decay does there what it does on the whole, and nothing elsewhere; or it refuses."""
    params, part = weights(), (slice(None), slice(0, 3))
    whole = case.rule(params, scales=[["fc.weight", 2.0], ["*", 0.0]])
    try:
        sliced = case.rule(params, scales=[["fc.weight[:, :3]", 2.0], ["*", 0.0]])
    except ConfigError as error:
        return None if "acts on whole tensors" in str(error) else f"refuses a slice with {error}"
    none = case.trajectory(whole, 0.0, noise)[-1]["fc.weight"]
    expected = none.clone()
    expected[part] = case.trajectory(whole, LAM, noise)[-1]["fc.weight"][part]
    found = case.trajectory(sliced, LAM, noise)[-1]["fc.weight"]
    if not torch.allclose(found, expected, rtol=0, atol=1e-12):
        return f"fc.weight[:, :3] in scope: off by {(found - expected).abs().max():.2e}"
    return None


def resumes_from_its_memory(case: Case) -> str | None:
    """Memory is tensors, and training goes on from a copy of them to the same bits: nothing is kept elsewhere."""
    params = weights()
    step, again = (step_of(case.rule(params), case.by()) for _ in range(2))
    now = Training(params, step.optimizer.init(params), step.rule.init(params))

    def once(at: Training, t: int, by: Step) -> Training:
        grads = {n: noise(t, n, w) for n, w in at.params.items()}
        return by.update(at, grads, Knobs(LAM, LR, 1.0, by.rule.lam_scales((t - 1) / STEPS), t))

    for t in range(1, 4):
        now = once(now, t, step)
    if not all(isinstance(memory, Tensor) for memory in now.decay.values()):
        return "memory that is not a tensor cannot be checkpointed"
    other = Training(now.params, now.optimizer, {n: m.clone() for n, m in now.decay.items()})
    for t in range(4, STEPS + 1):
        now, other = once(now, t, step), once(other, t, again)
    off = [n for n in now.params if not torch.equal(now.params[n], other.params[n])]
    return f"a resumed run differs in {off[0]}" if off else None


Law = Callable[[Case], str | None]
LAWS: tuple[Law, ...] = (zero_is_none, moves_its_scope, shrinks_by_formula, scale_is_lambda)
# These do not depend on the optimizer: one an ability of the decay is enough.
COUPLING_LAWS: tuple[Law, ...] = (lifts_over_runs, slice_is_a_scope, resumes_from_its_memory)
