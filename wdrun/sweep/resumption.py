"""What a run goes on from: its last checkpoint, where that is of the same run, data, code, machine and layers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from wdrun import devices
from wdrun.config.run import Job
from wdrun.errors import BusyError
from wdrun.storage import discard
from wdrun.sweep import checkpoint, on_change, own_code, provenance
from wdrun.tables.columns import FORMER, TABLES
from wdrun.tables.read import read_run
from wdrun.terminal.progress import Watch
from wdrun.training import network
from wdrun.training.state import State
from wdrun.training.trainer import Trainer
from wdrun.wording import counted

Rows = dict[str, list[dict[str, Any]]]  # table -> its rows so far, without the factors
Loaded = tuple[dict[str, Tensor], dict[str, Any]]  # tensors and values of a checkpoint

NETWORK = ("params/", "buffers/")  # how the names of a state's tensors begin that are the network's
ALONE, FUSED = "alone", "fused"  # the ways in which an epoch may be trained: their last bits are not the same
UNKNOWN = ["as an earlier version did"]  # where a checkpoint does not say in which

_ANEW = "remove the folder to begin again"
_NUMBERS = f": the numbers would not be those of one run; finish it where it started, or {_ANEW}"
REMEDIES = {
    "run": "; move it away or choose another name=",
    "data": _NUMBERS,
    "machine": _NUMBERS,
    "layers": f"; put the model back to what it was, or {_ANEW}",
    "version": f"; finish it with that one, or {_ANEW}",
}


class Start(NamedTuple):
    """Where a run stands when its process begins; without a state it is before its first epoch.

    `made_with` has a value for each of provenance.COLUMNS, `ways` are those in which its epochs were trained; `lost`
    begins the sentence that says why epochs that it had are gone.
    """

    state: State | None
    rows: Rows
    summary: dict[str, Any]
    made_with: dict[str, str]
    ways: list[str]
    lost: str = ""


class Difference(NamedTuple):
    """Why a checkpoint is no part of a run: one of REMEDIES, or `code`, and in words."""

    kind: str
    what: str


def resume(job: Job, trainer: Trainer, digest: str, watch: Watch) -> Start:
    """Where the newest sound checkpoint of a job's folder leaves its run; `digest` is that of the data that are here.

    BusyError where the checkpoint is no part of this run.
    """
    directory = job.directory
    loaded, notes = checkpoint.load(directory)
    for note in notes:
        watch.note(f"warning: {note}")
    row = read_run(directory) or {}
    if loaded is None:
        lost = ""
        if notes:
            lost = "warning: no sound checkpoint is left;"
        elif row.get("epochs_done") not in ("", "0", None):
            gone = f"its checkpoint is gone, and with it {counted(int(row['epochs_done']), 'epoch')}"
            lost = f"warning: {directory}: {gone};"
        return _nothing(lost)
    tensors, values = loaded
    loaded = tensors, {"made_with": row} | values  # a checkpoint of an earlier version has it not
    changed = False
    for kind, what in differences(directory, trainer, loaded, digest, (trainer.run.id, job.folder[-8:])):
        if kind != "code":
            raise BusyError(f"{directory}: {what}{_remedy(kind, changed)}")
        if job.options.on_change == "error":
            raise BusyError(on_change.refusal(directory, what, ended=False))
        if job.options.on_change == "retrain":
            discard(directory)
            return _nothing(f"{what} since it was begun:")
        watch.note(f"warning: {what} since it was begun: the epochs to come are trained by other code")
        changed = True
    watch.note(f"resuming after epoch {values['state']['epoch']} of {trainer.run.epochs}")
    return taken(loaded, trainer)


def differences(
    directory: Path, trainer: Trainer, loaded: Loaded, digest: str, ids: Collection[str]
) -> Iterator[Difference]:
    """How the checkpoint of a folder is none of a run of one of these ids that goes on here, on data of this digest.

    One after another: whoever is stopped by the first is not asked for the next.
    """
    tensors, values = loaded
    made_with, machine = values["made_with"], devices.describe(trainer.machine)
    if values["id"] not in ids:
        yield Difference("run", f"holds the checkpoint of run {values['id']}")
    if (was := made_with.get("data_digest", "")) not in ("", digest):
        yield Difference("data", f"started with data of SHA-256 {was}, the same command gives {digest} here")
    if what := own_code.change(directory, made_with.get("code", ""), trainer.run):
        yield Difference("code", what)
    for key in devices.BITS:
        if machine[key] != values["machine"][key]:
            yield Difference("machine", f"started with {key}={values['machine'][key]}, here it is {machine[key]}")
    weights = {name.partition("/")[2]: w for name, w in tensors.items() if name.startswith(NETWORK)}
    try:
        network.check(trainer.model, weights)
    except ValueError as error:
        yield Difference("layers", f"begun with other layers ({error})")
    if missing := trainer.initial().tensors.keys() - tensors.keys():
        lacks = f"its checkpoint lacks {min(missing)}, so another version of wdrun wrote it"
        yield Difference("version", lacks)


def taken(loaded: Loaded, trainer: Trainer) -> Start:
    """Where a checkpoint that serves leaves its run."""
    tensors, values = loaded
    state = State({n: w.to(trainer.machine.device) for n, w in tensors.items()}, values["state"])
    rows = {name: [{FORMER.get(k, k): v for k, v in row.items()} for row in of] for name, of in values["rows"].items()}
    made_with = {name: values["made_with"].get(name, "") for name in provenance.COLUMNS}
    return Start(state, rows, values["summary"], made_with, values.get("ways", UNKNOWN))


def _nothing(lost: str) -> Start:
    return Start(None, {name: [] for name in TABLES}, {}, {}, [], lost)


def _remedy(kind: str, changed: bool) -> str:
    """What to do; where the code has changed as well, it may be trained again in its folder."""
    remedy = REMEDIES[kind]
    return remedy.replace(_ANEW, "on_change=retrain begins again") if changed and kind == "layers" else remedy
