"""A run's folder while the run trains: resumed, written epoch by epoch, finished."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from wdrun import devices
from wdrun.config.run import Job
from wdrun.errors import BusyError
from wdrun.explain import block, bought, outcome, predicted
from wdrun.storage import discard, make, write_atomically
from wdrun.sweep import checkpoint, extension, loggers, on_change, own_code, provenance
from wdrun.tables.columns import FORMER, TABLES, run_row
from wdrun.tables.read import otherwise_begun, read_run, without_decay
from wdrun.tables.write import write_predictions, write_tables
from wdrun.terminal.progress import Watch
from wdrun.training import network
from wdrun.training.measurement import closing
from wdrun.training.state import Epoch, State
from wdrun.training.trainer import Trainer
from wdrun.wording import command_line, counted, printable, short

Rows = dict[str, list[dict[str, Any]]]  # table -> its rows so far, without the factors

FOLLOW_SECONDS = 1.0  # after its first epochs a run shows and writes an epoch at most this often
NETWORK = ("params/", "buffers/")  # how the names of a state's tensors begin that are the network's
SHORT_RUN = 20  # epochs that are always shown and written at once


class Record:
    """What a run writes, and the state it goes on from; its folder is held by the caller.

    After every epoch first the checkpoint, which holds all rows, then the tables are replaced: whatever moment the
    process dies at, the next call continues from the last checkpoint and ends with the same bytes.
    """

    def __init__(self, job: Job, trainer: Trainer, watch: Watch) -> None:
        self.job, self.trainer, self.watch = job, trainer, watch
        self.fixed = _describe(trainer)
        self.state, self.rows, self.summary, earlier = _resume(job, trainer, self.fixed["data_digest"], watch)
        fresh, said = not self.state, []
        if fresh:
            said = self._other_weights()
            shorter, extended = extension.begun(job, trainer, self.fixed["data_digest"])
            said += [extended] if extended else []
            if shorter:
                self.state, self.rows, self.summary, earlier = _taken(shorter, trainer)
        self.fixed |= {
            name: was if self.over else provenance.joined(was, self.fixed[name]) for name, was in earlier.items()
        }
        self.unsaved, self.told = False, 0
        if fresh:
            _write_config(job.directory, job)
        if not self.over:  # else nothing of it was trained by the code as it is now
            own_code.write(job.directory, job.run)
        for line in (*block(trainer), *said) if watch.detailed else ():
            watch.note(line)
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

    def _other_weights(self) -> list[str]:
        """A line where the file that the run begins with has changed since the same command was typed."""
        run, root = self.job.run, self.job.root
        row = otherwise_begun(root, run, self.fixed["data_digest"]) if run.init_from else None
        was = f"when run {row['id']} began with it (init_digest={row['init_digest']})" if row else ""
        return [f"start    another run: {run.init_from} had other content {was}"] if row else []

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
        if epoch.status != "diverged":
            self.state, self.unsaved = epoch.state, not save
            if save:
                self._save(epoch.state)
        # Epochs of milliseconds come a thousand at a time: the checkpoint has their rows, the tables follow.
        late = time.perf_counter() - self.written > FOLLOW_SECONDS
        if epoch.status != "diverged" and (late or epoch.number <= SHORT_RUN or epoch.status == "done"):
            self.watch.epoch(epoch.number, self.job.run.epochs, epoch.metrics, epoch.timing[0])
        if save and (late or epoch.number <= SHORT_RUN):
            self.written = time.perf_counter()
            self._write({"status": "running"})

    def interrupted(self) -> None:
        """Leave the folder as one that the same command goes on with."""
        self._log_last()
        self.logger.close()
        if self.state and self.unsaved:
            self._save(self.state)
        done = self.epochs_done
        partial = self.fixed | _summary(self.rows) | {"status": "interrupted", "epochs_done": done}
        write_tables(self.job.directory, self.job.run, self.rows, partial)
        after = f"interrupted after {done} of {counted(self.job.run.epochs, 'epoch')}"
        kept = ", while it was measured; tables and weights are on disk" if self.over else ""
        self.watch.line(f"{after}{kept}; the same command {'measures it again' if self.over else 'goes on from there'}")

    def end(self) -> dict[str, Any]:
        """Finish the folder of a run that is done or diverged; its row of runs.csv.

        What is measured once comes after tables, weights and checkpoint are on disk: what it costs, and whether it
        fails or is interrupted, is nothing to the training.
        """
        if self.over and (asked := self.trainer.measured_once) and not self._has_measured():
            self._measure(asked)
        self._log_last()
        self.logger.end(self.fixed | self.summary)
        summary = self.fixed | _summary(self.rows) | self.summary
        if self.job.options.keep_state and self.state and summary["status"] == "done":
            if self.unsaved:
                self._save(self.state)
            extension.keep(self.job.directory)
        predictions = _finish(self.job, self.trainer, self.state, self.rows, summary)
        for line in self._result(summary, predictions) if self.watch.detailed else ():
            self.watch.line(line)
        return run_row(self.job.run, summary)

    def _has_measured(self) -> bool:
        """Whether the checkpoint was of a run that had measured, and lacks its last table alone."""
        return "hessian_trace" in self.summary or any(row["corruption"] for row in self.rows["metrics"])

    def _measure(self, asked: Sequence[str]) -> None:
        assert self.state is not None
        if self.unsaved:
            self._save(self.state)
            self.unsaved = False
        _write_weights(self.job.directory, self.state)
        self._write({"status": "running"})
        self.watch.line(f"measure  {', '.join(asked)}; tables and weights are on disk")

        def told(what: str, done: int, of: int) -> None:
            self.trainer.evaluator.tick()
            self.watch.measure(what, done, of)

        found = closing(self.trainer, self.state, told)
        self._tell_failures()
        self.rows["metrics"] += found.metrics
        self.summary = self.summary | found.summary

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

    def _result(self, summary: dict[str, Any], predictions: list[dict[str, Any]]) -> list[str]:
        """What to say of a run that ended."""
        run, directory = self.job.run, self.job.directory
        seconds = time.perf_counter() - self.started
        lines = [*outcome(self.trainer, summary, seconds), *predicted(predictions)]
        if run.lam and summary["status"] == "done":
            zero = without_decay(directory.parent, run, summary["data_digest"])
            lines.append(bought(summary, zero, self.job.words))
        return [*lines, f"tables   {directory}"]

    def _save(self, state: State) -> None:
        values = {
            "id": self.job.run.id,
            "machine": devices.describe(self.trainer.machine),
            "made_with": {name: self.fixed[name] for name in (*provenance.COLUMNS, "data_digest")},
            "rows": self.rows,
            "summary": self.summary,
            "state": state.values,
        }
        checkpoint.save(self.job.directory, state.tensors, values)

    def _write(self, status: dict[str, Any]) -> None:
        summary = self.fixed | _summary(self.rows) | self.summary | status
        write_tables(self.job.directory, self.job.run, self.rows, summary)


def _finish(
    job: Job, trainer: Trainer, state: State | None, rows: Rows, summary: dict[str, Any]
) -> list[dict[str, Any]]:
    """Write what a run leaves behind, drop its checkpoint; the predictions of a regression."""
    run, directory = job.run, job.directory
    done = summary["status"] == "done"
    predictions = trainer.predictions(state) if state and done else []
    if state and done:
        _write_weights(directory, state)
    if predictions:
        write_predictions(directory, run, predictions)
    write_tables(directory, run, rows, summary)
    checkpoint.remove(directory)
    return predictions


def _resume(
    job: Job, trainer: Trainer, digest: str, watch: Watch
) -> tuple[State | None, Rows, dict[str, Any], dict[str, str]]:
    """State, rows and summary of the newest sound checkpoint, and what made its epochs, a value for each COLUMNS.

    Nothing, no rows and {} for a fresh run; `digest` is that of the data that are here.
    """
    directory = job.directory
    loaded, notes = checkpoint.load(directory)
    for note in notes:
        watch.note(f"warning: {note}")
    row = read_run(directory) or {}
    if loaded is None:
        if notes:
            watch.note("warning: no sound checkpoint is left; training starts again from the first epoch")
        elif row.get("epochs_done") not in ("", "0", None):
            lost = f"{directory}: its checkpoint is gone, and with it {counted(int(row['epochs_done']), 'epoch')}"
            watch.note(f"warning: {lost}; training starts again from the first epoch")
        return None, {name: [] for name in TABLES}, {}, {}
    tensors, values = loaded
    if values["id"] not in (trainer.run.id, job.folder[-8:]):
        raise BusyError(
            f"{directory}: holds the checkpoint of run {values['id']}; move it away or choose another name="
        )
    made_with = values.get("made_with", row)  # a checkpoint of an earlier version has it not
    if (was := made_with.get("data_digest", "")) not in ("", digest):
        raise BusyError(
            f"{directory}: started with data of SHA-256 {was}, the same command gives {digest} here: the numbers would "
            "not be those of one run; finish it where it started, or remove the folder to begin again"
        )
    if what := own_code.change(directory, made_with.get("code", ""), trainer.run):
        if job.options.on_change == "error":
            raise BusyError(on_change.refusal(directory, what, ended=False))
        if job.options.on_change == "retrain":
            watch.note(f"{what} since it was begun: training starts again from the first epoch")
            discard(directory)
            return None, {name: [] for name in TABLES}, {}, {}
        watch.note(f"warning: {what} since it was begun: the epochs to come are trained by other code")
    machine = devices.describe(trainer.machine)
    for key in devices.BITS:
        if machine[key] != values["machine"][key]:
            was, now = values["machine"][key], machine[key]
            raise BusyError(
                f"{directory}: started with {key}={was}, here it is {now}: the numbers would not be those of one run; "
                "finish it where it started, or remove the folder to begin again"
            )
    _check_layers(directory, trainer, tensors, bool(what))
    watch.note(f"resuming after epoch {values['state']['epoch']} of {trainer.run.epochs}")
    return _taken((tensors, values | {"made_with": made_with}), trainer)


def _taken(loaded: extension.Loaded, trainer: Trainer) -> tuple[State, Rows, dict[str, Any], dict[str, str]]:
    """What `_resume` gives, of a checkpoint that serves."""
    tensors, values = loaded
    state = State({n: w.to(trainer.machine.device) for n, w in tensors.items()}, values["state"])
    rows = {name: [{FORMER.get(k, k): v for k, v in row.items()} for row in of] for name, of in values["rows"].items()}
    return state, rows, values["summary"], {name: values["made_with"].get(name, "") for name in provenance.COLUMNS}


def _check_layers(directory: Path, trainer: Trainer, there: Mapping[str, Tensor], changed: bool) -> None:
    """BusyError unless the checkpoint's tensors are those that the run has here."""
    here, end = trainer.initial().tensors, "or remove the folder to begin again"
    again = "or on_change=retrain begins again" if changed else end
    try:
        network.check(trainer.model, {n.partition("/")[2]: w for n, w in there.items() if n.startswith(NETWORK)})
    except ValueError as error:
        raise BusyError(
            f"{directory}: begun with other layers ({error}); put the model back to what it was, {again}"
        ) from None
    if missing := here.keys() - there.keys():
        raise BusyError(
            f"{directory}: its checkpoint lacks {min(missing)}, so another version of wdrun wrote it; "
            f"finish it with that one, {end}"
        )


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


def _write_config(directory: Path, job: Job) -> None:
    """config.yaml: every knob as it was used; .hydra/overrides.yaml: what was typed."""
    import yaml

    knobs = yaml.safe_dump(job.run.nested, sort_keys=False, allow_unicode=True)
    write_atomically(directory / "config.yaml", f"# {printable(command_line(job.words))}\n{knobs}".encode())
    make(directory / ".hydra")
    write_atomically(directory / ".hydra" / "overrides.yaml", yaml.safe_dump(list(job.words)).encode())


def _write_weights(directory: Path, state: State) -> None:
    """last.safetensors and best.safetensors: parameters and buffers by the model's own names."""
    for name, prefixes in (("last", NETWORK), ("best", ("best/",))):
        weights = {k.split("/", 1)[1]: w for k, w in state.tensors.items() if k.startswith(prefixes)}
        write_atomically(directory / f"{name}.safetensors", checkpoint.pack(weights))
