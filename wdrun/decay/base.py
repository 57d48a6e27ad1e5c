"""Decay as a value: regularizer Ω × coupling × parameter scales × λ-schedule.

Symbols: w weight (any shape), g gradient of the data loss, u the optimizer's update direction, η = lr·s the current
learning rate, c the parameter's coefficient, λ the current decay strength. Ω = ½‖w‖² makes λ equal torch's
`weight_decay`; other conventions are converted in `wdrun.conventions`, never mixed in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from wdrun.decay.regularizer import Anchored, Coefficient, Constraint, Mean, Regularizer, Scalar
from wdrun.decay.scope import coefficients

__all__ = [
    "COUPLINGS",
    "Anchored",
    "Constraint",
    "Context",
    "Coupling",
    "Decay",
    "Mean",
    "Regularizer",
    "Rule",
    "Scalar",
    "Tensors",
    "axpy",
    "coefficients",
]

Tensors = dict[str, Tensor]


def axpy(a: Scalar, x: Tensor, y: Tensor) -> Tensor:
    """a·x + y, in one kernel when a is a number."""
    return y + a * x if isinstance(a, Tensor) else torch.add(y, x, alpha=a)


@dataclass(frozen=True)
class Context:
    """What a step knows when decay enters it; `grads`, `updates` and `optimizer_state` once the step was taken."""

    params: Tensors
    lam: Scalar  # λ before its schedule
    lr: Scalar  # η, the current learning rate
    lr_scale: float  # s = η / peak lr
    progress: float  # share of training done, in [0, 1)
    t: int  # step, from 1
    state: Tensors = field(default_factory=dict)  # the decay's own memory
    grads: Tensors = field(default_factory=dict)  # g, as the optimizer saw it
    updates: Tensors = field(default_factory=dict)  # u
    optimizer_state: Mapping[str, Tensors] = field(default_factory=dict)


Before = Callable[[Regularizer, Tensor, Tensor, Scalar], Tensor]  # Ω, w, g, λc -> g
After = Callable[[Regularizer, Tensor, Tensor, Tensor, Scalar, Context], Tensor]  # Ω, w, w−ηu, u, λc, ctx -> w⁺


class Coupling(NamedTuple):
    """Where Ω enters a step: before the optimizer (on g) or after it (on w − ηu)."""

    needs: str
    formula: str
    before: Before | None = None
    after: After | None = None


def _coupled(omega: Regularizer, w: Tensor, g: Tensor, k: Scalar) -> Tensor:
    return axpy(k, omega.grad(w), g)


def _decoupled(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, ctx: Context) -> Tensor:
    return axpy(-ctx.lr * k, omega.grad(w), new)


def _independent(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, ctx: Context) -> Tensor:
    return axpy(-ctx.lr_scale * k, omega.grad(w), new)


def _cautious(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, ctx: Context) -> Tensor:
    return axpy(-ctx.lr * k, torch.where(u * w >= 0, omega.grad(w), 0.0), new)


def _proximal(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, ctx: Context) -> Tensor:
    return omega.prox(new, ctx.lr * k)


def _projected(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, ctx: Context) -> Tensor:
    return omega.project(new, k)


COUPLINGS: dict[str, Coupling] = {
    "coupled": Coupling("grad", "g ← g + λcΩ'(w), before the optimizer", before=_coupled),
    "decoupled": Coupling("grad", "w⁺ ← w − ηu − ηλcΩ'(w)", after=_decoupled),
    "independent": Coupling("grad", "w⁺ ← w − ηu − sλcΩ'(w), free of the lr", after=_independent),
    "cautious": Coupling("grad", "w⁺ ← w − ηu − ηλcΩ'(w)·1[u⊙w ≥ 0]", after=_cautious),
    "proximal": Coupling("prox", "w⁺ ← prox_{ηλcΩ}(w − ηu)", after=_proximal),
    "projected": Coupling("project", "w⁺ ← argmin ‖z − (w − ηu)‖ s.t. Ω(z) ≤ λc", after=_projected),
}


class Rule:
    """What a training step asks of a decay; `Decay` and `Chain` are the two that cover almost everything."""

    def init(self, params: Tensors) -> Tensors:
        """The rule's own memory at the start of training (empty for a memoryless rule)."""
        return {}

    def before(self, grads: Tensors, ctx: Context) -> Tensors:
        """Gradients as the optimizer is to see them."""
        return grads

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        """Parameters after the optimizer's step w − ηu, and the rule's memory."""
        return new, ctx.state

    def value(self, params: Tensors, state: Tensors) -> Tensor:
        """Σ cΩ(w) over the parameters in scope, free of λ."""
        return torch.zeros(())

    def penalty(self, params: Tensors, state: Tensors, lam: Scalar, progress: float) -> Tensor:
        """What the rule adds to the objective: λ(progress)·ΣcΩ(w); nothing for a constraint."""
        return torch.zeros(())

    def scope(self) -> list[str]:
        """Names of the parameters the rule acts on."""
        return []

    def rate(self, params: Tensors) -> float | None:
        """⟨∇ΣcΩ(w), w⟩/‖w‖² over the scope: relative pull on these weights at λη = 1; 1 for L2.

        None where the rule does not pull the weights to zero by λη alone: bounds, memory, an Ω that ignores their size.
        """
        return None

    @property
    def formula(self) -> str:
        """The rule's step in one line."""
        return ""

    @property
    def takes_parts(self) -> bool:
        """Whether c may differ within a tensor."""
        return False

    @property
    def capturable(self) -> bool:
        """Whether its step can be recorded as a CUDA graph: it waits for nothing the device computes."""
        return True


@dataclass(frozen=True)
class Decay(Rule):
    """One regularizer, coupled one way, over the parameters in `scale`. λ(progress) = λ·schedule(progress).

    A rule of its own subclasses this and overrides one hook: `strength` (λ of the step) or `after_one` (the coupling).
    """

    regularizer: Regularizer
    coupling: str
    scale: Mapping[str, Coefficient]  # parameter name -> c; absent = out of scope
    schedule: Callable[[float], float] = lambda progress: 1.0

    by_element: ClassVar[bool] = True  # False in a rule that acts on whole tensors, whatever its Ω

    def init(self, params: Tensors) -> Tensors:
        kept = {n: self.regularizer.remember(params[n]) for n in self.scale}
        return {n: memory for n, memory in kept.items() if memory is not None}

    def strength(self, ctx: Context) -> Scalar:
        """λ of this step."""
        return ctx.lam * self.schedule(ctx.progress)

    def omega(self, name: str, state: Tensors) -> Regularizer:
        """Ω of one parameter, with its memory."""
        return self.regularizer.recall(state[name]) if name in state else self.regularizer

    def before(self, grads: Tensors, ctx: Context) -> Tensors:
        add = COUPLINGS[self.coupling].before
        if add is None or is_off(lam := self.strength(ctx)):
            return grads
        w = ctx.params
        coupled = {n: add(self.omega(n, ctx.state), w[n], grads[n], lam * c) for n, c in self.scale.items()}
        return grads | unless_off(lam, grads, coupled)

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        if COUPLINGS[self.coupling].after is None or is_off(lam := self.strength(ctx)):
            return new, ctx.state
        shrunk = {n: self.after_one(n, new[n], lam * c, ctx) for n, c in self.scale.items()}
        return new | unless_off(lam, new, shrunk), ctx.state

    def after_one(self, name: str, new: Tensor, k: Scalar, ctx: Context) -> Tensor:
        """w⁺ of one parameter from w − ηu, k = λc."""
        after = COUPLINGS[self.coupling].after
        return after(self.omega(name, ctx.state), ctx.params[name], new, ctx.updates[name], k, ctx) if after else new

    def value(self, params: Tensors, state: Tensors) -> Tensor:
        terms = []
        for n, c in self.scale.items():
            omega, w = self.omega(n, state), params[n]
            terms.append((c * omega.each(w)).sum() if isinstance(c, Tensor) else c * omega.value(w))
        return torch.stack(terms).sum() if terms else torch.zeros(())

    def penalty(self, params: Tensors, state: Tensors, lam: Scalar, progress: float) -> Tensor:
        k = lam * self.schedule(progress)
        return torch.zeros(()) if self.coupling == "projected" or is_off(k) else k * self.value(params, state).double()

    def scope(self) -> list[str]:
        return list(self.scale)

    def rate(self, params: Tensors) -> float | None:
        if not self.scale:
            return 0.0
        state = self.init(params)
        if self.coupling == "projected" or state:
            return None
        leaves = {n: params[n].detach().double().requires_grad_() for n in self.scale}
        value = self.value({**params, **leaves}, state)
        if not value.requires_grad:
            return None
        pulls = torch.autograd.grad(value, tuple(leaves.values()), materialize_grads=True)
        along, across, size = 0.0, 0.0, 0.0
        for pull, (name, w) in zip(pulls, leaves.items(), strict=True):
            inside = torch.as_tensor(self.scale[name]) != 0
            along += (pull * w).sum().item()
            across += (pull * w).abs().sum().item()
            size += (w.square() * inside).sum().item()
        # An Ω that does not depend on the size of w pulls across it: what is left along it is rounding.
        return along / size if abs(along) > 1e-6 * across else None

    @property
    def formula(self) -> str:
        return COUPLINGS[self.coupling].formula

    @property
    def takes_parts(self) -> bool:
        return self.by_element and self.coupling != "projected" and self.regularizer.can("each")

    @property
    def capturable(self) -> bool:
        return self.regularizer.capturable


def is_off(lam: Scalar) -> bool:
    # λ = 0 must be the run without decay bit for bit, also where Ω' is infinite (0·∞ = nan) or λ is a radius.
    return isinstance(lam, float) and lam == 0.0


def unless_off(lam: Scalar, without: Tensors, decayed: Tensors) -> Tensors:
    """The same promise for a λ that is a tensor, one value a run."""
    if not isinstance(lam, Tensor):
        return decayed
    return {n: torch.where(lam > 0, w, without[n]) for n, w in decayed.items()}
