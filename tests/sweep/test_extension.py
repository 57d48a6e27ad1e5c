"""More epochs than a finished run had: from its end, with the bytes of one go; or from the first epoch, and why."""

import sys

import pytest

from tests.runs import TINY, changed
from wdrun.config import experiments
from wdrun.storage import TEMPORARY
from wdrun.sweep.execute import execute

LAYERS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3072, 8)
        self.drop = nn.Dropout(0.3)
        self.norm = nn.BatchNorm1d(8)
        self.out = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.out(self.drop(torch.relu(self.norm(self.fc(x.flatten(1))))))
"""
SAME = ("run.csv", "metrics.csv", "layers.csv", "histograms.csv", "last.safetensors", "best.safetensors")
CONSTANT = "schedule=constant"


@pytest.fixture
def words(tmp_path, monkeypatch):
    (tmp_path / "longer_net.py").write_text(LAYERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return changed(TINY, CONSTANT, "epochs=2")


def trained(words, *more):
    (outcome,) = execute(experiments.jobs(changed(words, *more), False))
    assert outcome.status == "done", outcome
    return outcome.directory


@pytest.mark.parametrize(
    "more",
    [
        ["optimizer=adam", "decay=random_mask", "lambda=0.1", "model._target_=longer_net.Net", "diagnostics=[hessian]"],
        ["decay=cpr", "lambda=0.1", "early_stopping.patience=3", "diagnostics=[histograms]", "evaluate.blur=[1]"],
        ["schedule.warmup=1", "lambda=0.1", "decay=l2_init"],  # twice as many epochs: half of each progress, exactly
    ],
)
def test_a_longer_run_goes_on_to_the_bytes_of_one_go(words, more, capsys):
    words = [*words, *more]
    whole = trained(words, "epochs=4", "output_dir=whole")
    short = trained(words, "keep_state=true")
    before = {path.name: path.read_bytes() for path in short.iterdir() if path.is_file()}
    capsys.readouterr()
    long = trained(words, "epochs=4", "output_dir=outputs")
    err = capsys.readouterr().err
    assert f"going on from the end of run {short.name[-8:]}, which had 2 epochs\n" in err
    assert ("epoch 3/4" in err, "epoch 2/4" in err) == (True, False)
    assert long.name == whole.name  # its id is that of four epochs
    for name in SAME:
        assert (long / name).read_bytes() == (whole / name).read_bytes(), name
    assert before == {path.name: path.read_bytes() for path in short.iterdir() if path.is_file()}
    assert not (long / "kept.checkpoint").exists()


def test_of_several_the_longest_serves_also_in_a_sweep(words, capsys):
    trained(words, "epochs=1", "keep_state=true")
    two = trained(words, "epochs=2", "keep_state=true")
    capsys.readouterr()
    trained(words, "epochs=3", "keep_state=true")
    assert f"from the end of run {two.name[-8:]}, which had 2 epochs" in capsys.readouterr().err
    ended = execute(experiments.jobs(changed(words, "epochs=4,5", "keep_state=true"), True))
    whole = trained(words, "epochs=5", "output_dir=whole")
    assert (ended[1].directory / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert [row["epochs"] for row in (outcome.row for outcome in ended)] == [4, 5]


@pytest.mark.parametrize(
    ("more", "longer", "why"),
    [
        (["keep_state=false"], [], "did not keep its optimizer's state (keep_state=true does)"),
        (["schedule=cosine"], [], "had another lr in step 2 (schedule=cosine follows the number of epochs)"),
        (["decay.normalized=true", "lambda=0.1"], [], "had another λ in step 1 (its schedule follows the number of"),
        (["early_stopping.patience=1", "lr=1e-9"], [], "was over by early_stopping.patience=1"),
        (["threads=1"], ["threads=2"], None),  # another run altogether
    ],
)
def test_where_it_cannot_the_reason_is_said(words, more, longer, why, capsys):
    words = changed([*words, "keep_state=true"], *more)
    short = trained(words)
    capsys.readouterr()
    trained(words, "epochs=3", *longer)
    err = capsys.readouterr().err
    said = f"epochs   another run, from the first epoch: run {short.name[-8:]}, which had 2 epochs, {why}"
    assert (said in err) == (why is not None), err
    assert "epoch 1/3" in err


def test_the_end_of_other_code_is_no_part_of_it(words, tmp_path, monkeypatch, capsys):
    words = [*words, "keep_state=true", "model._target_=longer_net.Net"]
    trained(words)
    capsys.readouterr()
    monkeypatch.delitem(sys.modules, "longer_net")
    (tmp_path / "longer_net.py").write_text(LAYERS.replace("0.3", "0.25"))
    trained(words, "epochs=3")
    err = capsys.readouterr().err
    assert "which had 2 epochs, longer_net.py has changed\n" in err
    assert "epoch 1/3" in err


def test_a_damaged_end_is_none(words, capsys):
    short = trained(words, "keep_state=true")
    content = (short / "kept.checkpoint").read_bytes()
    (short / "kept.checkpoint").write_bytes(content[:-1])
    capsys.readouterr()
    trained(words, "epochs=3")
    assert "did not keep its optimizer's state" in capsys.readouterr().err
    assert (short / "kept.checkpoint").read_bytes() == content[:-1]


def test_a_run_trained_again_keeps_no_end_of_before(words, tmp_path, capsys):
    words = [*words, "model._target_=longer_net.Net"]
    short = trained(words, "keep_state=true")
    (tmp_path / "longer_net.py").write_text(LAYERS.replace("0.3", "0.25"))
    sys.modules.pop("longer_net")
    assert trained(words, "on_change=retrain") == short
    assert not (short / "kept.checkpoint").exists()
    assert TEMPORARY.fullmatch(".kept.checkpoint.123.tmp")
