"""A small instance of each row of tests/bench/tuned.py, and the arithmetic behind the rows."""

import itertools

import numpy as np
import pytest

from tests.bench import rivals, surfaces, tuned
from tests.bench.surfaces import MARGIN
from wdrun.tuning.plan import plan
from wdrun.tuning.question import FRESH, Budget, Seen


def test_the_upper_bound_is_that_of_the_binomial_and_wider_for_clusters_that_are_alike():
    none = np.zeros((50, 40))
    assert tuned.bound(none) == pytest.approx(1 - 0.05 ** (1 / 2000))  # the rule of three, nearly
    spread = np.tile(np.eye(20), (5, 1))
    assert tuned.bound(spread) == pytest.approx(0.0588, abs=1e-4)  # 100 of 2,000
    alike = np.repeat(np.eye(100)[:5].sum(axis=0)[:, None], 20, axis=1)
    assert tuned.bound(alike) > 0.1  # 5 of 100


@pytest.mark.parametrize(
    ("verdict", "true", "wrong"),
    [
        ("better", -0.001, False),
        ("better", 0.0, True),
        ("worse", 0.0, True),
        ("worse", 0.001, False),
        ("equivalent", 0.019, False),
        ("equivalent", -0.02, True),
        ("", 0.5, False),
    ],
)
def test_a_verdict_is_held_against_the_true_difference(verdict, true, wrong):
    assert tuned.false(verdict, true) == wrong


@pytest.mark.parametrize("name", tuned.WORLDS)
def test_no_verdict_is_false_in_a_few_questions_of_each_kind(name):
    world = tuned.WORLDS[name](np.random.default_rng(7))
    last, _ = tuned.searched(world, np.random.default_rng(8))
    for draw in range(2):
        for wrong, _, undecided, runs in tuned.confirmed(world, last.verdicts, np.random.default_rng(draw)):
            assert not wrong
            assert 0 <= undecided <= 1
            assert runs >= 4 * 3


def test_confirmed_is_what_the_planner_does():
    """The short way through `looks` and the planner's own loop come to the same verdicts after as many runs."""
    world, rng = tuned.WORLDS["kept tables"](np.random.default_rng(0)), np.random.default_rng(1)
    last, seen = tuned.searched(world, rng)
    cells = list(dict.fromkeys(cell for v in last.verdicts for cell in (v.one, v.other)))
    ((wrong, _, undecided, runs),) = tuned.confirmed(world, last.verdicts, np.random.default_rng(2), levels=(0.05,))
    scores = world.draws(np.random.default_rng(2), cells, 60)
    searches = len(seen)
    while (last := plan(seen, world.question, Budget())).next:
        seen += [Seen(n.cell, n.seed, scores[n.seed - FRESH, cells.index(n.cell)], 1.0) for n in last.next]
    assert len(seen) - searches == runs
    assert (last.ended, undecided) == ("decided", 0)
    truths = [world.difference(v.pair, v.one, v.other)[0] for v in last.verdicts]
    assert wrong == any(tuned.false(v.answer.verdict, t) for v, t in zip(last.verdicts, truths, strict=True))


def test_the_surfaces_have_the_depths_they_are_said_to_have():
    rng = np.random.default_rng(0)
    found = surfaces.four(rng, (3.0, 2.0, 0.0, 1.0))
    for s, gain in zip(found, (3.0, 2.0, 0.0, 1.0), strict=True):
        grid = itertools.product(np.geomspace(1e-4, 1, 161), np.geomspace(1e-6, 1e2, 161))
        assert min(s.score(lr, lam) for lr, lam in grid) == pytest.approx(s.best, abs=2e-3)
        assert min(s.score(lr, 0.0) for lr in np.geomspace(1e-4, 1, 401)) == pytest.approx(s.zero, abs=1e-4)
        assert s.zero - s.best == pytest.approx(gain * MARGIN)
    one, other = surfaces.kept("sgd", "coupled"), surfaces.kept("adam", "coupled")
    assert one.zero == pytest.approx(1.6532, abs=1e-3)  # the kept tables' own figures, at lr 0.003 and 0.0003
    assert one.score(0.03, 0.03) == pytest.approx(1.593, abs=1e-3)
    assert other.score(0.003, 0.01) == pytest.approx(1.613, abs=1e-3)


def test_the_noise_is_as_it_is_called():
    rng, cell = np.random.default_rng(0), surfaces.world(surfaces.four(np.random.default_rng(1))).question.cell
    cells = [cell(0, (1e-2, lr)) for lr in np.geomspace(1e-3, 1, 40)]
    for kind in ("normal", "t3", "skew"):
        world = surfaces.world(surfaces.four(np.random.default_rng(1), noise=0.5), kind=kind)
        luck = world.draws(rng, cells, 2000) - [world.truth(c) for c in cells]
        assert luck.mean() == pytest.approx(0, abs=2e-4)
        assert luck.std() == pytest.approx(0.5 * MARGIN, rel=0.1)
    spread = surfaces.world(surfaces.four(np.random.default_rng(1), noise=0.5, varied=True)).surfaces[0].noise
    factors = [spread(c.setting[1], c.setting[0]) / (0.5 * MARGIN) for c in cells]
    assert 0.3 <= min(factors) < 0.6
    assert 1.5 < max(factors) <= 3


def test_holm_gives_what_the_decided_leave():
    d = [np.array([5.0, 5.1, 4.9]), np.array([0.05, 0.06, 0.058]), np.array([1.0, -1.0, 0.5])]
    assert rivals.holm(d) == ["worse", "worse", ""]
    assert rivals.holm([np.zeros(3) + 1e-9 * np.arange(3)]) == ["equivalent"] or MARGIN < 1e-9


def test_the_grid_counts_its_runs():
    world = surfaces.world(surfaces.example())
    cost, told = rivals.gridded(world, np.random.default_rng(0), 2)
    assert cost == 2 * (4 * 5 * 10 + 2 * 5)
    assert 0 <= told <= 1


def test_the_next_run_of_a_thousand_is_planned_at_once(capsys):
    took = tuned.planning(1000)
    assert np.median(took) < 0.2
    assert "planning the next run" in capsys.readouterr().out


def test_rows_are_markdown(capsys, monkeypatch):
    monkeypatch.setattr(tuned, "DRAWS", 2)
    tuned.false_verdicts(4, ["kept tables"])
    assert "| kept tables | 4 | 0.0% |" in capsys.readouterr().out
    monkeypatch.setattr(tuned, "SURFACES", {"flat in λ": tuned.SURFACES["flat in λ"]})
    tuned.lambda_found(4)
    assert "| flat in λ | 4 | " in capsys.readouterr().out
