"""How long runs take here, guessed from a few steps and then learnt, and whether another fits into the time allowed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from wdrun import devices
from wdrun.sweep.one_run import shared_out
from wdrun.training.trainer import Trainer

WARM = 3  # first steps, which are slower than those that follow
LOOK_SECONDS = 0.5  # so long are steps timed, at least LEAST of them after the first ones
LEAST = 5
FORWARD = 1 / 3  # of a step's work is done to evaluate as many examples


class Clock:
    """The `seconds` that a command may take (None: all it needs), and what a run of each facet is expected to take.

    `guesses` are seconds by facet, from elsewhere; a run that ends corrects that of its own facet, and until then those
    of the others in the same proportion.
    """

    def __init__(self, began: float | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.began = now() if began is None else began
        self.seconds: float | None = None
        self.guesses: Sequence[float] = ()
        self.took: dict[int, list[float]] = {}

    @property
    def spent(self) -> float:
        """Seconds since the command began."""
        return self.now() - self.began

    @property
    def left(self) -> float | None:
        """Seconds until the time is over, negative after it; None without a bound."""
        return None if self.seconds is None else self.seconds - self.spent

    def learn(self, facet: int, seconds: float) -> None:
        """Take note of what a run of the facet took."""
        self.took.setdefault(facet, []).append(seconds)

    def expected(self, facet: int) -> float:
        """Seconds that a run of the facet is expected to take."""
        if facet in self.took:
            return statistics.median(self.took[facet])
        off = [statistics.median(took) / self.guesses[other] for other, took in self.took.items()]
        return self.guesses[facet] * (statistics.mean(off) if off else 1.0)

    @property
    def a_run(self) -> float:
        """Seconds that a run is expected to take, the mean over facets."""
        return statistics.mean(self.expected(facet) for facet in range(len(self.guesses)))

    def fits(self, facet: int, before: float = 0.0) -> bool:
        """Whether a run of the facet would end in time that begins once `before` seconds are over."""
        return self.left is None or before + self.expected(facet) <= self.left


def seconds_of(trainer: Trainer, share: int = 1) -> float:
    """Seconds that a run is expected to take on a `share`-th of its threads, by a few steps of it that leave nothing.

    epochs · (steps · t + the validation examples as a FORWARD of steps), and the test examples once.
    """
    run, machine = trainer.run, shared_out(trainer.machine, trainer.run, share)
    devices.apply(machine)
    moments = [time.perf_counter()]

    def tick(step: int) -> None:
        if machine.device.type == "cuda":
            torch.cuda.synchronize(machine.device)
        moments.append(time.perf_counter())
        if step >= WARM + LEAST and moments[-1] - moments[WARM] > LOOK_SECONDS:
            raise _EnoughError

    try:
        for _ in trainer.train(tick=tick):
            pass
    except _EnoughError:
        pass
    else:
        return time.perf_counter() - moments[0]  # all of a short run
    between = [later - earlier for earlier, later in zip(moments[WARM:], moments[WARM + 1 :], strict=False)]
    step = statistics.median(between)
    splits = trainer.dataset.splits
    examples = run.epochs * len(splits["val"]) + len(splits["test"])
    return step * (trainer.steps + FORWARD * examples / run.batch_size)


class _EnoughError(Exception):
    """So many steps were timed."""
