"""Where to look next: the tuned knobs of one facet, searched by expected improvement under a Gaussian process.

The score over the knobs is taken for a draw of a Gaussian process with Matérn-5/2 covariance plus noise (Rasmussen &
Williams 2006, ch. 2, 4), its lengths and noise chosen by their likelihood among a few; the next setting is the one of
a fixed grid that promises most (Jones, Schonlau & Welch 1998). Two searches share what is known: for the best setting
with decay, and for the best without (λ = 0), which a gain must be measured against. Each is over when no setting
promises more than a share of the margin. Nothing is drawn at random: the same runs give the same next settings.

Scores are such that lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from wdrun.tuning.space import REACH, Numbers, Setting, Space

PROMISE = 0.1  # a search goes on while some setting promises this share of the margin
WORSE = 0.2  # so much of the margin above the best, a setting beside it ends the valley there
CLIPPED = 8.0  # scores this many margins above the best are all the same: bad
BRACKET, BESIDE = 0.8, 0.26  # the best has a setting on either side of it so near on each axis, and on the others
USUAL = 40  # settings of a facet; the more there are beyond, the more one must promise
LENGTHS = (0.5, 1.0, 2.0)  # of the covariance, in units of a coordinate
NOISES = (0.02, 0.05, 0.15)  # standard deviation of the noise, in units of the process's own
FITTED = 40  # settings, those with the lowest scores, that tell the lengths and the noise
GRID_MOST = 4000  # settings of the grid that are asked; beyond, those near the best


class Tried(NamedTuple):
    """A setting and its score, inf where it diverged, nan while it trains."""

    setting: Setting
    score: float


def following(
    space: Space, tried: Sequence[Tried], margin: float, count: int = 1, zeros: float = math.inf
) -> Iterator[Setting]:
    """Up to `count` settings to try next, each found when it is asked for; none once the search is over.

    First without decay, but at most `zeros` of those, then with decay from the best without, then both. Of several at
    once, each is chosen as if those before it had scored what is expected of them.
    """
    known = _Known(space, _ended(tried), margin)
    for trains in (t.setting for t in tried if math.isnan(t.score)):
        known.believe(trains)
    while count > 0 and (setting := _next(known, zeros)) is not None:
        yield setting
        count -= 1
        if count > 0:
            known.believe(setting)


def chosen(space: Space, tried: Sequence[Tried], margin: float, *, decayed: bool = True) -> Setting | None:
    """The best setting tried, with decay or with λ = 0, by what the process makes of its score; None: none scored."""
    sound = [t for t in tried if math.isfinite(t.score) and space.belongs(t.setting, decayed=decayed)]
    if not sound:
        return None
    means = _through(space, _ended(tried), margin).expected(space.coordinates(t.setting for t in sound))
    return sound[int(np.argmin(means))].setting


def _next(known: _Known, zeros: float) -> Setting | None:
    """The setting to try next, None where the search is over."""
    space = known.space
    enough = space.decays and sum(setting[0] == 0 for setting in known.settings) >= zeros
    without = [] if enough else space.without()
    if (first := _first(known, without, decayed=not space.decays)) is not None:
        return first
    found = None if enough else known.promised((False,) if space.decays else (True,))
    if found is not None or not space.decays:
        return found
    zero = known.best(decayed=False)
    if zero is not None and (first := _first(known, space.beside(zero), decayed=True)) is not None:
        return first
    return known.promised((True, False))


def _first(known: _Known, settings: Sequence[Setting], *, decayed: bool) -> Setting | None:
    """The first of these settings that is new, unless as many of their kind are known, of a sweep."""
    settled = [known.tried[place].setting for place in known.own[decayed]]
    new = known.space.new(settings, settled) if len(settled) < len(settings) else []
    return new[0] if new else None


class _Known:
    """What is known of a facet: the process through the scores of its settings, and what is believed of others."""

    def __init__(self, space: Space, ended: Sequence[Tried], margin: float) -> None:
        self.space, self.margin = space, margin
        self.tried: list[Tried] = []
        self.own: dict[bool, list[int]] = {True: [], False: []}  # places of those with decay, and of those without
        for one in ended:
            self._add(one)

    def _add(self, tried: Tried) -> None:
        for decayed, places in self.own.items():
            if self.space.belongs(tried.setting, decayed=decayed):
                places.append(len(self.tried))
        self.tried.append(tried)

    @cached_property
    def process(self) -> Process:
        return _through(self.space, self.tried, self.margin)

    @cached_property
    def means(self) -> Numbers:
        return self.process.expected(self.process.x)

    @property
    def settings(self) -> list[Setting]:
        return [t.setting for t in self.tried]

    def believe(self, setting: Setting) -> None:
        """Take it that the setting scored what is expected of it, 0 where nothing is known."""
        if not self.tried:
            self._add(Tried(setting, 0.0))
            return
        x = self.space.coordinates([setting])
        means = np.append(self.means, self.process.expected(x))
        self.process, self.means = self.process.believing(x), means
        self._add(Tried(setting, float(means[-1])))

    @property
    def good(self) -> list[Setting]:
        """The settings that are not bad, from which the grid grows."""
        worst = _worst(self.tried, self.margin)
        return [t.setting for t in self.tried if t.score < worst] or self.settings

    def promised(self, kinds: Sequence[bool]) -> Setting | None:
        """What promises most, with decay or without as `kinds` has it, else one beyond an edge; None: nothing."""
        asked = [self._most_promising(decayed) for decayed in kinds]
        promise, setting = max(asked, key=lambda pair: pair[0])
        if setting is not None and promise >= PROMISE * self.margin * max(1.0, len(self.settings) / USUAL):
            return setting
        return next((s for decayed in kinds for s in self._beyond(decayed)), None)

    def best(self, *, decayed: bool) -> Setting | None:
        """The setting with the lowest mean, with decay or without."""
        own = self.own[decayed]
        return self.tried[own[int(np.argmin(self.means[own]))]].setting if own else None

    def _most_promising(self, decayed: bool) -> tuple[float, Setting | None]:
        """The largest expected improvement of the grid on the best of its kind, and where it is.

        While all of a kind diverged, what is expected to be best promises infinitely much.
        """
        own = self.own[decayed]
        grid = self.space.new(self.space.grid(self.good, decayed=decayed), self.settings)
        if not own or not grid:
            return 0.0, None
        x, best = self.space.coordinates(grid), own[int(np.argmin(self.means[own]))]
        if len(grid) > GRID_MOST:
            near = np.abs(x - self.process.x[best]).sum(axis=1)
            kept = np.sort(np.argsort(near, kind="stable")[:GRID_MOST])
            grid, x = [grid[place] for place in kept], x[kept]
        mean, deviation = self.process.at(x)
        if not any(math.isfinite(self.tried[place].score) for place in own):
            return math.inf, grid[int(np.argmin(mean))]
        promised = improvement(mean, deviation, float(self.means[best]))
        place = int(np.argmax(promised))
        return float(promised[place]), grid[place]

    def _beyond(self, decayed: bool) -> Iterator[Setting]:
        """Settings beside the best, on those sides of it where nothing near is known to be worse: it may be at an edge.

        What is as good is walked along: λ may do nothing up to where it does much.
        """
        best, own = self.best(decayed=decayed), self.own[decayed]
        if best is None:
            return
        away = self.process.x[own] - self.space.coordinates([best])
        worse = self.means[own] >= self.means[own].min() + WORSE * self.margin
        for place, axis in enumerate(self.space.axes):
            if self.space.decays and place == 0 and not decayed:
                continue
            others = np.abs(np.delete(away, place, axis=1)).max(axis=1, initial=0) <= BESIDE
            for side in (1, -1):
                ahead = side * away[:, place]
                rows = [row for row in np.argsort(ahead, kind="stable") if others[row] and ahead[row] > 0]
                edge, reached = best, 0.0  # the last that is as good as the best
                for row in rows:
                    if worse[row] or ahead[row] > reached + BRACKET:
                        break
                    edge, reached = self.settings[own[row]], ahead[row]
                if any(worse[row] and ahead[row] <= reached + BRACKET for row in rows):
                    continue
                moved = axis.moved(edge[place], side * REACH)
                setting = (*best[:place], moved, *best[place + 1 :])
                if axis.allows(moved) and (not decayed or not self.space.decays or self.space.acts(setting)):
                    yield from self.space.new([setting], self.settings)


class Process:
    """A Gaussian process through scores at coordinates (settings, axes); `at` is its mean and deviation elsewhere."""

    def __init__(self, x: Numbers, y: Numbers) -> None:
        self.x, self.mean = x, float(y.mean())
        rest, lowest = y - self.mean, np.sort(np.argsort(y, kind="stable")[:FITTED])
        self.lengths, self.noise = _likeliest(x[lowest], rest[lowest])
        root = np.linalg.cholesky(matern(x, x, self.lengths) + self.noise**2 * np.eye(len(x)))
        self.whitens = np.linalg.inv(root)
        self.weights = self.whitens.T @ (self.whitens @ rest)
        self.squares = float(rest @ self.weights)
        self.variance = _own_variance(self.squares, len(x))

    def believing(self, x: Numbers) -> Process:
        """The process once one more score is what it expects there: the same means, smaller deviations.

        `x` has shape (1, axes); lengths and noise are kept, and the inverse of the Cholesky root gets one more row.
        """
        white = self.whitens @ matern(self.x, x, self.lengths)[:, 0]
        root = math.sqrt(1 + self.noise**2 - white @ white)
        found, n = copy(self), len(self.x)
        found.x, found.weights = np.append(self.x, x, axis=0), np.append(self.weights, 0.0)
        found.whitens = np.zeros((n + 1, n + 1))
        found.whitens[:n, :n] = self.whitens
        found.whitens[n] = np.append(-(white @ self.whitens), 1.0) / root
        found.variance = _own_variance(self.squares, n + 1)
        return found

    def expected(self, x: Numbers) -> Numbers:
        """The mean, shape (settings,)."""
        return np.asarray(self.mean + matern(x, self.x, self.lengths) @ self.weights)

    def at(self, x: Numbers) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation, shape (settings,) each."""
        k = matern(x, self.x, self.lengths)
        # einsum and not @: the threads of a matrix product would wait for cores that train
        known = (np.einsum("ij,kj->ik", k, self.whitens) ** 2).sum(axis=1)
        variance = self.variance * np.maximum(1 - known, 1e-12)
        return self.mean + k @ self.weights, np.sqrt(variance)


def _likeliest(x: Numbers, rest: Numbers) -> tuple[tuple[float, ...], float]:
    """The lengths and the noise under which the scores are likeliest; lengths near 1 are expected."""
    lengths = list(product(LENGTHS, repeat=x.shape[1]))
    k = np.stack([matern(x, x, each) for each in lengths])
    noisy = k[:, None] + np.array(NOISES)[:, None, None] ** 2 * np.eye(len(x))
    root = np.linalg.cholesky(noisy)  # (lengths, noises, settings, settings)
    white = np.linalg.solve(root, np.broadcast_to(rest[:, None], (*root.shape[:-1], 1)))[..., 0]
    variance = _own_variance((white**2).sum(axis=-1), len(x))
    likely = -0.5 * (len(x) + 2) * np.log(variance) - np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    likely -= np.array([sum((math.log(length) / 0.7) ** 2 for length in each) / 2 for each in lengths])[:, None]
    place, noise = np.unravel_index(int(np.argmax(likely)), likely.shape)
    return lengths[int(place)], NOISES[int(noise)]


def _own_variance(squares: Any, count: int) -> Any:
    """The process's own variance, integrated out under a prior worth two observations of 0.1²."""
    return (squares + 2 * 0.1**2) / (count + 2)


def matern(a: Numbers, b: Numbers, lengths: Sequence[float]) -> Numbers:
    """(1 + r + r²/3)·e⁻ʳ, r = √5·‖(a − b)/lengths‖: the correlations of rows of a with rows of b."""
    scaled = (a[:, None] - b[None]) / np.array(lengths)
    r = np.sqrt(5 * np.einsum("ijk,ijk->ij", scaled, scaled))
    return np.asarray((1 + r + r**2 / 3) * np.exp(-r))


def improvement(mean: Numbers, deviation: Numbers, best: float) -> Numbers:
    """E[max(0, best − y)] for y ~ N(mean, deviation²)."""
    z = (best - mean) / deviation
    return np.asarray(deviation * (z * special.ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)))


def _ended(tried: Sequence[Tried]) -> list[Tried]:
    return [t for t in tried if not math.isnan(t.score)]


def _through(space: Space, tried: Sequence[Tried], margin: float) -> Process:
    """The process through scores of which none is far above the best: a cliff has no say in how smooth a valley is."""
    worst = _worst(tried, margin)
    return Process(space.coordinates(t.setting for t in tried), np.array([min(t.score, worst) for t in tried]))


def _worst(tried: Sequence[Tried], margin: float) -> float:
    """The score from which on all are the same: bad."""
    return min((t.score for t in tried if math.isfinite(t.score)), default=-CLIPPED * margin) + CLIPPED * margin
