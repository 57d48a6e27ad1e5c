"""A folder that `wdrun tune` made, without training: the real planner on a made-up surface, its runs and tables."""

import math
from types import SimpleNamespace

import numpy as np

from tests import made_up
from wdrun.tables import aggregate, verdicts
from wdrun.tuning import rows
from wdrun.tuning.plan import plan
from wdrun.tuning.question import Budget, Facet, Question, Seen
from wdrun.tuning.space import Axis, Space

GAINS = {"l2": 0.08, "l1": 0.05}  # nats at the best λ and lr


def question(decays=tuple(GAINS), lr=True, **more):
    """Each decay against λ = 0 and against the others, λ and lr tuned."""
    facets = []
    for decay in decays:
        lam = Axis("lambda", 1e-3, 1e-6, 1e-1)
        axes = (*([] if decay == "none" else [lam]), *([Axis("lr", 0.05)] if lr else []))
        space = Space(axes, decay != "none", zero=-7.0, middle=lambda setting: 1e-3)
        words = ("model=mlp", *([] if lr else ["lr=0.05"]))
        facets.append(Facet(f"decay={decay}", (*words, f"decay={decay}"), (*words, "decay=none"), space))
    return Question(tuple(facets), **({"margin": 0.02} | more))


def loss(asked, cell, seed, gains):
    """The validation loss of a run: a valley in lr, a bump in λ, noise that cells share and some of their own."""
    values = asked.facets[cell.facet].values(cell.setting)
    lam, lr = values.get("lambda", 0.0), values.get("lr", 0.05)
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, *(int(1e7 * x) for x in (lam, lr))])
    decay = asked.facets[cell.facet].name.removeprefix("decay=")
    gain = gains.get(decay, 0) * math.exp(-(math.log10(lam / 3e-3) ** 2)) if lam else 0.0
    rise = 0.1 * math.log10(lr / 0.05) ** 2
    return 1 + rise - gain + 0.02 * float(shared.standard_normal()) + 0.003 * float(own.standard_normal())


def made(root, lam, score, seed, lr, decay):
    """A run's folder; its id."""
    status = "done" if math.isfinite(score) else "diverged"
    return made_up.id_of(made_up.run(root, lam, score, seed=seed, lr=lr, decay=decay, status=status))


def tuned(root, asked=None, *, runs=200, gains=GAINS, diverges=lambda decay: False, upto=math.inf, write=made):
    """The folder, tuned with a budget of so many runs or stopped after `upto`; its question, plan, runs and root."""
    asked = asked or question()
    root.mkdir(parents=True, exist_ok=True)
    seen = []
    while True:
        planned = plan(seen, asked, Budget(runs=runs))
        verdicts.write(root, rows.verdict_rows(asked, planned, seen), rows.look_rows(asked, planned))
        if not planned.next or len(seen) >= upto:
            aggregate.write(root)
            return SimpleNamespace(root=root, question=asked, plan=planned, seen=seen)
        cell, seed, phase, known, reason = planned.next[0]
        facet = asked.facets[cell.facet]
        values = facet.values(cell.setting)
        lam, lr = values.get("lambda", 0.0), values.get("lr", 0.05)
        decay = facet.name.removeprefix("decay=") if lam else "none"
        score = math.inf if diverges(decay) else loss(asked, cell, seed, gains)
        row = {"phase": phase, "facet": facet.name, "setting": asked.named(cell), "seed": seed}
        row["id"] = write(root, lam, score, seed, lr, decay)
        verdicts.append(root, row | {"known": known, "reason": reason})
        if asked.objective == "val_accuracy" and math.isfinite(score):
            score = -(1 - score / 3)  # as made_up.run has it
        seen.append(Seen(cell, seed, score, 1.1))
