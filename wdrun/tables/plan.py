"""plan.csv at a folder's root: the runs that its sweeps mean to train, so that those without tables yet are known."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wdrun.config.run import Job
from wdrun.storage import hold, write_atomically
from wdrun.tables.sound import whole
from wdrun.tables.write import render

NAME = "plan.csv"
COLUMNS = ("dir", "epochs", "overrides")


class Planned(NamedTuple):
    """A run of the plan: its folder's name, epochs and what was typed for it, and whether it has no run.csv yet."""

    name: str
    epochs: str
    overrides: tuple[str, ...]
    waits: bool


def write(jobs: Sequence[Job]) -> None:
    """Put the jobs into the plan of every folder that their runs go to.

    The plan that is there stays beside them while a run of it waits that is none of theirs: its runs that are there
    too, as they tell what the waiting one belongs to. Else theirs replace it, so that it does not grow for ever.
    """
    for root in sorted({job.directory.parent for job in jobs}):
        new = {job.directory.name: (job.run.epochs, job.overrides) for job in jobs if job.directory.parent == root}
        with hold(root, wait=True):
            try:
                earlier = read(root)
            except ValueError:  # broken: nothing in it can be gone on with
                earlier = []
            left = any(run.waits and run.name not in new for run in earlier)
            old = {run.name: (run.epochs, run.overrides) for run in earlier if left}
            rows = [
                {"dir": name, "epochs": epochs, "overrides": " ".join(map(_quoted, overrides))}
                for name, (epochs, overrides) in sorted((old | new).items())
            ]
            write_atomically(root / NAME, render(COLUMNS, rows))


def read(root: Path) -> list[Planned]:
    """The runs of the folder's plan; none without a plan. ValueError: it is broken."""
    if not (root / NAME).is_file():
        return []
    header, rows = whole(root / NAME)
    if header[:2] != list(COLUMNS[:2]):
        raise ValueError("is not a plan of wdrun's")
    return [
        Planned(name, epochs, tuple(_words(typed[0] if typed else "")), not (root / name / "run.csv").is_file())
        for name, epochs, *typed in rows
    ]


def waiting(root: Path) -> list[tuple[str, str]]:
    """Folder name and epochs of the planned runs without a run.csv; errors as for `read`."""
    return [(run.name, run.epochs) for run in read(root) if run.waits]


def _quoted(word: str) -> str:
    """The word as it stands where it is found again so, also among others, else quoted."""
    try:
        return word if shlex.split(word) == [word] else shlex.quote(word)
    except ValueError:
        return shlex.quote(word)


def _words(typed: str) -> list[str]:
    try:
        return shlex.split(typed)
    except ValueError:  # older plans quoted nothing
        return typed.split()
