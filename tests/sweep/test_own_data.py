"""Runs on a user's own images: two files are two runs, all that is done with runs works, classes are their code."""

import csv
import json
import shutil

import numpy as np
import pytest

from tests.data.own_sets import ANIMALS, as_folders, grey, many

WORDS = ["data=arrays", "data.root=my.npz", "model=mlp", "model.hidden=[8]", "epochs=1", "batch_size=16", "threads=1",
         "precision=fp32", "device=cpu", "augment=none"]  # fmt: skip


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def mine(here):
    """my.npz of grey images, other.npz, and 101 classes in many.npz."""
    np.savez(here / "my.npz", **grey())
    np.savez(here / "other.npz", **grey(seed=9))
    np.savez(here / "many.npz", **many())
    return here


def test_two_files_are_two_runs_and_a_moved_one_is_the_same(wdrun, mine, capsys):
    _, out, err = wdrun(*WORDS, capture=capsys)
    first = json.loads(out)
    assert "data     my.npz (data.digest=" in err
    assert json.loads(wdrun(*WORDS, "data.root=other.npz", capture=capsys)[1])["id"] != first["id"]
    shutil.move(mine / "my.npz", mine / "moved.npz")
    code, out, err = wdrun(*WORDS, "data.root=moved.npz", capture=capsys)
    assert (code, json.loads(out)["id"]) == (0, first["id"])
    assert "epoch 1/1" not in err  # it is there already


def test_a_changed_file_is_another_run_and_said(wdrun, mine, capsys):
    first = json.loads(wdrun(*WORDS, capture=capsys)[1])
    shutil.copy(mine / "other.npz", mine / "my.npz")
    code, out, err = wdrun(*WORDS, capture=capsys)
    assert (code, json.loads(out)["id"] == first["id"]) == (0, False)
    assert f"another run: my.npz had other content, or was another file, when run {first['id']} was trained on" in err
    folder = json.loads(out)["dir"]
    code, out, err = wdrun("evaluate", json.loads(out)["dir"], capture=capsys)
    assert code == 0, err
    shutil.copy(mine / "many.npz", mine / "my.npz")
    _, _, err = wdrun("evaluate", folder, "evaluate=calibration", capture=capsys)
    assert "has other content than the run was given" in err


@pytest.mark.parametrize("root", ["my.npz", "many.npz", "photos"])
@pytest.mark.parametrize("model", ["linear", "mlp", "cnn"])
def test_alike_runs_train_together_as_alone(root, model, wdrun, mine, capsys):
    as_folders(mine / "photos", {"train": 60, "val": 12, "test": 12})
    own = {"mlp": ["model.hidden=[8]"], "cnn": ["model.channels=[4]", "model.width=8"], "linear": []}[model]
    words = [word for word in WORDS if not word.startswith("model")]
    words = [*words, f"data.root={root}", f"model={model}", *own, "lambda=0,0.1", "evaluate=full",
             "evaluate.attack_examples=8"]  # fmt: skip
    tables = []
    for fuse in ("true", "false"):
        code, _, err = wdrun("-m", *words, f"fuse={fuse}", f"name={fuse}", capture=capsys)
        assert code == 0, err
        tables.append(sorted(rows_of(mine / "outputs" / fuse / "metrics.csv"), key=lambda row: sorted(row.items())))
    together, alone = tables
    assert len(together) == len(alone) > 10
    for one, other in zip(together, alone, strict=True):
        assert {k: v for k, v in one.items() if not is_float(v)} == {k: v for k, v in other.items() if not is_float(v)}
        for key, value in one.items():
            if is_float(value):
                assert float(value) == pytest.approx(float(other[key]), rel=1e-3, abs=1e-4)


def is_float(text):
    return "." in text or "e-" in text


def test_a_question_is_answered_on_them(wdrun, mine, capsys):
    code, _, err = wdrun("tune", "decay=l2", *WORDS, "lambda=interval(0.01,1)", "lr=0.1", "runs=6", capture=capsys)
    assert code == 0, err
    folder = next((mine / "outputs").iterdir())
    for command in ("select", "best", "report", "status"):
        code, out, err = wdrun(command, str(folder), capture=capsys)
        assert code == 0, err
        assert command != "best" or "data.root=my.npz" in out
        assert command != "best" or "data.digest" not in out


def test_of_two_data_sets_each_is_chosen_for(wdrun, mine, capsys):
    words = ["-m", *(word for word in WORDS if not word.startswith("data.root")), "data.root=my.npz,other.npz"]
    assert wdrun(*words, "lambda=0,0.1", "name=two", capture=capsys)[0] == 0
    code, out, err = wdrun("select", "outputs/two", capture=capsys)
    assert code == 0, err
    for name in ("my.npz", "other.npz"):
        assert f"data.root={name}: val_loss by λ" in out + err
    assert "the runs are of different data" in out + err


def test_a_class_is_code_of_the_users(wdrun, mine, capsys, monkeypatch):
    text = "from tests.data.own_sets import grey\nclass Mine:\n    classes = {}\n    def __init__(self, train):\n" \
           "        part = 'train' if train else 'test'\n        self.data = grey()[f'x_{{part}}']\n" \
           "        self.targets = grey()[f'y_{{part}}']\n"  # fmt: skip
    (mine / "mine_set.py").write_text(text.format(list(ANIMALS)))
    monkeypatch.syspath_prepend(str(mine))
    words = ["data=torchvision", "data._target_=mine_set.Mine", *(w for w in WORDS if not w.startswith("data"))]
    code, out, err = wdrun(*words, capture=capsys)
    assert code == 0, err
    assert "imports mine_set.Mine (as data)\n" in err
    (row,) = rows_of(mine / "outputs" / "default" / json.loads(out)["dir"].rpartition("/")[2] / "run.csv")
    assert len(row["code"]) == 8
