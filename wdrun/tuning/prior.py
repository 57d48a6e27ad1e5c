"""What is expected of a facet before its first run, from an answer elsewhere: how far the best may be from the start.

The search of a facet that has a prior starts from three λ, the one expected and both ends of its interval, at the lr
expected, and takes its scores for a draw of a Gaussian process about

    rise(a, b) = min(MOST, (a/h)² + (b/RATE)²)      in margins above the best

a and b decades of λ and lr from those expected, h from λ to the end of the interval on that side. A prior says where to
look, not what is found: once the best that was tried lies beyond the interval, or RATE from the lr, it counts no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST = 3.0  # margins that a score is expected to rise at the most: farther away nothing is known
RATE = 0.5  # decades of lr over which a score is expected to rise by a margin
NEAREST = 0.5  # decades from λ to an end of its interval at the least
SURE = 1.0  # margins by which scores are off from what is expected: the standard deviation of the process
TOLERANCE = 0.05  # decades that the grid's rounding moves a setting


@dataclass(frozen=True)
class Prior:
    """How far from the start of its axis the best λ may be, in decades; an end that is not known is inf.

    With `rates` the start of lr was carried too, and `bare` is the lr to start from with λ = 0.
    """

    below: float
    above: float
    rates: bool = False
    bare: float = math.nan

    def half(self, away: float) -> float:
        """Decades from λ to the end of the interval on the side of `away`."""
        return max(self.above if away > 0 else self.below, NEAREST)

    def rise(self, away: float, rate: float) -> float:
        """How many margins above the best a score is expected, so many decades of λ and of lr from the start."""
        return min(MOST, (away / self.half(away)) ** 2 + self.rates * (rate / RATE) ** 2)

    def excludes(self, away: float, rate: float) -> bool:
        """Whether the best was not expected there."""
        return abs(away) > self.half(away) + TOLERANCE or (self.rates and abs(rate) > RATE + TOLERANCE)
