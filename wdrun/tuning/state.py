"""The runs of a question by cell, and what follows from them without a look at any fresh run's score."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from functools import cached_property, lru_cache
from itertools import pairwise, tee

import numpy as np

from wdrun.errors import ConfigError
from wdrun.tuning import search
from wdrun.tuning.question import FRESH, MOST_PAIRS, Budget, Cell, Question, Seen, Side, is_fresh
from wdrun.tuning.sequential import FIRST
from wdrun.tuning.space import Numbers, Setting, Space
from wdrun.tuning.surface import Tried, levelled

RESERVED = FIRST  # pairs of fresh runs that a search leaves the budget for: fewer tell nothing
UNBOUNDED = 10**9
GIVEN_UP = 6  # runs of one kind, with decay or without, of which none is sound: what is searched cannot be trained

Run = tuple[Cell, int]  # a cell and a seed


class State:
    """The runs by cell, and what follows from them whatever fresh seeds scored: only that one is lost has a say.

    ConfigError where several settings of a facet have the same fresh seeds, or one that was not searched has some: no
    tune leaves that, and runs that were looked at before the choice must not tell its verdict.
    """

    def __init__(self, runs: Sequence[Seen], question: Question, budget: Budget, training: set[Run]) -> None:
        self.question, self.budget, self.training = question, budget, training
        self.scores: dict[Cell, dict[int, float]] = {}
        for run in sorted(runs, key=lambda run: run[:2]):  # so that the order of the rows has no say
            self.scores.setdefault(run.cell, {})[run.seed] = run.score
        for cell, seed in sorted(training):
            self.scores.setdefault(cell, {}).setdefault(seed, math.nan)
        self.under_way = [(cell, seed) for cell, own in self.scores.items() for seed, y in own.items() if math.isnan(y)]
        self.unfinished = sum(run not in training for run in self.under_way)
        self.trained = sum(map(len, self.scores.values()))
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

    @property
    def fits(self) -> int:
        """How many runs may still be started, those that have begun before among them."""
        return min(self._bounds.values(), default=UNBOUNDED)

    @property
    def spare(self) -> int:
        """How many new runs may be started: what fits once those that have begun before are finished."""
        return max(0, self.fits - self.unfinished)

    @property
    def bound(self) -> str:
        """What there is least of, runs or time."""
        return min(self._bounds, key=lambda name: self._bounds[name], default="")

    @cached_property
    def _bounds(self) -> dict[str, int]:
        found = {}
        if self.budget.runs is not None:
            found["runs"] = max(0, self.budget.runs - self.trained + self.unfinished)
        if self.budget.seconds is not None:
            found["time"] = sum(map(self._in_time, range(self.budget.side_by_side)))
        return found

    def _in_time(self, slot: int) -> int:
        """How many runs would still end in time, one after another, once what trains there has ended."""
        waits = self.budget.waits[slot] if slot < len(self.budget.waits) else 0.0
        left = max(0.0, (self.budget.seconds or 0.0) - waits)
        return int(min(left / self.budget.a_run, UNBOUNDED)) if self.budget.a_run > 0 else int(left > 0)

    def tried(self, facet: int) -> tuple[Tried, ...]:
        """Each setting's score for the search: the mean over its seeds, with what a seed does to all taken out."""
        return self._levelled[facet]

    @cached_property
    def _levelled(self) -> list[tuple[Tried, ...]]:
        return [levelled(known) for known in self.known]

    def fresh(self, cell: Cell) -> dict[int, float]:
        """Seed -> score of the cell's fresh runs."""
        return {seed: score for seed, score in self.scores.get(cell, {}).items() if is_fresh(seed)}

    # What is searched

    @cached_property
    def lacking(self) -> int:
        """Runs that the budget has too few for a verdict, at the least; 0 once some of those that tell are there."""
        begun = any(is_fresh(seed) for own in self.scores.values() for seed in own)
        needed = self._unsound + self._untold(self._promising)
        return 0 if begun else max(0, needed - self.spare)

    @cached_property
    def reserved(self) -> int:
        """Runs that the search leaves for the verdicts: none where the budget has too few for one.

        Of a time it leaves some more: a round, as runs differ in length, and what fits by steps of `side_by_side`.
        """
        if self.lacking:
            return 0
        timed = len(self.question.sides) + self.budget.side_by_side - 1 if self.bound == "time" else 0
        return max(0, min(self._untold(self.question.sides) + timed, self.spare - self._unsound))

    @cached_property
    def share(self) -> int:
        """Search runs that the budget has for each side, those that there are among them."""
        searched = sum(not is_fresh(seed) for own in self.scores.values() for seed in own)
        return max(1, (searched + self.spare - self.reserved) // len(self.question.sides))

    @cached_property
    def _promising(self) -> list[Side]:
        """The sides but those of which all that was tried is lost, once some pair can do without these."""
        sound = {side for side in self.question.sides if any(map(self._may_stand, self.cells(side)))}
        if not any(sound.issuperset(self.question.sides_of(pair)) for pair in self.question.pairs):
            return list(self.question.sides)
        return [s for s in self.question.sides if s in sound or not (self.cells(s) or self.hopeless(s[0]))]

    @property
    def _unsound(self) -> int:
        """Promising sides of which no setting has a search run that ended well, or may."""
        return sum(not any(map(self._may_stand, self.cells(side))) for side in self._promising)

    def _untold(self, sides: Collection[Side]) -> int:
        """Fresh runs that the first RESERVED pairs of these sides lack."""
        done = sum(min(len(self.fresh(cell)), RESERVED) for side in sides for cell in self.cells(side))
        return max(0, RESERVED * len(sides) - done)

    def _may_stand(self, cell: Cell) -> bool:
        own = [score for seed, score in self.scores[cell].items() if not is_fresh(seed)]
        return bool(own) and math.inf not in own

    def searching(self, facet: int) -> bool:
        """Whether the facet may get search runs: none of its cells has a fresh run yet."""
        return not self.begun.get((facet, self.question.facets[facet].decays))

    def following(self, facet: int, count: int) -> Iterable[Setting]:
        """The settings that the facet's search asks for next, each found when it is asked for."""
        space, tried = self.question.facets[facet].space, self.tried(facet)
        if self.hopeless(facet):
            return ()
        zeros = min(self.share, len(tried) + count)  # more cannot be there, and so a budget has no say in the cache
        return copy(_following(space, tried, self.question.margin, count, zeros))

    def hopeless(self, facet: int) -> bool:
        """Whether so many of its runs, with decay or without, ended in nothing that no more are worth it."""
        space, tried = self.question.facets[facet].space, self.tried(facet)
        for decayed in (True, False) if space.decays else (True,):
            own = [t.score for t in tried if space.belongs(t.setting, decayed=decayed)]
            if len(own) >= GIVEN_UP and all(score == math.inf for score in own):
                return True
        return False

    def exhausted(self, facet: int) -> bool:
        """Whether the facet's search is over by itself, not for want of a budget."""
        return not (self.searching(facet) and ([*self.following(facet, 1)] or self._waits(facet)))

    @cached_property
    def chosen_all(self) -> bool:
        """Whether every search is over, by itself or as the budget wants it."""
        over = all(map(self.exhausted, range(len(self.question.facets))))
        return over or (self.spare <= self.reserved and not self._searches_train())

    def _waits(self, facet: int) -> bool:
        """Whether a search run of the facet is under way."""
        return any(math.isnan(score) for _, own in self.known[facet] for score in own.values())

    def _searches_train(self) -> bool:
        return any(not is_fresh(seed) for _, seed in self.under_way)

    # What is chosen

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
def _following(space: Space, tried: tuple[Tried, ...], margin: float, count: int, zeros: int) -> Iterable[Setting]:
    """The settings, to be looked at through a `copy`: one who asks for more later does not find them anew."""
    found = search.following(space, tried, margin, count, zeros)
    return tuple(found) if count == 1 else tee(found, 1)[0]  # a tuple: the process is let go of


@lru_cache(maxsize=1024)
def _chosen(space: Space, tried: tuple[Tried, ...], margin: float, decayed: bool) -> Setting | None:
    return search.chosen(space, tried, margin, decayed=decayed)
