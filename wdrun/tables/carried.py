"""carried.csv at a folder's root: where `wdrun tune … from=DIR` began the search of each facet, and why.

It is kept so that the same line asks for the same runs, whatever becomes of DIR.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from wdrun.errors import ConfigError
from wdrun.storage import hold, write_atomically
from wdrun.tables.columns import Column
from wdrun.tables.sound import whole
from wdrun.tables.write import render

NAME = "carried.csv"
COLUMNS = (
    Column("facet", str, "what is searched: the words that tell it from the others"),
    Column("id", str, "that of the facet's first run, λ and lr as its words have them, with seed 0"),
    Column("source", str, "the folder that was given with from="),
    Column("lambda", float, "the λ that is expected to be best; empty: none is, and the search is as without from="),
    Column("low", float, "lower end of its interval; 0: not known"),
    Column("high", float, "upper end; inf: not known"),
    Column("lr", float, "the lr expected with it; empty: not carried"),
    Column("bare", float, "the lr that the search with λ = 0 starts from; empty: not carried"),
    Column("why", str, "what it follows from, or why there is none"),
)


class Carried(NamedTuple):
    """A row of the table; numbers that are not there are nan."""

    facet: str
    id: str
    source: str
    lam: float = math.nan
    low: float = math.nan
    high: float = math.nan
    lr: float = math.nan
    bare: float = math.nan
    why: str = ""

    def same(self, other: Carried) -> bool:
        """Whether both begin a search alike, to three digits."""
        ours, theirs = ((one.lam, one.low, one.high, one.lr, one.bare) for one in (self, other))
        return self.source == other.source and [f"{x:.3g}" for x in ours] == [f"{x:.3g}" for x in theirs]


def read(root: Path) -> list[Carried]:
    """The rows of the folder's table, none where there is none; ConfigError where it is broken, or not wdrun's."""
    path = root / NAME
    if not path.is_file():
        return []
    try:
        header, rows = whole(path)
        if header != [column.name for column in COLUMNS]:
            raise ValueError("is not a table that wdrun wrote")
        return [_row(*row) for row in rows]
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; take another name=, or move it away") from error


def _row(facet: str, name: str, source: str, *rest: str) -> Carried:
    *numbers, why = rest
    lam, low, high, lr, bare = (float(text or "nan") for text in numbers)
    return Carried(facet, name, source, lam, low, high, lr, bare, why)


def write(root: Path, rows: Iterable[Carried]) -> None:
    """Replace the folder's table by these rows."""
    names = [column.name for column in COLUMNS]
    with hold(root, wait=True):
        write_atomically(root / NAME, render(names, (dict(zip(names, row, strict=True)) for row in rows)))
