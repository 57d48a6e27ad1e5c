"""How runs came about: the command lines that were typed, many condensed into few, and what they ran on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun.selection.overrides import Line, condensed, words
from wdrun.wording import command_line, counted, sort_key

if TYPE_CHECKING:
    import pandas as pd

MADE_WITH = {
    "wdrun_version": "wdrun",
    "commit": "commit",
    "code": "own code",
    "python_version": "Python",
    "torch_version": "torch",
    "data_digest": "data digest (SHA-256)",
    "device_name": "device",
    "precision_used": "precision",
    "threads_used": "threads",
    "instruction_set": "instruction set",
}


def commands(
    directories: Iterable[str | Path], typed: Callable[[str | Path], Line | None], at_most: int = 12
) -> list[str]:
    """The lines that make these runs again, then what is left out or unknown as `# …`; `typed` gives what was typed."""
    found = [typed(directory) for directory in directories]
    known = [overrides for overrides in found if overrides is not None]
    lines = [command_line(words(grid)) for grid in condensed(known)]
    if len(lines) > at_most:
        lines[at_most:] = [f"# and {len(lines) - at_most} more: config.yaml of each run begins with its own"]
    if len(known) < len(found):
        lines.append(f"# and {counted(len(found) - len(known), 'run')} whose command is not recorded")
    return lines


def made_with(runs: pd.DataFrame) -> list[tuple[str, str, bool]]:
    """What the runs were made with: label, value (or each value with its number of runs), whether they differ."""
    rows = []
    for column, label in MADE_WITH.items():
        if column not in runs:  # none of them has code of its own
            continue
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
