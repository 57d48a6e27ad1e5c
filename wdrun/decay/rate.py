"""How strongly a rule pulls weights to zero, relative to their size: what total decay is computed with."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from wdrun.decay.base import Decay, Rule
from wdrun.decay.chain import Chain, part_of
from wdrun.tensors import Tensors


def rate(rule: Rule, params: Tensors, lr_factors: Mapping[str, float] | None = None) -> float | None:
    """⟨∇ΣcΩ(w), w⟩/‖w‖² over the scope: relative pull on these weights at λη = 1; 1 for L2, 0 for an empty scope.

    `lr_factors` are those of η by parameter, 1 unless given; 0 leaves one out. A decay free of η takes only the zeros.

    None where the rule does not pull the weights to zero by λη alone: bounds, memory (but see `Rule.to_zero`), an Ω
    that ignores their size, and several rules in a chain.
    """
    if not isinstance(rule, Decay):
        return None
    factors = lr_factors or {}
    scope = [n for n in rule.scale if factors.get(n, 1.0)]
    if not scope:
        return 0.0
    if rule.coupling == "independent":
        factors = {}
    state = rule.init(params)
    if rule.coupling == "projected" or pulls_elsewhere(rule, state):
        return None
    leaves = {n: params[n].detach().double().requires_grad_() for n in scope}
    if rule.regularizer.can("value"):
        value = rule.value({**params, **leaves}, state)
        if not value.requires_grad:
            return None
        pulls = torch.autograd.grad(value, tuple(leaves.values()), materialize_grads=True)
    elif rule.regularizer.can("grad"):
        pulls = tuple((rule.scale[n] * rule.regularizer.grad(w)).detach() for n, w in leaves.items())
    else:
        return None
    along, across, size = 0.0, 0.0, 0.0
    for pull, (name, w) in zip(pulls, leaves.items(), strict=True):
        inside = torch.as_tensor(rule.scale[name]) != 0
        pulled = pull * w * factors[name] if name in factors else pull * w
        along += pulled.sum().item()
        across += pulled.abs().sum().item()
        size += (w.square() * inside).sum().item()
    # An Ω that does not depend on the size of w pulls across it: what is left along it is rounding.
    return along / size if abs(along) > 1e-6 * across else None


def pulls_elsewhere(rule: Rule, state: Tensors) -> bool:
    """Whether a rule with this memory pulls the weights elsewhere than to zero, such as to where they began."""
    if isinstance(rule, Chain):
        return any(pulls_elsewhere(link, part_of(i, state)) for i, link in enumerate(rule.rules))
    return bool(state) and not rule.to_zero
