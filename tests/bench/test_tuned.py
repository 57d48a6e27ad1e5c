"""A small instance of each row of tests/bench/tuned.py, and the arithmetic behind the rows."""

import itertools

import numpy as np
import pytest

from tests.bench import answers, halved, rivals, surfaces, tuned
from tests.bench.surfaces import MARGIN
from wdrun.tuning import process
from wdrun.tuning.plan import plan
from wdrun.tuning.question import FRESH, Budget, Seen


def test_the_upper_bound_is_that_of_the_binomial_and_wider_for_clusters_that_are_alike():
    assert tuned.bound(np.zeros((2000, 1))) == pytest.approx(1 - 0.05 ** (1 / 2000))  # the rule of three, nearly
    none = np.zeros((100, 20))  # nothing tells how much alike the 20 are
    assert tuned.bound(none) == pytest.approx(1 - 0.05 ** (1 / 100))
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
    last, seen = tuned.searched(world, np.random.default_rng(8))
    for draw in range(2):
        rng = np.random.default_rng(draw)
        told = tuned.followed(world, seen, rng) if world.lost else tuned.confirmed(world, last.verdicts, rng)
        for wrong, _, undecided, runs in told:
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


def test_a_cell_that_is_lost_is_replaced(monkeypatch):
    world, rng = (
        tuned.WORLDS["each run diverges with a chance of 0.1"](np.random.default_rng(0)),
        np.random.default_rng(1),
    )
    cells = [world.question.cell(0, (0.01, 0.01))] * 1000
    assert np.isinf(world.draws(rng, cells, 1)).mean() == pytest.approx(0.1, abs=0.03)
    last, seen = tuned.searched(world, rng)
    stood = {cell for v in last.verdicts for cell in (v.one, v.other)}
    asked, draws = set(), surfaces.World.draws

    def noted(world, rng, cells, seeds):
        asked.update(cells)
        return draws(world, rng, cells, seeds)

    monkeypatch.setattr(surfaces.World, "draws", noted)
    tuned.followed(world, seen, rng, levels=(0.05,))
    assert asked - stood


def test_the_planner_itself_tells_what_the_short_way_tells():
    """Where no run is lost, both ways decide all and are right of the same questions."""
    world, rng = tuned.WORLDS["kept tables"](np.random.default_rng(0)), np.random.default_rng(1)
    last, seen = tuned.searched(world, rng)
    ((wrong, _, undecided, runs),) = tuned.followed(world, seen, np.random.default_rng(2), levels=(0.05,))
    ((_, _, _, fewest),) = tuned.confirmed(world, last.verdicts, np.random.default_rng(2), levels=(0.05,))
    assert (wrong, undecided) == (False, 0)
    assert runs == pytest.approx(fewest, abs=12)


def test_halving_leaves_the_best_where_short_runs_tell_it_and_counts_its_epochs():
    assert halved.rungs(55, 10) == [(55, 1), (18, 3), (6, 10)]
    assert halved.rungs(27, 27) == [(27, 1), (9, 3), (3, 9), (1, 27)]
    assert halved.rungs(1, 10) == [(1, 10)]
    trained = []

    def score(setting, epochs):
        trained.append(epochs)
        return abs(setting - 3) + 1 / epochs

    assert halved.halved(score, list(range(9)), 9) == (3, 9 + 9 + 9)
    assert sum(trained) == 27
    late = halved.halved(lambda setting, epochs: setting if epochs == 9 else -setting, list(range(9)), 9)
    assert late[0] == 8  # what turns good late is gone by then


def test_the_search_stops_at_so_many_epochs():
    world, asked = surfaces.world([surfaces.kept("sgd", "coupled")]), []

    def score(setting):
        asked.append(setting)
        return world.surfaces[0].score(setting[1], setting[0])

    setting, spent = halved.searched(score, world.question, 79)
    assert (spent, len(asked)) == (70, 7)
    assert setting in asked
    assert halved.searched(score, world.question, 10_000)[1] < 400


def test_what_was_said_is_what_follows_the_counts():
    said = "asked: x\ntune     3 runs: 3 done; 0:01 here\na is better than b\nall together right with 95 %"
    assert answers.sentences(said) == ["a is better than b", "all together right with 95 %"]
    assert answers.sentences("wdrun: no") == []


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
    assert "planning the next run, 1,000 runs and more" in capsys.readouterr().out


def test_of_several_planned_at_once_each_process_is_fitted_once(monkeypatch, capsys):
    """One fit a facet tells whether its search is over, one more what it asks for, however many that is."""
    fits, fit = [], process._likeliest
    monkeypatch.setattr(process, "_likeliest", lambda *arguments: fits.append(1) or fit(*arguments))
    question, seen = tuned.half_searched()
    found, _ = tuned.timed(seen, question, 8)
    assert len(found.next) == 8
    assert len(fits) <= 2 * len(question.facets)
    tuned.ahead((1, 4), times=1)
    assert "| planning 4 at once, 1,000 runs searched: 4 asked for | 1 | " in capsys.readouterr().out


def test_rows_are_markdown(capsys, monkeypatch):
    monkeypatch.setattr(tuned, "DRAWS", 2)
    tuned.false_verdicts(4, ["kept tables"])
    assert "| kept tables | 4 | 0.0% |" in capsys.readouterr().out
    monkeypatch.setattr(tuned, "SURFACES", {"flat in λ": tuned.SURFACES["flat in λ"]})
    tuned.lambda_found(4)
    assert "| flat in λ | 4 | " in capsys.readouterr().out
    tuned.worst(2)
    assert capsys.readouterr().out.count("| 2 | ") == 12


def test_a_search_from_elsewhere_takes_fewer_runs_and_its_rows_are_markdown(capsys):
    tuned.from_elsewhere(8, ["valleys", "kept tables"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1] for row in rows] == [*tuned.CARRIED] * 2
    for without, carried in (rows[:2], rows[3:5]):
        assert float(carried[3]) <= 0.8 * float(without[3])


def test_only_names_one_row_or_those_that_have_it_in_their_names():
    assert tuned.named(tuned.SURFACES, "valleys") == ["valleys"]
    assert tuned.named(tuned.SURFACES, "kept") == ["kept tables", "kept tables a decade off"]
    assert tuned.named(rivals.WORLDS, "") == ["valleys", "kept tables"]


def test_factors_are_of_the_planners_runs():
    assert rivals.times(1260.4, False, 93) == "1,260 (13.6 times)"
    assert rivals.times(250.0, True, 100) == "≥ 250 (2.5 times)"


def test_a_study_has_as_many_runs_as_its_sampler_needs(monkeypatch):
    pytest.importorskip("optuna")
    worlds = [surfaces.world(surfaces.example())]
    monkeypatch.setitem(rivals.TRIALS, "TPE", 4)
    assert rivals.studied(worlds, "TPE", 0.0) == (4 * 1 + 2 * 1, False)
    assert rivals.studied(worlds, "TPE", 1.1) == (4 * 4 + 2 * 2, True)
