"""Runs on disk: resumed from what is sound, skipped when finished, failures and twins; kills are in test_crash."""

import math
from functools import partial
from pathlib import Path

import pytest

from tests import runs
from wdrun.errors import BusyError
from wdrun.storage import hold
from wdrun.sweep import checkpoint, one_run, recording
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import finished
from wdrun.sweep.outcome import exit_code
from wdrun.tables.read import read_table

jobs = partial(runs.jobs, base=(*runs.TINY, "lambda=1e-2"))
FILES = ("run.csv", "metrics.csv", "layers.csv", "last.safetensors", "best.safetensors")


class Killed(BaseException):
    """The process is gone: nothing handles this."""


def content(folder):
    (run,) = [p.parent for p in Path(folder).glob("*/*/run.csv")]
    return {name: (run / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    execute(jobs(folder))
    return content(folder)


def test_a_finished_run_is_not_touched(tmp_path):
    execute(jobs(tmp_path))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/*/*") if p.is_file()}
    (again,) = execute(jobs(tmp_path))
    assert again.skipped
    assert again.status == "done"
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/*/*") if p.is_file()} == before


def test_a_damaged_checkpoint_costs_an_epoch_and_is_named(tmp_path, capsys, whole):
    with pytest.MonkeyPatch.context() as monkeypatch:
        saves = []
        true = checkpoint.save

        def save(*arguments):
            true(*arguments)
            saves.append(1)
            if len(saves) == 2:
                raise Killed

        monkeypatch.setattr(checkpoint, "save", save)
        monkeypatch.setattr(recording, "FOLLOW_SECONDS", 0.0)
        with pytest.raises(Killed):
            execute(jobs(tmp_path))
    (path,) = tmp_path.glob("*/*/checkpoint")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    execute(jobs(tmp_path))
    said = capsys.readouterr().err
    assert "its SHA-256 does not match" in said
    assert "resuming after epoch 1 of 2" in said
    assert content(tmp_path) == whole


def test_a_checkpoint_of_another_machine_setting_is_refused(tmp_path):
    with pytest.MonkeyPatch.context() as monkeypatch:
        killed = lambda *of: (_ for _ in ()).throw(Killed) if _saved(tmp_path) else None  # noqa: E731
        monkeypatch.setattr(recording, "write_tables", killed)
        with pytest.raises(Killed):
            execute(jobs(tmp_path))
    with pytest.MonkeyPatch.context() as monkeypatch:
        from wdrun import devices

        true = devices.describe
        monkeypatch.setattr(devices, "describe", lambda machine: true(machine) | {"torch_version": "9.9"})
        (outcome,) = execute(jobs(tmp_path))
    assert outcome.status == "busy"
    assert "started with torch_version=" in str(outcome.error)
    assert exit_code([outcome]) == 4


def test_what_a_killed_process_left_of_a_finished_run_is_removed_by_who_may(tmp_path, monkeypatch):
    (outcome,) = execute(jobs(tmp_path))
    left = outcome.directory / "checkpoint"
    left.write_bytes(b"")
    with hold(outcome.directory):  # by another, who is to remove it, or to keep it
        assert (finished(outcome.job).status, left.exists()) == ("done", True)

    def refused(directory, keep):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "remove", refused)
        assert (finished(outcome.job).status, left.exists()) == ("done", True)
    assert (finished(outcome.job).status, left.exists()) == ("done", False)


def _saved(folder):
    return list(folder.glob("*/*/checkpoint"))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError(""), "RuntimeError"),
        (SystemExit(), "SystemExit"),
        (SystemExit(3), "SystemExit: 3"),
        (RuntimeError("\n\nthird\nfourth"), "RuntimeError: third"),
        (RuntimeError("one\ntwo"), "RuntimeError: one"),
    ],
)
def test_the_cause_of_a_failure_is_one_line_that_says_something(error, cause, tmp_path, monkeypatch):
    def broken(*arguments):
        raise error

    monkeypatch.setattr(one_run, "train", broken)
    (outcome,) = execute(jobs(tmp_path))
    assert (outcome.status, outcome.row["cause"]) == ("failed", cause)
    assert read_table(tmp_path / "default" / "runs.csv")["cause"].tolist() == [cause]


def test_the_tables_of_a_run_that_fails_have_its_epochs_however_quick_they_were(tmp_path, monkeypatch, capsys):
    from wdrun.training.trainer import Trainer

    true = Trainer.evaluate

    def evaluate(self, split, number, *arguments):
        if number == 4:
            raise RuntimeError("broken on purpose")
        return true(self, split, number, *arguments)

    monkeypatch.setattr(Trainer, "evaluate", evaluate)
    monkeypatch.setattr(recording, "FOLLOW_SECONDS", math.inf)
    (outcome,) = execute(jobs(tmp_path, "epochs=5"))
    assert outcome.status == "failed"
    assert read_table(outcome.directory / "metrics.csv")["epoch"].unique().tolist() == [1, 2, 3]
    assert read_table(outcome.directory / "run.csv")["status"].tolist() == ["failed"]
    monkeypatch.undo()
    execute(jobs(tmp_path, "epochs=5"))
    assert "resuming after epoch 3 of 5" in capsys.readouterr().err


def test_one_failing_run_is_a_row_and_the_others_finish(tmp_path, monkeypatch, capsys):
    from wdrun.training.trainer import Trainer

    true = Trainer.evaluate

    def evaluate(self, *arguments):
        if self.run.seed == 1:
            raise RuntimeError("broken on purpose")
        return true(self, *arguments)

    monkeypatch.setattr(Trainer, "evaluate", evaluate)
    outcomes = execute(jobs(tmp_path, "seed=0,1,2"))
    assert [o.status for o in outcomes] == ["done", "failed", "done"]
    assert exit_code(outcomes) == 1
    runs = read_table(tmp_path / "default" / "runs.csv").sort_values("seed")
    assert runs["status"].tolist() == ["done", "failed", "done"]
    assert runs["cause"].tolist()[1] == "RuntimeError: broken on purpose"
    assert "broken on purpose" in (outcomes[1].directory / "error.log").read_text()
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.undo()
    outcomes = execute(jobs(tmp_path, "seed=0,1,2"))
    assert [(o.status, o.skipped) for o in outcomes] == [("done", True), ("done", False), ("done", True)]


def test_a_run_alone_that_another_process_holds_is_left_to_it(tmp_path, capsys):
    (first,) = jobs(tmp_path)
    with hold(first.directory):
        (outcome,) = execute([first])
    assert outcome.status == "busy"
    assert isinstance(outcome.error, BusyError)
    assert exit_code([outcome]) == 4
    assert "busy: " in capsys.readouterr().err


def test_the_order_of_a_sweep_changes_no_bit(tmp_path):
    forward, backward = tmp_path / "a", tmp_path / "b"
    words = ("decay=l2,l1", "seed=0,1")
    execute(jobs(forward, *words))
    execute(list(reversed(jobs(backward, *words))))
    for name in ("runs.csv", "metrics.csv", "layers.csv"):
        assert (forward / "default" / name).read_bytes() == (backward / "default" / name).read_bytes()


def test_without_decay_is_one_run_and_tells_what_decay_bought(tmp_path, capsys):
    execute(jobs(tmp_path, "decay=none,l2", "lambda=1e-2,1e-1"))
    assert "4 jobs are 3 distinct runs" in capsys.readouterr().err
    execute(jobs(tmp_path, "lambda=3e-2"))
    assert capsys.readouterr().err.count("against the same run without decay: val ") == 1
    execute(jobs(tmp_path, "seed=5"))
    assert "what it bought: compare with `wdrun data=synthetic" in capsys.readouterr().err


def test_the_run_without_decay_is_found_by_its_numbers_and_its_data(tmp_path, capsys):
    words = ("model=mlp", "model.hidden=[2]", "epochs=1")
    (zero,) = execute(jobs(tmp_path, *words, "lambda=0", "model.dropout=0", "data.noise=1"))
    again = (*words, "model.dropout=-0.0", "data.noise=1.0")
    capsys.readouterr()
    execute(jobs(tmp_path, *again, "lambda=3e-2"))
    assert "against the same run without decay: val " in capsys.readouterr().err
    path = zero.directory / "run.csv"
    path.write_text(path.read_text().replace(zero.row["data_digest"], "0" * 64))
    execute(jobs(tmp_path, *again, "lambda=4e-2"))
    assert "against the same run without decay" not in capsys.readouterr().err


def test_a_diverged_run_has_no_weights_and_is_not_trained_again(tmp_path):
    words = ("lr=1e12", "schedule=constant", "epochs=4")
    (outcome,) = execute(jobs(tmp_path, *words))
    assert outcome.status == "diverged"
    assert exit_code([outcome]) == 3
    assert outcome.result()["cause"]
    assert not list(tmp_path.rglob("*.safetensors"))
    (again,) = execute(jobs(tmp_path, *words, "allow_diverged=true"))
    assert again.skipped
    assert exit_code([again]) == 0
