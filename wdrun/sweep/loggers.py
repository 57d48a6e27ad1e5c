"""A run's metrics in another tool's own format beside its tables: TensorBoard, Weights & Biases or MLflow, offline.

Scalars are named split/column (`val/accuracy`), those of corrupted images split/corruption/severity/column, and their
step is the epoch; knobs are the hyperparameters. All lies in a folder of the logger's name in the run's own: read it
with `tensorboard --logdir outputs/NAME`, `wandb sync RUN/wandb/offline-run-*`, or `mlflow ui --backend-store-uri
sqlite:///RUN/mlflow/mlflow.db`. A resumed run begins that folder anew with the rows of its checkpoint, so every epoch
is there once, whatever moment the process died at. Nothing a logger does can stop or change a run.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from wdrun.accepts import is_number
from wdrun.config.run import Job
from wdrun.errors import ConfigError
from wdrun.tables.columns import METRICS
from wdrun.terminal.progress import say
from wdrun.wording import named, shown

Row = Mapping[str, Any]
Scalars = dict[str, float]

SCORES = tuple(c.name for c in METRICS if c.kind is float and c.name not in ("lambda", "lr", "strength"))


class Sink(Protocol):
    """Where a logger writes. It is opened by its class, with the folder and the job."""

    def log(self, epoch: int, scalars: Scalars) -> None:
        """Note the scalars of an epoch."""

    def end(self, summary: Row) -> None:
        """Note what came of the run."""

    def close(self, status: str) -> None:
        """Write all that is still in memory; `status` is the run's."""


def check(name: str | None) -> None:
    """ConfigError unless the logger's package is there; it is not imported."""
    spec = importlib.util.find_spec(name) if name else None
    if name and (spec is None or spec.origin is None):  # a folder of that name, such as wandb's own, has no origin
        raise ConfigError(f"logger={name}: needs the extra: pip install 'wdrun[{name}]'")


def scalars(rows: Iterable[Row]) -> Scalars:
    """The scores of some metrics rows by their names; those a run does not have are left out."""
    found = {}
    for row in rows:
        what = [row["corruption"], str(row["severity"])] if row["corruption"] else []
        for score in SCORES:
            if is_number(row.get(score)):
                found["/".join([row["split"], *what, score])] = float(row[score])
    return found


class Logger:
    """The job's logger, silent where it has none; its first failure is a warning, and the last it does.

    `rows` are the metrics rows of a resumed run's checkpoint.
    """

    def __init__(self, job: Job, rows: Sequence[Row]) -> None:
        self.sink: Sink | None = None
        self.status = "interrupted"
        self.last: Scalars = {}
        if job.options.logger:
            self.name = job.options.logger
            self._attempt(self._open, job)
        for _, before in groupby(rows, key=lambda row: row["epoch"]):
            self.epoch(list(before))

    def _open(self, job: Job) -> None:
        folder = job.directory / self.name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        self.sink = SINKS[self.name](folder, job)

    def epoch(self, rows: Sequence[Row]) -> None:
        """Log an epoch's metrics rows."""
        if self.sink and (found := scalars(rows)):
            self.last |= found
            self._attempt(self.sink.log, rows[0]["epoch"], found)

    def end(self, summary: Row) -> None:
        """Log what came of the run, and its last scores, and close."""
        self.status = summary["status"]
        if self.sink:
            self._attempt(self.sink.end, {k: v for k, v in {**summary, **self.last}.items() if v not in (None, "")})
        self.close()

    def close(self) -> None:
        """Let the logger write what it still holds; a second time does nothing."""
        if self.sink:
            self._attempt(self.sink.close, self.status)
        self.sink = None

    def _attempt(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            with warnings.catch_warnings():  # of the tool's own code: nothing our user could do about
                warnings.simplefilter("ignore")
                action(*arguments)
        except Exception as error:
            self.sink = None
            lost = f"logger={self.name} stopped ({named(error)})"
            say(f"warning: {lost}; the run goes on without it, its tables are complete")


class TensorBoard:
    """Event files; the summary's numbers as final/… beside the hyperparameters."""

    def __init__(self, folder: Path, job: Job) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.knobs = _knobs(job)
        self.writer = SummaryWriter(folder)

    def log(self, epoch: int, scalars: Scalars) -> None:
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def end(self, summary: Row) -> None:
        self.writer.add_hparams(self.knobs, _numbers(summary), run_name=".")

    def close(self, status: str) -> None:
        self.writer.close()


class WandB:
    """An offline run of Weights & Biases whose id is the run's own."""

    def __init__(self, folder: Path, job: Job) -> None:
        os.environ["WANDB_ERROR_REPORTING"] = "false"  # read when wandb is imported; it would go over the network
        import wandb

        self.run = wandb.init(
            mode="offline",
            dir=folder.parent,  # wandb adds the folder "wandb"
            project=job.options.name,
            id=job.run.id,
            name=job.run.slug,
            config=_knobs(job),
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, epoch: int, scalars: Scalars) -> None:
        self.run.log(scalars, step=epoch)

    def end(self, summary: Row) -> None:
        self.run.summary.update(dict(summary))

    def close(self, status: str) -> None:
        self.run.finish(exit_code=0 if status == "done" else 1)


class MLflow:
    """An SQLite store with one experiment and one run in it; the summary's numbers as final/…, its words as tags."""

    def __init__(self, folder: Path, job: Job) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported; it would go over the network
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        # mlflow remembers each store it opened: a resume in the same process needs another name until it is closed.
        self.store = folder / f"open-{time.time_ns()}.db"
        self.client = MlflowClient(tracking_uri=f"sqlite:///{self.store}")
        experiment = self.client.create_experiment(job.options.name, (folder / "artifacts").as_uri())
        self.id = self.client.create_run(experiment, run_name=job.run.slug).info.run_id
        for key, value in _knobs(job).items():
            self.client.log_param(self.id, key, value)

    def log(self, epoch: int, scalars: Scalars) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self.client.log_batch(self.id, [Metric(name, value, now, epoch) for name, value in scalars.items()])

    def end(self, summary: Row) -> None:
        for name, value in _numbers(summary).items():
            self.client.log_metric(self.id, name, value)
        for name, value in summary.items():
            if isinstance(value, str):
                self.client.set_tag(self.id, name, value)

    def close(self, status: str) -> None:
        words = {"done": "FINISHED", "interrupted": "KILLED"}
        self.client.set_terminated(self.id, words.get(status, "FAILED"))
        self.store.replace(self.store.with_name("mlflow.db"))


SINKS: dict[str, Callable[[Path, Job], Sink]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}


def _knobs(job: Job) -> dict[str, Any]:
    """The run's knobs; what is neither a number, text nor truth value, as a user would type it."""
    plain = (bool, int, float, str)
    return {k: v if isinstance(v, plain) else shown(v) for k, v in job.run.knobs.items()}


def _numbers(summary: Row) -> Scalars:
    return {f"final/{name}": float(value) for name, value in summary.items() if is_number(value)}
