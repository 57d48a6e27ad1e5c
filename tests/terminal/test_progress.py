"""One run on stderr: plain lines, a bar on a terminal, and silence where nobody reads any more."""

import io
import sys

import pytest

from wdrun.terminal import progress
from wdrun.terminal.progress import Bar, epoch_line, say

ROWS = [
    {"split": "train", "accuracy": 0.83, "data_loss": 0.712},
    {"split": "val", "accuracy": None, "data_loss": 0.25},
]


def test_the_line_of_an_epoch():
    assert epoch_line(3, 10, ROWS, 8.14) == "epoch  3/10  train 0.8300 (0.7120)  val (0.2500)  8.1 s"


class Screen(io.StringIO):
    def isatty(self):
        return True


class Closed(io.StringIO):
    """A terminal, or a pipe, that went away."""

    def write(self, text):
        raise BrokenPipeError

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def bar(monkeypatch, stream, term="xterm", columns=80):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(columns))
    made = Bar()
    made.begin("λ=1", 100, 10, 20)
    return made


def test_the_bar_is_drawn_ten_times_a_second(monkeypatch, clock):
    screen = Screen()
    made = bar(monkeypatch, screen)
    for step, moment in ((30, 0.05), (40, 2.0), (41, 2.05), (60, 4.0)):
        clock[0] = moment
        made.tick(step)
    drawn = screen.getvalue().split("\r\x1b[2K")
    # 20 steps were done before: 20 more in 2 s leave 60 for 6 s, 40 more in 4 s leave 40 for 4 s
    assert drawn == ["", f"λ=1  {'━' * 10}{'─' * 14}  40%  epoch 4  0:06 left",
                     f"λ=1  {'━' * 14}{'─' * 10}  60%  epoch 6  0:04 left"]  # fmt: skip


def test_the_bar_fits_the_terminal_as_it_is_now(monkeypatch, clock):
    """Two rows would scroll the screen; the label goes first, then half of the bar, then the bar."""
    screen = Screen()
    made = bar(monkeypatch, screen)
    made.label = "λ=1 lr=0.02 seed=0"
    widths = (80, 70, 69, 50, 49, 38, 37, 24, 12, 1)
    for columns in widths:
        monkeypatch.setenv("COLUMNS", str(columns))
        clock[0] += 1
        made.tick(50)
    drawn = screen.getvalue().split("\r\x1b[2K")[1:]
    long, short = f"{'━' * 12}{'─' * 12}  50%  epoch 5  0:", f"{'━' * 6}{'─' * 6}  50%  epoch 5  0:"
    whole = f"{made.label}  {long}"
    starts = [whole, whole, long, long, short, short, "50%  epoch 5  0:", "50%  epoch 5  0:", "50%  epoch…", ""]
    assert [text.startswith(start) for text, start in zip(drawn, starts, strict=True)] == [True] * 10
    assert [len(text) < columns for text, columns in zip(drawn, widths, strict=True)] == [True] * 10


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_no_codes(monkeypatch, clock, term):
    screen = Screen()
    made = bar(monkeypatch, screen, term)
    clock[0] = 9.0
    made.tick(50)
    made.line("result")
    assert screen.getvalue() == "result\n"


def test_a_line_takes_the_place_of_the_bar(monkeypatch, clock):
    screen = Screen()
    made = bar(monkeypatch, screen)
    made.epoch(1, 10, ROWS, {"train_seconds": 1.0, "evaluate_seconds": 0.5, "images_per_second": 9.0})
    assert screen.getvalue() == f"\r\x1b[2K{epoch_line(1, 10, ROWS, 1.5)}\n"


def test_without_a_terminal_there_are_lines_only(monkeypatch, clock):
    plain = io.StringIO()
    made = bar(monkeypatch, plain)
    clock[0] = 9.0
    made.tick(50)
    made.note("warning")
    made.line("result")
    assert plain.getvalue() == "warning\nresult\n"


def test_a_note_takes_the_place_of_the_bar(monkeypatch, clock):
    screen = Screen()
    made = bar(monkeypatch, screen)
    clock[0] = 9.0
    made.tick(50)
    before = len(screen.getvalue())
    made.note("warning")
    assert screen.getvalue()[before:] == "\r\x1b[2Kwarning\n"


def test_a_note_before_the_training_is_a_line(monkeypatch):
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    Bar().note("warning")
    assert screen.getvalue() == "warning\n"


def test_nobody_reading_stops_nothing(monkeypatch, clock):
    made = bar(monkeypatch, Closed())
    clock[0] = 9.0
    made.tick(50)
    assert not made.terminal
    made.line("result")
    say("more")


def test_sentences_wrap_at_their_words_on_a_terminal_only(monkeypatch):
    path = "/a/path/that/is/to/be/pasted/whole"
    text = f"budget   so many digits: timescale τ = 100 epochs\nverdict  decay can act\n{path}"
    folded = ["budget   so many digits:", "         timescale τ = 100 epochs", "verdict  decay can act"]
    for stream, lines in ((Screen(), folded), (io.StringIO(), text.split("\n")[:2])):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", "33")
        say(text)
        assert stream.getvalue().split("\n") == [*lines, path, ""]
