"""A run's folder while the run trains: resumed, written epoch by epoch, finished."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from wdrun import devices
from wdrun.config.run import Job
from wdrun.explain import block
from wdrun.sweep import checkpoint, extension, loggers, own_code, provenance, result, run_files
from wdrun.sweep.resumption import ALONE, Rows, resume
from wdrun.tables import evaluations
from wdrun.tables.columns import SCHEMA, TABLES, factors, run_row
from wdrun.tables.write import write_predictions, write_tables
from wdrun.terminal.progress import Watch
from wdrun.training import network
from wdrun.training.measurement import closing
from wdrun.training.state import Epoch, State
from wdrun.training.trainer import Trainer
from wdrun.wording import counted, short

FOLLOW_SECONDS = 1.0  # after its first epoch a run's tables are written at most this often, later it is shown so
SHORT_RUN = 20  # epochs that are always shown at once
AVERAGE = "evaluate=accuracy"  # the words that measure what a run measures of its running average


class Record:
    """What a run writes, and the state it goes on from; its folder is held by the caller.

    After every epoch first the checkpoint, which holds all rows, then, where they are old, the tables are replaced:
    whatever moment the process dies at, the next call continues from the last checkpoint and ends with the same bytes.
    `way` is how its epochs are trained.
    """

    def __init__(self, job: Job, trainer: Trainer, watch: Watch, way: str = ALONE) -> None:
        self.job, self.trainer, self.watch = job, trainer, watch
        self.fixed = _describe(trainer)
        start = resume(job, trainer, digest := self.fixed["data_digest"], watch)
        fresh = start.state is None
        extended, origins = extension.begin(job, trainer, digest, way) if fresh else (None, [])
        if start.lost:
            what = "goes on from a shorter run" if extended else "starts again from the first epoch"
            watch.note(f"{start.lost} training {what}")
        start = extended or start
        self.state, self.rows, self.summary = start.state, start.rows, start.summary
        self.ways = start.ways if self.over else sorted({*start.ways, way})
        self.fixed |= {
            name: was if self.over else provenance.joined(was, self.fixed[name])
            for name, was in start.made_with.items()
        }
        self.unsaved, self.told = False, 0
        if fresh:
            run_files.write_config(job)
        if not self.over:  # else nothing of it was trained by the code as it is now
            own_code.write(job.directory, job.run)
        if extended and extended.state:  # before the row says that it has these epochs
            self._save(extended.state)
        for line in block(trainer) if watch.detailed else ():
            watch.note(line)
        for origin in origins:
            watch.origin(*origin)
        watch.begin(
            f"λ={short(job.run.lam)} lr={short(job.run.lr)} seed={job.run.seed}",
            trainer.steps,
            trainer.steps_per_epoch,
            self.epochs_done * trainer.steps_per_epoch,
        )
        self.started = self.written = time.perf_counter()
        self._write({"status": "running", "epochs_done": self.epochs_done})
        last = self.epochs_done if self.over else None  # that one is logged once all of it is measured
        self.logger = loggers.Logger(job, [row for row in self.rows["metrics"] if row["epoch"] != last])

    @property
    def epochs_done(self) -> int:
        return self.state.values["epoch"] if self.state else 0

    @property
    def over(self) -> bool:
        """Whether nothing is left to train: the run was killed between its last checkpoint and its last table."""
        return self.summary.get("status") == "done"

    def take(self, epoch: Epoch, save: bool = True) -> None:
        """Put the epoch on disk; without `save` it is remembered, and lost with the process until one is saved."""
        if epoch.status != "done":
            self.logger.epoch(epoch.metrics)
        self._tell_failures()
        for name in TABLES:
            self.rows[name] += getattr(epoch, name)
        self.summary = epoch.summary
        # Epochs of milliseconds come a thousand at a time: the checkpoint has their rows, the tables follow.
        late = time.perf_counter() - self.written > FOLLOW_SECONDS
        if epoch.status != "diverged":
            # What ends a quick run follows at once; were that to fail, its last epoch is quickly had again.
            save = save and (late or epoch.status != "done")
            self.state, self.unsaved = epoch.state, not save
            if save:
                self._save(epoch.state)
            if late or epoch.number <= SHORT_RUN or epoch.status == "done":
                self.watch.epoch(epoch.number, self.job.run.epochs, epoch.metrics, epoch.timing[0])
        # After the first epoch the row says that there is something to lose; the end writes its own tables.
        if save and (late or epoch.number == 1) and epoch.status == "running":
            self.written = time.perf_counter()
            self._write({"status": "running"})

    def interrupted(self) -> None:
        """Leave the folder as one that the same command goes on with."""
        self._log_last()
        self.logger.close()
        if self.state and self.unsaved:
            self._save(self.state)
        done = self.epochs_done
        known = self.summary if self.over else {}  # what is known of a run that is trained
        partial = self.fixed | _summary(self.rows) | known | {"status": "interrupted", "epochs_done": done}
        write_tables(self.job.directory, self.job.run, self.rows, partial)
        after = f"interrupted after {done} of {counted(self.job.run.epochs, 'epoch')}"
        kept = ", while it was measured; tables and weights are on disk" if self.over else ""
        self.watch.line(f"{after}{kept}; the same command {'measures it again' if self.over else 'goes on from there'}")

    def broken(self) -> None:
        """Put the epochs so far into the tables: the run fails, and they may tell why."""
        self._write({"status": "running", "epochs_done": self.epochs_done})

    def end(self) -> dict[str, Any]:
        """Finish the folder of a run that is done or diverged; its row of runs.csv.

        What is measured once comes after tables, weights and checkpoint are on disk: what it costs, and whether it
        fails or is interrupted, is nothing to the training.
        """
        average: list[dict[str, Any]] = []
        if self.over and (asked := self.trainer.measured_once) and not self._has_measured():
            average = self._measure(asked)
        self._log_last()
        self.logger.end(self.fixed | self.summary)
        summary = self.fixed | _summary(self.rows) | self.summary
        if self.job.options.keep_state and self.state and self.unsaved and summary["status"] == "done":
            self._save(self.state)
        predictions = _finish(self.job, self.trainer, self.state, self.rows, summary)
        seconds = time.perf_counter() - self.started
        for line in result.describe(self.job, summary, seconds, average, predictions) if self.watch.detailed else ():
            self.watch.line(line)
        return run_row(self.job.run, summary)

    def _has_measured(self) -> bool:
        """Whether the checkpoint was of a run that had measured, and lacks its last table alone."""
        return "hessian_trace" in self.summary or any(row["corruption"] for row in self.rows["metrics"])

    def _measure(self, asked: Sequence[str]) -> list[dict[str, Any]]:
        """Measure what is measured once; of the running average its rows of evaluation.csv, which are written."""
        assert self.state is not None
        if self.unsaved:
            self._save(self.state)
            self.unsaved = False
        run_files.write_weights(self.job.directory, self.state)
        self._write({"status": "running"})
        self.watch.line(f"measure  {', '.join(asked)}; tables and weights are on disk")

        def told(what: str, done: int, of: int) -> None:
            self.trainer.evaluator.tick()
            self.watch.measure(what, done, of)

        found = closing(self.trainer, self.state, told)
        self._tell_failures()
        self.rows["metrics"] += found.metrics
        self.summary = self.summary | found.summary
        if found.average:
            average = run_files.write_weights(self.job.directory, self.state)["ema"]
            common = (
                self.fixed | factors(self.job.run) | {"schema": SCHEMA, "words": AVERAGE, "weights_digest": average}
            )
            rows = evaluations.texts("evaluation", [common | row for row in found.average])
            evaluations.add(self.job.directory, {"evaluation": rows})
        return found.average

    def _log_last(self) -> None:
        """Log the last epoch of a run that is done, with all that was measured of it: a logger hears of it once."""
        if self.over:
            self.logger.epoch([row for row in self.rows["metrics"] if row["epoch"] == self.epochs_done])

    def _tell_failures(self) -> None:
        """What could not be measured, each sentence once."""
        failures = self.trainer.inspector.failures
        for sentence in failures[self.told :]:
            self.watch.note(f"warning: {sentence}")
        self.told = len(failures)

    def close(self) -> None:
        """Let go of the logger; the folder is left as it stands."""
        self.logger.close()

    def _save(self, state: State) -> None:
        values = {
            "id": self.job.run.id,
            "machine": devices.describe(self.trainer.machine),
            "made_with": {name: self.fixed[name] for name in (*provenance.COLUMNS, "data_digest")},
            "rows": self.rows,
            "summary": self.summary,
            "ways": self.ways,
            "state": state.values,
        }
        checkpoint.save(self.job.directory, state.tensors, values)

    def _write(self, status: dict[str, Any]) -> None:
        summary = self.fixed | _summary(self.rows) | self.summary | status
        write_tables(self.job.directory, self.job.run, self.rows, summary)


def _finish(
    job: Job, trainer: Trainer, state: State | None, rows: Rows, summary: dict[str, Any]
) -> list[dict[str, Any]]:
    """Write what a run leaves behind, drop its checkpoint or keep it; the predictions of a regression."""
    run, directory = job.run, job.directory
    done = summary["status"] == "done"
    predictions = trainer.predictions(state) if state and done else []
    if state and done:
        run_files.write_weights(directory, state)
    if predictions:
        write_predictions(directory, run, predictions)
    write_tables(directory, run, rows, summary)
    checkpoint.remove(directory, keep=job.options.keep_state and done)
    return predictions


def _describe(trainer: Trainer) -> dict[str, Any]:
    """Columns of the run's row that are known before training."""
    budget = trainer.budget
    return {
        "cause": "",
        "total_decay": budget.total,
        "timescale": budget.timescale,
        "parameters": sum(w.numel() for w in network.trained(trainer.model).values()),
        "norm_start": trainer.decayed_norm(trainer.initial()),
        "data_digest": trainer.dataset.digest,
        "code": own_code.of(trainer.run).digest,
        **provenance.describe(),
        **devices.describe(trainer.machine),
    }


def _summary(rows: Rows) -> dict[str, Any]:
    """The last loss and accuracy of each split, clean."""
    last = {row["split"]: row for row in rows["metrics"] if not row["corruption"]}
    return {
        f"{split}_{short_name}": row[column]
        for split, row in last.items()
        for short_name, column in (("loss", "data_loss"), ("accuracy", "accuracy"))
    }
