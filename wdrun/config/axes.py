"""Words -> the words of each job: the points of every axis, and the grid of all axes, the last one varying fastest.

    lambda=1e-4,1e-3                also choice(…), range(start,stop,step), sort(…), shuffle(…), decay=glob(l*)
    lambda=log_range(1e-6,1e-1,11)  a·(b/a)^(i/(n−1)), i = 0 … n−1, a and b as typed, six digits between them;
                                    also between commas: lambda=0,log_range(1e-6,1e-1,6)
    lambda+lr=1e-4:0.1,1e-3:0.05    one axis of two keys, which vary together
    folds=5                         cross-validation: one axis of data.folds=5 with fold=0 … 4

ConfigError says what is wrong with a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, islice, product
from math import exp, inf, isnan, log, nan, prod
from typing import Any

from wdrun.config.keys import TEXT
from wdrun.config.options import option_names
from wdrun.errors import ConfigError
from wdrun.wording import nearest

MOST = 1_000_000  # jobs of a sweep; more is a slip of the keyboard that would fill the memory
FUNCTIONS = {  # how each is written
    "choice": "choice(a,b)", "range": "range(start,stop,step)", "log_range": "log_range(start,stop,count)",
    "interval": "interval(low,high)", "sort": "sort(a,b)", "shuffle": "shuffle(a,b)", "glob": "glob(pattern)",
}  # fmt: skip
Point = tuple[str, ...]  # plain overrides, one for each key of an axis


def key_of(word: str) -> str:
    """What stands before the `=` of a word, without Hydra's marks for adding and deleting."""
    return word.partition("=")[0].lstrip("+~")


def engine_words(words: Sequence[str]) -> list[str]:
    """Those of the words that name a launcher or sweeper of Hydra's, or set one up."""
    return [word for word in words if re.match(r"[+~]*hydra[./](launcher|sweeper)\b", word)]


def keys(word: str) -> tuple[str, ...]:
    """The keys that a word sets: of a word such as lambda+lr=… several."""
    key = word.partition("=")[0]
    if key == "folds":
        return ("data.folds", "fold")
    return tuple(key.split("+")) if re.fullmatch(r"[\w./]+(\+[\w./]+)+", key) else (key_of(word),)


def is_axis(word: str) -> bool:
    """Whether a word only makes sense in a sweep."""
    return len(keys(word)) > 1 or bool(override(word).is_sweep_override())


def expand(words: Sequence[str], config_dir: str | None = None) -> list[list[str]]:
    """The jobs of a sweep: every combination of the points of its axes."""
    axes = [_points(word, config_dir) for word in words]
    given = Counter(key for word in words for key in keys(word))
    for word in filter(is_axis, words):
        if twice := [key for key in keys(word) if given[key] > 1]:
            other = next((w for w in words if w != word and twice[0] in keys(w)), word)
            raise ConfigError(f"{word}: {other} is given too; both set {twice[0]}")
    if (jobs := prod(map(len, axes))) > MOST:
        raise ConfigError(f"{' '.join(filter(is_axis, words))}: {jobs} jobs; a sweep has at most {MOST}")
    return [list(chain.from_iterable(points)) for points in product(*axes)]


@lru_cache(maxsize=65536)
def override(word: str) -> Any:
    """One word of one key as Hydra's grammar reads it; a log_range is the list of its values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(written_out(word))
    except HydraException as error:
        called = re.match(r"[^=]*=\s*(\w+)\((?P<whole>[^()]*\)$)?", word)
        if called and called[1] in FUNCTIONS and called["whole"]:
            raise ConfigError(f"{word}: must be {FUNCTIONS[called[1]]}") from error
        near = nearest(called[1], FUNCTIONS) if called and called[1] not in FUNCTIONS else ""
        near = near or "; the Greek letter λ is written lambda in a key" * ("λ" in word.partition("=")[0])
        raise ConfigError(f"{word!r}: not an override; write key=value, special characters in quotes{near}") from error
    if not parsed.key_or_group:
        raise ConfigError(f"{word!r}: not an override; the key is missing before '='")
    return parsed


def _points(word: str, config_dir: str | None) -> list[Point]:
    key, _, value = word.partition("=")
    if key == "folds":
        return _folds(word, value)
    if len(keys(word)) > 1:
        return _zipped(word, keys(word), value)
    if is_axis(word):
        return [(f"{override(word).get_key_element()}={value}",) for value in _values(word, config_dir)]
    return [(word,)]


def _values(word: str, config_dir: str | None) -> list[str]:
    """The values of one sweep override: a list, a range, or a glob over a group's options."""
    from hydra.core.override_parser.types import Glob

    parsed = override(word)
    value: Any = parsed.value()
    if parsed.is_interval_sweep():
        raise ConfigError(
            f"{word}: an interval is not a list of values; write commas, range(start,stop,step) or "
            "log_range(start,stop,count), or add hydra/sweeper=optuna, which draws from it"
        )
    if isinstance(value, Glob):
        values = value.filter(option_names(parsed.key_or_group, config_dir))
    elif key_of(word) in TEXT and "(" not in word:
        values = [part.strip() for part in _split(word.partition("=")[2], ",")]  # as typed, not as a number is shown
    elif parsed.is_range_sweep() and value.step == 0:
        values = []
    else:
        values = list(islice(parsed.sweep_string_iterator(), MOST + 1))
    if not values:
        raise ConfigError(f"{word}: holds no value")
    return values


def _zipped(word: str, names: Sequence[str], value: str) -> list[Point]:
    """The points of several keys that vary together, such as lambda+lr=1e-4:0.1,1e-3:0.05."""
    points = []
    for text in _split(value, ","):
        values = [part.strip() for part in _split(text, ":")]
        if len(values) != len(names):
            shape = ":".join(f"<{name}>" for name in names)
            raise ConfigError(f"{word}: {text.strip()!r} must be {shape}, a value for each key; commas between points")
        point = tuple(f"{name}={part}" for name, part in zip(names, values, strict=True))
        if several := next(filter(is_axis, point), None):
            raise ConfigError(f"{word}: {several} is several values; keys that vary together need each point in full")
        points.append(point)
    return points


def _folds(word: str, value: str) -> list[Point]:
    """Cross-validation: every fold of the data in turn."""
    if not (value.isascii() and value.isdecimal() and 2 <= int(value) <= MOST):
        raise ConfigError(f"{word}: must be one whole number ≥ 2, the parts that validate in turn")
    return [(f"data.folds={int(value)}", f"fold={fold}") for fold in range(int(value))]


def written_out(word: str) -> str:
    """The word as Hydra's grammar has it: the values of each log_range in its place, text that is text in quotes."""
    key, equals, value = word.partition("=")
    if key_of(key) in TEXT:
        return f"{key}{equals}{','.join(map(_text, _split(value, ',')))}"
    if "log_range(" not in value:
        return word
    parts = []
    for part in _split(value, ","):
        called = re.fullmatch(r"\s*log_range\((.*)\)\s*", part)
        parts += _log_range(word, called[1]) if called else [part]
    return f"{key}{equals}{','.join(parts)}"


def _log_range(word: str, arguments: str) -> list[str]:
    """n numbers a·(b/a)^(i/(n−1)): a and b as typed, those between rounded to six digits so that ids are stable."""
    given = [argument.strip() for argument in arguments.split(",")]
    if len(given) != 3:
        raise ConfigError(f"{word}: log_range takes start,stop,count, as in log_range(1e-6,1e-1,11)")
    start, stop, count = (_number(text) for text in given)
    if not (0 < start < inf and 0 < stop < inf):
        raise ConfigError(f"{word}: start and stop of log_range must be numbers > 0; write 0,log_range(…) to add 0")
    if not (2 <= count <= MOST and given[2].isdecimal()):
        raise ConfigError(f"{word}: count of log_range must be a whole number from 2 to {MOST}")
    low, step = log(start), (log(stop) - log(start)) / (count - 1)
    return [given[0], *(f"{exp(low + i * step):.6g}" for i in range(1, int(count) - 1)), given[1]]


def _text(part: str) -> str:
    """A value of a key that takes text: in quotes where Hydra would read a number or a truth, as in name=1e5."""
    bare = part.strip()
    odd = bare.casefold() in ("true", "false", "nan") or not isnan(_number(bare.replace("_", "")))
    return f"'{bare}'" if odd else part


def _number(text: str) -> float:
    try:
        return float(text) if text.isascii() else nan
    except ValueError:
        return nan


def _split(text: str, mark: str) -> list[str]:
    """The parts of a text between the marks that stand outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in re.findall(r"\\.|.", text, re.DOTALL):  # an escaped quote closes nothing
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in "([{") - (letter in ")]}")
        if letter == mark and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
