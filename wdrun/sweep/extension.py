"""A run that goes on from a finished one, which differs from it in fewer epochs alone: `keep_state=true` allows it.

It ends with the bytes that it would have from its first epoch, so the other must have kept all of its state, on the
same machine, with the same code, and each of its steps must have had the lr and λ that it has here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wdrun import devices
from wdrun.config.run import Job
from wdrun.storage import write_atomically
from wdrun.sweep import checkpoint, own_code
from wdrun.tables.read import shorter
from wdrun.training.trainer import Trainer
from wdrun.wording import counted

KEPT = "kept.checkpoint"  # in a run's folder: the checkpoint of its last epoch

Loaded = tuple[dict[str, Tensor], dict[str, Any]]


def keep(directory: Path) -> None:
    """Keep the checkpoint of a run that has just ended."""
    write_atomically(directory / KEPT, (directory / checkpoint.NAME).read_bytes())


def begun(job: Job, trainer: Trainer, data_digest: str) -> tuple[Loaded | None, str]:
    """Tensors and values of the end of a shorter run, the longest that serves, and a sentence that says so.

    Else None, and why the longest does not; no sentence where there is none.
    """
    found = shorter(job.root, job.run, data_digest)
    why = ""
    for directory, row in sorted(found, key=lambda of: -int(of[1]["epochs"])):
        name = f"run {row['id']}, which had {counted(int(row['epochs']), 'epoch')}"
        loaded = _of(directory)
        reason = _scheduled(trainer, row) or _unlike(job, trainer, directory, row, loaded)
        if loaded is not None and not reason:
            return loaded, f"epochs   going on from the end of {name}"
        why = why or f"epochs   another run, from the first epoch: {name}, {reason}"
    return None, why


def _of(directory: Path) -> Loaded | None:
    """What a run kept, without the rows of what is measured when all is over; None where that is not there or damaged.

    The file is another run's, which may be at work: it is left as it is.
    """
    try:
        tensors, values = checkpoint.decode((directory / KEPT).read_bytes())
    except (OSError, checkpoint.DamagedError):
        return None
    rows = values["rows"]
    rows["metrics"] = [row for row in rows["metrics"] if row["split"] != "test" and not row["corruption"]]
    return tensors, values | {"summary": {}}


def _scheduled(trainer: Trainer, row: Mapping[str, str]) -> str:
    """Which step had another lr or λ when it was one of fewer; "" where none had."""
    fewer, run = trainer.lasting(int(row["epochs"])), trainer.run
    for t in range(1, fewer.steps + 1):
        here, there = trainer.knobs(t), fewer.knobs(t)
        if here.lr != there.lr:
            return f"had another lr in step {t} (schedule={run.schedule['name']} follows the number of epochs)"
        if here != there:
            return f"had another λ in step {t} (its schedule follows the number of epochs)"
    return ""


def _unlike(job: Job, trainer: Trainer, directory: Path, row: Mapping[str, str], loaded: Loaded | None) -> str:
    """Why the end of a shorter run with the same schedule is no part of this one; "" where it is."""
    epochs, patience = int(row["epochs"]), job.run.early_stopping["patience"]
    if patience is not None and epochs - int(row["best_epoch"]) >= patience:
        return f"was over by early_stopping.patience={patience}"
    if loaded is None:
        return "did not keep its optimizer's state (keep_state=true does)"
    values, machine = loaded[1], devices.describe(trainer.machine)
    for key in devices.BITS:
        if values["machine"][key] != machine[key]:
            return f"had {key}={values['machine'][key]}, here it is {machine[key]}"
    return own_code.change(directory, values["made_with"]["code"], job.run)
