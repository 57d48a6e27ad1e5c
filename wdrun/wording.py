"""Values, counts, times and errors as people read them; each formatter once. Imports nothing of wdrun."""

from __future__ import annotations

import difflib
import math
import shlex
from collections.abc import Iterable, Sequence
from typing import Any


def short(value: float) -> str:
    """A number as a person writes it: 0.0005 -> 5e-4, 0.05 -> 0.05."""
    if value == 0 or 1e-3 <= abs(value) < 1e4 or not math.isfinite(value):
        return f"{value:.6g}"
    mantissa, exponent = f"{value:.5e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def shown(value: Any) -> str:
    """A value of a config as a user would type it."""
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{k}:{shown(v)}' for k, v in value.items())}}}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def typed(value: Any) -> str:
    """A cell of a table as a user would type it; nothing for an empty cell (None or nan)."""
    if hasattr(value, "item"):  # a numpy number
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | int):
        exact = float(value)
        return short(exact) if float(short(exact)) == exact else str(value)
    return str(value)


def printable(text: str) -> str:
    """Text as one line that a terminal shows and does not obey, whatever wrote it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something; its type where it has no message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def named(error: BaseException) -> str:
    """`RuntimeError: out of memory`: an error's type and the first line of its message; no message, no colon."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a message: the known name most like the word, in any case; nothing where there is none."""
    names = {name.casefold(): name for name in sorted(set(known))}
    found = difflib.get_close_matches(word.casefold(), names, n=1)
    return f"; did you mean {prefix}{names[found[0]]}?" if found else ""


def command_line(words: Iterable[str]) -> str:
    """`wdrun` and the words after it as a POSIX shell takes them: every line that is to be pasted is made here."""
    return shlex.join(["wdrun", *words])


def path_word(path: object) -> str:
    """A path as a word of a command: one that would be read as a flag, or as a file of words, begins with `./`."""
    text = str(path)
    return f"./{text}" if text[:1] in ("-", "@") else text


def clock(seconds: float) -> str:
    """Seconds as 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def age(seconds: float) -> str:
    """Seconds as a person says them: 12 s ago, 3 min ago, 5 h ago, 2 d ago."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{max(int(seconds), 0)} s ago"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `2 runs`, `1,200 runs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Sequence[str], at_most: int = 6) -> str:
    """`a`, `a and b`, `a, b and c`, or `a, b, c and 4 more`."""
    shown = list(items)
    if len(shown) > at_most:
        shown = [*shown[: at_most - 1], f"{len(shown) - at_most + 1} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def distinct(values: Iterable[Any], at_most: int = 8) -> str:
    """The different values in order, all of them when few, else their number and range."""
    ordered = sorted({typed(value) or "none" for value in values}, key=sort_key)
    if len(ordered) > at_most:
        return f"{len(ordered)} values from {ordered[0]} to {ordered[-1]}"
    return listed(ordered, at_most)


def rough(value: float, digits: int = 2, unknown: str = "–") -> str:
    """A number to so many significant digits."""
    return unknown if math.isnan(value) else short(float(f"{value:.{digits}g}"))


def p_value(value: float) -> str:
    """A probability to two digits, down to 0.001; nothing where it is not known."""
    return "<0.001" if value < 0.001 else rough(value, unknown="")


def score(value: float, metric: str) -> str:
    """A score in the unit of its metric: an accuracy in per cent, a loss as it is."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if metric.endswith("accuracy") else _loss(value)


def difference(value: float, metric: str) -> str:
    """A signed difference of scores: of accuracies in percentage points."""
    if not math.isfinite(value):
        return "–"
    return ("−" if value < 0 else "+") + amount(abs(value), metric)


def amount(value: float, metric: str) -> str:
    """The size of a difference of scores."""
    return f"{100 * value:.2f} points" if metric.endswith("accuracy") else _loss(value)


def interval(low: float, high: float, metric: str, *, signed: bool = False) -> str:
    """The ends of an interval of scores, or of a difference of scores."""
    show = difference if signed else score
    return "–" if math.isnan(low) else f"{show(low, metric)} to {show(high, metric)}"


def ranged(low: float, high: float, digits: int = 4) -> str:
    """The ends of an interval as a cell of a table of plain numbers: `[0.1, 0.2]`; nothing where it is not known."""
    return "" if math.isnan(low) else f"[{rough(low, digits)}, {rough(high, digits)}]"


def _loss(value: float) -> str:
    """Four decimals; three digits of what would be 0.0000."""
    return f"{value:.4f}" if value == 0 or abs(value) >= 5e-5 else rough(value, 3)


def sort_key(text: str) -> tuple[bool, float, str]:
    """Numbers first and by size, then other text by its letters."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return (math.isnan(value), 0.0 if math.isnan(value) else value, text)
