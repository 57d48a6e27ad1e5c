"""Runs until all is decided, of the planner and of three rivals on the same surfaces: see tests/bench/tuned.py runs.

grid: half decades, 5 lr × (10 λ and λ = 0), `seeds` of each cell; the best cell of each line by its mean, and paired
    t intervals of these at 5 % over all pairs (Holm). It is given the fewest seeds with which as many verdicts are told
    and true as of the planner's.
TPE, GP: Optuna's samplers over the same ranges, lr alone with λ = 0; each study has the fewest runs with which its best
    one is within a margin of the best there is as often as the planner's; then the same fresh runs as the planner's.
    As these are the same, they bound the factor of all runs; that of the runs that search is told beside it.

Needs Optuna, for GP 3.6 or later. The one that comes with wdrun's Optuna sweeper is older, so put another into a
folder of its own, `pip install --no-deps --target FOLDER optuna greenlet`, and FOLDER into PYTHONPATH.
"""

import sys

import numpy as np
from scipy import stats

from tests.bench import tuned
from tests.bench.surfaces import MARGIN

RATES, LAMBDAS = 10 ** np.arange(-1, 1.1, 0.5), 10 ** np.arange(-2.5, 2.1, 0.5)  # of the start
SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
TRIALS = {"TPE": 100, "GP": 50}  # of a study at most
WORLDS = ("valleys", "kept tables")


def runs(questions, samplers=tuple(TRIALS), only=""):
    rivals = [column for s in samplers for column in (f"{s}: runs", f"{s}: those that search")]
    print(f"| surfaces | questions | planner: runs | those that search | grid | {' | '.join(rivals)} |")
    print("|---" * (5 + len(rivals)) + "|")
    for name in tuned.named(WORLDS, only):
        rng = np.random.default_rng(0)
        worlds = [tuned.SURFACES[name](rng) for _ in range(max(1, questions))]
        ours = [planned(world, rng) for world in worlds]
        search, fresh, within, right = (float(np.mean(column)) for column in zip(*ours, strict=True))
        told = [times(*grid_runs(worlds, rng, right), search + fresh)]
        for sampler in samplers:
            cost, bounded = studied(worlds, sampler, within)
            told += [times(cost + fresh, bounded, search + fresh), times(cost, bounded, search)]
        print(f"| {name} | {questions} | {search + fresh:.0f} | {search:.0f} | {' | '.join(told)} |", flush=True)


def times(cost, bounded, ours):
    return f"{'≥ ' if bounded else ''}{cost:,.0f} ({cost / ours:.1f} times)"


def planned(world, rng):
    """Runs that choose, fresh runs, the share of facets within the margin, the share of verdicts told and true."""
    found, seen = tuned.searched(world, rng)
    (wrong, _, undecided, fresh), *_ = tuned.confirmed(world, found.verdicts, rng)
    near = np.mean(np.array(tuned.regrets(world, found.verdicts)[0]) <= 1)
    return len(seen), fresh, near, 1 - undecided if not wrong else 0.0


def grid_runs(worlds, rng, right):
    """Runs of the smallest grid that tells as many true verdicts, and whether even the largest does not."""
    for seeds in SEEDS:
        found = [gridded(world, rng, seeds) for world in worlds]
        if np.mean([share for _, share in found]) >= right - 0.01:
            return float(np.mean([cost for cost, _ in found])), False
    return float(np.mean([cost for cost, _ in found])), True


def gridded(world, rng, seeds):
    """Runs of a grid, and the share of verdicts told, 0 where any is false of the cells it chose."""
    question, cells = world.question, {}
    for place, s in enumerate(world.surfaces):
        for lr in s.lr * RATES:
            for lam in (0.0, *s.lam * LAMBDAS):
                cell = question.cell(place, (lam, lr))
                cells.setdefault(cell, world.draws(rng, [cell], seeds)[:, 0])
    line = {}
    for cell, scores in cells.items():
        key = cell.facet, cell.setting[0] > 0
        if key not in line or scores.mean() < cells[line[key]].mean():
            line[key] = cell
    asked = [(p, *(line[side] for side in question.sides_of(p))) for p in question.pairs]
    told = holm([cells[a] - cells[b] for _, a, b in asked])
    wrong = any(tuned.false(v, world.difference(*side)[0]) for v, side in zip(told, asked, strict=True))
    return len(cells) * seeds, 0.0 if wrong else float(np.mean([v != "" for v in told]))


def holm(differences, alpha=0.05):
    """better, worse, equivalent or "" of each, by Student's t at α in all: those decided leave theirs to the rest."""
    told = [""] * len(differences)
    while True:
        left = [k for k, verdict in enumerate(told) if not verdict]
        for k in left:
            d, n = differences[k], len(differences[k])
            half = stats.t.isf(alpha / len(left) / 2, n - 1) * d.std(ddof=1) / np.sqrt(n)
            better, worse = d.mean() + half < 0, d.mean() - half > 0
            same = "equivalent" if abs(d.mean()) + half < MARGIN else ""
            told[k] = "better" if better else "worse" if worse else same
        if not left or not any(told[k] for k in left):
            return told


def studied(worlds, sampler, within):
    """Runs of a question's searches by the sampler, and whether even TRIALS of a study are too few."""
    total, bounded = 0, False
    for zero in (False, True):
        homes = [dict.fromkeys(w.question.home(f) for f in range(4)) if zero else range(4) for w in worlds]
        studies = [[distances(w, f, sampler, k, zero) for f in homes[k]] for k, w in enumerate(worlds)]
        trials, most, lacks = 0, TRIALS[sampler] // (1 + zero), True
        while lacks and trials < most:
            trials += 1
            far = np.array([[next(one) for one in of_world] for of_world in studies])
            lacks = np.mean(far <= MARGIN) < within
        bounded |= lacks
        total += trials * len(studies[0])
        print(f"{sampler}{', λ = 0' * zero}: {trials} runs a study", file=sys.stderr, flush=True)
    return total, bounded


def distances(world, facet, sampler, seed, zero):
    """How far the best run of a study is from the best there is, after each of its runs."""
    s, rng = world.surfaces[facet], np.random.default_rng([seed, facet])

    def score(setting):
        return float(world.draws(rng, [world.question.cell(facet, setting)], 1)[0, 0])

    for setting in study(s, sampler, seed, zero, score):
        yield world.truth(world.question.cell(facet, setting)) - (s.zero if zero else s.best)


def study(surface, sampler, seed, zero, score):
    """The best setting (λ, lr) so far, after each run of a study; `score(setting)` is of a run."""
    import optuna
    import torch

    torch.set_num_threads(1)  # of the Gaussian process, whose matrices are small
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study(sampler=getattr(optuna.samplers, f"{sampler}Sampler")(seed=seed))
    best, found = np.inf, None
    while True:
        trial = made.ask()
        lr = trial.suggest_float("lr", surface.lr * RATES[0], surface.lr * RATES[-1], log=True)
        low, high = surface.lam * LAMBDAS[0], surface.lam * LAMBDAS[-1]
        lam = 0.0 if zero else trial.suggest_float("lambda", low, high, log=True)
        y = score((lam, lr))
        made.tell(trial, min(y, 10.0))
        if found is None or y < best:
            best, found = y, (lam, lr)
        yield found
