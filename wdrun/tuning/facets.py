"""Lines of plain words -> the facets that a question compares: what is tuned in each, and what tells it from others.

Of two words for one key the last counts, as everywhere. A line without decay is a facet that has no λ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from wdrun.accepts import is_number
from wdrun.config import own_keys
from wdrun.config.axes import key_of
from wdrun.config.compose import opened
from wdrun.config.keys import STRENGTH, TEXT, flatten
from wdrun.config.parse import parse, values
from wdrun.config.run import Run
from wdrun.errors import ConfigError
from wdrun.tuning.question import Facet
from wdrun.tuning.space import Axis, Space
from wdrun.wording import shown, typed

NO_DECAY = "decay=none"
# Runs that differ in one of these answer different questions, as `select` has it, or are the same training.
CIRCUMSTANCES = ("data.", "epochs", "device", "precision", "threads", "fold")
WATCHING = ("evaluate.", "diagnostics", "ema")
DECADE = 10  # an interval whose ends are so many times apart is searched in the logarithm
USUAL = 1e-3  # λ to begin with where a decay's own default is 0


class Interval(NamedTuple):
    """`key=interval(low,high)` as it was typed."""

    word: str
    key: str
    low: float
    high: float


@dataclass
class Line:
    """A facet in the making: its words, its run's knobs, the values of its config by key, and its tuned axes."""

    words: list[str]
    run: Run
    config: dict[str, Any]
    axes: list[Axis]

    @property
    def decays(self) -> bool:
        return self.run.decay["name"] != "none"


def of_lines(lines: Sequence[Sequence[str]], intervals: Sequence[Interval], config_dir: str | None) -> list[Facet]:
    """The facets of these lines, equal ones once; a λ that is given is compared with λ = 0, a facet of its own."""
    found = _lines(lines, intervals, config_dir)
    _check_known(lines[0], found, intervals, config_dir)
    _check_comparable(found)
    fixed = [line for line in found if line.run.lam and not _has_lambda(line)]
    given = [line for line in found if not _has_lambda(line)]
    bare = _lines(without([line.words for line in given], config_dir), intervals, config_dir)
    zeros = {id(line): zero for line, zero in zip(given, bare, strict=True)}
    found = [line if line.run.lam or _has_lambda(line) else zeros[id(line)] for line in found]
    found += [zeros[id(line)] for line in fixed]
    distinct = {(line.run.id, tuple(line.axes)): line for line in reversed(found)}
    kept = [line for line in found if distinct[line.run.id, tuple(line.axes)] is line]
    names = _names([line.words for line in kept], kept[0].run)
    others = without([line.words for line in kept], config_dir)
    return [
        Facet(
            name,
            tuple(line.words),
            tuple(other if decays else line.words),
            Space(tuple(line.axes), decays),
            line.run.lam,
            line.run.lr,
        )
        for name, line, other in zip(names, kept, others, strict=True)
        for decays in [_has_lambda(line)]
    ]


def _has_lambda(line: Line) -> bool:
    return any(axis.key == "lambda" for axis in line.axes)


def without(lines: Sequence[Sequence[str]], config_dir: str | None) -> list[list[str]]:
    """The words of the same runs with λ = 0: decay=none, and nothing of a decay's own."""
    own = ("decay", *STRENGTH)
    kept = [[*(word for word in words if key_of(word).partition(".")[0] not in own), NO_DECAY] for words in lines]
    return own_keys.without_an_experiments(kept, config_dir, lambda line: None)


def _lines(lines: Sequence[Sequence[str]], intervals: Sequence[Interval], config_dir: str | None) -> list[Line]:
    with opened(config_dir) as composed:
        return [_line(words, intervals, composed) for words in lines]


def _line(words: Sequence[str], intervals: Sequence[Interval], composed: Callable[[Sequence[str]], Any]) -> Line:
    """The line with its axes: λ unless it is typed, lr unless an experiment sets it either, and the intervals'."""
    from omegaconf import OmegaConf

    config = composed(words)
    line = Line(list(words), parse(config, words).run, dict(flatten(values(config))), [])
    given = {key_of(word) for word in words}
    bounded = {interval.key: interval for interval in intervals}
    if line.decays and "lambda" not in given:
        line.axes.append(_axis("lambda", line.run.lam or USUAL, bounded.get("lambda")))
    raw: Any = OmegaConf.to_container(config, resolve=False)
    if "lr" in bounded or ("lr" not in given and raw["lr"] == "${optimizer.lr}"):
        line.axes.append(_axis("lr", line.run.lr, bounded.get("lr")))
    for key, interval in bounded.items():
        idle = key.startswith("decay.") and not line.decays
        if key not in ("lambda", "lr") and key in line.config and not idle:
            line.axes.append(_axis(key, line.config[key], interval))
    for axis in line.axes:
        for end in (axis.low, axis.high) if axis.key in bounded else ():
            parse(composed([*words, f"{axis.key}={typed(end)}"]))
    return line


def _axis(key: str, default: Any, interval: Interval | None) -> Axis:
    """The axis of a key: from its default where the interval holds that, else from the middle."""
    if interval is None:
        return Axis(key, float(default))
    word, _, low, high = interval
    if key in TEXT or not (default is None or is_number(default)):
        raise ConfigError(f"{word}: interval(low,high) bounds a number; {key} is {shown(default)} by default")
    log = key in ("lambda", "lr") or (low > 0 and high / low >= DECADE)
    if log and low <= 0:
        zero = "; λ = 0 is tried in any case" if key == "lambda" else ""
        raise ConfigError(f"{word}: both ends must be > 0, since {key} is searched in its logarithm{zero}")
    whole = isinstance(default, int) and low.is_integer() and high.is_integer()
    middle = math.sqrt(low * high) if log else (low + high) / 2
    start = float(default) if default is not None and low <= default <= high else float(f"{middle:.2g}")
    return Axis(key, float(round(start)) if whole else start, low, high, log, whole)


def _check_known(
    words: Sequence[str], lines: Sequence[Line], intervals: Sequence[Interval], config_dir: str | None
) -> None:
    """ConfigError for an interval of a key that no line has, or that only decays have where there is none."""
    for interval in intervals:
        key, word = interval.key, f"{interval.key}={typed(interval.low)}"
        if not any(key in line.config for line in lines):
            with opened(config_dir) as composed:
                composed([*words, word])  # says what is wrong with the key
            raise ConfigError(f"{interval.word}: interval(low,high) bounds a number; {key} is none")
        if not any(axis.key == key for line in lines for axis in line.axes):
            raise ConfigError(f"{interval.word}: {NO_DECAY} is given too, which has no λ and nothing of it to tune")


def _check_comparable(lines: Sequence[Line]) -> None:
    """ConfigError where the facets' scores do not compare, or a key is compared that changes no score."""
    keys = dict.fromkeys(key for line in lines for key in line.config)
    knobs = {field.name for field in fields(Run)}
    for key in keys:
        varying = list(dict.fromkeys(shown(line.config.get(key)) for line in lines))
        tuned = any(axis.key == key for line in lines for axis in line.axes)
        if len(varying) < 2 and not tuned:
            continue
        word = f"{key.removesuffix('.name')}={'interval(…)' if tuned else ','.join(varying)}"
        if key.startswith(CIRCUMSTANCES):
            raise ConfigError(f"{word}: must be one value; scores of other {_circumstance(key)} do not compare")
        top = key.partition(".")[0]
        if key.startswith(WATCHING) or not (top in knobs or top in STRENGTH):
            raise ConfigError(f"{word}: must be one value; it changes no score, so there is nothing to compare")


def _circumstance(key: str) -> str:
    return "data" if key.startswith("data.") else {"fold": "folds"}.get(key, key)


def _names(lines: Sequence[Sequence[str]], first: Run) -> list[str]:
    """What tells each line from the others, `optimizer=adam decay.coupling=coupled`; of one line its decay."""
    if len(lines) == 1:
        return [f"decay={first.decay['name']}"]
    said = [{key_of(word): _short(word) for word in line if word[:1] != "~"} for line in lines]
    keys = dict.fromkeys(key for words in said for key in words)
    varying = [key for key in keys if len({words.get(key) for words in said}) > 1]
    return [" ".join(words[key] for key in varying if key in words) for words in said]


def _short(word: str) -> str:
    """The word as it is, or with its number as everywhere where that is shorter: Hydra's lists have 1000000000.0."""
    key, _, text = word.partition("=")
    try:
        return f"{key}={min(text, typed(float(text)), key=len)}" if math.isfinite(float(text)) else word
    except ValueError:
        return word
