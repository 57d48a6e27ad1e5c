"""A selection as a person reads it: tables and sentences on stdout, plain where stdout is no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from wdrun.selection.finding import Finding, told
from wdrun.selection.looks import NAME
from wdrun.selection.selecting import Selection
from wdrun.selection.sentences import at, gain, ranking
from wdrun.terminal import screen
from wdrun.terminal.tables import Column, laid_out
from wdrun.wording import p_value, printable, ranged, rough, typed

MOST_CURVES = 8  # facets whose curves are printed; more are in the report


def show(selection: Selection, verdicts: Sequence[str] = ()) -> None:
    """Curves, choices, leaderboard, what they say, and the findings.

    Where there are `verdicts` of `wdrun tune`, these say what is known; of the tables the curves show what was tried.
    """
    width = screen.columns()
    _paragraphs(verdicts)
    print("\n" * bool(verdicts), end="")
    for table in _curves(selection) if verdicts else _tables(selection):
        for line in screen.lines(printable(table.title)):
            print(screen.bold(line))
        print("\n".join(laid_out(table.columns, table.rows, width, more=table.more, rule=width is not None)))
        print()
    if not verdicts:
        chosen = selection.choices[selection.choices["n"] > 0]
        lines = [f"{selection.name(row)}: {at(selection, row)}; {gain(selection, row)}" for _, row in chosen.iterrows()]
        _paragraphs([*lines, *ranking(selection), *warnings(selection, selection.findings)])


def _paragraphs(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print("\n".join(screen.lines(printable(sentence))))


def warnings(selection: Selection, findings: Iterable[Finding]) -> list[str]:
    """The findings as lines, what is true of several facets said once."""
    sentences = told(((found.facet, found.whole) for found in findings), selection.names)
    return [f"warning: {sentence}" for sentence in sentences]


class _Table(NamedTuple):
    """A table with its title, and where what it may leave out can be read."""

    title: str
    columns: list[Column]
    rows: list[list[str]]
    more: str


def _tables(selection: Selection) -> Iterator[_Table]:
    """The tables, those that say most last."""
    metric = selection.metric
    yield from _curves(selection)
    yield _choices(selection, f"choice by mean {metric}")
    yield _outcomes(selection, "test of the runs at lambda_min, which decided nothing, and all runs")
    for data, board in selection.boards:
        if len(board) > 1:
            title = f"leaderboard by {metric}{f' on {data}' if data else ''}: differences to the best, margin "
            yield _board(selection, board, f"{title}{selection.margin:g}")


def _curves(selection: Selection) -> Iterator[_Table]:
    """Each facet's curve, where there are not too many."""
    if len(selection.choices) <= MOST_CURVES:
        how = f", each at its best {' and '.join(selection.nuisance)}" if selection.nuisance else ""
        for _, choice in selection.choices.iterrows():
            yield _curve(selection, choice, f"{selection.name(choice)}: {selection.metric} by λ{how}")


def _words(name: str) -> Column:
    """A column of names, the widest; it may wrap."""
    return Column(name, wraps=True)


def _numbers(names: Iterable[str], going: Sequence[str] = ()) -> list[Column]:
    """Columns of numbers, those `going` left out in that order where the terminal is too narrow."""
    return [Column(name, right=True, drop=going.index(name) + 1 if name in going else 0) for name in names]


def _curve(selection: Selection, choice: pd.Series, title: str) -> _Table:
    """One facet's best cell over the nuisance knobs at every λ."""
    knobs = selection.nuisance
    numbers = ["n", "mean", f"{100 * selection.confidence:g} % interval", "train_loss", "train_acc", "D", "diverged"]
    going = ("train_acc", "train_loss", "D", "diverged")
    columns = [Column("λ"), *_numbers([*knobs, *numbers], going), _words("")]
    rows = []
    for _, point in selection.of(selection.points, choice).iterrows():
        marks = [r for r in ("min", "1se") if choice[f"lambda_{r}"] == point["lambda"] and point["candidate"]]
        values = [typed(point["lambda"]), *(typed(point[k]) for k in knobs), str(point["n"]), _score(point["mean"])]
        values += [ranged(point["low"], point["high"]), _score(point["train_loss"]), _score(point["train_accuracy"])]
        values += [rough(point["total_decay"], unknown=""), str(point["diverged"] or "")]
        marks += ["not compared"] * bool(point["n"] and not point["candidate"] and not point["diverged"])
        rows.append([*values, f"← {', '.join(marks)}" if marks else ""])
    return _Table(title, columns, rows, "a pipe, has them")


def _choices(selection: Selection, title: str) -> _Table:
    going = ("against λ = 0", "n", "lambda_1se")
    numbers = _numbers([*selection.nuisance, "lambda_1se", "n", "mean", "against λ = 0"], going)
    rows = []
    for _, row in selection.choices.iterrows():
        values = [selection.name(row), typed(row["lambda_min"]), *(typed(row[f"{k}_min"]) for k in selection.nuisance)]
        values += [typed(row["lambda_1se"]), str(row["n"]), _score(row["mean"])]
        rows.append([*values, _difference(row["difference"], row["difference_low"], row["difference_high"])])
    return _Table(title, [_words("facet"), Column("lambda_min"), *numbers], rows, f"{NAME} has them")


def _outcomes(selection: Selection, title: str) -> _Table:
    counts = ("runs", "diverged", "failed", "missing")
    numbers = _numbers(["test_loss", "test_acc", *counts], counts[::-1])
    rows = []
    for _, row in selection.choices.iterrows():
        scores = [_score(row["test_loss"]), _score(row["test_accuracy"])]
        rows.append([selection.name(row), *scores, *(str(row[c]) for c in counts)])
    return _Table(title, [_words("facet"), *numbers], rows, f"{NAME} has them")


def _board(selection: Selection, board: pd.DataFrame, title: str) -> _Table:
    fair = ["cells", "expected"] if board["cells"].nunique() > 1 else []  # else expected is the mean
    names = [*selection.nuisance, "n", "mean", *fair, "difference", "p"]
    numbers = _numbers(names, ("cells", "p", "n", "difference"))
    rows = []
    for _, row in board.iterrows():
        values = [selection.name(row), typed(row["lambda"]), *(typed(row[k]) for k in selection.nuisance)]
        values += [str(row["n"]), _score(row["mean"])]
        values += [str(row["cells"]), _score(row["expected"])] if fair else []
        difference = "" if row["verdict"] == "best" else _difference(row["difference"], row["low"], row["high"])
        rows.append([*values, difference, p_value(row["p"]), row["verdict"]])
    columns = [_words("facet"), Column("λ"), *numbers, _words("verdict")]
    return _Table(title, columns, rows, "leaderboard.csv has them")


def _score(value: float) -> str:
    return rough(value, 4, unknown="")


def _difference(mean: float, low: float, high: float) -> str:
    signed = "+" * (mean >= 0) + rough(mean, 3, unknown="")
    return f"{signed} {ranged(low, high, 3)}".rstrip()
