"""Which run a row or a folder is of, whatever version of wdrun named it.

Ids had eight hexadecimal digits before they had letters, and 0 and 0.0 gave two of them. Such a run is known by the
knobs in its run.csv: they give it the id that it has now.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.config.options import shipped_with
from wdrun.config.run import LATER, SCALARS, canonical, digest
from wdrun.tables.columns import CODE, FACTORS, RUN
from wdrun.tables.sound import run_of, whole
from wdrun.tables.write import cell

if TYPE_CHECKING:
    import pandas as pd

FORMER = re.compile(r"[0-9a-f]{8}")
NO_KNOBS = {c.name for c in (*FACTORS, *RUN, CODE)} - set(SCALARS) | {"dir"}
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)


def identity(row: Mapping[str, str]) -> str:
    """The id of the run of a run.csv's row, as runs are named now."""
    if not FORMER.fullmatch(row["id"]):
        return row["id"]
    return digest({key: value(text) for key, text in row.items() if key not in NO_KNOBS})


def identity_of(directory: Path) -> str:
    """The id of a folder's run, by its config.yaml where its run.csv is broken; ValueError or OSError: neither is."""
    try:
        return identity(run_of(*whole(directory / "run.csv")))
    except ValueError as error:
        import yaml

        try:
            nested = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
            flat: dict[str, Any] = {}
            for key, item in nested.items():
                flat |= {f"{key}.{k}": v for k, v in item.items()} if isinstance(item, dict) else {key: item}
            return digest(flat)
        except (OSError, AttributeError, TypeError, RecursionError, yaml.YAMLError):
            raise error from None


def finished_first(directories: Sequence[Path]) -> list[Path]:
    """The folders in their order, but of those that may be one run's the ended ones first.

    Such have names that are the same but for the ids, a former id among them; no other folder is looked into.
    """
    alike: dict[str, list[int]] = {}
    for place, directory in enumerate(directories):
        alike.setdefault(directory.name[:-8], []).append(place)
    found = list(directories)
    for places in alike.values():
        some = [directories[place] for place in places]
        if len(some) > 1 and any(FORMER.fullmatch(directory.name[-8:]) for directory in some):
            for place, directory in zip(places, sorted(some, key=_goes_on), strict=True):
                found[place] = directory
    return found


def _goes_on(directory: Path) -> bool:
    """Whether its run has not ended, or cannot be read."""
    try:
        return run_of(*whole(directory / "run.csv"))["status"] not in ("done", "diverged")
    except (OSError, ValueError):
        return True


@lru_cache(maxsize=65536)
def plain(text: str) -> str:
    """The text of a cell as it would be of the value in canonical form."""
    return cell(value(text))


@lru_cache(maxsize=65536)
def value(text: str) -> Any:
    """What `write.cell` made this text of, in canonical form."""
    if text in ("", "true", "false"):
        return {"": None, "true": True, "false": False}[text]
    if NUMBER.fullmatch(text):
        return canonical(float(text) if re.search(r"[.e]", text) else int(text))
    if text[0] in "[{":
        try:
            return canonical(ast.literal_eval(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass  # a text that only looks like a list
    return text


def knob(cell: Any) -> Any:
    """A cell of a typed table as the knob's value in canonical form; None of an empty one."""
    plain_cell = cell.item() if hasattr(cell, "item") else cell
    if plain_cell is None or plain_cell != plain_cell:
        return None
    return value(plain_cell) if isinstance(plain_cell, str) else canonical(plain_cell)


def filled(runs: pd.DataFrame) -> pd.DataFrame:
    """A typed runs table with the value that a knob which came later always had where a row leaves it out.

    Only of the options that have the knob: shipped ones, and those of which another row has it.
    """
    for key, usual in LATER.items():
        if usual is None or key not in runs or not (empty := runs[key].isna()).any():
            continue
        group, _, name = key.rpartition(".")
        if (option := f"{group}.name") in runs:
            having = shipped_with(group, name) | {*runs.loc[~empty, option]}
            empty &= runs[option].isin(having)
        column = runs[key].copy()
        column[empty] = usual if isinstance(usual, bool | float) else cell(usual)
        runs = runs.assign(**{key: column.infer_objects()})
    return runs
