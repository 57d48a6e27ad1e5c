"""Which parameters a decay acts on, and with which coefficient c: λ of a parameter is λ·c."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from wdrun.decay.kinds import Kind, Kinds, by_shape
from wdrun.decay.regularizer import Coefficient
from wdrun.errors import ConfigError

SCOPES = {
    "all": "every tensor",
    "weights": "weights of layers: no biases, norms, other vectors, tokens or positions",
    "conv": "weights of convolutions",
    "fc": "weights of fully connected layers, and other matrices",
}
_SLICE = re.compile(r"(.+)\[([\d\s:,-]*:[\d\s:,-]*)\]")  # a bracket with a colon; one without is a glob's choice [12]


def chosen_scope(scope: str, exclude_1d: bool) -> str:
    """The key of SCOPES that `auto` is: weights, or all without `exclude_1d`."""
    return scope if scope != "auto" else "weights" if exclude_1d else "all"


def holds(scope: str, kind: Kind) -> bool:
    """Whether a scope (a key of SCOPES) holds the parameters of a kind."""
    return scope in ("all", kind.scope) or (scope == "weights" and kind.scope != "all")


def coefficients(
    params: dict[str, Tensor],
    scales: Sequence[tuple[str, float]],
    exclude_1d: bool,
    scope: str = "auto",
    kinds: Kinds | None = None,
) -> dict[str, Coefficient]:
    """Coefficient c of every parameter in scope: the first pattern that matches wins, without a match c = 1.

    A pattern is a glob over names, or a glob and a slice: `fc1.weight[:, :10]` is the first ten input features of
    fc1.weight. Where c differs within a tensor it is a tensor of that shape. What no pattern matches is left out
    unless it is in `scope` (a key of SCOPES, or auto), by its kind in `kinds`, without these by its shape. A tensor
    without elements is never in scope: there is nothing to decay.
    ConfigError on a pattern that matches nothing, since it is almost always a misspelt layer, and on an empty scope.
    """
    kinds = by_shape(params) if kinds is None else kinds
    inside = {n: holds(chosen_scope(scope, exclude_1d), kinds[n]) for n in params}
    if scope != "auto" and not any(inside.values()):
        raise ConfigError(f"decay.scope={scope}: no parameter is of that kind ({SCOPES[scope]})")
    patterns = [_Pattern(text, c, params) for text, c in scales]
    chosen: dict[str, Coefficient] = {}
    for name, w in params.items():
        if not w.numel():
            continue
        matching = [p for p in patterns if fnmatchcase(name, p.glob)]
        default = 1.0 if inside[name] else 0.0
        if not any(p.index for p in matching):
            c: Coefficient = matching[0].c if matching else default
        else:
            mask = torch.full_like(w, default)
            for p in reversed(matching):  # so that the first to match is written last
                mask[p.index or ...] = p.c
            values = mask.unique()
            c = values.item() if values.numel() == 1 else mask
        if isinstance(c, Tensor) or c:
            chosen[name] = c
    return chosen


class _Pattern:
    """One entry of decay.scales: a glob, the slice behind it (empty = the whole tensor) and its coefficient."""

    def __init__(self, text: str, c: float, params: dict[str, Tensor]) -> None:
        found = _SLICE.fullmatch(text)
        self.glob, self.c = (found[1] if found else text), float(c)
        self.index = tuple(_part(part) for part in found[2].split(",")) if found else ()
        names = [name for name in params if fnmatchcase(name, self.glob)]
        if not names:
            raise ConfigError(f"decay.scales: {text!r} matches no parameter; there are {', '.join(params)}")
        for name in names if self.index else ():
            shape = tuple(params[name].shape)
            try:
                held = params[name][self.index].numel()
            except (IndexError, ValueError) as error:
                raise ConfigError(f"decay.scales: {text!r} does not fit {name} of shape {shape} ({error})") from error
            if not held:
                raise ConfigError(f"decay.scales: {text!r} holds nothing of {name} of shape {shape}")


def _part(text: str) -> int | slice:
    numbers = [int(n) if n.strip() else None for n in text.split(":")]
    if len(numbers) > 1:
        return slice(*numbers)
    if numbers[0] is None:
        raise ConfigError(
            f"decay.scales: a slice such as [:, :10] has a number or a colon between commas, not {text!r}"
        )
    return numbers[0]
