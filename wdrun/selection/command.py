"""`wdrun select DIR…` prints and writes the choice of λ; `wdrun best DIR…` prints the command that reproduces it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wdrun.config.commands import COMMANDS
from wdrun.errors import ConfigError
from wdrun.selection import line, printing
from wdrun.selection.cells import rows_of
from wdrun.selection.kinds import Finding
from wdrun.selection.looks import NAME, last_look
from wdrun.selection.selecting import Selection, select
from wdrun.selection.sentences import at, gain, ranking
from wdrun.storage import write_atomically
from wdrun.tables.filters import kept
from wdrun.tables.read import load
from wdrun.tables.words import folders_and_settings
from wdrun.tables.write import render
from wdrun.terminal.progress import say
from wdrun.wording import command_line, typed

RULES = {"min": "lambda_min", "1se": "lambda_1se"}


def select_command(words: Sequence[str], flags: dict[str, Any]) -> int:
    """`wdrun select DIR… [metric=] [margin=] [nuisance=]`: tables and sentences on stdout, CSVs in the first DIR."""
    filters: list[str] = []
    folders, texts = folders_and_settings("select", words, COMMANDS["select"].defaults, filters)
    selection = _select(folders, COMMANDS["select"].values(texts), filters, flags)
    for file, table in ((NAME, selection.choices), ("leaderboard.csv", selection.leaderboard)):
        path = folders[0] / file
        content = render(list(table.columns), _rows(table))
        write_atomically(path, content, "a copy of the folder where there is room")
    printing.show(selection)
    known = COMMANDS["best"].defaults
    same = [f"{key}={text}" for key, text in texts.items() if text != known.get(key, text)]
    one = selection.boards[0][0].split() if len(selection.boards) > 1 else []  # `best` takes one data only
    own = [f"--config-dir={flags['config_dir']}"] if flags["config_dir"] is not None else []
    best = command_line(["best", *map(str, folders), *same, *filters, *one, *own])
    say(f"tables   {folders[0] / NAME} and leaderboard.csv; `{best}` prints the command")
    return 0


def best_command(words: Sequence[str], flags: dict[str, Any]) -> int:
    """`wdrun best DIR… [rule=min|1se] [metric=] [nuisance=]`: one line on stdout, the reasons on stderr."""
    print(command_line(best(words, flags)))
    return 0


def best(words: Sequence[str], flags: dict[str, Any]) -> list[str]:
    """The words that reproduce the choice; the reasons are said on stderr."""
    filters: list[str] = []
    folders, texts = folders_and_settings("best", words, COMMANDS["best"].defaults, filters)
    settings = COMMANDS["best"].values(texts)
    selection = _select(folders, settings, filters, flags)
    ranked = [data for data, board in selection.boards if board["rank"].notna().any()]
    if len(ranked) > 1:
        raise ConfigError(f"scores on different data do not compare; add the words of one of them: {'; '.join(ranked)}")
    winner = next(board.iloc[0] for data, board in selection.boards if data in ranked)
    choice = selection.of(selection.choices, winner).iloc[0]
    who, rule = selection.name(choice), RULES[settings["rule"]]
    if math.isnan(choice[rule]):
        raise ConfigError(f"rule={settings['rule']}: {who} has one replicate, so no standard error; take rule=min")
    found = line.words(_directory(selection, choice, settings["rule"]), flags["config_dir"])
    mean = choice["mean" if settings["rule"] == "min" else "mean_1se"]
    say(f"{who}: {rule} = {typed(choice[rule])}, mean {selection.metric} {mean:.4g}")
    say(f"{at(selection, choice)}; {gain(selection, choice)}")
    own_findings = [found for found in selection.findings if found.facet in (who, "all")]
    for sentence in [*ranking(selection), *printing.warnings(selection, own_findings)]:
        say(sentence)
    return found


def _select(
    folders: Sequence[Path], settings: dict[str, Any], filters: Sequence[str], flags: dict[str, Any]
) -> Selection:
    """The selection of the folders; ConfigError where there is no run to choose from."""
    found = load(folders, tables=())
    for problem in found.problems:
        say(f"warning: {problem}")
    found = kept(found, filters, "best" if "rule" in settings else "select", settings)
    asked: dict[str, Any] = {key: settings.get(key) for key in ("metric", "margin", "nuisance")}
    asked |= {"config_dir": flags["config_dir"], "plan": found.plan, "left_out": found.left_out}
    asked["before"] = last_look(folders[0])
    selection = select(found.runs, **asked)
    if selection.choices["lambda_min"].isna().all():
        counts = {name: int(selection.choices[name].sum()) for name in ("runs", "diverged", "failed")}
        nothing = Finding("all", "nothing", counts | {"metric": selection.metric, "add": []})
        raise ConfigError(f"{', '.join(map(str, folders))}: {nothing.whole}")
    return selection


def _directory(selection: Selection, choice: pd.Series, rule: str) -> Path:
    """The folder of a finished run of the chosen cell, that of the first seed and fold."""
    runs = selection.of(selection.replicates[selection.replicates["outcome"] == "done"], choice)
    setting = {knob: choice[f"{knob}_{rule}"] for knob in [*selection.nuisance, "lambda"]}
    return Path(rows_of(runs, setting, setting).iloc[0]["dir"])


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.astype(object).to_dict("records")]
