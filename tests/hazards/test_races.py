"""Many processes at once: one cold cache, one run, one sweep, and readers of what others are writing."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import runs
from tests.data import stand_in as cifar
from tests.data.stand_in import stand_in  # noqa: F401 - a fixture every test here has: the stand-in is CIFAR-10
from tests.runs import SMALLEST, changed
from wdrun.data import cache
from wdrun.storage import write_atomically
from wdrun.sweep import one_run, recording
from wdrun.sweep.execute import execute
from wdrun.sweep.outcome import exit_code, print_result
from wdrun.tables import aggregate, sound, status
from wdrun.tables.columns import TABLES
from wdrun.tables.read import load, read_run

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="torch cannot train in a forked process beside CUDA"),
]

FORK = multiprocessing.get_context("fork")  # spawning would import torch in each
HANG_SECONDS = 120

WORDS = changed(SMALLEST, "epochs=3", "lambda=1e-2", "fuse=false", "parallel=1")
jobs = partial(runs.jobs, base=WORDS)
ROOT_TABLES = ("runs.csv", "metrics.csv", "layers.csv", "histograms.csv")


def at_once(tasks, log):
    """Start all tasks in processes of their own, let them go together; their exit codes and outputs."""
    gate = FORK.Barrier(len(tasks))

    def run(number, task):
        signal.alarm(HANG_SECONDS)
        for stream in (1, 2):
            os.dup2(os.open(log / f"{number}.{stream}", os.O_WRONLY | os.O_CREAT), stream)
        import sys

        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        gate.wait()
        try:
            code = task()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code or 0)

    log.mkdir(exist_ok=True)
    processes = [FORK.Process(target=run, args=(number, task)) for number, task in enumerate(tasks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG_SECONDS)
        process.kill()
    ends = [(log / f"{number}.1", log / f"{number}.2") for number in range(len(tasks))]
    return [p.exitcode for p in processes], [tuple(path.read_text() for path in pair) for pair in ends]


def typed(parsed):
    """A task: the jobs as the command line trains them."""

    def task():
        return exit_code(execute(parsed, on_end=print_result))

    return task


def tables(folder):
    return {name: (folder / name).read_bytes() for name in ROOT_TABLES}


@pytest.mark.parametrize("damaged", [False, True])
def test_sixteen_processes_on_one_cold_or_damaged_cache_build_it_once(damaged, tmp_path):
    folder, built = tmp_path / "data" / "cifar10", tmp_path / "built"
    if damaged:
        cache.open_or_build(folder, lambda scratch: cifar.made())
        (folder / "test_images.npy").write_bytes(b"")

    def slow(scratch):
        with built.open("a") as file:
            file.write("built\n")
        time.sleep(0.5)
        return cifar.made()

    def task():
        opened = cache.open_or_build(folder, slow)
        return 0 if all(np.array_equal(opened[name], table) for name, table in cifar.made().items()) else 1

    codes, said = at_once([task] * 16, tmp_path / "log")
    assert codes == [0] * 16, said
    assert built.read_text() == "built\n"
    left = {p.name for p in folder.parent.iterdir()}
    assert left <= {"cifar10", "cifar10.lock", *(["cifar10.damaged"] if damaged else [])}


def slowly(monkeypatch, seconds):
    """Let every epoch take so long."""
    true = recording.Record.take

    def take(record, epoch, save=True):
        time.sleep(seconds)
        true(record, epoch, save)

    monkeypatch.setattr(recording.Record, "take", take)


@pytest.mark.parametrize("resumed", [False, True])
def test_of_two_commands_on_one_run_one_trains_it(resumed, tmp_path, monkeypatch):
    parsed, whole = jobs(tmp_path / "runs"), jobs(tmp_path / "whole")
    execute(whole)
    slowly(monkeypatch, 0.3)
    if resumed:

        def dying():
            true = recording.Record.take

            def take(record, epoch, save=True):
                true(record, epoch, save)
                os._exit(9)

            recording.Record.take = take
            return typed(parsed)()

        assert at_once([dying], tmp_path / "first")[0] == [9]
    codes, said = at_once([typed(parsed)] * 3, tmp_path / "log")
    assert sorted(codes) == [0, 4, 4], said
    for code, (out, err) in zip(codes, said, strict=True):
        if code:
            assert "busy: " in err
            assert "another process is training this run" in err
        else:
            assert json.loads(out)["status"] == "done"
            assert ("resuming after epoch 1 of 3" in err) == resumed
    names = ("run.csv", "metrics.csv", "layers.csv", "last.safetensors")
    for name in names:
        assert (parsed[0].directory / name).read_bytes() == (whole[0].directory / name).read_bytes()


def results(said):
    """What each process printed of its runs: the seeds in order, all of them whole."""
    found = []
    for out, err in said:
        assert "Traceback" not in err
        lines = [json.loads(line) for line in out.splitlines()]
        assert all(line["status"] == "done" and line["val_loss"] is not None for line in lines), lines
        found.append(sorted(line["seed"] for line in lines))
    return found


def test_sweeps_that_overlap_in_one_folder_share_the_work(tmp_path, monkeypatch):
    seeds = ("seed=0,1,2,3", "seed=2,3,4,5", "seed=5,4,1,0")
    execute(jobs(tmp_path / "whole", "seed=0,1,2,3,4,5"))
    slowly(monkeypatch, 0.02)
    codes, said = at_once([typed(jobs(tmp_path / "runs", words)) for words in seeds], tmp_path / "log")
    assert codes == [0, 0, 0], said
    assert results(said) == [[0, 1, 2, 3], [2, 3, 4, 5], [0, 1, 4, 5]]
    assert tables(tmp_path / "runs" / "default") == tables(tmp_path / "whole" / "default")
    assert not list(tmp_path.rglob("*.tmp"))


def trained(monkeypatch, trace, seconds=0.05):
    """Let every epoch take so long, and note which process trains it: what each call of the result tells."""
    slowly(monkeypatch, seconds)
    slow = recording.Record.take

    def take(record, epoch, save=True):
        with trace.open("a") as file:
            file.write(f"{record.job.run.id} {epoch.number} {os.getpid()}\n")
        slow(record, epoch, save)

    monkeypatch.setattr(recording.Record, "take", take)
    return lambda: [line.split() for line in trace.read_text().splitlines()]


SHARED = {
    "in turn": ("seed=0,1,2,3",),
    "fused": ("seed=0,1,2,3", "fuse=true"),
    "two families, fused": ("seed=0,1", "batch_size=16,8", "fuse=true"),
    "several axes": ("lambda=0,1e-2", "lr=1e-2,2e-2"),
}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("way", SHARED)
def test_the_same_sweep_in_several_terminals_is_one_sweep(way, count, tmp_path, monkeypatch):
    """Each ends 0 with every run's row; each epoch is trained by one of them, and the tables are those of one."""
    words = SHARED[way]

    def task(place):
        parsed, options = runs.asked(place, *words, base=WORDS)
        return lambda: exit_code(execute(parsed, options, print_result))

    assert task(tmp_path / "whole")() == 0
    epochs = trained(monkeypatch, tmp_path / "epochs")
    codes, said = at_once([task(tmp_path / "runs")] * count, tmp_path / "log")
    assert codes == [0] * count, said
    rows = [sorted(json.dumps(json.loads(line), sort_keys=True) for line in out.splitlines()) for out, _ in said]
    assert rows == [rows[0]] * count
    assert len({(run, number) for run, number, _ in epochs()}) == len(epochs())
    found, whole = (tmp_path / place / "default" for place in ("runs", "whole"))
    if "fuse=true" in words:  # in groups of other sizes, whose sums differ in the last bits
        mine, one = load([found]), load([whole])
        assert mine.problems == ()
        assert mine.runs["id"].tolist() == one.runs["id"].tolist()
        assert mine.metrics["data_loss"].tolist() == pytest.approx(one.metrics["data_loss"].tolist(), rel=1e-5)
    else:
        for name in ROOT_TABLES:
            assert (found / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_one_leaves_when_it_is_killed_the_other_trains(tmp_path, monkeypatch):
    execute(jobs(tmp_path / "whole", "seed=0,1,2"))
    epochs = trained(monkeypatch, tmp_path / "epochs")
    parsed = jobs(tmp_path / "runs", "seed=0,1,2")

    def dying():
        slow = recording.Record.take

        def take(record, epoch, save=True):
            slow(record, epoch, save)
            if epoch.number == 2:
                while "waiting  for" not in (tmp_path / "log" / "1.2").read_text():
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)

        recording.Record.take = take
        execute(parsed[:1] + jobs(tmp_path / "runs", "seed=7"))

    def waiting():
        while not (parsed[0].directory / "run.csv").exists():
            time.sleep(0.01)
        return typed(parsed)()

    codes, said = at_once([dying, waiting], tmp_path / "log")
    assert codes == [-signal.SIGKILL, 0], said
    assert results(said[1:]) == [[0, 1, 2]]
    assert f"waiting  for 1 run that another process trains: {parsed[0].directory.name}" in said[1][1]
    assert "resuming after epoch 2 of 3" in said[1][1]
    by = {number: pid for run, number, pid in epochs() if run == parsed[0].run.id}
    assert sorted(by) == ["1", "2", "3"]
    assert by["1"] == by["2"] != by["3"]
    for job in parsed:
        for name in ("run.csv", "metrics.csv", "layers.csv", "last.safetensors"):
            whole = tmp_path / "whole" / "default" / job.directory.name / name
            assert (job.directory / name).read_bytes() == whole.read_bytes(), name


def test_a_run_that_fails_is_trained_by_one_of_two_commands(tmp_path, monkeypatch):
    slowly(monkeypatch, 0.05)
    true, tries = one_run.train, tmp_path / "tries"

    def train(job, *rest):
        if job.run.seed == 1:
            with tries.open("a") as file:
                file.write("x")
            raise ArithmeticError("out of numbers")
        return true(job, *rest)

    monkeypatch.setattr(one_run, "train", train)
    codes, said = at_once([typed(jobs(tmp_path / "runs", "seed=0,1,2"))] * 2, tmp_path / "log")
    assert codes == [1, 1], said
    for out, _ in said:
        rows = {line["seed"]: line for line in map(json.loads, out.splitlines())}
        assert {seed: row["status"] for seed, row in rows.items()} == {0: "done", 1: "failed", 2: "done"}
        assert rows[1]["cause"] == "ArithmeticError: out of numbers"
    assert tries.read_text() == "x"


def test_side_by_side_in_two_terminals(tmp_path):
    """The real command, each with two workers."""
    words = [f"output_dir={tmp_path / 'runs'}", "parallel=2", "seed=0,1,2,3,4,5", "epochs=60"]
    command = [sys.executable, "-m", "wdrun", "-m", *changed(WORDS, *words)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=HANG_SECONDS) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert results(said) == [[0, 1, 2, 3, 4, 5]] * 2
    assert load([tmp_path / "runs" / "default"]).runs["status"].tolist() == ["done"] * 6


def test_processes_that_aggregate_one_folder_write_the_same_whole_tables(tmp_path):
    execute(jobs(tmp_path, "seed=0,1,2"))
    folder = tmp_path / "default"
    expected = tables(folder)

    def task():
        for _ in range(10):
            if aggregate.write(folder) != 3 or tables(folder) != expected:
                return 1
        return 0

    codes, said = at_once([task] * 6, tmp_path.parent / f"{tmp_path.name}-log")
    assert codes == [0] * 6, said
    assert tables(folder) == expected


def test_readers_find_every_table_whole_while_a_writer_replaces_them(tmp_path):
    """Two versions of one run's tables in turn, 200 times and more: a reader sees rows of one, never half of them."""
    (job,) = jobs(tmp_path)
    execute([job])
    folder, directory = tmp_path / "default", job.directory
    whole = load([folder])
    long = {name: (directory / f"{name}.csv").read_bytes() for name in TABLES}
    short = {name: b"".join(text.splitlines(keepends=True)[:2]) for name, text in long.items()}
    row = (directory / "run.csv").read_bytes()
    running = row.replace(b",done,", b",running,")
    stop, reads = tmp_path / "stop", tmp_path / "reads"
    reads.mkdir()

    def write():
        for number in range(4000):
            if number >= 200 and len([*reads.iterdir()]) == len(looks):
                break
            # As a run that goes on: its row says "running" until all of its tables are those of its end.
            write_atomically(directory / "run.csv", running)
            for name, text in (short if number % 2 else long).items():
                write_atomically(directory / f"{name}.csv", text)
            if number % 2 == 0:
                write_atomically(directory / "run.csv", row)
            aggregate.write(folder)
        stop.touch()
        return 0

    def read(number, look):
        count = 0
        while not stop.exists():
            look()
            count += 1
            if count == 10:
                (reads / str(number)).touch()
        return 0

    def results_are_whole():
        found = load([folder])
        assert found.problems == ()
        for name in TABLES:
            lengths = {len(getattr(whole, name)), len(short[name].splitlines()) - 1}
            assert len(getattr(found, name)) in lengths, name
        if found.runs["status"].tolist() == ["done"] and len(found.metrics) == len(whole.metrics):
            assert found.metrics.equals(whole.metrics)

    def status_is_whole():
        lines = status.report(folder)
        assert not [line for line in lines if "cannot be read" in line], lines

    def tables_are_whole():
        for name in (*TABLES, "runs"):
            header, _ = sound.whole(folder / f"{name}.csv")
            assert header[0] == "id"

    def row_is_whole():
        found = read_run(directory)
        assert found is not None
        assert found["status"] in ("done", "running")
        assert found["test_loss"] == str(whole.runs["test_loss"][0])

    looks = (results_are_whole, status_is_whole, tables_are_whole, row_is_whole)
    tasks = [write, *(lambda n=n, look=look: read(n, look) for n, look in enumerate(looks))]
    codes, said = at_once(tasks, tmp_path.parent / f"{tmp_path.name}-log")
    assert codes == [0] * 5, said
    assert len([*reads.iterdir()]) == len(looks)  # each read ten times and more


def test_a_run_is_read_while_it_trains(tmp_path, monkeypatch):
    """select and status on a sweep that goes on: runs that are not finished are told and not ranked."""
    slowly(monkeypatch, 0.02)
    folder = tmp_path / "runs" / "default"
    parsed = jobs(tmp_path / "runs", "lr=1e-2,2e-2,3e-2", "seed=0,1")
    stop: Path = tmp_path / "stop"

    def write():
        code = typed(parsed)()
        stop.touch()
        return code

    def read():
        reads = 0
        while not stop.exists():
            if list(folder.glob("*/run.csv")):
                found = load([folder])
                assert found.problems == (), found.problems
                assert set(found.runs["status"]) <= {"running", "done"}
                assert not [line for line in status.report(folder) if "cannot be read" in line]
                reads += 1
        return 0 if reads else 1

    codes, said = at_once([write, read, read], tmp_path / "log")
    assert codes == [0, 0, 0], said
