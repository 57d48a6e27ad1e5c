"""What a person sees of a sweep: plain lines, the live table on a screen that obeys its codes, ETA by epochs."""

import io
import math
import re
import sys
from pathlib import Path

import pytest

from wdrun.terminal.board import QUIET_SECONDS, REDRAW_SECONDS, Board

LOG = Path("/somewhere/error.log")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def done(loss, accuracy=None):
    return {"status": "done", "cause": None, "val_loss": loss, "val_accuracy": accuracy}


def begin(view, epochs, already=0):
    view.begin("label", epochs * 10, 10, already * 10)


def test_plain_lines_say_what_came_of_each_run_and_what_is_left(clock, capsys):
    board = Board(4, "val_loss", now=clock)
    first, second, third, fourth = [board.view(slug, 10) for slug in "abcd"]
    with board:
        begin(first, 10)
        clock.seconds += 20
        board.ended("a", done(0.5, 0.75), log=LOG)
        begin(second, 10)
        clock.seconds += 5
        board.ended("b", {"status": "failed", "cause": "ValueError: [red]no[/red]"}, log=LOG)
        begin(third, 10)
        board.ended("c", {"status": "diverged", "cause": "data loss is inf at step 3 (epoch 1)"}, log=LOG)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "[1/4] done  val 0.7500 (0.5000)  a  20.0 s  ETA 1:00",
        "[2/4] failed: ValueError: [red]no[/red]; traceback in /somewhere/error.log  b  5.0 s  ETA 0:25",
        "[3/4] diverged: data loss is inf at step 3 (epoch 1)  c  0.0 s  ETA 0:08",
    ]
    assert board.closing([Path.cwd() / "outputs" / "x"]) == [
        "sweep    4 runs: 1 done, 1 failed, 1 diverged, 1 waiting; 0:25 here",
        "best     val 0.7500 (0.5000)  a (one run, by val_loss)",
        "failed   b: ValueError: [red]no[/red]; log /somewhere/error.log",
        "again    the same command goes on from there",
        "next     wdrun select outputs/x",
        "         wdrun report outputs/x",
    ]
    assert board.closing([Path.cwd() / "-x"])[-1].endswith("wdrun report ./-x"), "not read as a flag"
    assert fourth.began is None


def test_what_was_trained_before_does_not_make_the_eta_shorter(clock):
    board = Board(2, "val_loss", now=clock)
    resumed, other = board.view("a", 10), board.view("b", 10)
    assert board.eta() == "?"
    clock.seconds += 50  # imports and checks
    begin(resumed, 10, already=5)
    assert (resumed.share, resumed.number) == (0.5, 6)
    clock.seconds += 10
    resumed.tick(60)
    assert board.eta() == "2:20"  # one epoch took 10 s; four and ten are left
    begin(other, 10)
    other.tick(1)
    assert (other.number, other.share) == (1, 0.01)


def test_the_best_run_is_by_the_objective(clock):
    rows = {"a": done(0.3, 0.5), "b": done(0.4, 0.9), "c": done(0.2), "d": {"status": "diverged", "val_loss": 0.0}}
    winners = {}
    for objective in ("val_loss", "val_accuracy"):
        board = Board(4, objective, now=clock)
        for slug, row in rows.items():
            board.ended(slug, row, log=LOG, skipped=True)
        winners[objective] = board.winner()
    assert winners == {"val_loss": "val (0.2000)  c", "val_accuracy": "val 0.9000 (0.4000)  b"}


def test_finished_before_is_counted_and_not_listed(clock, capsys):
    board = Board(3, "val_loss", now=clock)
    for slug in "ab":
        board.ended(slug, done(1.0), log=LOG, skipped=True)
    board.view("c", 1)
    begin(board.runs["c"], 1)
    board.ended("c", done(2.0), log=LOG)
    assert capsys.readouterr().err == "[3/3] done  val (2.0000)  c  0.0 s\n"
    assert board.closing([])[0] == "sweep    3 runs: 3 done (2 of them before); 0:00 here"


def test_where_runs_begin_is_told_of_the_first_of_a_kind_and_of_more_it_is_counted(clock, capsys):
    board = Board(4, "val_loss", now=clock)
    for slug, what in (("a", "go on"), ("b", "go on"), ("c", "begin anew"), ("d", "go on")):
        board.view(slug, 1).origin("epochs", f"it was {slug}", what)
    assert capsys.readouterr().err == "a: it was a\nc: it was c\n"
    assert board.closing([])[1] == "epochs   3 runs go on"


def test_a_long_silence_before_the_first_run_is_broken(clock, capsys):
    board = Board(3, "val_loss", now=clock)
    clock.seconds += QUIET_SECONDS + 1
    board.refresh()
    assert capsys.readouterr().err == "[0/3] starting  ETA ?\n"


def test_a_long_silence_is_broken(clock, capsys):
    beats = []
    board = Board(3, "val_loss", lambda: beats.append(clock()), now=clock)
    views = [board.view(slug, 9) for slug in "abc"]
    for view in views:
        begin(view, 9)
    clock.seconds += QUIET_SECONDS + 1
    views[0].tick(31)
    views[0].tick(32)
    assert capsys.readouterr().err == "[0/3] training a epoch 4 of 9; b epoch 1 of 9 and 1 more  ETA 3:59\n"
    clock.seconds += REDRAW_SECONDS
    views[1].tick(1)
    assert beats == [100.0 + QUIET_SECONDS + 1, 100.0 + QUIET_SECONDS + 1 + REDRAW_SECONDS]


class Terminal(io.StringIO):
    """A stream that is a terminal, as wide and high as COLUMNS and LINES say; `screen` is what stands on it."""

    def isatty(self):
        return True

    def fileno(self):
        raise OSError

    @property
    def screen(self):
        rows = [""]
        for part in re.findall(r"\x1b\[\d*\w|\n|\r|[^\x1b\n\r]+", self.getvalue()):
            if part == "\n":
                rows.append("")
            elif part.endswith("A") and part.startswith("\x1b"):
                rows = rows[: len(rows) - int(part[2:-1])]  # those below are cleared next
            elif part.startswith("\x1b"):
                rows[-1] = ""
            elif part != "\r":
                rows[-1] += part
        return rows


@pytest.fixture
def terminal(monkeypatch):
    """Terminal 80 columns wide, which obeys."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "30")
    return Terminal()


def shown(board, monkeypatch, width=100, high=30):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", str(high))
    return board.lines()


def test_the_live_table(clock, terminal, monkeypatch):
    board = Board(40, "val_accuracy", stream=terminal, now=clock)
    for slug in ("x" * 90, *(f"run{i}" for i in range(20))):
        begin(board.view(slug, 5), 5)
    board.view("later", 5)
    board.ended("run0", done(0.5, 0.25), log=LOG)
    board.ended("run1", {"status": "failed", "cause": "E"}, log=LOG)
    board.runs["run2"].epoch(2, 5, (), {"images_per_second": 12345.6})
    clock.seconds += 7
    heading, *rows = shown(board, monkeypatch)
    assert heading == "40 runs: 1 done, 1 failed, 19 running, 1 waiting; ETA 0:57"
    assert len(rows) == 16 + 2
    assert rows[0].startswith("xxx")
    assert "…" in rows[0]
    assert "epoch 1/5" in rows[0]
    assert "epoch 2/5" in rows[1]
    assert "12,346 images/s" in rows[1]
    assert rows[-2:] == ["and 3 more", "best so far: val 0.2500 (0.5000)  run0"]
    for width in range(20, 130):
        lines = shown(board, monkeypatch, width)
        assert len(lines) == 16 + 3
        assert all(len(line) < width for line in lines)
    assert len(shown(board, monkeypatch, high=12)) == 12 - 1  # the cursor's row
    assert shown(board, monkeypatch, width=40)[0] == "ETA 0:57; 1 done, 1 failed, 19 running…"


class Outlook:
    """Of a question with so many lines: about `left` runs are still to come."""

    def __init__(self, rows, left):
        self.rows, self.left = rows, left

    def ahead(self):
        return self.left

    def lines(self, wide):
        return [f"question {row}" for row in range(self.rows)]


def test_a_growing_sweep_counts_about_what_is_to_come(clock, terminal, monkeypatch, capsys):
    outlook = Outlook(3, math.nan)
    board = Board(1, "val_loss", outlook=outlook, stream=terminal, now=clock)
    begin(board.view("first", 10), 10)
    assert shown(board, monkeypatch)[:5] == ["question 0", "question 1", "question 2", "", "? runs: 1 running; ETA ?"]
    outlook.left = 6.4
    clock.seconds += 20
    board.ended("first", done(0.5, 0.75), log=LOG)
    board.total += 1
    begin(board.view("second", 10), 10)
    outlook.left = 2
    assert shown(board, monkeypatch)[4] == "about 4 runs: 1 done, 1 running; ETA 1:00"  # three of 20 s
    assert not any("best" in line for line in shown(board, monkeypatch))  # the best of many flatters itself
    board.ended("second", done(0.6, 0.75), log=LOG)
    assert capsys.readouterr().err.splitlines() == [
        "[1/about 7] done  val 0.7500 (0.5000)  first  20.0 s",
        "[2/about 4] done  val 0.7500 (0.6000)  second  0.0 s",
    ]
    assert board.closing([Path("/r")]) == ["tune     2 runs: 2 done; 0:20 here"]
    assert Board(0, "val_loss", outlook=outlook, now=clock).closing([Path("/r")]) == []


def test_questions_leave_room_for_the_runs(clock, terminal, monkeypatch):
    board = Board(8, "val_loss", outlook=Outlook(28, 40.0), stream=terminal, now=clock)
    for number in range(8):
        begin(board.view(f"run{number}", 10), 10)
    lines = shown(board, monkeypatch, high=16)
    assert lines[:7] == [*(f"question {n}" for n in range(5)), "and 23 more", ""]
    assert lines[7].startswith("about 48 runs: 8 running")
    assert lines[8:] == [line for line in lines if line.startswith("run")] + ["and 3 more"]
    assert len(lines) == 16 - 2


def test_a_name_is_cut_last_and_keeps_its_end(clock, terminal, monkeypatch):
    board = Board(1, "val_loss", stream=terminal, now=clock)
    name = "mlp-l2-lambda0.01-sgd-lr0.02-s0-abcdefgh"
    begin(board.view(name, 5), 5)
    board.runs[name].epoch(2, 5, (), {"images_per_second": 1234.0})
    rows = {width: shown(board, monkeypatch, width)[1] for width in (100, 80, 66, 52, 40)}
    assert rows == {
        100: f"{name}  epoch 2/5  {'━' * 8}{'─' * 12}  1,234 images/s",
        80: f"{name}  epoch 2/5  {'━' * 8}{'─' * 12}",
        66: f"{name}  epoch 2/5  {'━' * 4}{'─' * 6}",
        52: f"mlp-l2-lambda…02-s0-abcdefgh  epoch 2/5  {'━' * 4}{'─' * 6}",
        40: "mlp-l2-lambda…02-s0-abcdefgh  epoch 2/5",
    }


def test_lines_scroll_above_the_live_table(clock, terminal, monkeypatch):
    """Those of the board, those a user's code prints on either stream, and a result's, whole and however long."""
    monkeypatch.setattr(sys, "stdout", terminal)
    board = Board(2, "val_loss", stream=terminal, now=clock)
    board.view("a", 3), board.view("b", 3)
    result = '{"a": "' + "x" * 300 + '"}'
    with board:
        begin(board.runs["a"], 3)
        print(result)
        print("half a ", end="", file=sys.stderr)
        board.runs["a"].note("warning: [bold]checkpoint[/bold]")
        clock.seconds += 1
        board.ended("a", done(1.5), log=LOG)
        assert terminal.screen[-3:] == ["2 runs: 1 done, 1 waiting; ETA 0:01", "best so far: val (1.5000)  a", ""]
        print("rest", end="")
    assert terminal.screen == [
        result,
        "half a a: warning: [bold]checkpoint[/bold]",
        "[1/2] done  val (1.5000)  a  1.0 s  ETA 0:01",
        "rest",
    ]


def test_results_in_a_pipe_stay_off_the_terminal(clock, terminal, capsys):
    board = Board(1, "val_loss", stream=terminal, now=clock)
    board.view("a", 3)
    with board:
        begin(board.runs["a"], 3)
        print("a result")
    assert capsys.readouterr().out == "a result\n"
    assert "a result" not in terminal.getvalue()


@pytest.mark.parametrize("kind", ["dumb", "", None])
def test_a_dumb_terminal_gets_lines_and_no_codes(clock, terminal, monkeypatch, kind):
    monkeypatch.delenv("TERM") if kind is None else monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr(sys, "stderr", terminal)
    board = Board(1, "val_loss", now=clock)
    board.view("a", 3)
    with board:
        begin(board.runs["a"], 3)
        board.ended("a", done(1.0), log=LOG)
    assert terminal.getvalue() == "[1/1] done  val (1.0000)  a  0.0 s\n"


class Closed(Terminal):
    def write(self, text):
        raise BrokenPipeError


def test_a_closed_terminal_stops_no_run(clock, terminal):
    board = Board(1, "val_loss", stream=Closed(), now=clock)
    board.view("a", 3)
    with board:
        begin(board.runs["a"], 3)
        board.ended("a", done(1.0), log=LOG)
    assert board.counts["done"] == 1
