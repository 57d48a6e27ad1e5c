"""Several decays in one step, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wdrun.decay.base import Context, Rule, Tensors
from wdrun.decay.regularizer import Scalar


@dataclass(frozen=True)
class Chain(Rule):
    """Several rules, each with its weight times a common schedule on the common λ; closed under composition."""

    rules: tuple[Rule, ...]
    weights: tuple[float, ...]
    schedule: Callable[[float], float] = lambda progress: 1.0

    def init(self, params: Tensors) -> Tensors:
        return {f"{i}.{k}": v for i, rule in enumerate(self.rules) for k, v in rule.init(params).items()}

    def before(self, grads: Tensors, ctx: Context) -> Tensors:
        for i, rule in enumerate(self.rules):
            grads = rule.before(grads, self._inner(i, ctx))
        return grads

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        state: Tensors = {}
        for i, rule in enumerate(self.rules):
            new, memory = rule.after(new, self._inner(i, ctx))
            state |= {f"{i}.{k}": v for k, v in memory.items()}
        return new, state

    def value(self, params: Tensors, state: Tensors) -> Tensor:
        terms = zip(self.rules, self.weights, strict=True)
        parts = [w * rule.value(params, _of(i, state)) for i, (rule, w) in enumerate(terms)]
        return torch.stack(parts).sum() if parts else torch.zeros(())

    def penalty(self, params: Tensors, state: Tensors, lam: Scalar, progress: float) -> Tensor:
        common = lam * self.schedule(progress)
        terms = zip(self.rules, self.weights, strict=True)
        parts = [rule.penalty(params, _of(i, state), common * w, progress) for i, (rule, w) in enumerate(terms)]
        return sum(parts, torch.zeros(()))

    def scope(self) -> list[str]:
        return list(dict.fromkeys(name for rule in self.rules for name in rule.scope()))

    @property
    def formula(self) -> str:
        return "; then ".join(f"{w:g}λ: {rule.formula}" for rule, w in zip(self.rules, self.weights, strict=True))

    @property
    def capturable(self) -> bool:
        return all(rule.capturable for rule in self.rules)

    def _inner(self, i: int, ctx: Context) -> Context:
        return replace(ctx, lam=ctx.lam * self.schedule(ctx.progress) * self.weights[i], state=_of(i, ctx.state))


def _of(i: int, state: Tensors) -> Tensors:
    """The part of a chain's memory that is rule i's."""
    prefix = f"{i}."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
