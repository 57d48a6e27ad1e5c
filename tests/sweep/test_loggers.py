"""Loggers write what the tables hold, once an epoch, below the run's folder; they never stop or change a run."""

import csv
import importlib.util
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import types
from collections import Counter

import pytest

from tests.runs import TINY, changed, job
from wdrun import cli
from wdrun.sweep import checkpoint, loggers, recording
from wdrun.sweep.execute import execute
from wdrun.sweep.signals import Interrupted
from wdrun.tables.read import read_run, read_table

WORDS = changed(TINY, "lambda=1", "epochs=3", "evaluate.brightness=[1.5]")
TABLES = ("run.csv", "metrics.csv", "layers.csv", "histograms.csv", "last.safetensors", "best.safetensors")


class Killed(BaseException):
    """The process is gone: nothing handles this."""


def train(folder, *words):
    (outcome,) = execute([job(f"output_dir={folder}", *words, base=WORDS)])
    return outcome


def points(directory):
    """(name, epoch) -> value of every score of metrics.csv, named by hand."""
    found = {}
    for row in read_table(directory / "metrics.csv").to_dict("records"):
        what = f"{row['corruption']}/{row['severity']}/" if row["corruption"] else ""
        for score in ("data_loss", "accuracy", "ece", "brier", "margin", "penalty", "objective"):
            if row[score] == row[score]:
                found[f"{row['split']}/{what}{score}", row["epoch"]] = row[score]
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The tables of the run without a logger, and its points."""
    directory = train(tmp_path_factory.mktemp("plain")).directory
    return {name: (directory / name).read_bytes() for name in TABLES}, points(directory)


class Fake:
    """A logger that keeps what it is told; it fails at the call named `fails`."""

    fails, message = None, "the disk\nis full"
    opened: list["Fake"] = []  # noqa: RUF012 - the fixture empties it

    def __init__(self, folder, job):
        self.calls, self.folder, self.job = [], folder, job
        Fake.opened.append(self)
        self._note("open")

    def _note(self, name, *what):
        self.calls.append((name, *what))
        if self.fails == name:
            raise RuntimeError(self.message)

    def log(self, epoch, scalars):
        self._note("log", epoch, scalars)

    def end(self, summary):
        self._note("end", summary)

    def close(self, status):
        self._note("close", status)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(loggers, "SINKS", {"wandb": Fake})
    monkeypatch.setattr(loggers, "check", lambda name: None)
    monkeypatch.setattr(Fake, "opened", [])
    return Fake


def logged(sink):
    return {(name, call[1]): value for call in sink.calls if call[0] == "log" for name, value in call[2].items()}


def test_every_score_of_the_tables_is_logged_once_and_the_tables_are_the_same(fake, tmp_path, plain):
    directory = train(tmp_path, "logger=wandb").directory
    assert {name: (directory / name).read_bytes() for name in TABLES} == plain[0]
    (sink,) = fake.opened
    assert [call[:2] for call in sink.calls if call[0] == "log"] == [("log", 1), ("log", 2), ("log", 3)]
    assert logged(sink) == plain[1]
    assert {name for name, _ in plain[1]} >= {"train/data_loss", "val/accuracy", "test/brightness/1/accuracy"}
    assert [call[0] for call in sink.calls[-2:]] == ["end", "close"]
    summary = sink.calls[-2][1]
    row = read_run(directory)
    assert summary["status"] == "done"
    assert summary["test/accuracy"] == float(row["test_accuracy"])
    assert summary["total_decay"] == float(row["total_decay"])
    assert sink.calls[-1] == ("close", "done")
    assert sink.folder == directory / "wandb"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("save", [1, 2, 3])
def test_a_run_killed_around_a_checkpoint_ends_with_every_epoch_logged_once(
    fake, tmp_path, plain, monkeypatch, save, moment
):
    true, count = checkpoint.save, []

    def dying(*arguments):
        count.append(1)
        if len(count) == save and moment == "before":
            raise Killed
        true(*arguments)
        if len(count) == save:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", dying)
        with pytest.raises(Killed):
            train(tmp_path, "logger=wandb")
    (old,) = (sink.folder for sink in fake.opened)
    (old / "of the first process").touch()
    directory = train(tmp_path, "logger=wandb").directory
    assert not (old / "of the first process").exists()
    first, second = fake.opened
    assert first.calls[-1] == ("close", "interrupted")
    assert [call[1] for call in second.calls if call[0] == "log"] == [1, 2, 3]
    assert logged(second) == plain[1]
    assert second.calls[-1] == ("close", "done")
    assert {name: (directory / name).read_bytes() for name in TABLES} == plain[0]


def test_a_measurement_that_is_interrupted_empties_no_column_and_logs_no_epoch_twice(
    fake, tmp_path, plain, monkeypatch
):
    def stopped(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return closing(*arguments)

    closing = recording.closing
    with monkeypatch.context() as patch:
        patch.setattr(recording, "closing", stopped)
        with pytest.raises(Interrupted):
            train(tmp_path, "logger=wandb")
    (first,) = fake.opened
    assert [call[:2] for call in first.calls] == [
        ("open",),
        ("log", 1),
        ("log", 2),
        ("log", 3),
        ("close", "interrupted"),
    ]
    row = read_run(job(f"output_dir={tmp_path}", base=WORDS).directory)
    (done,) = csv.DictReader(io.StringIO(plain[0]["run.csv"].decode()))
    assert {name for name in row if row[name] != done[name]} == {"status"}
    assert row["status"] == "interrupted"
    directory = train(tmp_path, "logger=wandb").directory
    assert logged(fake.opened[1]) == plain[1]
    assert [call[1] for call in fake.opened[1].calls if call[0] == "log"] == [1, 2, 3]
    assert {name: (directory / name).read_bytes() for name in TABLES} == plain[0]


@pytest.mark.parametrize(
    ("call", "message", "says"),
    [
        ("open", "the disk\nis full", "RuntimeError: the disk"),
        ("log", "", "RuntimeError"),
        ("end", "\n\nthe disk", "RuntimeError: the disk"),
        ("close", "the disk\nis full", "RuntimeError: the disk"),
    ],
)
def test_a_logger_that_fails_warns_once_and_changes_nothing(
    fake, tmp_path, plain, monkeypatch, capsys, call, message, says
):
    monkeypatch.setattr(Fake, "fails", call)
    monkeypatch.setattr(Fake, "message", message)
    outcome = train(tmp_path, "logger=wandb")
    said = [line for line in capsys.readouterr().err.splitlines() if "warning: logger" in line]
    assert said == [f"warning: logger=wandb stopped ({says}); the run goes on without it, its tables are complete"]
    assert outcome.status == "done"
    assert {name: (outcome.directory / name).read_bytes() for name in TABLES} == plain[0]
    assert [c[0] for c in fake.opened[0].calls].count(call) == 1


def test_a_diverged_run_is_closed_as_one(fake, tmp_path):
    outcome = train(tmp_path, "logger=wandb", "lr=1e30")
    assert outcome.status == "diverged"
    (sink,) = fake.opened
    assert [call[0] for call in sink.calls] == ["open", "end", "close"]
    assert sink.calls[1][1]["cause"]
    assert sink.calls[2] == ("close", "diverged")


def test_without_a_logger_nothing_is_imported_or_left(here):
    code = f"""
import sys
from wdrun import cli
try:
    cli.main({[*WORDS, "epochs=1"]!r})
except SystemExit as end:
    print(end.code, sorted({{m.partition(".")[0] for m in sys.modules}} & {{"tensorboard", "wandb", "mlflow"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    assert not [p for p in here.rglob("*") if p.name in ("tensorboard", "wandb", "mlflow")]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_one_line_before_anything_exists(name, here, monkeypatch, capsys):
    true = importlib.util.find_spec
    (here / name).mkdir()  # a folder of that name, such as wandb makes, is no package
    folder = types.SimpleNamespace(origin=None)
    for answer in (None, folder):
        monkeypatch.setattr(importlib.util, "find_spec", lambda n, a=answer: a if n == name else true(n))
        with pytest.raises(SystemExit) as stop:
            cli.main([*WORDS, f"logger={name}"])
        out, err = capsys.readouterr()
        assert (stop.value.code, out) == (2, "")
        assert err == f"wdrun: logger={name}: needs the extra: pip install 'wdrun[{name}]'\n"
        assert [p.name for p in here.iterdir()] == [name]


def test_a_check_of_no_logger_is_silent_and_one_that_is_there_is_not_imported(monkeypatch, tmp_path):
    loggers.check(None)
    (tmp_path / "mlflow.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    loggers.check("mlflow")


def installed(name):
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"needs the extra {name}")


def resumed(tmp_path, monkeypatch, name):
    """The folder of a run that was killed after its second checkpoint and finished by a second call."""
    true, count = checkpoint.save, []

    def dying(*arguments):
        true(*arguments)
        count.append(1)
        if len(count) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", dying)
        with pytest.raises(Killed):
            train(tmp_path, f"logger={name}")
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    directory = train(tmp_path, f"logger={name}").directory
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    return directory


@installed("tensorboard")
def test_tensorboard_for_real(tmp_path, monkeypatch, plain, capsys):
    directory = resumed(tmp_path, monkeypatch, "tensorboard")
    assert "warning: logger" not in capsys.readouterr().err
    assert {name: (directory / name).read_bytes() for name in TABLES} == plain[0]
    from google.protobuf.json_format import MessageToDict
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    values, times, hparams = {}, Counter(), {}
    for path in sorted((directory / "tensorboard").iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    hparams |= MessageToDict(data).get("sessionStartInfo", {}).get("hparams", {})
                else:
                    values[value.tag, event.step] = value.tensor.float_val[0]
                    times[value.tag, event.step] += 1
    final = {tag.removeprefix("final/"): v for (tag, _), v in values.items() if tag.startswith("final/")}
    scores = {key: v for key, v in values.items() if not key[0].startswith("final/")}
    assert scores.keys() == plain[1].keys()
    assert scores == pytest.approx(plain[1], rel=1e-6)  # it keeps float32
    assert set(times.values()) == {1}
    assert final["test/accuracy"] == pytest.approx(plain[1]["test/accuracy", 3], rel=1e-6)
    assert hparams["lambda"] == 1
    assert hparams["model.name"] == "linear"


def leveldb_log(content):
    """The records of a file in LevelDB's log format: blocks of 32 KiB, heads of 7 bytes."""
    at, parts = 7, []
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:  # too little for a piece's head: padding
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts.append(content[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece of one
            yield b"".join(parts)
            parts = []


@installed("wandb")
@pytest.mark.launchers
def test_wandb_for_real(tmp_path, monkeypatch, plain, capsys):
    directory = resumed(tmp_path, monkeypatch, "wandb")
    out, err = capsys.readouterr()
    assert (out, "warning: logger" in err) == ("", False)
    assert {name: (directory / name).read_bytes() for name in TABLES} == plain[0]
    from wandb.proto.wandb_internal_pb2 import Record

    def values(items):
        return {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in items}

    (path,) = (directory / "wandb").glob("offline-run-*/*.wandb")
    found, knobs, summary, times = {}, {}, {}, Counter()
    for record in map(Record.FromString, leveldb_log(path.read_bytes())):
        knobs |= values(record.run.config.update)
        summary |= values(record.summary.update)
        history = values(record.history.item)
        step = history.get("_step")
        own = {(name, step): value for name, value in history.items() if not name.startswith("_")}
        found |= own
        times.update(own.keys())
    assert found == plain[1]
    assert set(times.values()) == {1}
    assert knobs["lambda"] == 1
    assert summary["status"] == "done"
    assert summary["test/accuracy"] == plain[1]["test/accuracy", 3]


@installed("mlflow")
@pytest.mark.launchers
def test_mlflow_for_real(tmp_path, monkeypatch, plain, capsys):
    monkeypatch.chdir(tmp_path)
    directory = resumed(tmp_path, monkeypatch, "mlflow")
    out, err = capsys.readouterr()
    assert (out, "warning: logger" in err) == ("", False)
    assert {name: (directory / name).read_bytes() for name in TABLES} == plain[0]
    store = sqlite3.connect(directory / "mlflow" / "mlflow.db")
    rows = store.execute("select key, step, value from metrics").fetchall()
    params = dict(store.execute("select key, value from params").fetchall())
    (status,) = store.execute("select status from runs").fetchone()
    store.close()
    scores = {(key, step): value for key, step, value in rows if not key.startswith("final/")}
    assert scores == plain[1]
    assert len(rows) == len({(key, step) for key, step, _ in rows})
    assert {key: v for key, _, v in rows}["final/test/accuracy"] == plain[1]["test/accuracy", 3]
    assert params["lambda"] == "1.0"
    assert status == "FINISHED"
    assert not (tmp_path / "mlruns").exists()
