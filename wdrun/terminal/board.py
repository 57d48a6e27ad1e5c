"""What a person sees of a sweep on stderr: one live table on a terminal, a line a finished run elsewhere.

ETA = elapsed · (epochs left) / (epochs trained here), whoever trains them: runs of early stopping count as whole.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO

from wdrun.terminal import results, screen
from wdrun.terminal.characters import shown
from wdrun.terminal.live import Live
from wdrun.terminal.progress import Row, Watch, ending, say, validation
from wdrun.terminal.training_rows import rows
from wdrun.wording import clock, command_line, counted, path_word

REDRAW_SECONDS = 0.25
QUIET_SECONDS = 30.0  # without a terminal: after this long without a line, one says where the sweep stands
SHOWN = 16  # runs in training that the live table lists, where the terminal is high enough
OTHERS = 4  # its other rows: counts, "and 3 more", the best so far, and the cursor's own


class Outlook(Protocol):
    """What a sweep that plans as it goes knows of what is to come: see sweep/source.py."""

    def ahead(self) -> float: ...

    def lines(self, wide: int) -> list[str]: ...


class Board:
    """The state of a sweep of `total` runs. A context manager: the live table is there inside it.

    `beat` is called whenever the board could be redrawn, so several times a second while runs train. With an `outlook`
    the total is that of the runs so far, and about so many more are `ahead`.
    """

    def __init__(
        self,
        total: int,
        objective: str,
        beat: Callable[[], None] = lambda: None,
        outlook: Outlook | None = None,
        stream: TextIO | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.objective, self.beat, self.outlook, self.now = total, objective, beat, outlook, now
        self.counts: Counter[str] = Counter()
        self.runs: dict[str, View] = {}  # those that are not over
        self.training: dict[str, View] = {}  # those of them that have begun
        self.epochs = 0  # of the run that came last
        self.untouched = 0  # epochs of the others: a sum that is kept, as they may be thousands
        self.best: tuple[float, str, Row] | None = None
        self.failures: list[tuple[str, str, Path]] = []
        self.origins: Counter[tuple[str, str]] = Counter()  # how many `Watch.origin` told of, by label and kind
        self.skipped = 0
        self.spent = 0.0  # epochs trained here by runs that are over
        self.started = self.drawn = self.spoke = now()
        self.trained_since: float | None = None  # the first run's first step: starts and checks are over
        self.stream = stream or sys.stderr
        self.live: Live | None = None

    def __enter__(self) -> Board:
        if screen.obeys(self.stream):
            # Results printed to a file or a pipe go there; on the same terminal they scroll above the table.
            self.live = Live(self.stream, out if (out := results.stream()).isatty() else None)
            self.live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.__exit__()
            self.live = None

    def view(self, slug: str, epochs: int) -> View:
        """The watch of a run that is to be trained."""
        self.untouched += epochs
        self.epochs = epochs
        self.runs[slug] = View(self, slug, epochs)
        return self.runs[slug]

    def began(self, view: View) -> None:
        """A run trains; told again when one whose group failed trains alone."""
        if view.slug not in self.training:
            self.untouched -= view.epochs
            self.training[view.slug] = view

    def ended(self, slug: str, row: Row, *, log: Path, skipped: bool = False) -> None:
        """A run is over: its row of runs.csv, typed, with its status; `log` is where a failed one's traceback is."""
        status = row["status"]
        self.counts[status] += 1
        self.skipped += skipped
        view = self.runs.pop(slug, None)
        if view and not self.training.pop(slug, None):
            self.untouched -= view.epochs
        self.spent += view.epochs * (1 - view.first) if view else 0.0
        score = _score(row, self.objective)
        if status == "done" and score is not None and (self.best is None or score < self.best[0]):
            self.best = (score, slug, row)
        if status == "failed":
            self.failures.append((slug, str(row["cause"]), log))
        if not skipped:
            seconds = f"  {self.now() - view.began:.1f} s" if view and view.began is not None else ""
            left = f"  ETA {self.eta()}" if self.runs else ""
            self.say(f"[{self.place()}] {ending(slug, row, log)}{seconds}{left}")

    def say(self, text: str) -> None:
        """A lasting line, above the table where there is one."""
        self.spoke = self.now()
        say(text)
        if self.live:
            self.refresh(now=True)

    def refresh(self, now: bool = False) -> None:
        """Redraw, if it is time."""
        moment = self.now()
        if moment - self.drawn < REDRAW_SECONDS and not now:
            return
        self.drawn = moment
        if self.live:
            self.live.draw(self.lines())
        elif moment - self.spoke > QUIET_SECONDS:
            training = list(self.training.values())
            where = "; ".join(f"{v.slug} epoch {v.number} of {v.epochs}" for v in training[:2])
            more = f" and {len(training) - 2} more" if len(training) > 2 else ""
            what = f"training {where}{more}" if training else "starting"
            self.say(f"[{self.place()}] {what}  ETA {self.eta()}")
        self.beat()

    def place(self) -> str:
        """How many runs are over, of how many: 3/12, or 3/about 40."""
        return f"{sum(self.counts.values())}/{self.whole()}"

    def whole(self) -> str:
        """The runs in all."""
        if self.outlook is None:
            return f"{self.total:,}"
        ahead = self.outlook.ahead()
        return f"about {self.total + round(ahead):,}" if math.isfinite(ahead) else "?"

    def eta(self) -> str:
        """The time left, as 1:05; a question mark before anything is known."""
        trained = self.spent + sum(v.epochs * (v.share - v.first) for v in self.training.values())
        left = self.untouched + sum(v.epochs * (1 - v.share) for v in self.training.values())
        if self.outlook is not None:
            if not math.isfinite(ahead := self.outlook.ahead()):
                return "?"
            left += ahead * self.epochs
        since = self.started if self.trained_since is None else self.trained_since
        return clock((self.now() - since) * left / trained) if trained > 0 else "?"

    def lines(self) -> list[str]:
        """The live table, no line of it wider than the terminal."""
        wide, high = screen.size(self.stream) or screen.USUAL
        wide -= 1  # the cursor's own
        training = list(self.training.values())
        waiting = len(self.runs) - len(training)
        counts = {**self.counts, "running": len(training), "waiting": waiting}
        told, eta = ", ".join(f"{count} {name}" for name, count in counts.items() if count), f"ETA {self.eta()}"
        above = self._above(wide, max((high - OTHERS) // 2, 1))
        runs = f"{self.whole()} runs" if self.outlook else counted(self.total, "run")
        heading = screen.fitting(wide, f"{runs}: {told}; {eta}", f"{eta}; {told}")
        most = min(SHOWN, max(high - OTHERS - len(above), 1))
        lines = [*above, heading, *rows(training[:most], wide)]
        if len(training) > most:
            lines.append(f"and {len(training) - most} more")
        if self.best and not self.outlook:  # the best of many flatters itself, which is what a question is asked for
            lines.append(screen.cut(shown(f"best so far: {self.winner()}", self.stream), wide))
        return lines

    def _above(self, wide: int, most: int) -> list[str]:
        """What the outlook has to show, in at most so many lines, and an empty one below it."""
        lines = self.outlook.lines(wide) if self.outlook else []
        if len(lines) > most:
            lines = [*lines[: most - 1], f"and {len(lines) - most + 1} more"]
        return [*lines, ""] if lines else []

    def winner(self) -> str:
        """The best run by validation so far, with its scores; empty before there is one."""
        return f"{validation(self.best[2])}  {self.best[1]}" if self.best else ""

    def closing(self, roots: Sequence[Path]) -> list[str]:
        """What to say after the sweep: counts, best run, failed runs, and what to do next."""
        waiting = self.total - sum(self.counts.values())
        counts = ", ".join(f"{n} {name}" for name, n in [*self.counts.items(), ("waiting", waiting)] if n)
        before = f" ({self.skipped} of them before)" if self.skipped else ""
        what = "tune " if self.outlook else "sweep"
        told = f"{what}    {counted(self.total, 'run')}: {counts}{before}; {clock(self.now() - self.started)} here"
        lines = [told] if self.total else []
        lines += [f"{label:<9}{counted(n, 'run')} {several}" for (label, several), n in self.origins.items() if n > 1]
        if self.best and not self.outlook:
            lines.append(f"best     {self.winner()} (one run, by {self.objective})")
        lines += [f"failed   {slug}: {cause}; log {_short(log)}" for slug, cause, log in self.failures]
        if waiting or self.counts["interrupted"]:
            lines.append("again    the same command goes on from there")
        if self.counts["done"] and not self.outlook:
            typed = [command_line([name, path_word(_short(root))]) for root in roots for name in ("select", "report")]
            lines += [f"{'' if i else 'next':<9}{line}" for i, line in enumerate(typed)]
        return lines


class View(Watch):
    """One run on the board."""

    def __init__(self, board: Board, slug: str, epochs: int) -> None:
        self.board, self.slug, self.epochs = board, slug, epochs
        self.began: float | None = None
        self.steps, self.per_epoch, self.number = 1, 1, 0
        self.first = self.share = self.speed = 0.0
        self.measuring = ""

    def begin(self, label: str, steps: int, steps_per_epoch: int, done: int) -> None:
        self.began, self.steps, self.per_epoch = self.board.now(), steps, steps_per_epoch
        self.first = self.share = done / steps
        self.board.began(self)
        if self.board.trained_since is None:
            self.board.trained_since = self.began
        self.number = min(done // steps_per_epoch + 1, self.epochs)
        self.board.refresh()

    def tick(self, step: int) -> None:
        self.share, self.number = step / self.steps, (step - 1) // self.per_epoch + 1
        self.board.refresh()

    def epoch(self, number: int, epochs: int, metrics: Sequence[Row], timing: Row) -> None:
        self.share, self.number, self.speed = number / epochs, number, timing["images_per_second"]
        self.board.refresh()

    def measure(self, what: str, done: int, of: int) -> None:
        self.measuring = f"{what} {done}/{of}"
        self.board.refresh()

    def note(self, text: str) -> None:
        self.board.say(f"{self.slug}: {text}")

    def origin(self, label: str, text: str, several: str) -> None:
        self.board.origins[label, several] += 1
        if self.board.origins[label, several] == 1:  # the others are counted
            self.note(text)


def _score(row: Row, objective: str) -> float | None:
    """What to minimise; None where the run has no such score."""
    value = row.get(objective)
    if value is None or not math.isfinite(value):
        return None
    return -value if objective == "val_accuracy" else float(value)


def _short(path: Path) -> str:
    """The path as one would type it here."""
    with suppress(ValueError, OSError):  # the current folder may be gone by now
        return str(path.relative_to(Path.cwd()))
    return str(path)
