"""`wdrun select DIR…` prints and writes the choice of λ; `wdrun best DIR…` prints the command that reproduces it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from wdrun.config.commands import COMMANDS, METRIC
from wdrun.errors import ConfigError
from wdrun.selection import line, printing, settling, tuned
from wdrun.selection.cells import rows_of
from wdrun.selection.finding import Finding
from wdrun.selection.looks import NAME, last_look
from wdrun.selection.selecting import Selection, select
from wdrun.selection.sentences import at, gain, ranking
from wdrun.tables import aggregate, answers
from wdrun.tables.filters import kept
from wdrun.tables.read import Results, load
from wdrun.tables.verdicts import Records
from wdrun.tables.words import folders_and_settings
from wdrun.tables.write import render
from wdrun.terminal.progress import say
from wdrun.wording import amount, command_line, difference, path_word, typed

RULES = {"min": "lambda_min", "1se": "lambda_1se"}
# What the two files say of how sure a choice is: nothing where runs were chosen by their scores, as `tune` does.
JUDGING = {
    NAME: ("difference", "difference_low", "difference_high", "pairs", "method", "needed"),
    "leaderboard.csv": ("rank", "difference", "low", "high", "pairs", "method", "p", "needed", "verdict"),
}
OURS = {NAME: {"metric", "lambda_min", "lambda_1se", "mean"}, "leaderboard.csv": {"rank", "lambda", "mean", "verdict"}}


def select_command(words: Sequence[str], flags: dict[str, Any]) -> int:
    """`wdrun select DIR… [key=value …]`: tables and sentences on stdout, CSVs where `answers.place` says."""
    filters: list[str] = []
    folders, texts = folders_and_settings("select", words, COMMANDS["select"].defaults, filters, files=True)
    settings = COMMANDS["select"].values(texts)
    out = Path(settings["out"]) if settings["out"] else None
    if out is not None and out.is_file():
        raise ConfigError(f"out={out}: is a file; give a folder, such as out={out.with_suffix('')}")
    found, selection, where = _select(folders, settings, filters, flags, out)
    records = tuned.of(found.folders)
    tables = {NAME: selection.choices, "leaderboard.csv": selection.leaderboard}
    if records:
        tables = {name: table.assign(**dict.fromkeys(JUDGING[name], math.nan)) for name, table in tables.items()}
    content = {where / name: render(list(table.columns), _rows(table)) for name, table in tables.items()}
    written = answers.write(content, _is_ours, asked=out is not None, remedy="out=FOLDER")
    if written and out is None:
        aggregate.refresh(found.folders, say)
    printing.show(selection, [*tuned.told(records, found.runs), *tuned.sure(records), tuned.MIXED] if records else ())
    known = COMMANDS["best"].defaults
    same = [f"{key}={text}" for key, text in texts.items() if key in known and text != known[key]]
    one = selection.boards[0][0].split() if len(selection.boards) > 1 else []  # `best` takes one data only
    own = [f"--config-dir={flags['config_dir']}"] if flags["config_dir"] is not None else []
    best = command_line(["best", *map(path_word, found.folders), *same, *filters, *one, *own])
    place = f"{where / NAME} and leaderboard.csv; " if written else ""
    say(f"tables   {place}`{best}` prints the command")
    if not filters:
        for told in _settled_by(selection, records, found.folders, flags["config_dir"]):
            say(f"settle   {told}")
    return 0


def _settled_by(
    selection: Selection, records: Records | None, folders: Sequence[Path], config_dir: str | None
) -> Iterator[str]:
    """How to settle what is open: of a tuned folder what its verdicts leave undecided."""
    if records is None:
        if words := settling.words(selection, config_dir):
            yield f"`{command_line(words)}` {settling.SAYS}"
        return
    sentence, words = settling.of_tuned(records, folders[0], config_dir)
    if sentence:
        yield f"`{command_line(words)}`: {sentence}" if words else sentence


def _is_ours(path: Path) -> bool:
    """Whether a file has the columns of a selection.csv or a leaderboard.csv of any version."""
    try:
        with path.open(encoding="utf-8") as file:
            header = file.readline().rstrip("\n").split(",")
    except (OSError, ValueError):
        return False
    return OURS[path.name] <= {*header}


def best_command(words: Sequence[str], flags: dict[str, Any]) -> int:
    """`wdrun best DIR… [key=value …]`: one line on stdout, the reasons on stderr."""
    print(command_line(best(words, flags)))
    return 0


def best(words: Sequence[str], flags: dict[str, Any]) -> list[str]:
    """The words that reproduce the choice; the reasons are said on stderr."""
    filters: list[str] = []
    folders, texts = folders_and_settings("best", words, COMMANDS["best"].defaults, filters, files=True)
    settings = COMMANDS["best"].values(texts)
    found, selection, _ = _select(folders, settings, filters, flags)
    records = None if filters or settings["rule"] != "min" else tuned.of(found.folders)
    if records and (known := _tuned(found, records, settings["metric"])):
        return line.words(Path(known["dir"]), flags["config_dir"], known)
    ranked = [data for data, board in selection.boards if board["rank"].notna().any()]
    if len(ranked) > 1:
        raise ConfigError(f"scores on different data do not compare; add the words of one of them: {'; '.join(ranked)}")
    winner = next(board.iloc[0] for data, board in selection.boards if data in ranked)
    choice = selection.of(selection.choices, winner).iloc[0]
    who, rule = selection.name(choice), RULES[settings["rule"]]
    if math.isnan(choice[rule]):
        raise ConfigError(f"rule={settings['rule']}: {who} has one replicate, so no standard error; take rule=min")
    directory = _directory(selection, choice, settings["rule"])
    row = found.runs[found.runs["dir"] == directory].to_dict("records")[0]
    chosen = line.words(Path(directory), flags["config_dir"], {str(key): x for key, x in row.items()})
    mean = choice["mean" if settings["rule"] == "min" else "mean_1se"]
    say(f"{who}: {rule} = {typed(choice[rule])}, mean {selection.metric} {mean:.4g}")
    say("; ".join(_why(selection, choice, settings["rule"])))
    own_findings = [finding for finding in selection.findings if finding.facet in (who, "all")]
    for sentence in [*ranking(selection), *printing.warnings(selection, own_findings)]:
        say(sentence)
    return chosen


def _tuned(found: Results, records: Records, metric: str) -> dict[str, Any] | None:
    """A run of the setting that the verdicts of the folder speak for, which are said; None where there is none.

    None too where another metric was asked for than the verdicts are about.
    """
    choice = tuned.chosen(records)
    run = tuned.run_of(found.runs, records, choice) if choice else None
    if choice is None or run is None or metric not in (*records.verdicts["objective"], METRIC.default):
        return None
    say(f"{choice.facet}: {choice.setting}, by the verdicts of wdrun tune")
    about = records.verdicts[(records.verdicts[["facet", "against"]] == choice.facet).any(axis=1)]
    for sentence in [*tuned.told(replace(records, verdicts=about), found.runs), *tuned.sure(records)]:
        say(sentence)
    return {str(key): value for key, value in run.to_dict().items()}


def _why(selection: Selection, choice: pd.Series, rule: str) -> Iterator[str]:
    """What is known of the setting that is printed: what lambda_min gains, and how far another λ is from it."""
    yield at(selection, choice, f"_{rule}")
    if rule == "min" or choice["lambda_1se"] == choice["lambda_min"]:
        yield gain(selection, choice)
        return
    apart = difference(choice["mean_1se"] - choice["mean"], selection.metric)
    error = amount(choice["se"], selection.metric)
    yield f"the strongest within one standard error ({error}) of the best mean: {apart} from that of lambda_min"
    yield f"at lambda_min, {at(selection, choice)}: {gain(selection, choice)}"


def _select(
    folders: Sequence[Path],
    settings: dict[str, Any],
    filters: Sequence[str],
    flags: dict[str, Any],
    out: Path | None = None,
) -> tuple[Results, Selection, Path]:
    """What was found, the selection and the folder of its answers; ConfigError where there is nothing to choose from.

    `out` is the folder that is asked for.
    """
    found = load(folders, tables=())
    for problem in found.problems:
        say(f"warning: {problem}")
    found = kept(found, filters, "best" if "rule" in settings else "select", settings)
    where = out or answers.place(found.folders)
    asked: dict[str, Any] = {key: settings[key] for key in ("metric", "margin", "nuisance", "confidence")}
    asked |= {"config_dir": flags["config_dir"], "plan": found.plan, "left_out": found.left_out}
    asked["before"] = last_look(where)
    selection = select(found.runs, **asked)
    if selection.choices["lambda_min"].isna().all():
        counts = {name: int(selection.choices[name].sum()) for name in ("runs", "diverged", "failed")}
        nothing = Finding("all", "nothing", counts | {"metric": selection.metric, "add": []})
        raise ConfigError(f"{', '.join(map(str, found.folders))}: {nothing.whole}")
    return found, selection, where


def _directory(selection: Selection, choice: pd.Series, rule: str) -> str:
    """The folder of a finished run of the chosen cell, that of the first seed and fold."""
    runs = selection.of(selection.replicates[selection.replicates["outcome"] == "done"], choice)
    setting = {knob: choice[f"{knob}_{rule}"] for knob in [*selection.nuisance, "lambda"]}
    return str(rows_of(runs, setting, setting).iloc[0]["dir"])


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.astype(object).to_dict("records")]
