"""What a stream can show: how wide and high it is, whether it obeys escape codes, and text fitted to it."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

from wdrun.terminal import results
from wdrun.terminal.characters import shown

USUAL = 80, 24  # columns and rows of a terminal that does not say
LEAST = 24  # columns that the meaning of a name should have beside it; with fewer it stands below


def size(stream: TextIO) -> tuple[int, int] | None:
    """Columns and rows of the terminal that the stream is now; None where it is none.

    A number in COLUMNS or LINES can make it smaller, or say what the terminal does not.
    """
    if not stream.isatty():
        return None
    try:
        real = tuple(os.get_terminal_size(stream.fileno()))
    except (OSError, ValueError):
        real = (0, 0)
    found = []
    for number, name, usual in zip(real, ("COLUMNS", "LINES"), USUAL, strict=True):
        text = os.environ.get(name, "")
        asked = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
        found.append(min((n for n in (number, asked) if n > 0), default=usual))
    return found[0], found[1]


def columns(stream: TextIO | None = None) -> int | None:
    """The width of the terminal that the stream, by default stdout, is; None where it is none."""
    found = size(stream or results.stream())
    return found[0] if found else None


def obeys(stream: TextIO) -> bool:
    """Whether escape codes move the cursor there: a terminal, of which TERM says that it is no dumb one."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def bold(text: str, stream: TextIO | None = None) -> str:
    """The text in bold where the stream, by default stdout, is a terminal that has it and NO_COLOR is not set."""
    return f"\x1b[1m{text}\x1b[0m" if obeys(stream or results.stream()) and not os.environ.get("NO_COLOR") else text


def cells(text: str) -> int:
    """Columns that a terminal takes for the text: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int, end: int = 0) -> str:
    """The text in so many columns; an ellipsis stands for what is left out before its last `end` characters."""
    if cells(text) <= width:
        return text
    last = text[len(text) - end :]
    more = shown("…", sys.stderr) + last
    kept = text[: len(text) - end]
    while kept and cells(kept + more) > width:
        kept = kept[:-1]
    return kept + more if kept else text[: max(width, 0)]


def fitting(width: int, *ways: str) -> str:
    """The first of the ways to say it that has room in so many columns; the last one cut where none has."""
    return next((way for way in ways if cells(way) <= width), cut(ways[-1], width))


def bar(share: float, width: int) -> str:
    """A bar of so many columns, that share of it filled."""
    filled = round(width * share)
    return shown("━", sys.stderr) * filled + shown("─", sys.stderr) * (width - filled)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, at its spaces; a longer word goes on in the next line."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and cells(line) + 1 + cells(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
        while cells(line) > width:
            at = len(line)
            while at > 1 and cells(line[:at]) > width:
                at -= 1
            lines.append(line[:at])
            line = line[at:]
    return [*lines, line]


def folded(text: str, stream: TextIO | None = None) -> list[str]:
    """A line for the stream, by default stdout: whole where it is no terminal, else in lines of its width.

    They hang below what stands after the first gap, as in a table of a name and its meaning. What is to be pasted, a
    line with a command or a long path in its text, stays whole for the terminal to wrap.
    """
    width = columns(stream)
    text = shown(text, stream) if width else text
    if width is None or cells(text) <= width:
        return [text]
    name = found.group() if (found := re.match(r" *\S.*?  +(?=\S)", text)) else ""
    rest = text[len(name) :]
    beside = width - cells(name) >= LEAST
    margin = 4 if not name else cells(name) if beside else 6
    if "wdrun " in rest or max(map(cells, rest.split(" "))) > width - margin:
        return [text]
    # What stands between gaps, a number and its unit, stays together where it can.
    parts = rest.split("  ")
    if whole := len(parts) > 1 and max(map(cells, parts)) <= width - margin:
        rest = "  ".join(column.replace(" ", "\xa0") for column in parts)
    if name and not beside:
        told = [name.rstrip(), *(" " * margin + line for line in wrapped(rest, width - margin))]
    else:
        first, *others = wrapped(rest, width - cells(name))
        hanging = wrapped(" ".join(others), width - margin)
        told = [name + first, *(" " * margin + line for line in hanging if line)]
    return [line.replace("\xa0", " ").rstrip() for line in told] if whole else told


def lines(text: str) -> list[str]:
    """A paragraph for stdout: in lines of the terminal's width, in one where it is none."""
    width = columns()
    return [text] if width is None else wrapped(shown(text), width)
