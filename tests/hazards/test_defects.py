"""The suite sees: each deliberate defect of the program is caught by a named check, which passes without it.

A defect is a patch; the check is the function that tests the program elsewhere, so what is shown here is that it can
fail, and fails for that reason.
"""

import math
import os
import random
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.hazards.deaths import Case, check_deaths, pytestmark, warm  # noqa: F401 - marks and fixture of this module too
from tests.selection import test_cells, test_choice
from tests.sweep import test_checkpoint
from tests.training import test_trainer as test_train
from wdrun import storage
from wdrun.data import batches
from wdrun.decay import base
from wdrun.errors import BusyError
from wdrun.selection import cells
from wdrun.sweep import checkpoint, execute, one_run, recording, resumption, run_files
from wdrun.tables import aggregate, plan, write
from wdrun.tables.columns import TABLES
from wdrun.tables.write import write_tables
from wdrun.training import trainer
from wdrun.training.evaluation import Evaluator
from wdrun.training.trainer import Trainer

TRUE = {
    "hold": storage.hold, "save": checkpoint.save, "load": checkpoint.load, "resume": resumption.resume,
    "clean": Evaluator.clean, "prepared": cells._prepared, "write": write_tables,
    "diverged": Trainer.diverged,
}  # fmt: skip


def in_place(path, content):
    with path.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    storage.sync(path.parent)


def unsynced(path, content):
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
    os.replace(temporary, path)
    storage.sync(path.parent)


def each(write):
    """Files written together, each by `write`."""
    return lambda contents, remedy="": [write(path, content) for path, content in contents.items()]


def at_once():
    """What is written in two goes is written in one."""
    waiting = {}

    def write_together(contents):
        waiting.update(contents)
        if any(path.name == "run.csv" for path in contents):
            storage.write_together(waiting)
            waiting.clear()

    return write_together


def unentered(directory):
    directory.mkdir(parents=True, exist_ok=True)


def gap(directory, tensors, values):
    """The old checkpoint goes before the new one is there."""
    for name in (checkpoint.PREVIOUS, checkpoint.NAME):
        (directory / name).unlink(missing_ok=True)
    TRUE["save"](directory, tensors, values)


def without_rows(directory, tensors, values):
    TRUE["save"](directory, tensors, values | {"rows": {name: [] for name in TABLES}})


def unchecked(content):
    """Tensors and values whatever the digest says."""
    try:
        payload = content[len(checkpoint.MAGIC) + 65 :]
        tensors = safetensors.torch.load(payload)
        size = int.from_bytes(payload[:8], "little")
        return tensors, checkpoint.json.loads(checkpoint.json.loads(payload[8 : 8 + size])["__metadata__"]["values"])
    except Exception as error:
        raise checkpoint.DamagedError(str(error)) from error


def resumed_as(change):
    """What a checkpoint is taken for when a run resumes."""

    def resume(*arguments):
        start = TRUE["resume"](*arguments)
        return start._replace(state=change(start.state)) if start.state else start

    return resume


def without_momentum(state):
    kept = {n: torch.zeros_like(w) if n.startswith("optimizer/") else w for n, w in state.tensors.items()}
    return replace(state, tensors=kept)


def one_epoch_on(state):
    return replace(state, values=state.values | {"epoch": state.values["epoch"] + 1})


def going_on():
    """Generators that continue from epoch to epoch instead of being a function of it."""
    kept = {}
    return lambda seed, stream, epoch=0: kept.setdefault((seed, stream), torch.Generator().manual_seed(seed))


@contextmanager
def by_existence(directory, *, wait=False):
    directory.mkdir(parents=True, exist_ok=True)
    lock = directory / storage.LOCK
    if lock.exists():
        raise BusyError(f"{directory}: another process is training this run")
    lock.touch()
    try:
        yield
    finally:
        lock.unlink()


@contextmanager
def without_cleaning(directory, *, wait=False):
    glob = Path.glob
    Path.glob = lambda self, pattern: () if pattern.endswith(".tmp") else glob(self, pattern)
    try:
        held = TRUE["hold"](directory, wait=wait)
        held.__enter__()
    finally:
        Path.glob = glob
    try:
        yield
    finally:
        held.__exit__(None, None, None)


def stale(directory):
    for path in directory.glob(".checkpoint.*.tmp"):
        return unchecked(path.read_bytes()), []
    return TRUE["load"](directory)


def row_first(job, trainer, state, rows, summary):
    """The row says done before the weights are there."""
    TRUE["write"](job.directory, job.run, rows, summary)
    checkpoint.remove(job.directory)
    run_files.write_weights(job.directory, state)
    return []


def checkpoint_first(job, trainer, state, rows, summary):
    """The checkpoint goes before the row says done."""
    checkpoint.remove(job.directory)
    run_files.write_weights(job.directory, state)
    TRUE["write"](job.directory, job.run, rows, summary)
    return []


def drawing(self, *arguments):
    torch.rand(1)
    return TRUE["clean"](self, *arguments)


def averaged(runs, metric, facets, nuisance):
    """A diverged run counts as done, with the loss of a guess."""
    frame = TRUE["prepared"](runs, metric, facets, nuisance)
    bad = frame["outcome"] == "diverged"
    frame.loc[bad, metric], frame.loc[bad, "outcome"] = math.log(10), "done"
    return frame


def by_test(runs, metric, facets, nuisance):
    frame = TRUE["prepared"](runs, metric, facets, nuisance)
    frame[metric] = frame[metric.replace("val", "test")]
    return frame


@dataclass(frozen=True)
class Defect:
    """`patches` are (where, name, what); `check` must fail, saying `says` (a regular expression)."""

    name: str
    patches: list
    check: Callable[[], object]
    says: str | None = None


def on_a_table(test, given):
    """A property of selection on one table: hypothesis would spend a minute on the smallest one that fails."""
    table = {(0.0, 0.1): [2.0, 1.5], (1e-2, 0.1): [1.25, 1.5], (1e-1, 0.2): [1.0, 2.0]}
    return lambda: test.hypothesis.inner_test(table, given)


def called_done(self, number, cause, standing):
    return replace(TRUE["diverged"](self, number, cause, standing), status="done")


def deaths(file, phase, kind, power=None, case=Case()):  # noqa: B008 - a value
    """check_deaths at this phase of the calls of this kind on files of this name."""

    def at(*point):
        *when, path = point
        return when == [phase, kind] and path.rpartition("/")[2] in (file, f".{file}.tmp")

    return lambda: check_deaths(case, power=power, at=at)


DEFECTS = [
    Defect(
        "the checkpoint is written in place",
        [(checkpoint, "write_atomically", in_place)],
        deaths("checkpoint", "middle", "write"), "progress lost|other files",
    ),
    Defect(
        "the old checkpoint is removed before the new one is there",
        [(checkpoint, "save", gap)],
        deaths("checkpoint", "middle", "write"), "progress lost",
    ),
    Defect(
        "the checkpoint has no rows",
        [(checkpoint, "save", without_rows)],
        deaths("checkpoint", "after", "replace"), "other bytes",
    ),
    Defect(
        "the row says done before the weights are there",
        [(recording, "_finish", row_first)],
        deaths("last.safetensors", "after", "open"), "other files",
    ),
    Defect(
        "the checkpoint is removed before the row says done",
        [(recording, "_finish", checkpoint_first)],
        deaths("last.safetensors", "after", "open"), "progress lost",
    ),
    Defect(
        "the digest is not checked",
        [(checkpoint, "decode", unchecked)],
        test_checkpoint.test_every_bit_flip_is_caught, "DID NOT RAISE",
    ),
    Defect(
        "the checkpoint is not synced",
        [(checkpoint, "write_atomically", unsynced)],
        deaths("checkpoint", "after", "replace", "content"), "progress lost|other files",
    ),
    Defect(
        "a table is not synced",
        [(write, "write_together", each(unsynced))],
        deaths("run.csv", "after", "replace", "content"), "not whole",
    ),
    Defect(
        "the row that says done may come to the disk before its tables",
        [(write, "write_together", at_once())],
        deaths("run.csv", "after", "replace", "latest", Case(("epochs=3",), quick=True)), "other bytes",
    ),
    Defect(
        "folders are not synced",
        [(storage, "sync", lambda directory: None)],
        deaths("checkpoint", "after", "unlink", "all"), "progress lost|other",
    ),
    Defect(
        "a new folder is not entered on the disk in the one above it",
        [(module, "make", unentered) for module in (storage, run_files)],
        deaths("checkpoint.previous", "after", "link", "all"), "progress lost",
    ),
    Defect(
        "a resumed run skips an epoch",
        [(recording, "resume", resumed_as(one_epoch_on))],
        deaths("checkpoint.previous", "after", "link"), "other epochs",
    ),
    Defect(
        "a resumed run has lost its momentum",
        [(recording, "resume", resumed_as(without_momentum))],
        deaths("checkpoint.previous", "after", "link"), "other bytes",
    ),
    Defect(
        "the batch order is not a function of the epoch",
        [(batches, "generator", going_on())],
        deaths("checkpoint.previous", "after", "link"), "other bytes",
    ),
    Defect(
        "a lock that is a file, not a process",
        [(one_run, "hold", by_existence)],
        deaths("checkpoint", "middle", "write"), "other epochs|other files",
    ),
    Defect(
        "what a killed process was writing stays",
        [(module, "hold", without_cleaning) for module in (one_run, aggregate, plan)],
        deaths("overrides.yaml", "middle", "write"), "other files",
    ),
    Defect(
        "half a file of a killed process is read",
        [(one_run, "hold", without_cleaning), (checkpoint, "load", stale)],
        deaths("checkpoint", "middle", "write"), "other|not resumed",
    ),
    Defect(
        "a finished run trains again",
        [(module, "finished", lambda job, before=None: None) for module in (one_run, execute)],
        deaths("runs.csv", "after", "replace"), "progress lost",
    ),
    Defect(
        "the aggregate is written in place",
        [(aggregate, "write_atomically", in_place)],
        deaths("metrics.csv", "middle", "write"), "a table is not whole",
    ),
    Defect(
        "tables are written in place",
        [(write, "write_together", each(in_place))],
        deaths("layers.csv", "middle", "write"), "a table is not whole",
    ),
    Defect(
        "evaluation draws from the randomness of training",
        [(Evaluator, "clean", drawing)],
        test_train.test_training_leaves_the_global_generator_alone,
    ),
    Defect(
        "a diverged run is called done",
        [(Trainer, "diverged", called_done)],
        test_train.test_divergence_names_the_first_bad_step_and_keeps_the_last_good_state, "diverged",
    ),
    Defect(
        "a diverged run enters the mean",
        [(cells, "_prepared", averaged)],
        on_a_table(test_cells.test_a_diverged_run_changes_only_its_count, 0.1),
    ),
    Defect(
        "test scores choose lambda",
        [(cells, "_prepared", by_test)],
        on_a_table(test_choice.test_test_scores_decide_nothing, random.Random(0)),
    ),
    Defect(
        "the penalty does not reach the gradient",
        [(base.Decay, "before", lambda self, grads, ctx: grads)],
        test_train.test_the_step_is_a_hand_written_loop_with_torch_sgd, "not close",
    ),
    Defect(
        "the penalty is left out of the objective",
        [(trainer, "penalised", lambda row, penalty: row | {"penalty": 0.0, "objective": row["data_loss"]})],
        test_train.test_penalty_stands_apart_from_the_data_loss,
    ),
]  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name.replace(" ", "-"))
def test_is_caught(defect, monkeypatch):
    defect.check()
    for where, name, what in defect.patches:
        monkeypatch.setattr(where, name, what)
    with pytest.raises((AssertionError, pytest.fail.Exception, ExceptionGroup), match=defect.says):
        defect.check()
