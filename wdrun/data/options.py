"""Typed values out of a data option's plain dict; what does not fit is one line that says what does."""

import math
from collections.abc import Mapping
from pathlib import Path

from wdrun.accepts import Accepts, check, number, whole
from wdrun.data.cache import expanded

Spec = Mapping[str, object]


def integer(spec: Spec, key: str, default: int, low: int, high: int | None = None, *, group: str = "data") -> int:
    """The whole number `spec[key]` from low to high; 4e3 is one too."""
    value = spec.get(key, default)
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return int(check(f"{group}.{key}", value, whole(low, high)))


def real(spec: Spec, key: str, default: float, low: float, high: float) -> float:
    """The number `spec[key]` from low to high."""
    return float(check(f"data.{key}", spec.get(key, default), number(low, high)))


def root_of(spec: Spec, words: str = "a path") -> Path | None:
    """Where the data are, absolute; None for null."""
    root = spec.get("root")
    check("data.root", root, Accepts(words, lambda v: v is None or (isinstance(v, str | Path) and bool(str(v)))))
    return None if root is None else expanded("data.root", str(root))


def share(spec: Spec, key: str, total: int, most: int, of: str) -> int | None:
    """How many of `total` examples `spec[key]` asks for, 1 to `most`, as a count or a fraction; None for null."""
    value = spec.get(key)
    if value is None:
        return None
    asked = _asked(value, total)
    words = f"a count from 1 to {most} or a fraction between 0 and 1 of the {total} {of}"
    check(f"data.{key}", value, Accepts(words, lambda v: 1 <= asked <= most))
    return asked


def _asked(value: object, total: int) -> int:
    """The count that a value means; 0 for what is neither a fraction inside (0, 1) nor a count, such as 1.5 or 0.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    if 0 < value < 1:
        return round(value * total)
    return int(value) if isinstance(value, int) or (value > 1 and value.is_integer()) else 0
