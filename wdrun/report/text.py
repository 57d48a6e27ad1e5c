"""The report in sentences, from the numbers alone: what was compared, what won by how much, what could not be told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wdrun.conventions import CANNOT_ACT
from wdrun.report import advice
from wdrun.report.wording import amount, difference, interval, rough, score, values
from wdrun.wording import counted, listed, short, typed

if TYPE_CHECKING:
    import pandas as pd

    from wdrun.selection import Selection
    from wdrun.tables.read import Results

SPELLED = 6  # facets that get sentences of their own; the others are in the tables
MOST_WARNINGS = 15
COMPARED = ("decay", "coupling", "optimizer", "model", "data.name")
MEASURES = {"val_loss": "validation loss", "val_accuracy": "validation accuracy"}


def whole(found: Results, selection: Selection) -> list[str]:
    """All of it as plain lines, for a terminal."""
    lines = [*compared(found, selection), *won(found, selection)]
    lines += [f"not told: {sentence}" for sentence in untold(found, selection)]
    for step in advice.steps(found, selection):
        lines += [f"next: {step.why}", f"  {step.command}"]
    return lines + [f"warning: {sentence}" for sentence in warnings(found, selection)]


def compared(found: Results, selection: Selection) -> list[str]:
    """How many runs, of what, differing in what, and how they ended."""
    runs = found.runs
    alike = [("of", "model"), ("on", "data.name"), ("with", "decay"), ("under", "optimizer")]
    told = [f"{word} {typed(runs[name].iloc[0])}" for word, name in alike if name in runs and _one(runs[name])]
    sentence = " ".join([counted(len(runs), "run"), *told])
    if "data.train_size" in runs and _one(runs["data.train_size"]) and runs["data.train_size"].notna().all():
        sentence += f", {runs['data.train_size'].iloc[0]:,.0f} training images"
    if _one(runs["epochs"]):
        sentence += f", {counted(int(runs['epochs'].iloc[0]), 'epoch')}"
    names = dict.fromkeys([*COMPARED, *selection.facets, "lambda", *selection.nuisance, "seed", "fold"])
    varied = [name for name in names if name in runs and not _one(runs[name]) and name != "decay.coupling"]
    if varied:
        parts = [f"{_label(name)} ({values(runs[name])})" for name in varied]
        sentence += f". They differ in {listed(parts, at_most=12)}"
    if _one(runs["seed"]) and _one(runs["fold"]) and len(runs) > 1:
        sentence += f"; all have seed {runs['seed'].iloc[0]}"
    sentences = [sentence + "."]
    status = runs["status"].value_counts()
    if set(status.index) != {"done"}:
        counts = [f"{status[name]:,} {name}" for name in sorted(status.index, key=lambda s: (s != "done", s))]
        sentences.append(f"Of these runs {listed(counts)}. Only those that are done enter a mean.")
    if found.problems:
        sentences.append(f"Left out as not readable: {counted(len(found.problems), 'folder')}; see the warnings.")
    return sentences


def won(found: Results, selection: Selection) -> list[str]:
    """The best setting, then of each the chosen λ, its score and what it gains over λ = 0."""
    choices = advice.best_first(selection)
    usable = choices[choices["lambda_min"].notna()]
    if usable.empty:
        done = (found.runs["status"] == "done").any()
        why = "every setting with a finished run has a diverged one too" if done else "no run has finished"
        return [f"Nothing won: {why}, so there is no mean {_measure(selection)} to compare."]
    sentences = list(_board(selection)) if len(choices) > 1 else []
    sentences += [" ".join(_chosen(selection, row)) for _, row in usable.head(SPELLED).iterrows()]
    if len(usable) > SPELLED:
        sentences.append(f"The other {len(usable) - SPELLED} are in the table of choices.")
    return sentences


def _chosen(selection: Selection, row: pd.Series) -> Iterator[str]:
    metric = selection.metric
    at = _at(selection, row)
    spread = "" if math.isnan(row["low"]) else f", 95 % interval {interval(row['low'], row['high'], metric)}"
    yield (
        f"{selection.name(row)}: the best mean {_measure(selection)} is {score(row['mean'], metric)} at {at} "
        f"({counted(int(row['n']), 'replicate')}{spread})."
    )
    if row["lambda_min"] > 0 and row["total_decay"] < CANNOT_ACT:
        yield f"Its total decay, D = {rough(row['total_decay'])}, is too small to act: it is λ = 0 by another name."
    gain = advice.verdict(selection, row)
    if gain == "zero":
        yield "No λ > 0 that was tried does better."
    elif not math.isnan(row["difference"]):
        said = SAID[gain].format(margin=amount(selection.margin, metric))
        yield f"Its difference to λ = 0 is {_gain(row, metric)}{said}."
    if row["lambda_1se"] == row["lambda_1se"] and row["lambda_1se"] != row["lambda_min"]:
        yield f"λ = {short(row['lambda_1se'])} is the strongest within one standard error of it."
    tested = [score(row[name], name) for name in ("test_accuracy", "test_loss") if not math.isnan(row[name])]
    if tested:
        name = "accuracy" if not math.isnan(row["test_accuracy"]) else "loss"
        yield f"Its test {name}, which chose nothing, is {tested[0]}."


SAID = {
    "better": "; all of the interval is in favour of decay",
    "slightly better": "; all of the interval is in favour of decay, by less than the margin of {margin}",
    "equal": "; all of the interval lies within the margin of {margin}: no difference that matters",
    "cannot tell": "; the interval includes 0, so this may be chance",
    "one pair": "",
    "worse": "; all of the interval is against decay",
}


def _board(selection: Selection) -> Iterator[str]:
    """The leaderboard in one sentence a verdict."""
    board = selection.leaderboard
    ranked = board[board["rank"].notna()]
    best = ranked.iloc[0]
    yield (
        f"Of {len(board)} settings {selection.name(best)} has the best mean {_measure(selection)}, "
        f"{score(best['mean'], selection.metric)} at {_at(selection, best, '')}."
    )
    margin = amount(selection.margin, selection.metric)
    said = {"worse": "Worse than it", "equivalent": f"Equal to it within the margin of {margin}"}
    for verdict, words in said.items():
        rows = ranked[ranked["verdict"] == verdict]
        parts = [f"{selection.name(row)} ({_difference(row, selection.metric)})" for _, row in rows.iterrows()]
        if parts:
            yield f"{words}: {'; '.join(parts[:SPELLED])}{_more(parts)}."


def untold(found: Results, selection: Selection) -> list[str]:
    """The questions these runs leave open, each with its reason."""
    sentences = []
    ranked = selection.leaderboard[selection.leaderboard["rank"].notna()]
    open_ = ranked[ranked["verdict"] == "cannot tell"]
    if len(open_):
        parts = [f"{selection.name(row)} ({_unsure(row, selection.metric)})" for _, row in open_.iterrows()]
        best = selection.name(ranked.iloc[0])
        sentences.append(f"Whether {best} is better than {'; '.join(parts[:SPELLED])}{_more(parts)}.")
    for _, row in advice.best_first(selection).head(SPELLED).iterrows():
        sentences += [f"{selection.name(row)}: {sentence}" for sentence in _open(selection, row)]
    return sentences


def _open(selection: Selection, row: pd.Series) -> Iterator[str]:
    lam = row["lambda_min"]
    if math.isnan(lam):
        counts = f"{row['diverged']} diverged and {row['failed']} did not finish"
        yield f"anything: of {counted(int(row['runs']), 'run')} {counts}."
        return
    gain = advice.verdict(selection, row)
    if gain == "no zero":
        yield "whether decay helps at all: there is no finished run at λ = 0 to compare with."
    elif gain == "one pair":
        yield f"whether λ = {short(lam)} beats λ = 0: from one pair of runs the noise between seeds is not known."
    elif gain == "cannot tell":
        needed = advice.pairs_needed(row["pairs"], row["difference"], row["difference_low"], row["difference_high"])
        yield (
            f"whether λ = {short(lam)} beats λ = 0: over {counted(int(row['pairs']), 'pair')} of runs the interval of "
            "the difference includes 0"
            + (
                f"; about {math.ceil(needed):,} pairs would tell if it stays as it is."
                if needed < 10_000 and not row["total_decay"] < CANNOT_ACT
                else "."
            )
        )
    if row["edge"] in ("upper", "lower", "both") and (row["edge"] != "lower" or not row["total_decay"] < CANNOT_ACT):
        end = {"upper": "largest", "lower": "smallest", "both": "only"}[row["edge"]]
        yield f"where the optimum lies: λ = {short(lam)} is the {end} λ > 0 tried."
    strongest = advice.strongest(selection, row)
    if strongest < CANNOT_ACT:
        yield f"what decay would do: no λ tried can act (total decay D ≤ {rough(strongest)}, below {CANNOT_ACT})."


def warnings(found: Results, selection: Selection) -> list[str]:
    """What to beware of in the choice, as the selection says it, alike ones together; and what could not be read."""
    names = {f"{selection.name(row)}: ": selection.name(row) for _, row in selection.choices.iterrows()}
    who: dict[str, list[str]] = {}
    for warning in selection.warnings:
        prefix = next((p for p in names if warning.startswith(p)), "all: ")
        who.setdefault(warning.removeprefix(prefix), []).append(names.get(prefix, ""))
    told = []
    for sentence, facets in who.items():
        shared = (
            "" if not facets[0] else "all settings: " if 1 < len(facets) == len(names) else f"{'; '.join(facets)}: "
        )
        told.append(shared + sentence)
    if len(told) > MOST_WARNINGS:
        told[MOST_WARNINGS:] = [f"{len(told) - MOST_WARNINGS} more warnings: `wdrun select` prints them"]
    return [*told, *found.problems[:MOST_WARNINGS]]


def _at(selection: Selection, row: pd.Series, suffix: str = "_min") -> str:
    """`λ = 0.01 with lr = 0.02`."""
    lam = row[f"lambda{suffix}"]
    knobs = [f"{name} = {typed(row[f'{name}{suffix}'])}" for name in selection.nuisance]
    return f"λ = {short(lam)}" + (f" with {listed(knobs)}" if knobs else "")


def _gain(row: pd.Series, metric: str) -> str:
    shown = difference(row["difference"], metric)
    if math.isnan(row["difference_low"]):
        return f"{shown} (one pair, so no interval)"
    ends = interval(row["difference_low"], row["difference_high"], metric, signed=True)
    return f"{shown} (95 % interval {ends}, {counted(int(row['pairs']), 'pair')})"


def _difference(row: pd.Series, metric: str) -> str:
    shown = difference(row["difference"], metric)
    if math.isnan(row["low"]):
        return f"{shown}, {counted(int(row['pairs']), 'pair')}, no interval"
    return f"{shown}, 95 % interval {interval(row['low'], row['high'], metric, signed=True)}"


def _unsure(row: pd.Series, metric: str) -> str:
    """A difference that was not told, with its p after Holm: an interval alone knows nothing of the other pairs."""
    corrected = "" if math.isnan(row["p_holm"]) else f", corrected p = {rough(row['p_holm'])}"
    return _difference(row, metric) + corrected


def _measure(selection: Selection) -> str:
    return MEASURES[selection.metric]


def _one(column: pd.Series) -> bool:
    return bool(column.nunique(dropna=False) == 1)


def _label(name: str) -> str:
    return {"lambda": "λ", "data.name": "data"}.get(name, name.removesuffix(".name"))


def _more(parts: list[str]) -> str:
    return f"; and {len(parts) - SPELLED} more" if len(parts) > SPELLED else ""
