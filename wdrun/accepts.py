"""What the value of a key must be, in words and as a check, and the one dialect of every refusal.

    check("lr", 0, number(above=0))                  lr=0: must be a number > 0
    check("objective", "los", one_of("loss"))        objective=los: must be one of loss; did you mean loss?
    check_names("schedule", keys, takes, "cosine")   schedule.finl: unknown key; did you mean schedule.final?

The rooms that read a config use it: config, data, optim, schedules, models and decay. No torch in here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable
from math import inf
from typing import Any, NamedTuple

from wdrun.errors import ConfigError
from wdrun.wording import nearest, shown


class Accepts(NamedTuple):
    """What a value must be: the end of `must be …`, the check, and the words to choose from where there are such."""

    words: str
    fits: Callable[[Any], bool]
    options: tuple[str, ...] = ()


def check(key: str, value: Any, accepts: Accepts) -> Any:
    """The value; ConfigError `key=value: must be …; did you mean …?` where it does not fit."""
    if accepts.fits(value):
        return value
    odd = next((v for v in value if v not in accepts.options), value) if isinstance(value, list) else value
    bare = not isinstance(value, list) and value in accepts.options  # a word that only fits in a list
    hint = f"; did you mean [{value}]?" if bare else nearest(shown(odd), accepts.options)
    raise ConfigError(f"{key}={shown(value)}: must be {accepts.words}{hint}")


def check_known(group: str, given: Iterable[object], takes: Collection[str], owner: str) -> None:
    """ConfigError where a key of the group is none that `owner`, the option chosen of it, takes."""
    for key in given:
        if key not in takes:
            raise ConfigError(unknown(group, str(key), takes, owner))


def check_names(group: str, given: Collection[str], takes: Collection[str], owner: str) -> None:
    """ConfigError unless the keys of the group are exactly those that `owner`, the option chosen of it, takes."""
    check_known(group, given, takes, owner)
    for key in takes:
        if key not in given:
            raise ConfigError(f"{group}.{key}: missing; {owner} takes {', '.join(takes)}")


def unknown(group: str, key: str, takes: Collection[str], owner: str) -> str:
    """The refusal of a key, with the nearest that there is, else with all that there are."""
    all_of_them = f"; {owner} takes {', '.join(takes) or 'no arguments'}"
    return f"{group}.{key}: unknown key{nearest(key, takes, f'{group}.') or all_of_them}"


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number of 64 bits, not written as 3.0."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def number(low: float = -inf, high: float = inf, *, above: float = -inf, below: float = inf) -> Accepts:
    """A finite number in [low, high], and within (above, below), whose ends are not accepted themselves."""
    if high < inf:
        words = f"a number from {low:g} to {high:g}" if above == -inf else f"a number in ({above:g}, {high:g}]"
    elif below < inf:
        words = f"a number in {f'[{low:g}' if above == -inf else f'({above:g}'}, {below:g})"
    elif above > -inf:
        words = f"a number > {above:g}"
    else:
        words = f"a number ≥ {low:g}"
    return Accepts(words, lambda v: is_number(v) and low <= v <= high and above < v < below)


def whole(low: int, high: int | None = None) -> Accepts:
    """A whole number from low to high, or with no upper end."""
    words = f"a whole number ≥ {low}" if high is None else f"a whole number from {low} to {high}"
    return Accepts(words, lambda v: is_whole(v) and low <= v <= (v if high is None else high))


def one_of(*options: str) -> Accepts:
    """One of these words."""
    return Accepts(f"one of {', '.join(options)}", lambda v: isinstance(v, str) and v in options, options)


def boolean() -> Accepts:
    """True or false."""
    return Accepts("true or false", lambda v: isinstance(v, bool))


def text(words: str, pattern: str = r".+") -> Accepts:
    """Text that a pattern matches from end to end."""
    return Accepts(words, lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None)


def list_of(item: Accepts, words: str, least: int = 0) -> Accepts:
    """A list of at least so many items."""
    fits = lambda v: isinstance(v, list) and len(v) >= least and all(map(item.fits, v))  # noqa: E731
    return Accepts(words, fits, item.options)


def or_null(accepts: Accepts) -> Accepts:
    """What `accepts` does, and null."""
    return Accepts(f"{accepts.words}, or null", lambda v: v is None or accepts.fits(v), accepts.options)


def or_auto(accepts: Accepts) -> Accepts:
    """What `accepts` does, and the word auto."""
    return or_word("auto", accepts)


def or_word(word: str, accepts: Accepts) -> Accepts:
    """What `accepts` does, and this word."""
    return Accepts(f"{accepts.words}, or {word}", lambda v: v == word or accepts.fits(v), accepts.options)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, float):
        return is_number(value)
    return value is None or isinstance(value, bool) or is_whole(value)


# Keys of numbers below 1, or up to 1, that KEYS of config has not; those of the optimizer are below it.
SHARES = frozenset(
    [
        *(f"optimizer.{key}" for key in ("momentum", "dampening", "beta1", "beta2", "rho", "alpha")),
        *("decay.beta2", "decay.smoothing", "augment.prob", "data.label_noise"),
        *(f"schedule.{key}" for key in ("peak_at", "begin", "end", "warmup_start")),
    ]
)
# What may be in a config at all: it can be written as JSON and shown on one line.
PLAIN = Accepts("a finite number, text, true, false, null or a list of these", _is_plain)
