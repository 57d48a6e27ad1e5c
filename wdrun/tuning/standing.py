"""The runs of a question by cell, and which cell stands for each side, without a look at any fresh run's score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from wdrun.errors import ConfigError
from wdrun.tuning import search
from wdrun.tuning.question import FRESH, MOST_PAIRS, Cell, Question, Seen, Side, is_fresh
from wdrun.tuning.space import Numbers, Setting, Space
from wdrun.tuning.surface import Tried, levelled

Run = tuple[Cell, int]  # a cell and a seed


class Standing:
    """The runs by cell, and what follows from them whatever fresh seeds scored: only that one is lost has a say.

    ConfigError where several settings of a facet have the same fresh seeds, or one that was not searched has some: no
    tune leaves that, and runs that were looked at before the choice must not tell its verdict.
    """

    def __init__(self, runs: Sequence[Seen], question: Question, training: set[Run]) -> None:
        self.question, self.training = question, training
        self.scores: dict[Cell, dict[int, float]] = {}
        for run in sorted(runs, key=lambda run: run[:2]):  # so that the order of the rows has no say
            self.scores.setdefault(run.cell, {})[run.seed] = run.score
        for cell, seed in sorted(training):
            self.scores.setdefault(cell, {}).setdefault(seed, math.nan)
        self.under_way = [(cell, seed) for cell, own in self.scores.items() for seed, y in own.items() if math.isnan(y)]
        self._cells: dict[Side, list[Cell]] = {}
        for cell in self.scores:
            self._cells.setdefault(question.side_of(cell), []).append(cell)
        self._choices: dict[Side, Cell | None] = {}
        self.begun = {side: self._begun(side) for side in question.sides}
        self.known = [self._known(facet) for facet in range(len(question.facets))]

    def _known(self, facet: int) -> list[tuple[Setting, dict[int, float]]]:
        """The settings of a facet that have search runs, λ = 0 too, each with its scores by seed."""
        found = []
        for cell, scores in self.scores.items():
            own = {seed: score for seed, score in scores.items() if not is_fresh(seed)}
            if own and (setting := self.question.setting(facet, cell)) is not None:
                found.append((setting, own))
        return found

    def tried(self, facet: int) -> tuple[Tried, ...]:
        """Each setting's score for the search: the mean over its seeds, with what a seed does to all taken out."""
        return self._levelled[facet]

    @cached_property
    def _levelled(self) -> list[tuple[Tried, ...]]:
        return [levelled(known) for known in self.known]

    def fresh(self, cell: Cell) -> dict[int, float]:
        """Seed -> score of the cell's fresh runs."""
        return {seed: score for seed, score in self.scores.get(cell, {}).items() if is_fresh(seed)}

    def cells(self, side: Side) -> list[Cell]:
        """The cells of a side that have runs."""
        return self._cells.get(side, [])

    def lost(self, cell: Cell) -> bool:
        """Whether a run of the cell diverged or failed."""
        return math.inf in self.scores.get(cell, {}).values()

    def _begun(self, side: Side) -> tuple[Cell, ...]:
        """The cells of a side that have fresh runs, in the order in which they stood for it."""
        fresh = {cell: own for cell in self.cells(side) if (own := self.fresh(cell))}
        # Of two that began together, in two terminals, the one with more runs: it is put last, and goes on.
        found = sorted(fresh, key=lambda cell: (min(fresh[cell]), len(fresh[cell]), cell))
        alike = [[one, other] for one, other in pairwise(found) if fresh[one].keys() == fresh[other].keys()]
        unsearched = [[cell] for cell in found if all(map(is_fresh, self.scores[cell]))]
        for cells in (*alike, *unsearched):
            name, seed = self.question.facets[side[0]].name, min(fresh[cells[0]])
            where = " and ".join(map(self.question.named, cells))
            raise ConfigError(
                f"{name}: there are runs with seed={seed} at {where}; seeds {FRESH} to {FRESH + MOST_PAIRS - 1} are "
                "for the one setting that a search has chosen: give another name="
            )
        return tuple(found)

    def choice(self, side: Side) -> Cell | None:
        """The cell that stands for a side; None where none of its settings is sound."""
        if side not in self._choices:
            self._choices[side] = self._choose(side)
        return self._choices[side]

    def _choose(self, side: Side) -> Cell | None:
        """The last that has begun; once it is lost on a fresh seed, the best of the search that has not begun."""
        place, decayed = side
        begun = self.begun[side]
        if begun and math.inf not in self.fresh(begun[-1]).values():
            return begun[-1]
        tried = [t for t in self.tried(place) if Cell(place, t.setting) not in begun and not math.isnan(t.score)]
        setting = _chosen(self.question.facets[place].space, tuple(tried), self.question.margin, decayed)
        return None if setting is None else Cell(place, setting)

    def first(self, side: Side) -> int:
        """Rounds before the first in which the chosen cell stands for the side."""
        cell, begun = self.choice(side), self.begun[side]
        if not begun:
            return 0
        fresh = self.fresh(begun[-1])
        ended = (seed + 1 for seed, score in fresh.items() if score == math.inf)
        return (min(fresh) if cell == begun[-1] else min(ended)) - FRESH

    def stood(self, side: Side, rounds: int) -> Cell | None:
        """The cell that stood for a side after so many rounds."""
        found = [cell for cell in self.begun[side] if min(self.fresh(cell)) - FRESH < rounds]
        return found[-1] if found else None

    def told(self, side: Side) -> Numbers:
        """The scores of a side, round by round: nan where one is not there yet, inf where its cell was lost.

        A cell stands for its side up to the first run that diverged or failed, the next one from its own first run.
        """
        found, last = np.full(MOST_PAIRS, math.nan), self.begun[side][-1:]
        end = 0  # rounds in which the cells so far were there or lost
        for cell in self.begun[side]:
            fresh = {seed - FRESH: score for seed, score in self.fresh(cell).items()}
            found[end : min(fresh)] = math.inf
            for end in range(min(fresh), MOST_PAIRS):
                score = fresh.get(end, math.nan if (cell,) == last else math.inf)
                found[end] = score
                if score == math.inf:
                    break
            end += 1
        if self.choice(side) is None:
            found[end if last else 0 :] = math.inf
        return found


@lru_cache(maxsize=1024)
def _chosen(space: Space, tried: tuple[Tried, ...], margin: float, decayed: bool) -> Setting | None:
    return search.chosen(space, tried, margin, decayed=decayed)
