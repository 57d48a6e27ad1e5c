"""A run that goes on from a finished one, which differs from it in fewer epochs alone: `keep_state=true` allows it.

It ends with the bytes that it would have from its first epoch, so the other must have kept all of its state, on the
same machine, with the same code, and each of its steps must have had the lr and λ that it has here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from math import isclose
from pathlib import Path
from typing import NamedTuple

from wdrun.config.run import Job
from wdrun.sweep import checkpoint, own_code
from wdrun.sweep.checkpoint import KEPT
from wdrun.sweep.outcome import Outcome
from wdrun.sweep.resumption import ALONE, FUSED, UNKNOWN, Loaded, Start, differences, taken
from wdrun.tables.siblings import on_other_data, otherwise_begun, shorter
from wdrun.training.trainer import Trainer
from wdrun.wording import counted

LAST_BITS = 1e-14  # numbers that are the same but for the rounding of a few operations differ by less, as a share
HINTS = {ALONE: " (fuse=false goes on from it)", FUSED: " (fuse=true goes on from it)"}


class Origin(NamedTuple):
    """What is said of where a run begins: the name of the line, its text, and what several such runs do."""

    label: str
    text: str
    several: str


def begin(job: Job, trainer: Trainer, data_digest: str, way: str) -> tuple[Start | None, list[Origin]]:
    """Where a run without a checkpoint, to be trained this way, begins: at the end of the longest shorter run that
    serves, else None, with its first epoch; and what is to be said of that.
    """
    said, why = [*_other_weights(job, data_digest), *_other_data(job)], ""
    found = shorter(job.root, job.run, data_digest)
    for directory, row in sorted(found, key=lambda of: -int(of[1]["epochs"])):
        name = f"run {row['id']}, which had {counted(int(row['epochs']), 'epoch')}"
        end = _end(job, trainer, directory, row, data_digest, way)
        if not isinstance(end, str):
            text = f"going on from the end of {name}"
            return taken(end, trainer), [*said, Origin("epochs", text, "go on from the end of a shorter run")]
        why = why or f"another run, from the first epoch: {name}: {end}"
    if why:
        said.append(Origin("epochs", why, "begin with the first epoch, although shorter ones are there"))
    return None, said


def too_late(outcomes: Iterable[Outcome]) -> list[str]:
    """A sentence on the skipped runs, where there are any, that are to keep their state and were trained without."""
    gone = [
        outcome.directory
        for outcome in outcomes
        if outcome.skipped and outcome.status == "done" and outcome.job.options.keep_state
        if not os.path.exists(outcome.directory / KEPT)
    ]
    if not gone:
        return []
    others = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
    return [
        f"warning: {gone[0]}{others}: trained without keep_state=true, so the state of its end is gone; remove the "
        "folder to train it again and keep it"
    ]


def _other_weights(job: Job, data_digest: str) -> list[Origin]:
    """Whether another run began with a file of the same name and another content."""
    row = otherwise_begun(job.root, job.run, data_digest) if job.run.init_from else None
    if row is None:
        return []
    was = f"when run {row['id']} began with it (init_digest={row['init_digest']})"
    text = f"another run: {job.run.init_from} had other content, or was another file, {was}"
    return [Origin("start", text, "begin with other content of init_from than runs that are there")]


def _other_data(job: Job) -> list[Origin]:
    """Whether another run was trained on what lay at the same place before."""
    row = on_other_data(job.root, job.run) if job.run.data.get("digest") else None
    if row is None:
        return []
    was = f"when run {row['id']} was trained on it (data.digest={row['data.digest']})"
    text = f"another run: {job.run.data['root']} had other content, or was another file, {was}"
    return [Origin("data", text, "train on other content of data.root than runs that are there")]


def _end(
    job: Job, trainer: Trainer, directory: Path, row: Mapping[str, str], data_digest: str, way: str
) -> Loaded | str:
    """What a shorter run kept of its end, without the rows of what is measured when all is over; else why it is no part
    of this run.

    The file is another run's, which may be at work: it is left as it is.
    """
    epochs, patience = int(row["epochs"]), job.run.early_stopping["patience"]
    if reason := _scheduled(trainer, epochs):
        return reason
    if patience is not None and epochs - int(row["best_epoch"] or epochs) >= patience:
        return f"was over by early_stopping.patience={patience}"
    try:
        tensors, values = checkpoint.decode((directory / KEPT).read_bytes())
    except FileNotFoundError:
        return "did not keep its optimizer's state (keep_state=true does)"
    except OSError as error:
        return f"its {KEPT} cannot be read ({error.strerror})"
    except checkpoint.DamagedError as error:
        return f"its {KEPT} is damaged ({error})"
    values = {"made_with": row, "ways": UNKNOWN} | values
    for difference in differences(directory, trainer, (tensors, values), data_digest, (row["id"],)):
        return difference.what
    if (epoch := values["state"]["epoch"]) != epochs:
        return f"its {KEPT} is of epoch {epoch}"
    code = values["made_with"].get("code", "")
    if " then " in code or (not code and own_code.of(job.run).modules):
        return f"was trained by more than one code ({code})" if code else "its code was not noted"
    if values["ways"] != [way]:
        hint = HINTS.get(values["ways"][0], "") if len(values["ways"]) == 1 else ""
        return f"trained {' and '.join(values['ways'])}, here it trains {way}{hint}"
    rows = values["rows"]
    rows["metrics"] = [row for row in rows["metrics"] if row["split"] != "test" and not row["corruption"]]
    return tensors, values | {"summary": {}}


def _scheduled(trainer: Trainer, epochs: int) -> str:
    """Which step had another lr or λ when it was one of so many, fewer, epochs; "" where none had."""
    fewer, schedule, rounded = trainer.lasting(epochs), trainer.run.schedule, ""
    for t in range(1, fewer.steps + 1):
        here, there = trainer.knobs(t), fewer.knobs(t)
        if here == there:
            continue
        what, whose = (
            ("lr", f"schedule={schedule['name']}") if here.lr_scale != there.lr_scale else ("λ", "its schedule")
        )
        pairs = zip((here.lr_scale, *here.lam_scales), (there.lr_scale, *there.lam_scales), strict=True)
        if not all(isclose(one, other, rel_tol=LAST_BITS) for one, other in pairs):
            return f"had another {what} in step {t} ({whose} follows the number of epochs)"
        whose = "schedule.warmup" if what == "lr" and schedule.get("warmup") else whose
        rounded = rounded or f"had another last bit of {what} in step {t} ({whose} is a share of all epochs)"
    return rounded
