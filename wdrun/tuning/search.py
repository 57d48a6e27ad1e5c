"""Where to look next: the tuned knobs of one facet, searched by expected improvement under a Gaussian process.

The score over the knobs is taken for a draw of a Gaussian process with Matérn-5/2 covariance plus noise (Rasmussen &
Williams 2006, ch. 2, 4), its lengths and noise chosen by their likelihood among a few; the next setting is the one of
a fixed grid that promises most (Jones, Schonlau & Welch 1998). Two searches share what is known: for the best setting
with decay, and for the best without (λ = 0), which a gain must be measured against. Each is over when no setting
promises more than a share of the margin. Nothing is drawn at random: the same runs give the same next settings.

Legend: a setting holds a value an axis; its coordinates count decades (log axes) or half spans (linear ones), so that
one unit is what a score may well change over. Scores are such that lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

Numbers = NDArray[np.float64]
Setting = tuple[float, ...]

STEP = 4  # settings of the grid a decade, or a half span
REACH = 2  # steps of the grid beyond what was tried
PROMISE = 0.3  # a search goes on while some setting promises this share of the margin
CLIPPED = 15.0  # scores this many margins above the best are all the same: bad
BRACKET, BESIDE = 0.8, 0.26  # the best has a setting on either side of it so near on each axis, and on the others
MOST = 40  # settings of one facet
LENGTHS = (0.5, 1.0, 2.0)  # of the covariance, in units of a coordinate
NOISES = (0.02, 0.05, 0.15)  # standard deviation of the noise, in units of the process's own
GRID_MOST = 4000  # settings of the grid that are asked; beyond, those near the best


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

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2


class Tried(NamedTuple):
    """A setting and its score, inf where it diverged, nan while it trains."""

    setting: Setting
    score: float


@dataclass(frozen=True)
class Space:
    """The settings of one facet. The first axis is λ where `decays`; its 0 is put `zero` on that axis's coordinate.

    `acts` tells whether decay can act at a setting, so that what equals λ = 0 is not tried under another name;
    `middle` is the λ to begin with at the other values of a setting.
    """

    axes: tuple[Axis, ...]
    decays: bool
    zero: float = 0.0
    acts: Callable[[Setting], bool] = lambda setting: True
    middle: Callable[[Setting], float] = lambda setting: math.nan

    def coordinates(self, settings: Iterable[Setting]) -> Numbers:
        """Shape (settings, axes)."""
        rows = [[self._at(axis, value) for axis, value in zip(self.axes, s, strict=True)] for s in settings]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.axes))

    def _at(self, axis: Axis, value: float) -> float:
        return self.zero if axis.key == "lambda" and value == 0 else axis.coordinate(value)

    def without(self) -> list[Setting]:
        """The first settings with λ = 0, or of a facet that has no λ: the start, and steps along each axis."""
        start = self._moved(self._start, {})
        steps = [{place: steps} for place in range(int(self.decays), len(self.axes)) for steps in (2, -2)]
        return list(dict.fromkeys([start, *(self._moved(start, step) for step in steps)]))

    def beside(self, zero: Setting) -> list[Setting]:
        """The first settings with decay, from the best without: two λ there, and both again a step along each axis.

        Decay lets the other knobs be larger than they may be without it, so the steps go up.
        """
        found = []
        for places in ((), *((place,) for place in range(1, len(self.axes)))):
            moved = self._moved(zero, dict.fromkeys(places, 2))
            start = self.axes[0].step(self.middle(moved))
            found += [self._with_lambda(moved, start + steps) for steps in (0, 3)]
        return list(dict.fromkeys(found))

    @property
    def _start(self) -> Setting:
        return tuple(0.0 if self.decays and place == 0 else axis.start for place, axis in enumerate(self.axes))

    def _moved(self, setting: Setting, steps: Mapping[int, int]) -> Setting:
        """The setting on the grid, moved so many steps along these axes, as far as their bounds allow; λ as it is."""
        values = list(setting)
        for place in range(int(self.decays), len(self.axes)):
            axis = self.axes[place]
            moved = axis.value(axis.step(setting[place]) + steps.get(place, 0))
            values[place] = min(max(moved, axis.low), axis.high)
        return tuple(values)

    def _with_lambda(self, setting: Setting, step: int) -> Setting:
        axis = self.axes[0]
        return (min(max(axis.value(step), axis.low), axis.high), *setting[1:])

    def grid(self, tried: Sequence[Setting], *, decayed: bool) -> list[Setting]:
        """The settings that may come next, with decay or with λ = 0: what was tried and REACH steps around it."""
        ranges = []
        for place, axis in enumerate(self.axes):
            if self.decays and place == 0 and not decayed:
                ranges.append([0.0])
                continue
            steps = [axis.step(s[place]) for s in tried if s[place] > 0 or not axis.log] or [axis.step(axis.start)]
            values = [axis.value(k) for k in range(min(steps) - REACH, max(steps) + REACH + 1)]
            ranges.append([value for value in values if axis.low <= value <= axis.high])
        found = [setting for setting in product(*ranges) if not (decayed and self.decays) or self.acts(setting)]
        return [setting for setting in found if not any(_same(setting, other) for other in tried)]


def _same(one: Setting, other: Setting) -> bool:
    return all(math.isclose(a, b, rel_tol=0.02, abs_tol=1e-12) for a, b in zip(one, other, strict=True))


class Process:
    """A Gaussian process through scores at coordinates; `at` is its mean and standard deviation elsewhere."""

    def __init__(self, x: Numbers, y: Numbers) -> None:
        self.x, self.mean = x, float(y.mean())
        rest = y - self.mean
        best = -math.inf
        for lengths in product(LENGTHS, repeat=x.shape[1]):
            k = _matern(x, x, lengths)
            for noise in NOISES:
                root = linalg.cholesky(k + noise**2 * np.eye(len(x)), lower=True)
                weights = linalg.cho_solve((root, True), rest)
                # The process's own variance is integrated out, under a prior worth two observations of 0.1².
                variance = (rest @ weights + 2 * 0.1**2) / (len(x) + 2)
                likely = -0.5 * (len(x) + 2) * math.log(variance) - np.log(np.diag(root)).sum()
                likely -= sum((math.log(length) / 0.7) ** 2 for length in lengths) / 2  # lengths near 1 are expected
                if likely > best:
                    best, self.lengths, self.noise = likely, lengths, noise
                    self.root, self.weights, self.variance = root, weights, variance

    def at(self, x: Numbers) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation, shape (settings,) each."""
        k = _matern(x, self.x, self.lengths)
        known = linalg.solve_triangular(self.root, k.T, lower=True)
        variance = self.variance * np.maximum(1 - (known**2).sum(axis=0), 1e-12)
        return self.mean + k @ self.weights, np.sqrt(variance)


def _matern(a: Numbers, b: Numbers, lengths: Sequence[float]) -> Numbers:
    """Matérn-5/2 correlations of rows of a with rows of b."""
    r = math.sqrt(5) * np.sqrt((((a[:, None] - b[None]) / np.array(lengths)) ** 2).sum(axis=-1))
    return np.asarray((1 + r + r**2 / 3) * np.exp(-r))


def _improvement(mean: Numbers, deviation: Numbers, best: float) -> Numbers:
    """E[max(0, best − y)] for y ~ N(mean, deviation²)."""
    z = (best - mean) / deviation
    return np.asarray(deviation * (z * special.ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)))


def following(space: Space, tried: Sequence[Tried], margin: float, count: int = 1) -> list[Setting]:
    """Up to `count` settings to try next; none once the search is over.

    First without decay, then with decay from the best without, then both. Of several at once, each is chosen as if
    those before it had scored what is expected of them.
    """
    believed = _clipped([t for t in tried if not math.isnan(t.score)], margin)
    for trains in (t.setting for t in tried if math.isnan(t.score)):
        believed.append(Tried(trains, _expected(space, believed, trains)))
    found: list[Setting] = []
    while len(found) < count and len(believed) < MOST:
        setting = _next(space, believed, margin)
        if setting is None:
            break
        found.append(setting)
        believed.append(Tried(setting, _expected(space, believed, setting)))
    return found


def _next(space: Space, believed: Sequence[Tried], margin: float) -> Setting | None:
    """The setting to try next, None where the search is over."""
    kinds = (False,) if space.decays else (True,)
    if (setting := _new(space.without(), believed)) is not None:
        return setting
    process = _through(space, believed)
    if (setting := _promised(space, believed, process, margin, kinds)) is not None or not space.decays:
        return setting
    zero = _best(space, believed, process, decayed=False)
    if zero is not None and (setting := _new(space.beside(zero), believed)) is not None:
        return setting
    return _promised(space, believed, process, margin, (True, False))


def _new(settings: Sequence[Setting], believed: Sequence[Tried]) -> Setting | None:
    """The first of the settings that was not tried."""
    return next((s for s in settings if not any(_same(s, t.setting) for t in believed)), None)


def _promised(
    space: Space, believed: Sequence[Tried], process: Process, margin: float, kinds: Sequence[bool]
) -> Setting | None:
    """The setting that promises most, with decay or without as `kinds` has it, or one beyond an edge; None: none."""
    asked = [_most_promising(space, believed, process, decayed) for decayed in kinds]
    promise, setting = max(asked, key=lambda pair: pair[0])
    if setting is not None and promise >= PROMISE * margin:
        return setting
    return next((s for decayed in kinds for s in _beyond(space, believed, process, decayed)), None)


def _through(space: Space, believed: Sequence[Tried]) -> Process:
    return Process(space.coordinates(t.setting for t in believed), np.array([t.score for t in believed]))


def _expected(space: Space, believed: Sequence[Tried], setting: Setting) -> float:
    return float(_through(space, believed).at(space.coordinates([setting]))[0][0]) if believed else 0.0


def _best(space: Space, believed: Sequence[Tried], process: Process, *, decayed: bool) -> Setting | None:
    own = [t.setting for t in believed if _belongs(space, t.setting, decayed)]
    return own[int(np.argmin(process.at(space.coordinates(own))[0]))] if own else None


def _beyond(space: Space, believed: Sequence[Tried], process: Process, decayed: bool) -> Iterator[Setting]:
    """Settings beside the best, on those sides of it where nothing near was tried: it may be at an edge."""
    own = [t.setting for t in believed if _belongs(space, t.setting, decayed)]
    if not own:
        return
    x = space.coordinates(own)
    best = int(np.argmin(process.at(x)[0]))
    away = x - x[best]
    for place, axis in enumerate(space.axes):
        if space.decays and place == 0 and not decayed:
            continue
        others = np.abs(np.delete(away, place, axis=1)).max(axis=1, initial=0) <= BESIDE
        for side in (1, -1):
            if not (others & (side * away[:, place] > 0) & (side * away[:, place] <= BRACKET)).any():
                moved = axis.value(axis.step(own[best][place]) + side * REACH)
                setting = (*own[best][:place], moved, *own[best][place + 1 :])
                if axis.low <= moved <= axis.high and (not decayed or not space.decays or space.acts(setting)):
                    yield setting


def chosen(space: Space, tried: Sequence[Tried], margin: float, *, decayed: bool = True) -> Setting | None:
    """The best setting tried, with decay or with λ = 0, by what the process makes of its score; None: none scored."""
    sound = [t for t in tried if math.isfinite(t.score) and _belongs(space, t.setting, decayed)]
    if not sound:
        return None
    process = _through(space, _clipped(tried, margin))
    means, _ = process.at(space.coordinates(t.setting for t in sound))
    return sound[int(np.argmin(means))].setting


def _belongs(space: Space, setting: Setting, decayed: bool) -> bool:
    return not space.decays or (setting[0] > 0) == decayed


def _clipped(tried: Sequence[Tried], margin: float) -> list[Tried]:
    """The scores as the process is to see them: a cliff has no say in how smooth the valley is."""
    finite = [t.score for t in tried if math.isfinite(t.score)]
    most = min(finite) + CLIPPED * margin if finite else 0.0
    return [Tried(t.setting, min(t.score, most)) for t in tried]


def _most_promising(
    space: Space, believed: Sequence[Tried], process: Process, decayed: bool
) -> tuple[float, Setting | None]:
    """The setting of the grid with the largest expected improvement on the best of its kind, and that improvement."""
    own = [t.setting for t in believed if _belongs(space, t.setting, decayed)]
    grid = space.grid([t.setting for t in believed], decayed=decayed)
    if not own or not grid:
        return 0.0, None
    best = float(process.at(space.coordinates(own))[0].min())
    x = space.coordinates(grid)
    if len(grid) > GRID_MOST:
        means, _ = process.at(space.coordinates(own))
        near = np.abs(x - space.coordinates([own[int(np.argmin(means))]])).sum(axis=1)
        kept = np.sort(np.argsort(near, kind="stable")[:GRID_MOST])
        grid, x = [grid[i] for i in kept], x[kept]
    promised = _improvement(*process.at(x), best)
    place = int(np.argmax(promised))
    return float(promised[place]), grid[place]
