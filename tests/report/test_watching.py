"""A report with --watch: current while runs train, over when they are, tidy when it is interrupted."""

import contextlib
import io
import signal
import threading
import time
from functools import partial

import pytest

from tests import made_up
from tests.report.pages import NO_FLAGS
from wdrun.errors import ConfigError
from wdrun.report import command, page, watching
from wdrun.report.command import write
from wdrun.storage import hold, planning

FLAGS = NO_FLAGS | {"watch": True}
RELOADS = b'<meta http-equiv="refresh" content="10">'


@pytest.fixture
def training(tmp_path):
    """A folder with a finished run and one that a process trains."""
    root = made_up.sweep(tmp_path / "r", {0: [1.0], 0.1: [0.9]})
    running = made_up.run(root, 0.2, status="running")
    with hold(running):
        yield root


def watched(root, **times):
    """The exit code, or what ended it; stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = watching.watch(partial(write, [str(root), "formats=svg"], FLAGS), [root], **times)
    return code, out.getvalue(), err.getvalue()


def test_only_a_run_that_a_process_holds_trains(training):
    assert watching.trains([training])
    held = made_up.run(training.parent / "done", 0.1)
    with hold(held):
        assert not watching.trains([held.parent])  # it has ended
    made_up.run(training.parent / "killed", 0.1, status="running")
    assert not watching.trains([training.parent / "killed"])


def test_it_goes_on_while_a_run_trains_and_the_last_page_is_still(tmp_path):
    root = made_up.sweep(tmp_path / "r", {0: [1.0], 0.1: [0.9]})
    running = made_up.run(root, 0.2, status="running")
    seen = []

    def train():
        with hold(running):
            while not (root / "report.html").exists() or RELOADS not in (root / "report.html").read_bytes():
                time.sleep(0.02)
            seen.append((root / "report.html").stat().st_mtime_ns)
            made_up.run(root, 0.3, 0.5)
            while (root / "report.html").stat().st_mtime_ns == seen[0]:
                time.sleep(0.02)
            seen.append((root / "report.html").read_bytes())

    trained = threading.Thread(target=train)
    trained.start()
    while not (running / ".lock").exists():
        time.sleep(0.01)
    code, out, err = watched(root, grace=3, pace=0.3)
    trained.join()
    assert (code, out) == (0, f"{root / 'report.html'}\n")
    assert RELOADS in seen[1]
    assert b"4 runs by status" in seen[1]
    last = (root / "report.html").read_bytes()
    assert RELOADS not in last
    assert b"4 runs by status" in last
    assert err.count("watching") == 1
    assert err.count("4 runs of") + err.count("3 runs of") == 1  # its text is said once


def test_where_nothing_trains_it_is_over_with_the_page_as_ever(tmp_path):
    root = made_up.sweep(tmp_path / "r", {0: [1.0], 0.1: [0.9]})
    assert watched(root, grace=0.1, pace=5)[0] == 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        last = (root / "report.html").read_bytes()
        write([str(root), "formats=svg"], NO_FLAGS)
    assert (root / "report.html").read_bytes() == last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_a_page_that_is_still(training, number):
    target = training / "report.html"

    def interrupt():
        while not target.exists():
            time.sleep(0.02)
        time.sleep(0.3)
        signal.raise_signal(number)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=interrupt).start()
    with pytest.raises((KeyboardInterrupt, SystemExit)) as ended:
        watched(training, grace=30, pace=30)
    assert getattr(ended.value, "code", 130) == 128 + number
    assert RELOADS not in target.read_bytes()
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_line_that_reloads_is_all_that_differs(tmp_path):
    root = made_up.sweep(tmp_path / "r", {0: [1.0], 0.1: [0.9]})
    from wdrun.selection import select
    from wdrun.tables.read import load

    found = load([root])
    usual = page.render(found, select(found.runs), [], ["svg"])
    again = page.render(found, select(found.runs), [], ["svg"], reload=10)
    assert again.replace(RELOADS + b"\n", b"") == usual == page.settled(again) == page.settled(usual)


@pytest.mark.parametrize("words", [["lambda=0", "--watch"], ["select", "r", "--watch"], ["report", "r", "--wach"]])
def test_only_report_watches(here, wdrun, capfd, words):
    code, _, err = wdrun(*words, capture=capfd)
    assert code == 2
    assert "--watch" in err
    assert not list(here.iterdir())


def test_a_folder_without_results_is_refused_as_ever(here):
    (here / "empty").mkdir()
    with pytest.raises(ConfigError, match="no results of wdrun there"):
        command(["empty"], FLAGS)


def test_a_command_that_plans_runs_is_gone_on_with_while_none_trains(tmp_path):
    root = made_up.sweep(tmp_path / "r", {0: [1.0]})
    with planning(root), planning(root):  # in two terminals
        assert watching.trains([root])
    assert not watching.trains([root])
    with hold(root):  # for a moment, to write a table
        assert not watching.trains([root])


def test_the_first_run_is_waited_for_where_a_command_plans_it(tmp_path):
    root, begun = tmp_path / "r", threading.Event()

    def plan():
        with planning(root):
            begun.set()
            time.sleep(0.6)
            made_up.sweep(root, {0: [1.0], 0.1: [0.9]})

    threading.Thread(target=plan).start()
    begun.wait()
    code, out, err = watched(root, grace=0.1, pace=5)
    assert (code, out) == (0, f"{root / 'report.html'}\n")
    assert err.startswith("watching  waits for the first run\n")
