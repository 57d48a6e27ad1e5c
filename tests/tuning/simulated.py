"""Questions whose runs are drawn, not trained: a score is what its cell is worth, its seed's luck and its own."""

import heapq
import math
import statistics

import numpy as np

from wdrun.tuning.plan import plan
from wdrun.tuning.question import Budget, Facet, Question, Seen
from wdrun.tuning.space import Axis, Space

LR, LAMBDA = Axis("lr", 0.01), Axis("lambda", 1e-3)


def bowl(best, lam=1e-3, lr=0.01, gain=0.05):
    """(λ, lr) -> validation loss: a valley with its lowest point `best` at these, `gain` higher at λ = 0."""

    def worth(setting):
        at, rate = setting if len(setting) == 2 else (0.0, *setting)
        away = 2.0 if at == 0 else min(abs(math.log10(at / lam)), 2.0)
        return best + gain * away**2 / 4 + 0.2 * math.log10(rate / lr) ** 2

    return worth


def space(decays=True, start=LAMBDA, lr=LR):
    """λ and lr, D = 0.5 at the start of λ; lr alone of a facet without λ."""
    if not decays:
        return Space((lr,), False)
    middle = start.start * lr.start
    return Space(
        (start, lr), True, zero=math.log10(start.start) - 1.5,
        acts=lambda s: s[0] * s[1] >= 0.09 * middle, middle=lambda s: middle / s[1],
    )  # fmt: skip


def facet(name, decays=True, words=(), **axes):
    return Facet(name, (name, *words), (*words, "decay=none"), space(decays, **axes))


class Lab:
    """Trains the runs of a question, `worth` of each facet; those with λ = 0 are worth what their first facet says."""

    def __init__(self, facets, worth, margin=0.02, noise=0.003, seed=0, objective="val_loss"):
        self.question = Question(tuple(facets), margin, objective)
        self.worth, self.noise, self.seed = worth, noise, seed
        self.diverges = lambda cell, seed: False

    def score(self, cell, seed):
        """The same for the same run, whenever it is trained."""
        if self.diverges(cell, seed):
            return math.inf
        luck = np.random.default_rng([self.seed, seed]).normal() * 0.02
        at = np.array(cell.setting).view(np.uint32)
        own = np.random.default_rng([self.seed, seed, cell.facet, *at]).normal()
        return self.worth[cell.facet](cell.setting) + luck + self.noise * own

    def run(self, cell, seed, seconds=1.0):
        return Seen(cell, seed, self.score(cell, seed), seconds)

    def settle(self, runs=(), budget=None, count=1, most=400):
        """Train what the plan asks for until it asks for no more; the runs and the last plan."""
        runs = list(runs)
        while len(runs) < most:
            found = plan(runs, self.question, budget or Budget(), count)
            if not found.next:
                return runs, found
            runs += [self.run(run.cell, run.seed) for run in found.next]
        raise AssertionError(f"{most} runs and no end")

    def timed(self, runs_that_fit, side_by_side, spread=0.08):
        """Train for a time as `wdrun tune` does, side by side, runs of 1 s give or take a share; the last plan.

        What a run is expected to take is 1 s until one has ended, then the median of those that did.
        """
        rng = np.random.default_rng([self.seed, runs_that_fit, side_by_side])
        seconds, now, took, runs, training = runs_that_fit / side_by_side, 0.0, [], [], []
        while True:
            a_run, left = statistics.median(took or [1.0]), seconds - now
            waits = tuple(max(0.0, a_run - (now - end + length)) for end, *_, length in training)
            budget = Budget(None, max(0.0, left), side_by_side, a_run, waits)
            begun = {(cell, seed) for _, cell, seed, _ in training}
            found = plan(runs, self.question, budget, side_by_side - len(training), begun)
            for new in found.next if a_run <= left else ():
                length = float(1 + spread * rng.uniform(-1, 1))
                heapq.heappush(training, (now + length, new.cell, new.seed, length))
            if not training:
                assert now <= seconds + max(took, default=0)
                return runs, found
            now, cell, seed, length = heapq.heappop(training)
            took.append(length)
            runs.append(self.run(cell, seed))
