"""How often `wdrun select` would mislead where nothing differs: python tests/bench/selected.py [sweeps=20000].

Sweeps are drawn, not trained: a score is its seed's luck plus its run's, normal or skewed, with equal or unequal noise.
1. against λ = 0: decay does nothing; share of sweeps in which any interval lies wholly in favour of decay, as select
   makes it and as Student's t of the picked pair alone would have it. One setting promises 2.5 %, several together 5 %.
2. leaderboard: settings do not differ, each at the best of its cells; share of sweeps in which any is called worse, and
   in which one with a gap just beyond the margin is called equivalent. Both promise 5 %.
"""

import sys

import numpy as np

from wdrun.selection.intervals import picked_interval, pool, pooled_noise, ranked_interval, t_interval

CONFIDENCE = 0.95


def noises(cells, zeros=1):
    """The spread of each cell, those at λ = 0 first."""
    return {
        "equal": np.ones(cells),
        "falling with λ": np.linspace(1, 0.4, cells),
        "rising with λ": np.linspace(1, 3, cells),
        "one λ 3 times": np.r_[np.ones(cells - 1), 3.0],
        "one λ 10 times": np.r_[np.full(cells - 1, 0.3), 3.0],
        "half 3 times": np.r_[np.ones(cells - cells // 2), np.full(cells // 2, 3.0)],
        "λ = 0 3 times": np.r_[np.full(zeros, 3.0), np.ones(cells - zeros)],
    }


def scores(rng, spread, n, skewed=False):
    """(cells, n): the luck of each run, and that of each seed, which all cells share."""
    luck = 1 - rng.exponential(size=(len(spread), n)) if skewed else rng.normal(size=(len(spread), n))
    return spread[:, None] * luck + 2 * rng.normal(size=n)


def against_zero(rng, sweeps, lambdas, rates, n, spread, settings=1, skewed=False):
    """Shares of sweeps with a false claim for decay: as select tells it, and as plain t."""
    level = 1 - (1 - CONFIDENCE) / settings
    wrong = np.zeros(2)
    for _ in range(sweeps):
        found = np.zeros(2, dtype=bool)
        for _ in range(settings):
            y = scores(rng, spread, n, skewed)
            zero = y[:rates][y[:rates].mean(axis=1).argmin()]
            d = (y[rates:] - zero).T
            at = int(d.mean(axis=0).argmin())
            found |= (
                picked_interval(d[:, at], d.shape[1], pool(d), level).high < 0,
                t_interval(d[:, at], CONFIDENCE).high < 0,
            )
        wrong += found
    return wrong / sweeps


def board(rng, sweeps, tries, n, spread, gap=0.0, margin=np.inf):
    """Share of sweeps in which a setting is called worse; with a gap of the last one, in which it is equivalent."""
    wrong = 0
    for _ in range(sweeps):
        shared = 2 * rng.normal(size=n)
        best = []
        for cells, s in zip(tries, spread, strict=True):
            y = s * rng.normal(size=(cells, n))
            best.append(y[y.mean(axis=1).argmin()] + shared)
        table = np.stack(best, axis=1)
        table[:, -1] += gap
        first, noise, m = int(table.mean(axis=0).argmin()), pooled_noise(table), len(tries)
        for i in range(m):
            if i == first:
                continue
            asked = (table[:, i] - table[:, first], noise, sum(tries) / min(tries), m - 1, CONFIDENCE)
            low, high, _ = ranked_interval(*asked)
            if low > 0 if gap == 0 else m - 1 in (i, first) and max(-low, high) < margin:
                wrong += 1
                break
    return wrong / sweeps


def main():
    sweeps = int(sys.argv[1].partition("=")[2]) if len(sys.argv) > 1 else 20_000
    rng = np.random.default_rng(0)
    print(f"| λ × lr, seeds, settings | noise | n | in favour of nothing | plain t |\n{'|---' * 5}|")
    designs = [(1, 1, 3, 1), (5, 1, 3, 1), (5, 1, 5, 1), (5, 1, 10, 1), (10, 1, 3, 1), (10, 3, 3, 1), (5, 1, 5, 3)]
    for lambdas, rates, n, settings in designs:
        cells = (lambdas + 1) * rates
        for name, spread in noises(cells, rates).items():
            for skewed in (False, True) if name == "equal" else (False,):
                ours, plain = against_zero(rng, sweeps // settings, lambdas, rates, n, spread, settings, skewed)
                what = f"{lambdas} × {rates}, {n}, {settings}"
                noise = f"{name}, skewed" if skewed else name
                print(f"| {what} | {noise} | {sweeps // settings} | {ours:.1%} | {plain:.1%} |", flush=True)
    print(f"\n| cells tried, seeds | noise | n | called worse |\n{'|---' * 4}|")
    for tries, n in [((1, 1), 3), ((1,) * 3, 3), ((1,) * 8, 3), ((1,) * 8, 5), ((20, 1), 5), ((20, 20, 1), 5)]:
        for name in ("equal", "one λ 3 times", "half 3 times"):
            share = board(rng, sweeps // len(tries), tries, n, noises(len(tries))[name])
            label = ", ".join(map(str, tries)) if len(set(tries)) > 1 else f"{len(tries)} alike"
            print(f"| {label}; {n} | {name} | {sweeps // len(tries)} | {share:.1%} |", flush=True)
    print(f"\n| settings, seeds | gap | n | called equivalent |\n{'|---' * 4}|")
    for m, n in ((2, 3), (2, 10), (8, 5)):
        share = board(rng, sweeps // m, (1,) * m, n, np.full(m, 0.1), gap=0.31, margin=0.3)
        print(f"| {m}, {n} | just beyond the margin of 3 sd | {sweeps // m} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
