"""plan(runs, question, budget): which runs are asked for, in which order, and what is said of them in the end."""

import math
from collections import Counter

import numpy as np
import pytest

from tests.tuning.simulated import LAMBDA, LR, Lab, bowl, facet
from wdrun.errors import ConfigError
from wdrun.tuning.plan import plan
from wdrun.tuning.question import FRESH, MOST_PAIRS, Budget, Cell, Facet, Pair, Seen, is_fresh
from wdrun.tuning.sentences import ended, lacking
from wdrun.tuning.sequential import FIRST
from wdrun.tuning.space import Axis, Space
from wdrun.tuning.state import GIVEN_UP
from wdrun.wording import counted


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
    return [run for run in runs if is_fresh(run.seed)]


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
        assert repr(one) == repr(other)


def test_the_order_of_the_rows_does_not_matter_where_scores_are_the_same():
    lab = Lab([facet("decay=l2")], [lambda setting: 1.5], noise=0.0)
    lab.score = lambda cell, seed: 1.5
    runs, _ = lab.settle()
    assert len(fresh(runs)) == 2 * FIRST
    for part in (runs[:-FIRST], runs):
        assert repr(plan(part[::-1], lab.question, Budget())) == repr(plan(part, lab.question, Budget()))


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


MOMENTUM = Axis("optimizer.momentum", 0.9, 0.5, 0.98, log=False)
BATCH = Axis("batch_size", 64, 16, 256, whole=True)


def tuned_lab(names, tuned):
    """A lab of facets in which so many keys are tuned, λ the first of them; each has the same valley."""
    axes = (LAMBDA, LR, MOMENTUM, BATCH)[:tuned]

    def worth(setting):
        away = min(abs(math.log10(setting[0] / 3e-3)), 2.0) if setting[0] else 2.0
        rates = [0.2 * math.log10(rate / 0.02) ** 2 for rate in setting[1:2]]
        return 1.5 + 0.02 * away**2 + sum(rates) + sum(0.1 * (momentum - 0.8) ** 2 for momentum in setting[2:3])

    facets, worths = [], []
    for name in names:
        own = facet(name.split()[-1], words=tuple(name.split()[:-1]))
        decays = "decay=none" not in name
        space = Space(axes if decays else axes[1:], decays, zero=-4.5, middle=lambda s: 1e-5 / (*s, 0.01)[1])
        facets.append(Facet(name, own.words if decays else own.without, own.without, space))
        worths.append(worth if decays else lambda setting: worth((0.0, *setting)))
    return Lab(facets, worths)


FOUR = tuple(f"optimizer={o} decay={d}" for o in ("sgd", "adam") for d in ("l2", "l1"))
NAMES = [("decay=l2",), ("decay=l2", "decay=l1"), ("decay=none", "decay=l2"), FOUR]


@pytest.mark.parametrize("names", NAMES, ids=len)
@pytest.mark.parametrize("tuned", [1, 2, 3, 4])
@pytest.mark.parametrize("budgets", [range(1, 10), range(10, 17), range(17, 41, 4)], ids=str)
def test_a_small_budget_is_kept_tries_decay_and_says_what_it_can_tell(names, tuned, budgets):
    lab = tuned_lab(names, tuned)
    question, least = lab.question, 5 * len(lab.question.sides)
    decaying = [side for side in question.sides if side[1]]
    for most in budgets:
        said = lacking(plan([], question, Budget(runs=most)))
        by = counted(least - most, "run")
        assert said == (f", too little for a verdict by {by} at the least: the search comes first" * (most < least))
        runs, end = lab.settle(budget=Budget(runs=most))
        assert len(runs) <= most
        assert end.ended in ("runs", "decided")
        sides = [question.side_of(run.cell) for run in runs]
        firsts = [sides.index(side) if side in sides else math.inf for side in decaying]
        assert most == 1 or min(firsts) <= most / 2  # runs before the first with decay
        if most < least:
            assert not any(told(end))
            assert len(fresh(runs)) < FIRST * len(question.sides)
        else:
            assert max(firsts) < most - FIRST * len(question.sides)
            assert all(verdict.answer.pairs >= FIRST for verdict in end.verdicts)
            assert not end.lacking


LOST = {
    "l1 always": lambda cell, seed: cell.facet == 1,
    "l1 at the larger lr": lambda cell, seed: cell.facet == 1 and cell.setting[1] > 0.005,
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
@pytest.mark.parametrize("count", [1, 4, 32])
@pytest.mark.parametrize("most", [15, 16, 18, 20, 25, 40])
def test_a_facet_that_diverges_takes_no_verdict_from_the_others(decays, lost, count, most):
    lab = Lab(decays.question.facets, decays.worth)
    lab.diverges = lost
    runs, end = lab.settle(budget=Budget(runs=most), count=count)
    assert len(runs) <= most
    assert told(end)[0] == "better"
    assert end.verdicts[0].answer.pairs >= FIRST


def test_a_lambda_zero_that_diverges_takes_no_verdict_from_another_optimizers():
    """None with decay is tried where λ = 0 is given up, and that it is not tried lacks no runs."""
    names = [f"optimizer={o}" for o in ("sgd", "adam")]
    lab = Lab([facet("decay=l2", words=(name,)) for name in names], [bowl(1.5, gain=0.08)] * 2)
    lab.diverges = lambda cell, seed: cell.facet == 1 and cell.setting[0] == 0
    for most in (20, 30, 40):
        _, end = lab.settle(budget=Budget(runs=most))
        assert told(end)[0] == "better"


@pytest.mark.parametrize(("side_by_side", "fits"), [(1, 18), (1, 24), (2, 24), (3, 30), (4, 24), (4, 30), (8, 60)])
def test_within_a_time_the_verdicts_get_their_runs(decays, side_by_side, fits):
    """Of runs that differ in length, and side by side; 18 are three more than the least that can tell."""
    for seed in range(4):
        lab = Lab(decays.question.facets, decays.worth, seed=seed)
        runs, end = lab.timed(fits, side_by_side)
        assert [verdict.answer.pairs >= FIRST for verdict in end.verdicts] == [True] * 3
        assert any(told(end))
        assert len(runs) <= fits


@pytest.mark.parametrize("count", [1, 32])
def test_what_was_interrupted_is_counted_once(decays, count):
    """The budget of 20 has 8 runs to search with, whether they have ended or not."""
    runs = []
    while len(runs) < 8:
        found = plan(runs, decays.question, Budget(runs=20), min(count, 8 - len(runs)))
        runs += [decays.run(new.cell, new.seed) for new in found.next]
    cut = [run._replace(score=math.nan) for run in runs]
    again = plan(cut, decays.question, Budget(runs=20), 32)
    assert [(new.cell, new.seed) for new in again.next] == sorted((run.cell, run.seed) for run in runs)
    assert {new.phase for new in again.next} == {"finish"}


def test_a_kill_gives_no_budget_back(decays):
    (first,) = plan([], decays.question, Budget(runs=14)).next
    begun = [Seen(first.cell, first.seed, math.nan)]
    for budget in (Budget(runs=14), Budget(seconds=14.5, a_run=1.0)):
        assert plan([], decays.question, budget).lacking == 1
        assert plan(begun, decays.question, budget).lacking == 1


def test_a_round_that_fits_only_without_what_was_interrupted_is_not_begun(decays, settled):
    """A fresh run of one side is to be finished, and the round after it has room for two of three sides."""
    runs = settled[0]
    fresh_runs = fresh(runs)
    there = [*(run for run in runs if run not in fresh_runs), *fresh_runs[:3]]
    cut = [run._replace(score=math.nan) if run == fresh_runs[2] else run for run in there]
    asked = plan(cut, decays.question, Budget(runs=len(there) + 2), 9).next
    assert [new.phase for new in asked] == ["finish"]


def test_a_search_that_was_there_is_no_budget_lost(decays, settled):
    """The runs of the folder count in the budget, and what they searched need not be searched again."""
    there = [run for run in settled[0] if run.seed < FRESH]
    assert plan(there, decays.question, Budget(runs=len(there) + 11)).lacking == 1
    runs, end = decays.settle(there, Budget(runs=len(there) + 12))
    assert not end.lacking
    assert all(verdict.answer.pairs == FIRST for verdict in end.verdicts)
    assert len(runs) == len(there) + 12


@pytest.mark.parametrize("most", [1, 2, 12, 24, 30])
def test_a_budget_of_runs_is_kept_and_leaves_some_for_verdicts(decays, most):
    runs, end = decays.settle(budget=Budget(runs=most))
    assert len(runs) <= most
    assert end.ended in ("runs", "decided")
    if most >= 24:
        assert len(fresh(runs)) >= FIRST * 3
    if most < 15:  # four pairs of three cells, each of which was chosen
        assert set(told(end)) == {""}


def test_a_budget_of_time_starts_what_fits(decays):
    question = decays.question
    assert len(plan([], question, Budget(seconds=10, a_run=3.0), 9).next) <= 3
    assert plan([], question, Budget(seconds=2.9, a_run=3.0)).ended == "time"
    runs, _ = decays.settle(budget=Budget(runs=4))
    assert plan(runs, question, Budget(seconds=6.9, a_run=7.0)).next == ()
    assert len(plan(runs, question, Budget(seconds=7.0, a_run=7.0, side_by_side=2), 9).next) <= 2


def test_of_a_time_that_goes_first_which_trains_now(decays):
    """Two side by side: of 10 s three runs fit into each half, two where 2.9 s go by before."""
    training = {(plan([], decays.question, Budget()).next[0].cell, 0)}
    for waits, fits in (((), 6), ((0.9,), 6), ((2.9,), 5), ((2.9, 2.9), 4), ((2.9, 8.0), 2)):
        budget = Budget(seconds=10.0, a_run=3.0, side_by_side=2, waits=waits)
        assert len(plan([], decays.question, budget, 9, training).next) == fits


def test_a_begun_run_that_no_longer_fits_is_for_want_of_time(decays, settled):
    cut = [*settled[0][:7], settled[0][7]._replace(score=math.nan)]
    assert plan(cut, decays.question, Budget(seconds=2.0, a_run=3.0)).ended == "time"
    training = {cut[7][:2]}
    assert plan(cut, decays.question, Budget(seconds=2.0, a_run=3.0), training=training).ended == ""


def test_runs_that_were_there_count(decays):
    """A sweep of two seeds over a grid, seed 1 two hundredths worse throughout."""
    grid = [Cell(0, (lam, lr)) for lam in (0.0, 1e-4, 1e-3, 1e-2) for lr in (0.003, 0.01, 0.03)]
    swept = [Seen(c, s, decays.score(c, s) + 0.02 * s, 1.0) for c in grid for s in (0, 1)]
    runs, end = decays.settle(swept)
    assert told(end) == ["better", "equivalent", "better"]
    alone, _ = decays.settle()
    own = [run for run in runs[len(swept) :] if run.cell.facet == 0 and run.seed < FRESH]
    assert len(own) <= len([run for run in alone if run.cell.facet == 0 and run.seed < FRESH]) / 2


GRID = [Cell(0, (lam, lr)) for lam in (0.0, 1e-4, 1e-3, 1e-2) for lr in (0.003, 0.01, 0.03)]


@pytest.mark.parametrize("seeds", [(1234, 2024), (FRESH + MOST_PAIRS,), (FRESH - 1,)])
def test_a_sweeps_seeds_choose_however_large_they_are(decays, seeds):
    runs, end = decays.settle([decays.run(cell, seed) for cell in GRID for seed in seeds])
    assert told(end) == ["better", "equivalent", "better"]
    assert min(run.seed for run in fresh(runs)) == FRESH


@pytest.mark.parametrize(("grid", "seeds"), [(GRID, (FRESH,)), (GRID[:1], (FRESH, 1001)), (GRID, (0, FRESH))])
def test_runs_that_may_have_chosen_tell_no_verdict(decays, grid, seeds):
    swept = [decays.run(cell, seed) for cell in grid for seed in seeds]
    with pytest.raises(ConfigError, match=r"decay=l2: there are runs with seed=1000 at lambda=.*give another name="):
        plan(swept, decays.question, Budget())


def test_of_two_cells_that_began_together_the_one_with_more_runs_goes_on(decays, settled):
    runs, end = settled
    best = end.verdicts[0].one
    other = next(run.cell for run in runs if run.cell.facet == 0 and run.cell.setting[0] > 0 and run.cell != best)
    cut = [run for run in runs if run.seed <= FRESH + 1]
    again, last = decays.settle([*cut, decays.run(other, FRESH)])
    assert told(last) == told(end)
    assert [run.seed for run in again if run.cell == other] == [0, FRESH]


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
    assert "decay=l1: no setting can be trained (6 of 6 settings diverged or failed)" in end.verdicts[1].dropped
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


def test_a_lambda_zero_that_always_diverges_is_given_up(decays):
    lab = Lab(decays.question.facets, decays.worth)
    lab.diverges = lambda cell, seed: cell.setting[0] == 0
    runs, end = lab.settle()
    assert len(runs) == GIVEN_UP
    assert (end.ended, told(end)) == ("decided", ["", "", ""])
    for verdict in end.verdicts:
        assert "decay=l2 with λ = 0: no setting can be trained (6 of 6" in verdict.dropped.replace("l1", "l2")


def test_what_diverged_once_is_not_dropped_for_want_of_a_budget(decays):
    lab = Lab(decays.question.facets, decays.worth)
    lab.diverges = lambda cell, seed: True
    _, end = lab.settle(budget=Budget(runs=1))
    assert end.ended == "runs"
    assert [v.dropped for v in end.verdicts] == [""] * 3


@pytest.mark.parametrize("seed", [0, FRESH, FRESH + 2])
def test_the_only_setting_is_dropped_once_it_diverges(seed):
    facets = [Facet(f"decay={d}", (f"decay={d}",), (f"decay={d}",), Space((), False)) for d in ("l2", "l1", "none")]
    lab = Lab(facets, [lambda setting, at=at: 1.5 + at for at in (0.0, 0.1, 0.3)])
    lab.diverges = lambda cell, at: cell.facet == 1 and at == seed
    _, end = lab.settle()
    assert end.ended == "decided"
    assert [v.answer.verdict or v.dropped for v in end.verdicts] == [
        *["decay=l1: no setting can be trained (1 of 1 setting diverged or failed)"],
        *["better", "decay=l1: no setting can be trained (1 of 1 setting diverged or failed)"],
    ]


@pytest.fixture(scope="module")
def noisy(decays):
    """The same question, of which l1 against λ = 0 needs more pairs than the rest: the lab, and its last plan."""
    lab = Lab(decays.question.facets, decays.worth, noise=0.01, seed=1)
    return lab, lab.settle()[1]


@pytest.fixture(scope="module")
def replaced(noisy):
    """λ = 0 diverges after l2 was decided against it, before l1 is: the lab, its runs, and the last plan."""
    lab = Lab(noisy[0].question.facets, noisy[0].worth, noise=0.01, seed=1)
    first, second, _ = noisy[1].verdicts
    assert first.answer.pairs < second.answer.pairs - 1
    lab.diverges = lambda cell, seed: cell == second.other and seed == FRESH + first.answer.pairs
    return lab, *lab.settle()


def test_what_was_told_before_a_divergence_stays(noisy, replaced):
    lab, runs, end = replaced
    first, second, _ = end.verdicts
    before = noisy[1].verdicts
    assert repr(first) == repr(before[0])  # of the cells that it was told on
    assert second.other not in (before[1].other, None)
    assert second.answer.began == first.answer.pairs + 1
    assert all(told(end))
    assert min(run.seed for run in fresh(runs) if run.cell == second.other) == FRESH + second.answer.began
    known = {}
    for cut in range(len(runs) + 1):
        found = plan(runs[:cut], lab.question, Budget()).verdicts
        now = {v.pair: repr(v) for v in found if v.answer.verdict}
        assert known.items() <= now.items()
        known = now


def test_a_fresh_run_that_failed_is_not_there_later_and_changes_nothing(replaced):
    """A run that failed is left out of what the next command sees: it goes on as this one would have."""
    lab, runs, end = replaced
    kept = [run for run in runs if run.score < math.inf]
    assert len(kept) == len(runs) - 1
    begun = next(k for k, run in enumerate(runs) if run.cell == end.verdicts[1].other and run.seed >= FRESH) + 1
    for cut in range(begun, len(runs) + 1):
        now, later = ([run for run in runs[:cut] if run in which] for which in (runs, kept))
        one, other = plan(now, lab.question, Budget()), plan(later, lab.question, Budget())
        assert (repr(one.verdicts), one.next) == (repr(other.verdicts), other.next)


def test_several_at_once_tell_the_same_of_a_cell_that_is_lost(replaced):
    lab, _, end = replaced
    for count in (2, 5, 40):
        runs, last = lab.settle(count=count)
        assert told(last) == told(end)
        assert max(Counter((run.cell, run.seed) for run in runs).values()) == 1


def test_a_question_that_no_pairs_decide_ends_with_the_last_of_them():
    lab = Lab([facet("decay=l2", lr=Axis("lr", 0.01, 0.01, 0.01))], [lambda s: 1.5 if s[0] else 1.51], noise=0.1)
    _, end = lab.settle()
    assert (end.ended, told(end), end.verdicts[0].answer.pairs) == ("pairs", [""], MOST_PAIRS)
    assert end.verdicts[0].more == math.inf
    line = ended(lab.question, end)[-1]
    assert line == "1 of 1 question is undecided: more than 60 pairs are never looked at"


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


def test_a_search_that_the_budget_ended_is_still_to_be_paid_for(decays):
    """Three sides need four pairs at the least, whatever one fresh run of some of them says."""
    _, end = decays.settle(budget=Budget(runs=9))
    assert end.ended == "runs"
    assert end.forecast >= FIRST * 3
    alone, _ = decays.settle()
    assert end.forecast < 2 * len(alone)
