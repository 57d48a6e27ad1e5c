"""One finished run measured again from its folder, without training: its definition, its weights, its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from wdrun import data, devices
from wdrun.config import files, targets
from wdrun.config.axes import is_axis, key_of
from wdrun.config.compose import opened
from wdrun.config.keys import DIAGNOSTICS
from wdrun.config.options import option_names
from wdrun.config.parse import parse
from wdrun.config.run import Group, Job, Run
from wdrun.errors import ConfigError
from wdrun.storage import hold
from wdrun.sweep import own_code, provenance
from wdrun.sweep.one_run import ready
from wdrun.tables import evaluations
from wdrun.tables.columns import FACTORS, FORMER, LAYERS, SCHEMA
from wdrun.tables.evaluations import Texts
from wdrun.tables.identity import identity
from wdrun.tables.sound import run_of, whole
from wdrun.terminal.progress import say
from wdrun.training import measurement

SPLITS = ("train", "val", "test")
# A knob of the machine -> the column that says what was used.
MACHINE = {"device": "device_name", "precision": "precision_used", "threads": "threads_used"}
OF_WEIGHTS = ("oui", "stable_rank")  # columns of layers.csv that are there where `diagnostics` asks for them
OF_STEPS = {name.removeprefix("last_") for name in FORMER.values()}


@dataclass(frozen=True)
class Asked:
    """What is to be measured of every run: knobs that take the place of its own, and the same in `words`.

    `weights` is last, best, or None: those that the run itself measures each split with. `machine` has what was typed,
    and `used` what that is here, by the columns that tell it.
    """

    evaluate: Group
    diagnostics: Sequence[str]
    words: str
    weights: str | None
    machine: Mapping[str, Any]
    used: Mapping[str, str]
    root: str | None
    config_dir: str | None

    def of(self, run: Run) -> Run:
        """The run as if it had been trained with these words."""
        data = {**run.data, "root": self.root} if self.root and "root" in run.data else run.data
        return replace(run, evaluate=self.evaluate, diagnostics=self.diagnostics, data=data, **self.machine)


def asked(words: Sequence[str], weights: str | None, config_dir: str | None = None) -> Asked:
    """What the words (evaluate=, evaluate.KEY=, diagnostics=, device=, …) ask for; ConfigError as of a run's words."""
    for word in words:
        if is_axis(word):
            raise ConfigError(
                f"{word}: must be one value, several diagnostics in brackets; a command measures one thing"
            )
        if key_of(word) == "diagnostics":
            _only_of_weights(word)
    with opened(config_dir) as composed:
        run = parse(composed(words)).run
    with opened() as composed:  # told as what differs from the shipped option, so that no file of a user's decides it
        shipped = run.evaluate["name"] in option_names("evaluate")
        usual = parse(composed([f"evaluate={run.evaluate['name']}"] if shipped else [])).run.evaluate
    own = {f"evaluate.{key}": value for key, value in run.evaluate.items() if key != "name" and value != usual[key]}
    told = [f"evaluate={run.evaluate['name']}", *(files.word(key, value) for key, value in own.items())]
    told += [files.word("diagnostics", run.diagnostics)] if run.diagnostics else []
    typed = {key_of(word) for word in words}
    machine = {key: getattr(run, key) for key in MACHINE if key in typed}
    here = devices.describe(devices.resolve(**{**dict.fromkeys(MACHINE, "auto"), **machine}))
    used = {MACHINE[key]: str(here[MACHINE[key]]) for key in machine}
    root = run.data["root"] if "data.root" in typed else None
    return Asked(run.evaluate, run.diagnostics, " ".join(told), weights, machine, used, root, config_dir)


def _only_of_weights(word: str) -> None:
    """ConfigError where what is asked for is not a diagnostic, but a column of layers.csv."""
    for name in word.partition("=")[2].strip("[]").split(","):
        name = name.strip(" '\"").removeprefix("last_")
        if name in OF_STEPS:
            raise ConfigError(
                f"{word}: {name} is measured of a training step, and weights alone have none; layers.csv of the run "
                f"has it for every epoch. Of weights there are {', '.join(DIAGNOSTICS)}"
            )
        if name in (column.name for column in LAYERS[len(FACTORS) :]) and name not in OF_WEIGHTS:
            raise ConfigError(
                f"{word}: {name} needs no word, it is always measured (evaluation_layers.csv); "
                f"besides there are {', '.join(DIAGNOSTICS)}"
            )


@dataclass(frozen=True)
class Measured:
    """A run's rows of evaluation.csv, as they stand there; `before`: they stood there already."""

    directory: Path
    rows: Texts
    before: bool = False


def measured(directory: Path, wanted: Asked, tick: Callable[[], None], announced: set[str]) -> Measured:
    """Measure the run of a folder and write its rows there, or read them back where all of them are there already.

    ValueError and ConfigError say why a run cannot be measured. `tick` is called after every batch, and may raise to
    leave; `announced` are the classes of the user's that were said to be imported.
    """
    row = _finished(directory)
    of = dict.fromkeys(SPLITS, wanted.weights or "last")
    if wanted.weights is None and row.get("early_stopping.patience"):
        of["test"] = "best"
    contents = {name: _weights(directory, name) for name in dict.fromkeys(of.values())}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    same = {"words": wanted.words, "data_digest": row["data_digest"]}
    by_split = {split: same | {"weights": name, "weights_digest": digests[name]} for split, name in of.items()}
    there = [known for known in evaluations.read(directory) if by_split[known["split"]].items() <= known.items()]
    there = [known for known in there if all(known[column] in used for column, used in _machines(row, wanted).items())]
    if {known["split"] for known in there} == {*SPLITS}:
        return Measured(directory, there, before=True)
    job = _definition(directory, row, wanted.config_dir)
    _announce(job, announced)
    if what := own_code.change(directory, row.get("code", ""), job.run):
        say(f"warning: {directory}: {what} since it was trained; it is measured with the code as it is now")
    run = wanted.of(job.run)
    if (digest := data.digest(run.data)) != row["data_digest"]:
        raise ConfigError(
            f"it was trained on other data, SHA-256 {row['data_digest'][:12]}…, than are here, {digest[:12]}…"
        )
    trainer = ready(run, begun=False)
    if run.init_from and run.lam and trainer.decay_start:  # the penalty compares with what the run began with
        trainer = ready(run)
    trainer.evaluator = replace(trainer.evaluator, tick=tick)
    devices.apply(trainer.machine)
    weights = {name: measurement.loaded(trainer, _tensors(name, content)) for name, content in contents.items()}
    found = measurement.measure(trainer, int(row["epochs_done"]), weights, of, lambda done, work: tick())
    common: dict[str, Any] = {column.name: row[column.name] for column in FACTORS} | {"words": wanted.words}
    common |= devices.describe(trainer.machine) | provenance.describe() | {"data_digest": digest, "schema": SCHEMA}
    tables = {
        name: evaluations.texts(name, [common | {"weights_digest": digests[r["weights"]]} | r for r in rows])
        for name, rows in found.items()
    }
    with hold(directory, wait=True, remedy=evaluations.REMEDY):
        if _finished(directory) != row:
            raise ValueError("it was trained anew meanwhile; the same command measures it")
        evaluations.add(directory, tables)
    return Measured(directory, tables["evaluation"])


def _machines(row: Mapping[str, str], wanted: Asked) -> dict[str, set[str]]:
    """By column what a measurement may have used to count: what was typed, else what the run used or would use here."""
    own = {key: int(row[key]) if row[key].isdecimal() else row[key] for key in MACHINE}
    try:
        here = devices.describe(devices.resolve(**{**own, **wanted.machine}))
    except ConfigError:  # the run's device is not here
        here = {}
    return {
        column: {wanted.used[column]} if column in wanted.used else {row[column], str(here.get(column, row[column]))}
        for column in MACHINE.values()
    }


def _finished(directory: Path) -> dict[str, str]:
    """The row of the folder's run.csv; ValueError where the run is not done."""
    if not (directory / "run.csv").is_file():
        raise ValueError("it has no folder with weights there, only tables")
    row = run_of(*whole(directory / "run.csv"))
    if row["status"] != "done":
        cause = f" ({row['cause']})" if row["cause"] else ""
        raise ValueError(f"it is {row['status']}{cause}; only a run that is done can be measured")
    return row


def _weights(directory: Path, name: str) -> bytes:
    """The bytes of a file of weights."""
    try:
        return (directory / f"{name}.safetensors").read_bytes()
    except FileNotFoundError:
        why = "only a run with ema= keeps it" if name == "ema" else "results handed on without weights?"
        raise ValueError(f"its {name}.safetensors is not there: {why}") from None


def _tensors(name: str, content: bytes) -> dict[str, Any]:
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise ValueError(f"{name}.safetensors is damaged: {error}") from None


def _definition(directory: Path, row: Mapping[str, str], config_dir: str | None) -> Job:
    """The run as config.yaml has it; ValueError unless it is that of run.csv."""
    try:
        words = files.words_of(str(directory), config_dir)
    except ConfigError as error:
        where = f"--config={directory / 'config.yaml'}"  # which nobody typed here
        raise ValueError(str(error).replace(where, "config.yaml", 1)) from None
    with opened(config_dir) as composed:
        job = parse(composed(words), words)
    if job.run.id != identity(row):
        raise ValueError(f"config.yaml is that of run {job.run.id}, run.csv that of {identity(row)}")
    return job


def _announce(job: Job, announced: set[str]) -> None:
    """Say which code of the user's the run imports, once a command."""
    own = {target for _, target in targets.own_classes(job.run)}
    if not own <= announced:
        targets.announce([job])
        announced |= own
