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
from typing import TYPE_CHECKING, Any, TextIO

from wdrun.terminal.progress import Row, Watch, say, scores
from wdrun.wording import clock, command_line, counted

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REDRAW_SECONDS = 0.25
QUIET_SECONDS = 30.0  # without a terminal: after this long without a line, one says where the sweep stands
SHOWN = 16  # runs in training that the live table lists


class Board:
    """The state of a sweep of `total` runs. A context manager: the live table is there inside it.

    `beat` is called whenever the board could be redrawn, so several times a second while runs train.
    """

    def __init__(
        self,
        total: int,
        objective: str,
        beat: Callable[[], None] = lambda: None,
        console: Console | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.objective, self.beat, self.now = total, objective, beat, now
        self.counts: Counter[str] = Counter()
        self.runs: dict[str, View] = {}  # those that are not over
        self.training: dict[str, View] = {}  # those of them that have begun
        self.untouched = 0  # epochs of the others: a sum that is kept, as they may be thousands
        self.best: tuple[float, str, Row] | None = None
        self.failures: list[tuple[str, str, Path]] = []
        self.skipped = 0
        self.spent = 0.0  # epochs trained here by runs that are over
        self.started = self.drawn = self.spoke = now()
        self.trained_since: float | None = None  # the first run's first step: starts and checks are over
        self.console = console or (terminal(sys.stderr) if sys.stderr.isatty() else None)
        self.live: Any = None

    def __enter__(self) -> Board:
        if self.console:
            from rich.live import Live

            # Results printed to a file or a pipe go there; on the same terminal they scroll above the table.
            both = sys.stdout.isatty()
            self.live = Live(
                self.render(), console=self.console, auto_refresh=False, transient=True, redirect_stdout=both
            )
            with suppress(OSError):
                self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            with suppress(OSError):
                self.live.stop()

    def view(self, slug: str, epochs: int) -> View:
        """The watch of a run that is to be trained."""
        self.untouched += epochs
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
            self.say(f"[{sum(self.counts.values())}/{self.total}] {_ending(slug, row, log)}{seconds}{left}")

    def say(self, text: str) -> None:
        """A lasting line, above the table where there is one."""
        self.spoke = self.now()
        if self.console and self.live:
            with suppress(OSError):
                self.console.print(text, markup=False, highlight=False, soft_wrap=True)
            self.refresh(now=True)
        else:
            say(text)

    def refresh(self, now: bool = False) -> None:
        """Redraw, if it is time."""
        moment = self.now()
        if moment - self.drawn < REDRAW_SECONDS and not now:
            return
        self.drawn = moment
        if self.live:
            with suppress(OSError):
                self.live.update(self.render(), refresh=True)
        elif moment - self.spoke > QUIET_SECONDS:
            training = list(self.training.values())
            where = "; ".join(f"{v.slug} epoch {v.number} of {v.epochs}" for v in training[:2])
            more = f" and {len(training) - 2} more" if len(training) > 2 else ""
            self.say(f"[{sum(self.counts.values())}/{self.total}] training {where}{more}  ETA {self.eta()}")
        self.beat()

    def eta(self) -> str:
        """The time left, as 1:05; a question mark before anything is known."""
        trained = self.spent + sum(v.epochs * (v.share - v.first) for v in self.training.values())
        left = self.untouched + sum(v.epochs * (1 - v.share) for v in self.training.values())
        since = self.started if self.trained_since is None else self.trained_since
        return clock((self.now() - since) * left / trained) if trained > 0 else "?"

    def render(self) -> RenderableType:
        """The live table."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        training = list(self.training.values())
        waiting = len(self.runs) - len(training)
        counts = {**self.counts, "running": len(training), "waiting": waiting}
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        grid = Table.grid(padding=(0, 2))
        for view in training[:SHOWN]:
            speed = f"{view.speed:,.0f} images/s" if view.speed else ""
            grid.add_row(
                Text(view.slug, overflow="ellipsis", no_wrap=True),
                Text(f"epoch {view.number}/{view.epochs}", no_wrap=True),
                ProgressBar(total=1.0, completed=view.share, width=20),
                Text(speed, no_wrap=True),
            )
        rows: list[RenderableType] = [Text(f"{counted(self.total, 'run')}: {', '.join(parts)}; ETA {self.eta()}"), grid]
        if len(training) > SHOWN:
            rows.append(Text(f"and {len(training) - SHOWN} more"))
        if self.best:
            rows.append(Text(f"best so far: {self.winner()}", no_wrap=True, overflow="ellipsis"))
        return Group(*rows)

    def winner(self) -> str:
        """The best run by validation so far, with its scores; empty before there is one."""
        return f"{_validation(self.best[2])}  {self.best[1]}" if self.best else ""

    def closing(self, roots: Sequence[Path], next_commands: bool = True) -> list[str]:
        """What to say after the sweep: counts, best run, failed runs, and what to do next."""
        waiting = self.total - sum(self.counts.values())
        counts = ", ".join(f"{n} {name}" for name, n in [*self.counts.items(), ("waiting", waiting)] if n)
        before = f" ({self.skipped} of them before)" if self.skipped else ""
        lines = [f"sweep    {counted(self.total, 'run')}: {counts}{before}; {clock(self.now() - self.started)} here"]
        if self.best:
            lines.append(f"best     {self.winner()} (one run, by {self.objective})")
        lines += [f"failed   {slug}: {cause}; log {_short(log)}" for slug, cause, log in self.failures]
        if waiting or self.counts["interrupted"]:
            lines.append("again    the same command goes on from there")
        if next_commands and self.counts["done"]:
            typed = [command_line([name, _short(root)]) for root in roots for name in ("select", "report")]
            lines += [f"{'' if i else 'next':<9}{line}" for i, line in enumerate(typed)]
        return lines


class View(Watch):
    """One run on the board."""

    def __init__(self, board: Board, slug: str, epochs: int) -> None:
        self.board, self.slug, self.epochs = board, slug, epochs
        self.began: float | None = None
        self.steps, self.per_epoch, self.number = 1, 1, 0
        self.first = self.share = self.speed = 0.0

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

    def note(self, text: str) -> None:
        self.board.say(f"{self.slug}: {text}")


def _ending(slug: str, row: Row, log: Path) -> str:
    """`done  val 0.7812 (0.6412)  slug`, or why there is no score."""
    if row["status"] == "done":
        return f"done  {_validation(row)}  {slug}"
    trace = f"; traceback in {log}" if row["status"] == "failed" else ""
    return f"{row['status']}: {row.get('cause') or slug}{trace}" + (f"  {slug}" if row.get("cause") else "")


def _validation(row: Row) -> str:
    """The scores as in the line of an epoch. The test split is not for watching."""
    return f"val {scores(row.get('val_accuracy'), row['val_loss'])}"


def _score(row: Row, objective: str) -> float | None:
    """What to minimise; None where the run has no such score."""
    value = row.get(objective)
    if value is None or not math.isfinite(value):
        return None
    return -value if objective == "val_accuracy" else float(value)


def _short(path: Path) -> str:
    """The path as one would type it here."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def terminal(file: TextIO, **options: Any) -> Console:
    """A console on that terminal; once nobody reads there it is silent, where rich would end the process."""
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True

    return Patient(file=file, **options)
