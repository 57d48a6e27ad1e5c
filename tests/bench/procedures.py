"""How people would use Optuna, or a grid by hand, on the questions of tests/bench/questions.py.

`score(cells, seeds)` are scores of runs, of shape (seeds, cells). A world is a question with its surfaces
(tests/bench/surfaces.py), which the procedures do not look at but for where a study's range lies.
"""

from itertools import islice, pairwise, product

import numpy as np

from tests.bench import halved, rivals
from tests.bench.surfaces import LINES
from wdrun.tuning.question import FRESH

TRIALS = {True: 43, False: 12}  # of a study with decay, and with λ = 0
PAIRS = (5, 10, 20)  # fresh seeds at each look


def studied(world, score, seed):
    """The cell that each study chooses, by side, and the runs."""
    question, chosen, runs = world.question, {}, 0
    for facet, decays in question.sides:

        def one(setting, facet=facet):
            return float(score([question.cell(facet, setting)], [0])[0, 0])

        trials = TRIALS[decays]
        *_, best = islice(rivals.study(world.surfaces[facet], "TPE", seed, not decays, one), trials)
        chosen[facet, decays], runs = question.cell(facet, best), runs + trials
    return chosen, runs


def gridded(world, score, _):
    """The best cell of the shipped grid by one seed, by side, and the runs."""
    question, chosen, runs = world.question, {}, 0
    for facet, kind in zip(range(len(world.surfaces)), LINES, strict=False):
        settings = list(product(halved.LAMBDAS, halved.RATES[kind[0]]))
        scores = score([question.cell(facet, s) for s in settings], [0])[0]
        for decays in (True, False):
            own = [k for k, (lam, _) in enumerate(settings) if decays == (lam > 0)]
            best = min(own, key=lambda k: scores[k])
            chosen.setdefault(question.side(facet, decayed=decays), question.cell(facet, settings[best]))
        runs += len(settings)
    return chosen, runs


def compared(question, chosen, score):
    """Verdicts of the pairs, in order, and fresh runs: paired t at 5, 10 and 20 seeds, each at a third of α (Holm)."""
    told, known, runs = [""] * len(question.pairs), {}, 0
    for before, n in pairwise((0, *PAIRS)):
        left = [k for k, verdict in enumerate(told) if not verdict]
        if not left:
            break
        asked = [[chosen[side] for side in question.sides_of(question.pairs[k])] for k in left]
        cells = list(dict.fromkeys(cell for both in asked for cell in both))
        fresh = np.minimum(score(cells, range(FRESH + before, FRESH + n)), 10.0)  # a loss of a run that diverged
        for cell, scores in zip(cells, fresh.T, strict=True):
            known[cell] = np.append(known.get(cell, []), scores)
        differences = [known[one] - known[other] for one, other in asked]
        for k, verdict in zip(left, rivals.holm(differences, question.alpha / len(PAIRS)), strict=True):
            told[k] = verdict
        runs += fresh.size
    return told, runs


def answered(world, procedure, score, seed):
    """One go through a procedure: runs, the setting (λ, lr) chosen of each facet, the verdicts."""
    chosen, runs = procedure(world, score, seed)
    told, fresh = compared(world.question, chosen, score)
    return runs + fresh, {facet: cell.setting for (facet, decays), cell in chosen.items() if decays}, told


def drawn(world, seed):
    """Scores of a world, each run drawn once."""
    rng, known = np.random.default_rng(seed), {}

    def score(cells, seeds):
        for cell, number in product(cells, seeds):
            if (cell, number) not in known:
                known[cell, number] = float(world.draws(rng, [cell], 1)[0, 0])
        return np.array([[known[cell, number] for cell in cells] for number in seeds])

    return score
