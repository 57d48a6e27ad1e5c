"""SIGINT, SIGTERM and SIGHUP at every phase, a second signal, closed terminals and pipes, and random SIGKILLs.

The folder is always one that the same command goes on with, to the bytes of a run that nobody stopped.
"""

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial

import pytest

from tests.hazards.deaths import PLACE, TWO, WORDS, Case, content, pytestmark, train, uninterrupted, warm  # noqa: F401
from tests.hazards.durable import child
from tests.runs import changed
from wdrun import cli, data
from wdrun.config import experiments
from wdrun.sweep import checkpoint, outcome, recording
from wdrun.sweep.execute import execute
from wdrun.sweep.signals import Stop
from wdrun.tables import aggregate
from wdrun.tables.read import read_run
from wdrun.training.evaluation import Evaluator
from wdrun.training.step import Step

EPOCHS = "epochs=3"
MANY = (*TWO, EPOCHS)


def sends(where, name, signum, times=1, nth=1, after=False):
    """Make the nth call of `where.name` send this process the signal, in its first moment or its last."""
    true, calls = getattr(where, name), []

    def call(*arguments, **options):
        calls.append(1)
        if len(calls) == nth and not after:
            for _ in range(times):
                os.kill(os.getpid(), signum)
        result = true(*arguments, **options)
        if len(calls) == nth and after:
            os.kill(os.getpid(), signum)
        return result

    setattr(where, name, call)


# phase: what to do it with, and whether the program has something to save then (else it just ends)
PHASES = {
    "config": (lambda s: sends(experiments, "sweep", s), False),
    "data": (lambda s: sends(data, "load", s), False),
    "before the first step": (lambda s: sends(recording.Record, "__init__", s, after=True), True),
    "mid-epoch": (lambda s: sends(Step, "__call__", s, nth=2), True),
    "evaluation": (lambda s: sends(Evaluator, "batches", s, nth=2), True),
    "checkpoint": (lambda s: sends(checkpoint, "encode", s, nth=2), True),
    "tables": (lambda s: sends(recording, "write_tables", s, nth=3), True),
    "the last tables": (lambda s: sends(recording, "_finish", s), True),
    "between runs": (lambda s: sends(outcome, "print_result", s), True),
    "aggregation": (lambda s: sends(aggregate, "run_of", s, nth=1), True),
}


def command(folder, words, prepare=lambda: None):
    """`wdrun` in a forked process, with steps and batches counted from the moment of a signal; exit code and output."""
    folder.mkdir(exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")

    def task():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        prepare()
        recording.FOLLOW_SECONDS = 0.0
        take, handle = Step.__call__, Stop.handle
        asked = []

        def step(self, *given):
            if asked:
                print("step after the signal", file=sys.stderr)
            return take(self, *given)

        def told(self, signum, frame):
            asked.append(signum)
            handle(self, signum, frame)

        Step.__call__, Stop.handle = step, told
        cli.main([*words, f"output_dir={folder}"])

    return child(task, log), log.read_text()


def words_of(case):
    return ["-m", *changed(WORDS, *case.words)]


def as_seen_by_a_shell(code):
    """128 + n for a process that the signal n ended, whether it left or was ended."""
    return 128 - code if code < 0 else code


@pytest.fixture(scope="module")
def whole():
    return uninterrupted(Case(MANY))


def assert_goes_on(whole, folder, place):
    """The same command ends with the bytes of a run that nobody stopped."""
    code, said = command(folder, words_of(whole.case))
    assert code == 0, (place, said)
    found = content(folder)
    expected = dict(whole.content)
    for files in (found, expected):  # what was typed names the folder here
        for name in [n for n in files if n.endswith((".yaml", "plan.csv"))]:
            files.pop(name)
    assert found == expected, (place, [n for n in expected if found.get(n) != expected[n]])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_at_any_phase(whole, tmp_path, phase, signum):
    send, saves = PHASES[phase]
    folder = tmp_path / "stopped"
    code, said = command(folder, words_of(whole.case), lambda: send(signum))
    assert as_seen_by_a_shell(code) == 128 + signum, said
    assert "Traceback" not in said
    if saves:
        assert code == 128 + signum
        assert said.count("step after the signal") <= 1, said
        assert "interrupted" in said or "done" in said, said
        rows = [read_run(path.parent) for path in folder.glob("*/*/run.csv")]
        assert {row["status"] for row in rows} <= {"interrupted", "done"}
    else:
        assert not list(folder.rglob("run.csv"))
    assert_goes_on(whole, folder, phase)


@pytest.mark.parametrize("moment", ["tables", "checkpoint"])
def test_a_second_signal_while_saving_ends_at_once(whole, tmp_path, moment):
    """In the tables that are written on the way out, and in a checkpoint."""
    folder = tmp_path / "stopped"

    def twice():
        if moment == "tables":
            sends(Step, "__call__", signal.SIGTERM, nth=5)
            sends(recording, "write_tables", signal.SIGTERM, nth=3)
        else:
            sends(checkpoint, "encode", signal.SIGTERM, times=2, nth=2)

    code, said = command(folder, words_of(whole.case), twice)
    assert code == 143, said
    assert "interrupted after" not in said
    assert "running" in [read_run(path.parent)["status"] for path in folder.glob("*/*/run.csv")]
    assert_goes_on(whole, folder, moment)


def test_a_group_that_trains_as_one_is_interrupted_in_its_evaluation(tmp_path):
    words = words_of(Case((*MANY, "fuse=true")))
    code, said = command(tmp_path / "a", words, lambda: sends(Evaluator, "batches", signal.SIGTERM))
    assert code == 143, said
    assert "2 interrupted" in said
    assert [read_run(p.parent)["epochs_done"] for p in (tmp_path / "a").glob("*/*/run.csv")] == ["0", "0"]
    assert command(tmp_path / "a", words)[0] == 0


def test_an_evaluation_is_left_after_a_batch(tmp_path):
    """A test of many batches (corruptions, attacks) does not keep a stopped process waiting; the training is kept."""
    words = [*words_of(Case(("epochs=1",))), "evaluate=full", "evaluate.attack_examples=20"]
    seen = tmp_path / "batches"

    def stop_in_the_corruptions():
        sends(Evaluator, "_classify", signal.SIGTERM, nth=3)
        classify = Evaluator._classify

        def counted(*arguments):
            with seen.open("a") as file:
                file.write("x")
            return classify(*arguments)

        Evaluator._classify = counted

    code, said = command(tmp_path / "a", words, stop_in_the_corruptions)
    assert code == 143, said
    assert len(seen.read_text()) == 3
    assert (
        "interrupted after 1 of 1 epoch, while it was measured; tables and weights are on disk; the same command "
        "measures it again\n"
    ) in said
    (run,) = (tmp_path / "a").glob("*/*/run.csv")
    assert (read_run(run.parent)["status"], read_run(run.parent)["epochs_done"]) == ("interrupted", "1")
    assert (run.parent / "last.safetensors").exists()
    code, said = command(tmp_path / "a", words)
    assert (code, "resuming after epoch 1 of 1" in said) == (0, True)


def test_an_ignored_hangup_stays_ignored(tmp_path):
    """nohup."""

    def prepare():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        sends(Step, "__call__", signal.SIGHUP, nth=2)

    code, said = command(tmp_path / "a", words_of(Case()), prepare)
    assert code == 0, said
    assert '"status": "done"' in said


def test_several_hangups_are_one(whole, tmp_path):
    """A terminal that closes sends one itself, and its shell another."""
    code, said = command(
        tmp_path / "a", words_of(whole.case), lambda: sends(Step, "__call__", signal.SIGHUP, times=3, nth=6)
    )
    assert code == 129, said
    assert "interrupted" in said
    assert_goes_on(whole, tmp_path / "a", "hangups")


# As processes of their own


@contextmanager
def start(folder, *words, **options):
    """A command that hears SIGHUP, though the tests may run under nohup; it does not outlive its test."""
    line = [sys.executable, "-W", "error", "-m", "wdrun", *words, f"output_dir={folder}"]
    hear = partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    with subprocess.Popen(line, preexec_fn=hear, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_signal_while_libraries_load(tmp_path, signum):
    """Sent by the first import of torch, so that it comes at the same moment every time."""
    (tmp_path / "early.py").write_text(
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'torch': os.kill(os.getpid(), {int(signum)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from wdrun.cli import main\n"
        "main()\n"
    )
    line = [sys.executable, "early.py", *words_of(Case()), f"output_dir={tmp_path / 'out'}"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert as_seen_by_a_shell(done.returncode) == 128 + signum, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_closed_terminal_stops_the_run_and_it_goes_on(whole, tmp_path):
    """The terminal of a session goes away while it trains: SIGHUP, and no place left for a word."""
    folder = tmp_path / "out"
    words = [word for word in words_of(Case((*TWO, "epochs=3"))) if not word.startswith("epochs=")]
    ours, theirs = pty.openpty()
    with start(
        folder, *words, "epochs=4000", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        until = time.monotonic() + 60
        while not list(folder.glob("*/*/checkpoint")):
            assert time.monotonic() < until
            os.read(ours, 65536)
        os.close(ours)
        os.kill(process.pid, signal.SIGHUP)  # the kernel's own goes to the session's leader where it owns the terminal
        assert process.wait(60) == 129
    rows = [read_run(path.parent) for path in folder.glob("*/*/run.csv")]
    assert [row["status"] for row in rows] == ["interrupted"]
    assert int(rows[0]["epochs_done"]) > 0


def test_closed_streams_are_no_error(tmp_path):
    """`2>&-`: stdout has the results alone, and no file of ours gets the number of the closed stream."""
    line = " ".join([sys.executable, "-W", "error", "-m", "wdrun", *map(repr, words_of(Case())), "output_dir=out"])
    done = subprocess.run(["bash", "-c", f"{line} 2>&-"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0
    (result,) = map(json.loads, done.stdout.splitlines())
    assert result["status"] == "done"


@pytest.mark.long
def test_a_hangup_reaches_every_process_of_a_sweep(tmp_path):
    words = [w for w in words_of(Case(TWO)) if not w.startswith("epochs=")]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with start(tmp_path / "out", *words, "epochs=4000", "parallel=2", **options) as process:
        until = time.monotonic() + 60
        while len(list(tmp_path.glob("out/*/*/checkpoint"))) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGHUP)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 129, said
    assert "2 interrupted" in said, said


# Killed at random


def random_kills(place, seed, kills, words, group):
    """Start, kill after a random time, start again, until it is done; how many kills hit, with `seed` to replay."""
    draws, hit = random.Random(seed), 0
    place.mkdir(exist_ok=True)
    while True:
        log = (place / "log").open("wb")
        with log, start(place / "out", *words, stdout=log, stderr=log, start_new_session=True) as process:
            if hit == kills:
                assert process.wait(300) == 0, (place / "log").read_text()
                return hit
            try:
                process.wait(draws.uniform(1.5, 6))
            except subprocess.TimeoutExpired:
                (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
                hit += 1
            else:
                assert process.returncode == 0, (place / "log").read_text()
                return hit


@pytest.mark.long
@pytest.mark.parametrize("group", [False, True], ids=["run", "sweep"])
def test_killed_at_random_times(tmp_path, group):
    """50 kills of one run's command and 50 of a sweep's whole process group (parallel=2)."""
    base = ["-m", *(w for w in WORDS if not w.startswith(("epochs=", "lambda=")))]
    words = [*base, "epochs=150", *(["lambda=1e-2,1e-1", "parallel=2"] if group else ["lambda=1e-2"])]
    whole = tmp_path / "whole"
    jobs = experiments.jobs([*words[1:], f"output_dir={whole}"], multirun=True)
    execute(jobs)
    expected = {n: c for n, c in content(whole).items() if not n.endswith((".yaml", "plan.csv"))}
    kills, round_ = 0, 0
    while kills < 50:
        place = tmp_path / f"round{round_}"
        seed = 1000 * group + round_
        kills += random_kills(place, seed, min(10, 50 - kills), words, group)
        found = {n: c for n, c in content(place / "out").items() if not n.endswith((".yaml", "plan.csv"))}
        assert found == expected, f"seed {seed}"
        shutil.rmtree(place)
        round_ += 1
    print(f"{kills} kills, {round_} rounds")
