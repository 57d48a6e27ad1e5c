"""The report in sentences: what was compared, what won by how much, what could not be told, what to run next.

It words what the selection found and judges nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wdrun.report import averages
from wdrun.selection import tuned
from wdrun.selection.cells import best_first
from wdrun.selection.finding import Finding, told
from wdrun.selection.question import DIGEST, ROOT, USED
from wdrun.selection.sentences import MEASURES, at, gain, ranking
from wdrun.wording import command_line, counted, distinct, interval, listed, score, typed

if TYPE_CHECKING:
    import pandas as pd

    from wdrun.selection import Selection
    from wdrun.tables.read import Results
    from wdrun.tables.verdicts import Records

SPELLED = 6  # facets that get sentences of their own; the others are in the tables
MOST_WARNINGS = 15
MOST_STEPS, FACETS = 5, 3  # what to run next; the best so many facets are worth more runs
FIRST = {"plan": -1, "failed": 0, "rival": 1}  # kinds of steps that come before the others
COMPARED = ("decay", "coupling", "optimizer", "model", "data.name")


class Step(NamedTuple):
    """Lines to run and what they would tell."""

    why: str
    commands: tuple[str, ...]


def whole(found: Results, selection: Selection, records: Records | None = None) -> list[str]:
    """All of it as plain lines, for a terminal; of a tuned folder its verdicts in the place of the choice."""
    if records is not None:
        told = [*tuned.told(records, found.runs), *tuned.sure(records), *tried(found, selection, records)]
        return told + [f"warning: {sentence}" for sentence in (*found.problems[:MOST_WARNINGS], *found.lacking)]
    lines = [*compared(found, selection), *won(found, selection)]
    lines += [f"not told: {sentence}" for sentence in untold(selection)]
    for step in steps(selection):
        lines += [f"next: {step.why}", *(f"  {command}" for command in step.commands)]
    return lines + [f"warning: {sentence}" for sentence in warnings(found, selection)]


def tried(found: Results, selection: Selection, records: Records) -> list[str]:
    """Of a tuned folder how many runs, of what, what for, and how they ended."""
    counts = records.decisions["phase"].value_counts()
    words = {"search": "to search", "confirm": "fresh ones, to tell the verdicts", "finish": "to finish them"}
    asked = [f"{counts[phase]:,} {said}" for phase, said in words.items() if counts.get(phase, 0)]
    sentences = compared(found, selection)
    return [*sentences, f"Of these wdrun tune asked for {listed(asked)}."] if asked else sentences


def compared(found: Results, selection: Selection) -> list[str]:
    """How many runs, of what, differing in what, and how they ended."""
    runs = found.runs
    own = {ROOT, DIGEST} <= {*runs} and runs[DIGEST].notna().all() and _one(runs[ROOT])
    alike = [("of", "model"), ("on", ROOT if own else "data.name"), ("with", "decay"), ("under", "optimizer")]
    told = [f"{word} {typed(runs[name].iloc[0])}" for word, name in alike if name in runs and _one(runs[name])]
    sentence = " ".join([counted(len(runs), "run"), *told])
    if "data.train_size" in runs and _one(runs["data.train_size"]) and runs["data.train_size"].notna().all():
        size = float(runs["data.train_size"].iloc[0])
        sentence += f", {size:,.0f} training images" if size >= 1 else f", {100 * size:g} % of the training images"
    if _one(runs["epochs"]):
        sentence += f", {counted(int(runs['epochs'].iloc[0]), 'epoch')}"
    names = dict.fromkeys(
        [*COMPARED, *selection.facets, "epochs", *USED, "lambda", *selection.nuisance, "seed", "fold"]
    )
    varied = [name for name in names if name in runs and not _one(runs[name]) and name != "decay.coupling"]
    if varied:
        parts = [f"{_label(name)} ({distinct(runs[name])})" for name in varied]
        sentence += f". They differ in {listed(parts, at_most=12)}"
    if _one(runs["seed"]) and _one(runs["fold"]) and len(runs) > 1:
        sentence += f"; all have seed {runs['seed'].iloc[0]}"
    sentences = [sentence + "."]
    status = runs["status"].value_counts()
    if set(status.index) != {"done"}:
        counts = [f"{status[name]:,} {name}" for name in sorted(status.index, key=lambda s: (s != "done", s))]
        sentences.append(f"Of these runs {listed(counts)}. Only those that are done enter a mean.")
    if found.problems:
        sentences.append(f"Left out: {counted(len(found.problems), 'folder')}; see the warnings.")
    return sentences


def won(found: Results, selection: Selection) -> list[str]:
    """The best setting, then of each the chosen λ, its score and what it gains over λ = 0."""
    choices = best_first(selection.choices, selection.metric)
    usable = choices[choices["lambda_min"].notna()]
    if usable.empty:
        why = "every setting with a finished run has a diverged one too"
        if not (selection.replicates["outcome"] == "done").any():
            why = "no run has finished" + " with a score" * bool((found.runs["status"] == "done").any())
        return [f"Nothing won: {why}, so there is no mean {MEASURES[selection.metric]} to compare."]
    sentences = [
        *ranking(selection),
        *(" ".join(_chosen(found, selection, r)) for _, r in usable.head(SPELLED).iterrows()),
    ]
    if len(usable) > SPELLED:
        sentences.append(f"The other {len(usable) - SPELLED} are in the table of choices.")
    return sentences


def _chosen(found: Results, selection: Selection, row: pd.Series) -> Iterator[str]:
    metric = selection.metric
    spread = f", {100 * selection.confidence:g} % interval {interval(row['low'], row['high'], metric)}"
    yield (
        f"{selection.name(row)}: the best mean {MEASURES[metric]} is {score(row['mean'], metric)} at "
        f"{at(selection, row)} ({counted(int(row['n']), 'replicate')}{spread if row['n'] > 1 else ''})."
    )
    gained = gain(selection, row)
    yield f"{gained[0].upper()}{gained[1:]}."
    if row["lambda_1se"] == row["lambda_1se"] and row["lambda_1se"] != row["lambda_min"]:
        yield f"λ = {typed(row['lambda_1se'])} is the strongest within one standard error of it."
    for name in ("accuracy", "loss"):
        if row[f"test_{name}"] == row[f"test_{name}"]:
            average = averages.on_test(found, selection, row, f"test_{name}")
            beside = f", of the averaged weights {score(average, f'test_{name}')}" * (average == average)
            yield f"Its test {name}, which chose nothing, is {score(row[f'test_{name}'], f'test_{name}')}{beside}."
            return


def _by_facet(selection: Selection, most: int, always: Sequence[str] = ()) -> list[Finding]:
    """The findings of the `most` best facets (of kinds `always` those of every facet), then of the whole sweep."""
    names = [selection.name(row) for _, row in best_first(selection.choices, selection.metric).iterrows()]
    rank, shown = {name: i for i, name in enumerate([*names, "all"])}, {*names[:most], "all"}
    found = [one for one in selection.findings if one.facet in shown or one.kind in always]
    return sorted(found, key=lambda one: rank[one.facet])


def untold(selection: Selection) -> list[str]:
    """The questions these runs leave open, each with its reason."""
    shown = [found for found in _by_facet(selection, SPELLED) if found.open]
    return told(((found.facet, _said(found)) for found in shown), selection.names)


def _said(found: Finding) -> str:
    """The whole finding; of the plan without its lines, which its step has."""
    return found.sentence if found.kind == "plan" and found.settles else found.whole


def steps(selection: Selection) -> list[Step]:
    """The runs worth most: what did not finish, rivals of the best facet, then what the best facets leave open.

    Each command once, in the first step that has it.
    """
    shown = _by_facet(selection, FACETS, always=("failed", "nothing"))
    proposed: list[Step] = []
    for found in sorted(shown, key=lambda found: FIRST.get(found.kind, len(FIRST))):
        known = {command for step in proposed for command in step.commands}
        if commands := tuple(command for command in map(command_line, found.settles) if command not in known):
            proposed.append(Step(f"{found.facet}: {_said(found)}", commands))
    return proposed[:MOST_STEPS]


def warnings(found: Results, selection: Selection) -> list[str]:
    """What to beware of in the choice, alike ones together; and what could not be read."""
    doubts = [(one.facet, one.whole) for one in selection.findings if not one.open]
    sentences = told(doubts, selection.names)
    if len(sentences) > MOST_WARNINGS:
        sentences[MOST_WARNINGS:] = [
            f"{counted(len(sentences) - MOST_WARNINGS, 'more warning')}: `wdrun select` prints them"
        ]
    return [*sentences, *found.problems[:MOST_WARNINGS], *found.lacking]


def _one(column: pd.Series) -> bool:
    return bool(column.nunique(dropna=False) == 1)


def _label(name: str) -> str:
    return {"lambda": "λ", "data.name": "data"}.get(name, name.removesuffix(".name"))
