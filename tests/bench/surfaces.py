"""Simulated questions: true scores over (lr, λ), and noise, of the shapes that a tuner may meet.

Legend: u = log10 lr, w = log10(lr·λ), what decay does in all. A world is a question with the truth about it.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wdrun.tuning.question import Facet, Question
from wdrun.tuning.space import Axis, Space

MARGIN = 0.02
KEPT = Path(__file__).parents[2] / "outputs/examples/lr_lambda/runs.csv"
STEPS = 780  # of a run of the kept tables; a cosine's mean is half
LINES = {("sgd", "coupled"): 10, ("sgd", "decoupled"): 1, ("adam", "coupled"): 128, ("adam", "decoupled"): 1}
RATES = {"sgd": 0.01, "adam": 0.001}


class Surface(NamedTuple):
    """The truth of one facet: score and standard deviation at (lr, λ); where its search starts; whose λ = 0 it has."""

    score: Callable[[float, float], float]
    noise: Callable[[float, float], float]
    lr: float
    lam: float
    home: int
    best: float  # with decay
    zero: float  # the best without


@dataclass(frozen=True)
class World:
    """A question, its surfaces, and the kind of its noise: normal, t3, skew or rounded.

    `shared` is the seeds' own; `lost` the chance of a run to diverge, whatever its cell.
    """

    question: Question
    surfaces: tuple[Surface, ...]
    kind: str = "normal"
    shared: float = 0.0
    lost: float = 0.0

    def truth(self, cell):
        return self.surfaces[cell.facet].score(cell.setting[1], cell.setting[0])

    def draws(self, rng, cells, seeds):
        """Scores of shape (seeds, cells)."""
        shape = (seeds, len(cells))
        luck = {
            "t3": lambda: rng.standard_t(3, size=shape) / math.sqrt(3),
            "skew": lambda: rng.exponential(size=shape) - 1,
        }.get(self.kind, lambda: rng.normal(size=shape))()
        spread = np.array([self.surfaces[c.facet].noise(c.setting[1], c.setting[0]) for c in cells])
        y = np.array([self.truth(c) for c in cells]) + spread * luck + self.shared * rng.normal(size=(seeds, 1))
        if self.lost:
            y[rng.random(shape) < self.lost] = math.inf
        return np.round(y / (MARGIN / 5)) * (MARGIN / 5) if self.kind == "rounded" else y

    def difference(self, pair, one, other):
        """The true difference of the cells that stand for a pair's sides, and of the best there is."""
        a = self.surfaces[pair.one].best
        b = self.surfaces[pair.one].zero if pair.other is None else self.surfaces[pair.other].best
        return self.truth(one) - self.truth(other), a - b


def world(surfaces, alpha=0.05, **noise):
    facets = []
    for place, s in enumerate(surfaces):
        reach = math.log10(s.lr * s.lam)
        space = Space(
            (Axis("lambda", s.lam), Axis("lr", s.lr)),
            decays=True,
            zero=math.log10(s.lam) - 1.5,
            acts=lambda setting, reach=reach: math.log10(setting[0] * setting[1]) >= reach - 1.01,
            middle=lambda setting, s=s: s.lr * s.lam / setting[1],
        )
        facets.append(Facet(f"facet={place}", (f"facet={place}",), (f"home={s.home}",), space))
    return World(Question(tuple(facets), MARGIN, alpha=alpha), tuple(surfaces), **noise)


def valley(rng, gain, home=0, optimizer=None, far=0.0, corner=False, noise=0.25, varied=False, base=1.65):
    """A valley in u that moves up as decay acts, with a hollow of depth `gain` where lr·λ is best.

    `optimizer` are the valley's place and steepness without decay. `far`: that many decades from the start, in u, in
    w or both; `noise` in margins, 0.3 to 3 times as much if `varied`; with a `corner` of large lr or λ that diverges.
    """
    u0, steep = optimizer or bare(rng, far)
    w0 = rng.uniform(-0.4, 0.4) + rng.choice([-far, 0, far])
    ridge, wide = rng.uniform(0, 0.6) * (gain > 0), rng.uniform(0.45, 0.8)
    salt = int(rng.integers(2**31))

    def score(lr, lam):
        u = math.log10(lr) + 2 - u0
        w = math.log10(lr * lam) + 4 - w0 if lam > 0 else -math.inf
        if corner and (u > ridge + 0.7 or w > 1.0):
            return math.inf
        h = math.exp(-(w**2) / (2 * wide**2))
        return min(base + steep * (u - ridge * h) ** 2 - gain * h + 0.3 * max(0.0, w - 0.7) ** 2, 2.3)

    def spread(lr, lam):
        share = zlib.crc32(f"{salt} {lr:.3g} {lam:.3g}".encode()) / 2**32
        return noise * MARGIN * (0.3 * 10**share if varied else 1.0)

    return Surface(score, spread, 0.01, 0.01, home, base - gain, base)


def bare(rng, far=0.0):
    """Place and steepness of a valley over u without decay."""
    return rng.uniform(-0.4, 0.4) + rng.choice([-far, 0, far]), rng.uniform(0.1, 0.25)


@cache
def kept(optimizer, coupling, table=KEPT):
    """The surface of a setting of the kept table, and its noise: seeds' differences, over a cell and its neighbours."""
    import pandas as pd
    from scipy.interpolate import PchipInterpolator, RegularGridInterpolator
    from scipy.ndimage import uniform_filter

    runs = pd.read_csv(table)
    own = runs[(runs.optimizer == optimizer) & (runs.coupling == coupling)]
    seeds = own.pivot_table(index="lr", columns=["lambda", "seed"], values="val_loss")
    means = own.pivot_table(index="lr", columns="lambda", values="val_loss").ffill(axis=1)
    gaps = seeds.xs(0, axis=1, level=1) - seeds.xs(1, axis=1, level=1)
    sd = np.sqrt(uniform_filter((gaps.reindex(columns=means.columns).fillna(0) ** 2 / 2).to_numpy(), 3, mode="nearest"))
    u, v = np.log10(means.index.to_numpy()), np.log10(means.columns.to_numpy()[1:])
    v = np.r_[v[0] - 1, v]  # λ = 0 stands a decade below the first
    u = np.r_[u[0] - 1, u, u[-1] + 1]
    y = np.vstack([means.iloc[0] + 0.3, means, np.minimum(means.iloc[-1] + 0.3, 2.4)])
    rates, lams = np.linspace(u[0], u[-1], 201), np.linspace(v[0], v[-1], 301)
    dense = PchipInterpolator(v, PchipInterpolator(u, y)(rates), axis=1)(lams)
    of = {
        "y": RegularGridInterpolator((rates, lams), dense),
        "sd": RegularGridInterpolator((u, v), np.vstack([sd[0], sd, sd[-1]])),
    }

    @cache
    def at(name, lr, lam):
        place = v[0] if lam == 0 else min(max(math.log10(lam), v[0]), v[-1])
        return float(of[name]([[min(max(math.log10(lr), u[0]), u[-1]), place]])[0])

    lr = RATES[optimizer]
    lam = 0.5 / (lr * STEPS / 2 * LINES[optimizer, coupling])  # total decay is 0.5 there
    home = 0 if optimizer == "sgd" else 2
    return Surface(
        lambda lr, lam: at("y", lr, lam),
        lambda lr, lam: max(at("sd", lr, lam), 1e-4),
        lr, lam, home, float(dense.min()), float(dense[:, 0].min()),
    )  # fmt: skip


def example(far=0, rng=None, noise=1.0):
    """The four settings of lr_lambda; the start is so many decades off, in λ or lr or both."""
    found = [kept(*line) for line in LINES]
    if far:
        found = [s._replace(lr=s.lr * 10 ** (far * a), lam=s.lam * 10 ** (far * b)) for s, (a, b) in
                 ((s, rng.choice([(1.0, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1)])) for s in found)]  # fmt: skip
    louder = [s._replace(noise=lambda lr, lam, s=s: noise * s.noise(lr, lam)) for s in found]
    return louder if noise != 1 else found


def four(rng, gains=(2.0, 2.0, 2.0, 2.0), far=0.0, **how):
    """Four facets of two optimizers, whose gains over λ = 0 are so many margins."""
    lines = [line for line in (bare(rng, far), bare(rng, far)) for _ in range(2)]
    return [valley(rng, gain * MARGIN, 2 * (k // 2), lines[k], far, **how) for k, gain in enumerate(gains)]
