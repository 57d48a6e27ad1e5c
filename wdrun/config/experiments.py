"""Words typed -> the line of plain words of each job, and the jobs: sweeps, and experiments that bring their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wdrun.config import axes
from wdrun.config.compose import compose, opened
from wdrun.config.parse import parse, sweep_options, values
from wdrun.config.run import Job, SweepOptions
from wdrun.errors import ConfigError

DECAY_STRENGTH = ("lambda", "budget", "tau")  # each says how strong the decay is: one of them replaces another's axis


def lines(overrides: Sequence[str], multirun: bool, config_dir: str | None = None) -> list[list[str]]:
    """The overrides of each job: one line, the grid of `-m`, or that of an experiment's `sweep:`.

    A key on the command line takes the place of the experiment's own axis or of what `as_written=true` would set.
    """
    words = list(overrides)
    sweep: list[str] = []
    if _keys(words) & {"experiment", "sweep", "as_written"}:
        first = axes.expand(words, config_dir)[0] if multirun else words
        carried = values(compose(first, config_dir))
        words += _not_typed(_as_written(carried), words)
        sweep = _not_typed(carried["sweep"], words)
    return axes.expand([*words, *sweep], config_dir) if multirun or sweep else [words]


def jobs(overrides: Sequence[str], multirun: bool, config_dir: str | None = None) -> list[Job]:
    """The jobs of what was typed, each composed and checked."""
    return sweep(lines(overrides, multirun, config_dir), config_dir)[0]


def sweep(lines: Sequence[Sequence[str]], config_dir: str | None = None) -> tuple[list[Job], SweepOptions]:
    """The job of each line of overrides, composed and checked, and what the first line asks of all of them together."""
    with opened(config_dir) as composed:
        first = composed(lines[0])
        jobs = [parse(first, lines[0]), *(parse(composed(line), line) for line in lines[1:])]
        return [replace(job, config_dir=config_dir) for job in jobs], sweep_options(first)


def _not_typed(words: Sequence[str], typed: Sequence[str]) -> list[str]:
    """Those of an experiment's words whose keys are not typed; of keys that vary together, all or none may be."""
    given = _keys(typed)
    given |= set(DECAY_STRENGTH) if given & set(DECAY_STRENGTH) else set()
    kept: list[str] = []
    for word in words:
        own = set(axes.keys(word))
        if own.isdisjoint(given):
            kept.append(word)
        elif rest := sorted(own - given):
            points = {tuple(part for part in point if _keys([part]) - given) for point in axes.expand([word])}
            if len(points) > 1:
                here, missing = " and ".join(sorted(own & given)), " and ".join(rest)
                raise ConfigError(f"{word}: the experiment sets {here} together with {missing}; give {missing} too")
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
