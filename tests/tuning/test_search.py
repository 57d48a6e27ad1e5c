"""Where to look next: what promises most, what a search keeps, and where it ends."""

import math

import numpy as np
import pytest

from wdrun.tuning import search
from wdrun.tuning.process import Process, improvement
from wdrun.tuning.search import chosen
from wdrun.tuning.space import FARTHEST, REACH, Axis, Space
from wdrun.tuning.surface import CLIPPED, Tried

MARGIN = 0.02
LAMBDA, LR = Axis("lambda", 1e-3), Axis("lr", 0.01)
PLANE = Space((LAMBDA, LR), True, zero=-4.5, acts=lambda s: s[0] * s[1] > 9e-7, middle=lambda s: 1e-5 / s[1])
BOUNDED = Axis("optimizer.momentum", 0.9, 0.5, 0.98, log=False)


def following(*arguments):
    return list(search.following(*arguments))


def bowl(lam=1e-3, lr=0.01, gain=0.06, steep=0.2):
    """A valley over (λ, lr) with its lowest point there, `gain` higher at λ = 0."""

    def score(setting):
        away = math.log10(setting[0] / lam) if setting[0] > 0 else -math.inf
        without = 1.6 + steep * math.log10(setting[1] / lr) ** 2
        return without - gain * math.exp(-(away**2)) + 0.1 * max(0.0, away - 0.7) ** 2

    return score


def searched(space, score, most=120, count=1, noise=0.0):
    rng, tried = np.random.default_rng(0), []
    while len(tried) < most and (settings := following(space, tried, MARGIN, count)):
        tried += [Tried(setting, score(setting) + noise * rng.normal()) for setting in settings]
    assert len(tried) < most
    return tried


def test_the_next_setting_is_the_most_promising_of_the_grid():
    tried = searched(PLANE, bowl())[:8]
    most = min(t.score for t in tried) + CLIPPED * MARGIN
    x, y = PLANE.coordinates(t.setting for t in tried), np.array([min(t.score, most) for t in tried])
    process, best = Process(x, y), {}
    good = [t.setting for t in tried if t.score < most]
    for decayed in (True, False):
        own = [row for row, t in enumerate(tried) if (t.setting[0] > 0) == decayed]
        lowest = process.at(x[own])[0].min()
        for setting in PLANE.new(PLANE.grid(good, decayed=decayed), [t.setting for t in tried]):
            mean, deviation = process.at(PLANE.coordinates([setting]))
            best[setting] = improvement(mean, deviation, float(lowest))[0]
    (found,) = following(PLANE, tried, MARGIN)
    assert best[found] == max(best.values()) >= search.PROMISE * MARGIN


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_the_best_is_found(noise):
    tried = searched(PLANE, bowl(), noise=noise)
    for decayed, least in ((True, 1.54), (False, 1.6)):
        assert bowl()(chosen(PLANE, tried, MARGIN, decayed=decayed)) <= least + MARGIN / 2
    assert 8 <= len(tried) <= 20


@pytest.mark.parametrize(("lam", "lr"), [(1e-1, 0.01), (1e-5, 0.1), (1e-3, 0.3), (1e-2, 1e-3), (1e-1, 1e-3)])
def test_the_range_grows_to_a_best_beyond_it(lam, lr):
    tried = searched(PLANE, bowl(lam, lr))
    assert bowl(lam, lr)(chosen(PLANE, tried, MARGIN)) <= 1.54 + MARGIN


def test_what_is_bad_is_no_reason_to_look_beyond_it():
    """Scores beyond the clip are all the same: a flat land that would promise something behind each of them."""
    score = lambda s: bowl(steep=0.4)(s)  # noqa: E731
    tried = searched(PLANE, score)
    good = [t.setting for t in tried if t.score < min(t.score for t in tried) + CLIPPED * MARGIN]
    rates = [LR.step(s[1]) for s in good]
    assert all(min(rates) - REACH <= LR.step(t.setting[1]) <= max(rates) + REACH for t in tried)
    assert len(tried) <= 20


def test_where_lambda_does_nothing_yet_the_search_goes_on_to_where_it_does():
    """Nothing but luck tells λ = 1e-5 and 1e-3 from 0; the gain is at 1, behind them."""

    def score(setting):
        gain = 0.06 * math.exp(-((math.log10(setting[0]) - 0.0) ** 2) / 0.18) if setting[0] > 0 else 0.0
        return 1.6 - gain + 0.3 * max(0.0, math.log10(setting[0]) - 0.7 if setting[0] > 0 else 0.0) ** 2

    space = Space((Axis("lambda", 1e-4),), True, zero=-5.5, middle=lambda s: 1e-4)
    tried = searched(space, score)
    assert score(chosen(space, tried, MARGIN)) <= 1.54 + MARGIN / 4


@pytest.mark.parametrize("zeros", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("count", [1, 4])
def test_at_most_so_many_are_tried_without_decay_before_one_with_it(zeros, count):
    tried = []
    while len(tried) < 12 and (settings := following(PLANE, tried, MARGIN, count, zeros)):
        tried += [Tried(setting, bowl()(setting)) for setting in settings]
    first = [t.setting[0] > 0 for t in tried].index(True)
    whole = [t.setting[0] > 0 for t in searched(PLANE, bowl())].index(True)
    assert first == zeros if zeros < whole else first >= whole - 1


@pytest.mark.parametrize("decayed", [True, False])
def test_the_best_is_not_at_an_edge(decayed):
    tried = searched(PLANE, bowl(3e-2, 0.1))
    best = chosen(PLANE, tried, MARGIN, decayed=decayed)
    for place in (0, 1) if decayed else (1,):
        line = [t.setting for t in tried if (t.setting[0] > 0) == decayed]
        assert min(s[place] for s in line) < best[place] < max(s[place] for s in line)


def test_the_same_runs_give_the_same_next_settings_in_any_order():
    tried = searched(PLANE, bowl(), noise=0.005)
    for cut in (0, 1, 4, 9, len(tried)):
        assert following(PLANE, tried[:cut], MARGIN) == [t.setting for t in tried[cut : cut + 1]]
        turned = [tried[i] for i in np.random.default_rng(cut).permutation(cut)]
        assert following(PLANE, turned, MARGIN) == following(PLANE, tried[:cut], MARGIN)


@pytest.mark.parametrize("count", [1, 4, 11])
def test_no_setting_is_asked_for_twice_nor_one_where_decay_cannot_act(count):
    settings = [t.setting for t in searched(PLANE, bowl(3e-3, 0.03), count=count, noise=0.01)]
    assert len(set(settings)) == len(settings)
    assert PLANE.new(settings, settings) == []
    assert all(s[0] == 0 or PLANE.acts(s) for s in settings)


def test_what_trains_is_not_asked_for_again():
    tried = searched(PLANE, bowl())[:7]
    (one,) = following(PLANE, tried, MARGIN)
    (other,) = following(PLANE, [*tried, Tried(one, math.nan)], MARGIN)
    assert other != one
    assert following(PLANE, tried, MARGIN, 2) == [one, other]


SPACES = {
    "nothing is tuned": Space((), False),
    "lr alone": Space((LR,), False),
    "λ alone": Space((LAMBDA,), True, zero=-4.5, middle=lambda s: 1e-3),
    "λ with bounds": Space((Axis("lambda", 1e-3, 1e-5, 1e-1),), True, zero=-6.5, middle=lambda s: 1e-3),
    "a linear axis": Space((LAMBDA, BOUNDED), True, zero=-4.5, middle=lambda s: 1e-3),
    "three axes": Space((LAMBDA, LR, BOUNDED), True, zero=-4.5, middle=lambda s: 1e-5 / s[1]),
    "whole numbers": Space((Axis("batch_size", 64, 8, 512, whole=True),), False),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_every_space_is_searched_to_an_end_inside_its_bounds(space):
    best = {"lambda": 3e-3, "lr": 0.02, "optimizer.momentum": 0.8, "batch_size": 100}

    def score(setting):
        score = 1.0
        for axis, value in zip(space.axes, setting, strict=True):
            away = 1.0 if value == 0 else axis.coordinate(value) - axis.coordinate(best[axis.key])
            score += 0.1 * min(abs(away), 1.5) ** 2
        return score

    tried = searched(space, score)
    assert score(chosen(space, tried, MARGIN)) <= 1 + MARGIN
    assert (chosen(space, tried, MARGIN, decayed=False) is not None) == (space.decays or bool(tried))
    for t in tried:
        for axis, value in zip(space.axes, t.setting, strict=True):
            assert axis.low <= value <= axis.high or value == 0
            assert not axis.whole or value == round(value)


def test_a_score_that_falls_for_ever_ends_at_the_farthest_value():
    space = Space((LR,), False)
    tried = searched(space, lambda setting: 5 - math.log10(setting[0]))
    assert max(t.setting[0] for t in tried) == pytest.approx(LR.start * 10 ** (FARTHEST / 4), rel=0.1)


@pytest.mark.parametrize("limit", [3e-3, 1e-4])
def test_where_all_diverged_smaller_values_are_tried(limit):
    """Whatever has lr at the limit or above diverges, the start among it."""
    tried = searched(PLANE, lambda s: math.inf if s[1] >= limit else bowl(lr=limit / 3)(s))
    assert math.isinf(tried[0].score)
    for decayed in (True, False):
        assert chosen(PLANE, tried, MARGIN, decayed=decayed)[1] < limit


def test_nothing_is_chosen_where_nothing_is_sound():
    tried = [Tried((0.0, 0.01), 1.6), Tried((1e-3, 0.01), math.inf), Tried((1e-3, 0.1), math.nan)]
    assert chosen(PLANE, tried, MARGIN) is None
    assert chosen(PLANE, tried, MARGIN, decayed=False) == (0.0, 0.01)
    assert chosen(PLANE, [], MARGIN) is None


def test_a_sweep_that_was_there_is_searched_no_further_than_it_must():
    grid = [(lam, lr) for lam in (0.0, *np.geomspace(1e-5, 1, 11)) for lr in (1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 1.0)]
    swept = [Tried(setting, bowl(2e-3)(setting)) for setting in grid]
    asked = []
    while settings := following(PLANE, [*swept, *asked], MARGIN):
        asked += [Tried(setting, bowl(2e-3)(setting)) for setting in settings]
    assert len(swept) > search.USUAL
    assert len(asked) <= 3
    edge = [t for t in swept if t.setting[1] <= 1e-3]  # the best has nothing above it: more is asked for, however many
    assert following(PLANE, [*edge, *edge[:0]], MARGIN)


def test_settings_a_tenth_of_a_decade_apart_are_the_same():
    assert PLANE.new([(1e-3, 0.032), (0.0, 0.032), (1e-3, 0.018)], [(1.1e-3, 0.03)]) == [(0.0, 0.032), (1e-3, 0.018)]


@pytest.mark.parametrize("axis", [
    Axis("lr", 0.02, 2e-3, 8e-2), Axis("model.dropout", 0.3, 0.1, 0.7654321234, log=False), Axis("width", 64, 9, 300),
], ids=lambda axis: axis.key)  # fmt: skip
@pytest.mark.parametrize("side", [-1, 1])
def test_a_best_beyond_the_bounds_is_looked_for_at_the_bound(axis, side):
    space = Space((axis,), False)
    tried = searched(space, lambda setting: 1 - 0.2 * side * axis.coordinate(setting[0]))
    assert chosen(space, tried, MARGIN) == (axis.low if side < 0 else axis.high,)


@pytest.mark.parametrize("gain", [0.06, 0.3, 1.0])
def test_the_best_without_decay_is_found_however_much_decay_gains(gain):
    """Eight margins above the best all scores are the same, but for those of λ = 0 among themselves."""
    tried = searched(PLANE, bowl(gain=gain))
    assert bowl(gain=gain)(chosen(PLANE, tried, MARGIN, decayed=False)) <= 1.6 + MARGIN / 2
