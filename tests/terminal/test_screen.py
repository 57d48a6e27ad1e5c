"""A stream's size, whatever the environment says, and text fitted to it."""

import io
import os

import pytest

from wdrun.terminal import screen


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 1


@pytest.fixture
def real(monkeypatch):
    """The size that the system tells of a terminal, 100 by 40 unless a test says another."""
    size = [100, 40]
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size(size))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    return size


@pytest.mark.parametrize(
    ("told", "asked", "columns"),
    [
        (100, None, 100),
        (100, "60", 60),
        (100, "200", 100),  # a line of 200 would wrap
        (0, "200", 200),
        (0, None, 80),
        *((100, nonsense, 100) for nonsense in ("0", "-5", "wide", "", "²", "9" * 30)),
    ],
)
def test_the_width(real, monkeypatch, told, asked, columns):
    real[0] = told
    if asked is not None:
        monkeypatch.setenv("COLUMNS", asked)
    assert screen.columns(Terminal()) == columns
    assert screen.columns(io.StringIO()) is None


def test_a_resize_is_seen(real):
    assert screen.size(Terminal()) == (100, 40)
    real[:] = 50, 10
    assert screen.size(Terminal()) == (50, 10)


@pytest.mark.parametrize(
    ("term", "no_color", "obeys", "bold"),
    [("xterm", "", True, True), ("xterm", "1", True, False), ("dumb", "", False, False), ("", "", False, False)],
)
def test_codes_go_where_they_are_obeyed(monkeypatch, term, no_color, obeys, bold):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", no_color)
    assert screen.obeys(Terminal()) == obeys
    assert screen.bold("x", Terminal()) == ("\x1b[1mx\x1b[0m" if bold else "x")
    assert not screen.obeys(io.StringIO())
    assert screen.bold("x", io.StringIO()) == "x"


def test_what_is_cut_says_so():
    assert screen.cut("abcdefgh", 8) == "abcdefgh"
    assert screen.cut("abcdefgh", 5) == "abcd…"
    assert screen.cut("abcdefgh", 5, end=2) == "ab…gh"
    assert screen.cut("名前名前", 5) == "名前…"
    assert [screen.cells(screen.cut("abcdefgh", width, end=3)) <= width for width in range(9)] == [True] * 9


def test_words_wrap_and_nothing_is_lost():
    text = "one two  three verylongwordindeed x"
    for width in range(1, 40):
        lines = screen.wrapped(text, width)
        assert all(screen.cells(line) <= width for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())
    assert screen.wrapped("one two three", 7) == ["one two", "three"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("budget   total decay is so much that it acts", ["budget   total decay is so much", "         that it acts"]),
        ("a sentence that has no name and is too long", ["a sentence that has no name and", "    is too long"]),
        (
            "epoch 1  train 0.1 (2.3)  val 0.2 (2.2)  8.1 s",
            ["epoch 1  train 0.1 (2.3)", "         val 0.2 (2.2)  8.1 s"],
        ),
        ("  a name as long as that  and its meaning", ["  a name as long as that", "      and its meaning"]),
        ("tables   /a/path/that/is/to/be/pasted/whole", ["tables   /a/path/that/is/to/be/pasted/whole"]),
        ("sweep    wdrun -m lambda=0,0.1,0.2,0.3,0.4", ["sweep    wdrun -m lambda=0,0.1,0.2,0.3,0.4"]),  # to be pasted
    ],
)
def test_a_line_hangs_below_its_meaning(real, text, lines):
    real[0] = 33
    assert screen.folded(text, Terminal()) == lines
    assert screen.folded(text, io.StringIO()) == [text]
