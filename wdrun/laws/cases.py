"""The cases of the laws: every decay × coupling × optimizer of conf/, on a few small tensors in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from wdrun import decay, optim
from wdrun.config.compose import compose
from wdrun.config.options import option_names
from wdrun.config.parse import parse
from wdrun.decay import COUPLINGS, Knobs, Rule
from wdrun.devices import Machine
from wdrun.errors import ConfigError
from wdrun.tensors import Scalar, Tensors
from wdrun.training.step import Step, Training

SHAPES = {"conv.weight": (4, 3, 3, 3), "fc.weight": (5, 12), "fc.bias": (5,), "norm.weight": (4,)}
LAM, LR, STEPS = 0.3, 0.05, 6
# Settings with which a decay acts on these tensors at once; the defaults wait for them to have grown.
ACTING: dict[str, dict[str, Any]] = {
    "cpr": {"kappa_value": 0.5},
    "target_norm": {"target": 0.5},
    "alpha_decay": {"least": 1, "every": 2},
}


@dataclass(frozen=True)
class Case:
    """A decay option, a coupling it can do and an optimizer option; `config_dir` has the user's own ones."""

    decay: str
    coupling: str
    optimizer: str
    config_dir: str | None = None

    def __str__(self) -> str:
        return f"{self.decay}-{self.coupling}-{self.optimizer}"

    def rule(self, params: Tensors, **changes: Any) -> Rule:
        """The rule over these parameters, some keys of its config changed."""
        spec = {
            **option("decay", self.decay, self.config_dir),
            **ACTING.get(self.decay, {}),
            "coupling": self.coupling,
            **changes,
        }
        return decay.build(spec, params, lambda spec: lambda progress: 1.0)

    def by(self) -> optim.Optimizer:
        """The case's optimizer."""
        return optim.build(option("optimizer", self.optimizer, self.config_dir))

    def trajectory(self, rule: Rule, lam: float, gradient: Callable[[int, str, Tensor], Tensor]) -> list[Tensors]:
        """Parameters after each of a few steps under given gradients."""

        def grads(t: int, params: Tensors) -> Tensors:
            return {n: gradient(t, n, w) for n, w in params.items()}

        return train(rule, self.by(), weights(), grads, lam, LR, [1.0] * STEPS)[1:]


def step_of(rule: Rule, by: optim.Optimizer) -> Step:
    """The training step of this rule and optimizer, in float64, without clipping."""
    return Step(nn.Identity(), rule, by, None, None, Machine(torch.device("cpu"), "fp64", 1))


def train(
    rule: Rule,
    by: optim.Optimizer,
    params: Tensors,
    gradient: Callable[[int, Tensors], Tensors],
    lam: Scalar,
    lr: Scalar,
    scales: Sequence[float],
) -> list[Tensors]:
    """Parameters before the first and after every step; `scales`: the value of the lr's schedule at each."""
    step, seen = step_of(rule, by), [params]
    now = Training(params, by.init(params), rule.init(params))
    for k, s in enumerate(scales):
        knobs = Knobs(lam, lr * s, s, rule.lam_scales(k / len(scales)), k + 1)
        now = step.update(now, gradient(k + 1, now.params), knobs)
        seen.append(now.params)
    return seen


@cache
def option(group: str, name: str, config_dir: str | None = None) -> dict[str, Any]:
    """An option's config as a run would have it."""
    return dict(getattr(parse(compose([f"{group}={name}"], config_dir)).run, group))


def cases(decays: Iterable[str] | None = None, config_dir: str | None = None) -> Iterator[Case]:
    """Every decay × coupling × optimizer that the decay can do; ConfigError for a decay that can do none."""
    for name in option_names("decay", config_dir) if decays is None else decays:
        refusals = []
        for coupling in COUPLINGS:
            try:
                Case(name, coupling, "sgd", config_dir).rule(weights())
            except ConfigError as error:
                refusals.append(error)
                continue
            for optimizer in option_names("optimizer", config_dir):
                yield Case(name, coupling, optimizer, config_dir)
        if len(refusals) == len(COUPLINGS):
            raise refusals[0]


def weights() -> Tensors:
    """Small tensors with both signs, none of them zero."""
    source = torch.Generator().manual_seed(11)
    return {n: torch.randn(shape, generator=source, dtype=torch.float64) for n, shape in SHAPES.items()}


def noise(t: int, name: str, w: Tensor) -> Tensor:
    """A gradient that differs by step and parameter."""
    source = torch.Generator().manual_seed(1000 * t + sum(name.encode()))
    return torch.randn(w.shape, generator=source, dtype=w.dtype)


def nothing(t: int, name: str, w: Tensor) -> Tensor:
    """A gradient of zeros."""
    return torch.zeros_like(w)
