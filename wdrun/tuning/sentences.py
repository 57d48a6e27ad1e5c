"""What `wdrun tune` says: what is asked before the first run, what is known of a question, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Iterator

from wdrun.selection.tuned import duration, level, said
from wdrun.tuning.plan import Plan, Verdict
from wdrun.tuning.question import FRESH, Facet, Question, of_pair
from wdrun.tuning.rows import ENDED, difference_of, verdict_row
from wdrun.tuning.space import Axis
from wdrun.wording import amount, counted, difference, interval, listed, typed

NAMES = {"lambda": "λ"}
SPELLED = 8  # facets that are named where all are


def asked(question: Question) -> list[str]:
    """What is asked, what is tuned for it, and what its verdicts will be told on."""
    names = [facet.name for facet in question.facets]
    decaying = [of_pair(question, pair)[0] for pair in question.pairs if pair.other is None]
    between = len(question.pairs) - len(decaying)
    margin = f"{amount(question.margin, question.objective)}{_unit(question)} of {question.objective}"
    lines = []
    if decaying:
        each = " each" if len(decaying) > 1 else ""
        lines.append(f"asked: {listed(decaying, SPELLED)}{each} against λ = 0, {_questions(len(decaying))}")
    if between:
        compared = sorted({place for p in question.pairs if p.other is not None for place in (p.one, p.other)})
        own = [names[place] for place in compared]
        two = " against ".join(own) if len(own) == 2 else f"each two of {listed(own, SPELLED)}"
        but = " but those that are one at λ = 0" * (between < len(own) * (len(own) - 1) // 2)
        lines.append(f"asked: {two}{but}, each tuned, {_questions(between)}")
    lines.append(f"answer: better, worse, or equivalent within {margin}")
    tuned: dict[str, list[str]] = {}
    for facet in question.facets:
        tuned.setdefault(listed(list(_tuned(facet)), 12) or "nothing", []).append(facet.name)
    for what, whose in tuned.items():
        who = "each" if len(whose) == len(names) > 1 else listed(whose, SPELLED)
        lines.append(f"tuned: {what} of {who}")
    sure = f"{100 * (1 - question.alpha):g} %"
    lines.append(
        f"told: on pairs of runs with seeds from {FRESH}, which choose nothing; all together right with {sure}"
    )
    return lines


def _questions(number: int) -> str:
    return counted(number, "question")


def _tuned(facet: Facet) -> Iterator[str]:
    for axis in facet.space.axes:
        if axis.low < axis.high:
            yield f"{NAMES.get(axis.key, axis.key)} from {typed(axis.start)}{_within(axis)}"


def _within(axis: Axis) -> str:
    if not (math.isfinite(axis.low) and math.isfinite(axis.high)):
        return ""
    return f" in interval({typed(axis.low)},{typed(axis.high)})"


def lacking(plan: Plan) -> str:
    """What a budget with too few runs for a verdict cannot do; "" of one that has enough."""
    few = f", too little for a verdict by {counted(plan.lacking, 'run')} at the least: the search comes first"
    return few if plan.lacking else ""


def verdict(question: Question, found: Verdict, minutes: float = math.nan) -> str:
    """What is known of a question; `minutes`: how long its `more` runs would take."""
    return said(verdict_row(question, found), minutes, nats=_nats(question))


def ended(question: Question, plan: Plan, seconds_a_run: float = math.nan, side_by_side: int = 1) -> list[str]:
    """All verdicts, how sure they are together, and what is left open with what it would take."""
    minutes = seconds_a_run / side_by_side / 60
    nats = _nats(question)
    lines = [said(verdict_row(question, one, ended=plan.ended), minutes * one.more, nats=nats) for one in plan.verdicts]
    decided = [one.pair for one in plan.verdicts if one.answer.verdict]
    if decided:
        lines.append(level(round(1 - question.alpha, 12), pairs=any(pair.other is not None for pair in decided)))
    left = sum(not (one.answer.verdict or one.dropped) for one in plan.verdicts)
    if left:
        which = f"{left} of {_questions(len(plan.verdicts))} {'is' if left == 1 else 'are'} undecided"
        if plan.ended == "pairs":
            lines.append(f"{which}: {ENDED['pairs']}")
        else:
            them = "it" if left == 1 else "them"
            lines.append(
                f"{which}{_forecast(plan.forecast, minutes, them)}; the same command with a larger budget goes on"
            )
    return lines


def _forecast(runs: float, minutes: float, them: str) -> str:
    """About how many runs all that is open would take."""
    if not (math.isfinite(runs) and runs > 0):
        return ""
    time = f", {duration(60 * minutes * runs)}," if math.isfinite(minutes) else ""
    return f"; about {counted(math.ceil(runs), 'more run')}{time} would decide {them}"


def board(question: Question, plan: Plan) -> list[tuple[str, str, str, str, str]]:
    """Of each open question its name, difference, interval, pairs, and what it waits for."""
    metric, unit = question.objective, _unit(question)
    rows = []
    for one in plan.verdicts:
        if one.answer.verdict or one.dropped:
            continue
        known = difference_of(question, one.answer)
        shown = difference(known["difference"], metric) + unit if one.answer.pairs else ""
        ends = interval(known["low"], known["high"], metric, signed=True) if one.answer.pairs else "–"
        name = " against ".join(of_pair(question, one.pair))
        rows.append((name, shown, "" if ends == "–" else ends, str(one.answer.pairs), _waits(question, one)))
    return rows


def _waits(question: Question, one: Verdict) -> str:
    pair = one.pair
    if one.one is None or one.other is None:
        without = [pair.one] if one.one is None or pair.other is None else []
        without += [pair.other] if one.other is None and pair.other is not None else []
        return f"the search of {listed([question.facets[facet].name for facet in without])}"
    more = f", about {math.ceil(one.more / 2)} more" if 2 < one.more < math.inf else ""
    return f"pair {one.answer.pairs + 1}{more}"


def _nats(question: Question) -> bool:
    """Whether the loss is a cross-entropy; that of a regression is a squared error."""
    words = (word for facet in question.facets for word in facet.words)
    return not any(word.startswith("data=") and "regression" in word for word in words)


def _unit(question: Question) -> str:
    return " nats" if _nats(question) and not question.objective.endswith("accuracy") else ""
