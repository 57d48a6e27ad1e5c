"""The fresh runs: what they say, round by round, and which to train next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wdrun.tuning import sequential
from wdrun.tuning.question import FRESH, Next, Pair, Question
from wdrun.tuning.sequential import Answer
from wdrun.tuning.state import State
from wdrun.wording import counted, listed

MOST_PAIRS = 60  # of fresh runs; differences that equal the margin would be looked at for ever


class Looked(NamedTuple):
    """What the fresh runs say: an answer a pair, those of each round before, the rounds that are whole."""

    answers: Sequence[Answer]
    history: Mapping[int, tuple[Answer, ...]]
    rounds: int


def look(state: State) -> Looked:
    """Look at the open pairs after each round of fresh seeds that all of their cells have."""
    pairs = state.question.pairs
    sides = [state.sides(pair) for pair in pairs]
    cells = list(dict.fromkeys(cell for side in sides if None not in side for cell in side if cell is not None))
    asked = {n: (cells.index(one), cells.index(other)) for n, (one, other) in enumerate(sides) if one and other}
    given_up = sum(state.replaced(pair) for pair in pairs)
    found = [Answer() for _ in pairs]
    history: dict[int, list[Answer]] = {n: [] for n in asked}
    scores = np.full((MOST_PAIRS, len(cells)), math.nan)
    for column, cell in enumerate(cells):
        for seed, score in state.fresh(cell).items():
            if seed - FRESH < MOST_PAIRS and math.isfinite(score):
                scores[seed - FRESH, column] = score
    looks = sequential.looks(scores, list(asked.values()), state.question.margin, state.question.alpha, given_up)
    for place, n in enumerate(asked):
        own = [answers[place] for answers in looks]
        found[n] = own[-1] if own else Answer()
        history[n] = [answer for k, answer in enumerate(own) if k < answer.pairs]
    return Looked(found, {n: tuple(own) for n, own in history.items()}, len(looks))


def following(state: State, looked: Looked, count: int) -> Iterator[Next]:
    """The next fresh runs: of the round that is not whole yet, then, for those that train side by side, of the next."""
    pairs, question = state.question.pairs, state.question
    open_ = [n for n in looked.history if not looked.answers[n].verdict]
    if not open_:
        return
    sides = {n: [cell for cell in state.sides(pairs[n]) if cell is not None] for n in open_}
    cells = list(dict.fromkeys(cell for n in open_ for cell in sides[n]))
    lacking = [cell for cell in cells if FRESH + looked.rounds not in state.scores.get(cell, {})]
    if len(lacking) > state.fits:
        return  # a round that does not fit would tell nothing
    margin, first = question.margin, max(looked.rounds + 1, sequential.FIRST)
    wanted = {n: max(first, _whole(sequential.needed(looked.answers[n], margin), first)) for n in open_}
    for rounds in range(looked.rounds, min(max(wanted.values()), MOST_PAIRS)):
        for cell in cells:
            waiting = [n for n in open_ if cell in sides[n] and wanted[n] > rounds]
            if not waiting or FRESH + rounds in state.scores.get(cell, {}):
                continue
            if count <= 0:
                return
            count -= 1
            known = listed([_standing(question, pairs[n], looked.answers[n]) for n in waiting], 2)
            yield Next(cell, FRESH + rounds, "confirm", known, f"{counted(len(waiting), 'question')} of it open")


def _whole(pairs: float, otherwise: int) -> int:
    return math.ceil(pairs) if math.isfinite(pairs) else otherwise


def _standing(question: Question, pair: Pair, answer: Answer) -> str:
    against = "λ = 0" if pair.other is None else question.facets[pair.other].name
    sign = -1 if question.objective == "val_accuracy" else 1
    told = f"{sign * answer.difference:+.4f}" if answer.pairs else "nothing"
    return f"{question.facets[pair.one].name} against {against}: {told} after {counted(answer.pairs, 'pair')}"
