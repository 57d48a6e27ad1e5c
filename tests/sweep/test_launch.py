"""Sweeps through Hydra: wdrun's own launcher and sweeper, and the engines of the extras end with the serial tables."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from omegaconf import OmegaConf

from tests import runs
from tests.runs import changed
from wdrun import cores
from wdrun.config import experiments
from wdrun.config.options import conf_dir
from wdrun.config.run import SweepOptions
from wdrun.errors import ConfigError
from wdrun.storage import hold
from wdrun.sweep import launch
from wdrun.sweep.launch import engine, groups, jobs, remote
from wdrun.sweep.one_run import rows_of, settle
from wdrun.sweep.outcome import Outcome
from wdrun.sweep.signals import Interrupted, Stop
from wdrun.sweep.source import Source
from wdrun.tables.columns import run_row
from wdrun.tables.read import read_run
from wdrun.tables.write import write_row
from wdrun.terminal.progress import Watch

TINY = changed(runs.TINY, "data.train_examples=300", "batch_size=64", "epochs=1", "device=cpu")
TROUBLES = """
import os, signal, sys
import torch

class Net(torch.nn.Module):
    def __init__(self, trouble="none"):
        super().__init__()
        self.trouble, self.fc = trouble, torch.nn.Linear(3072, 10)

    def forward(self, x):
        if len(x) == 4:  # the dry run
            return self.fc(x.flatten(1))
        if self.trouble == "raise":
            raise ArithmeticError("out of numbers")
        if self.trouble == "exit":
            sys.exit(7)
        if self.trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.fc(x.flatten(1))
"""
TROUBLED = ("-m", *TINY, "model._target_=troubles.Net", "lambda=0.5")
CAUSES = {
    "raise": "ArithmeticError: out of numbers",
    "exit": "SystemExit: 7",
    "kill": "the process that trained it was killed by SIGKILL",
}
TABLES = ("runs.csv", "metrics.csv", "layers.csv")


def wdrun(cwd, *words, **environment):
    """The command as a process of its own; its exit code, results and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "wdrun", *words],
        cwd=cwd, capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def of(words):
    return experiments.sweep([[*TINY, *words]])[0][0]


@pytest.fixture
def no_signals(monkeypatch):
    """Interrupts stay those of the test runner."""
    monkeypatch.setattr("signal.signal", lambda *_: None)


# The contract of every engine: a raising, an exiting and a killed run among the others


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The folder of the sweep without an engine; what is killed cannot be in it."""
    here = tmp_path_factory.mktemp("serial")
    (here / "troubles.py").write_text(TROUBLES)
    code, *_ = wdrun(here, *TROUBLED, "+model.trouble=none,raise,exit")
    assert code == 1
    return here / "outputs" / "default"


def keeps_the_contract(here, serial, *words, **environment):
    (here / "troubles.py").write_text(TROUBLES)
    code, printed, err = wdrun(here, *TROUBLED, "+model.trouble=kill,none,raise,exit", *words, **environment)
    assert code == 1, err
    rows = table(here / "outputs" / "default" / "runs.csv")
    assert sorted((row["model.trouble"], row["status"], row["cause"]) for row in rows) == sorted(
        (trouble, "failed" if trouble in CAUSES else "done", CAUSES.get(trouble, ""))
        for trouble in ("kill", "none", "raise", "exit")
    )
    assert sorted((r["id"], r["status"], r["val_loss"]) for r in printed) == sorted(
        (row["id"], row["status"], float(row["val_loss"]) if row["val_loss"] else None) for row in rows
    )
    killed = {row["id"] for row in rows if row["model.trouble"] == "kill"}
    for name in TABLES:
        lines = (here / "outputs" / "default" / name).read_bytes().splitlines(keepends=True)
        assert b"".join(w for w in lines if w.split(b",")[0].decode() not in killed) == (serial / name).read_bytes()
    assert {path.name for path in here.iterdir()} <= {"troubles.py", "outputs", "__pycache__"}


def test_groups_in_child_processes(tmp_path, serial):
    keeps_the_contract(tmp_path, serial, "hydra/launcher=basic", "hydra.sweeper.group=2")


@pytest.mark.launchers
@pytest.mark.parametrize("words", [
    ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    ("hydra/launcher=submitit_local", "hydra.sweeper.group=2"),
    ("hydra/launcher=ray", "hydra.sweeper.group=2", "hydra.launcher.ray.init.num_cpus=2",
     "hydra.launcher.ray.init.object_store_memory=80000000"),
], ids=["joblib", "submitit_local", "ray"])  # fmt: skip
def test_engines(tmp_path, serial, words):
    keeps_the_contract(tmp_path, serial, *words)


LONG = ("data.train_examples=1000", "epochs=300", "lambda=0,0.01", "seed=0,1", "name=x")


@pytest.mark.launchers
def test_a_sweep_outlives_a_node(tmp_path):
    from ray.cluster_utils import Cluster

    alone = tmp_path / "alone"
    alone.mkdir()
    assert wdrun(alone, "-m", *TINY, *LONG)[0] == 0
    small = {"num_cpus": 1, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **small})
    try:
        doomed = cluster.add_node(**small)
        words = ("-m", *TINY, *LONG, "hydra/launcher=ray", "hydra.sweeper.group=2")
        sweep = subprocess.Popen(
            [sys.executable, "-m", "wdrun", *words],
            cwd=tmp_path, env={**os.environ, "RAY_ADDRESS": cluster.address},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        root = tmp_path / "outputs" / "x"
        while sweep.poll() is None and len(begun(root)) < 2:  # one on each node
            time.sleep(0.1)
        assert len(begun(root)) == 2
        cluster.remove_node(doomed, allow_graceful=False)
        out, err = sweep.communicate(timeout=200)
    finally:
        cluster.shutdown()
    assert (sweep.returncode, len(out.splitlines())) == (0, 4), err
    starts = [log.read_text().count("runs to do") for log in root.glob(".hydra-sweep/*/*/log")]
    assert sorted(starts) == [1, 2]  # the group of the lost node, and only that one, began again
    for name in TABLES:
        assert (root / name).read_bytes() == (alone / "outputs" / "x" / name).read_bytes()


def begun(root):
    """The runs that are under way and have epochs behind them."""
    rows = {path.parent: read_run(path.parent) for path in root.glob("*/run.csv")}
    return [p for p, row in rows.items() if row and row["status"] == "running" and len(table(p / "timing.csv")) > 3]


@pytest.mark.launchers
@pytest.mark.parametrize(("objective", "best"), [("val_loss", min), ("val_accuracy", max)])
def test_optuna(tmp_path, objective, best):
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "lr=tag(log,interval(1e-3,1e-1))")
    code, printed, err = wdrun(tmp_path, "-m", *TINY, *words, f"objective={objective}")
    assert (code, len(printed)) == (0, 4), err
    assert len({r["lr"] for r in printed}) == 4
    found = float(next(line.split()[1] for line in err.splitlines() if line.startswith("best_value:")))
    assert found == best(r[objective] for r in printed)
    assert len(table(tmp_path / "outputs" / "default" / "runs.csv")) == 4


@pytest.mark.launchers
@pytest.mark.parametrize("launcher", ["wdrun", "basic", "joblib"])
def test_a_miss_is_never_0_whoever_trains(tmp_path, launcher):
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "lr=tag(log,interval(1e-3,1e-1))")
    code, _, err = wdrun(tmp_path, "-m", *TINY, *words, f"hydra/launcher={launcher}", "require.val_accuracy=0.99")
    assert code == 6, err
    assert err.count("require: val_accuracy ") == 2
    code, _, err = wdrun(tmp_path, "-m", *TINY, "lambda=0,1", f"hydra/launcher={launcher}", "require.val_accuracy=0.99")
    assert (code, err.count("require: val_accuracy ")) == (6, 2), err


# wdrun's own launcher and sweeper, as Hydra meets them


def test_hydra_finds_them():
    from hydra.core.plugins import Plugins
    from hydra.plugins.launcher import Launcher
    from hydra.plugins.sweeper import Sweeper

    for kind, name in ((Launcher, "WdrunLauncher"), (Sweeper, "WdrunSweeper")):
        assert name in {plugin.__name__ for plugin in Plugins.instance().discover(kind)}


SCRIPT = """
import hydra
from wdrun.config.options import conf_dir
from wdrun.sweep import launch

hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(launch.task)()
"""


def test_driven_through_hydra(tmp_path):
    (tmp_path / "mine.py").write_text(SCRIPT)
    words = ("-m", "hydra/launcher=wdrun", "hydra/sweeper=wdrun", "hydra.sweep.dir=there", "lambda=0,0.5", *TINY)
    done = subprocess.run(
        [sys.executable, "mine.py", *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["lambda"] for line in done.stdout.splitlines()] == [0.0, 0.5]
    assert len(table(tmp_path / "outputs" / "default" / "runs.csv")) == 2


def test_the_own_launcher_returns_objectives(here, capsys, no_signals):
    from omegaconf import OmegaConf

    lines = [[*TINY, "lambda=0"], [*TINY, "lr=1e30", "allow_diverged=true"], [*TINY, "lambda=0"]]
    returned = jobs.batch(lines, OmegaConf.create({"hydra": {"searchpath": []}}), launch.task)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r.return_value for r in returned] == [printed[0]["val_loss"], math.inf, printed[0]["val_loss"]]


@pytest.mark.parametrize(("objective", "status", "value"), [
    ("val_loss", "done", 0.75), ("val_accuracy", "done", 0.5), ("val_loss", "diverged", math.inf),
    ("val_accuracy", "diverged", -math.inf),
])  # fmt: skip
def test_the_value_of_a_job(objective, status, value):
    job, options = of([]), SweepOptions(objective=objective)
    row = {"val_loss": "0.75", "val_accuracy": "0.5", "status": status}
    assert jobs._returned(Outcome(job, status, row), options).return_value == value


def test_a_failed_job_raises_its_error(capsys):
    job = of([])
    outcome = Outcome(job, "failed", {"status": "failed"}, ArithmeticError("no"))
    returned = jobs._returned(outcome, SweepOptions())
    with pytest.raises(ArithmeticError, match="no"):
        _ = returned.return_value


# What is wrong is known before anything is launched


@pytest.mark.parametrize(("words", "message"), [
    (["lr=0.1,0"], "lr=0: must be a number > 0"),
    (["optimizer.momentum=0.5,1.5"], "optimizer.momentum=1.5"),
    (["halving=3", "lr=0.1,0.2"], "halving: unknown key; write wdrun tune decay=l2"),
    (["hydra.sweeper.group=0"], "hydra.sweeper.group=0: must be a whole number ≥ 1, or null"),
    (["fail_fast=true"], "fail_fast=true: must be false with this hydra/launcher"),
    (["hydra.launcher.nothing=1"], "hydra.launcher.nothing=1: Could not override 'hydra.launcher.nothing'"),
    (["hydra/sweeper=wdrum"], "hydra/sweeper=wdrum: must be one of "),
])  # fmt: skip
def test_nothing_is_launched(here, words, message, no_signals):
    own = [word for word in words if word.startswith("hydra")]
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        launch.command(
            [*TINY, *(w for w in words if w not in own)],
            ["hydra/launcher=basic", *own],
            {"multirun": True, "config_dir": None, "json": False},
        )
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(("word", "extra"), [
    ("hydra/launcher=joblib", "joblib"), ("hydra/launcher=submitit_slurm", "submitit"),
    ("hydra/launcher=ray", "ray"), ("hydra/sweeper=optuna", "optuna"),
])  # fmt: skip
def test_a_missing_extra_is_named(monkeypatch, word, extra):
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"^{word}: needs the extra: pip install 'wdrun\[{extra}\]'$"), \
            engine.composed([word]):  # fmt: skip
        pass


# Plans and what comes of them


def planned(here, *lines):
    """A plan of these lines, its file and its jobs."""
    parsed = remote.prepare(experiments.sweep([[*TINY, *line] for line in lines])[0])
    folders = [str(job.directory) for job in parsed]
    remote.write(remote.Plan([list(j.overrides) for j in parsed], folders, None, str(here), 1), here / "plan.json")
    return str(here / "plan.json"), parsed


def test_equal_runs_are_one(here):
    _, parsed = planned(here, ["decay=none", "lambda=0.1"], ["decay=none", "lambda=0.2"], ["lambda=0.1"])
    assert len({job.directory for job in parsed}) == len(parsed) == 2


def test_work_done_again_changes_nothing(here):
    file, (job,) = planned(here, ["lambda=0.5"])
    remote.work(file, str(here / "log"), 0, 1)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in job.directory.iterdir() if p.is_file()}
    assert before[job.directory / "run.csv"]
    remote.work(file, str(here / "log"), 0, 1)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in job.directory.iterdir() if p.is_file()} == before


def test_two_commands_whose_workers_meet_share_the_lines(here):
    """Both workers have all lines; each ends when all runs have, whichever of them trained a run."""
    file, some = planned(here, ["lambda=0.5"], ["lambda=0.25"], ["lambda=0.125"])
    threads = [threading.Thread(target=remote.work, args=(file, str(here / f"log{n}"), 0, 3)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [read_run(job.directory)["status"] for job in some] == ["done"] * 3
    logs = [(here / f"log{n}").read_text() for n in (0, 1)]
    assert not [log for log in logs if "Traceback" in log], logs


def test_a_run_that_another_command_took_over_from_a_dead_child_is_not_failed(here, monkeypatch):
    """The child dies with one run under way, which another command then holds: the next child waits for it."""
    file, (job, other) = planned(here, ["lambda=0.5"], ["lambda=0.25"])
    for each in (job, other):
        remote.fail(each.directory, "x", each.run)
        write_row(each.directory, read_run(each.directory) | {"status": "running", "cause": ""})
    children = iter(["import sys; sys.exit(9)", "import sys; sys.exit(0)"])
    popen = subprocess.Popen
    monkeypatch.setattr(
        remote.subprocess, "Popen", lambda words, **options: popen([words[0], "-c", next(children)], **options)
    )
    with hold(job.directory):
        remote.work(file, str(here / "log"), 0, 2)
    assert read_run(job.directory)["status"] == "running"
    assert read_run(other.directory)["cause"] == "the process that trained it exited with code 9"


def test_a_launch_refuses_what_training_here_refuses(here):
    root = here / "outputs" / "default"
    root.mkdir(parents=True)
    (root / "runs.csv").write_text("name,km\nmonday,5\n")
    code, printed, err = wdrun(here, "-m", *TINY, "lambda=0.5,0.25", "hydra/launcher=basic", "hydra.sweeper.group=1")
    assert (code, printed) == (2, [])
    assert "is not a table that wdrun wrote" in err
    assert [path.name for path in root.iterdir()] == ["runs.csv"]


OWN = "model._target_=tests.training.networks."


def test_what_needs_a_gpu_is_refused_only_where_there_will_be_none(here, capsys):
    lines = [[f"{OWN}OnGpu", "device=auto", "precision=auto", "budget=0.5"]]
    _, parsed = planned(here, *lines)
    assert parsed[0].run.lam > 0
    assert (parsed[0].run.device, parsed[0].run.precision) == ("auto", "auto")
    with pytest.raises(ConfigError, match="no kernel for the CPU"):
        planned(here, [f"{OWN}OnGpu", "device=cpu"])
    with pytest.raises(ConfigError, match="its output is a tuple"):  # on every machine
        planned(here, [f"{OWN}Pair", "device=auto"])


def test_a_run_that_no_worker_ended_is_a_failed_row(here):
    _, (lost, held) = planned(here, ["lambda=0.5"], ["lambda=0.25"])
    with hold(held.directory):
        outcomes = remote.collect([lost, held], [], "its worker was lost: no reason", {})
    assert [o.status for o in outcomes] == ["failed", "busy"]
    assert outcomes[0].row["cause"] == "its worker was lost: no reason"
    assert [row["status"] for row in table(lost.directory / "run.csv")] == ["failed"]
    assert table(lost.directory / "metrics.csv") == []
    assert not (held.directory / "run.csv").exists()


def has_ended(job, **summary):
    """Its folder has a row that says so."""
    with hold(job.directory):
        write_row(job.directory, run_row(job.run, summary))


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_an_end_of_an_earlier_command_is_none_of_this_one(here, status):
    _, (lost, ended) = planned(here, ["lambda=0.5"], ["lambda=0.25"])
    for job in (lost, ended):
        has_ended(job, status=status, cause="earlier")
    before = rows_of([lost, ended])
    has_ended(ended, status=status, cause="now")
    outcomes = remote.collect([lost, ended], [], "its worker was lost", before)
    assert [(o.status, o.row["cause"]) for o in outcomes] == [("failed", "its worker was lost"), (status, "now")]


def test_a_worker_that_cannot_begin_is_a_failure_and_no_signal(here, monkeypatch, no_signals):
    (job,) = listed(here / "out", "seed=0").left
    has_ended(job, status="interrupted")
    monkeypatch.setattr(remote, "CHILD", "raise SystemExit(9)")
    engine = ["hydra/launcher=basic"]
    (outcome,) = launch.grow(Listed([job]), lambda outcome: None, engine, here / "out" / "default", None)
    assert (outcome.status, outcome.row["cause"].partition(";")[0]) == ("failed", "its worker ended before it did")


def ray_of(init=(), **remote):
    return {
        "_target_": "x.RayLauncher",
        "ray": {"init": {"address": None, "num_cpus": None, **dict(init)}, "remote": {"num_cpus": 1, **remote}},
    }


@pytest.mark.parametrize(("launcher", "workers"), [
    ({"_target_": "x.JoblibLauncher", "n_jobs": 3}, 3),
    ({"_target_": "x.SlurmLauncher", "array_parallelism": 4}, 4),
    ({"_target_": "x.SlurmLauncher", "array_parallelism": 256}, 16),
    ({"_target_": "x.BasicLauncher"}, 1),
    ({"_target_": "x.JoblibLauncher", "n_jobs": -1}, 6),
    ({"_target_": "x.JoblibLauncher", "n_jobs": "${oc.decode:'3'}"}, 3),
    ({"_target_": "x.LocalLauncher", "cpus_per_task": 2}, 3),
    ({"_target_": "x.RayLauncher", "ray": {}}, 6),
    (ray_of(num_cpus=0), 16),  # nothing bounds it
    (ray_of(), 6),
    (ray_of({"num_cpus": 2}), 2),
    (ray_of({"num_cpus": 2}, num_cpus=4), 1),
    (ray_of({"address": "local", "num_cpus": 2}, num_cpus=0.5), 4),
    (ray_of({"num_gpus": 2}, num_gpus=0.5), 4),
    (ray_of({"num_cpus": 2, "num_gpus": 2}, num_gpus=0.5), 2),
    (ray_of({"address": "there:6379"}), 16),  # it does not say
    ({"_target_": "x.RayAWSLauncher", "ray": {"init": {"address": None}}}, 16),
])  # fmt: skip
def test_workers_a_launcher_tells(launcher, workers, monkeypatch):
    monkeypatch.setattr(cores, "_here", cores.Placement(tuple(range(6))))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = OmegaConf.create({"hydra": {"launcher": launcher}})
    assert groups.workers(config) == workers
    if "ray" in launcher:
        monkeypatch.setenv("RAY_ADDRESS", "there:6379")
        own = launcher["ray"].get("init", {}).get("address") == "local"
        assert groups.workers(config) == (workers if own else 16)


class Listed(Source):
    """Gives the jobs of a list, and notes how many it is asked for and which seeds it hears have ended."""

    def __init__(self, given):
        self.left, self.log = list(given), []

    def more(self, count):
        found, self.left = self.left[:count], self.left[count:]
        self.log.append((count, len(found)))
        return found

    def ended(self, outcome):
        self.log.append((outcome.job.run.seed, outcome.status))


def listed(folder, *seeds):
    return Listed([of([f"output_dir={folder}", "lambda=0.5", *words.split()]) for words in seeds])


@pytest.mark.launchers
def test_what_grows_is_trained_a_batch_for_the_workers_at_a_time(here):
    """The rest of a batch ends beside a run that fails; a failure stops what follows only where that is asked for."""
    root = here / "out" / "default"
    source = listed(here / "out", "seed=0 lr=1e30 schedule=constant", "seed=1001", "seed=1002")
    engine = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    outcomes = launch.grow(source, source.ended, engine, root, None)
    assert source.log == [(2, 2), (0, "diverged"), (1001, "done"), (2, 1), (1002, "done"), (2, 0)]
    assert [outcome.status for outcome in outcomes] == ["diverged", "done", "done"]
    assert not (root / "plan.csv").exists()


def test_what_grows_stops_at_a_failure_with_fail_fast(here, capsys):
    source = listed(here / "out", "seed=0 lr=1e30 schedule=constant", "seed=1")
    root = here / "out" / "default"
    (outcome,) = launch.grow(source, source.ended, ["hydra/launcher=basic"], root, None, fail_fast=True)
    assert outcome.status == "diverged"
    assert source.log == [(1, 1), (0, "diverged")]
    assert "fail_fast=true" in capsys.readouterr().err


def test_an_interrupted_batch_tells_of_the_runs_that_had_ended(here, monkeypatch):
    first, second = listed(here / "out", "seed=0", "seed=1").left
    source = Listed([first, second])

    def ends_one(asked, *rest, **options):
        settle(first, Stop(), Watch())
        raise KeyboardInterrupt

    monkeypatch.setattr(groups, "handed", ends_one)
    monkeypatch.setattr(groups, "workers", lambda config: 2)
    with pytest.raises(Interrupted):
        launch.grow(source, source.ended, ["hydra/launcher=basic"], here / "out" / "default", None)
    assert source.log == [(2, 2), (0, "done")]


def test_a_launch_waits_in_any_thread(here):
    source, ended = listed(here / "out", "seed=0"), []
    root = here / "out" / "default"
    asking = lambda: ended.extend(launch.grow(source, source.ended, ["hydra/launcher=basic"], root, None))  # noqa: E731
    thread = threading.Thread(target=asking)
    thread.start()
    thread.join()
    assert [outcome.status for outcome in ended] == ["done"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_ends_the_waiting_for_an_engine(signum):
    def waits():
        os.kill(os.getpid(), signum)
        time.sleep(10)

    with pytest.raises(Interrupted) as stop, launch._interruptible():
        waits()
    assert stop.value.signum == signum


def test_the_presets_name_plugins_that_have_an_extra():
    folder = conf_dir() / "hydra"
    names = {path.stem.removeprefix("wdrun_") for path in folder.glob("*/wdrun_*.yaml")}
    assert names == set(engine.EXTRAS)
