"""`wdrun report DIR --watch`: the page is written again while runs train there, and read again by the browser."""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from wdrun.config.commands import COMMANDS
from wdrun.report import page
from wdrun.report.command import write
from wdrun.storage import held, write_atomically
from wdrun.tables.read import run_folders, status_of
from wdrun.tables.words import folders_and_settings
from wdrun.terminal.progress import say

RELOAD = 10  # seconds after which a browser reads the page again
PACE, SHARE = 15.0, 10.0  # seconds between two pages, and how many times as long as the last one took to make
GRACE = 20.0  # seconds without a run that trains, after which it is over: a planner may think between two runs
LOOK = 1.0  # seconds between two looks at what trains


def watch(words: Sequence[str], flags: Mapping[str, Any], *, grace: float = GRACE, pace: float = PACE) -> int:
    """Write the page until nothing has trained in its folders for `grace` seconds, at most every `pace` seconds.

    stdout gets its path at once. The last page, also of an interruption, is not read again by itself.
    """
    folders, _ = folders_and_settings("report", words, COMMANDS["report"].defaults, [], files=True)
    with _ending():
        began = time.monotonic()
        target = write(words, flags, RELOAD)
        if target is None:
            return 0
        try:
            print(target, flush=True)
            say(f"watching  until nothing has trained there for {grace:g} s; Ctrl-C ends it")
            last = time.monotonic()
            took = time.monotonic() - began
            while True:
                last = _waited(folders, last, time.monotonic() + max(pace, SHARE * took), grace)
                took = _again(words, flags)
                if time.monotonic() - last > grace:
                    break
        finally:
            write_atomically(target, page.settled(target.read_bytes()))
    return 0


def _again(words: Sequence[str], flags: Mapping[str, Any]) -> float:
    """Write the page once more, and return how many seconds that took; what is to be said was said before."""
    began = time.monotonic()
    with redirect_stderr(io.StringIO()):
        write(words, flags, RELOAD)
    return time.monotonic() - began


def _waited(folders: Sequence[Path], last: float, until: float, grace: float) -> float:
    """When a run was last seen to train, after a wait that ends once this is longer ago than `grace`."""
    while (now := time.monotonic()) < until and now - last <= grace:
        time.sleep(min(LOOK, grace / 4))
        if trains(folders):
            last = time.monotonic()
    return last


def trains(folders: Sequence[Path]) -> bool:
    """Whether a process trains a run of the folders now."""
    return any(held(folder) and status_of(folder) == "running" for folder in run_folders(folders))


@contextmanager
def _ending() -> Iterator[None]:
    """SIGTERM ends it as it would have, but what is to be tidied is tidied."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
