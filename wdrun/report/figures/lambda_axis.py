"""The axis of λ: log10 λ, with λ = 0 a point of its own at the left, behind a break in the axis line."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from wdrun.report.figures import style
from wdrun.report.figures.style import SOFT
from wdrun.wording import rough


class LambdaAxis:
    """Positions of λ ≥ 0: log10 λ; for λ = 0 `zero`, left of the smallest by a gap that a break marks as no number."""

    def __init__(self, lams: Iterable[float]) -> None:
        values = sorted(set(map(float, lams)))
        self.positive = [v for v in values if v > 0]
        self.has_zero = 0.0 in values
        logs = np.log10(self.positive) if self.positive else np.zeros(1)
        self.low, self.high = float(logs[0]), float(logs[-1])
        self.gap = max(0.8, 0.22 * (self.high - self.low))
        self.zero = self.low - self.gap if self.positive else 0.0

    def __call__(self, lams: ArrayLike) -> NDArray[np.float64]:
        lams = np.asarray(lams, dtype=float)
        return np.where(lams > 0, np.log10(np.where(lams > 0, lams, 1.0)), self.zero)

    def ticks(self, most: int) -> list[float]:
        """λ to label: 0, then at most `most` others, whole decades where there are too many values."""
        return [*([0.0] if self.has_zero else []), *style.labelled(self.positive, most)]

    def dress(self, ax: Axes, *, most: int = 8, label: str = "λ") -> None:
        """Ticks, limits and the break of a panel whose x axis this is."""
        ticks = self.ticks(most)
        ax.set_xticks(self(ticks), [rough(v) for v in ticks])
        ax.set_xlabel(label)
        margin = 0.05 * (self.high - min(self.zero, self.low)) or 0.5
        ax.set_xlim((self.zero if self.has_zero else self.low) - margin, self.high + margin)
        if self.has_zero and self.positive:
            self._break(ax)

    def _break(self, ax: Axes) -> None:
        """Two slashes on the axis line, which is not drawn between them."""
        middle, half = self.low - self.gap / 2, 0.02 * (self.high - self.zero)
        across = ax.get_xaxis_transform()
        ax.plot(
            [middle - half, middle + half], [0, 0], color="white", lw=2.5, transform=across, clip_on=False, zorder=5
        )
        for x in (middle - half, middle + half):
            ax.plot(
                [x - half, x + half], [-0.025, 0.025], color=SOFT, lw=0.8, transform=across, clip_on=False, zorder=6
            )
