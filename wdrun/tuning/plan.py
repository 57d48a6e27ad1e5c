"""plan(runs, question, budget) -> the next runs, or the verdicts: a pure function of what a folder's tables hold.

First each facet is searched (`search`), fewest runs first, on seeds that choose. Then the chosen cells are trained on
fresh seeds, round by round: a seed is trained for every cell of an open pair, then all open pairs are looked at
(`sequential`); a pair that is decided asks for no more. A cell that has a fresh run stays the one of its side, so that
no verdict is told of a cell that its own verdict's runs chose; one that diverges or fails on a fresh seed gives way to
the next best, whose pairs begin in the round after. What was decided before stays.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from wdrun.tuning import confirmation, exploration, sequential
from wdrun.tuning.confirmation import Looked
from wdrun.tuning.question import MOST_PAIRS, Budget, Cell, Next, Pair, Question, Seen
from wdrun.tuning.sequential import Answer
from wdrun.tuning.space import Space
from wdrun.tuning.standing import Run
from wdrun.tuning.state import State
from wdrun.wording import counted

USUAL_PAIRS = 6  # of a forecast before any is there


@dataclass(frozen=True)
class Verdict:
    """What can be said of a pair: `answer.verdict` is better, worse, equivalent, or "" while it is open.

    `one` and `other` are the cells that stand for its sides, None while their search goes on or where none is sound
    (`dropped` says why). `more` is about how many more runs would decide it, inf where none would, nan if not known.
    `history` are the answers after 1, 2, … pairs of runs.
    """

    pair: Pair
    one: Cell | None
    other: Cell | None
    answer: Answer
    history: tuple[Answer, ...] = ()
    more: float = math.nan
    dropped: str = ""


@dataclass(frozen=True)
class Plan:
    """The next runs; none where it is over, or while all that is to be known is under way.

    `ended` says why it is over: decided, runs, time, or pairs (as many as are ever looked at); "" while it goes on.
    `forecast` is about how many runs are still to be trained until all is decided, without regard to the budget.
    `lacking` are those that the budget has too few for any verdict, at the least.
    """

    next: tuple[Next, ...]
    verdicts: tuple[Verdict, ...]
    ended: str = ""
    forecast: float = math.nan
    lacking: int = 0


def plan(
    runs: Sequence[Seen], question: Question, budget: Budget, count: int = 1, training: Collection[Run] = ()
) -> Plan:
    """Up to `count` runs to train next, given those that were trained, and the verdicts as they stand.

    `training` are those that train at this moment. Others that have begun and not ended come before all.
    """
    state = State(runs, question, budget, {*training})
    begun = [run for run in state.under_way if run not in state.training]
    finishing = [Next(cell, seed, "finish", "", "was begun before") for cell, seed in begun]
    looked = confirmation.look(state) if state.chosen_all else Looked([Answer() for _ in question.pairs], (), 0)
    verdicts = tuple(_verdicts(state, looked))
    asked = [*finishing, *(exploration.following(state, count - len(finishing)) if not state.chosen_all else ())]
    if state.chosen_all:
        asked += confirmation.following(state, looked, count - len(asked))
    kept = tuple(asked[: min(count, state.fits)])
    ended = ""
    if not kept and not state.training:
        ended = "pairs" if looked.rounds == MOST_PAIRS else state.bound
        if all(v.answer.verdict or v.dropped for v in verdicts):
            ended = "decided"
    return Plan(kept, verdicts, ended, _forecast(state, verdicts), state.lacking)


def _verdicts(state: State, looked: Looked) -> Iterator[Verdict]:
    for n, pair in enumerate(state.question.pairs):
        if not state.chosen_all:
            yield Verdict(pair, None, None, Answer())
            continue
        answer, history = looked.answers[n], looked.history[n]
        rounds, sides = answer.began + answer.pairs, state.question.sides_of(pair)
        one, other = (state.stood(side, rounds) if answer.verdict else state.choice(side) for side in sides)
        if one is None or other is None:
            yield Verdict(pair, one, other, answer, history, dropped=_why_dropped(state, pair))
            continue
        more = 2 * (sequential.needed(answer, state.question.margin) - answer.pairs)
        yield Verdict(pair, one, other, answer, history, more)


def _why_dropped(state: State, pair: Pair) -> str:
    """Which side of a pair cannot be trained; "" where the search has not found that out, for want of a budget."""
    other = pair.one if pair.other is None else pair.other
    for facet, missing in zip((pair.one, other), state.question.sides_of(pair), strict=True):
        if state.choice(missing) is not None or not state.exhausted(facet):
            continue
        own = state.question.facets[facet]
        for side in (missing, state.question.side(facet, decayed=False)):  # without which none with decay is tried
            cells = state.cells(side)
            if lost := sum(map(state.lost, cells)):
                zero = " with λ = 0" if own.decays and not side[1] else ""
                tried = f"{lost} of {counted(len(cells), 'setting')} diverged or failed"
                return f"{own.name}{zero}: no setting can be trained ({tried})"
    return ""


def _forecast(state: State, verdicts: Sequence[Verdict]) -> float:
    """About how many runs are still to be trained; what is not known yet is taken to be as usual."""
    question = state.question
    searched = [facet for facet in range(len(question.facets)) if not state.exhausted(facet)]
    if searched:  # goes on, or would with a larger budget
        runs = USUAL_PAIRS * len(question.sides)
        for facet in searched:
            own = question.facets[facet]
            zero = own.decays and question.home(facet) != facet
            runs += max(1, _usual(own.space, zero) - len(state.known[facet]))
        return runs
    needed: dict[Cell, float] = {}
    for verdict in verdicts:
        if not verdict.answer.verdict and verdict.one and verdict.other:
            pairs = sequential.needed(verdict.answer, question.margin)
            for cell in (verdict.one, verdict.other):
                has = len(state.fresh(cell))
                needed[cell] = max(needed.get(cell, 0), (USUAL_PAIRS if math.isnan(pairs) else pairs) - has)
    return sum(max(0.0, runs) for runs in needed.values())


def _usual(space: Space, shared: bool) -> int:
    """Runs that the search of a space usually takes; those with λ = 0 may be there already."""
    axes = len(space.axes)
    return max(1, (6 if space.prior is None else 4) * axes + 1 - (2 * axes if shared else 0))
