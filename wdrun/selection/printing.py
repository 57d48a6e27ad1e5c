"""A selection as a person reads it: tables and sentences on stdout, plain where stdout is no terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wdrun.selection.kinds import Finding, told
from wdrun.selection.selecting import Selection
from wdrun.selection.sentences import at, gain, ranking
from wdrun.wording import p_value, printable, ranged, rough, typed

PIPED_WIDTH = 240  # columns a table may take where nothing wraps it
MOST_CURVES = 8  # facets whose curves are printed; more are in the report


def show(selection: Selection) -> None:
    """Curves, choices, leaderboard, what they say, and the findings."""
    terminal = sys.stdout.isatty()
    page = sys.stdout if terminal else io.StringIO()
    console = Console(file=page, highlight=False, markup=False, width=None if terminal else PIPED_WIDTH)
    for title, table in _tables(selection, terminal):
        console.print(_plain(title), style="bold")
        console.print(table)
        if not terminal:
            console.print()
    chosen = selection.choices[selection.choices["n"] > 0]
    lines = [f"{selection.name(row)}: {at(selection, row)}; {gain(selection, row)}" for _, row in chosen.iterrows()]
    lines += [*ranking(selection), *warnings(selection, selection.findings)]
    for sentence in lines:
        console.print(_plain(sentence), soft_wrap=not terminal)
    if isinstance(page, io.StringIO):
        print("\n".join(row.rstrip() for row in page.getvalue().splitlines()))


def warnings(selection: Selection, findings: Iterable[Finding]) -> list[str]:
    """The findings as lines, what is true of several facets said once."""
    sentences = told(((found.facet, found.whole) for found in findings), selection.names)
    return [f"warning: {sentence}" for sentence in sentences]


def _tables(selection: Selection, terminal: bool) -> Iterator[tuple[str, Table]]:
    """The tables with their titles."""
    metric = selection.metric
    if len(selection.choices) <= MOST_CURVES:
        how = f", each at its best {' and '.join(selection.nuisance)}" if selection.nuisance else ""
        for _, choice in selection.choices.iterrows():
            yield f"{selection.name(choice)}: {metric} by λ{how}", _curve(selection, choice, terminal)
    yield f"choice by mean {metric}", _choices(selection, terminal)
    yield "test of the runs at lambda_min, which decided nothing, and all runs", _outcomes(selection, terminal)
    for data, board in selection.boards:
        if len(board) > 1:
            title = f"leaderboard by {metric}{f' on {data}' if data else ''}: differences to the best, margin "
            yield f"{title}{selection.margin:g}", _board(selection, board, terminal)


def _curve(selection: Selection, choice: pd.Series, terminal: bool) -> Table:
    """One facet's best cell over the nuisance knobs at every λ."""
    knobs = selection.nuisance
    numbers = ["n", "mean", f"{100 * selection.confidence:g} % interval", "train_loss", "train_acc", "D", "diverged"]
    table = _table(terminal, ["λ", *knobs, *numbers, ""])
    for _, point in selection.of(selection.points, choice).iterrows():
        marks = [r for r in ("min", "1se") if choice[f"lambda_{r}"] == point["lambda"] and point["candidate"]]
        values = [typed(point["lambda"]), *(typed(point[k]) for k in knobs), str(point["n"]), _score(point["mean"])]
        values += [ranged(point["low"], point["high"]), _score(point["train_loss"]), _score(point["train_accuracy"])]
        values += [rough(point["total_decay"], unknown=""), str(point["diverged"] or "")]
        marks += ["not compared"] * bool(point["n"] and not point["candidate"] and not point["diverged"])
        _row(table, [*values, f"← {', '.join(marks)}" if marks else ""])
    return table


def _choices(selection: Selection, terminal: bool) -> Table:
    table = _table(terminal, ["facet", "lambda_min", *selection.nuisance, "lambda_1se", "n", "mean", "against λ = 0"])
    for _, row in selection.choices.iterrows():
        values = [selection.name(row), typed(row["lambda_min"]), *(typed(row[f"{k}_min"]) for k in selection.nuisance)]
        values += [typed(row["lambda_1se"]), str(row["n"]), _score(row["mean"])]
        _row(table, [*values, _difference(row["difference"], row["difference_low"], row["difference_high"])])
    return table


def _outcomes(selection: Selection, terminal: bool) -> Table:
    counts = ("runs", "diverged", "failed", "missing")
    table = _table(terminal, ["facet", "test_loss", "test_acc", *counts])
    for _, row in selection.choices.iterrows():
        scores = [_score(row["test_loss"]), _score(row["test_accuracy"])]
        _row(table, [selection.name(row), *scores, *(str(row[c]) for c in counts)])
    return table


def _board(selection: Selection, board: pd.DataFrame, terminal: bool) -> Table:
    fair = ["cells", "expected"] if board["cells"].nunique() > 1 else []  # else expected is the mean
    table = _table(terminal, ["facet", "λ", *selection.nuisance, "n", "mean", *fair, "difference", "p", "verdict"])
    for _, row in board.iterrows():
        values = [selection.name(row), typed(row["lambda"]), *(typed(row[k]) for k in selection.nuisance)]
        values += [str(row["n"]), _score(row["mean"])]
        values += [str(row["cells"]), _score(row["expected"])] if fair else []
        difference = "" if row["verdict"] == "best" else _difference(row["difference"], row["low"], row["high"])
        _row(table, [*values, difference, p_value(row["p"]), row["verdict"]])
    return table


def _table(terminal: bool, headers: Sequence[str]) -> Table:
    """An empty table; only the facet's column, the widest, may wrap."""
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, padding=(0, 1))
    for header in headers:
        words = header in ("facet", "λ", "lambda_min", "verdict", "")
        table.add_column(header, justify="left" if words else "right", no_wrap=header != "facet", overflow="fold")
    return table


def _row(table: Table, values: Sequence[str]) -> None:
    table.add_row(*map(_plain, values))


def _plain(value: str) -> Text:
    """Text as it stands: a value of a run is neither markup nor a terminal's control sequence."""
    return Text(printable(value))


def _score(value: float) -> str:
    return rough(value, 4, unknown="")


def _difference(mean: float, low: float, high: float) -> str:
    signed = "+" * (mean >= 0) + rough(mean, 3, unknown="")
    return f"{signed} {ranged(low, high, 3)}".rstrip()
