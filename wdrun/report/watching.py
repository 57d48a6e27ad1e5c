"""`wdrun report DIR --watch`: the page is written again while runs train there, and read again by the browser."""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from wdrun.report import page
from wdrun.storage import held, planned, write_atomically
from wdrun.tables.read import run_folders, status_of
from wdrun.terminal.progress import say

RELOAD = 10  # seconds after which a browser reads the page again
PACE, SHARE = 15.0, 10.0  # seconds between two pages, and how many times as long as the last one took to make
GRACE = 20.0  # seconds without a run that trains, after which it is over: a planner may think between two runs
LOOK = 1.0  # seconds between two looks at what trains

Write = Callable[[int | None], Path | None]  # seconds after which it is read again -> the page that was written


def watch(write: Write, folders: Sequence[Path], grace: float = GRACE, pace: float = PACE) -> int:
    """Write the page until nothing has trained in its folders for `grace` seconds, at most every `pace` seconds.

    Where a command still plans the first run, that is waited for. stdout gets the page's path at once. The last page,
    also of an interruption, is not read again by itself.
    """
    with _ending():
        _awaited(folders)
        began = time.monotonic()
        if (target := write(RELOAD)) is None:
            return 0
        try:
            print(target, flush=True)
            say(f"watching  until nothing has trained, nor wdrun tune gone on, there for {grace:g} s; Ctrl-C ends it")
            last = time.monotonic()
            took = last - began
            while time.monotonic() - last <= grace:
                last = _waited(folders, last, time.monotonic() + max(pace, SHARE * took), grace)
                took = _again(write)
        finally:
            write_atomically(target, page.settled(target.read_bytes()))
    return 0


def _awaited(folders: Sequence[Path]) -> None:
    """Wait while no run is there and a command plans the first."""
    if not run_folders(folders) and any(map(planned, folders)):
        say("watching  waits for the first run")
        while not run_folders(folders) and any(map(planned, folders)):
            time.sleep(LOOK / 4)


def _again(write: Write) -> float:
    """Write the page once more, and return how many seconds that took; what is to be said was said before."""
    began = time.monotonic()
    with redirect_stderr(io.StringIO()):
        write(RELOAD)
    return time.monotonic() - began


def _waited(folders: Sequence[Path], last: float, until: float, grace: float) -> float:
    """When a run was last seen to train, after a wait that ends once this is longer ago than `grace`."""
    while (now := time.monotonic()) < until and now - last <= grace:
        time.sleep(min(LOOK, grace / 4))
        if trains(folders):
            last = time.monotonic()
    return last


def trains(folders: Sequence[Path]) -> bool:
    """Whether a process trains a run of the folders now, or plans more of them, which may wait for a machine."""
    return any(map(planned, folders)) or any(
        held(folder) and status_of(folder) == "running" for folder in run_folders(folders)
    )


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
