"""Words typed -> the line of plain words of each job, and the jobs: sweeps, and experiments that bring their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from operator import itemgetter
from typing import Any

from wdrun.config import axes, names, own_keys, typed
from wdrun.config.axes import key_of
from wdrun.config.compose import compose, opened
from wdrun.config.keys import SAME, STRENGTH
from wdrun.config.parse import parse, sweep_options, values
from wdrun.config.run import Job, SweepOptions
from wdrun.errors import ConfigError

Say = Callable[[str], None]


def note(line: str) -> None:
    """Say a line on stderr: what the lines of a sweep leave out of the words typed."""
    print(line, file=sys.stderr)


def lines(
    overrides: Sequence[str],
    multirun: bool,
    config_dir: str | None = None,
    say: Say = note,
    brought: Callable[[Mapping[str, Any]], Sequence[str]] = itemgetter("sweep"),
) -> list[list[str]]:
    """The overrides of each job: one line, the grid of `-m`, or that of an experiment's `sweep:`.

    `brought` gives other axes of an experiment's config than its `sweep:`. A key on the command line takes the place of
    the experiment's own axis or of what `as_written=true` would set. A key that only some of the chosen options have is
    left out of the lines of the others, which `say` is told, and so is what an experiment sets for its own option where
    another is typed.
    """
    names.check(overrides, config_dir)
    typed.check(overrides)
    words = typed.one_name(overrides)
    sweep: list[str] = []
    if _keys(words) & {"experiment", "sweep", "ask", "as_written"}:
        first = axes.expand(words, config_dir)[0] if multirun else words
        carried = values(compose(first, config_dir))
        words += not_typed(_as_written(carried), words)
        sweep = typed.one_name(not_typed(brought(carried), words))
        words += _unset(carried, words)
    if not (multirun or sweep):
        found = [[typed.spell(word, config_dir) for word in words]]
    else:
        spelled = cache(partial(typed.spell, config_dir=config_dir))
        grid = [list(map(spelled, line)) for line in axes.expand([*words, *sweep], config_dir)]
        found = own_keys.where_they_are(grid, [*words, *sweep], config_dir, say)
    found = own_keys.without_an_experiments(found, config_dir, say)
    typed.check_none(found)
    return found


def jobs(overrides: Sequence[str], multirun: bool, config_dir: str | None = None) -> list[Job]:
    """The jobs of what was typed, each composed and checked."""
    return sweep(lines(overrides, multirun, config_dir), config_dir)[0]


def sweep(lines: Sequence[Sequence[str]], config_dir: str | None = None) -> tuple[list[Job], SweepOptions]:
    """The job of each line of overrides, composed and checked, and what the first line asks of all of them together."""
    with opened(config_dir) as composed:
        first = composed(lines[0])
        jobs = [parse(first, lines[0]), *(parse(composed(line), line) for line in lines[1:])]
        return [replace(job, config_dir=config_dir) for job in jobs], sweep_options(first)


def _unset(carried: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    """Words that take back an experiment's own budget or tau where another strength is typed."""
    given = _keys(words)
    strong = ("budget", "tau") if given & set(STRENGTH) else ()
    return [f"{key}=null" for key in strong if key not in given and carried[key] is not None]


def not_typed(words: Sequence[str], given_words: Sequence[str], whose: str = "the experiment") -> list[str]:
    """Those of an experiment's words whose keys are not typed; of keys that vary together, all or none may be.

    A strength typed takes the place of another, and decay=none that of all of them.
    """
    given = {SAME.get(key, key) for key in _keys(given_words)}
    given |= set(STRENGTH) if given & set(STRENGTH) else set()
    none = [word.casefold() for word in given_words if key_of(word) == "decay"][-1:] == ["decay=none"]
    kept: list[str] = []
    for word in words:
        own = {SAME.get(key, key) for key in axes.keys(word)}
        if none and own <= set(STRENGTH):
            continue
        if own.isdisjoint(given):
            kept.append(word)
        elif rest := sorted(own - given):
            points = {
                tuple(p for p in point if not given & _keys(typed.one_name([p]))) for point in axes.expand([word])
            }
            if len(points) > 1:
                here, missing = " and ".join(sorted(own & given)), " and ".join(rest)
                raise ConfigError(f"{word}: {whose} sets {here} together with {missing}; give {missing} too")
            kept += points.pop()  # such as data.folds=5 of folds=5, where a fold is typed
    return kept


def _keys(words: Iterable[str]) -> set[str]:
    return {key for word in words for key in axes.keys(word)}


def _as_written(carried: Mapping[str, Any]) -> list[str]:
    """The overrides that turn an experiment into what its article's own text does; none unless asked for."""
    if not carried["as_written"]:
        return []
    article = carried["article"]
    if article["refuse"] is not None:
        raise ConfigError(f"as_written=true: {article['refuse']}")
    if not article["overrides"]:
        raise ConfigError(
            "as_written=true: only the experiments of the articles have a text to follow; add experiment=…"
        )
    return list(article["overrides"])
