"""Values -> the words that say them in Hydra's grammar, and back from a word to the very same value.

word("data.root", "my data, λ")     data.root='my data, λ'
word("model.hidden", [64, 64])      model.hidden=[64,64]
"""

from __future__ import annotations

import math
import re
from typing import Any

from wdrun.errors import ConfigError
from wdrun.wording import typed as short

ABSENT = object()
RESERVED = ("null", "true", "false", "nan", "inf")  # text that Hydra reads as something else
PLAIN = re.compile(r"(?:[A-Za-z_]|\.{0,2}/)[\w./-]*", re.ASCII)
KEY = re.compile(r"[A-Za-z_*?.][\w./*?-]*", re.ASCII)  # of a mapping: the grammar has no quotes there


def word(key: str, value: Any) -> str:
    """An override as it is typed; of ABSENT, its key alone."""
    if value is ABSENT:
        return key
    return f"{key}={(short(value) if key in ('lambda', 'lr') else '') or written(value)}"  # short(nan) is ""


def written(value: Any) -> str:
    """A plain value in Hydra's override grammar, a float with all its bits; ConfigError for what is none."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_key(key)}:{written(v)}' for key, v in value.items())}}}"
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) and value.lower() not in RESERVED else quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        # a real number is not the whole one
        return f"{value:.1f}" if value.is_integer() and abs(value) < 1e4 else short(value)
    if value is None:
        return "null"
    raise ConfigError(
        f"a {type(value).__name__}: must be a number, text, true, false, null, or a list or mapping of these"
    )


def quoted(text: str) -> str:
    """Text in quotes: within them a backslash is itself, unless a quote follows the backslashes it is one of."""
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: 2 * m[1] + (m[2] and "\\'"), text)
    return f"'{escaped}'"


def _key(key: Any) -> str:
    if not (isinstance(key, str) and KEY.fullmatch(key) and key.lower() not in RESERVED):
        raise ConfigError(f"{key!r}: must be letters, digits, '_', '.', '-', '*' or '/' to be the key of a mapping")
    return key
