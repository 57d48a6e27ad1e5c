"""From a question to its verdicts, and from one setting to another, from Python."""

from __future__ import annotations

from multiprocessing import current_process
from typing import Any

import pandas as pd

from wdrun.api import arguments
from wdrun.api.answers import Place, paths
from wdrun.api.arguments import Folder
from wdrun.api.process import turn
from wdrun.errors import ConfigError
from wdrun.sweep.transfer import answers, row
from wdrun.sweep.tune import tune as settle


def tune(*overrides: str, config_dir: Folder | None = None, quiet: bool = False, **options: Any) -> pd.DataFrame:
    """Train what the question asks for, as `wdrun tune` with these words: the rows of verdict.csv as a typed frame.

    `wdrun.tune("optimizer=sgd", decay=["l2", "l1"], time="20m", margin=0.01)`: a list is what is compared, as an axis
    of `sweep` is; `lam="interval(1e-5,1e-1)"` bounds what is tuned. A first word that is a folder continues its sweep.
    The same call goes on where one was interrupted. Otherwise as `run`.
    """
    words, folder = arguments.split(overrides, config_dir)
    words += arguments.words(options, axes=True)
    if current_process().daemon and any(word.startswith("parallel=") and word != "parallel=1" for word in words):
        raise ConfigError(
            "parallel=…: this process is a worker of multiprocessing, which may start none of its own; use parallel=1"
        )
    with turn(quiet=quiet):
        found = settle(words, folder)
    return found.records.verdicts


def transfer(*places: Place, config_dir: Folder | None = None, quiet: bool = False, **changed: Any) -> pd.DataFrame:
    """λ for a changed setting, as `wdrun transfer`: a row a facet and setting, which `refused` says why it has none.

    `wdrun.transfer("outputs/small", batch_size=512, data__train_size=None, scale_lr=True)`. `low`, `high`, `low_there`
    and `high_there` are nan where there is no such bound; `words` are those of the run, `wdrun.run(*words)`; `lines`
    say what the λ follows from, `unproven` what is known of a gain that was not shown there. ConfigError where there is
    not one λ.
    """
    words = [*map(str, paths(places)), *arguments.words(changed, axes=True)]
    with turn(quiet=quiet):
        found = answers(words, arguments.text_of(config_dir))
    return pd.DataFrame([row(one) | {"lines": one.lines} for one in found])
