"""Where to look next: the tuned knobs of one facet, searched by expected improvement under a Gaussian process.

The score over the knobs is taken for a draw of a Gaussian process (`surface`); the next setting is the one of a fixed
grid that promises most (Jones, Schonlau & Welch 1998). Two searches share what is known: for the best setting with
decay, and for the best without (λ = 0), which a gain must be measured against. Each is over when no setting promises
more than a share of the margin. Nothing is drawn at random: the same runs give the same next settings.

A prior of the space (`prior`) says where to begin and what is expected there, for as long as it holds.

Scores are such that lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from wdrun.tuning.process import improvement
from wdrun.tuning.space import REACH, Numbers, Setting, Space
from wdrun.tuning.surface import Surface, Tried, surface_of, worst

PROMISE = 0.1  # a search goes on while some setting promises this share of the margin
EXPECTED = 0.3  # and this share of it where a prior says already where the best is
WORSE = 0.2  # so much of the margin above the best, a setting beside it ends the valley there
BRACKET, BESIDE = 0.8, 0.26  # the best has a setting on either side of it so near on each axis, and on the others
USUAL = 40  # settings of a facet; the more there are beyond, the more one must promise
GRID_MOST = 4000  # settings of the grid that are asked; beyond, those near the best


def following(
    space: Space, tried: Sequence[Tried], margin: float, count: int = 1, zeros: float = math.inf
) -> Iterator[Setting]:
    """Up to `count` settings to try next, each found when it is asked for; none once the search is over.

    First without decay, but at most `zeros` of those, then with decay from the best without, then both. Of several at
    once, each is chosen as if those before it had scored what is expected of them.
    """
    known = _Known(_believed(space, _ended(tried)), _ended(tried), margin)
    for trains in (t.setting for t in tried if math.isnan(t.score)):
        known.believe(trains)
    while count > 0 and (setting := _next(known, zeros)) is not None:
        yield setting
        count -= 1
        if count > 0:
            known.believe(setting)


def chosen(space: Space, tried: Sequence[Tried], margin: float, *, decayed: bool = True) -> Setting | None:
    """The best setting tried, with decay or with λ = 0, by what the process makes of its score; None: none scored."""
    space, ended = _believed(space, _ended(tried)), _ended(tried)
    sound = [t.setting for t in ended if math.isfinite(t.score) and space.belongs(t.setting, decayed=decayed)]
    if not sound:
        return None
    return sound[int(np.argmin(surface_of(space, ended, margin).expected(sound)))]


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
    def surface(self) -> Surface:
        return surface_of(self.space, self.tried, self.margin)

    @cached_property
    def means(self) -> Numbers:
        return self.surface.expected(self.settings)

    @property
    def settings(self) -> list[Setting]:
        return [t.setting for t in self.tried]

    def believe(self, setting: Setting) -> None:
        """Take it that the setting scored what is expected of it, 0 where nothing is known."""
        if not self.tried:
            self._add(Tried(setting, 0.0))
            return
        means = np.append(self.means, self.surface.expected([setting]))
        self.surface, self.means = self.surface.believing(setting), means
        self._add(Tried(setting, float(means[-1])))

    @property
    def good(self) -> list[Setting]:
        """The settings that are not bad, from which the grid grows."""
        bads = worst(self.space, self.tried, self.margin)
        return [t.setting for t, bad in zip(self.tried, bads, strict=True) if t.score < bad] or self.settings

    def promised(self, kinds: Sequence[bool]) -> Setting | None:
        """What promises most, with decay or without as `kinds` has it, else one beyond an edge; None: nothing."""
        asked = [self._most_promising(decayed) for decayed in kinds]
        promise, setting = max(asked, key=lambda pair: pair[0])
        share = PROMISE if self.space.prior is None else EXPECTED
        if setting is not None and promise >= share * self.margin * max(1.0, len(self.settings) / USUAL):
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
        best = own[int(np.argmin(self.means[own]))]
        if len(grid) > GRID_MOST:
            near = np.abs(self.space.coordinates(grid) - self.surface.process.x[best]).sum(axis=1)
            grid = [grid[place] for place in np.sort(np.argsort(near, kind="stable")[:GRID_MOST])]
        mean, deviation = self.surface.at(grid)
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
        away = self.surface.process.x[own] - self.space.coordinates([best])
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


def _ended(tried: Sequence[Tried]) -> list[Tried]:
    return [t for t in tried if not math.isnan(t.score)]


def _believed(space: Space, ended: Sequence[Tried]) -> Space:
    """The space, without its prior once the best that was tried lies where the prior does not expect it."""
    for decayed in (True, False):
        own = [t for t in ended if space.belongs(t.setting, decayed=decayed)]
        if own and space.excludes(min(own, key=lambda t: t.score).setting):
            return replace(space, prior=None)
    return space
