"""Runs of a sweep that another process trains meanwhile: waited for, then read back, or trained where it left them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from wdrun.errors import InUseError
from wdrun.storage import held
from wdrun.sweep.outcome import Outcome
from wdrun.terminal.progress import say
from wdrun.wording import counted, listed

LOOK_SECONDS = 0.2  # a folder is looked at so often while its run is waited for


def in_use(outcome: Outcome) -> bool:
    """Whether another process trains the run, so that it will end there or be left."""
    return isinstance(outcome.error, InUseError)


def wait(
    folders: Sequence[Path],
    enough: Callable[[], bool],
    beat: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = say,
    told: set[Path] | None = None,
) -> set[Path]:
    """Those of the runs' folders that no process holds any more, once there is one; none once `enough()`.

    `tell` is given a line that says for which it waits, unless they are in `told`, where it puts them; `beat` is called
    several times a second.
    """
    told = set() if told is None else told
    while not enough():
        if free := {folder for folder in folders if not held(folder)}:
            return free
        if not told.issuperset(folders):
            told.update(folders)
            names = listed([folder.name for folder in folders], 3)
            tell(f"waiting  for {counted(len(folders), 'run')} that another process trains: {names}")
        beat()
        time.sleep(LOOK_SECONDS)
    return set()
