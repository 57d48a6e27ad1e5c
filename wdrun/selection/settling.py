"""The one command that settles what is open: `wdrun tune` goes on with the folder of its runs, and asks all anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun.config.commands import MARGINS
from wdrun.config.run import SweepOptions
from wdrun.wording import path_word, typed

if TYPE_CHECKING:
    from wdrun.selection.selecting import Selection
    from wdrun.tables.verdicts import Records

SAYS = (
    "goes on from these runs with as few as it takes: each gain and each pair is asked about, those decided here too, "
    "and told on fresh seeds"
)
GOES_ON = (
    "This goes on with what is undecided; add a budget such as time=30m. Where the line that was typed bounds a key by "
    "interval(…), repeat that line instead."
)
REPEAT = (
    "To go on with what is undecided, repeat the line that was typed, with a larger budget: the folder alone does not "
    "tell all that it asked."
)
KNOWN = ("lambda", "lr")  # tuned keys that `tune DIR` finds again


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
    return _tune(Path(*folders), config_dir)


def of_tuned(records: Records, folder: Path, config_dir: str | None = None) -> tuple[str, Sequence[str]]:
    """How to go on with what `wdrun tune` left undecided in the folder: a sentence, and what is typed after `wdrun`.

    Both are empty where all is decided, the words alone where the folder does not tell what was asked.
    """
    table = records.verdicts
    if not (table["verdict"] == "undecided").any():
        return "", ()
    settings = [*table["setting"], *table["against_setting"], *records.decisions["setting"]]
    keys = {key for setting in settings for key in _words(setting)}
    bounded = table["cause"].str.contains("interval(", regex=False).any()
    compared = any(_words(name).keys() & {*KNOWN} for name in (*table["facet"], *table["against"]))
    if not keys <= {*KNOWN} or bounded or compared or _seems_given(records) or (table["setting"] == "").any():
        return REPEAT, ()
    objective, margin = table["objective"].iloc[0], float(table["margin"].iloc[0])
    asked = [f"objective={objective}"] * (objective != SweepOptions.objective)
    asked += [f"margin={typed(margin)}"] * (margin != MARGINS.get(objective))
    return GOES_ON, (*_tune(folder, None), *asked, *_own(config_dir))


def _words(text: str) -> dict[str, str]:
    """Key -> value of the words in a facet's name or a setting."""
    pairs = (word.partition("=") for word in text.split(" "))
    return {key: value for key, equals, value in pairs if equals and key}


def _seems_given(records: Records) -> bool:
    """Whether lr was tuned and yet had one value in each facet, with decay and without, as if it had been given."""
    tried: dict[tuple[str, bool], set[str]] = {}
    for facet, setting in zip(records.decisions["facet"], map(_words, records.decisions["setting"]), strict=True):
        if "lr" in setting:
            tried.setdefault((facet, setting.get("lambda") == "0"), set()).add(setting["lr"])
    return bool(tried) and all(len(values) == 1 for values in tried.values())


def _tune(folder: Path, config_dir: str | None) -> Sequence[str]:
    return "tune", path_word(folder), *_own(config_dir)


def _own(config_dir: str | None) -> Sequence[str]:
    return [f"--config-dir={config_dir}"] if config_dir is not None else []
