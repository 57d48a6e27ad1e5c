"""What `wdrun tune` promises, by simulation.

python tests/bench/tuned.py false|worst|lambda|from|runs|planning [words…]

only=NAME makes the row of that name, else those that have it in their names; questions=N how many are drawn.

Questions are drawn, not trained (tests/bench/surfaces.py): four facets of two optimizers, ten pairs.
false: share of questions with any false verdict. Each search is followed by DRAWS confirmations, each on fresh noise;
    the bound is Clopper & Pearson's at 95 %, for as many questions as these clusters are worth.
worst: the same of the confirmation alone, where one cell of six has ten times the noise of the others.
lambda: how far the chosen (lr, λ) is from the best of the true surface, in margins.
from: the same of searches that start where `from=` would have them, a prediction that is off by a normal error, or by
    that and a decade more, against those without; and the share of questions with any false verdict.
runs: runs until all is decided, against a half-decade grid and Optuna's samplers=TPE,GP (tests/bench/rivals.py).
planning: seconds to plan the next run of a question with 1,000 runs, and the next 1, 4 and 32 while it still searches.
"""

import itertools
import math
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import numpy as np
from scipy import stats

from tests.bench import surfaces
from tests.bench.surfaces import MARGIN
from wdrun.tuning import standing, state
from wdrun.tuning.plan import plan
from wdrun.tuning.prior import Prior
from wdrun.tuning.question import MOST_PAIRS, Budget, Seen
from wdrun.tuning.sequential import looks
from wdrun.tuning.space import Axis

DRAWS = 20
LEVELS = (0.05, 0.01)
AT_ONCE = 24


def drawn(gains=(2.0, 2.0, 2.0, 2.0), kind="normal", shared=0.0, lost=0.0, **how):
    """Worlds of four facets; the noise is 0.1 to 1 margins unless given."""

    def make(rng):
        noise = how.get("noise", rng.choice([0.1, 0.25, 0.5, 1.0]))
        return surfaces.world(surfaces.four(rng, gains, **{**how, "noise": noise}), kind=kind, shared=shared, lost=lost)

    return make


def kept(**how):
    return lambda rng: surfaces.world(surfaces.example(rng=rng, **how))


WORLDS = {
    "all facets equal": drawn(),
    "one better by 0.5 margins": drawn((2.5, 2.0, 2.0, 2.0)),
    "one better by 1 margin": drawn((3.0, 2.0, 2.0, 2.0)),
    "one better by 2 margins": drawn((4.0, 2.0, 2.0, 2.0)),
    "flat in λ": drawn((0.0, 0.0, 0.0, 0.0)),
    "gains of 1 margin": drawn((1.0, 1.0, 1.0, 1.0)),
    "the best beyond the start": drawn(far=1.0),
    "a diverging corner": drawn(corner=True),
    "noise 0.3 to 3 times, by cell": drawn(varied=True),
    "the same, flat in λ": drawn((0.0, 0.0, 0.0, 0.0), varied=True),
    "heavy tails (t₃)": drawn(kind="t3"),
    "t₃, and 0.3 to 3 times by cell": drawn(kind="t3", varied=True),
    "skewed": drawn(kind="skew"),
    "skewed, and 0.3 to 3 times by cell": drawn(kind="skew", varied=True),
    "seeds shared, of 4 margins": drawn(shared=4 * MARGIN),
    "scores in steps of a fifth of the margin": drawn(kind="rounded"),
    "kept tables": kept(),
    "kept tables, three times the noise": kept(noise=3.0),
    "each run diverges with a chance of 0.1": drawn(lost=0.1),
}


def searched(world, rng):
    """Search as the planner does, one run after another: the last plan, which asks for fresh runs, and the runs."""
    runs = []
    while True:
        found = plan(runs, world.question, Budget())
        if not found.next or found.next[0].phase == "confirm":
            return found, runs
        cell = found.next[0].cell
        runs.append(Seen(cell, 0, float(world.draws(rng, [cell], 1)[0, 0]), 1.0))


def followed(world, seen, rng, levels=LEVELS):
    """As `confirmed`, by the planner's own loop from the runs of the search on: so lost cells are replaced.

    Up to AT_ONCE runs are asked for at a time, as with parallel=AT_ONCE, which takes fewer plans and some more runs.
    """
    found = []
    for alpha in levels:
        question, runs = replace(world.question, alpha=alpha), list(seen)
        while (last := plan(runs, question, Budget(), AT_ONCE)).next:
            scores = world.draws(rng, [n.cell for n in last.next], 1)[0]
            runs += [Seen(n.cell, n.seed, float(y), 1.0) for n, y in zip(last.next, scores, strict=True)]
        told = [v for v in last.verdicts if v.answer.verdict]
        truths = [world.difference(v.pair, v.one, v.other) for v in told]
        wrong = [any(false(v.answer.verdict, t[k]) for v, t in zip(told, truths, strict=True)) for k in (0, 1)]
        found.append((*wrong, 1 - len(told) / len(last.verdicts), len(runs) - len(seen)))
    return found


def confirmed(world, verdicts, rng, levels=LEVELS):
    """One confirmation on fresh noise: (false, false of the facets' own best, undecided, runs) at each level.

    No cell is ever replaced here: what diverges does so in the search.
    """
    sides = [(v.pair, v.one, v.other) for v in verdicts if v.one is not None and v.other is not None]
    cells = list(dict.fromkeys(cell for _, *two in sides for cell in two))
    asked = [(cells.index(one), cells.index(other)) for _, one, other in sides]
    scores, found = world.draws(rng, cells, MOST_PAIRS), []
    for alpha in levels:
        answers = looks(scores, asked, MARGIN, alpha)[-1]
        truths = [world.difference(*side) for side in sides]
        wrong = [any(false(a.verdict, t[k]) for a, t in zip(answers, truths, strict=True)) for k in (0, 1)]
        runs = [max(a.pairs for a, ask in zip(answers, asked, strict=True) if k in ask) for k in range(len(cells))]
        found.append((*wrong, sum(not a.verdict for a in answers) / len(answers), sum(runs)))
    return found


def false(verdict, true):
    """Whether a verdict is false of a true difference."""
    near = 1e-9
    return {
        "better": true >= -near,
        "worse": true <= near,
        "equivalent": abs(true) >= MARGIN - near,
    }.get(verdict, False)


def told_of(name, number):
    """The confirmations of one search."""
    rng = np.random.default_rng(number)
    world = WORLDS[name](rng)
    last, seen = searched(world, rng)
    if world.lost:
        return [followed(world, seen, rng) for _ in range(DRAWS)]
    return [confirmed(world, last.verdicts, rng) for _ in range(DRAWS)]


def bound(clusters):
    """The upper 95 % bound of a share, of clusters (n, draws) of yes and no that may be alike within.

    Where all answers are the same nothing tells how much alike they are: then a cluster is worth one draw.
    """
    share, (n, draws) = clusters.mean(), clusters.shape
    alike = clusters.mean(axis=1).var(ddof=1) * draws / (share * (1 - share)) if 0 < share < 1 and n > 1 else draws
    worth = n * draws / max(1.0, alike)
    return stats.beta.ppf(0.95, share * worth + 1, worth - share * worth)


def false_verdicts(questions, names=None):
    print("| questions | n | false, at most 5 % | 95 % bound | false, at most 1 % | 95 % bound | undecided | runs |")
    print("|---" * 8 + "|")
    for name in names or WORLDS:
        searches = range(max(2, questions // DRAWS))
        found = np.array(list(each(partial(told_of, name), searches)), dtype=float)  # (searches, draws, levels, what)
        told = [f"{found[:, :, k, 0].mean():.1%} | {bound(found[:, :, k, 0]):.1%}" for k in range(len(LEVELS))]
        undecided, runs = found[:, :, 0, 2].mean(), np.median(found[:, :, 0, 3])
        print(f"| {name} | {found[..., 0, 0].size} | {' | '.join(told)} | {undecided:.1%} | {runs:.0f} |", flush=True)


def worst(draws):
    """Ten questions about six cells of which one is LOUD times as noisy as the rest, whose noise is some margins."""
    print("| the one cell | noise | kind | n | false, at most 5 % | 95 % bound |")
    print("|---" * 6 + "|")
    sides = [(0, 4), (1, 4), (2, 5), (3, 5), *itertools.combinations(range(4), 2)]
    for kind, (which, loud), noise in itertools.product(
        ("normal", "skew"), (("decay", 0), ("λ = 0", 4)), (0.02, 0.1, 0.5)
    ):
        rng, wrong = np.random.default_rng(0), []
        for _ in range(draws):
            luck = rng.normal(size=(MOST_PAIRS, 6)) if kind == "normal" else rng.exponential(size=(MOST_PAIRS, 6)) - 1
            scores = luck * noise * MARGIN * np.where(np.arange(6) == loud, 10.0, 1.0)
            wrong.append([any(a.verdict in ("better", "worse") for a in looks(scores, sides, MARGIN)[-1])])
        y = np.array(wrong, dtype=float)
        print(f"| {which} | {noise} | {kind} | {draws} | {y.mean():.1%} | {bound(y):.1%} |", flush=True)


SURFACES = {
    "valleys": drawn(noise=0.25),
    "valleys a decade off": drawn(noise=0.25, far=1.0),
    "valleys, noise of 0.7 margins": drawn(noise=0.7),
    "valleys with a diverging corner": drawn(noise=0.25, corner=True),
    "valleys, noise 0.3 to 3 times by cell": drawn(noise=0.25, varied=True),
    "flat in λ": drawn((0.0, 0.0, 0.0, 0.0), noise=0.25),
    "kept tables": kept(),
    "kept tables a decade off": kept(far=1),
}


def regrets(world, verdicts):
    """How far the chosen cells of a question are from the best, in margins: with decay, and with λ = 0."""
    own = {v.pair.one: (v.one, v.other) for v in verdicts if v.pair.other is None}
    decayed = [(world.truth(one) - world.surfaces[f].best) / MARGIN for f, (one, _) in own.items()]
    zeros = [(world.truth(other) - world.surfaces[f].zero) / MARGIN for f, (_, other) in own.items()]
    return decayed, zeros


def found_of(name, number):
    """Regrets of one search, with decay and without, and its runs a facet."""
    rng = np.random.default_rng(number)
    world = SURFACES[name](rng)
    found, seen = searched(world, rng)
    return *regrets(world, found.verdicts), [len(seen) / len(world.surfaces)]


def lambda_found(questions, names=None):
    print("| surfaces | facets | search runs a facet | within the margin | within half | mean | λ = 0: within |")
    print("|---" * 7 + "|")
    for name in names or SURFACES:
        found = each(partial(found_of, name), range(max(1, questions // 4)))
        y, z, runs = (np.concatenate(column) for column in zip(*found, strict=True))
        within = f"{(y <= 1).mean():.1%} | {(y <= 0.5).mean():.1%} | {y.mean():.2f} | {(z <= 1).mean():.1%}"
        print(f"| {name} | {len(y)} | {np.mean(runs):.1f} | {within} |", flush=True)


OFF, SURE = 0.15, 0.4  # decades: the error of a prediction of λ, and half its interval
RATE = 0.12  # decades: that of lr
CARRIED = {"without": None, "from=": 0.0, "from=, a decade off": 1.0}


def carried(world, rng, off):
    """The world's question as `from=` begins it: each search where the best is, give or take an error, or far off."""
    facets = []
    for facet, surface in zip(world.question.facets, world.surfaces, strict=True):
        lam, lr, bare = bests(facet.space, surface)
        start = on_grid(lr * 10 ** (RATE * rng.normal()))
        lam *= lr / start * 10 ** (OFF * rng.normal() + off * rng.choice([-1, 1]))
        bare = on_grid(bare * 10 ** (RATE * rng.normal()))
        axes = tuple(replace(axis, start=at) for axis, at in zip(facet.space.axes, (lam, start), strict=True))
        space = replace(facet.space, axes=axes, prior=Prior(SURE, SURE, rates=True, bare=bare))
        facets.append(replace(facet, space=space))
    return replace(world, question=replace(world.question, facets=tuple(facets)))


def bests(space, surface):
    """λ and lr of the lowest score where decay acts, and lr of the lowest without."""
    rates, lams = surface.lr * 10 ** np.arange(-2.5, 2.51, 0.125), surface.lam * 10 ** np.arange(-4, 4.01, 0.125)
    acting = [(lam, lr) for lr in rates for lam in lams if space.acts((lam, lr))]
    lam, lr = min(acting, key=lambda setting: surface.score(setting[1], setting[0]))
    return lam, lr, min(rates, key=lambda rate: surface.score(rate, 0.0))


def on_grid(value):
    return Axis("lr", value).moved(value, 0)


def carried_of(name, off, number):
    """Regrets and runs a facet of one search, and whether a verdict of its confirmation is false."""
    rng = np.random.default_rng(number)
    world = SURFACES[name](rng)
    if off is not None:
        world = carried(world, np.random.default_rng([number, 1]), off)
    found, seen = searched(world, rng)
    ((wrong, *_),) = confirmed(world, found.verdicts, rng, LEVELS[:1])
    return *regrets(world, found.verdicts), [len(seen) / len(world.surfaces)], [wrong]


def from_elsewhere(questions, names=None):
    print("| surfaces | searches | facets | runs a facet | within the margin | mean | λ = 0: within | false |")
    print("|---" * 8 + "|")
    for name, (how, off) in itertools.product(names or SURFACES, CARRIED.items()):
        found = each(partial(carried_of, name, off), range(max(1, questions // 4)))
        y, z, runs, wrong = (np.concatenate(column) for column in zip(*found, strict=True))
        within = f"{(y <= 1).mean():.1%} | {y.mean():.2f} | {(z <= 1).mean():.1%} | {np.mean(wrong):.1%}"
        print(f"| {name} | {how} | {len(y)} | {np.mean(runs):.1f} | {within} |", flush=True)


def planning(runs=1000):
    """Plans of a question that has so many runs, from a sweep of two seeds or from fresh seeds, without any cache."""
    world, rng, took = surfaces.world(surfaces.example()), np.random.default_rng(0), []
    grid = [(lam, lr) for lam in (0.0, *np.geomspace(1e-3, 100, 11)) for lr in np.geomspace(1e-4, 0.3, 8)]
    cells = list(dict.fromkeys(world.question.cell(f, s) for s in grid for f in range(4)))
    seeds = math.ceil(runs / len(cells))
    swept = [Seen(c, k, y, 1.0) for c in cells for k, y in enumerate(world.draws(rng, [c], seeds)[:, 0])]
    seen = swept[:runs]
    assert len(seen) == runs
    for _ in range(80):
        found, seconds = timed(seen, world.question)
        took.append(seconds)
        if not found.next:
            break
        seen += [Seen(n.cell, n.seed, float(world.draws(rng, [n.cell], 1)[0, 0]), 1.0) for n in found.next]
    print(f"| planning the next run, {runs:,} runs and more | {len(took)} | "
          f"{np.median(took):.3f} s (at most {max(took):.3f}) |")  # fmt: skip
    return took


def timed(seen, question, count=1):
    """A plan without any cache, and the seconds that it took."""
    for cached in (state._following, standing._chosen):
        cached.cache_clear()
    started = time.perf_counter()
    found = plan(seen, question, Budget(), count)
    return found, time.perf_counter() - started


def half_searched(runs=1000):
    """A question of valleys, and runs of a fine grid on the weaker side of them: all four searches go on."""
    rng = np.random.default_rng(0)
    world = surfaces.world(surfaces.four(rng, (2.0,) * 4, noise=0.25))
    grid = [(lam, lr) for lam in (0.0, *np.geomspace(1e-3, 0.03, 16)) for lr in np.geomspace(1e-4, 0.003, 16)]
    cells = list(dict.fromkeys(world.question.cell(f, s) for s in grid for f in range(4)))[:runs]
    return world.question, [Seen(c, 0, float(world.draws(rng, [c], 1)[0, 0]), 1.0) for c in cells]


def ahead(counts=(1, 4, 32), times=9):
    """Plans of so many runs at once, as parallel= and fuse= take them, of a question that has 1,000 search runs."""
    question, seen = half_searched()
    for count in counts:
        plans = [timed(seen, question, count) for _ in range(times)]
        took, (found, _) = [seconds for _, seconds in plans], plans[0]
        print(f"| planning {count} at once, {len(seen):,} runs searched: {len(found.next)} asked for | {times} | "
              f"{np.median(took):.3f} s (at most {max(took):.3f}) |")  # fmt: skip


def each(function, numbers):
    """The function of each number, on all cores; of few numbers here."""
    if len(numbers) < 10:
        return map(function, numbers)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        return list(pool.map(function, numbers, chunksize=5))


def named(table, only):
    return [name for name in table if name == only] or [name for name in table if only in name]


def main():
    what, *rest = sys.argv[1:] or ["false"]
    settings = dict(word.split("=", 1) for word in rest)
    questions, only = int(settings.get("questions", 2000)), settings.get("only", "")
    if what == "false":
        false_verdicts(questions, named(WORLDS, only))
    elif what == "worst":
        worst(questions)
    elif what == "lambda":
        lambda_found(questions, named(SURFACES, only))
    elif what == "from":
        from_elsewhere(questions, named(SURFACES, only))
    elif what == "planning":
        planning()
        ahead()
    else:
        from tests.bench import rivals

        rivals.runs(questions, settings.get("samplers", "TPE,GP").split(","), only)


if __name__ == "__main__":
    main()
