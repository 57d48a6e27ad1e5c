"""Filter words, `lambda=0,0.01` and `lambda!=0.1`: which of the runs read a command looks at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from wdrun.config import axes
from wdrun.config.keys import SAME
from wdrun.errors import ConfigError
from wdrun.tables.columns import TABLES
from wdrun.tables.read import Results
from wdrun.terminal.progress import say
from wdrun.wording import counted, listed, nearest, sort_key, typed

NAMES = SAME | {"lam": "lambda", "λ": "lambda"}


def kept(found: Results, words: Sequence[str], command: str = "select", settings: Iterable[str] = ()) -> Results:
    """The results of the runs that every word keeps: `key=value,…` those with one of the values, `key!=value,…` others.

    A key is a column of runs.csv, or a group such as `data`, and λ is `lambda`, `lam` or `λ`; numbers compare as
    numbers, `null` is an empty cell; `range(0,5)` and its like are those values of a sweep that some run has, and
    `interval(1e-3,0.1)` all from one number to another. ConfigError for an unknown key (`settings` are those of the
    command, for the nearest), for a value that no run has, and where no run is left.
    """
    runs = found.runs
    for word in words:
        key, _, text = word.partition("=")
        name, without = key.removesuffix("!"), key.endswith("!")
        name = NAMES.get(name, name)
        column = next((c for c in (name, f"{name}.name") if c in runs and c != "dir"), None)
        if column is None:
            known = [*settings, *(str(c).removesuffix(".name") for c in runs if c != "dir")]
            own = "".join(f"{setting}=, " for setting in settings)
            takes = f"; {command} takes {own}{'or ' if own else ''}a knob of these runs"
            raise ConfigError(f"{name}: unknown setting of wdrun {command}{nearest(name, known) or takes}")
        there = runs[column].map(_plain)
        there_are = {*found.runs[column].map(_plain)}
        wanted: set[str] = set()
        for value in re.split(r",(?![^\[{(]*[\]})])", text):
            if not (some := _meant(name, value, there_are)):
                has = listed(sorted(there_are, key=sort_key), 12)
                raise ConfigError(f"{word}: no run has {name}={_plain(value)}; there are {has}")
            wanted |= some
        runs = runs[there.isin(wanted) != without]
    if runs.empty:
        raise ConfigError(f"{' '.join(words)}: no run is left")
    if not words:
        return found
    if len(runs) < len(found.runs):
        all_runs = counted(len(found.runs), "run")
        say(f"filters  {len(runs)} of {all_runs} are looked at")
    tables = {name: table[table["id"].isin(runs["id"])] for name in TABLES if len(table := getattr(found, name))}
    left_out = found.runs[~found.runs["id"].isin(runs["id"])]
    frames = {"runs": runs, "left_out": left_out, **tables}
    return replace(found, **{name: frame.reset_index(drop=True) for name, frame in frames.items()})


def _meant(name: str, value: str, known: set[str]) -> set[str]:
    """The values, of those that are `known`, that a value of a filter for a column stands for."""
    called = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", value)
    if called and called[1] == "interval":
        try:
            low, high = map(float, called[2].split(","))
        except ValueError:
            raise ConfigError(f"{name}={value}: must be interval(low,high), as in interval(1e-3,0.1)") from None
        return {text for text in known if not sort_key(text)[0] and low <= float(text) <= high}
    if called and called[1] in axes.FUNCTIONS:
        return {_plain(point.partition("=")[2]) for (point,) in axes.expand([f"{name}={value}"])} & known
    return {_plain(value)} & known


def _plain(value: object) -> str:
    """A cell, or what is typed for it, in the form in which equal values are equal: 1e-2 is 0.01, [8, 16] is [8,16]."""
    text = typed(value).replace(" ", "")
    try:
        return typed(float(text) + 0.0)
    except ValueError:
        return text or "null"
