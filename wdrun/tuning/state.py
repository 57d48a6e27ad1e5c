"""The runs of a question by cell, and what follows from them without a look at any fresh run's score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np

from wdrun.tuning import search
from wdrun.tuning.question import FRESH, Budget, Cell, Pair, Question, Seen
from wdrun.tuning.search import Tried
from wdrun.tuning.space import Setting, Space

RESERVED = 4  # pairs of fresh runs that a search leaves the budget for
UNBOUNDED = 10**9
SWEEPS = 20
GIVEN_UP = 6  # runs of one kind, with decay or without, of which none is sound: what is searched cannot be trained

Run = tuple[Cell, int]  # a cell and a seed


class State:
    """The runs by cell, and what follows from them without a look at fresh seeds."""

    def __init__(self, runs: Sequence[Seen], question: Question, budget: Budget, training: set[Run]) -> None:
        self.question, self.budget, self.training = question, budget, training
        self.scores: dict[Cell, dict[int, float]] = {}
        for run in runs:
            self.scores.setdefault(run.cell, {})[run.seed] = run.score
        for cell, seed in training:
            self.scores.setdefault(cell, {}).setdefault(seed, math.nan)
        self.under_way = [(cell, seed) for cell, own in self.scores.items() for seed, y in own.items() if math.isnan(y)]
        self.trained = sum(map(len, self.scores.values()))
        took = [run.seconds for run in runs if run.seconds > 0 and math.isfinite(run.score)]
        self.seconds = float(np.mean(took)) if took else budget.a_run
        self._choices: dict[tuple[int, bool], Cell | None] = {}
        self.known = [self._known(facet) for facet in range(len(question.facets))]

    def _known(self, facet: int) -> list[tuple[Setting, dict[int, float]]]:
        """The settings of a facet that have search runs, λ = 0 too, each with its scores by seed."""
        found = []
        for cell, scores in self.scores.items():
            own = {seed: score for seed, score in scores.items() if seed < FRESH}
            if own and (setting := self.question.setting(facet, cell)) is not None:
                found.append((setting, own))
        return found

    @property
    def fits(self) -> int:
        """How many runs may still be started, those that have begun before among them."""
        return min(self._bounds.values(), default=UNBOUNDED)

    @property
    def bound(self) -> str:
        """What there is least of, runs or time."""
        return min(self._bounds, key=lambda name: self._bounds[name], default="")

    @cached_property
    def _bounds(self) -> dict[str, int]:
        found = {}
        if self.budget.runs is not None:
            begun = sum(run not in self.training for run in self.under_way)
            found["runs"] = max(0, self.budget.runs - self.trained + begun)
        if self.budget.seconds is not None:
            left = max(0.0, self.budget.seconds)
            each = int(min(left / self.seconds, UNBOUNDED)) if self.seconds > 0 else int(left > 0)
            found["time"] = each * self.budget.side_by_side
        return found

    def tried(self, facet: int) -> tuple[Tried, ...]:
        """Each setting's score for the search: the mean over its seeds, with what a seed does to all taken out."""
        return self._levelled[facet]

    @cached_property
    def _levelled(self) -> list[tuple[Tried, ...]]:
        return [levelled(known) for known in self.known]

    def fresh(self, cell: Cell) -> dict[int, float]:
        """Seed -> score of the cell's fresh runs."""
        return {seed: score for seed, score in self.scores.get(cell, {}).items() if seed >= FRESH}

    # What is searched

    @property
    def reserved(self) -> int:
        """Runs that the search leaves for the verdicts: of a small budget half."""
        facets = range(len(self.question.facets))
        sides = sum(self.question.facets[f].decays for f in facets) + len({self.question.home(f) for f in facets})
        done = sum(min(len(self.fresh(cell)), RESERVED) for cell in self.scores)
        return max(0, min(RESERVED * sides, (self.fits + self.trained) // 2) - done)

    def searching(self, facet: int) -> bool:
        """Whether the facet may get search runs: none of its cells has a fresh run yet."""
        own = [cell for cell in self.scores if cell.facet == facet and (self._decayed(cell) or self._bare(facet))]
        return not any(self.fresh(cell) for cell in own)

    def following(self, facet: int, count: int) -> tuple[Setting, ...]:
        """The settings that the facet's search asks for next."""
        space, tried = self.question.facets[facet].space, self.tried(facet)
        return _following(space, tried, self.question.margin, count) if not self.hopeless(facet) else ()

    def hopeless(self, facet: int) -> bool:
        """Whether so many of its runs, with decay or all, ended in nothing that no more are worth it."""
        decays = self.question.facets[facet].decays
        own = [t.score for t in self.tried(facet) if not decays or t.setting[0] > 0]
        return len(own) >= GIVEN_UP and all(score == math.inf for score in own)

    @cached_property
    def chosen_all(self) -> bool:
        """Whether every search is over, by itself or as the budget wants it."""
        open_ = [f for f in range(len(self.question.facets)) if self.searching(f)]
        asks = any(self.following(f, 1) or self._waits(f) for f in open_)
        return not asks or (self.fits <= self.reserved and not self._searches_train())

    def _waits(self, facet: int) -> bool:
        """Whether a search run of the facet is under way."""
        return any(math.isnan(score) for _, own in self.known[facet] for score in own.values())

    def _searches_train(self) -> bool:
        return any(seed < FRESH for _, seed in self.under_way)

    # What is chosen

    def _decayed(self, cell: Cell) -> bool:
        return self.question.facets[cell.facet].decays and cell.setting[0] > 0

    def _bare(self, facet: int) -> bool:
        return not self.question.facets[facet].decays

    def replaced(self, pair: Pair) -> int:
        """How many cells of the pair's sides gave way to others."""
        facets = self.question.facets
        sides = {(pair.one, facets[pair.one].decays)}
        sides.add((pair.one, False) if pair.other is None else (pair.other, facets[pair.other].decays))
        homes = {(place if decayed else self.question.home(place), decayed) for place, decayed in sides}
        return sum(len(self.gave_way(place, decayed=decayed)) for place, decayed in homes)

    def gave_way(self, facet: int, *, decayed: bool) -> list[Cell]:
        """The facet's cells, with decay or without, that diverged on a fresh seed."""
        return [
            cell
            for cell in self.scores
            if cell.facet == facet
            and self._decayed(cell) == decayed
            and any(score == math.inf for score in self.fresh(cell).values())
        ]

    def choice(self, facet: int, *, decayed: bool) -> Cell | None:
        """The cell that stands for a facet, with decay or without; None where none of its settings is sound."""
        place = facet if decayed else self.question.home(facet)
        if (place, decayed) not in self._choices:
            self._choices[place, decayed] = self._choose(place, decayed=decayed)
        return self._choices[place, decayed]

    def _choose(self, place: int, *, decayed: bool) -> Cell | None:
        own = self.question.facets[place]
        out = set(self.gave_way(place, decayed=decayed))
        begun = {
            cell: len(fresh)
            for cell in self.scores
            if cell.facet == place
            and self._decayed(cell) == decayed
            and cell not in out
            and (fresh := self.fresh(cell))
        }
        tried = [t for t in self.tried(place) if Cell(place, t.setting) not in out and not math.isnan(t.score)]
        if begun:
            most = max(begun.values())
            settled = [cell.setting for cell, runs in begun.items() if runs == most]
            if len(settled) == 1:
                return Cell(place, settled[0])
            tried = [t for t in tried if t.setting in settled]
        setting = _chosen(own.space, tuple(tried), self.question.margin, decayed)
        return None if setting is None else Cell(place, setting)

    def sides(self, pair: Pair) -> tuple[Cell | None, Cell | None]:
        """The cells that stand for the two sides of a pair."""
        one = self.choice(pair.one, decayed=self.question.facets[pair.one].decays)
        if pair.other is None:
            return one, self.choice(pair.one, decayed=False)
        return one, self.choice(pair.other, decayed=self.question.facets[pair.other].decays)


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


@lru_cache(maxsize=1024)
def _following(space: Space, tried: tuple[Tried, ...], margin: float, count: int) -> tuple[Setting, ...]:
    return tuple(search.following(space, tried, margin, count))


@lru_cache(maxsize=1024)
def _chosen(space: Space, tried: tuple[Tried, ...], margin: float, decayed: bool) -> Setting | None:
    return search.chosen(space, tried, margin, decayed=decayed)
