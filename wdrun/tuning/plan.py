"""plan(runs, question, budget) -> the next runs or the verdicts: a pure function of what the folder's tables hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wdrun.tuning.question import Budget, Cell, Pair, Question, Seen
from wdrun.tuning.sequential import Answer


class Next(NamedTuple):
    """A run to train: its cell and seed, and why it is asked for."""

    cell: Cell
    seed: int
    why: str  # search | confirm | finish (begun before, and interrupted)
    known: str  # what was known when it was asked for, in words
    reason: str  # why this one, in words


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
    more: float = float("nan")
    dropped: str = ""


@dataclass(frozen=True)
class Plan:
    """The next runs, none where it is over; `ended` then says why: decided, runs, time, or nothing (left to do).

    `forecast` is about how many runs are still to be trained until all is decided, without regard to the budget.
    """

    next: tuple[Next, ...]
    verdicts: tuple[Verdict, ...]
    ended: str = ""
    forecast: float = float("nan")


def plan(runs: Sequence[Seen], question: Question, budget: Budget, count: int = 1) -> Plan:
    """Up to `count` runs to train next, given those that were trained; the verdicts as they stand."""
    raise NotImplementedError
