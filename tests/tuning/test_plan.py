"""plan(runs, question, budget): which runs are asked for, in which order, and what is said of them in the end."""

import math
from collections import Counter

import numpy as np
import pytest

from tests.tuning.simulated import Lab, bowl, facet
from wdrun.tuning.plan import plan
from wdrun.tuning.question import FRESH, Budget, Cell, Pair, Seen
from wdrun.tuning.sequential import FIRST
from wdrun.tuning.state import GIVEN_UP, levelled


@pytest.fixture(scope="module")
def decays():
    """l2 gains 0.08 on λ = 0, l1 nothing; both share the runs with λ = 0."""
    return Lab([facet("decay=l2"), facet("decay=l1")], [bowl(1.5, gain=0.08), bowl(1.58, gain=0.0)])


@pytest.fixture(scope="module")
def settled(decays):
    return decays.settle()


def told(plan_):
    return [verdict.answer.verdict for verdict in plan_.verdicts]


def fresh(runs):
    return [run for run in runs if run.seed >= FRESH]


def test_what_differs_is_told_and_what_does_not(decays, settled):
    end = settled[1]
    assert end.ended == "decided"
    assert [v.pair for v in end.verdicts] == [Pair(0, None), Pair(1, None), Pair(0, 1)]
    assert told(end) == ["better", "equivalent", "better"]
    best = end.verdicts[0].one
    assert decays.worth[0](best.setting) < 1.5 + decays.question.margin


def test_a_verdict_is_the_mean_of_paired_fresh_runs_alone(decays, settled):
    runs, end = settled
    for verdict in end.verdicts:
        one, other = ({r.seed: r.score for r in fresh(runs) if r.cell == c} for c in (verdict.one, verdict.other))
        d = [one[FRESH + k] - other[FRESH + k] for k in range(verdict.answer.pairs)]
        assert verdict.answer.difference == pytest.approx(np.mean(d), abs=1e-12)
        assert len(d) >= FIRST
        assert [answer.pairs for answer in verdict.history] == list(range(1, len(d) + 1))
        assert verdict.history[-1] == verdict.answer


def test_other_scores_of_search_runs_change_no_difference(decays, settled):
    """The luck of the runs that chose is not in the answer."""
    runs, end = settled
    lucky = [run._replace(score=run.score - 0.2) if run.seed < FRESH else run for run in runs]
    again = plan(lucky, decays.question, Budget())
    assert [v.answer for v in again.verdicts] == [v.answer for v in end.verdicts]


def test_no_run_is_asked_for_twice_and_search_comes_first(decays, settled):
    runs, _ = settled
    assert max(Counter((run.cell, run.seed) for run in runs).values()) == 1
    kinds = [run.seed >= FRESH for run in runs]
    assert kinds == sorted(kinds)


def test_runs_without_decay_are_shared(decays, settled):
    runs, _ = settled
    assert {run.cell.facet for run in runs if run.cell.setting[0] == 0} == {0}


@pytest.mark.parametrize("count", [1, 3])
def test_wherever_it_is_cut_the_same_runs_follow(decays, count):
    runs, _ = decays.settle(count=count)
    asked = 0
    while asked < len(runs):
        found = plan(runs[:asked], decays.question, Budget(), count)
        assert [(n.cell, n.seed) for n in found.next] == [(r.cell, r.seed) for r in runs[asked:][: len(found.next)]]
        asked += len(found.next)


def test_the_order_of_the_rows_does_not_matter(decays, settled):
    runs = settled[0]
    for part in (runs[:5], runs[:20], runs):
        shuffled = [part[i] for i in np.random.default_rng(0).permutation(len(part))]
        one, other = (plan(rows, decays.question, Budget()) for rows in (part, shuffled))
        assert one.next == other.next
        assert told(one) == told(other)


def test_what_has_begun_is_finished_first(decays, settled):
    runs, _ = settled
    cut = [*runs[:7], runs[7]._replace(score=math.nan)]
    (first,) = plan(cut, decays.question, Budget()).next
    assert (first.cell, first.seed, first.phase) == (runs[7].cell, runs[7].seed, "finish")
    training = {(runs[7].cell, runs[7].seed)}
    (other,) = plan(cut, decays.question, Budget(), training=training).next
    assert (other.cell, other.seed) != (runs[7].cell, runs[7].seed)
    assert plan(runs[:7], decays.question, Budget(), training=training).next == (other,)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_several_at_once_come_to_the_same_verdicts(decays, settled, count):
    runs, end = decays.settle(count=count)
    assert told(end) == told(settled[1])
    assert max(Counter((run.cell, run.seed) for run in runs).values()) == 1
    assert len(runs) < 2 * len(settled[0])


@pytest.mark.parametrize("most", [1, 2, 12, 24, 30])
def test_a_budget_of_runs_is_kept_and_leaves_some_for_verdicts(decays, most):
    runs, end = decays.settle(budget=Budget(runs=most))
    assert len(runs) <= most
    assert end.ended in ("runs", "decided")
    if most >= 24:
        assert len(fresh(runs)) >= FIRST * 3
    if most < 9:  # twelve would be four pairs of three cells
        assert set(told(end)) == {""}


def test_a_budget_of_time_starts_what_fits(decays):
    question = decays.question
    assert len(plan([], question, Budget(seconds=10, a_run=3.0), 9).next) <= 3
    assert plan([], question, Budget(seconds=2.9, a_run=3.0)).ended == "time"
    runs, _ = decays.settle(budget=Budget(runs=4))
    slow = [run._replace(seconds=7.0) for run in runs]
    assert plan(slow, question, Budget(seconds=6.9, a_run=3.0)).next == ()
    assert len(plan(slow, question, Budget(seconds=7.0, a_run=3.0, side_by_side=2), 9).next) <= 2


def test_runs_that_were_there_count(decays):
    """A sweep of two seeds over a grid, seed 1 two hundredths worse throughout."""
    grid = [Cell(0, (lam, lr)) for lam in (0.0, 1e-4, 1e-3, 1e-2) for lr in (0.003, 0.01, 0.03)]
    swept = [Seen(c, s, decays.score(c, s) + 0.02 * s, 1.0) for c in grid for s in (0, 1)]
    runs, end = decays.settle(swept)
    assert told(end) == ["better", "equivalent", "better"]
    alone, _ = decays.settle()
    own = [run for run in runs[len(swept) :] if run.cell.facet == 0 and run.seed < FRESH]
    assert len(own) <= len([run for run in alone if run.cell.facet == 0 and run.seed < FRESH]) / 2


def test_a_facet_without_lambda_stands_for_the_zero_of_the_others():
    lab = Lab([facet("decay=none", decays=False), facet("decay=l2")], [bowl(1.5, gain=0.08), bowl(1.5, gain=0.08)])
    runs, end = lab.settle()
    assert [v.pair for v in end.verdicts] == [Pair(1, None)]
    assert told(end) == ["better"]
    assert {run.cell.facet for run in runs if len(run.cell.setting) == 1} == {0}


def test_what_always_diverges_is_dropped_and_the_rest_goes_on(decays):
    lab = Lab(decays.question.facets, decays.worth)
    lab.diverges = lambda cell, seed: cell.facet == 1
    runs, end = lab.settle()
    assert end.ended == "decided"
    assert [bool(v.dropped) for v in end.verdicts] == [False, True, True]
    assert "decay=l1: no setting can be trained" in end.verdicts[1].dropped
    assert told(end)[0] == "better"
    assert sum(run.cell.facet == 1 for run in runs) <= GIVEN_UP


def test_a_cell_that_diverges_on_a_fresh_seed_gives_way(decays, settled):
    first = settled[1].verdicts[0].one
    lab = Lab(decays.question.facets, decays.worth)
    lab.diverges = lambda cell, seed: cell == first and seed == FRESH + 1
    runs, end = lab.settle()
    assert end.verdicts[0].one not in (first, None)
    assert told(end)[0] == "better"
    assert not [run for run in runs if run.cell == first and run.seed > FRESH + 1]


def test_a_corner_that_diverges_is_not_chosen():
    lab = Lab([facet("decay=l2")], [bowl(1.5, lr=0.02)])
    lab.diverges = lambda cell, seed: cell.setting[1] > 0.03
    _, end = lab.settle()
    assert end.verdicts[0].one.setting[1] <= 0.03
    assert told(end) == ["better"]


def test_what_the_noise_hides_ends_undecided():
    flat = lambda setting: 1.5 if setting[0] else 1.51  # noqa: E731
    lab = Lab([facet("decay=l2")], [flat], noise=0.1, seed=1)
    _, end = lab.settle(budget=Budget(runs=60))
    assert told(end) == [""]
    assert end.verdicts[0].more > 20


def test_the_forecast_falls_to_nothing(decays, settled):
    runs, end = settled
    before = plan([], decays.question, Budget()).forecast
    assert len(runs) / 2 < before < 2 * len(runs)
    assert end.forecast == 0


def test_scores_of_other_seeds_compare():
    """Settings' means with what a seed does to all of them taken out: numpy's least squares says the same."""
    rng = np.random.default_rng(0)
    known = [
        ((float(k),), {s: k + 10 * s + rng.normal() for s in range(4) if rng.random() < 0.6 or s == k % 4})
        for k in range(9)
    ]
    runs = [(k, s, y) for k, (_, own) in enumerate(known) for s, y in own.items()]
    design = np.zeros((len(runs), 13))
    for line, (k, s, _) in enumerate(runs):
        design[line, k] = design[line, 9 + s] = 1
    exact = np.linalg.lstsq(design, [y for *_, y in runs], rcond=None)[0]
    found = np.array([t.score for t in levelled(known)])
    assert found - found.mean() == pytest.approx(exact[:9] - exact[:9].mean(), abs=0.01)
    assert levelled([((1.0,), {0: 2.0, 1: math.inf})])[0].score == math.inf
    assert math.isnan(levelled([((1.0,), {0: math.nan})])[0].score)
