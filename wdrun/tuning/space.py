"""What is tuned in a facet: its axes, λ first, the grid of settings on them, and where a search begins.

Legend: a setting holds a value an axis; its coordinates count decades (log axes) or half spans (linear ones), so that
one unit is what a score may well change over. λ = 0 has a coordinate too, a place below what λ can do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from wdrun.tuning.prior import NEAREST, Prior

Numbers = NDArray[np.float64]
Setting = tuple[float, ...]

STEP = 4  # settings of the grid a decade, or a half span
REACH = 2  # steps of the grid beyond what was tried
FARTHEST = 6 * STEP  # steps that an axis without bounds goes from its start
NEAR = 0.1  # settings nearer than this on all axes are the same


@dataclass(frozen=True)
class Axis:
    """A tuned knob: where to start, and the bounds that the user gave (none: the range grows as it must)."""

    key: str
    start: float
    low: float = -math.inf
    high: float = math.inf
    log: bool = True
    whole: bool = False  # whole numbers only

    def coordinate(self, value: float) -> float:
        """Decades, or half spans above the lower bound."""
        return math.log10(value) if self.log else (value - self.low) / self._half

    def value(self, step: int) -> float:
        """The value at a step of the grid, to two digits on a log axis: 1, 1.8, 3.2 and 5.6 in each decade."""
        found = float(f"{10 ** (step / STEP):.2g}" if self.log else f"{self.low + step / STEP * self._half:.6g}")
        return float(round(found)) if self.whole else found

    def step(self, value: float) -> int:
        """The step of the grid nearest to a value."""
        return round(self.coordinate(value) * STEP)

    def moved(self, value: float, steps: int) -> float:
        """The value so many steps of the grid on, as far as the bounds allow."""
        return min(max(self.value(self.step(value) + steps), self.low), self.high)

    def values(self, tried: Iterable[float]) -> list[float]:
        """The grid from REACH steps below what was tried to REACH above, inside the bounds and with those in reach."""
        steps = [self.step(value) for value in tried] or [self.step(self.start)]
        reached = range(min(steps) - REACH, max(steps) + REACH + 1)
        found = [value for value in map(self.value, reached) if self.allows(value)]
        ends = [end for end in (self.low, self.high) if math.isfinite(end) and self.step(end) in reached]
        return sorted({*found, *ends})

    def allows(self, value: float) -> bool:
        """Whether the search may go to a value: inside the bounds, and where there are none not too far away."""
        if not self.low <= value <= self.high or (self.log and value <= 0):
            return False
        bounded = math.isfinite(self.low) and math.isfinite(self.high)
        return bounded or abs(self.step(value) - self.step(self.start)) <= FARTHEST

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Space:
    """The settings of one facet. The first axis is λ where `decays`; its 0 is put `zero` on that axis's coordinate.

    `acts` tells whether decay can act at a setting, so that what equals λ = 0 is not tried under another name;
    `middle` is the λ to begin with at the other values of a setting. With a `prior` the start is where the best is
    expected.
    """

    axes: tuple[Axis, ...]
    decays: bool
    zero: float = 0.0
    acts: Callable[[Setting], bool] = lambda setting: True
    middle: Callable[[Setting], float] = lambda setting: math.nan
    prior: Prior | None = None

    def coordinates(self, settings: Iterable[Setting]) -> Numbers:
        """Shape (settings, axes)."""
        rows = [[self._at(axis, value) for axis, value in zip(self.axes, s, strict=True)] for s in settings]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.axes))

    def _at(self, axis: Axis, value: float) -> float:
        return self.zero if axis.key == "lambda" and value == 0 else axis.coordinate(value)

    def belongs(self, setting: Setting, *, decayed: bool) -> bool:
        """Whether the setting is one with decay, or one with λ = 0; in a facet that has no λ all are both."""
        return not self.decays or (setting[0] > 0) == decayed

    def without(self) -> list[Setting]:
        """The first settings with λ = 0, or of a facet that has no λ: the start, and steps along each axis.

        The lr that a prior has alone: whether there is a better one beside it is seen to by the search.
        """
        if self.prior and self.prior.rates:
            bare = {"lr": self.prior.bare}
            values = zip(self.axes, self._start, strict=True)
            return [self._moved(tuple(bare.get(axis.key, value) for axis, value in values), {})]
        start = self._moved(self._start, {})
        steps = [{place: steps} for place in range(int(self.decays), len(self.axes)) for steps in (2, -2)]
        return list(dict.fromkeys([start, *(self._moved(start, step) for step in steps)]))

    def beside(self, zero: Setting) -> list[Setting]:
        """The first settings with decay, from the best without: two λ there, and both again a step along each axis.

        Decay lets the other knobs be larger than they may be without it, so the steps go up. With a prior its λ and
        both ends of its interval, at its lr if it has one.
        """
        axis, found = self.axes[0], []
        if self.prior:
            start = self._moved(self._start if self.prior.rates else zero, {})
            lam, prior = axis.step(self._expected(start)), self.prior
            ends = (end if math.isfinite(end) else NEAREST for end in (prior.half(-1), prior.half(1)))
            low, high = (max(math.ceil(STEP * end - 0.5), 1) for end in ends)
            return list(dict.fromkeys((axis.moved(axis.value(lam), s), *start[1:]) for s in (0, -low, high)))
        for places in ((), *((place,) for place in range(1, len(self.axes)))):
            moved = self._moved(zero, dict.fromkeys(places, 2))
            middle = self.middle(moved)
            begin = axis.start if math.isnan(middle) else min(max(middle, axis.low), axis.high)
            found += [(axis.moved(begin, steps), *moved[1:]) for steps in (0, 3)]
        return list(dict.fromkeys(found))

    @property
    def _start(self) -> Setting:
        return tuple(0.0 if self.decays and place == 0 else axis.start for place, axis in enumerate(self.axes))

    def _expected(self, setting: Setting) -> float:
        """The λ that is expected to be best at the other values of a setting."""
        factor = self.middle(setting) / self.middle(self._start)
        return self.axes[0].start * (1.0 if math.isnan(factor) else factor)

    def _away(self, setting: Setting, prior: Prior) -> tuple[float, float]:
        """Decades of λ and of lr from where the prior expects the best of its kind."""
        decayed = self.decays and setting[0] > 0
        away = math.log10(setting[0] / self._expected(setting)) if decayed else 0.0
        for axis, value in zip(self.axes, setting, strict=True):
            if axis.key == "lr" and prior.rates:
                return away, math.log10(value / (axis.start if decayed else prior.bare))
        return away, 0.0

    def rises(self, settings: Sequence[Setting]) -> Numbers:
        """How many margins above the best of their kind these settings are expected to score; 0 without a prior."""
        if self.prior is None:
            return np.zeros(len(settings))
        return np.array([self.prior.rise(*self._away(setting, self.prior)) for setting in settings])

    def excludes(self, setting: Setting) -> bool:
        """Whether there is a prior, and it did not expect the best to be there."""
        return self.prior is not None and self.prior.excludes(*self._away(setting, self.prior))

    def _moved(self, setting: Setting, steps: Mapping[int, int]) -> Setting:
        """The setting on the grid, moved so many steps along these axes; λ as it is."""
        kept = range(int(self.decays))
        return tuple(
            value if place in kept else axis.moved(value, steps.get(place, 0))
            for place, (axis, value) in enumerate(zip(self.axes, setting, strict=True))
        )

    def new(self, settings: Sequence[Setting], tried: Sequence[Setting]) -> list[Setting]:
        """Those of the settings that are far from all that was tried."""
        if not settings or not tried:
            return list(settings)
        away = np.abs(self.coordinates(settings)[:, None] - self.coordinates(tried)[None]).max(axis=-1, initial=0)
        kinds = np.array([s[:1] > (0.0,) for s in settings])[:, None] == np.array([s[:1] > (0.0,) for s in tried])
        return [settings[int(place)] for place in np.flatnonzero(~((away < NEAR) & kinds).any(axis=1))]

    def grid(self, tried: Sequence[Setting], *, decayed: bool) -> list[Setting]:
        """All settings of the grid from what was tried to REACH steps around it, with decay or with λ = 0."""
        ranges = []
        for place, axis in enumerate(self.axes):
            is_lambda = self.decays and place == 0
            used = (s[place] for s in tried if not is_lambda or s[place] > 0)
            ranges.append([0.0] if is_lambda and not decayed else axis.values(used))
        return [setting for setting in product(*ranges) if not (decayed and self.decays) or self.acts(setting)]
