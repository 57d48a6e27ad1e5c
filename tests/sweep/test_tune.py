"""`wdrun tune`: killed anywhere it goes on with the same runs and verdicts; budgets; what it says and writes."""

import csv
import gc
import json
import math
import os
import shutil
import signal
import sys
import weakref
from collections import Counter
from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from tests.hazards.durable import child
from tests.runs import TINY, changed
from wdrun.config import experiments
from wdrun.errors import ConfigError
from wdrun.storage import hold
from wdrun.sweep import recording, sharing, tune, tuner
from wdrun.sweep.clock import Clock
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import settle
from wdrun.sweep.signals import Stop
from wdrun.tables import verdicts
from wdrun.terminal.progress import Watch
from wdrun.tuning.question import Cell, Next

# λ and lr of a one-neuron network on a handful of images: a search of some ten runs, then pairs that decide nothing.
WORDS = changed(TINY, "model=mlp", "model.hidden=[4]", "epochs=2", "device=cpu")
WORDS += ["decay=l2", "lambda=interval(0.01,10)", "lr=interval(0.01,0.1)", "margin=0.02"]
RECORDS = ("verdict.csv", "looks.csv", "decisions.csv")


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def asked(folder):
    """The runs in the order in which they were asked for."""
    return [row["id"] for row in table(folder / "decisions.csv")]


def records(folder):
    return {name: (folder / name).read_bytes() for name in RECORDS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a question that nobody stopped, and how it ended."""
    place = tmp_path_factory.mktemp("whole")
    return place / "default", tune.tune([*WORDS, "runs=13", f"output_dir={place}"])


def test_it_ends_with_a_verdict_on_fresh_runs_and_its_tables(whole):
    folder, found = whole
    assert (found.code, found.plan.ended) == (0, "runs")
    runs = table(folder / "runs.csv")
    assert len(runs) == 13
    assert sorted(asked(folder)) == sorted(row["id"] for row in runs)
    (row,) = table(folder / "verdict.csv")
    fresh = [r for r in runs if int(r["seed"]) >= 1000]
    by_seed = {}
    for r in fresh:
        by_seed.setdefault(r["seed"], {})[r["decay"]] = float(r["val_loss"])
    differences = [own["l2"] - own["none"] for own in by_seed.values()]
    assert int(row["pairs"]) == len(differences) >= 3
    assert float(row["difference"]) == pytest.approx(sum(differences) / len(differences))
    assert [look["pairs"] for look in table(folder / "looks.csv")] == [str(n + 1) for n in range(len(differences))]
    phases = [row["phase"] for row in table(folder / "decisions.csv")]
    assert phases == sorted(phases, reverse=True)  # search, then confirm
    assert not (folder / "plan.csv").exists()  # what comes is not known, so nothing waits


def dies_when(moment, place, monkeypatch):
    """Let this process kill itself at that moment of a question."""
    calls = []

    def killing(owner, name, at):
        before = getattr(owner, name)

        def call(*arguments, **options):
            calls.append(name)
            if len(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return before(*arguments, **options)

        setattr(owner, name, call)

    killing(*moment)
    tune.tune([*WORDS, "runs=13", f"output_dir={place}"])


@pytest.mark.skipif(not hasattr(os, "fork") or torch.cuda.is_available(), reason="forks")
@pytest.mark.parametrize("moment", [
    (recording.Record, "take", 12),  # with the second epoch of the sixth run
    (verdicts, "append", 7),  # before a run is written down
    (tuner.Tuner, "end", 10),  # after a fresh run has ended, before anybody knows
], ids=["in a run", "before a run", "after a run"])  # fmt: skip
def test_a_killed_one_goes_on_with_the_same_runs_and_bytes(whole, tmp_path, monkeypatch, moment):
    place = tmp_path / "out"
    assert child(lambda: dies_when(moment, place, monkeypatch), tmp_path / "log") == -signal.SIGKILL
    before = asked(place / "default")
    assert 0 < len(before) < 13
    assert asked(whole[0])[: len(before)] == before
    tune.tune([*WORDS, "runs=13", f"output_dir={place}"])
    assert records(place / "default") == records(whole[0])
    for name in ("runs.csv", "metrics.csv"):
        assert (place / "default" / name).read_bytes() == (whole[0] / name).read_bytes()


def test_what_was_trained_counts_and_what_is_decided_trains_nothing(whole, tmp_path, capsys):
    shutil.copytree(whole[0].parent, tmp_path / "out")
    place, ended = f"output_dir={tmp_path / 'out'}", []
    again = tune.tune([*WORDS, "runs=13", place], tell=ended.append)
    assert (ended, again.plan.ended) == ([], "runs")
    capsys.readouterr()
    more = tune.tune([*WORDS, "runs=15", place], tell=ended.append)
    assert "there: 13 runs of it in " in capsys.readouterr().err
    assert [outcome.job.run.seed >= 1000 for outcome in ended] == [True, True]
    assert more.plan.verdicts[0].answer.pairs == whole[1].plan.verdicts[0].answer.pairs + 1


def test_runs_of_the_folder_that_are_of_no_cell_count_in_the_budget_too(tmp_path, capsys):
    words = [word for word in WORDS if "interval(" not in word and not word.startswith("margin")]
    place, ended = f"output_dir={tmp_path}", []
    jobs, options = experiments.sweep([changed(words, "decay=l1", "lambda=0.1", place)])
    execute(jobs, options)
    capsys.readouterr()
    tune.tune([*WORDS, "runs=3", place], tell=ended.append)
    err = capsys.readouterr().err
    assert len(ended) == 2
    assert "there: 0 runs of it and 1 other in " in err
    assert "budget: 3 runs in the folder, too little for a verdict by 8 runs at the least" in err


def test_a_finished_sweep_is_gone_on_with_in_its_folder(wdrun, here, capsys):
    """As `select` says: its six runs count, none is trained again, and fresh ones tell."""
    sweep = changed(WORDS, "lambda=0,0.1,1", "lr=0.02", "seed=0,1", "name=swept")
    assert wdrun("-m", *(word for word in sweep if not word.startswith("margin=")), capture=capsys)[0] == 0
    folder = here / "outputs" / "swept"
    before = {path: path.read_bytes() for path in folder.glob("*/*.csv")}
    _, out, err = wdrun("select", "outputs/swept", capture=capsys)
    assert "settle   `wdrun tune outputs/swept` goes on from these runs with as few as it takes: " in out + err
    code, out, err = wdrun("tune", "outputs/swept", "runs=17", capture=capsys)
    assert code == 0, err
    assert "asked: decay=l2 against λ = 0, 1 question" in err
    assert "tuned: λ from " in err
    assert "there: 6 runs of it in " in err
    *runs, verdict = map(json.loads, out.splitlines())
    assert 11 >= len(runs) >= 8
    rows = table(folder / "runs.csv")
    assert len(rows) == len({row["id"] for row in rows}) == 6 + len(runs)
    assert {run["id"] for run in runs} == {row["id"] for row in rows} - {path.parent.name[-8:] for path in before}
    assert before == {path: path.read_bytes() for path in before}
    assert {row["lr"] for row in rows} == {"0.02"}
    (row,) = table(folder / "verdict.csv")
    assert int(row["pairs"]) == sum(int(row["seed"]) >= 1000 and row["decay"] == "none" for row in rows) >= 4
    assert verdict["question"]["verdict"] == row["verdict"]
    assert [path.name for path in (here / "outputs").iterdir()] == ["swept"]


def test_side_by_side_it_comes_to_a_verdict_too(tmp_path):
    found = tune.tune([*WORDS, "runs=12", f"output_dir={tmp_path}", "parallel=2"])
    rows = table(tmp_path / "default" / "runs.csv")
    assert [row["status"] for row in rows] == ["done"] * 12
    assert len(asked(tmp_path / "default")) == 12
    assert found.plan.verdicts[0].answer.pairs >= 3


def test_fused_a_batch_is_as_wide_as_a_group(tmp_path, monkeypatch):
    widths = []
    more = tuner.Tuner.more
    monkeypatch.setattr(tuner.Tuner, "more", lambda self, count: widths.append(found := more(self, count)) or found)
    monkeypatch.setattr(tune, "WIDEST", 4)
    tune.tune([*WORDS, "runs=12", f"output_dir={tmp_path}", "fuse=true"])
    assert max(map(len, widths)) == 4
    assert sum(map(len, widths)) == len(table(tmp_path / "default" / "runs.csv")) == 12


def slow(monkeypatch, seconds):
    """Let each run take so many seconds of a clock that stands still otherwise."""
    moment = [0.0]
    monkeypatch.setattr(tune, "Clock", partial(Clock, now=lambda: moment[0]))
    end = tuner.Tuner.end

    def ended(self, outcome):
        moment[0] += seconds
        end(self, outcome)

    monkeypatch.setattr(tuner.Tuner, "end", ended)
    monkeypatch.setattr(tune, "seconds_of", lambda trainer, share: seconds)
    return moment


def test_time_is_kept_and_nothing_starts_that_does_not_fit(tmp_path, monkeypatch):
    moment = slow(monkeypatch, 10.0)
    found = tune.tune([*WORDS, "time=95s", f"output_dir={tmp_path}"])
    assert (found.plan.ended, found.code) == ("time", 0)
    assert moment[0] == 90
    assert len(table(tmp_path / "default" / "runs.csv")) == 9
    (row,) = table(tmp_path / "default" / "verdict.csv")
    assert (row["verdict"], row["cause"].partition(";")[0]) == (
        "undecided",
        "no further round fits into the budget of time",
    )


def test_side_by_side_time_is_kept_too(tmp_path, monkeypatch):
    moment = slow(monkeypatch, 10.0)  # of the clock of both, as each ends
    found = tune.tune([*WORDS, "time=95s", "parallel=2", f"output_dir={tmp_path}"])
    assert (found.plan.ended, found.code) == ("time", 0)
    assert moment[0] <= 100


def test_what_trains_is_waited_for_and_what_trains_as_one_once():
    clock = Clock(0.0, now=lambda: 5.0)
    clock.guesses = [10.0, 20.0]
    facets, moments, widths = (0, 0, 1, 0, 0, 1), (2.0, 2.0, 5.0, 1.0, 1.0, math.nan), (1, 1, 1, 4, 4, 1)
    begun = [
        tuner.Begun(Next(Cell(facet, ()), seed, "search", "", ""), moment, width)
        for seed, (facet, moment, width) in enumerate(zip(facets, moments, widths, strict=True))
    ]
    planner = SimpleNamespace(clock=clock, training=dict(enumerate(begun)))
    assert tuner.Tuner._waits(planner) == (7.0, 7.0, 20.0, 36.0)
    clock.now = lambda: 50.0
    assert tuner.Tuner._waits(planner) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("words", "cost"), [
    (("runs=3",), "cost: about 25 runs of 2 s, 50 s in all"),
    (("runs=3", "lr=0.02"), "cost: about 19 runs of 2 s, 38 s in all"),
    (("runs=3", "parallel=2"), "cost: about 25 runs of 2 s, 25 s in all"),
    (("time=7s",), "cost: about 25 runs of 2 s, 50 s in all"),
])  # fmt: skip
def test_before_the_first_run_it_says_what_it_expects_to_cost(tmp_path, monkeypatch, capsys, words, cost):
    """Six pairs of two sides, and the usual search: one run, and six more for each of λ and lr."""
    slow(monkeypatch, 2.0)
    tune.tune([*changed(WORDS, *words), f"output_dir={tmp_path}"])
    before, _, _ = capsys.readouterr().err.partition("budget: ")
    assert before.splitlines()[-1] == cost


def test_what_is_there_is_not_in_the_cost(whole, tmp_path, monkeypatch, capsys):
    """Of 13 runs the last pair is gone; with three pairs six are expected to decide it, of two runs each."""
    shutil.copytree(whole[0].parent, tmp_path / "out")
    for folder in (tmp_path / "out/default").glob("*-s1003-*"):
        shutil.rmtree(folder)
    monkeypatch.setattr(tune, "_guess", lambda *_: 2.0)
    tune.tune([*WORDS, "runs=13", f"output_dir={tmp_path / 'out'}"])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cost: ")]
    assert line == "cost: about 6 runs of 2 s, 12 s in all"


BAD = {
    "decay=none": "decay=none: nothing to compare",
    "lambda=interval(1,0.1)": "lambda=interval(1,0.1): must be interval(low,high) with low < high",
    "lambda=interval(0,1)": "lambda=interval(0,1): both ends must be > 0",
    "lr=interval(-1,1)": "lr=interval(-1,1): both ends must be > 0",
    "time=0": "time=0: must be a time > 0",
    "time=0.001": "time=0.001: no run fits",
    "seed=1": "seed=1: leave it out; the seeds of wdrun tune are its own",
    "margin=0": "margin=0: must be a number > 0",
    "epochs=3": "epochs=3: ",
    "data.train_examples=100": "data.train_examples=100: ",
}


@pytest.mark.parametrize("word", BAD)
def test_what_cannot_be_asked_is_a_line_and_exit_2_and_changes_nothing(wdrun, whole, capsys, word, here):
    before = {path: path.stat().st_mtime_ns for path in whole[0].rglob("*")}
    words = changed(WORDS, word)
    if word == "decay=none":
        words = [other for other in words if not other.startswith("lambda")]
    code, out, err = wdrun("tune", *words, f"output_dir={whole[0].parent}", capture=capsys)
    assert (code, out) == (2, ""), err
    assert err.splitlines()[-1].startswith(f"wdrun: {BAD[word]}")
    assert {path: path.stat().st_mtime_ns for path in whole[0].rglob("*")} == before
    assert not list(here.iterdir())


def test_a_time_too_short_for_one_run_says_so_and_creates_nothing(tmp_path, monkeypatch):
    slow(monkeypatch, 78.0)
    with pytest.raises(ConfigError, match=r"^time=60: no run fits: one takes about 78 s, and 0 s are over; give more"):
        tune.tune([*WORDS, "time=60", f"output_dir={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_a_time_too_short_for_a_round_says_so(whole, tmp_path, monkeypatch):
    shutil.copytree(whole[0].parent, tmp_path / "out")
    slow(monkeypatch, 78.0)
    monkeypatch.setattr(tune, "_guess", lambda *_: 78.0)
    with pytest.raises(
        ConfigError, match=r"^time=2m: a run fits, but no round of fresh runs, .*: one takes about 78 s"
    ):
        tune.tune([*WORDS, "time=2m", f"output_dir={tmp_path / 'out'}"])


def test_fresh_runs_of_another_question_are_told_of_before_they_count(whole, tmp_path, capsys):
    shutil.copytree(whole[0].parent, tmp_path / "out")
    words = [word for word in WORDS if not word.startswith("margin")]
    place = f"output_dir={tmp_path / 'out'}"
    tune.tune([*words, "margin=0.02", "runs=13", place])
    assert "of another question" not in capsys.readouterr().err
    tune.tune([*words, "margin=0.01", "runs=13", place])
    note = "there: fresh runs of another question, which choose and tell here too; name=… asks anew\n"
    assert note in capsys.readouterr().err


def test_side_by_side_it_knows_how_long_its_runs_took(tmp_path, monkeypatch):
    words = [*WORDS, f"output_dir={tmp_path}", "parallel=2"]
    tune.tune([*words, "runs=2"])
    monkeypatch.setattr(tune, "seconds_of", lambda trainer, share: pytest.fail("timed anew"))
    tune.tune([*words, "runs=3"])


def test_trainers_are_let_go_of_before_others_are_built(tmp_path, monkeypatch):
    known, most, ready = [], [], tune.ready

    def built(run):
        gc.collect()
        most.append(sum(trainer() is not None for trainer in known))
        known.append(weakref.ref(trainer := ready(run)))
        return trainer

    monkeypatch.setattr(tune, "ready", built)
    words = changed(WORDS, "lr=0.02", "batch_size=10,12,14,16")
    tune.tune([*words, "runs=1", f"output_dir={tmp_path}"])
    assert max(most) <= 2 < len(most) - 1  # the one before, while the next is built, and what is not collected yet


def test_a_facet_that_always_diverges_is_dropped_and_the_rest_goes_on(tmp_path, capsys):
    words = changed(WORDS, "lambda=0.1", "decay=l2", "schedule=constant", "lr=0.02")
    words = [word for word in words if not word.startswith(("margin", "lr"))]
    found = tune.tune([*words, "lr=0.02,1e9", "runs=20", "margin=0.5", f"output_dir={tmp_path}"])
    assert found.code == 0
    told = Counter(row["verdict"] for row in table(tmp_path / "default" / "verdict.csv"))
    assert told == {"dropped": 5, "equivalent": 1}  # of the pairs of four facets, λ = 0.1 and 0 at each lr
    assert "is dropped: " in capsys.readouterr().err
    statuses = Counter(row["status"] for row in table(tmp_path / "default" / "runs.csv"))
    assert statuses.pop("diverged") == 2  # one run each, of λ = 0.1 and of 0
    assert statuses.keys() == {"done"}


def test_a_run_that_fails_is_one_of_the_search_and_exit_1(tmp_path, monkeypatch):
    train = recording.Record.take

    def broken(self, epoch, save=True):
        if self.job.run.lam > 1:
            raise ArithmeticError("out of numbers")
        train(self, epoch, save)

    monkeypatch.setattr(recording.Record, "take", broken)
    found = tune.tune([*WORDS, "runs=13", f"output_dir={tmp_path}"])
    assert found.code == 1
    rows = table(tmp_path / "default" / "runs.csv")
    assert {row["status"] for row in rows if float(row["lambda"]) > 1} == {"failed"}
    assert found.plan.verdicts[0].one.setting[0] <= 1
    monkeypatch.setattr(recording.Record, "take", train)
    again = tune.tune([*WORDS, "runs=20", f"output_dir={tmp_path}"])  # what failed is tried again where it is asked for
    assert again.code == 0


def test_what_another_process_trains_is_waited_for(tmp_path, whole, monkeypatch):
    """The first run is another's while this command begins, then left by it, and the second is ended by the other."""
    first, second, *_ = asked(whole[0])
    jobs, other, looks, learnt = tuner.Tuner._jobs, {}, [], []

    def taken(self, chosen):
        found = jobs(self, chosen)
        for job in found:
            if job.run.id in (first, second):
                other[job.run.id] = (lock := ExitStack()), job
                lock.enter_context(hold(job.directory))
        return found

    def look(seconds):
        """The other process ends its run at the third look at it."""
        looks.append(seconds)
        if len(looks) % 3 == 0:
            lock, job = other.popitem()[1]
            lock.close()
            if job.run.id == second:
                settle(job, Stop(), Watch())

    monkeypatch.setattr(tuner.Tuner, "_jobs", taken)
    monkeypatch.setattr(sharing.time, "sleep", look)
    monkeypatch.setattr(Clock, "learn", lambda self, facet, seconds: learnt.append(seconds))
    ended = []
    tune.tune([*WORDS, "runs=13", f"output_dir={tmp_path}"], tell=ended.append)
    assert len(looks) == 6
    assert len(ended) == 13
    assert [outcome.job.run.id for outcome in ended if outcome.skipped] == [second]
    assert len(learnt) == 11  # not of these two, whose time was the other's


def test_a_run_whose_folder_cannot_be_used_is_no_score_and_does_not_stop_the_rest(tmp_path, whole, capsys):
    sound, torn = (next(whole[0].glob(f"*{run}")) for run in asked(whole[0])[:2])
    shutil.copytree(sound, tmp_path / "default" / sound.name)
    (tmp_path / "default" / torn.name).mkdir()
    (tmp_path / "default" / torn.name / "run.csv").write_text("torn")
    ended = []
    found = tune.tune([*WORDS, "runs=13", f"output_dir={tmp_path}"], tell=ended.append)
    assert found.code == 4
    assert Counter(outcome.status for outcome in ended) == {"busy": 1, "done": len(ended) - 1}
    assert len(ended) >= 8
    assert capsys.readouterr().err.count("until the command is typed again: it is busy") == 1
    (row,) = table(tmp_path / "default" / "verdict.csv")
    assert (row["verdict"], int(row["runs"])) == ("undecided", len(ended))  # with the sound one that was there


def test_nothing_is_dropped_for_a_busy_run_alone(tmp_path, whole):
    """A budget so small that λ = 0 alone is tried, and one run of it cannot be used."""
    sound, torn = (next(whole[0].glob(f"*{run}")) for run in asked(whole[0])[:2])
    shutil.copytree(sound, tmp_path / "default" / sound.name)
    (tmp_path / "default" / torn.name).mkdir()
    (tmp_path / "default" / torn.name / "run.csv").write_text("torn")
    tune.tune([*WORDS, "runs=6", f"output_dir={tmp_path}"])
    assert [row["verdict"] for row in table(tmp_path / "default" / "verdict.csv")] == ["undecided"]


def test_piped_there_is_a_line_of_json_a_run_and_one_a_verdict(wdrun, whole, capsys):
    code, out, err = wdrun("tune", *WORDS, "runs=12", "require.decided=true", capture=capsys)
    *runs, verdict = map(json.loads, out.splitlines())
    assert code == 6, err
    assert [run["status"] for run in runs] == ["done"] * 12
    assert [run["id"] for run in runs][:4] == asked(whole[0])[:4]
    assert verdict.keys() == {"question"}
    assert {"facet": "decay=l2", "against": "λ = 0", "verdict": "undecided"}.items() <= verdict["question"].items()
    assert "asked: decay=l2 against λ = 0, 1 question" in err
    assert "budget: 12 runs in the folder" in err
    assert "[12/about 12] done  val " in err
    assert "best     " not in err  # the best of many flatters itself


def test_on_a_terminal_a_table_tells_the_verdicts(wdrun, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = wdrun("tune", *WORDS, "runs=1", capture=capsys)
    header, _, row = out.splitlines()
    assert header.split() == ["question", "verdict", "difference", "interval", "pairs", "at"]
    assert row.startswith("decay=l2 against λ = 0  undecided")


def test_a_question_from_python_gives_the_verdicts(whole, tmp_path, capsys):
    import wdrun

    frame = wdrun.tune(*WORDS, runs=13, output_dir=whole[0].parent, quiet=True)
    assert capsys.readouterr() == ("", "")
    assert frame.equals(verdicts.read(whole[0]).verdicts)
    assert frame["pairs"].dtype.kind == "i"


def test_hydras_sweepers_are_refused_as_the_plan_is_the_tuners(tmp_path):
    with pytest.raises(ConfigError, match=r"^hydra/sweeper=optuna: leave it out; wdrun tune plans its runs itself"):
        tune.tune([*WORDS, "hydra/sweeper=optuna"])
    assert not list(tmp_path.iterdir())


def test_a_launcher_takes_a_run_for_each_worker_at_a_time(tmp_path, here):
    ended = []
    tune.tune([*WORDS, "runs=2", f"output_dir={tmp_path}", "hydra/launcher=basic"], tell=ended.append)
    ids = {row["id"]: row["status"] for row in table(tmp_path / "default" / "runs.csv")}
    assert ids == {outcome.job.run.id: "done" for outcome in ended}
    assert asked(tmp_path / "default") == [outcome.job.run.id for outcome in ended] != []


@pytest.mark.launchers
@pytest.mark.parametrize("engine", [
    ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), ("hydra/launcher=submitit_local",),
], ids=["joblib", "submitit_local"])  # fmt: skip
def test_a_launcher_trains_a_round_of_fresh_runs_side_by_side(whole, tmp_path, here, monkeypatch, engine):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    shutil.copytree(whole[0].parent, tmp_path / "out")
    ended, batches = [], []
    words = [*WORDS, "runs=15", f"output_dir={tmp_path / 'out'}", *engine]
    more = tuner.Tuner.more

    def noted(self, count):
        batches.append(len(found := more(self, count)))
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tuner.Tuner, "more", noted)
        found = tune.tune(words, tell=ended.append)
    assert batches == [2, 0]
    assert [(outcome.status, outcome.job.run.seed >= 1000) for outcome in ended] == [("done", True)] * 2
    assert found.plan.verdicts[0].answer.pairs == whole[1].plan.verdicts[0].answer.pairs + 1
    assert not (tmp_path / "out" / "default" / "plan.csv").exists()


def test_interrupted_it_says_so_and_goes_on(wdrun, whole, here, monkeypatch, capsys):
    """Ctrl-C in the sixth run: what was known is written, no verdict is printed, the same line ends the same."""
    take, calls = recording.Record.take, []

    def take_and_stop(self, epoch, save=True):
        calls.append(take(self, epoch, save))
        if len(calls) == 11:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(recording.Record, "take", take_and_stop)
        code, out, err = wdrun("tune", *WORDS, "runs=13", capture=capsys)
    assert code == 130
    assert ["question" in json.loads(line) for line in out.splitlines()] == [False] * 5
    assert err.endswith("again    the same command goes on from there\n")
    (row,) = table(here / "outputs" / "default" / "verdict.csv")
    assert (row["verdict"], row["cause"], row["pairs"]) == ("undecided", "", "0")
    assert wdrun("tune", *WORDS, "runs=13", capture=capsys)[0] == 0
    assert records(here / "outputs" / "default") == records(whole[0])


def test_where_the_board_is_narrow_a_question_keeps_the_values_that_tell_it_from_others():
    name = "optimizer=sgd decay.coupling=coupled against optimizer=adam decay.coupling=coupled"
    rows = [
        tuner.HEADERS,
        (name, "−0.0354", "", "2", "pair 3"),
        ("decay.epsilon=0.1 against λ = 0", "", "", "0", "pair 1"),
    ]
    assert tuner._fitted(rows, 130)[1].startswith(f"{name}  −0.0354")
    assert tuner._fitted(rows, 90) == [
        "question                          difference  interval  pairs  waits for",
        "sgd coupled against adam coupled  −0.0354               2      pair 3",
        "0.1 against λ = 0                                       0      pair 1",
    ]
