"""What a shell completes that Hydra does not know: `@file`, `--config FILE` and the flags."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape, glob
from pathlib import Path

OPENING = ("--config", "--config-dir", "-cd")  # flags that a path follows


def completed(line: str, flags: Sequence[str]) -> tuple[list[str] | None, str]:
    """What may stand for the last word of a line, None where Hydra knows it; and the line without our flags."""
    words = [*line.split(), *[""] * (line[-1:] in ("", " "))]
    before, last = words[:-1], words[-1]
    option, equals, path = last.partition("=")
    if before[-1:] and before[-1] in OPENING:
        return _paths(last), line
    if last.startswith("@"):
        return [f"@{path}" for path in _paths(last[1:])], line
    if equals and option in OPENING:
        return [f"{option}={found}" for found in _paths(path)], line
    if last.startswith("-"):
        return sorted(flag for flag in flags if flag.startswith(last)), line
    known = []
    for word, previous in zip(words, ["", *words], strict=False):
        if not (word.startswith("@") or word.partition("=")[0] == "--config" or previous == "--config"):
            known.append(word)
    return None, " ".join(known)


def _paths(start: str) -> list[str]:
    """Files and folders that begin so, folders with a slash behind."""
    return sorted(f"{path}/" if Path(path).is_dir() else path for path in glob(f"{escape(start)}*"))
