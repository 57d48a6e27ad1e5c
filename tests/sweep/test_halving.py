"""Successive halving: rungs and survivors against brute force, budgets counted, the same bytes after a kill."""

import csv
import itertools
import random

import pytest

from tests.runs import asked, jobs
from wdrun.errors import ConfigError
from wdrun.sweep import halving
from wdrun.sweep.outcome import Outcome
from wdrun.tables.read import read_table


def table(folder):
    with open(folder / "default" / "halving.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("factor", [2, 3, 4, 10])
def test_rungs(factor):
    for settings, epochs in itertools.product(range(1, 70), (1, 2, 3, 7, 8, 9, 10, 27, 64, 100)):
        plan = halving.rungs(settings, epochs, factor)
        cuts = max(r for r in range(9) if factor**r <= settings and factor**r <= epochs)
        assert plan == [(settings // factor**i, epochs // factor ** (cuts - i)) for i in range(cuts + 1)]
        assert plan[0][0] == settings
        assert plan[-1][1] == epochs
        assert all(n >= 1 and e >= 1 for n, e in plan)
        assert all(a < b for (_, a), (_, b) in itertools.pairwise(plan))
        assert sum(n * e for n, e in plan) <= settings * epochs


@pytest.fixture
def scored(monkeypatch):
    """Sweeps whose runs need no training: the status and score of a job are a function of its λ, seed and epochs."""
    calls = []

    def run(of):
        def execute(jobs, options, on_end=None, *, more=False, part=False, told=None):
            calls.append([(job.run.lam, job.run.seed, job.run.epochs) for job in jobs])
            outcomes = []
            for job in jobs:
                status, value = of(job.run.lam, job.run.seed, job.run.epochs)
                row = {"status": status, "val_loss": value, "val_accuracy": value}
                outcomes.append(Outcome(job, status, row))
            return outcomes

        monkeypatch.setattr(halving, "execute", execute)
        monkeypatch.setattr(halving, "check", lambda jobs, told: iter(()))
        return calls

    return run


@pytest.mark.parametrize("objective", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize("seed", range(6))
def test_survivors_are_those_of_brute_force(scored, tmp_path, seed, objective):
    rng = random.Random(seed)
    lams = [round(0.1 * (i + 1), 1) for i in range(9)]
    fate = {
        (lam, s, e): ("diverged" if rng.random() < 0.08 else "done", rng.choice([0.25, 0.5, rng.random()]))
        for lam in lams for s in (0, 1) for e in (1, 3, 9)
    }  # fmt: skip
    calls = scored(lambda *key: fate[key])
    words = [f"lambda={','.join(map(str, lams))}", "seed=0,1", "epochs=9", "halving=3", f"objective={objective}"]
    made, options = asked(tmp_path, *words)
    ids = {setting.jobs[0].run.lam: setting.id for setting in halving.group(made)}
    outcomes = halving.in_rungs(rng.sample(made, len(made)), options)

    alive, expected, spent = lams, [], 0
    for keep, epochs in ((3, 1), (1, 3), (1, 9)):
        expected.append(sorted((lam, s, epochs) for lam in alive for s in (0, 1)))
        means = {}
        for lam in alive:
            pair = [fate[lam, s, epochs] for s in (0, 1)]
            if all(status == "done" for status, _ in pair):
                means[lam] = sum(value for _, value in pair) / 2 * (1 if objective == "val_loss" else -1)
        spent += 2 * epochs * len(alive)
        # each survivor is beaten by fewer than `keep` others
        alive = [a for a in means if sum((means[b], ids[b]) < (means[a], ids[a]) for b in means) < keep]
    assert [sorted(call) for call in calls] == [call for call in expected if call]
    rows = table(tmp_path)
    assert [row["setting"] for row in rows if row["rung"] == "3" and row["kept"] == "true"] == [ids[a] for a in alive]
    assert int(rows[-1]["epochs_spent"]) == spent
    assert len(outcomes) == sum(map(len, calls))


def test_a_setting_is_what_differs_in_more_than_seed_and_fold(tmp_path):
    made = jobs(tmp_path, "lambda=0.1,0.2", "lr=0.1,0.2", "seed=0,1", "data.folds=2", "fold=0,1", "epochs=4")
    settings = halving.group(made)
    assert [(len(s.jobs), s.overrides) for s in settings] == [
        (4, f"lambda={lam} lr={lr}") for lam in (0.1, 0.2) for lr in (0.1, 0.2)
    ]
    assert len({s.id for s in settings}) == 4
    assert {s.id for s in halving.group([halving.shortened(job, 2) for job in made[::-1]])} == {s.id for s in settings}


def test_a_shortened_run_is_the_one_that_would_be_typed(tmp_path):
    (job,) = jobs(tmp_path, "epochs=9", "lambda=0.1")
    (typed,) = jobs(tmp_path, "lambda=0.1", "epochs=3")
    assert halving.shortened(job, 3).run.id == typed.run.id
    assert halving.shortened(job, 3).overrides == typed.overrides
    (job,) = jobs(tmp_path, "epochs=8", "budget=0.5")  # λ follows the budget of the shorter run
    (typed,) = jobs(tmp_path, "epochs=2", "budget=0.5")
    assert halving.shortened(job, 2).run.lam == halving.shortened(typed, 2).run.lam > 0


def test_settings_by_budget_stay_apart(scored, tmp_path):
    calls = scored(lambda lam, seed, epochs: ("done", lam))
    halving.in_rungs(*asked(tmp_path, "budget=0.5,1,2,4", "epochs=2", "halving=2"))
    assert [len(call) for call in calls] == [4, 2]
    assert [row["overrides"] for row in table(tmp_path)] == [f"budget={budget}" for budget in (0.5, 1, 2, 4, 0.5, 1)]


def test_nothing_to_choose_among(scored, tmp_path, capsys):
    scored(lambda lam, seed, epochs: ("failed", None))
    outcomes = halving.in_rungs(*asked(tmp_path, "lambda=0.1,0.2,0.3,0.4", "epochs=4", "halving=2"))
    assert len(outcomes) == 4
    assert {row["kept"] for row in table(tmp_path)} == {"false"}
    assert "stops here: no setting of this rung has a val_loss" in capsys.readouterr().err


def test_runs_that_are_not_there_are_waited_for(scored, tmp_path, capsys):
    scored(lambda lam, seed, epochs: ("busy" if lam == 0.2 else "done", lam))
    assert len(halving.in_rungs(*asked(tmp_path, "lambda=0.1,0.2", "epochs=4", "halving=2"))) == 2
    assert "stops here: 1 run of this rung did not end" in capsys.readouterr().err
    assert not (tmp_path / "default").exists()


def test_with_one_setting_it_is_a_plain_sweep(scored, tmp_path):
    calls = scored(lambda lam, seed, epochs: ("done", lam))
    halving.in_rungs(*asked(tmp_path, "seed=0,1", "lambda=0.5", "epochs=4", "halving=2"))
    assert calls == [[(0.5, 0, 4), (0.5, 1, 4)]]
    assert not (tmp_path / "default").exists()


def test_what_cannot_be_halved_is_said_before_anything_exists(tmp_path):
    with pytest.raises(ConfigError, match=r"halving=2: needs one epochs= for all runs.*; here they have 2, 4"):
        halving.in_rungs(*asked(tmp_path, "lambda=0.1,0.2", "epochs=2,4", "halving=2"))
    with pytest.raises(ConfigError, match=r"halving has a rung of 1 epoch, and there: schedule.warmup"):
        halving.in_rungs(*asked(tmp_path, "lambda=0.1,0.2", "epochs=2", "halving=2", "schedule.warmup=1.5"))
    assert not list(tmp_path.iterdir())


REAL = ("lambda=0.001,0.01,0.1", "lr=0.01,1e30", "schedule=constant", "epochs=4", "halving=2")


def test_stopped_and_started_again_it_ends_with_the_same_bytes(tmp_path):
    class Stopped(Exception):
        pass

    def stop_at(number):
        count = itertools.count(1)

        def on_end(outcome):
            if next(count) == number:
                raise Stopped

        return on_end

    ended = halving.in_rungs(*asked(tmp_path / "a", *REAL))
    assert [o.job.run.epochs for o in ended] == [1] * 6 + [2] * 3 + [4]
    assert sum(o.status == "diverged" for o in ended) == 3
    for number in (4, 8, 10):
        with pytest.raises(Stopped):
            halving.in_rungs(*asked(tmp_path / "b", *REAL), stop_at(number))
    again = halving.in_rungs(*asked(tmp_path / "b", *REAL))
    assert [o.directory.name for o in again] == [o.directory.name for o in ended]
    for name in ("halving.csv", "runs.csv", "metrics.csv", "layers.csv"):
        assert (tmp_path / "a" / "default" / name).read_bytes() == (tmp_path / "b" / "default" / name).read_bytes()
    rows = table(tmp_path / "a")
    assert [row["kept"] for row in rows] == ["true"] * 3 + ["false"] * 3 + ["true"] + ["false"] * 2 + ["true"]
    assert [row["score"] == "" for row in rows] == [False] * 3 + [True] * 3 + [False] * 4
    runs = read_table(tmp_path / "a" / "default" / "runs.csv").set_index("epochs")
    assert float(rows[-1]["score"]) == runs.loc[4, "val_loss"]
    assert int(rows[-1]["epochs_spent"]) == 6 * 1 + 3 * 2 + 1 * 4


def test_what_a_user_should_know_of_a_network_is_said_once(tmp_path, capsys):
    words = ("lambda=0.1,0.2", "seed=0,1", "epochs=2", "halving=2", "model._target_=tests.training.networks.Frozen")
    halving.in_rungs(*asked(tmp_path, *words))
    assert capsys.readouterr().err.count("are frozen (requires_grad=False)") == 1
