"""Keyword arguments -> words of the command line, such that the value that arrives is the value that was given.

words([], {"lam": np.float64(1e-3), "data__root": Path("my data")})    lambda=1e-3  data.root='my data'
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any

from wdrun.config import help
from wdrun.config.axes import override
from wdrun.config.keys import KEYS, TEXT
from wdrun.config.literals import word
from wdrun.config.options import GROUPS, conf_dir, option_names
from wdrun.errors import ConfigError

WORDS = (*GROUPS, "experiment", "folds")  # keys whose text is never a value of its own
OWN_CONFIG = "--config-dir="

Folder = str | os.PathLike[str]


def text_of(folder: Folder | None) -> str | None:
    """A folder of options as text; None where none is given."""
    return None if folder is None else os.fspath(folder)


def split(overrides: Iterable[str], config_dir: Folder | None) -> tuple[list[str], str | None]:
    """Positional words without a `--config-dir=DIR` among them, as `wdrun.best` gives it, and the folder it names."""
    given = list(overrides)
    for item in given:
        if not isinstance(item, str):
            raise ConfigError(f"{item!r}: must be text, as 'decay=l2'; give other values by keyword, as lam=1e-3")
    named = [item.removeprefix(OWN_CONFIG) for item in given if item.startswith(OWN_CONFIG)]
    folder = text_of(config_dir) or (named[-1] if named else None)
    return [item for item in given if not item.startswith(OWN_CONFIG)], folder


def words(options: Mapping[str, Any], *, axes: bool = False) -> list[str]:
    """A word for each keyword: `lam` is lambda, `data__root` is data.root; with `axes`, several values are an axis.

    ConfigError for what is no number, text, truth, None, or list or mapping of these.
    """
    found = []
    for name, value in options.items():
        key = "lambda" if name == "lam" else name.replace("__", ".")
        if not re.fullmatch(r"[+~]*[\w./]+", key):
            raise ConfigError(f"{name}: must be the name of a key, such as lam, seed or data__root")
        given = plain(name, value)
        if axes and isinstance(given, list) and not is_one_value(key, given):
            if not given:
                raise ConfigError(f"{name}=[]: holds no value")
            found.append(f"{key}={','.join(_text(key, item) for item in given)}")
        else:
            found.append(_word(key, given))
    return found


def is_one_value(key: str, given: list[Any]) -> bool:
    """Whether the key takes the list as it is: one of KEYS by what it accepts, another by what conf/ has there."""
    if key in KEYS:
        return KEYS[key].fits(given)
    return _shipped().get(key, False) and not any(isinstance(item, list) for item in given)


def plain(name: str, value: Any) -> Any:
    """The value in Python's own types: of paths, enums, numpy, torch, pandas and OmegaConf too; a set has no order."""
    if isinstance(value, Enum):
        return plain(name, value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value == "???":
        raise ConfigError(f"{name}: ??? must be a value; it marks one that is missing")
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)  # of a subclass too, as numpy's float64 is one
    if isinstance(value, os.PathLike) and isinstance(path := os.fspath(value), str):
        return path
    if isinstance(value, Mapping):
        return {plain(name, key): plain(name, item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(name, item) for item in value]
    if callable(listed := getattr(value, "tolist", None)):  # a number or an array of numpy, torch or pandas
        return plain(name, listed())
    raise ConfigError(
        f"{name}: {type(value).__name__} is no type of a config; must be a number, text, true, false, None, a path, "
        "or a list or mapping of these"
    )


def _word(key: str, value: Any) -> str:
    """The override that gives the key this value; text as it is where that says the same."""
    return f"{key}={value}" if isinstance(value, str) and _is_read_as(key, value) else f"{key}={_text(key, value)}"


def _text(key: str, value: Any) -> str:
    """The value as it stands after `key=`, alone or among others."""
    if isinstance(value, str) and not _takes_text(key, value):
        return value
    return word(key, value).partition("=")[2]


def _is_read_as(key: str, text: str) -> bool:
    """Whether the text, typed after the key as it is, is that text."""
    try:
        read = override(f"{key}={text}")
    except ConfigError:
        return False
    return not read.is_sweep_override() and read.value() == text


def _takes_text(key: str, text: str) -> bool:
    """Whether the key takes this text as a value; one that takes numbers or lists has it read as on a command line."""
    if key in KEYS and key not in TEXT:
        return KEYS[key].fits(text)
    return key in TEXT or key not in (*WORDS, *_shipped())


@cache
def _shipped() -> dict[str, bool]:
    """The keys that the options of conf/ have, and whether they take a list."""
    files = [(group, conf_dir() / group / f"{name}.yaml") for group in GROUPS for name in option_names(group)]
    return {
        f"{group}.{key}": default.startswith("[")
        for group, path in files
        for key, default, _ in help.keys_of(path.read_text(encoding="utf-8"))
    }
