"""How runs came about: the command lines that were typed, many condensed into few, and what they ran on."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun.wording import counted, short, sort_key

if TYPE_CHECKING:
    import pandas as pd

Words = Mapping[str, tuple[str, ...]]  # override key -> its values in a line, in order

LONG = 5  # so many whole numbers in a row are listed, more are a range

MADE_WITH = {
    "wdrun_version": "wdrun",
    "commit": "commit",
    "python_version": "Python",
    "torch_version": "torch",
    "data_digest": "data digest (SHA-256)",
    "device_name": "device",
    "precision_used": "precision",
    "threads_used": "threads",
    "instruction_set": "instruction set",
}


def typed(directory: Path) -> tuple[str, ...] | None:
    """The overrides a run was typed with: .hydra/overrides.yaml, else config.yaml's first line; None: not recorded."""
    import yaml

    try:
        listed = yaml.safe_load((directory / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
        if isinstance(listed, list) and all(isinstance(word, str) for word in listed):
            return tuple(listed)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        pass  # cut off or not there: the comment may be
    try:
        with (directory / "config.yaml").open(encoding="utf-8") as file:
            first = file.readline().rstrip("\n")
    except (OSError, ValueError):
        return None
    return tuple(first.removeprefix("# wdrun").split()) if first.startswith("# wdrun") else None


def as_words(overrides: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Overrides by key, the last of a key being the one that counts; `~key` has no value."""
    pairs = (word.partition("=") for word in overrides)
    return {key: (value,) if equals else () for key, equals, value in pairs}


def condensed(lines: Iterable[Sequence[str]]) -> list[dict[str, tuple[str, ...]]]:
    """Grids that together hold exactly these lines: grids that differ in one key become one, until none do."""
    boxes = list({tuple(sorted(words.items())): words for words in map(as_words, lines)}.values())
    before = 0
    while len(boxes) != before:
        before = len(boxes)
        for key in dict.fromkeys(key for box in boxes for key in reversed(box)):
            boxes = _merged(boxes, key)
    return boxes


def _merged(boxes: Sequence[dict[str, tuple[str, ...]]], key: str) -> list[dict[str, tuple[str, ...]]]:
    found: dict[object, dict[str, tuple[str, ...]]] = {}
    for box in boxes:
        rest = (key in box, *sorted((k, v) for k, v in box.items() if k != key))
        if rest not in found:
            found[rest] = dict(box)
        elif key in box:
            found[rest][key] = tuple(sorted({*found[rest][key], *box[key]}, key=sort_key))
    return list(found.values())


def line(words: Words) -> str:
    """A grid as it is typed in a shell, `-m` where a key has several values."""
    parts = [f"{key}={_values(values)}" if values else key for key, values in words.items()]
    sweep = ["-m"] if any(len(values) > 1 for values in words.values()) else []
    return shlex.join(["wdrun", *sweep, *parts])


def _values(values: Sequence[str]) -> str:
    """`0,1e-7,1e-6`, numbers as short as they can be said exactly; `range(0,20)` for a run of whole numbers."""
    if len(values) > LONG and all(value.isdecimal() for value in values):
        first, last = int(values[0]), int(values[-1])
        if values == tuple(map(str, range(first, last + 1))):
            return f"range({first},{last + 1})"
    return ",".join(short(float(v)) if _is_short(v) else v for v in values)


def _is_short(value: str) -> bool:
    number = sort_key(value)[1]
    return "e" in value.lower() and math.isfinite(number) and number > 0 and float(short(number)) == number


def commands(directories: Iterable[Path], at_most: int = 12) -> list[str]:
    """The lines that make these runs again, then what is left out or unknown as `# …`."""
    found = [typed(directory) for directory in directories]
    known = [words for words in found if words is not None]
    lines = [line(words) for words in condensed(known)]
    if len(lines) > at_most:
        lines[at_most:] = [f"# and {len(lines) - at_most} more: config.yaml of each run begins with its own"]
    if len(known) < len(found):
        lines.append(f"# and {counted(len(found) - len(known), 'run')} whose command is not recorded")
    return lines


def made_with(runs: pd.DataFrame) -> list[tuple[str, str, bool]]:
    """What the runs were made with: label, value (or each value with its number of runs), whether they differ."""
    rows = []
    for column, label in MADE_WITH.items():
        texts = [_text(value) for value in runs[column]]
        counts = {text: texts.count(text) for text in sorted({*texts} - {""}, key=sort_key)}
        if len(counts) == 1:
            value = next(iter(counts))
        else:
            value = "; ".join(f"{text} ({counted(count, 'run')})" for text, count in counts.items())
        rows.append((label, value or "not recorded", len(counts) > 1))
    return rows


def _text(value: object) -> str:
    """A cell as text; threads are whole numbers, whatever an empty cell made of their column."""
    if isinstance(value, float):
        return "" if value != value else f"{value:g}"
    return str(value)
