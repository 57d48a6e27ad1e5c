"""Jobs that come while others train: what a sweep that plans as it goes is asked for its next runs through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from wdrun.config.run import Job

# Gives the numbers of up to so many jobs to begin now; they may be new among the jobs. Nothing: none before one ends.
Take = Callable[[int], Sequence[int]]


class Source:
    """Gives a growing sweep its jobs; this one has none.

    `kinds` has a job of each structure that may come: what is wrong with one is known before anything is created.
    """

    kinds: Sequence[Job] = ()

    def more(self, count: int) -> Sequence[Job]:
        """Up to `count` jobs, their λ known, to begin now; fewer: no others before another run has ended.

        Every end that is known by now was told to the `on_end` of `execute` before.
        """
        return ()

    def ahead(self) -> float:
        """About how many jobs are still to come; nan where that is not known."""
        return math.nan

    def lines(self, wide: int) -> list[str]:
        """What a person should see above the runs in training, no line wider than `wide` columns."""
        return []
