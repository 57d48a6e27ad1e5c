"""What a person sees on stderr while runs train: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wdrun.terminal import screen
from wdrun.terminal.characters import shown
from wdrun.wording import clock

REDRAW_SECONDS = 0.1

Row = Mapping[str, Any]


def say(text: str = "") -> None:
    """Lines on stderr, folded to its width where it is a terminal; a closed pipe there never stops a run."""
    with suppress(OSError):
        parts = [part for line in text.split("\n") for part in screen.folded(line, sys.stderr)]
        print("".join(f"{part}\n" for part in parts), end="", file=sys.stderr, flush=True)


class Watch:
    """What a run tells while it trains; this one keeps all of it to itself.

    `detailed` asks for the block before the first epoch and the lines after the last, which cost some computing.
    """

    detailed = False

    def begin(self, label: str, steps: int, steps_per_epoch: int, done: int) -> None:
        """Training starts: `steps` steps in all, `done` of them before."""

    def tick(self, step: int) -> None:
        """`step` steps are done; called after every step."""

    def epoch(self, number: int, epochs: int, metrics: Sequence[Row], timing: Row) -> None:
        """An epoch is on disk: its rows of metrics.csv and of timing.csv. Quick epochs may be left out."""

    def measure(self, what: str, done: int, of: int) -> None:
        """After the training, `done` of `of` parts of a measurement are there."""

    def note(self, text: str) -> None:
        """Something a person should know, such as a damaged checkpoint."""

    def origin(self, label: str, text: str, several: str) -> None:
        """The run goes on from another's end, or why it does not; `several` says of more such runs what they do."""

    def line(self, text: str) -> None:
        """A line of the details."""


class Bar(Watch):
    """One run alone: all its lines, and a bar; `tick` costs a clock reading, drawing happens ten times a second."""

    detailed = True
    terminal, drawn = False, 0.0  # until training starts

    def begin(self, label: str, steps: int, steps_per_epoch: int, done: int) -> None:
        self.label, self.steps, self.per_epoch = label, steps, steps_per_epoch
        self.first, self.started, self.drawn = done, time.perf_counter(), 0.0
        self.measured, self.since = "", self.started
        self.terminal = screen.obeys(sys.stderr)

    def tick(self, step: int) -> None:
        if self._is_due():
            left = (self.drawn - self.started) / max(step - self.first, 1) * (self.steps - step)
            self._show(step / self.steps, f"epoch {(step - 1) // self.per_epoch + 1}  {clock(left)} left")

    def measure(self, what: str, done: int, of: int) -> None:
        if what != self.measured:
            self.measured, self.since = what, time.perf_counter()
        if self._is_due():
            self._show(done / of, f"{what}  {clock((self.drawn - self.since) / max(done, 1) * (of - done))} left")

    def _is_due(self) -> bool:
        """Whether a terminal's bar may be drawn again, which is then done."""
        now = time.perf_counter()
        due = self.terminal and now - self.drawn >= REDRAW_SECONDS
        self.drawn = now if due else self.drawn
        return due

    def _show(self, share: float, rest: str) -> None:
        done = f"{share:4.0%}  {rest}"
        long, short = (f"{screen.bar(share, width)} {done}" for width in (24, 12))
        room = (screen.columns(sys.stderr) or screen.USUAL[0]) - 1  # a bar over two rows would scroll the screen
        self._draw(screen.fitting(room, f"{shown(self.label, sys.stderr)}  {long}", long, short, done.strip()))

    def epoch(self, number: int, epochs: int, metrics: Sequence[Row], timing: Row) -> None:
        seconds = sum(v for k, v in timing.items() if k.endswith("_seconds"))
        self.line(epoch_line(number, epochs, metrics[:3], seconds))

    def note(self, text: str) -> None:
        self.line(text)

    def origin(self, label: str, text: str, several: str) -> None:
        say(f"{label:<9}{text}")

    def line(self, text: str) -> None:
        if self.terminal:
            self._draw("")
        say(text)
        self.drawn = 0.0

    def _draw(self, text: str) -> None:
        try:
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
        except OSError:
            self.terminal = False


def scores(accuracy: float | None, loss: float) -> str:
    """`0.7120 (0.8312)`: accuracy where there is one, and data loss."""
    return f"{'' if accuracy is None else f'{accuracy:.4f} '}({loss:.4f})"


def validation(row: Row) -> str:
    """The scores of a run as in the line of an epoch. The test split is not for watching."""
    return f"val {scores(row.get('val_accuracy'), row['val_loss'])}"


def ending(slug: str, row: Row, log: Path) -> str:
    """`done  val 0.7812 (0.6412)  slug`, or why there is no score."""
    if row["status"] == "done":
        return f"done  {validation(row)}  {slug}"
    trace = f"; traceback in {log}" if row["status"] == "failed" else ""
    return f"{row['status']}: {row.get('cause') or slug}{trace}" + (f"  {slug}" if row.get("cause") else "")


def epoch_line(number: int, epochs: int, rows: Sequence[Row], seconds: float) -> str:
    """`epoch  3/10  train 0.7120 (0.8312)  val 0.6980 (0.8745)  8.1 s`."""
    parts = [f"{row['split']} {scores(row['accuracy'], row['data_loss'])}" for row in rows]
    return f"epoch {number:>{len(str(epochs))}}/{epochs}  {'  '.join(parts)}  {seconds:.1f} s"
