"""The scores of a facet's settings: those of other seeds compared, and what a prior expects between them."""

import math

import numpy as np
import pytest

from wdrun.tuning.prior import Prior
from wdrun.tuning.space import Axis, Space
from wdrun.tuning.surface import Tried, levelled, surface_of

MARGIN = 0.02


def test_scores_of_other_seeds_compare():
    """Settings' means with what a seed does to all of them taken out: numpy's least squares says the same."""
    rng = np.random.default_rng(0)
    known = [
        ((float(k),), {s: k + 10 * s + rng.normal() for s in range(4) if rng.random() < 0.6 or s == k % 4})
        for k in range(9)
    ]
    runs = [(k, s, y) for k, (_, own) in enumerate(known) for s, y in own.items()]
    design = np.zeros((len(runs), 13))
    for line, (k, s, _) in enumerate(runs):
        design[line, k] = design[line, 9 + s] = 1
    exact = np.linalg.lstsq(design, [y for *_, y in runs], rcond=None)[0]
    found = np.array([t.score for t in levelled(known)])
    assert found - found.mean() == pytest.approx(exact[:9] - exact[:9].mean(), abs=0.01)
    assert levelled([((1.0,), {0: 2.0, 1: math.inf})])[0].score == math.inf
    assert math.isnan(levelled([((1.0,), {0: math.nan})])[0].score)


def test_far_from_what_was_tried_the_surface_is_what_the_prior_expects():
    """A score as the prior has it moves nothing; one that is a margin worse lifts what is near it, and little else."""
    axes = (Axis("lambda", 1e-3), Axis("lr", 0.01))
    space = Space(axes, True, zero=-5.0, middle=lambda s: 1e-5 / s[1], prior=Prior(0.5, 0.5, rates=True, bare=0.01))
    there, beside, far = [(1e-3, 0.01), (3.2e-3, 0.01), (1e-3, 1.0)]
    assert space.rises([there, beside, far]) == pytest.approx([0, (math.log10(3.2) / 0.5) ** 2, 3])
    known = surface_of(space, [Tried(there, 1.6), Tried(beside, 1.6 + MARGIN * space.rises([beside])[0])], MARGIN)
    assert known.expected([far]) == pytest.approx([1.6 + 3 * MARGIN])
    worse = surface_of(space, [Tried(there, 1.6 + MARGIN), Tried((1e-1, 0.01), 1.6 + 3 * MARGIN)], MARGIN)
    lifted = worse.expected([there, (1.8e-3, 0.01)]) - 1.6 - MARGIN * space.rises([there, (1.8e-3, 0.01)])
    assert lifted[0] > lifted[1] > 0.3 * MARGIN
