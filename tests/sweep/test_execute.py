"""Many runs: the same bytes in turn and side by side, whatever some of them do; killed, interrupted, stopped early."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.runs import TINY, asked, changed, jobs
from wdrun.config.run import SweepOptions
from wdrun.errors import ConfigError
from wdrun.sweep import one_run, preparation
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import ready
from wdrun.sweep.outcome import exit_code
from wdrun.sweep.preparation import check, ways
from wdrun.tables import aggregate
from wdrun.tables.columns import run_row

TABLES = ("runs.csv", "metrics.csv", "layers.csv", "histograms.csv")
OWN = """
import os, signal, sys
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, how):
        super().__init__()
        self.how, self.flatten, self.fc = how, nn.Flatten(), nn.Linear(3072, classes)

    def forward(self, x):
        if len(x) == 4:  # the dry run
            return self.fc(self.flatten(x))
        if self.how == "raise":
            raise ArithmeticError("out of numbers")
        if self.how == "exit":
            sys.exit(3)
        if self.how == "leave":
            os._exit(4)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.fc(self.flatten(x))
"""


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def contents(folder, names=TABLES):
    return {name: (folder / "default" / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A module of the user's whose network fails in every way."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "sweep_net.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(folder)
        yield folder


MIXED = ("model._target_=sweep_net.Net", "+model.how=raise,fine,leave,exit,kill")


@pytest.fixture(scope="module")
def mixed(own, tmp_path_factory):
    """A sweep of two processes in which runs raise, exit, are killed and diverge: outcomes, folder, order of ending."""
    folder = tmp_path_factory.mktemp("mixed")
    order = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("wdrun.tables.aggregate.REFRESH_SECONDS", 0.0)
        monkeypatch.setattr("wdrun.tables.aggregate.REFRESH_SHARE", 0.0)
        wild = jobs(folder, "lr=1e9", "schedule=constant")
        outcomes = execute([*jobs(folder, *MIXED), *wild], SweepOptions(parallel=2), order.append)
    return outcomes, folder, order


def test_each_run_ends_in_its_own_way(mixed):
    outcomes, _, order = mixed
    found = {}
    for outcome in outcomes:
        how = outcome.job.run.model.get("how", "wild")
        found.setdefault(how, set()).add((outcome.status, outcome.row["cause"].partition(" (")[0]))
    diverged = found.pop("wild")
    assert found == {
        "fine": {("done", "")},
        "raise": {("failed", "ArithmeticError: out of numbers")},
        "exit": {("failed", "SystemExit: 3")},
        "leave": {("failed", "worker exited with 4")},
        "kill": {("failed", "worker ended by signal 9")},
    }
    assert {status for status, _ in diverged} == {"diverged"}
    assert sorted(map(id, order)) == sorted(map(id, outcomes))
    assert exit_code(outcomes) == 1


def test_each_failure_has_its_log_and_row(mixed):
    outcomes, folder, _ = mixed
    logs = {o.job.run.model["how"]: (o.directory / "error.log").read_text() for o in outcomes if o.status == "failed"}
    assert logs["raise"].startswith("Traceback (most recent call last):\n")
    assert logs["exit"].endswith("SystemExit: 3\n")
    assert logs["kill"].startswith("worker ended by signal 9\nSIGKILL.")
    assert logs["leave"].startswith("worker exited with 4\n")
    rows = {row["id"]: row for row in table(folder / "default" / "runs.csv")}
    assert {i: row["status"] for i, row in rows.items()} == {o.job.run.id: o.status for o in outcomes}


def test_side_by_side_gives_the_bytes_of_one_after_another(mixed, own, tmp_path):
    _, folder, _ = mixed
    first, *_ = execute(jobs(tmp_path, "model._target_=sweep_net.Net", "+model.how=fine", "seed=0,1")[::-1])[::-1]
    assert first.status == "done"
    there = folder / "default" / first.directory.name
    for name in ("run.csv", "metrics.csv", "layers.csv", "last.safetensors", "best.safetensors"):
        assert (first.directory / name).read_bytes() == (there / name).read_bytes()


def test_the_same_sweep_again_trains_the_failed_ones_only(mixed, own, monkeypatch):
    outcomes, folder, _ = mixed
    monkeypatch.setattr(one_run, "train", lambda job, *rest: run_row(job.run, {"status": "done", "val_loss": 0.5}))
    again = execute([*jobs(folder, *MIXED), outcomes[-1].job])
    assert [(o.status, o.skipped) for o in again] == [
        ("done", False), ("done", True), ("done", False), ("done", False), ("done", False), ("diverged", True),
    ]  # fmt: skip


@pytest.mark.parametrize("allowed", [False, True])
def test_fail_fast_ends_at_the_first_bad_run(own, tmp_path, capsys, allowed):
    words = ("lr=0.1,1e9,0.2", "schedule=constant", "fail_fast=true", f"allow_diverged={str(allowed).lower()}")
    for _ in range(2):  # and the same command ends in the same place
        outcomes = execute(*asked(tmp_path, *words))
        assert [o.status for o in outcomes] == ["done", "diverged", "done" if allowed else "waiting"]
        said = capsys.readouterr().err
        assert ("stopped  fail_fast=true" in said, "1 waiting" in said) == (not allowed, not allowed)
    assert exit_code(outcomes) == (0 if allowed else 3)
    assert len(table(tmp_path / "default" / "runs.csv")) == (3 if allowed else 2)


@pytest.mark.long
def test_fail_fast_interrupts_the_others_side_by_side(own, tmp_path):
    net = ("model._target_=sweep_net.Net",)
    long = jobs(tmp_path, *net, "+model.how=fine", "epochs=100000", "seed=0,1")
    options = SweepOptions(parallel=2, fail_fast=True)
    outcomes = execute([long[0], *jobs(tmp_path, *net, "+model.how=raise"), long[1]], options)
    assert [o.status for o in outcomes] == ["interrupted", "failed", "waiting"]
    assert exit_code(outcomes) == 1


def test_the_tables_are_there_while_the_sweep_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("wdrun.tables.aggregate.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("wdrun.tables.aggregate.REFRESH_SHARE", 0.0)
    monkeypatch.setattr("wdrun.terminal.board.REDRAW_SECONDS", 0.0)
    seen = []

    def look(outcome):
        seen.append([row["status"] for row in table(tmp_path / "default" / "runs.csv")])

    execute(jobs(tmp_path, "seed=0,1,2"), on_end=look)
    assert [len(statuses) for statuses in seen] == [1, 2, 3]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("run.csv", b"a,b\n1,2\n", "run.csv is not a table of wdrun's"),
        ("run.csv", b'"\n', "run.csv is no CSV"),
        ("metrics.csv", b"id\nx", "metrics.csv is cut off"),
        ("layers.csv", b"id\nx\n", "layers.csv has other columns"),
        ("timing.csv", None, "No such file"),
    ],
)
def test_a_broken_folder_is_left_out_of_the_tables_and_named(tmp_path, capsys, file, content, reason):
    _, second = execute(jobs(tmp_path, "seed=0,1"))
    only = contents(tmp_path)
    broken = second.directory.rename(second.directory.with_name("elsewhere")) / file
    broken.unlink()
    if content is not None:
        broken.write_bytes(content)
    said = []
    assert aggregate.write(tmp_path / "default", said.append) == 1
    (line,) = said
    assert str(broken.parent) in line
    assert reason in line
    assert len(table(tmp_path / "default" / "runs.csv")) == 1
    execute(jobs(tmp_path, "seed=1"))
    capsys.readouterr()
    assert contents(tmp_path) == only


# How many processes


def processes(monkeypatch, *trainers, parallel, jobs=100, cores=8):
    """What the sweep decides for trainers of (device, threads)."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    built = [
        SimpleNamespace(
            run=SimpleNamespace(threads=threads),
            machine=SimpleNamespace(
                device=SimpleNamespace(type=device), threads=cores if threads == "auto" else threads
            ),
        )
        for device, threads in trainers
    ]
    monkeypatch.setattr(preparation, "check", lambda jobs, build: iter(built))
    return ways([None] * jobs, SweepOptions(parallel=parallel, fuse=False))[0]


def test_the_number_of_processes(monkeypatch):
    cpu, gpu = ("cpu", "auto"), ("cuda", "auto")
    assert processes(monkeypatch, cpu, parallel="auto") == 8
    assert processes(monkeypatch, cpu, parallel="auto", jobs=3) == 3
    assert processes(monkeypatch, ("cpu", 3), parallel="auto") == 2
    assert processes(monkeypatch, ("cpu", 16), parallel="auto") == 1
    assert processes(monkeypatch, cpu, ("cpu", 4), parallel="auto") == 2
    assert processes(monkeypatch, gpu, parallel="auto") == 1
    assert processes(monkeypatch, cpu, parallel=4) == 4
    assert processes(monkeypatch, cpu, parallel=4, jobs=2) == 2
    assert processes(monkeypatch, gpu, parallel=2, jobs=1) == 1
    with pytest.raises(ConfigError, match=r"parallel=2: processes that share a GPU take turns on it; use parallel=1"):
        processes(monkeypatch, gpu, parallel=2)


def test_threads_are_divided_unless_they_were_given(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    (job,) = jobs(tmp_path, "threads=auto")
    assert [ready(job.run, share).machine.threads for share in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    (job,) = jobs(tmp_path, "threads=5")
    assert ready(job.run, 4).machine.threads == 5


def test_a_thousand_jobs_of_one_structure_are_checked_by_one_trainer(tmp_path):
    built = []
    (job,) = jobs(tmp_path)
    many = [replace(job, run=replace(job.run, lam=i / 1000, seed=i)) for i in range(1000)]
    list(check(many, built.append))
    assert built == [many[0].run]


# Killed and interrupted

LONG = changed(TINY, "model=mlp", "model.hidden=[16]", "epochs=60", "batch_size=8", "lambda=1e-2,1e-1", "seed=0,1")


def start(here, words=LONG):
    return subprocess.Popen(
        [sys.executable, "-m", "wdrun", "-m", *words, "parallel=2"],
        cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def begun(pid):
    """The processes that `pid` and those began, but for multiprocessing's tracker: two workers' origin, and they."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat, open(f"/proc/{name}/cmdline") as line:
                if "resource_tracker" not in line.read():
                    parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def training(here, least):
    """Whether so many runs have their first epoch on disk; the tables are written again a second later."""
    return sum(len(t.read_text().splitlines()) > 1 for t in here.glob("outputs/default/*/metrics.csv")) >= least


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds processes in /proc")
def test_interrupted_and_killed_sweeps_go_on_and_end_the_same(here, capsys):
    root = here / "outputs" / "default"
    with start(here) as process:  # Ctrl-C while all load: the signal reaches every process of the group
        until(lambda: begun(process.pid))
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err, root.exists()) == (130, False, False), err
    with start(here) as process:  # … and while it trains
        until(lambda: training(here, 2))
        others = begun(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "2 interrupted, 2 waiting" in err
    assert [row["status"] for row in table(root / "runs.csv")] == ["interrupted", "interrupted"]
    assert len(others) == 3
    until(lambda: not any(map(alive, others)))

    before = {p.parent.name: int(table(p)[0]["epochs_done"]) for p in root.glob("*/run.csv")}
    with start(here) as process:  # the parent alone is killed: its workers see it and leave
        until(lambda: process.poll() is not None or (len(begun(process.pid)) == 3 and any(
            row["status"] == "running" for p in root.glob("*/run.csv") for row in table(p))))  # fmt: skip
        assert process.poll() is None, process.communicate()[1]
        others = begun(process.pid)
        process.kill()
        until(lambda: not any(map(alive, others)), 15)
        process.communicate(timeout=60)

    capsys.readouterr()
    outcomes = execute(jobs(here / "outputs", base=LONG))
    assert [o.status for o in outcomes] == ["done"] * 4
    assert sum(before.values()) > 0
    assert "resuming after epoch" in capsys.readouterr().err
    execute(jobs(here / "whole", base=LONG)[::-1])
    assert contents(here / "outputs") == contents(here / "whole")


@pytest.mark.long
def test_a_group_killed_at_any_moment_goes_on_and_ends_the_same(here):
    longer = changed(LONG, "epochs=300")  # not over before the last kill
    waits = random.Random(0)
    for _ in range(4):
        with start(here, longer) as process:
            until(lambda: len(begun(process.pid)) == 3)
            time.sleep(waits.uniform(2, 6))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
    with start(here, longer) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    execute(jobs(here / "whole", base=longer))
    assert contents(here / "outputs") == contents(here / "whole")


def of_other_data(outcome):
    """Let the run's row say that it was trained on other data."""
    path = outcome.directory / "run.csv"
    path.write_text(path.read_text().replace(outcome.row["data_digest"], "0" * 64))


def test_what_is_skipped_though_it_has_other_data_is_told_once(tmp_path, capsys):
    outcomes = execute(*asked(tmp_path, "seed=0,1,2", "epochs=1"))
    here = outcomes[0].row["data_digest"][:12]
    capsys.readouterr()
    execute(*asked(tmp_path, "seed=0,1,2", "epochs=1"))
    assert "other data" not in capsys.readouterr().err
    for outcome in outcomes[:2]:
        of_other_data(outcome)
    said = f"trained on other data, SHA-256 000000000000…, than the same command gives here, {here}…; take another"
    execute(*asked(tmp_path, "seed=0,1,2", "epochs=1"))
    err = capsys.readouterr().err
    assert f"warning: {outcomes[0].directory} (and 1 more): {said} name= to train on these\n" in err
    execute(*asked(tmp_path, "seed=1", "epochs=1"))
    err = capsys.readouterr().err
    assert (
        f"already done: {outcomes[1].directory}\nwarning: {outcomes[1].directory}: {said} name= to train on these\n"
        in err
    )


def test_zeros_of_either_kind_are_one_run(tmp_path):
    words = ("model=mlp", "model.hidden=[2]", "epochs=1")
    outcomes = execute(*asked(tmp_path, *words, "model.dropout=0,0.0,-0.0", "lambda=0,0.0,-0.0", "data.noise=1,1.0"))
    assert len(outcomes) == len(list((tmp_path / "default").glob("*/run.csv"))) == 1
    assert "-0" not in outcomes[0].directory.name.replace("-s0-", "")
