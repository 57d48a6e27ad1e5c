"""The fresh runs: what they say, round by round, and which to train next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from wdrun.tuning import sequential
from wdrun.tuning.question import FRESH, MOST_PAIRS, Cell, Next, Pair, Question, of_pair
from wdrun.tuning.sequential import Answer
from wdrun.tuning.state import State
from wdrun.wording import counted, listed


class Looked(NamedTuple):
    """What the fresh runs say: an answer a pair, those of each round before, the rounds that are whole."""

    answers: Sequence[Answer]
    history: Sequence[tuple[Answer, ...]]
    rounds: int


def look(state: State) -> Looked:
    """Look at the open pairs after each round of fresh seeds that both of their sides have."""
    question = state.question
    sides = [question.sides_of(pair) for pair in question.pairs]
    columns = list(dict.fromkeys(side for two in sides for side in two))
    scores = np.stack([state.told(side) for side in columns], axis=1)
    asked = [(columns.index(one), columns.index(other)) for one, other in sides]
    looks = sequential.looks(scores, asked, question.margin, question.alpha)
    answers = looks[-1] if looks else [Answer() for _ in sides]
    history = []
    for n, answer in enumerate(answers):
        history.append(tuple(known[n] for known in looks[answer.began : answer.began + answer.pairs]))
    return Looked(answers, history, len(looks))


def following(state: State, looked: Looked, count: int) -> Iterator[Next]:
    """The next fresh runs: of the round that is not whole yet, then, for those that train side by side, of the next."""
    pairs, question, margin = state.question.pairs, state.question, state.question.margin
    sides = {n: question.sides_of(pair) for n, pair in enumerate(pairs) if not looked.answers[n].verdict}
    told = {side: state.told(side) for side in question.sides}
    wanted: dict[int, int] = {}
    for n, answer in enumerate(looked.answers):
        first = max(looked.rounds + 1, answer.began + sequential.FIRST)
        needed = sequential.needed(answer, margin)
        wanted[n] = max(first, answer.began + math.ceil(needed)) if math.isfinite(needed) else first

    def lacking(rounds: int) -> Iterator[tuple[Cell, list[int]]]:
        """The cells that lack a run in a round, each with the open pairs that it is of."""
        live = [n for n in sides if wanted[n] > rounds and not any(math.isinf(told[side][rounds]) for side in sides[n])]
        for side in dict.fromkeys(side for n in live for side in sides[n]):
            cell = state.choice(side)
            if cell is None or rounds < state.first(side):
                continue
            if math.isnan(told[side][rounds]) and FRESH + rounds not in state.scores.get(cell, {}):
                yield cell, [n for n in live if side in sides[n]]

    if looked.rounds == MOST_PAIRS:
        return
    spare = state.spare
    for rounds in range(looked.rounds, min(max((wanted[n] for n in sides), default=0), MOST_PAIRS)):
        asked = list(lacking(rounds))
        spare -= len(asked)
        if spare < 0:
            return  # a round that does not fit would tell nothing
        for cell, waiting in asked:
            if count <= 0:
                return
            count -= 1
            known = listed([_standing(question, pairs[n], looked.answers[n]) for n in waiting], 2)
            yield Next(cell, FRESH + rounds, "confirm", known, f"{counted(len(waiting), 'question')} of it open")


def _standing(question: Question, pair: Pair, answer: Answer) -> str:
    told = f"{question.sign * answer.difference:+.4f}" if answer.pairs else "nothing"
    return f"{' against '.join(of_pair(question, pair))}: {told} after {counted(answer.pairs, 'pair')}"
