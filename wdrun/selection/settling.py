"""The one command that settles what a choice leaves open: `wdrun tune` goes on with the folder of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun.wording import path_word

if TYPE_CHECKING:
    from wdrun.selection.selecting import Selection

SAYS = "as few runs as it takes to settle what is open, the verdicts told on fresh seeds"


def words(selection: Selection, config_dir: str | None = None) -> Sequence[str]:
    """What is typed after `wdrun`; nothing where nothing is open, or `tune` cannot go on with these runs.

    It takes one folder of runs, of one data set and one fold.
    """
    runs = selection.replicates
    folders = {str(Path(folder).parent) for folder in runs.get("dir", ())}
    if len(folders) != 1 or len(selection.boards) > 1 or runs["fold"].nunique() > 1:
        return ()
    if not any(found.open for found in selection.findings) or not Path(runs["dir"].iloc[0]).is_dir():
        return ()
    return ("tune", path_word(*folders), *([f"--config-dir={config_dir}"] if config_dir is not None else []))
