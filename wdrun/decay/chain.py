"""Several decays in one step, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wdrun.decay.base import Context, Rule
from wdrun.tensors import Scalar, Tensors


@dataclass(frozen=True)
class Chain(Rule):
    """Several rules, each with its weight times a common schedule on the common λ; closed under composition.

    In the memory of the chain, that of rule i has the names `i.…`.
    """

    rules: tuple[Rule, ...]
    weights: tuple[float, ...]
    schedule: Callable[[float], float] = lambda progress: 1.0

    def init(self, params: Tensors) -> Tensors:
        return {f"{i}.{k}": v for i, rule in enumerate(self.rules) for k, v in rule.init(params).items()}

    def lam_scales(self, progress: float) -> tuple[float, ...]:
        """The common one, then those of the rules in their order."""
        return (self.schedule(progress), *(m for rule in self.rules for m in rule.lam_scales(progress)))

    def before(self, grads: Tensors, ctx: Context) -> Tensors:
        for rule, inner in self._links(ctx):
            grads = rule.before(grads, inner)
        return grads

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        state: Tensors = {}
        for i, (rule, inner) in enumerate(self._links(ctx)):
            new, memory = rule.after(new, inner)
            state |= {f"{i}.{k}": v for k, v in memory.items()}
        return new, state

    def holder(self, key: str) -> str:
        i, _, own = key.partition(".")
        return self.rules[int(i)].holder(own)

    def penalty(self, params: Tensors, state: Tensors, lam: Scalar, progress: float) -> Tensor:
        common = lam * self.schedule(progress)
        terms = zip(self.rules, self.weights, strict=True)
        parts = [rule.penalty(params, part_of(i, state), common * w, progress) for i, (rule, w) in enumerate(terms)]
        return sum(parts, torch.zeros(()))

    @property
    def has_penalty(self) -> bool:
        return all(rule.has_penalty for rule in self.rules)

    def scope(self) -> list[str]:
        return list(dict.fromkeys(name for rule in self.rules for name in rule.scope()))

    def _links(self, ctx: Context) -> Iterator[tuple[Rule, Context]]:
        """Each rule and the context as it sees it: its share of λ, the values of its schedules, its memory."""
        common, *left = ctx.knobs.lam_scales
        for i, (rule, weight) in enumerate(zip(self.rules, self.weights, strict=True)):
            mine = len(rule.lam_scales(0.0))
            knobs = ctx.knobs._replace(lam=ctx.knobs.lam * common * weight, lam_scales=tuple(left[:mine]))
            yield rule, replace(ctx, knobs=knobs, state=part_of(i, ctx.state))
            left = left[mine:]


def part_of(i: int, state: Tensors) -> Tensors:
    """The part of a chain's memory that is rule i's."""
    prefix = f"{i}."
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
