"""A run's folder while it trains: what is written when, what is said, and what a resume begins with."""

import math
import os
import signal
from dataclasses import replace

import pytest

from wdrun import optim
from wdrun.config import experiments
from wdrun.errors import BusyError
from wdrun.storage import hold
from wdrun.sweep import checkpoint, recording
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import ready
from wdrun.sweep.recording import Record
from wdrun.sweep.signals import Interrupted
from wdrun.tables.read import load, read_run, read_table
from wdrun.terminal.progress import Watch
from wdrun.training.diagnostics import inspector
from wdrun.training.measurement import closing

TINY = ["data=synthetic", "data.train_examples=96", "data.test_examples=20", "model=linear", "epochs=3", "lambda=0.5"]
TINY += ["batch_size=32", "threads=1", "precision=fp32", "device=cpu"]


class Kept(Watch):
    def __init__(self):
        self.lines, self.numbers = [], []

    def epoch(self, number, epochs, metrics, timing):
        self.numbers.append(number)

    def note(self, text):
        self.lines.append(text)

    line = note


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A record of a tiny run and its epochs, untaken; none is too quick to be written at once."""
    monkeypatch.setattr(recording, "FOLLOW_SECONDS", 0.0)
    (job,) = experiments.jobs([*TINY, f"output_dir={tmp_path}"], False)
    with hold(job.directory):
        trainer, watch = ready(job.run), Kept()
        record = Record(job, trainer, watch)
        yield record, list(trainer.train()), watch
        record.close()


def files(record):
    return {path.name for path in record.job.directory.iterdir() if path.is_file()}


TABLES = {"run.csv", "metrics.csv", "layers.csv", "histograms.csv", "timing.csv"}


def test_before_the_first_epoch_the_folder_says_what_it_will_be(begun):
    record, _, _ = begun
    assert files(record) == TABLES | {"config.yaml", ".lock"}
    row = read_run(record.job.directory)
    assert (row["status"], row["epochs_done"], row["id"]) == ("running", "0", record.job.run.id)
    weights = [p.detach() for p in record.trainer.model.parameters()]
    decayed = [w for w in weights if w.ndim > 1]
    assert float(row["norm_start"]) == pytest.approx(math.sqrt(sum((w.double() ** 2).sum().item() for w in decayed)))
    assert int(row["parameters"]) == sum(w.numel() for w in weights)
    config = (record.job.directory / "config.yaml").read_text()
    assert config.startswith(f"# wdrun {' '.join(record.job.overrides)}\nlambda: 0.5\n")


def test_every_epoch_is_in_the_checkpoint_and_then_in_the_tables(begun):
    record, epochs, watch = begun
    for epoch in epochs[:2]:
        record.take(epoch)
        (tensors, values), notes = checkpoint.load(record.job.directory)
        assert (values["state"]["epoch"], notes) == (epoch.number, [])
        assert tensors.keys() == epoch.state.tensors.keys()
        assert values["rows"]["metrics"] == [row for e in epochs[: epoch.number] for row in e.metrics]
        table = read_table(record.job.directory / "metrics.csv")
        assert table["data_loss"].tolist() == [row["data_loss"] for e in epochs[: epoch.number] for row in e.metrics]
    assert watch.numbers == [1, 2]


def test_an_epoch_that_is_not_saved_is_kept_for_the_way_out(begun):
    record, epochs, watch = begun
    record.take(epochs[0], save=False)
    assert checkpoint.load(record.job.directory) == (None, [])
    record.interrupted()
    assert checkpoint.load(record.job.directory)[0][1]["state"]["epoch"] == 1
    row = read_run(record.job.directory)
    assert (row["status"], row["epochs_done"]) == ("interrupted", "1")
    assert watch.lines[-1] == "interrupted after 1 of 3 epochs; the same command goes on from there"


def test_the_end_leaves_weights_and_no_checkpoint(begun):
    record, epochs, _ = begun
    for epoch in epochs:
        record.take(epoch)
    row = record.end()
    assert files(record) == TABLES | {"config.yaml", ".lock", "last.safetensors", "best.safetensors"}
    assert (row["status"], row["epochs_done"], row["cause"]) == ("done", 3, "")
    assert row["val_loss"] == epochs[-1].metrics[1]["data_loss"]
    assert row["test_loss"] == epochs[-1].metrics[2]["data_loss"]


def test_quick_epochs_of_a_long_run_are_shown_and_written_now_and_then(begun, monkeypatch):
    record, epochs, watch = begun
    monkeypatch.setattr(recording, "SHORT_RUN", 1)
    monkeypatch.setattr(recording, "FOLLOW_SECONDS", math.inf)
    for epoch in epochs[:2]:
        record.take(epoch)
    assert watch.numbers == [1]
    timing = record.job.directory / "timing.csv"
    assert read_table(timing)["epoch"].tolist() == [1]
    assert len(checkpoint.load(record.job.directory)[0][1]["rows"]["timing"]) == 2
    record.end()
    assert read_table(timing)["epoch"].tolist() == [1, 2]


@pytest.mark.parametrize(("seconds", "saved"), [(math.inf, 2), (0.0, 3)])
def test_the_end_of_a_quick_run_is_no_checkpoint_of_its_own(begun, monkeypatch, seconds, saved):
    """At most an epoch is lost all the same: its tables and weights follow at once."""
    monkeypatch.setattr(recording, "FOLLOW_SECONDS", seconds)
    record, epochs, _ = begun
    for epoch in epochs:
        record.take(epoch)
    assert checkpoint.load(record.job.directory)[0][1]["state"]["epoch"] == saved
    record.interrupted()
    assert checkpoint.load(record.job.directory)[0][1]["state"]["epoch"] == 3


def test_a_short_run_in_a_sweep_puts_little_on_the_disk(tmp_path, monkeypatch):
    """Five epochs: 35 calls that wait for the disk, where each table of each epoch by itself took 91."""
    calls, sync = [], os.fsync
    monkeypatch.setattr(recording, "FOLLOW_SECONDS", math.inf)
    monkeypatch.setattr(os, "fsync", lambda number: calls.append(number) or sync(number))
    (job,) = experiments.jobs([*TINY, "epochs=5", f"output_dir={tmp_path}"], False)
    job.directory.parent.mkdir(parents=True)
    with hold(job.directory):
        record = Record(job, ready(job.run), Kept())
        for epoch in record.trainer.train():
            record.take(epoch)
        record.end()
        record.close()
    assert len(calls) <= 35


def again(record):
    """A new record of the same folder."""
    watch = Kept()
    return Record(record.job, ready(record.job.run), watch), watch


def test_a_resumed_record_begins_where_the_last_was_saved(begun):
    record, epochs, _ = begun
    record.take(epochs[0])
    resumed, watch = again(record)
    assert (resumed.epochs_done, resumed.over) == (1, False)
    assert resumed.rows == record.rows
    assert watch.lines == ["resuming after epoch 1 of 3"]
    for epoch in epochs[1:]:
        record.take(epoch)
    resumed, _ = again(record)
    assert resumed.over  # killed between its last checkpoint and its last table


def test_a_lost_checkpoint_is_said(begun):
    record, epochs, _ = begun
    record.take(epochs[0])
    checkpoint.remove(record.job.directory)
    resumed, watch = again(record)
    assert resumed.epochs_done == 0
    lost = f"{record.job.directory}: its checkpoint is gone, and with it 1 epoch"
    assert watch.lines == [f"warning: {lost}; training starts again from the first epoch"]


def test_the_checkpoint_of_another_run_is_left_alone(begun):
    record, epochs, _ = begun
    record.take(epochs[0])
    other = replace(record.job.run, seed=7)
    with pytest.raises(BusyError, match=rf"holds the checkpoint of run {record.job.run.id}; move it away or choose"):
        Record(record.job, ready(other), Kept())


def test_a_checkpoint_without_what_the_run_remembers_is_left_alone(begun):
    record, epochs, _ = begun
    record.take(epochs[0])
    trainer = ready(record.job.run)
    trainer.optimizer = optim.Adam(0.9, 0.999, 1e-8)  # of another version of wdrun: it keeps more than was saved
    lacks = r"its checkpoint lacks optimizer/m/\S+, so another version of wdrun wrote it; finish it with that one, or"
    with pytest.raises(BusyError, match=lacks):
        Record(record.job, trainer, Kept())


@pytest.mark.parametrize("kept", ["in the checkpoint", "in run.csv alone"])
def test_a_run_resumed_at_another_commit_names_both(begun, monkeypatch, kept):
    """The checkpoint of a version before this says nothing of commits; its run.csv does."""
    record, epochs, _ = begun
    record.fixed |= {"commit": "a" * 40, "wdrun_version": "0.0.9"}
    record.take(epochs[0])
    if kept == "in run.csv alone":
        (tensors, values), _ = checkpoint.load(record.job.directory)
        del values["made_with"]
        checkpoint.save(record.job.directory, tensors, values)
        checkpoint.save(record.job.directory, tensors, values)
    now = {"commit": "b" * 40, "wdrun_version": "0.1.0"}
    monkeypatch.setattr(recording.provenance, "describe", lambda: dict(now))
    resumed, _ = again(record)
    row = read_run(record.job.directory)
    both = {"commit": f"{'a' * 40} then {'b' * 40}", "wdrun_version": "0.0.9 then 0.1.0"}
    assert {name: row[name] for name in both} == both
    for epoch in epochs[1:]:
        resumed.take(epoch)
    now["commit"] = "c" * 40
    after, _ = again(record)  # nothing is left to train, so c trained nothing
    assert after.over
    assert {name: after.end()[name] for name in both} == both
    assert row["python_version"] == read_run(record.job.directory)["python_version"]


def test_a_killed_epoch_names_no_commit(begun, monkeypatch):
    """What began to resume and died before its first checkpoint trained nothing that is left."""
    record, epochs, _ = begun
    record.fixed["commit"] = "a"
    record.take(epochs[0])
    for commit in "bc":
        monkeypatch.setattr(
            recording.provenance, "describe", lambda commit=commit: {"commit": commit, "wdrun_version": "1"}
        )
        again(record)
        assert read_run(record.job.directory)["commit"] == f"a then {commit}"


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_begun_on_other_data_is_left_alone(begun, kept):
    record, epochs, _ = begun
    record.fixed["data_digest"] = "0" * 64
    record.take(epochs[0])
    if not kept:
        (tensors, values), _ = checkpoint.load(record.job.directory)
        del values["made_with"]
        checkpoint.save(record.job.directory, tensors, values)
    before = read_run(record.job.directory)
    with pytest.raises(
        BusyError, match=f"started with data of SHA-256 {'0' * 64}, the same command gives [0-9a-f]{{64}} here"
    ):
        again(record)
    assert read_run(record.job.directory) == before


def test_a_checkpoint_with_former_names_goes_on_with_those_of_now(begun):
    record, epochs, _ = begun
    for epoch in epochs[:2]:
        record.take(epoch)
    folder = record.job.directory
    before = (folder / "layers.csv").read_bytes()
    (tensors, values), _ = checkpoint.load(folder)
    rows = [{name.removeprefix("last_"): value for name, value in row.items()} for row in values["rows"]["layers"]]
    checkpoint.save(folder, tensors, values | {"rows": values["rows"] | {"layers": rows}})
    Record(record.job, record.trainer, Kept()).close()
    assert (folder / "layers.csv").read_bytes() == before


ONCE = ["diagnostics=[hessian,oui,rank,histograms]", "evaluate=robustness", "evaluate.attack_examples=10"]
FRAGILE = """
import torch
from torch import nn


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            raise RuntimeError("no second derivatives")
        return grad


class Pair(nn.ReLU):
    def forward(self, x):
        return super().forward(x), x


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.fc, self.act, self.head = nn.Linear(3072, 4), Pair(), nn.Linear(4, classes)

    def forward(self, x):
        if x.requires_grad:
            raise RuntimeError("of no use to an attacker")
        return self.head(Once.apply(self.act(self.fc(x.flatten(1)))[0]))
"""


@pytest.mark.parametrize(
    ("more", "at", "files"),
    [(ONCE, "hessian", ()), (["ema=0.9", *ONCE[:1]], "ema", ("evaluation.csv", "ema.safetensors"))],
    ids=["hessian", "ema"],
)
def test_results_are_on_disk_before_what_is_measured_once(tmp_path, monkeypatch, more, at, files):
    """Interrupted there, or killed, the same command measures what is left, to the same bytes."""
    words = [*TINY, *more]
    (whole,) = execute(experiments.jobs([*words, f"output_dir={tmp_path / 'whole'}"], False))
    files = ("run.csv", "metrics.csv", "layers.csv", *files)
    expected = {name: (whole.directory / name).read_bytes() for name in files}
    told, seen = closing, []

    def stopped(trainer, state, tell):
        def leave(what, done, of):
            directory = next((tmp_path / "parts" / "default").glob("linear-*"))
            row = read_run(directory)
            seen.append((what, row["status"], row["test_loss"] != "", (directory / "last.safetensors").exists()))
            if what == at:
                os.kill(os.getpid(), signal.SIGTERM)
            tell(what, done, of)

        return told(trainer, state, leave)

    jobs = experiments.jobs([*words, f"output_dir={tmp_path / 'parts'}"], False)
    with monkeypatch.context() as patch:
        patch.setattr(recording, "closing", stopped)
        with pytest.raises(Interrupted):
            execute(jobs)
    assert seen[-1] == (at, "running", True, True)
    assert [what for what, *_ in seen].count(at) == 1
    row = read_run(jobs[0].directory)
    assert (row["status"], row["epochs_done"], row["hessian_top"]) == ("interrupted", "3", "")
    (parts,) = execute(jobs)
    assert {name: (parts.directory / name).read_bytes() for name in expected} == expected
    assert not (parts.directory / "checkpoint").exists()
    found = load([parts.directory.parent])
    assert (found.problems, len(found.runs)) == ((), 1)


def test_what_cannot_be_measured_is_empty_and_said(tmp_path, monkeypatch, wdrun, capsys):
    (tmp_path / "fragile.py").write_text(FRAGILE)
    monkeypatch.syspath_prepend(tmp_path)
    jobs = experiments.jobs([*TINY, *ONCE, "model._target_=fragile.Net", f"output_dir={tmp_path}"], False)
    (outcome,) = execute(jobs)
    assert outcome.status == "done"
    assert (outcome.directory / "last.safetensors").is_file()
    said = [line for line in capsys.readouterr().err.splitlines() if "could not be measured" in line]
    assert [line.partition("warning: ")[2].split()[0] for line in said] == [
        "oui",
        *4 * ["fgsm"],
        *4 * ["pgd"],
        "hessian",
    ]
    assert said[-1].endswith("left empty: RuntimeError: no second derivatives")
    row = read_run(outcome.directory)
    assert (row["hessian_trace"], row["hessian_top"], row["cause"]) == ("", "", "")
    found = load([outcome.directory.parent])
    assert found.problems == ()
    attacked = found.metrics[found.metrics["corruption"].isin(["fgsm", "pgd"])]
    assert len(attacked) == 8
    assert attacked[["data_loss", "accuracy", "objective"]].isna().all(axis=None)
    others = found.metrics[~found.metrics["corruption"].isin(["fgsm", "pgd"])]
    assert others["data_loss"].notna().all()
    assert found.layers["oui"].isna().all()
    assert found.layers["stable_rank"].notna().sum() == 2 * 3
    assert wdrun("report", str(outcome.directory.parent), capture=capsys)[0] == 0


def test_a_histogram_that_fails_leaves_a_run_that_can_be_read(tmp_path, monkeypatch, wdrun, capsys):
    def fails(w):
        raise MemoryError("no room")

    monkeypatch.setattr(inspector, "histogram", fails)
    (outcome,) = execute(experiments.jobs([*TINY, "diagnostics=[histograms]", f"output_dir={tmp_path}"], False))
    found = load([outcome.directory.parent])
    assert (outcome.status, found.problems) == ("done", ())
    assert found.histograms["bin"].isna().all()
    assert wdrun("report", str(outcome.directory.parent), capture=capsys)[0] == 0


def test_a_checkpoint_that_has_what_is_measured_once_is_not_measured_again(tmp_path, monkeypatch):
    """As one of a former version, which measured before its last checkpoint, or one killed before its last table."""
    words = [*TINY, *ONCE, f"output_dir={tmp_path}"]
    (job,) = experiments.jobs(words, False)
    with monkeypatch.context() as patch:
        patch.setattr(recording, "_finish", lambda *arguments: 1 / 0)
        with hold(job.directory):
            record = Record(job, ready(job.run), Kept())
            for epoch in record.trainer.train():
                record.take(epoch)
            with pytest.raises(ZeroDivisionError):
                record.end()
            record._save(record.state)
            record.close()
    monkeypatch.setattr(recording, "closing", lambda *arguments: pytest.fail("measured again"))
    (outcome,) = execute([job])
    assert (outcome.status, float(outcome.row["hessian_top"]) > 0) == ("done", True)


GROWING = """
import torch
from tests.training.networks import Base, ExtraState

class Counted(ExtraState):
    pass

class Growing(Base):
    def extra(self):
        self.register_buffer("seen", torch.zeros(1))

    def features(self, x):
        found = super().features(x)
        if self.training:
            self.seen = torch.cat([self.seen, found.detach().mean()[None]])
        return found
"""


@pytest.mark.parametrize("name", ["Counted", "Growing"])
def test_a_network_whose_state_grows_goes_on_to_the_same_bytes(tmp_path, monkeypatch, name):
    """Past ten steps the text of a count has one letter more."""
    (tmp_path / "growing_net.py").write_text(GROWING)
    monkeypatch.syspath_prepend(tmp_path)
    words = [*TINY, "data.train_examples=640", "fuse=false", f"model._target_=growing_net.{name}"]
    (whole,) = execute(experiments.jobs([*words, f"output_dir={tmp_path / 'whole'}"], False))
    (job,) = experiments.jobs([*words, f"output_dir={tmp_path / 'parts'}"], False)
    with hold(job.directory):
        record = Record(job, ready(job.run), Kept())
        record.take(next(record.trainer.train()))
        record.interrupted()
    assert record.trainer.steps_per_epoch > 10
    (parts,) = execute([job])
    assert parts.status == "done"
    for file in ("run.csv", "metrics.csv", "layers.csv", "last.safetensors"):
        assert (whole.directory / file).read_bytes() == (parts.directory / file).read_bytes()


def test_more_epochs_than_a_finished_run_had_are_another_run_and_it_is_said(tmp_path, wdrun, capsys):
    words = [*TINY, f"output_dir={tmp_path}"]
    (first,) = execute(experiments.jobs([*words, "epochs=1"], False))
    capsys.readouterr()
    said = f"epochs   another run, from the first epoch: run {first.job.run.id}, which had 1 epoch: had another lr in "
    assert said not in wdrun(*words, "epochs=2", "lambda=0.1", capture=capsys)[2]
    _, _, err = wdrun(*words, "epochs=2", capture=capsys)
    assert f"{said}step 2 (schedule=cosine follows the number of epochs)\n" in err
    assert "another run" not in wdrun(*words, "epochs=2", capture=capsys)[2]


def test_a_rung_of_halving_is_no_run_that_was_to_be_longer(tmp_path, wdrun, capsys):
    """Former versions halved: the short runs of such a folder were never meant to go on."""
    words = [*TINY, f"output_dir={tmp_path}", "lambda=0.1"]
    assert wdrun(*words, "epochs=1", capture=capsys)[0] == 0
    (tmp_path / "default" / "halving.csv").write_text("rung,epochs\n1,1\n2,2\n")
    assert "another run" not in wdrun(*words, "epochs=2", capture=capsys)[2]
