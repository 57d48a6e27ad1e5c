"""A run measured later has the rows that it would have had, bit for bit, had it been trained with the words."""

import csv
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import wdrun
from tests import runs
from wdrun.config import experiments
from wdrun.errors import ConfigError
from wdrun.sweep import measurement
from wdrun.sweep.evaluate import measure
from wdrun.sweep.execute import execute
from wdrun.sweep.measurement import asked
from wdrun.tables.columns import EVALUATIONS, METRICS
from wdrun.training import network

RESULTS = Path(__file__).parent.parent / "results"
BASE = (*runs.TINY, "lambda=1e-2", "batch_size=20", "lr=0.1")
SHIFTS = ("evaluate=full", "evaluate.gaussian_noise=[0.1,0.3]", "evaluate.blur=[1]", "evaluate.brightness=[]")
SHIFTS += ("evaluate.contrast=[0.5]", "evaluate.fgsm=[2]", "evaluate.pgd=[8]", "evaluate.attack_examples=20")
EVERYTHING = (*SHIFTS, "diagnostics=[histograms,oui,hessian]")
OF_WEIGHTS = EVERYTHING[-1:]
REGRESSION = (
    "data=regression",
    "model=linear",
    "batch_size=4",
    "epochs=2",
    "threads=1",
    "precision=fp32",
    "lambda=0.1",
)
SAME = [column.name for column in METRICS if column.name != "id"]
CUBIC = "defaults: [_shared, _self_]\nname: cubic\n_target_: own.Cubic\nlambda: 0.01\n"
OWN = """
from dataclasses import dataclass
from torch import nn
from wdrun.decay import Regularizer
@dataclass(frozen=True)
class Cubic(Regularizer):
    def value(self, w):
        return w.abs().pow(3).sum()
class Net(nn.Module):
    def __init__(self, input_shape, classes, width=6):
        super().__init__()
        self.z = nn.Conv2d(input_shape[0], width, 3)
        self.a = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.m = nn.Linear(4 * width, classes)
    def forward(self, x):
        return self.m(self.a(self.z(x)))
"""


def table(directory, name):
    with (directory / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def trained(folder, *words, base=BASE, config_dir=None):
    line = runs.changed(base, f"output_dir={folder}", *words)
    (job,), _ = experiments.sweep([line], config_dir)
    (outcome,) = execute([job])
    assert outcome.status == "done"
    return outcome.directory


def last_of(directory, name, key="epoch"):
    rows = table(directory, name)
    return [row for row in rows if row[key] == rows[-1][key]]


def assert_same(directory, told, later=EVERYTHING, **options):
    """`directory` measured later has the rows that `told`, trained with the words, has of its last epoch."""
    measure(str(directory), *later, **options)
    found = table(directory, "evaluation")
    wanted = [row for row in last_of(told, "metrics") if row["split"] != "train"]
    mine = [row for row in found if row["split"] != "train"]
    assert [[row[name] for name in SAME] for row in mine] == [[row[name] for name in SAME] for row in wanted]
    (train,), (whole,) = ([row for row in found if row["split"] == "train"], table(told, "run"))
    hessian = ("hessian_trace", "hessian_trace_error", "hessian_top")
    assert [train[name] for name in hessian] == [whole[name] for name in hessian]
    for name, own in (("evaluation_layers", "layers"), ("evaluation_histograms", "histograms")):
        same = [c.name for c in EVALUATIONS[name] if c.name not in ("id", "weights", "words")]
        wanted = [[row[column] for column in same] for row in last_of(told, own)]
        assert [[row[column] for column in same] for row in table(directory, name)] == wanted
    return found


@pytest.mark.parametrize(
    "words",
    [
        (*runs.MLP, "seed=3"),
        (*runs.CNN, "precision=fp64", "decay=elastic_net"),
        (*runs.CNN, "precision=bf16", "optimizer=adam", "lr=0.01", "decay=l2_init", "model.dropout=0.2"),
        ("data.folds=3", "fold=2", "decay=l1", "decay.coupling=proximal"),
        ("data.label_noise=0.3", "data.train_size=0.5", "data.split_seed=4"),
        (*runs.MLP, "early_stopping.patience=1", "epochs=6", "lr=2", "precision=fp64"),
    ],
    ids=lambda words: " ".join(words),
)
def test_the_rows_are_those_the_run_would_have_had(words, tmp_path):
    found = assert_same(trained(tmp_path / "a", *words), trained(tmp_path / "b", *words, *EVERYTHING))
    patient = any("patience" in word for word in words)
    assert {(row["split"], row["weights"]) for row in found} == {
        ("train", "last"), ("val", "last"), ("test", "best" if patient else "last"),
    }  # fmt: skip


@pytest.mark.parametrize("words", [(*runs.CNN, "model.norm=batch"), (*runs.MLP, "early_stopping.patience=1")])
def test_a_run_measures_its_average_as_it_is_measured_later(words, tmp_path):
    """The rows of val and test are there when it ends; measured again they are the same, and train's comes beside."""
    directory = trained(tmp_path, *words, "ema=0.9", "epochs=3")
    there = table(directory, "evaluation")
    assert [(row["weights"], row["split"]) for row in there] == [("ema", "val"), ("ema", "test")]
    assert table(tmp_path / "default", "evaluation") == there
    found = measure(str(directory), "weights=ema")
    assert [*found["split"]] == ["train", "val", "test"]
    assert table(directory, "evaluation")[1:] == there
    last = table(directory, "metrics")[-2]
    assert last["split"] == "val"
    assert last["data_loss"] != there[0]["data_loss"]


def test_the_average_of_a_run_is_a_file_of_weights(tmp_path, capsys):
    directory = trained(tmp_path, *runs.MLP, "ema=0.5")
    module = wdrun.run(*runs.changed(BASE, f"output_dir={tmp_path}", *runs.MLP, "ema=0.5")).module("ema")
    weights = load_file(directory / "ema.safetensors")
    assert weights.keys() == load_file(directory / "last.safetensors").keys()
    assert all(torch.equal(w, weights[name]) for name, w in module.state_dict().items())
    begun = runs.trainer(*runs.MLP, f"init_from={directory}/ema.safetensors", base=BASE)
    assert all(torch.equal(w, weights[name]) for name, w in network.trained(begun.model).items())
    plain = trained(tmp_path, *runs.MLP)
    assert not (plain / "ema.safetensors").exists()
    assert not (plain / "evaluation.csv").exists()
    capsys.readouterr()
    assert measure(str(plain), "weights=ema").empty
    assert "its ema.safetensors is not there: only a run with ema= keeps it" in capsys.readouterr().err


def test_of_a_regression(tmp_path):
    plain, told = (trained(tmp_path / name, *more, base=REGRESSION) for name, more in (("a", ()), ("b", OF_WEIGHTS)))
    assert_same(plain, told, OF_WEIGHTS)


def test_of_a_model_and_a_decay_of_ones_own(here, monkeypatch):
    (here / "own.py").write_text(OWN)
    (here / "mine" / "decay").mkdir(parents=True)
    (here / "mine" / "decay" / "cubic.yaml").write_text(CUBIC)
    monkeypatch.syspath_prepend(str(here))
    words = ("model._target_=own.Net", "+model.width=5", "decay=cubic")
    plain, told = (
        trained(here / name, *words, *more, config_dir="mine") for name, more in [("a", ()), ("b", EVERYTHING)]
    )
    assert_same(plain, told, config_dir="mine")


def test_best_weights_have_the_scores_of_their_epoch(tmp_path):
    plain = trained(tmp_path, "epochs=6", "lr=2")
    (whole,) = table(plain, "run")
    assert int(whole["best_epoch"]) < 6
    measure(str(plain), "weights=best")
    (of_epoch,) = (r for r in table(plain, "metrics") if (r["epoch"], r["split"]) == (whole["best_epoch"], "val"))
    (mine,) = (row for row in table(plain, "evaluation") if row["split"] == "val")
    same = [name for name in SAME if name != "epoch"]
    assert [mine[name] for name in same] == [of_epoch[name] for name in same]
    layers = [row for row in table(plain, "layers") if row["epoch"] == whole["best_epoch"]]
    norms = ("parameter", "l1_norm", "l2_norm", "sparsity", "near_zero", "dead_filters")
    assert [[row[n] for n in norms] for row in table(plain, "evaluation_layers")] == [
        [row[n] for n in norms] for row in layers
    ]


def test_nothing_of_the_runs_own_is_touched_and_what_is_measured_is_not_measured_again(tmp_path, monkeypatch):
    plain = trained(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in plain.rglob("*") if path.is_file()}
    first = measure(str(plain), "evaluate=calibration")
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert {path.name for path in plain.iterdir()} - {path.name for path in before} - {".hydra"} == {
        "evaluation.csv", "evaluation_layers.csv",
    }  # fmt: skip
    monkeypatch.setattr(measurement, "ready", lambda run: pytest.fail("measured again"))
    pd.testing.assert_frame_equal(measure(str(plain), "evaluate=calibration", "weights=last"), first)
    monkeypatch.undo()
    measure(str(plain), "evaluate=accuracy")  # another thing: rows more
    measure(str(plain), "evaluate=calibration", "precision=fp64")  # asked for, and not what was used: rows replaced
    found = [(row["words"], row["precision_used"]) for row in table(plain, "evaluation")]
    assert found == [("evaluate=accuracy", "fp32")] * 3 + [("evaluate=calibration", "fp64")] * 3
    measure(str(plain), "evaluate=calibration", "weights=best")
    assert [row["weights"] for row in table(plain, "evaluation")] == ["last"] * 6 + ["best"] * 3


def test_other_weights_in_the_folder_are_measured_anew(tmp_path):
    plain, other = trained(tmp_path, "lambda=0"), trained(tmp_path, "lambda=1")
    was = measure(str(plain))
    shutil.copy(other / "last.safetensors", plain)
    now = measure(str(plain))
    assert len(table(plain, "evaluation")) == 3
    assert not set(was["weights_digest"]) & set(now["weights_digest"])
    assert (was["data_loss"] != now["data_loss"]).all()


BROKEN = {
    "diverged": ("run.csv", lambda text: text.replace(",done,", ",diverged,"), "it is diverged"),
    "interrupted": ("run.csv", lambda text: text.replace(",done,", ",interrupted,"), "it is interrupted"),
    "without weights": ("last.safetensors", None, "its last.safetensors is not there: results handed on without"),
    "cut weights": ("last.safetensors", lambda data: data[:-9], "last.safetensors is damaged"),
    "another config": ("config.yaml", lambda text: text.replace("seed: 0", "seed: 1"), "config.yaml is that of run"),
    "no config": ("config.yaml", None, "config.yaml: No such file"),
    "other data": ("run.csv", lambda text: re.sub("[0-9a-f]{64}", 64 * "0", text), "on other data, SHA-256 0000"),
    "another table": ("evaluation.csv", lambda text: "a,b\n1,2\n", "evaluation.csv has other columns"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_run_that_cannot_be_measured_is_named_with_the_reason(name, tmp_path, capsys):
    plain, other = trained(tmp_path), trained(tmp_path, "seed=7")
    file, change, reason = BROKEN[name]
    path = plain / file
    if change is None:
        path.unlink()
    elif path.suffix == ".safetensors":
        path.write_bytes(change(path.read_bytes()))
    else:
        path.write_text(change(path.read_text() if path.exists() else ""))
    assert set(measure(str(tmp_path / "default"))["dir"]) == {str(other)}
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("left out"))
    assert line.startswith(f"left out {plain}: ")
    assert reason in line


def test_weights_of_another_model_are_refused(tmp_path, capsys):
    plain, wide, deep = (trained(tmp_path, *runs.MLP, f"model.hidden={hidden}") for hidden in ("[8]", "[9]", "[8,8]"))
    for other, reason in (
        (wide, "fc1.weight has shape (9, 3072), in the model (8, 3072)"),
        (deep, "no fc3.bias, unlike"),
    ):
        shutil.copy(other / "last.safetensors", plain)
        assert measure(str(plain)).empty
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "evaluate=accuracy"),
        (("evaluate=Calibration",), "evaluate=calibration"),
        (("evaluate.calibration=true",), "evaluate=accuracy evaluate.calibration=true"),
        (("evaluate=robustness", "evaluate.pgd=[]", "diagnostics=[oui,hessian]"),
         "evaluate=robustness evaluate.pgd=[] diagnostics=[oui,hessian]"),
    ],
)  # fmt: skip
def test_what_is_asked_in_words(words, told):
    assert asked(words, None).words == told
    assert asked(told.split(), None).words == told


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("diagnostics=[rotation]", "rotation is measured of a training step.*there are histograms, oui, hessian, rank"),
        ("diagnostics=[oui,last_grad_norm]", "grad_norm is measured of a training step"),
        ("diagnostics=[sparsity]", "sparsity needs no word, it is always measured"),
        ("diagnostics=[hesian]", r"diagnostics=\[hesian\]: must be a list of histograms, oui, hessian, rank"),
        ("evaluate=calibratoin", "did you mean calibration"),
        ("evaluate.blurr=[1]", "evaluate.blurr: .*did you mean evaluate.blur"),
        ("evaluate=calibration,robustness", "must be one value"),
        ("diagnostics=oui,hessian", "several diagnostics in brackets"),
        ("device=gpu", "device=gpu: "),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(word, reason):
    with pytest.raises(ConfigError, match=reason):
        asked([word], None)


def test_what_is_asked_takes_the_place_of_the_runs_own_and_nothing_else_does():
    wanted = asked(["evaluate=calibration", "data.root=/else/where", "precision=fp64"], None)
    of_files, made = runs.run(base=("model=linear", "threads=2")), runs.run("threads=2")
    assert wanted.of(of_files).data == of_files.data | {"root": "/else/where"}
    assert wanted.of(made).data == made.data
    own = {"evaluate.name": "calibration", "evaluate.calibration": True, "precision": "fp64"}
    assert wanted.of(made).knobs == made.knobs | own


@pytest.mark.parametrize("version", ["first", "second"])
def test_runs_of_former_versions_are_measured_under_the_ids_they_have(version, tmp_path, capsys):
    shutil.copytree(RESULTS / version, tmp_path / version)
    found = measure(str(tmp_path / version))
    said = capsys.readouterr().err
    done = [
        path.parent
        for path in (tmp_path / version).glob("*/run.csv")
        if table(path.parent, "run")[0]["status"] == "done"
    ]
    assert {path.parent.name for path in (tmp_path / version).glob("*/evaluation.csv")} == {
        path.name for path in done
    }, said
    for directory in done:
        (whole,), mine = table(directory, "run"), found[found["dir"] == str(directory)].set_index("split")
        assert set(mine["id"]) == {whole["id"]}
        for split in ("val", "test"):
            assert mine["data_loss"][split] == pytest.approx(float(whole[f"{split}_loss"]), rel=1e-5)
