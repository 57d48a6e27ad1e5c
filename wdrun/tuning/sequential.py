"""Verdicts that may be looked at after every run: paired differences on fresh seeds, at an error rate that holds.

Legend: d the paired differences of one question (a cell minus the one it is held against, lower scores better), n
pairs, s their standard deviation, s̄² the mean of s² over the open questions, m the margin, q how many questions are
open.

After n ≥ 3 pairs the interval of a question is

    d̄ ± t_{1−α_n/2, d₀+n−1}·s̃/√n,   s̃² = (d₀s̄² + (n−1)s²)/(d₀ + n − 1),   α_n = α/(q·(n−2)(n−1)),   d₀ = 4

A question is decided by the first of its intervals that lies on one side of 0 (better, worse) or inside ±m
(equivalent), and is not looked at again. Σ_n 1/((n−2)(n−1)) = 1, so α/q is spent on all looks of a question together,
however many there are (as Lan & DeMets 1983 spend it); and as the first false verdict must be one of questions that
were all open, α/q with the q of the moment is Holm's step-down (1979), look by look. s̃ is the moderated standard
deviation of Smyth (2004): three pairs hardly know their own noise, the other questions know some of it. That the level
holds where noise differs from cell to cell, or has heavy tails, is shown in tests/bench/tuned.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Numbers = NDArray[np.float64]

FIRST = 3  # pairs at the first look
BORROWED = 4  # d₀: so many degrees of freedom come from the other open questions
ALPHA = 0.05
MOST = 1000  # pairs that a forecast looks ahead


@dataclass(frozen=True)
class Answer:
    """What is known of a question: the difference with its interval after so many pairs, nan before the first look.

    `verdict` is better, worse or equivalent, "" while it is open; a decided question stays as it was when decided.
    `noise` is s̃, and `share` the part of α that its looks have.
    """

    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    pairs: int = 0
    verdict: str = ""
    noise: float = math.nan
    share: float = math.nan


def answers(
    scores: Numbers, questions: Sequence[tuple[int, int]], margin: float, alpha: float = ALPHA, abandoned: int = 0
) -> tuple[Answer, ...]:
    """The answer to each question (a, b): is cell a better than cell b?

    `scores` (seeds, cells) has the seeds in the order in which they are used and nan where a run is not there yet; a
    question sees the seeds before the first that one of its cells lacks. The looks are repeated from the first one, so
    the answers do not depend on when, or how often, this was called. So many questions as were `abandoned` on the way,
    for cells that took the place of others, keep their share of alpha.
    """
    found = [Answer() for _ in questions]
    pairs = [_pairs(scores, a, b) for a, b in questions]
    for n in range(1, max(map(len, pairs), default=0) + 1):
        for number, d in enumerate(pairs):
            if not found[number].verdict and len(d) >= n:
                found[number] = Answer(float(d[:n].mean()), pairs=n)
        if n >= FIRST:
            _look(found, pairs, n, margin, alpha, abandoned)
    return tuple(found)


def _pairs(scores: Numbers, a: int, b: int) -> Numbers:
    """The differences on the seeds before the first that one of the two cells lacks."""
    d = scores[:, a] - scores[:, b]
    lacking = np.flatnonzero(np.isnan(d))
    return d[: lacking[0]] if len(lacking) else d


def _look(found: list[Answer], pairs: Sequence[Numbers], n: int, margin: float, alpha: float, abandoned: int) -> None:
    """Look at the open questions after n pairs, again as long as a decision leaves more of α to the others."""
    while True:
        open_ = [number for number, answer in enumerate(found) if not answer.verdict]
        seen = {number: pairs[number][:n] for number in open_ if len(pairs[number]) >= n}
        common = float(np.mean([d.var(ddof=1) for d in seen.values()])) if seen else math.nan
        for number, d in seen.items():
            share = alpha / (len(open_) + abandoned)
            noise, half = _half(float(d.var(ddof=1)), common, n, share, alone=len(seen) == 1)
            mean = float(d.mean())
            verdict = _verdict(mean, half, margin)
            found[number] = Answer(mean, mean - half, mean + half, n, verdict, noise, share)
        if not any(found[number].verdict for number in seen):
            return


def _half(own: float, common: float, n: int, share: float, *, alone: bool = False) -> tuple[float, float]:
    """s̃ and half the width of the interval, from the variances s² and s̄²; `alone` there is nothing to borrow."""
    freedom = n - 1 if alone else BORROWED + n - 1
    noise = math.sqrt(own if alone else (BORROWED * common + (n - 1) * own) / freedom)
    return noise, _t(freedom, share / ((n - 2) * (n - 1))) * noise / math.sqrt(n)


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
    for n in range(max(answer.pairs, FIRST), MOST):
        half = _t(n - 1 + BORROWED, answer.share / ((n - 2) * (n - 1))) * answer.noise / math.sqrt(n)
        if _verdict(answer.difference, half, margin):
            return n
    return math.inf


@lru_cache(maxsize=4096)
def _t(freedom: int, alpha: float) -> float:
    return float(stats.t.isf(alpha / 2, freedom))
