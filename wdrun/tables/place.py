"""The words that a run was typed with, for the folder that it lies in now: it may have been renamed or moved since."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from wdrun.config.axes import key_of
from wdrun.config.files import word
from wdrun.config.options import conf_dir

ALONE = "-more"  # runs are added beside tables without run folders, not among them
LABEL = re.compile(r"[^A-Za-z0-9._-]|^\.")


def name_of(root: Path) -> str:
    """The name of a folder of runs as `name=` takes it: what that does not take becomes `_`."""
    return LABEL.sub("_", Path(os.path.abspath(root)).name)[:80] or "_"


def placed(words: Sequence[str], root: Path, *, alone: bool = False) -> tuple[str, ...]:
    """The words with the `name=` and `output_dir=` of `root`, the folder of the run's folder, where they say another.

    A path that was typed from another current folder ends alike. `alone`: there are tables only, so the runs go into a
    folder of another name.
    """
    last = {key_of(one): one.partition("=")[2].strip("'\"") for one in words if one[:1] not in "-~@"}
    folders = [one.partition("=")[2] for one in words if one.startswith("--config-dir=")]
    try:
        usual = _usual(last.get("experiment", ""), folders[-1] if folders else "")
    except (OSError, ValueError):  # an experiment of one's own that is not here
        return tuple(words)
    where = Path(os.path.abspath(root))
    changed = {}
    name = name_of(root) + ALONE * alone
    if last.get("name", usual[0]) != name:
        changed["name"] = name
    outputs = last.get("output_dir", usual[1])
    if not alone and "$" not in outputs and not _ends_alike(Path(outputs), where.parent):
        changed["output_dir"] = str(root.parent if root.name not in ("", "..") else os.path.relpath(where.parent))
    kept = [one for one in words if one[:1] in "-~@" or key_of(one) not in changed]
    flags = [one for one in kept if one.startswith("--")]
    plain = [one for one in kept if not one.startswith("--")]
    return (*plain, *(word(key, value) for key, value in changed.items()), *flags)


def _ends_alike(typed: Path, folder: Path) -> bool:
    if typed.is_absolute():
        return os.path.abspath(typed) == str(folder)
    return typed.name in ("", "..", folder.name)


@lru_cache(maxsize=64)
def _usual(experiment: str, config_dir: str) -> tuple[str, str]:
    """The name and output_dir of runs that were typed without them; OSError, ValueError: that is not known here."""
    import yaml

    found: dict[str, Any] = {}
    for option in ("config.yaml", f"experiment/{experiment}.yaml") if experiment else ("config.yaml",):
        own = Path(config_dir or os.devnull, option)
        text = (own if own.is_file() else conf_dir() / option).read_text(encoding="utf-8")
        try:
            found |= yaml.safe_load(text) or {}
        except (yaml.YAMLError, TypeError) as error:
            raise ValueError(str(error)) from error
    return str(found["name"]), str(found["output_dir"])
