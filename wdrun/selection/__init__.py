"""Choosing λ from finished runs: on validation data, with seeds and folds as replicates.

`select(runs)` gives a `Selection`; `wdrun select` prints and writes it, `wdrun best` prints the command that
reproduces the choice.
"""

from wdrun.selection.command import best_command, select_command
from wdrun.selection.selecting import Selection, select

__all__ = ["Selection", "best_command", "select", "select_command"]
