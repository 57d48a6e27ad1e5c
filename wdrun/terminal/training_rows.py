"""The rows of a board: how far each run in training is, fitted to the width of the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

from wdrun.terminal import screen
from wdrun.terminal.characters import shown

USUAL = 48  # columns that a run's name needs; a longer one may be cut
NAME = 24  # columns that a run's name has at least, or the bar beside it goes


class Trained(Protocol):
    """What a row shows of a run: the epoch it is in, the share of its steps that is done, images a second."""

    slug: str
    number: int
    epochs: int
    share: float
    speed: float
    measuring: str  # in place of the epoch, where it is measured after its training


def rows(runs: Sequence[Trained], wide: int) -> list[str]:
    """A row a run in training: name, epoch, bar, speed.

    Where the names have too little room the speed goes, then half of the bar, then all of it; then the names are cut.
    """
    if not runs:
        return []
    epochs = [run.measuring or f"epoch {run.number}/{run.epochs}" for run in runs]
    speeds = [f"{run.speed:,.0f} images/s" if run.speed else "" for run in runs]
    names = [shown(run.slug, sys.stderr) for run in runs]
    longest = max(map(screen.cells, names))
    whole = min(longest, USUAL)
    long, short = ([screen.bar(run.share, width) for run in runs] for width in (20, 10))
    ways = [[epochs, long, speeds], [epochs, long], [epochs, short], [epochs]]
    room = [wide - sum(max(map(len, part)) + 2 for part in parts if any(part)) for parts in ways]
    fits = [place for place, columns in enumerate(room) if columns >= (min(NAME, whole) if place == 2 else whole)]
    way = fits[0] if fits else -1
    parts, width = ways[way], max(min(longest, room[way]), 1)
    lines = []
    for number, name in enumerate(names):
        fitted = screen.cut(name, width, end=width // 2)  # seed and id stand at its end
        columns = [fitted + " " * (width - screen.cells(fitted)), *(p[number].ljust(max(map(len, p))) for p in parts)]
        lines.append("  ".join(columns).rstrip())
    return lines
