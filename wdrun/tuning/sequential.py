"""Verdicts that may be looked at after every run: paired differences on fresh seeds, at an error rate that holds.

Legend: d the paired differences of one question (a cell minus the one it is held against, lower scores better), n
pairs, s their standard deviation, s̄² the mean of s² over all questions (of a decided one as it was then), m the
margin, q how many questions are open.

After n ≥ 4 pairs, in the round r of seeds (the r-th from the first, n where no cell was replaced), its interval is

    d̄ ± t_{1−α_r/2, d₀+n−1}·s̃/√n,   s̃² = (d₀s̄² + (n−1)s²)/(d₀ + n − 1),   α_r = α/q·3/((r−1)r),   d₀ = 2

A question is decided by the first of its intervals that lies on one side of 0 (better, worse) or inside ±m
(equivalent), and is not looked at again. Σ_r 3/((r−1)r) = 1, so α/q is spent on all looks of a question together,
however many there are (as Lan & DeMets 1983 spend it), and whichever cells it is of: where one is lost and another
takes its place, the pairs begin anew, the rounds do not. As the first false verdict must be one of questions that
were all open, α/q with the q of the moment is Holm's step-down (1979), look by look. s̃ is the moderated standard
deviation of Smyth (2004): four pairs hardly know their own noise, the other questions know some of it; a question
that is alone has its own s. That borrowing, the one step that no theorem covers, keeps the level where noise differs
from cell to cell or has heavy tails is shown by tests/bench/tuned.py, as is what larger d₀ and earlier looks would do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from wdrun.tuning.question import ALPHA, MOST_PAIRS
from wdrun.tuning.space import Numbers

FIRST = 4  # pairs at the first look
BORROWED = 2  # d₀: so many degrees of freedom come from the other questions


@dataclass(frozen=True)
class Answer:
    """What is known of a question: the difference with its interval after so many pairs, nan before the first look.

    `verdict` is better, worse or equivalent, "" while it is open; a decided question stays as it was when decided.
    `noise` is s̃, `share` the part of α that its looks have, and `borrowed` d₀, or 0 of a question that is alone.
    `began` rounds went by before the first of its pairs.
    """

    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    pairs: int = 0
    verdict: str = ""
    noise: float = math.nan
    share: float = math.nan
    borrowed: int = BORROWED
    began: int = 0


def looks(
    scores: Numbers, questions: Sequence[tuple[int, int]], margin: float, alpha: float = ALPHA
) -> list[tuple[Answer, ...]]:
    """The answers to all questions (a, b), "is side a better than side b?", after 1, 2, … rounds of seeds.

    `scores` (rounds, sides) has the seeds in the order in which they are used, nan where a run is not there yet, and
    inf where the cell that stood for a side was lost: its questions begin anew in the round after, those that were
    decided stay so. A look at a round waits until the sides of all open questions have it: so it never changes later,
    whatever else is trained, and however often this is called.
    """
    found = [Answer() for _ in questions]
    history: list[tuple[Answer, ...]] = []
    noises = np.full(len(questions), math.nan)
    differences = [_differences(scores[:, a], scores[:, b]) for a, b in questions]
    for n in range(1, len(scores) + 1):
        open_ = [
            number
            for number, answer in enumerate(found)
            if not answer.verdict and not np.isinf(differences[number][n - 1 :]).all()
        ]
        if not open_ or any(math.isnan(differences[number][n - 1]) for number in open_):
            break
        for number in open_:
            lost = np.flatnonzero(np.isinf(differences[number][:n]))
            began = int(lost[-1]) + 1 if len(lost) else 0
            d = differences[number][began:n]
            found[number] = Answer(float(d.mean()) if len(d) else math.nan, pairs=len(d), began=began)
            if len(d) >= FIRST:
                noises[number] = d.var(ddof=1)
        _look(found, noises, open_, n, margin, alpha)
        history.append(tuple(found))
    return history


def _differences(one: Numbers, other: Numbers) -> Numbers:
    """A side minus the other, round by round; inf where either was lost, whatever the other is."""
    lost = np.isinf(one) | np.isinf(other)
    return np.where(lost, math.inf, np.where(lost, 0.0, one) - np.where(lost, 0.0, other))


def _look(found: list[Answer], noises: Numbers, open_: Sequence[int], n: int, margin: float, alpha: float) -> None:
    """Look at the open questions after n rounds, again as long as a decision leaves more of α to the others."""
    known = noises[~np.isnan(noises)]
    common, borrowed = float(known.mean()) if len(known) else math.nan, BORROWED if len(known) > 1 else 0
    while left := [number for number in open_ if not found[number].verdict]:
        share = alpha / len(left)
        for number in left:
            mean, pairs, began = found[number].difference, found[number].pairs, found[number].began
            if pairs < FIRST:
                continue
            noise = math.sqrt((borrowed * common + (pairs - 1) * float(noises[number])) / (borrowed + pairs - 1))
            half = float(_widths(pairs, share, borrowed, began)) * noise
            verdict = _verdict(mean, half, margin)
            found[number] = Answer(mean, mean - half, mean + half, pairs, verdict, noise, share, borrowed, began)
        if not any(found[number].verdict for number in left):
            return


def _widths(n: int | NDArray[np.int64], share: float, borrowed: int, began: int = 0) -> Numbers:
    """Half the width of the interval after n pairs, the first of them in the round after `began`, in units of s̃."""
    r = n + began
    quantile = -special.stdtrit(borrowed + n - 1, share * 3 / ((r - 1) * r) / 2)
    return np.asarray(quantile / np.sqrt(n))


def _verdict(mean: float, half: float, margin: float) -> str:
    if mean + half < 0:
        return "better"
    if mean - half > 0:
        return "worse"
    return "equivalent" if abs(mean) + half < margin else ""


def needed(answer: Answer, margin: float) -> float:
    """How many pairs in all would decide the question, if mean and noise stayed; nan if not known.

    inf where MOST_PAIRS rounds would not: there are never more.
    """
    if answer.verdict:
        return answer.pairs
    if math.isnan(answer.noise):
        return math.nan
    n = np.arange(answer.pairs + 1, MOST_PAIRS - answer.began + 1)
    half = _widths(n, answer.share, answer.borrowed, answer.began) * answer.noise
    away = abs(answer.difference)
    enough = np.flatnonzero((away - half > 0) | (away + half < margin))
    return float(n[enough[0]]) if len(enough) else math.inf
