"""A plan as rows of the tables that tell of it: verdict.csv, a row a question, and looks.csv, a row a look at one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from wdrun.tuning.plan import Plan, Verdict
from wdrun.tuning.question import MOST_PAIRS, Cell, Question, Seen, of_pair
from wdrun.tuning.sequential import Answer
from wdrun.tuning.space import NEAR
from wdrun.wording import typed

Values = dict[str, Any]

# Why a question may be undecided when the plan has ended so.
ENDED = {
    "runs": "no further round fits into the budget of runs",
    "time": "no further round fits into the budget of time",
    "pairs": f"more than {MOST_PAIRS} pairs are never looked at",
}


def verdict_rows(question: Question, plan: Plan, seen: Sequence[Seen]) -> list[Values]:
    """The rows of verdict.csv, as the verdicts stand."""
    ended = Counter(run.cell for run in seen if not math.isnan(run.score))
    facets = range(len(question.facets))
    of = {cell: {facet for facet in facets if question.setting(facet, cell) is not None} for cell in ended}
    rows = []
    for verdict in plan.verdicts:
        sides = {verdict.pair.one, verdict.pair.other}
        runs = sum(number for cell, number in ended.items() if of[cell] & sides)
        rows.append(verdict_row(question, verdict, runs, plan.ended))
    return rows


def verdict_row(question: Question, verdict: Verdict, runs: int = 0, ended: str = "") -> Values:
    """The row of one verdict, told on so many `runs`; `ended` as a plan has it."""
    facet, against = of_pair(question, verdict.pair)
    answer = verdict.answer
    word = "dropped" if verdict.dropped else answer.verdict or "undecided"
    causes = [verdict.dropped] if verdict.dropped else []
    if word == "undecided" and ended in ENDED:
        causes.append(ENDED[ended])
    if verdict.one is not None and not verdict.dropped:
        causes += _at_ends(question, verdict.one)
    return {
        "facet": facet,
        "against": against,
        "verdict": word,
        **_lambda_and_lr(question, verdict.one),
        "setting": _named(question, verdict.one),
        "against_setting": _named(question, verdict.other),
        **difference_of(question, answer),
        "pairs": answer.pairs,
        "runs": runs,
        "cause": "; ".join(causes),
        "more": verdict.more if word == "undecided" else math.nan,
        "objective": question.objective,
        "margin": question.margin,
        "confidence": round(1 - question.alpha, 12),
    }


def look_rows(question: Question, plan: Plan) -> list[Values]:
    """The rows of looks.csv: each question after 1, 2, … pairs."""
    rows = []
    for verdict in plan.verdicts:
        facet, against = of_pair(question, verdict.pair)
        for answer in verdict.history:
            known = difference_of(question, answer)
            rows.append({"facet": facet, "against": against, "pairs": answer.pairs, **known, "verdict": answer.verdict})
    return rows


def difference_of(question: Question, answer: Answer) -> dict[str, float]:
    """The difference and its interval in the unit and with the sign of the objective; answers have lower better."""
    if question.sign > 0:
        return {"difference": answer.difference, "low": answer.low, "high": answer.high}
    return {"difference": -answer.difference, "low": -answer.high, "high": -answer.low}


def _named(question: Question, cell: Cell | None) -> str:
    return "" if cell is None else question.named(cell)


def _lambda_and_lr(question: Question, cell: Cell | None) -> dict[str, float]:
    """λ and lr of a cell; those that are not tuned are among the words of its facet."""
    if cell is None:
        return {"lambda": math.nan, "lr": math.nan}
    facet = question.facets[cell.facet]
    values = facet.values(cell.setting)
    strength = 0.0 if facet.decays else facet.given("lambda")
    return {"lambda": values.get("lambda", strength), "lr": values.get("lr", facet.given("lr"))}


def _at_ends(question: Question, cell: Cell) -> Iterator[str]:
    """The tuned values at an end of the interval that the user gave, as near as makes no difference to a search."""
    facet = question.facets[cell.facet]
    for axis, value in zip(facet.space.axes, cell.setting, strict=True):
        if not axis.low < axis.high or (axis.key == "lambda" and value == 0):
            continue
        for name, end in (("lower", axis.low), ("upper", axis.high)):
            if math.isfinite(end) and abs(axis.coordinate(value) - axis.coordinate(end)) < NEAR:
                ends = f"interval({typed(axis.low)},{typed(axis.high)})"
                yield f"{axis.key}={typed(value)} is at the {name} end of its {ends}"
