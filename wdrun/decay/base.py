"""Decay as a value: regularizer Ω × coupling × parameter scales × λ-schedule.

Symbols: w weight (any shape), g gradient of the data loss, u the optimizer's update direction, η = lr·s the current
learning rate, m the value of a λ-schedule, c the parameter's coefficient, λ the current decay strength. Ω = ½‖w‖² makes
λ equal torch's `weight_decay`; other conventions are converted in `wdrun.conventions`, never mixed in here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from wdrun.decay.regularizer import Coefficient, Regularizer
from wdrun.tensors import Scalar, Tensors, axpy, is_off


class Knobs(NamedTuple):
    """The numbers of one step; where runs are trained together, λ and η hold one value a run."""

    lam: Scalar  # λ before its schedules
    lr: Scalar  # η, the current learning rate
    lr_scale: Scalar  # s = η / peak lr
    lam_scales: tuple[Scalar, ...]  # m of each of the rule's λ-schedules, as `Rule.lam_scales` orders them
    t: int  # step, from 1


@dataclass(frozen=True)
class Context:
    """What a step knows when decay enters it; `grads` and `updates` only after the optimizer."""

    params: Tensors  # w before the step
    knobs: Knobs
    state: Tensors = field(default_factory=dict)  # the rule's own memory
    grads: Tensors = field(default_factory=dict)  # g, as the optimizer saw it
    updates: Tensors = field(default_factory=dict)  # u
    lr_factors: Mapping[str, float] = field(default_factory=dict)  # of η, 1 for a parameter that is not in it

    def lr(self, name: str) -> Scalar:
        """η of one parameter."""
        return self.knobs.lr * self.lr_factors[name] if name in self.lr_factors else self.knobs.lr


Before = Callable[[Regularizer, Tensor, Tensor, Scalar], Tensor]  # Ω, w, g, λc -> g
After = Callable[[Regularizer, Tensor, Tensor, Tensor, Scalar, Knobs], Tensor]  # Ω, w, w−ηu, u, λc, knobs -> w⁺


class Coupling(NamedTuple):
    """Where Ω enters a step: before the optimizer (on g) or after it (on w − ηu)."""

    needs: str  # what Ω must offer, see `Regularizer.can`
    formula: str
    before: Before | None = None
    after: After | None = None


def _pulled(k: Scalar, omega: Regularizer, w: Tensor, y: Tensor) -> Tensor:
    """y + kΩ'(w)."""
    own = vars(type(omega)).get("fresh", False)  # a class derived from one that says so may have another gradient
    return axpy(k, omega.grad(w), y, spent=own)


def _coupled(omega: Regularizer, w: Tensor, g: Tensor, k: Scalar) -> Tensor:
    return _pulled(k, omega, w, g)


def _decoupled(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, knobs: Knobs) -> Tensor:
    return _pulled(-knobs.lr * k, omega, w, new)


def _independent(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, knobs: Knobs) -> Tensor:
    return _pulled(-knobs.lr_scale * k, omega, w, new)


def _cautious(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, knobs: Knobs) -> Tensor:
    return axpy(-knobs.lr * k, torch.where(u * w >= 0, omega.grad(w), 0.0), new, spent=True)


def _proximal(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, knobs: Knobs) -> Tensor:
    return omega.prox(new, knobs.lr * k)


def _projected(omega: Regularizer, w: Tensor, new: Tensor, u: Tensor, k: Scalar, knobs: Knobs) -> Tensor:
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
    """What a training step asks of a decay; `Decay` and `Chain` are the two that cover almost everything.

    All it is given and gives is tensors by parameter name. It keeps nothing but what `init` and `after` return, and no
    Python branch hangs on a tensor's value, so that a run can be resumed and trained together with others.
    """

    formula: ClassVar[str] = ""  # the step in one line, as `wdrun explain` shows it
    about: ClassVar[str] = ""  # what λ is in it, as `wdrun explain` says it where λ is no strength of Ω alone
    tries: ClassVar[str] = ""  # an axis worth sweeping, as it is typed, where no formula gives a range of λ
    to_zero: ClassVar[bool] = False  # True where a rule with memory pulls to zero all the same, by λη alone
    capturable: ClassVar[bool] = True  # False where it waits for what the device computes, or branches on `Knobs.t`
    overshoots: ClassVar[bool] = True  # False in a rule that shrinks by a factor in [0, 1], however large ηλ

    def init(self, params: Tensors) -> Tensors:
        """The rule's own memory at the start of training (empty for a memoryless rule), as `holder` reads its names."""
        return {}

    def lam_scales(self, progress: float) -> tuple[float, ...]:
        """The value of each of its λ-schedules at this share of training; a step reads them in `Knobs.lam_scales`."""
        return ()

    def before(self, grads: Tensors, ctx: Context) -> Tensors:
        """Gradients as the optimizer is to see them, from those of the data loss."""
        return grads

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        """Parameters after the step, from `new` = w − ηu, and the rule's memory after it."""
        return new, ctx.state

    def holder(self, key: str) -> str:
        """The parameter whose memory `key` is, which stays as it is in a step without gradient; "" for all of them."""
        return key

    def penalty(self, params: Tensors, state: Tensors, lam: Scalar, progress: float) -> Tensor:
        """What the rule adds to the objective, a scalar: λ(progress)·ΣcΩ(w); nothing for a constraint."""
        return torch.zeros(())

    @property
    def has_penalty(self) -> bool:
        """Whether `penalty` knows what the rule adds; an Ω written by its gradient alone has no formula for it."""
        return True

    def scope(self) -> list[str]:
        """Names of the parameters the rule acts on."""
        return []


@dataclass(frozen=True)
class Decay(Rule):
    """One regularizer, coupled one way, over the parameters in `scale`. λ(progress) = λ·schedule(progress).

    A rule of its own subclasses this and overrides one hook: `strength` (λ of the step), `strengths` (λ of each
    parameter) or `after_one` (the coupling).
    """

    regularizer: Regularizer
    coupling: str
    scale: Mapping[str, Coefficient]  # parameter name -> c; absent = out of scope
    schedule: Callable[[float], float] = lambda progress: 1.0
    steady: frozenset[str] = frozenset()  # parameters whose λ keeps off the schedule
    steady_scale: float = 1.0  # m of these in every step: 1/√steps where λ is normalized

    by_element: ClassVar[bool] = True  # False in a rule that acts on whole tensors, whatever its Ω

    def init(self, params: Tensors) -> Tensors:
        kept = {n: self.regularizer.remember(params[n]) for n in self.scale}
        return {n: memory for n, memory in kept.items() if memory is not None}

    def lam_scales(self, progress: float) -> tuple[float, ...]:
        return (self.schedule(progress),)

    def strength(self, ctx: Context) -> Scalar:
        """λ of this step."""
        return ctx.knobs.lam * ctx.knobs.lam_scales[0]

    def strengths(self, ctx: Context) -> dict[str, Scalar]:
        """λ of this step for each parameter in scope."""
        lam = self.strength(ctx)
        if not self.steady:
            return dict.fromkeys(self.scale, lam)
        constant = self.strength(replace(ctx, knobs=ctx.knobs._replace(lam_scales=(self.steady_scale,))))
        return {n: constant if n in self.steady else lam for n in self.scale}

    def _acting(self, ctx: Context) -> dict[str, Scalar]:
        """`strengths` but where λ is the number 0, and the decay can be left out.

        λ = 0 must be the run without decay bit for bit, also where Ω' is infinite (0·∞ = nan) or λ is a radius.
        """
        lams = {} if is_off(ctx.knobs.lam) else self.strengths(ctx)
        return {n: lam for n, lam in lams.items() if not is_off(lam)}

    def omega(self, name: str, state: Tensors) -> Regularizer:
        """Ω of one parameter, with its memory."""
        return self.regularizer.recall(state[name]) if name in state else self.regularizer

    def before(self, grads: Tensors, ctx: Context) -> Tensors:
        add = COUPLINGS[self.coupling].before
        if add is None:
            return grads
        w = ctx.params
        return grads | {
            n: unless_off(lam, grads[n], add(self.omega(n, ctx.state), w[n], grads[n], lam * self.scale[n]))
            for n, lam in self._acting(ctx).items()
        }

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        if COUPLINGS[self.coupling].after is None:
            return new, ctx.state
        decayed = {
            n: unless_off(lam, new[n], self.after_one(n, new[n], lam * self.scale[n], ctx))
            for n, lam in self._acting(ctx).items()
        }
        return new | decayed, ctx.state

    def after_one(self, name: str, new: Tensor, k: Scalar, ctx: Context) -> Tensor:
        """w⁺ of one parameter from `new` = w − ηu; k = λc."""
        move = COUPLINGS[self.coupling].after
        omega, w = self.omega(name, ctx.state), ctx.params[name]
        return move(omega, w, new, ctx.updates[name], k, ctx.knobs._replace(lr=ctx.lr(name))) if move else new

    def value(self, params: Tensors, state: Tensors, of: Collection[str] | None = None) -> Tensor:
        """ΣcΩ(w) over the scope, or over those `of` it, free of λ: a scalar."""
        terms = []
        for n in self.scale if of is None else of:
            c, omega, w = self.scale[n], self.omega(n, state), params[n]
            terms.append((c * omega.each(w)).sum() if isinstance(c, Tensor) else c * omega.value(w))
        return torch.stack(terms).sum() if terms else torch.zeros(())

    def penalty(self, params: Tensors, state: Tensors, lam: Scalar, progress: float) -> Tensor:
        steady = [n for n in self.scale if n in self.steady]
        moving = [n for n in self.scale if n not in self.steady]
        parts = [(lam * self.schedule(progress), moving), (lam * self.steady_scale, steady)]
        if self.coupling == "projected":
            return torch.zeros(())
        values = [k * self.value(params, state, of).double() for k, of in parts if of and not is_off(k)]
        return sum(values[1:], values[0]) if values else torch.zeros(())

    @property
    def has_penalty(self) -> bool:
        return self.coupling == "projected" or self.regularizer.can("value")

    def scope(self) -> list[str]:
        return list(self.scale)

    def remark(self, name: str, memory: Tensors) -> str:
        """What `wdrun explain` is to say of one parameter in scope beside its coefficient: `λ × 3 by its spectrum`."""
        return ""


def unless_off(lam: Scalar, without: Tensor, decayed: Tensor) -> Tensor:
    """`decayed`; for a λ that is a tensor, a value a run, `without` in the runs where it is 0, bit for bit."""
    return torch.where(lam > 0, decayed, without) if isinstance(lam, Tensor) else decayed
