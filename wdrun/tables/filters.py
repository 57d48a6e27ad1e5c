"""Filter words, `lambda=0,0.01` and `lambda!=0.1`: which of the runs read a command looks at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from wdrun.errors import ConfigError
from wdrun.tables.columns import TABLES
from wdrun.tables.read import Results
from wdrun.terminal.progress import say
from wdrun.wording import counted, listed, nearest, sort_key, typed


def kept(found: Results, words: Sequence[str], command: str = "select", settings: Iterable[str] = ()) -> Results:
    """The results of the runs that every word keeps: `key=value,…` those with one of the values, `key!=value,…` others.

    A key is a column of runs.csv, or a group such as `data`; numbers compare as numbers, `null` is an empty cell.
    ConfigError for an unknown key (`settings` are those of the command, for the nearest), for a value that no run has,
    and where no run is left.
    """
    runs = found.runs
    for word in words:
        key, _, text = word.partition("=")
        name, without = key.removesuffix("!"), key.endswith("!")
        column = next((c for c in (name, f"{name}.name") if c in runs and c != "dir"), None)
        if column is None:
            known = [*settings, *(str(c).removesuffix(".name") for c in runs if c != "dir")]
            takes = f"; {command} takes {', '.join(f'{k}=' for k in settings)}, or a knob of these runs"
            raise ConfigError(f"{name}: unknown setting of wdrun {command}{nearest(name, known) or takes}")
        there = runs[column].map(_plain)
        wanted = [_plain(value) for value in re.split(r",(?![^\[{(]*[\]})])", text)]
        if unknown := [value for value in wanted if value not in set(found.runs[column].map(_plain))]:
            has = listed(sorted({*found.runs[column].map(_plain)}, key=sort_key), 12)
            raise ConfigError(f"{word}: no run has {name}={unknown[0]}; there are {has}")
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


def _plain(value: object) -> str:
    """A cell, or what is typed for it, in the form in which equal values are equal: 1e-2 is 0.01, [8, 16] is [8,16]."""
    text = typed(value).replace(" ", "")
    try:
        return typed(float(text) + 0.0)
    except ValueError:
        return text or "null"
