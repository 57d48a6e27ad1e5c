"""Verdicts that may be looked at after every run: paired differences on fresh seeds, at an error rate that holds.

Legend: d the paired differences of one question (a cell minus the one it is held against, lower scores better), n
pairs, s their standard deviation, s̄² the mean of s² over all questions (of a decided one as it was then), m the
margin, q how many questions are open.

After n ≥ 4 pairs the interval of a question is

    d̄ ± t_{1−α_n/2, d₀+n−1}·s̃/√n,   s̃² = (d₀s̄² + (n−1)s²)/(d₀ + n − 1),   α_n = α/q·3/((n−1)n),   d₀ = 2

A question is decided by the first of its intervals that lies on one side of 0 (better, worse) or inside ±m
(equivalent), and is not looked at again. Σ_n 3/((n−1)n) = 1, so α/q is spent on all looks of a question together,
however many there are (as Lan & DeMets 1983 spend it); and as the first false verdict must be one of questions that
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

Numbers = NDArray[np.float64]

FIRST = 4  # pairs at the first look
BORROWED = 2  # d₀: so many degrees of freedom come from the other questions
ALPHA = 0.05
MOST = 1000  # pairs that a forecast looks ahead


@dataclass(frozen=True)
class Answer:
    """What is known of a question: the difference with its interval after so many pairs, nan before the first look.

    `verdict` is better, worse or equivalent, "" while it is open; a decided question stays as it was when decided.
    `noise` is s̃, `share` the part of α that its looks have, and `borrowed` d₀, or 0 of a question that is alone.
    """

    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    pairs: int = 0
    verdict: str = ""
    noise: float = math.nan
    share: float = math.nan
    borrowed: int = BORROWED


def looks(
    scores: Numbers, questions: Sequence[tuple[int, int]], margin: float, alpha: float = ALPHA, abandoned: int = 0
) -> list[tuple[Answer, ...]]:
    """The answers to all questions (a, b), "is cell a better than cell b?", after 1, 2, … seeds.

    `scores` (seeds, cells) has the seeds in the order in which they are used, and nan where a run is not there yet.
    A look at n pairs waits until the cells of all open questions have n seeds: so it never changes later, whatever
    else is trained, and however often this is called. So many questions as were `abandoned` on the way, for cells
    that took the place of others, keep their share of α.
    """
    found = [Answer() for _ in questions]
    history: list[tuple[Answer, ...]] = []
    noises = np.full(len(questions), math.nan)
    borrowed = BORROWED if len(questions) > 1 else 0
    for n in range(1, len(scores) + 1):
        open_ = [number for number, answer in enumerate(found) if not answer.verdict]
        pairs = {number: scores[:n, questions[number][0]] - scores[:n, questions[number][1]] for number in open_}
        if not open_ or not all(np.isfinite(d).all() for d in pairs.values()):
            break
        for number, d in pairs.items():
            found[number] = Answer(float(d.mean()), pairs=n)
            noises[number] = d.var(ddof=1) if n > 1 else math.nan
        if n >= FIRST:
            _look(found, noises, open_, n, margin, alpha, abandoned, borrowed)
        history.append(tuple(found))
    return history


def _look(
    found: list[Answer],
    noises: Numbers,
    open_: Sequence[int],
    n: int,
    margin: float,
    alpha: float,
    abandoned: int,
    borrowed: int,
) -> None:
    """Look at the open questions after n pairs, again as long as a decision leaves more of α to the others."""
    common = float(noises.mean())
    while left := [number for number in open_ if not found[number].verdict]:
        share = alpha / (len(left) + abandoned)
        for number in left:
            noise = math.sqrt((borrowed * common + (n - 1) * float(noises[number])) / (borrowed + n - 1))
            mean, half = found[number].difference, float(_widths(n, share, borrowed)) * noise
            verdict = _verdict(mean, half, margin)
            found[number] = Answer(mean, mean - half, mean + half, n, verdict, noise, share, borrowed)
        if not any(found[number].verdict for number in left):
            return


def _widths(n: int | NDArray[np.int64], share: float, borrowed: int) -> Numbers:
    """Half the width of the interval after n pairs, in units of s̃."""
    quantile = -special.stdtrit(borrowed + n - 1, share * 3 / ((n - 1) * n) / 2)
    return np.asarray(quantile / np.sqrt(n))


def _verdict(mean: float, half: float, margin: float) -> str:
    if mean + half < 0:
        return "better"
    if mean - half > 0:
        return "worse"
    return "equivalent" if abs(mean) + half < margin else ""


def needed(answer: Answer, margin: float) -> float:
    """How many pairs in all would decide the question, if mean and noise stayed; inf beyond MOST, nan if not known."""
    if answer.verdict:
        return answer.pairs
    if math.isnan(answer.noise):
        return math.nan
    n = np.arange(answer.pairs + 1, MOST + 1)
    half, away = _widths(n, answer.share, answer.borrowed) * answer.noise, abs(answer.difference)
    enough = np.flatnonzero((away - half > 0) | (away + half < margin))
    return float(n[enough[0]]) if len(enough) else math.inf
