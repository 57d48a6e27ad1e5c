"""Words as they are typed -> the words that are meant: in conf/'s letter case, none of them contradicting another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wdrun.config.axes import is_axis, key_of, keys, override
from wdrun.config.keys import KEYS, SAME, STRENGTH, flatten, spelled
from wdrun.config.options import GROUPS, option_names
from wdrun.errors import ConfigError
from wdrun.wording import shown

Named = dict[str, str]  # a key as it was typed -> the last word that sets it, which is the one that counts


def spell(word: str, config_dir: str | None = None) -> str:
    """A word of one value with its option, or the value of its key, in the letter case that conf/ has it in."""
    key, _, value = word.partition("=")
    name = key_of(key)
    if name in (*GROUPS, "experiment"):
        options = option_names(name, config_dir)
        alike = [option for option in options if option.casefold() == value.casefold()]
        return f"{key}={alike[0]}" if value not in options and len(alike) == 1 else word
    if name not in KEYS or (value == value.casefold() and value != "none"):
        return word
    given = override(word).value()
    right = spelled(name, given)
    return word if right is given else f"{key}={shown(right)}"


def one_name(words: Sequence[str]) -> list[str]:
    """The words, each key by the one of its two names that runs are recorded with: lambda for decay.lambda.

    As typed where a word takes its value from another key, as `lr=${decay.lambda}`.
    """
    return list(words) if any("${" in word for word in words) else [_one_name(word) for word in words]


def _one_name(word: str) -> str:
    key, equals, value = word.partition("=")
    mark = "++" if key.startswith("++") else ""
    parts = [SAME.get(part, part) for part in key.removeprefix(mark).split("+")]
    return f"{mark}{'+'.join(parts)}{equals}{value}"


def threads(words: Sequence[str]) -> list[str]:
    """The values of `threads` in a command's words, auto without one; none where only its config can say.

    That is where an experiment or a folder of runs may set it, or an expression gives it.
    """
    if said := [word for word in words if key_of(word) == "threads"]:
        values = said[-1].partition("=")[2].split(",")
        return values if all(value == "auto" or value.isdecimal() for value in values) else []
    elsewhere = any("=" not in word or key_of(word) == "experiment" for word in words)
    return [] if elsewhere else ["auto"]


def check(words: Sequence[str]) -> None:
    """ConfigError where two words give one key two values by two names, or say the strength of the decay twice.

    Of one name typed twice the last word counts, as everywhere in a shell; an axis beside it is refused with the grid.
    """
    given: dict[str, Named] = {}
    for word in words:
        for name in _names(word):
            given.setdefault(SAME.get(name, name), {})[name] = word
    for key, named in given.items():
        if len(named) > 1 and not _agree(named):
            first, second, *_ = sorted(named.values(), key=is_axis, reverse=True)
            raise ConfigError(f"{first}: {second} is given too; both set {key}")
    strong = [word for key in ("budget", "tau", "lambda") for word in given.get(key, {}).values() if not _is_null(word)]
    if len({key for key in STRENGTH for word in strong if word in given.get(key, {}).values()}) > 1:
        raise ConfigError(f"{strong[0]}: {strong[1]} is given too; each of them sets λ")


def _names(word: str) -> list[str]:
    """The keys a word sets, of a mapping such as early_stopping={patience:2} each; none for one it leaves out."""
    if word.startswith("~"):
        return []
    found = keys(word)
    if len(found) == 1 and not is_axis(word) and isinstance(value := override(word).value(), dict):
        return [name for name, _ in flatten({found[0]: value})]
    return list(found)


def _agree(named: Mapping[str, str]) -> bool:
    """Whether these words, each by its own name for the key, give it one value."""
    values = [_value(name, word) for name, word in named.items()]
    return not any(map(is_axis, named.values())) and all(value == values[0] for value in values)


def _value(name: str, word: str) -> Any:
    value = override(word).value() if not is_axis(word) else None
    return dict(flatten({key_of(word): value})).get(name) if isinstance(value, dict) else value


def _is_null(word: str) -> bool:
    return not is_axis(word) and override(word).value() is None


def check_none(lines: Sequence[Sequence[str]]) -> None:
    """ConfigError where no job has a use for the strength that was typed: the decay of each is none."""
    idle = [_idle(line) for line in lines]
    if all(idle):  # there is a line at least
        raise ConfigError(
            f"{idle[0]}: decay=none is given too, which is λ = 0; leave one of them out, "
            "or choose a decay, such as decay=l2"
        )


def _idle(line: Sequence[str]) -> str | None:
    """The word that gives a strength to decay=none; None where there is none, or where it is λ = 0."""
    last = {key_of(word): word for word in line}
    if last.get("decay") != "decay=none":
        return None
    values = {last[key]: override(last[key]).value() for key in STRENGTH if key in last}
    return next((word for word, value in values.items() if isinstance(value, int | float) and value > 0), None)
