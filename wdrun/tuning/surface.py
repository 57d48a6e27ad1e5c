"""The scores of a facet's settings -> what is expected elsewhere: a Gaussian process about what its prior expects.

Scores are such that lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wdrun.tuning.prior import SURE
from wdrun.tuning.process import SPREAD, Process
from wdrun.tuning.space import Numbers, Setting, Space

CLIPPED = 8.0  # scores this many margins above the best are all the same: bad
SEEN = 2.0  # but not those so many margins above the best of their kind, as λ = 0 may be far worse than decay
SWEEPS = 20  # of least squares by turns


class Tried(NamedTuple):
    """A setting and its score, inf where it diverged, nan while it trains."""

    setting: Setting
    score: float


class Surface(NamedTuple):
    """The process through scores about what the prior of the space expects of them; without one about their mean."""

    process: Process
    space: Space
    margin: float

    def expected(self, settings: Sequence[Setting]) -> Numbers:
        """See `Process.expected`."""
        return self.process.expected(self.space.coordinates(settings)) + self.margin * self.space.rises(settings)

    def at(self, settings: Sequence[Setting]) -> tuple[Numbers, Numbers]:
        """See `Process.at`."""
        mean, deviation = self.process.at(self.space.coordinates(settings))
        return mean + self.margin * self.space.rises(settings), deviation

    def believing(self, setting: Setting) -> Surface:
        """See `Process.believing`."""
        return self._replace(process=self.process.believing(self.space.coordinates([setting])))


def surface_of(space: Space, tried: Sequence[Tried], margin: float) -> Surface:
    """The surface of scores of which none is far above the best: a cliff has no say in how smooth a valley is."""
    settings = [t.setting for t in tried]
    scores = [min(t.score, bad) for t, bad in zip(tried, worst(space, tried, margin), strict=True)]
    rest = np.array(scores) - margin * space.rises(settings)
    spread = SPREAD if space.prior is None else SURE * margin
    return Surface(Process(space.coordinates(settings), rest, spread), space, margin)


def worst(space: Space, tried: Sequence[Tried], margin: float) -> list[float]:
    """Of each the score from which on all of its kind are the same: bad."""
    of_all = _best(tried, default=-CLIPPED * margin) + CLIPPED * margin
    bad = {}
    for decayed in (True, False):
        own = [t for t in tried if space.belongs(t.setting, decayed=decayed)]
        bad[decayed] = max(of_all, _best(own, default=-math.inf) + SEEN * margin)
    return [bad[space.decays and t.setting[0] > 0] for t in tried]


def _best(tried: Sequence[Tried], default: float) -> float:
    return min((t.score for t in tried if math.isfinite(t.score)), default=default)


def levelled(known: Sequence[tuple[Setting, Mapping[int, float]]]) -> tuple[Tried, ...]:
    """A score a setting, so that settings of other seeds compare: the effects of settings and seeds by least squares.

    One of its runs inf: inf. None ended: nan.
    """
    ended = [(row, seed, y) for row, (_, own) in enumerate(known) for seed, y in own.items() if math.isfinite(y)]
    rows, seeds = np.array([row for row, _, _ in ended], dtype=int), [seed for _, seed, _ in ended]
    places = np.unique(seeds, return_inverse=True)[1]
    scores = np.array([y for _, _, y in ended])
    effects, luck = np.full(len(known), math.nan), np.zeros(len(set(seeds)))
    runs, times = np.bincount(rows, minlength=len(known)), np.bincount(places, minlength=len(luck))
    for _ in range(SWEEPS if len(luck) > 1 else 1):  # least squares by turns
        sums = np.bincount(rows, scores - luck[places], minlength=len(known))
        effects[runs > 0] = sums[runs > 0] / runs[runs > 0]
        luck = np.bincount(places, scores - effects[rows], minlength=len(luck)) / np.maximum(times, 1)
        luck -= luck.mean() if len(luck) else 0.0
    found = []
    for effect, (setting, own) in zip(effects, known, strict=True):
        found.append(Tried(setting, math.inf if math.inf in own.values() else float(effect)))
    return tuple(found)
