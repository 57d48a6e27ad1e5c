"""What `wdrun tune` found in a folder: its verdicts in sentences, the setting to take, the runs of a facet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from wdrun.selection.cells import lower_is_better
from wdrun.selection.question import texts
from wdrun.selection.varying import knobs_of
from wdrun.tables import verdicts
from wdrun.tables.verdicts import Records
from wdrun.wording import amount, counted, difference, interval

ZERO = "λ = 0"  # what stands for it in the column `against`
WORDS = {"better": "is better than", "worse": "is worse than", "equivalent": "is equivalent to"}
MIXED = (
    "Below is what was tried, runs of the search and fresh ones alike. The best of it flatters itself; the verdicts "
    "are told on the fresh runs alone."
)


def of(folders: Sequence[Path]) -> Records | None:
    """What was found in the one folder there is; None of several, of a file, and where nothing was tuned."""
    return verdicts.read(folders[0]) if len(folders) == 1 else None


def said(row: Mapping[str, Any], minutes: float = math.nan, *, nats: bool = True) -> str:
    """A row of verdict.csv as a sentence. `minutes` are those of its `more` runs; `nats`: the unit of its loss."""
    who, other, word, metric = row["facet"], row["against"], row["verdict"], row["objective"]
    unit = " nats" if nats and not metric.endswith("accuracy") else ""
    tuned = "" if other == ZERO else ", each tuned"
    if word == "dropped":
        return f"{who} against {other} is dropped: {row['cause']}"
    if word == "undecided":
        return f"{who} against {other}{tuned} is undecided: {_so_far(row, unit)}{_needed(row, minutes)}{_cause(row)}"
    margin = amount(row["margin"], metric) + unit
    if word == "equivalent":
        ends = interval(row["low"], row["high"], metric, signed=True)
        by = f"the difference {difference(row['difference'], metric)}{unit} ({ends}) lies within the margin of {margin}"
    else:
        least, most = sorted(abs(row[end]) for end in ("low", "high"))
        by = f"by {amount(abs(row['difference']), metric)}{unit} ({amount(least, metric)} to {amount(most, metric)})"
        by += f", less than the margin of {margin}" * (most < row["margin"])
    at = f"at {_at(row['setting'])} against {_at(row['against_setting'])}"
    pairs = f"{counted(int(row['pairs']), 'pair')} of fresh runs"
    return f"{who} {WORDS[word]} {other}{tuned}: {by}; {at}; {pairs}{_cause(row)}"


def _at(setting: str) -> str:
    """`lambda=0.001 lr=0.02` as `λ = 0.001, lr = 0.02`."""
    parts = (word.replace("=", " = ", 1) for word in setting.split(" "))
    return ", ".join("λ" + part.removeprefix("lambda") if part.startswith("lambda ") else part for part in parts)


def _so_far(row: Mapping[str, Any], unit: str) -> str:
    if not row["pairs"]:
        return "no pair of fresh runs yet"
    ends = interval(row["low"], row["high"], row["objective"], signed=True)
    known = f"({ends}) " if ends != "–" else ""
    pairs = counted(int(row["pairs"]), "pair")
    return f"{difference(row['difference'], row['objective'])}{unit} {known}after {pairs} of fresh runs"


def _needed(row: Mapping[str, Any], minutes: float) -> str:
    if math.isnan(row["more"]):
        return ""
    if math.isinf(row["more"]):
        return "; no number of runs within reach would decide it, should it stay so"
    time = f", {duration(60 * minutes)}," if math.isfinite(minutes) else ""
    return f"; about {counted(math.ceil(row['more']), 'more run')}{time} would decide it"


def _cause(row: Mapping[str, Any]) -> str:
    return f"; {row['cause']}" if row["cause"] else ""


def duration(seconds: float) -> str:
    """Seconds as a person plans with them: 40 s, 18 min, 3.5 h."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def level(confidence: float, *, pairs: bool) -> str:
    """How sure all verdicts are; `pairs`: some are of two facets."""
    sure = f"All verdicts together are right with {100 * confidence:g} %, however often they were looked at."
    own = " Two settings are held against each other each at its own best: a verdict on setting and tuning together."
    return sure + own * pairs


def told(found: Records, runs: pd.DataFrame) -> list[str]:
    """All verdicts of a folder with these runs in sentences."""
    if found.verdicts.empty:
        return ["Nothing is asked there: verdict.csv has no row."]
    return [said(row, nats=in_nats(runs)) for row in found.verdicts.to_dict("records")]  # type: ignore[arg-type]


def in_nats(runs: pd.DataFrame) -> bool:
    """Whether the losses of these runs are: a regression has a squared error, and no accuracy."""
    return bool(runs["val_accuracy"].notna().any())


def sure(found: Records) -> list[str]:
    """How sure its verdicts are together, where there is one."""
    decided = found.verdicts[found.verdicts["verdict"].isin(WORDS)]
    return [
        level(row["confidence"], pairs=bool((decided["against"] != ZERO).any())) for _, row in decided[:1].iterrows()
    ]


class Chosen(NamedTuple):
    """A setting to take: its facet, its tuned values as they are typed, and whether λ = 0 is better than decay."""

    facet: str
    setting: str
    bare: bool


def chosen(found: Records) -> Chosen | None:
    """The facet whose mean beats that of the most others, at its setting or, where that is worse, at its λ = 0.

    None where no setting is known yet.
    """
    table, settings = found.verdicts, settings_of(found)
    if not settings:
        return None
    wins = dict.fromkeys(settings, 0.0)
    for row in table[table["against"] != ZERO].to_dict("records"):
        if {row["facet"], row["against"]} <= wins.keys() and not math.isnan(row["difference"]):
            better = (row["difference"] < 0) == lower_is_better(row["objective"])
            wins[row["facet"] if better else row["against"]] += 1
    facet = max(wins, key=wins.__getitem__)
    worse = table[(table["facet"] == facet) & (table["against"] == ZERO) & (table["verdict"] == "worse")]
    setting = worse["against_setting"].iloc[0] if len(worse) else settings[facet]
    return Chosen(facet, setting, bool(len(worse)))


def settings_of(found: Records) -> dict[str, str]:
    """Facet -> its chosen setting, as it is typed, of those that have one."""
    table = found.verdicts
    pairs = table[table["against"] != ZERO]
    known = {**dict(zip(pairs["against"], pairs["against_setting"], strict=True))}
    known |= dict(zip(table["facet"], table["setting"], strict=True))
    return {facet: known[facet] for facet in facets_of(found) if known[facet]}


def facets_of(found: Records) -> list[str]:
    """The facets, in the order in which they are asked about."""
    pairs = found.verdicts[found.verdicts["against"] != ZERO]
    return list(dict.fromkeys([*found.verdicts["facet"], *pairs["against"]]))


def run_of(runs: pd.DataFrame, found: Records, choice: Chosen) -> pd.Series | None:
    """A finished run of the setting, that of its first seed; None where there is none."""
    own = runs_of(runs, found, choice.facet)
    own = own[(own["status"] == "done") & ((own["lambda"] == 0) | (not choice.bare))]
    asked = found.decisions[found.decisions["setting"] == choice.setting]
    own = own[own["id"].isin(asked["id"])]
    return own.sort_values("seed").iloc[0] if len(own) else None


def runs_of(runs: pd.DataFrame, found: Records, facet: str) -> pd.DataFrame:
    """The runs of a facet, of earlier sweeps too: those that differ from one it asked for in what is tuned alone.

    Its runs with λ = 0 may have any decay.
    """
    asked = found.decisions[found.decisions["facet"] == facet]
    own = runs[runs["id"].isin(asked["id"])]
    if own.empty:
        return own
    one = own.index[int((own["lambda"] > 0).argmax())]
    tuned = [word.partition("=")[0] for word in asked["setting"].iloc[0].split(" ")]
    tuned += [word.partition("=")[0] for word in settings_of(found).get(facet, "").split(" ")]
    knobs = knobs_of(runs, list(dict.fromkeys(tuned)))
    bare = [knob for knob in knobs if knob != "coupling" and knob.partition(".")[0] != "decay"]
    same = {knob: texts(runs[knob]) for knob in knobs}
    alike = pd.DataFrame({knob: column == column[one] for knob, column in same.items()}, index=runs.index)
    return runs[alike.all(axis=1) | ((runs["lambda"] == 0) & alike[bare].all(axis=1))]
