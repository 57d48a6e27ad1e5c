"""Successive halving against the planner's search, by epochs spent: python tests/bench/halved.py [n].

Real runs: two settings of `experiment=lr_lambda` with their grids of 5 lr × 11 λ, and seeds 0 … n − 1 to choose with.
In each of the n rounds both choose on the seed: halving (Jamieson & Talwalkar 2016, algorithm 1) keeps a third of the
55 from rung to rung, as `halving=3` once did; the search is the one of `wdrun tune`, stopped at as many epochs. What
both chose, and the grid's best cell by the kept table (two seeds a cell), is then trained on SEEDS fresh seeds.
A regret is a choice's mean minus the best cell's, which may be below 0: the search may leave the grid, and the table's
best cell is the best of two seeds. Two processes of one thread.
"""

import math
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import product
from multiprocessing import get_context

import numpy as np
import pandas as pd
import torch
from scipy import stats

from tests.bench.surfaces import KEPT
from wdrun.config import experiments
from wdrun.sweep.one_run import ready
from wdrun.sweep.strength import with_strength
from wdrun.tuning.asking import asked
from wdrun.tuning.plan import plan
from wdrun.tuning.question import FRESH, Budget, Seen
from wdrun.tuning.search import chosen
from wdrun.tuning.surface import levelled

WORDS = ("model=mlp", "model.hidden=[64]", "augment=none", "schedule=cosine", "decay=l2", "data.train_size=5000")
RATES = {"sgd": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), "adam": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)}
LAMBDAS = (0.0, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0, 100.0)
KINDS = (("sgd", "coupled"), ("adam", "decoupled"))
FACTOR, EPOCHS, SEEDS = 3, 10, 5


def own(kind):
    return (*WORDS, f"optimizer={kind[0]}", f"decay.coupling={kind[1]}", f"epochs={EPOCHS}", "threads=1")


@cache
def run_of(kind):
    return experiments.jobs(own(kind), False)[0].run


@cache
def score(kind, setting, seed, epochs=EPOCHS):
    """Validation loss where a run of a setting (λ, lr) ends, inf where it diverges."""
    lam, lr = setting
    *_, last = ready(replace(run_of(kind), lam=lam, lr=lr, seed=seed, epochs=epochs)).train()
    return last.metrics[1]["data_loss"] if last.status == "done" else math.inf


def rungs(settings, epochs, factor=FACTOR):
    """Settings and epochs of each rung, which cost about the same; the last has all epochs."""
    cuts = int(math.log(min(settings, epochs) + 0.5, factor))
    return [(settings // factor**i, epochs // factor ** (cuts - i)) for i in range(cuts + 1)]


def halved(score, settings, epochs=EPOCHS):
    """The one of the settings that is left, and the epochs spent; `score(setting, epochs)` is of a whole run."""
    spent = 0
    for kept, each in rungs(len(settings), epochs):
        settings = settings[:kept]
        settings = sorted(settings, key=lambda setting: score(setting, each))
        spent += len(settings) * each
    return settings[0], spent


def searched(score, question, epochs):
    """The setting that the planner's search chooses, and the epochs spent, at most so many; `score(setting)`."""
    seen = []
    while (len(seen) + 1) * EPOCHS <= epochs:
        following = plan(seen, question, Budget()).next
        if not following or following[0].phase == "confirm":
            break
        cell = following[0].cell
        seen.append(Seen(cell, 0, score(cell.setting)))
    tried = levelled([(run.cell.setting, {0: run.score}) for run in seen])
    return chosen(question.facets[0].space, tried, question.margin), len(seen) * EPOCHS


@cache
def asked_of(kind):
    """What `wdrun tune` is asked, with a space that knows what λ can do."""
    found = asked(own(kind))
    return with_strength(found.question, [ready(job.run) for job in found.jobs])[0]


def best_kept(kind):
    runs = pd.read_csv(KEPT)
    runs = runs[(runs.optimizer == kind[0]) & (runs.coupling == kind[1])]
    found = runs.groupby(["lambda", "lr"]).val_loss.agg(lambda y: y.mean(skipna=False))
    return tuple(map(float, found.idxmin()))


def compare(kind, seed):
    """A round: (choice, epochs spent, regret) of halving and of the search."""
    torch.set_num_threads(1)
    choices = [
        halved(lambda setting, epochs: score(kind, setting, seed, epochs), list(product(LAMBDAS, RATES[kind[0]])))
    ]
    choices.append(searched(lambda setting: score(kind, setting, seed), asked_of(kind), choices[0][1]))
    fresh = [FRESH + k for k in range(SEEDS)]
    best = np.array([score(kind, best_kept(kind), s) for s in fresh])
    found = [(*choice, float(np.mean([score(kind, choice[0], s) for s in fresh] - best))) for choice in choices]
    print(kind, seed, found, file=sys.stderr, flush=True)
    return found


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("| setting | n | epochs, halving | epochs, search | regret, halving | regret, search | halving − search |")
    print("|---" * 7 + "|")
    rounds = [(kind, seed) for seed in range(n) for kind in KINDS]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        found = dict(zip(rounds, pool.map(compare, *zip(*rounds, strict=True)), strict=True))
    for kind in KINDS:
        table = np.array([[(spent, regret) for _, spent, regret in found[kind, seed]] for seed in range(n)])
        spent, regret = table[..., 0].mean(axis=0), table[..., 1]
        told = [f"{one.mean():+.4f} ({one.min():+.4f} to {one.max():+.4f})" for one in regret.T]
        gap = regret[:, 0] - regret[:, 1]
        half = stats.t.isf(0.025, n - 1) * gap.std(ddof=1) / math.sqrt(n)
        told.append(f"{gap.mean():+.4f} ± {half:.4f}")
        print(f"| {', '.join(kind)} | {n} | {spent[0]:.0f} | {spent[1]:.0f} | {' | '.join(told)} |")


if __name__ == "__main__":
    main()
