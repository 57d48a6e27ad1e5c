"""A run that is stopped or loses its checkpoints, and may go on from a shorter one: what it begins with, and says."""

import os
import shutil
import signal
import sys

import pytest

from tests.sweep.longer import LAYERS, assert_same, begin_in, stops_in, taken_over, trained
from wdrun.sweep import checkpoint, on_change, recording
from wdrun.sweep.signals import Interrupted


@pytest.fixture
def words(tmp_path, monkeypatch):
    return begin_in(tmp_path, monkeypatch)


@pytest.mark.parametrize("way", ["fuse=false", "fuse=true"])
def test_interrupted_in_its_first_own_epoch_it_has_those_of_the_other(words, way, monkeypatch, capsys):
    words = [*words, way, "precision=fp64"]
    whole = trained(words, "epochs=4", "output_dir=whole")
    short = trained(words, "keep_state=true")
    with monkeypatch.context() as patch:
        if way == "fuse=true":
            patch.setattr(recording.Record, "take", lambda *arguments, **options: pytest.fail("an epoch was trained"))
            patch.setattr("wdrun.terminal.progress.Bar.tick", lambda bar, step: os.kill(os.getpid(), signal.SIGTERM))
        else:
            stops_in(patch, 3)
        with pytest.raises(Interrupted):
            trained(words, "epochs=4")
    assert "interrupted after 2 of 4 epochs; the same command goes on from there\n" in capsys.readouterr().err
    shutil.rmtree(short)
    long = trained(words, "epochs=4")
    said = capsys.readouterr().err
    assert ("resuming after epoch 2 of 4" in said, " gone" in said, "going on" in said) == (True, False, False)
    assert_same(long, whole)


@pytest.mark.parametrize("kind", ["damaged", "gone"])
def test_what_is_lost_is_told_with_what_it_begins_with(words, kind, tmp_path, monkeypatch, capsys):
    """A run that lost its checkpoints goes on from a shorter one, which was not there when it began."""
    with monkeypatch.context() as patch:
        stops_in(patch, 3)
        with pytest.raises(Interrupted):
            trained(words, "epochs=4")
    (long,) = (path.parent for path in (tmp_path / "outputs").glob("*/*/run.csv"))
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        (long / name).write_bytes(b"") if kind == "damaged" else (long / name).unlink()
    short = trained(words, "keep_state=true")
    capsys.readouterr()
    trained(words, "epochs=4")
    said = capsys.readouterr().err
    lost = {
        "damaged": "warning: no sound checkpoint is left; training goes on from a shorter run\n",
        "gone": "its checkpoint is gone, and with it 2 epochs; training goes on from a shorter run\n",
    }
    assert lost[kind] in said
    assert "starts again" not in said
    assert taken_over(long, short) == 2


def test_where_other_code_trains_again_a_shorter_run_of_it_serves(words, tmp_path, monkeypatch, capsys):
    words = [*words, "model._target_=longer_net.Net"]
    with monkeypatch.context() as patch:
        stops_in(patch, 3)
        with pytest.raises(Interrupted):
            trained(words, "epochs=4")
    (tmp_path / "longer_net.py").write_text(LAYERS.replace("0.3", "0.25"))
    sys.modules.pop("longer_net")
    short = trained(words, "keep_state=true")
    capsys.readouterr()
    monkeypatch.setattr(on_change, "decide", lambda *arguments, **options: None)  # its row tells, and begins
    long = trained(words, "epochs=4", "on_change=retrain")
    said = capsys.readouterr().err
    assert "longer_net.py has changed since it was begun: training goes on from a shorter run\n" in said
    assert taken_over(long, short) == 2
