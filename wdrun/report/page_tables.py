"""The tables of the page: the choice, the leaderboard, runs by status, and what went wrong with a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wdrun.report import averages
from wdrun.selection.cells import best_first
from wdrun.wording import amount, counted, difference, interval, p_value, rough, score, short, typed

if TYPE_CHECKING:
    import pandas as pd

    from wdrun.selection import Selection
    from wdrun.tables.read import Results
    from wdrun.tables.verdicts import Records


class Table(NamedTuple):
    """Title, columns (and whether they hold numbers), rows of cells, and what to know to read it."""

    title: str
    columns: Mapping[str, bool]
    rows: Sequence[Sequence[object]]
    note: str = ""


STATUSES = ("done", "running", "interrupted", "diverged", "failed")
TROUBLE = 30  # rows of runs that went wrong; the rest is counted


def choice(found: Results, selection: Selection) -> list[Table]:
    """The chosen λ of every facet, and the leaderboard where there are several."""
    return [_choices(found, selection), *(_board(selection, *one) for one in selection.boards if len(one[1]) > 1)]


def _choices(found: Results, selection: Selection) -> Table:
    metric, knobs = selection.metric, selection.nuisance
    test = "test_accuracy" if selection.choices["test_accuracy"].notna().any() else "test_loss"
    numbers = ["λ", *knobs, "n", f"{metric} ± se", "λ within 1 se", "D", "at λ = 0", "difference to λ = 0"]
    shown = best_first(selection.choices, metric)
    averaged = [averages.on_test(found, selection, row, test) for _, row in shown.iterrows()]
    kept = any(value == value for value in averaged)
    rows = []
    for (_, row), average in zip(shown.iterrows(), averaged, strict=True):
        gain = (row["difference"], row["difference_low"], row["difference_high"])
        cells = [selection.name(row), typed(row["lambda_min"]), *(typed(row[f"{k}_min"]) for k in knobs), row["n"]]
        cells += [_with_error(row["mean"], row["se"], metric), typed(row["lambda_1se"]), rough(row["total_decay"])]
        cells += [score(row["mean_zero"], metric), _with_interval(*gain, metric), score(row[test], test)]
        cells += [score(average, test)] * kept
        lost = [f"{row[name]} {name}" for name in ("diverged", "failed", "missing") if row[name]]
        rows.append([*cells, ", ".join(lost) or "none"])
    numbers += [test.replace("_", " "), *["… of averaged weights"] * kept]
    columns = {"Setting": False} | dict.fromkeys(numbers, True) | {"lost runs": False}
    level = f"{100 * selection.confidence:g} %"
    note = (
        "λ has the best mean on validation, n replicates (seeds, folds); λ within 1 se is the strongest whose mean is "
        f"within one standard error of it; D its total decay; in brackets the {level} interval of the paired "
        "difference, which knows that λ was picked and holds for all settings at once. The test score chose nothing."
    )
    return Table("The chosen λ", columns, rows, note)


def _board(selection: Selection, data: str, board: pd.DataFrame) -> Table:
    metric, knobs = selection.metric, selection.nuisance
    unequal = board["cells"].nunique() > 1
    numbers = ["λ", *knobs, "n", metric, "difference to the best", "p", "cells"]
    columns = {"Setting": False, "verdict": False} | dict.fromkeys([*numbers, *(["expected"] if unequal else [])], True)
    rows = []
    for _, row in board.iterrows():
        ranked = row["rank"] == row["rank"]
        cells = [selection.name(row), row["verdict"] if ranked or row["n"] else "no result", typed(row["lambda"])]
        cells += [*(typed(row[knob]) for knob in knobs), row["n"], score(row["mean"], metric)]
        apart = "" if row["rank"] == 1 else _with_interval(row["difference"], row["low"], row["high"], metric)
        cells += [apart, p_value(row["p"]), row["cells"]]
        rows.append([*cells, *([score(row["expected"], metric)] if unequal else [])])
    note = (
        "Each at its chosen λ, paired by seed and fold; interval and p know that the best one was read from the same "
        f"runs. Equivalent: all of the interval lies within ±{amount(selection.margin, metric)}; worse: it excludes 0. "
        "cells: how many settings of λ and the other knobs were tried"
    )
    note += "; expected: the best mean to expect from as few as the least tuned one had." if unequal else "."
    return Table(f"Settings compared{' on ' + data if data else ''}", columns, rows, note)


def _with_error(mean: float, se: float, metric: str) -> str:
    return score(mean, metric) + ("" if se != se else f" ± {amount(se, metric)}")


def _with_interval(value: float, low: float, high: float, metric: str) -> str:
    ends = "" if low != low else f" ({interval(low, high, metric, signed=True)})"
    return difference(value, metric) + ends


def verdicts(records: Records) -> list[Table]:
    """A row a question, as verdict.csv has it."""
    names = ["difference", "pairs", "runs"]
    columns = {"Setting": False, "verdict": False, "against": False} | dict.fromkeys(names, True)
    columns |= {"its best": False, "the other's best": False}
    rows = []
    for row in records.verdicts.to_dict("records"):
        apart = _with_interval(row["difference"], row["low"], row["high"], row["objective"]) if row["pairs"] else ""
        cells = [row["facet"], row["verdict"], row["against"], apart, row["pairs"], row["runs"]]
        rows.append([*cells, row["setting"], row["against_setting"]])
    if not rows:
        return []
    metric, margin = records.verdicts["objective"].iloc[0], records.verdicts["margin"].iloc[0]
    note = (
        f"Differences of {metric} over pairs of fresh runs, the first minus the second; the margin is "
        f"{amount(margin, metric)}. runs: those of both sides that have ended, the search's among them."
    )
    return [Table("Questions", columns, rows, note)]


def decisions(records: Records) -> list[Table]:
    """The runs that were asked for, the last ones where there are many: what was known, and why."""
    columns = {"Run": True, "for": False, "of": False, "setting": False, "seed": True, "known": False, "why": False}
    names = ["step", "phase", "facet", "setting", "seed", "known", "reason"]
    rows = [[row[name] for name in names] for row in records.decisions.tail(TROUBLE).to_dict("records")]
    count = len(records.decisions)
    note = f"The last {TROUBLE} of {count:,}; all of them are in decisions.csv." if count > TROUBLE else ""
    return [Table("What was asked for, and why", columns, rows, note)] if rows else []


def runs(found: Results) -> list[Table]:
    """How many runs have which status, and those that diverged or failed with what is known of them."""
    status = found.runs["status"]
    known = [name for name in STATUSES if (status == name).any()]
    odd = sorted({*status} - {*STATUSES})
    counts = [(name, f"{(status == name).sum():,}") for name in [*known, *odd]]
    tables = [Table(f"{counted(len(status), 'run')} by status", {"Status": False, "Runs": True}, counts)]
    wrong = found.runs[status.isin(["diverged", "failed"])]
    if len(wrong):
        tables.append(_wrong(wrong))
    return tables


def _wrong(wrong: pd.DataFrame) -> Table:
    """Runs without a result, in the order of their folders."""
    columns = {"Run": False, "Status": False, "λ": True, "lr": True, "Seed": True, "Epochs": True, "Cause": False}
    rows: list[tuple[object, ...]] = []
    for row in wrong.head(TROUBLE).to_dict("records"):
        knobs = (short(row["lambda"]), short(row["lr"]), row["seed"])
        rows.append((row["id"], row["status"], *knobs, typed(row["epochs_done"]), row["cause"] or "not known"))
    note = f"The first {TROUBLE} of {len(wrong):,}; all of them are in runs.csv." if len(wrong) > TROUBLE else ""
    return Table("Diverged and failed runs, which enter no mean", columns, rows, note)
