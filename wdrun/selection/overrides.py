"""The overrides that runs were typed with: read back, changed into those of further runs, condensed into grids."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wdrun.config.axes import key_of
from wdrun.config.keys import SAME, STRENGTH
from wdrun.config.names import GONE
from wdrun.tables.place import placed
from wdrun.wording import command_line, short, sort_key, typed

Box = dict[str, tuple[str, ...]]  # a line's grid: override key -> its values, in order
Line = tuple[str, ...]  # what is typed after `wdrun`

LONG = 5  # so many whole numbers in a row are listed, more are a range


def recorded(directory: Path) -> Line | None:
    """What is typed after `wdrun` for the run of a folder, where this lies now; None: it is not recorded.

    Of .hydra/overrides.yaml, else of config.yaml's first line.
    """
    words = _recorded(directory)
    return None if words is None else placed(_known(words), directory.parent)


def _known(words: Iterable[str]) -> Line:
    """Without the keys that are gone; each run that was typed with them was whole."""
    return tuple(word for word in words if key_of(word) not in GONE)


def _recorded(directory: Path) -> Line | None:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # nine times as fast, where yaml was built with it
    try:
        listed = yaml.load((directory / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"), loader)
        if isinstance(listed, list) and all(isinstance(word, str) for word in listed):
            return tuple(listed)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        pass  # cut off or not there: the comment may be
    try:
        with (directory / "config.yaml").open(encoding="utf-8") as file:
            first = file.readline().rstrip("\n")
    except (OSError, ValueError):
        return None
    return _unquoted(first.removeprefix("# ")) if first.startswith("# wdrun") else None


def _unquoted(text: str) -> Line:
    """The words of a command line; former versions wrote them without a shell's quotes."""
    with suppress(ValueError):
        if command_line((found := shlex.split(text))[1:]) == text:
            return tuple(found[1:])
    return tuple(text.split()[1:])


def as_words(overrides: Iterable[str]) -> Box:
    """Overrides by key, the last of a key being the one that counts; `~key` has no value, decay=none no strength."""
    pairs = (word.partition("=") for word in _known(overrides))
    found = {SAME.get(key, key): (value,) if equals else () for key, equals, value in pairs}
    idle = STRENGTH if found.get("decay") == ("none",) else ()
    return {key: values for key, values in found.items() if key not in idle}


def condensed(lines: Iterable[Sequence[str]]) -> list[Box]:
    """Grids that together hold exactly these lines: grids that differ in one key become one, until none do."""
    return _condensed(map(as_words, lines))


def _condensed(lines: Iterable[Box]) -> list[Box]:
    boxes = list({tuple(sorted(words.items())): words for words in lines}.values())
    before = 0
    while len(boxes) != before:
        before = len(boxes)
        for key in dict.fromkeys(key for box in boxes for key in reversed(box) if not key.startswith("--")):
            boxes = _merged(boxes, key)
    return boxes


def _merged(boxes: Sequence[Box], key: str) -> list[Box]:
    found: dict[object, Box] = {}
    for box in boxes:
        rest = (key in box, *sorted((k, v) for k, v in box.items() if k != key))
        if rest not in found:
            found[rest] = dict(box)
        elif key in box:
            found[rest][key] = tuple(sorted({*found[rest][key], *box[key]}, key=sort_key))
    return list(found.values())


def further(overrides: Sequence[str], points: Sequence[Mapping[str, Any]]) -> tuple[Line, ...]:
    """The lines of the runs that are typed like this one but for the keys of each point: lambda, lr, seed …

    A point has a value of each key, or a list of them. A knob that it has not ("") is not typed, nor is `fold=0` where
    no fold ever was.
    """
    known = as_words(overrides)
    folds = "fold" in known or any(point.get("fold") not in (None, 0, [0]) for point in points)
    lines = []
    for point in points:
        values = {
            key.removesuffix(".name"): tuple(map(typed, value if isinstance(value, list) else [value]))
            for key, value in point.items()
        }
        changed = {key: texts for key, texts in values.items() if any(texts) and (key != "fold" or folds)}
        gone = {*STRENGTH, *values}
        kept = {key: old for key, old in known.items() if key in changed or key.lstrip("+~") not in gone}
        lines.append(kept | changed)
    return tuple(map(words, _condensed(lines)))


def again(lines: Iterable[Sequence[str]]) -> tuple[Line, ...]:
    """The lines of the very runs that were typed so."""
    return tuple(map(words, condensed(lines)))


def words(grid: Box) -> Line:
    """What is typed after `wdrun` for a grid, `-m` where a key has several values."""
    parts = [f"{key}={_values(values)}" if values else key for key, values in grid.items()]
    return ("-m", *parts) if any(len(values) > 1 for values in grid.values()) else tuple(parts)


def _values(values: Sequence[str]) -> str:
    """`0,1e-7,1e-6`, numbers as short as they can be said exactly; `range(0,20)` for a run of whole numbers."""
    if len(values) > LONG and all(value.isdecimal() for value in values):
        first = int(values[0])
        if values == tuple(str(first + place) for place in range(len(values))):
            return f"range({first},{first + len(values)})"
    return ",".join(short(float(v)) if _is_short(v) else v for v in values)


def _is_short(value: str) -> bool:
    number = sort_key(value)[1]
    return "e" in value.lower() and math.isfinite(number) and number > 0 and float(short(number)) == number
