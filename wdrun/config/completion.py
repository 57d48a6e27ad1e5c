"""What a shell completes of a line: commands, settings, flags, files and folders; keys of a run are Hydra's to know.

The shell expands what is offered (bash's compgen), so a name of a file that it would not take as it stands is left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from glob import escape, glob
from pathlib import Path
from typing import NamedTuple

from wdrun.config.commands import COMMANDS, SPELLED, Command

OPENING = ("--config", "--config-dir", "-cd")  # flags that a path follows
VALUED = (*OPENING, "--cfg", "-c")
PLACES = ("data.root", "init_from", "output_dir")  # keys of a run that are a path
PLAIN = re.compile(r"[\w./+,:@%=^-]+")  # a word that no shell expands


class Completion(NamedTuple):
    """What may stand at the end of a line, and the line that Hydra is to complete too, None where it has no say."""

    own: list[str]
    rest: str | None = None
    config_dir: str | None = None


def completed(line: str, flags: Sequence[str]) -> Completion:
    """The completion of a command line up to its last word; `flags` are those of a run."""
    program, *before, last = [*line.split(), *[""] * (line[-1:] in ("", " ") or len(line.split()) < 2)]
    option, equals, path = last.partition("=")
    if before[-1:] and before[-1] in OPENING:
        return Completion(_paths(last))
    if before[-1:] and before[-1] in VALUED:
        return Completion(_those(["job"], last))
    if last.startswith("@"):
        return Completion([f"@{path}" for path in _paths(last[1:])])
    if equals and option in (*OPENING, *PLACES):
        return Completion([f"{option}={found}" for found in _paths(path)])
    words, config_dir = _without_flags(before)
    command = COMMANDS.get(words[0]) if words else None
    if last.startswith("-"):
        own = [*(name for flag in command.flags for name in SPELLED[flag]), "--help", "-h"] if command else flags
        return Completion(sorted(_those(own, last)))
    if words[:1] == ["help"]:
        return Completion(_those(COMMANDS, last))
    own = _of_command(command, words[1:], last) if command else [] if words else _those(COMMANDS, last)
    if command and not (command.takes_knobs or (equals and option in ("decay", "optimizer"))):
        return Completion(own)
    return Completion(own, " ".join([program, *words[bool(command) :], last]), config_dir)


def _without_flags(before: Sequence[str]) -> tuple[list[str], str | None]:
    """The words that are no flags, their values or files of words, and the folder of the user's own options."""
    words: list[str] = []
    config_dir = None
    for place, word in enumerate(before):
        flag, equals, value = word.partition("=")
        given = flag if equals else before[place - 1] if place else ""
        if given in ("--config-dir", "-cd"):
            config_dir = value or word
        if not (word.startswith(("@", "-")) or (place and before[place - 1] in VALUED)):
            words.append(word)
    return words, config_dir


def _of_command(command: Command, before: Sequence[str], last: str) -> list[str]:
    """A command's settings and their values; of one that reads folders, folders and the knobs of the runs in them."""
    key, equals, text = last.partition("=")
    if options := [option for setting in command.settings if setting.key == key for option in setting.accepts.options]:
        return _those((f"{key}={option}" for option in options), last) if equals else []
    own = [] if equals else _those((f"{setting.key}=" for setting in command.settings), last)
    if "DIR" not in command.words:
        return own
    if not command.filters:
        return own + _paths(last, ".csv")
    header, *rows = next(filter(None, map(_table, before)), [[]])
    if equals:
        name = key.removesuffix("!")
        values = {row[header.index(name)] for row in rows} if name in header else ()
        before_text, comma, _ = text.rpartition(",")
        return _those((f"{key}={before_text}{comma}{value}" for value in sorted(values)), last)
    return own + _those((f"{name}=" for name in header), last) * bool(last) + _paths(last, ".csv")


def _table(folder: str) -> list[list[str]]:
    """The runs.csv of a folder, header first; nothing where there is none."""
    try:
        with (Path(folder) / "runs.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error):
        return []
    return [row for row in rows if len(row) == len(rows[0])]


def _those(words: Iterable[str], start: str) -> list[str]:
    """Those of the words that begin so and that a shell takes as they stand."""
    return [word for word in words if word.startswith(start) and PLAIN.fullmatch(word)]


def _paths(start: str, ending: str = "") -> list[str]:
    """Files with this ending and folders that begin so, folders with a slash behind."""
    found = (f"{path}/" if Path(path).is_dir() else path for path in glob(f"{escape(start)}*"))
    return sorted(path for path in found if PLAIN.fullmatch(path) and path.endswith((ending, "/")))
