"""What `wdrun tune` says before its first run: what is asked, what is there, what it may cost; refused if none fits."""

from __future__ import annotations

import math

from wdrun.errors import ConfigError
from wdrun.selection.tuned import duration
from wdrun.sweep.tuner import Tuner
from wdrun.tables import verdicts
from wdrun.tuning import sentences
from wdrun.tuning.question import is_fresh, of_pair
from wdrun.wording import counted, rough

ANOTHER = "there: fresh runs of another question, which choose and tell here too"


def lines(tuner: Tuner) -> list[str]:
    """What to say before the first run: what is asked and tuned, what it is expected to cost, and what it may."""
    found = [*sentences.asked(tuner.question), *tuner.asked.notes]
    others = f" and {counted(tuner.asked.others, 'other')}" if tuner.asked.others else ""
    if (there := len(tuner.seen)) or others:
        found.append(f"there: {counted(there, 'run')} of it{others} in {tuner.asked.root}")
    if _of_another(tuner):
        found.append(f"{ANOTHER}; name=… asks anew")
    left = tuner.plan.forecast
    if left > 0 and math.isfinite(left):
        each = tuner.clock.a_run
        total = duration(each * left / tuner.side_by_side)
        found.append(f"cost: about {counted(round(left), 'run')} of {rough(each)} s, {total} in all")
    budget = tuner.asked.budget
    bounds = [_allowed(tuner.asked.seconds)] if tuner.asked.seconds is not None else []
    bounds += [f"{counted(budget.runs, 'run')} in the folder"] if budget.runs is not None else []
    bound = " and ".join(bounds) or "none; it ends when all is decided"
    found.append(f"budget: {bound}{sentences.lacking(tuner.plan)}")
    return found


def check_budget(tuner: Tuner, time: str) -> None:
    """ConfigError where not one run fits into the time, or not a whole round, without which none of its runs tells.

    `time` is the word as it was typed.
    """
    clock = tuner.clock
    if tuner.plan.ended != "time" or clock.left is None:
        return
    least = min(clock.expected(facet) for facet in range(len(tuner.question.facets)))
    over = f"and {rough(clock.spent)} s are over; give more time, or fewer epochs="
    if least > clock.left:
        raise ConfigError(f"{time}: no run fits: one takes about {rough(least)} s, {over}")
    raise ConfigError(
        f"{time}: a run fits, but no round of fresh runs, one for each setting in question: one takes "
        f"about {rough(clock.a_run)} s, {over}"
    )


def _of_another(tuner: Tuner) -> bool:
    """Whether fresh runs are there that told of another question: its verdict.csv asks about others."""
    records = verdicts.read(tuner.asked.root)
    if records is None or not any(is_fresh(seed) for _, seed in tuner.seen):
        return False
    question = tuner.question
    asked = {(*of_pair(question, pair), question.objective, question.margin) for pair in question.pairs}
    told = records.verdicts[["facet", "against", "objective", "margin"]]
    return asked != set(told.itertuples(index=False, name=None))


def _allowed(seconds: float) -> str:
    """The time that may be taken, in the largest unit in which it is whole: what was typed is not rounded."""
    units = (("h", 3600), ("min", 60))
    return next((f"{seconds / size:g} {unit}" for unit, size in units if seconds % size == 0), f"{seconds:g} s")
