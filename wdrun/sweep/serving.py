"""A worker's end of its pipe: the jobs that come are trained, and what their runs tell goes back."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from wdrun import cores
from wdrun.config.run import Job
from wdrun.errors import WdrunError
from wdrun.storage import unlocked
from wdrun.sweep import contention
from wdrun.sweep.one_run import Rows, ready, settle
from wdrun.sweep.signals import Stop
from wdrun.terminal.characters import open_stream
from wdrun.terminal.progress import Row, Watch

TELL_SECONDS = 0.25  # a worker tells how far it is at most this often


class Teller(Watch):
    """Tells the parent what a run tells, how far it is several times a second."""

    def __init__(self, send: Callable[[tuple[str, Any]], None]) -> None:
        self.send, self.last = send, 0.0

    def begin(self, label: str, steps: int, steps_per_epoch: int, done: int) -> None:
        self.send(("tell", ("begin", label, steps, steps_per_epoch, done)))

    def tick(self, step: int) -> None:
        if time.monotonic() - self.last > TELL_SECONDS:
            self.last = time.monotonic()
            self.send(("tell", ("tick", step)))

    def epoch(self, number: int, epochs: int, metrics: Sequence[Row], timing: Row) -> None:
        self.send(("tell", ("epoch", number, epochs, (), timing)))

    def measure(self, what: str, done: int, of: int) -> None:
        if time.monotonic() - self.last > TELL_SECONDS:
            self.last = time.monotonic()
            self.send(("tell", ("measure", what, done, of)))

    def note(self, text: str) -> None:
        self.send(("tell", ("note", text)))

    def origin(self, label: str, text: str, several: str) -> None:
        self.send(("tell", ("origin", label, text, several)))


def serve(
    pipe: Connection,
    share: int,
    seat: int,
    told: set[int],
    environment: Mapping[str, str],
    placement: cores.Placement,
) -> None:
    """Train what the pipe brings until it brings None; leave at once when the parent is gone, however it went."""
    os.environ.clear()  # a copy has what was there when the command began
    os.environ.update(environment)
    cores.take(placement)
    contention.here.quiet = seat > 0  # the first speaks for all of them
    unlocked.update(told)  # what the parent said need not be said again
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # stdout is for the parent's results alone
    open_stream(sys.stdout)
    open_stream(sys.stderr)
    stop = Stop()
    jobs: list[tuple[Job, Rows | None]] = []
    came = threading.Semaphore(0)

    def listen() -> None:
        """In a thread of its own, asleep until something comes: the parent's death is noticed in any step."""
        try:
            while (word := pipe.recv()) is not None:
                if word == "interrupt":
                    stop.signum = signal.SIGINT
                else:
                    jobs.append(word)
                    came.release()
        except (EOFError, OSError):
            os._exit(1)
        came.release()

    def send(message: tuple[str, Any]) -> None:
        with suppress(OSError):
            pipe.send(message)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        came.acquire()
        if not jobs:
            return
        job, before = jobs.pop()
        try:
            outcome = settle(job, stop, Teller(send), partial(ready, share=share), before)
        except Exception as error:  # for the sweep to raise; as text where its class may not survive the pipe
            send(("raise", error if isinstance(error, WdrunError) else WdrunError(f"{type(error).__name__}: {error}")))
            continue
        if outcome.status == "failed":
            outcome.error = WdrunError(str(outcome.row["cause"]))
        send(("end", outcome))
