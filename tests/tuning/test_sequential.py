"""Verdicts that may be looked at after every run: a short slow reference, the level's arithmetic, and odd inputs."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from wdrun.tuning import sequential
from wdrun.tuning.question import MOST_PAIRS
from wdrun.tuning.sequential import BORROWED, FIRST, Answer, looks, needed

QUESTIONS = [(0, 3), (3, 1), (2, 3), (0, 1), (0, 2), (1, 2)]
MARGIN = 1.0


def draw(seed, rounds=30, means=(0, 0, 1.2, 3), spread=(0.5, 0.5, 1.0, 2.0)):
    rng = np.random.default_rng(seed)
    return np.array(means) + rng.normal(size=(rounds, 1)) + np.array(spread) * rng.normal(size=(rounds, len(means)))


def reference(scores, questions, margin, alpha):
    """(verdict, pairs, low, high) a question, by the text of the module's docstring."""
    found, noise = {}, {}
    for r in range(4, len(scores) + 1):
        own = {}
        for q, (a, b) in enumerate(questions):
            lost = [row for row in range(r) if math.inf in (scores[row, a], scores[row, b])]
            began = max(lost, default=-1) + 1
            if q not in found and r - began >= 4:
                own[q] = scores[began:r, a] - scores[began:r, b]
                noise[q] = np.var(own[q], ddof=1)
        if not own:
            continue
        shared = np.mean(list(noise.values()))
        d0 = 2 if len(noise) > 1 else 0
        before = None
        while before != found and len(found) < len(questions):
            before = dict(found)
            share = alpha / (len(questions) - len(before))
            for q, d in own.items():
                if q not in before:
                    n, mean = len(d), np.mean(d)
                    s = np.sqrt((d0 * shared + (n - 1) * noise[q]) / (d0 + n - 1))
                    half = stats.t.ppf(1 - share * 3 / ((r - 1) * r) / 2, d0 + n - 1) * s / np.sqrt(n)
                    if mean + half < 0 or mean - half > 0 or max(mean + half, half - mean) < margin:
                        verdict = "better" if mean + half < 0 else "worse" if mean - half > 0 else "equivalent"
                        found[q] = (verdict, n, mean - half, mean + half)
    return found


def told(answer):
    return answer.verdict, answer.pairs, answer.low, answer.high


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("lost", [{}, {1: 2, 3: 6}, {0: 0, 2: 9}], ids=str)
@pytest.mark.parametrize("questions", [QUESTIONS, QUESTIONS[:2], QUESTIONS[2:3]])
def test_looks_equal_a_slow_reference(seed, questions, lost):
    scores = draw(seed)
    for side, row in lost.items():
        scores[row, side] = math.inf
    expected = reference(scores, questions, MARGIN, 0.05)
    last = looks(scores, questions, MARGIN, 0.05)[-1]
    assert {q for q, answer in enumerate(last) if answer.verdict} == set(expected)
    for q, (verdict, pairs, low, high) in expected.items():
        assert (last[q].verdict, last[q].pairs) == (verdict, pairs)
        assert (last[q].low, last[q].high) == pytest.approx((low, high), rel=1e-9)


def test_the_reference_sees_all_three_verdicts():
    verdicts = {told[0] for seed in range(20) for told in reference(draw(seed), QUESTIONS, MARGIN, 0.05).values()}
    assert verdicts == {"better", "worse", "equivalent"}


def test_the_first_look_is_in_closed_form():
    d = np.array([1.0, 2.0, 3.0, 4.0])
    (answer,) = looks(np.c_[d, np.zeros(4)], [(0, 1)], MARGIN, 0.05)[-1]
    half = stats.t.isf(0.05 / 4 / 2, 3) * np.sqrt(5 / 3) / 2  # of alpha the first look has 3/(3·4)
    assert (answer.difference, answer.pairs, answer.borrowed) == (2.5, FIRST, 0)
    assert (answer.low, answer.high) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-12)
    assert answer.noise == pytest.approx(np.sqrt(5 / 3), rel=1e-12)


def test_all_looks_together_spend_no_more_than_alpha():
    for questions in (1, 2, 10):
        share, n = 0.05 / questions, np.arange(FIRST, 4000)
        borrowed = BORROWED if questions > 1 else 0
        widths = sequential._widths(n, share, borrowed)
        spent = 2 * stats.t.sf(widths * np.sqrt(n), borrowed + n - 1)
        assert spent.sum() == pytest.approx(share * (1 - 3 / 3999), rel=1e-6)


def test_a_decision_leaves_its_alpha_to_those_still_open():
    scores = draw(1)
    for answers in looks(scores, QUESTIONS, MARGIN)[FIRST - 1 :]:
        open_ = [answer for answer in answers if not answer.verdict]
        assert all(answer.share == pytest.approx(0.05 / len(open_)) for answer in open_)


@pytest.mark.parametrize("borrowed", [0, BORROWED])
def test_a_side_that_another_cell_takes_over_spends_no_more_either(borrowed):
    """Ten rounds of one cell, then all there may ever be of another: the looks of both spend one share."""
    share, first, second = 0.05, np.arange(FIRST, 11), np.arange(FIRST, 4000)
    one = 2 * stats.t.sf(sequential._widths(first, share, borrowed) * np.sqrt(first), borrowed + first - 1)
    widths = sequential._widths(second, share, borrowed, began=10)
    other = 2 * stats.t.sf(widths * np.sqrt(second), borrowed + second - 1)
    assert one.sum() + other.sum() == pytest.approx(share * (1 - (3 / 10 - 3 / 13) - 3 / 4009), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("row", [0, 3, 6])
def test_a_cell_that_is_lost_takes_back_nothing_that_was_told(seed, row):
    whole, scores = looks(draw(seed), QUESTIONS, MARGIN), draw(seed)
    scores[row, 3] = math.inf
    found = looks(scores, QUESTIONS, MARGIN)
    assert repr(found[:row]) == repr(whole[:row])
    before = found[row - 1] if row else [Answer()] * len(QUESTIONS)
    for question, then, last in zip(QUESTIONS, before, found[-1], strict=True):
        if then.verdict:
            assert last == then
        else:
            assert last.began == (row + 1 if 3 in question else 0)


@pytest.mark.parametrize("seed", range(5))
def test_later_runs_change_no_earlier_look(seed):
    """Whatever was trained before others: more seeds, seeds of some cells only, a hole, or one column at a time."""
    scores = draw(seed, rounds=12)
    whole = looks(scores, QUESTIONS, MARGIN)
    for rounds in range(12):
        assert looks(scores[:rounds], QUESTIONS, MARGIN) == whole[:rounds]
    for cell, start in itertools.product(range(4), range(12)):
        part = scores.copy()
        part[start:, cell] = math.nan
        found = looks(part, QUESTIONS, MARGIN)
        assert found == whole[: len(found)]
        assert len(found) >= min(start, len(whole))


def test_a_look_waits_for_the_open_questions_only():
    scores = np.zeros((12, 3)) + np.array([0.0, 9.0, 0.6]) + 0.3 * np.random.default_rng(0).normal(size=(12, 3))
    scores[FIRST:, 1] = math.nan  # the cell of the decided questions stops
    history = looks(scores, [(0, 1), (2, 1), (0, 2)], MARGIN)
    assert [answer.pairs for answer in history[-1]][:2] == [FIRST, FIRST]
    assert history[-1][2].pairs > FIRST


def test_the_order_of_questions_and_the_sign_of_a_pair_do_not_matter():
    scores = draw(3)
    forward, order = looks(scores, QUESTIONS, MARGIN)[-1], [3, 1, 5, 0, 2, 4]
    shuffled = looks(scores, [QUESTIONS[k] for k in order], MARGIN)[-1]
    for k, place in enumerate(order):
        assert shuffled[k].verdict == forward[place].verdict
        assert (shuffled[k].low, shuffled[k].high) == pytest.approx((forward[place].low, forward[place].high))
    turned = looks(scores, [(b, a) for a, b in QUESTIONS], MARGIN)[-1]
    other = {"better": "worse", "worse": "better", "equivalent": "equivalent", "": ""}
    for one, two in zip(forward, turned, strict=True):
        assert (two.verdict, two.low, two.high) == (
            other[one.verdict],
            pytest.approx(-one.high),
            pytest.approx(-one.low),
        )


def test_what_every_cell_shares_has_no_say():
    scores = draw(4)
    moved = scores + 100 * np.random.default_rng(9).integers(-5, 5, size=(len(scores), 1))
    for one, two in zip(looks(scores, QUESTIONS, MARGIN)[-1], looks(moved, QUESTIONS, MARGIN)[-1], strict=True):
        assert (one.verdict, one.pairs) == (two.verdict, two.pairs)


@pytest.mark.parametrize(("value", "verdict"), [(0.0, "equivalent"), (0.5, "worse"), (-0.5, "better")])
def test_equal_differences_have_no_width(value, verdict):
    scores = np.c_[np.arange(6) + value, np.arange(6)].astype(float)
    (answer,) = looks(scores, [(0, 1)], MARGIN)[-1]
    assert told(answer) == (verdict, FIRST, value, value)


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
def test_before_the_first_look_there_is_no_interval(rounds):
    history = looks(draw(0)[:rounds], QUESTIONS, MARGIN)
    assert len(history) == rounds
    for answer in history[-1] if history else ():
        assert math.isnan(answer.low)
        assert (answer.pairs, answer.verdict) == (rounds, "")
        assert math.isnan(needed(answer, MARGIN))


def test_a_run_that_is_not_there_yet_ends_the_looks():
    scores = draw(1, means=(0, 0.9), spread=(9, 9))
    scores[7, 1] = math.nan
    assert len(looks(scores, [(0, 1)], MARGIN)) == 7


def test_what_is_lost_for_good_is_not_waited_for():
    scores = draw(1, means=(0, 0.9, 0.1), spread=(9, 9, 9))
    scores[5:, 2], scores[9:, :2] = math.inf, math.nan
    history = looks(scores, [(0, 1), (0, 2)], MARGIN)
    assert len(history) == 9
    assert [answer.pairs for answer in history[-1]] == [9, 5]
    assert history[-1][0].share == 0.05  # that of a question alone
    scores[:, 2] = math.inf
    alone = looks(scores, [(0, 1)], MARGIN)
    assert [answers[0] for answers in looks(scores, [(0, 1), (0, 2)], MARGIN)[3:]] == [a[0] for a in alone[3:]]


def test_nothing_asked_has_no_looks():
    assert looks(draw(0), [], MARGIN) == []


@pytest.mark.parametrize("seed", range(10))
def test_a_forecast_is_the_look_at_which_its_own_numbers_decide(seed):
    answer = looks(draw(seed, rounds=5, means=(0, 1.6), spread=(2, 2)), [(0, 1)], MARGIN)[-1][0]
    if answer.verdict:
        assert needed(answer, MARGIN) == answer.pairs
        return
    n = needed(answer, MARGIN)
    for pairs, decided in ((n - 1, False), (n, True)) if math.isfinite(n) else ((MOST_PAIRS, False),):
        half = stats.t.isf(answer.share * 3 / ((pairs - 1) * pairs) / 2, pairs - 1) * answer.noise / np.sqrt(pairs)
        assert (abs(answer.difference) > half or abs(answer.difference) + half < MARGIN) == decided


def test_what_stays_at_the_margin_is_never_decided():
    assert needed(Answer(0.01, -9, 9, 4, "", noise=30.0, share=0.05), MARGIN) == math.inf
    assert needed(Answer(0.0, -9, 9, 4, "better", noise=30.0, share=0.05), MARGIN) == 4


def test_no_more_pairs_are_forecast_than_are_ever_looked_at():
    answer = Answer(2.0, -9, 9, 4, "", noise=1.0, share=0.05)
    n = int(needed(answer, MARGIN))
    assert 4 < n <= MOST_PAIRS
    assert needed(replace(answer, noise=30.0), MARGIN) == math.inf
    assert needed(replace(answer, began=MOST_PAIRS - n), MARGIN) == math.inf
