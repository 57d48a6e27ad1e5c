"""plan.csv at a folder's root: the runs of the last sweep into it, so that those without tables yet are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wdrun.config.run import Job
from wdrun.storage import hold, write_atomically
from wdrun.tables.sound import whole
from wdrun.tables.write import render

NAME = "plan.csv"
COLUMNS = ("dir", "epochs", "overrides")


def write(jobs: Sequence[Job]) -> None:
    """Replace the plan of every folder that the jobs' runs go to."""
    for root in sorted({job.directory.parent for job in jobs}):
        rows = [
            {"dir": job.directory.name, "epochs": job.run.epochs, "overrides": " ".join(job.overrides)}
            for job in sorted(jobs, key=lambda job: job.directory)
            if job.directory.parent == root
        ]
        with hold(root, wait=True):
            write_atomically(root / NAME, render(COLUMNS, rows))


def waiting(root: Path) -> list[tuple[str, str]]:
    """Folder name and epochs of the planned runs without a run.csv; none without a plan. ValueError: it is broken."""
    if not (root / NAME).is_file():
        return []
    header, rows = whole(root / NAME)
    if header[:2] != list(COLUMNS[:2]):
        raise ValueError("is not a plan of wdrun's")
    return [(name, epochs) for name, epochs, *_ in rows if not (root / name / "run.csv").is_file()]
