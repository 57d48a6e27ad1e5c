"""A table of texts laid out for a person: no cell is ever cut, whatever the width.

Where it is too wide, in this order: columns of words wrap at the words; a column of sentences goes below its rows;
columns that may go are left out whole, and a line says which; each row is stacked, a line a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wdrun.terminal.characters import shown
from wdrun.terminal.screen import cells, wrapped
from wdrun.wording import printable

GAP = "  "


class Column(NamedTuple):
    """A column: its header, whether it stands at the right (numbers), may wrap (words), and when it may go.

    `drop`: 0 stays; of the others that with the lowest number is left out first, an empty one before. `below`: a
    sentence about its row.
    """

    name: str
    right: bool = False
    wraps: bool = False
    drop: int = 0
    below: bool = False


def laid_out(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    *,
    more: str = "",
    rule: bool = False,
) -> list[str]:
    """The table as lines of at most `width` columns, a header first; None: as wide as it is, on one line a row.

    `more` says where columns that are left out can be read too; `rule`: draw a line below the header.
    """
    texts = [[shown(printable(text)) for text in row] for row in ([column.name for column in columns], *rows)]
    kept = list(range(len(columns)))
    empty = {i for i in kept if not any(row[i] for row in texts[1:])}
    going = sorted((i for i in kept if columns[i].drop), key=lambda i: (i not in empty, columns[i].drop))
    below: list[int] = []
    gone: list[int] = []
    while (widths := _widths(columns, texts, kept, width)) is None:
        if not below and (below := [i for i in kept if columns[i].below]):
            kept = [i for i in kept if i not in below]
        elif going:
            gone.append(going.pop(0))
            kept.remove(gone[-1])
        else:
            return _stacked(texts, width or 1)
    for i in reversed(gone):  # a narrow column may fit again once a wide one is gone
        if (wider := _widths(columns, texts, more_of := sorted([*kept, i]), width)) is not None:
            kept, widths = more_of, wider
    lines: list[str] = []
    for number, row in enumerate(texts):
        lines += _row(columns, row, kept, widths)
        for i in below if number else ():
            lines += [f"    {line}" for line in wrapped(row[i], (width or 0) - 4) if line]
        if rule and not number:
            lines.append(shown("─") * (sum(widths) + len(GAP) * (len(widths) - 1)))
    if left_out := [texts[0][i] for i in gone if i not in kept and i not in empty]:
        also = f"; wider, or {more}" if more else "; wider"
        lines += wrapped(shown(f"not shown at {width} columns: {', '.join(left_out)}{also}"), width or 0)
    return lines


def _widths(
    columns: Sequence[Column], texts: Sequence[Sequence[str]], kept: Sequence[int], width: int | None
) -> list[int] | None:
    """Columns of each kept column; None where even its longest words are too wide together."""
    full = [max(cells(row[i]) for row in texts) for i in kept]
    if width is None:
        return full
    found = [
        max(cells(word) for row in texts for word in row[i].split(" ")) if columns[i].wraps else most
        for i, most in zip(kept, full, strict=True)
    ]
    spare = width - sum(found) - len(GAP) * (len(kept) - 1)
    if spare < 0:
        return None
    while spare and (narrow := [i for i, most in enumerate(full) if found[i] < most]):
        found[min(narrow, key=found.__getitem__)] += 1
        spare -= 1
    return found


def _row(columns: Sequence[Column], row: Sequence[str], kept: Sequence[int], widths: Sequence[int]) -> list[str]:
    """One row as lines."""
    parts = [wrapped(row[i], width) for i, width in zip(kept, widths, strict=True)]
    lines = []
    for number in range(max(map(len, parts), default=0)):
        line = []
        for i, width, part in zip(kept, widths, parts, strict=True):
            text = part[number] if number < len(part) else ""
            pad = " " * (width - cells(text))
            line.append(pad + text if columns[i].right else text + pad)
        lines.append(GAP.join(line).rstrip())
    return lines


def _stacked(texts: Sequence[Sequence[str]], width: int) -> list[str]:
    """A line a cell, its header before it, or above it where both are too wide together; a blank line between rows."""
    headers, *rows = texts
    margin = max(map(cells, headers))
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for header, text in zip(headers, row, strict=True):
            room = width - margin - len(GAP)
            if not text:
                continue
            if max(cells(word) for word in text.split(" ")) <= room:
                beside = [header, *[""] * (len(wrapped(text, room)) - 1)]
                both = zip(beside, wrapped(text, room), strict=True)
                lines += [f"{name}{' ' * (margin - cells(name))}{GAP}{part}" for name, part in both]
            else:
                lines += [*(wrapped(header, width) if header else []), *wrapped(text, width)]
    return lines
