"""What a budget leaves for searches and verdicts, without a look at any fresh run's score."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from functools import cached_property, lru_cache
from itertools import tee

from wdrun.tuning import search
from wdrun.tuning.question import Budget, Cell, Question, Seen, Side, is_fresh
from wdrun.tuning.sequential import FIRST
from wdrun.tuning.space import Setting, Space
from wdrun.tuning.standing import Run, Standing
from wdrun.tuning.surface import Tried

RESERVED = FIRST  # pairs of fresh runs that a search leaves the budget for: fewer tell nothing
UNBOUNDED = 10**9
GIVEN_UP = 6  # runs of one kind, with decay or without, of which none is sound: what is searched cannot be trained


class State(Standing):
    """The runs by cell, those that train among them, and what a budget leaves for searches and verdicts."""

    def __init__(self, runs: Sequence[Seen], question: Question, budget: Budget, training: set[Run]) -> None:
        super().__init__(runs, question, training)
        self.budget = budget
        self.unfinished = sum(run not in training for run in self.under_way)
        self.trained = sum(map(len, self.scores.values()))

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


@lru_cache(maxsize=1024)
def _following(space: Space, tried: tuple[Tried, ...], margin: float, count: int, zeros: int) -> Iterable[Setting]:
    """The settings, to be looked at through a `copy`: one who asks for more later does not find them anew."""
    found = search.following(space, tried, margin, count, zeros)
    return tuple(found) if count == 1 else tee(found, 1)[0]  # a tuple: the process is let go of
