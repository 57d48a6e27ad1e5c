"""Divergence: found at its step with its cause, in no mean, no choice, counted everywhere, whoever trains the run."""

import csv
import io
import math

import pandas as pd
import pytest
import torch

from tests.runs import TINY, asked, changed, trainer
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.selection import select
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import ready
from wdrun.sweep.outcome import exit_code
from wdrun.tables import status
from wdrun.tables.read import load, read_table
from wdrun.tables.write import render
from wdrun.training import divergence

# Decoupled L2 with the gradient clipped away: w ← (1 − ηλ)w, so |1 − ηλ| = 1.1 grows until float32 overflows.
EDGE = changed(
    *(TINY, "device=cpu", "epochs=4", "decay.coupling=decoupled", "decay.exclude_1d=false", "schedule=constant"),
    *("optimizer.momentum=0", "optimizer.clip_value=1e-9", "lambda=1"),
)
# Four λ × three seeds; λ = 1e6 (ηλ = 1e5) diverges in the first epoch: 3 of 12.
SWEEP = changed(EDGE, "model=mlp", "model.hidden=[4]", "lr=0.1")
TWELVE = ("lambda=0,1e-3,1e-2,1e6", "seed=0,1,2")
TWO = ("lambda=0,1e6",)


def swept(folder, *words):
    outcomes = execute(*asked(folder, *words, base=SWEEP))
    return outcomes, folder / "default"


@pytest.fixture(scope="module", params=[("parallel=1", "fuse=false"), ("fuse=true",), ("parallel=2", "fuse=false")],
                ids=["in turn", "fused", "side by side"])  # fmt: skip
def mixed(request, tmp_path_factory):
    """The sweep of twelve, trained in each way."""
    return swept(tmp_path_factory.mktemp("mixed"), *TWELVE, *request.param)


def test_three_of_twelve_diverge_and_none_is_lost(mixed):
    outcomes, root = mixed
    with (root / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(outcomes) == 12
    assert sorted((float(r["lambda"]), int(r["seed"])) for r in rows if r["status"] == "diverged") == [
        (1e6, 0), (1e6, 1), (1e6, 2),
    ]  # fmt: skip
    assert sum(row["status"] == "done" for row in rows) == 9
    for row in rows:
        diverged = row["status"] == "diverged"
        assert ("(epoch 1)" in row["cause"], row["epochs_done"]) == ((True, "0") if diverged else (False, "4"))
        assert all((row[name] == "") == diverged for name in ("val_loss", "test_loss", "val_accuracy"))
    assert exit_code(outcomes) == 3


def test_nine_of_twelve_are_in_the_means(mixed):
    _, root = mixed
    found = load([root])
    assert (len(found.runs), found.problems) == (12, ())
    selection = select(found.runs, nuisance=[])
    cells = selection.cells.set_index("lambda")
    assert cells["n"].to_dict() == {0: 3, 1e-3: 3, 1e-2: 3, 1e6: 0}
    assert cells["diverged"].to_dict() == {0: 0, 1e-3: 0, 1e-2: 0, 1e6: 3}
    assert math.isnan(cells["mean"][1e6])
    assert not cells["candidate"][1e6]
    sound = select(found.runs[found.runs["status"] == "done"], nuisance=[])
    pd.testing.assert_frame_equal(sound.cells, selection.cells[selection.cells["lambda"] < 1])
    (_, choice), (_, without) = *selection.choices.iterrows(), *sound.choices.iterrows()
    same = ["lambda_min", "lambda_1se", "mean", "se", "n", "test_loss"]
    pd.testing.assert_series_equal(choice[same], without[same])
    assert (choice["diverged"], without["diverged"]) == (3, 0)


def test_each_command_counts_them(mixed, capsys):
    from wdrun.report import page, text
    from wdrun.selection import select_command

    _, root = mixed
    told = status.report(root)
    assert told[0] == f"{root}: 12 runs: 9 done, 3 diverged"
    assert sum(line.split()[1:2] == ["diverged"] for line in told) == 3
    assert select_command([str(root)], {"config_dir": None}) == 0
    assert (
        "3 of 12 runs diverged (at λ = 1e6); a cell with a diverged replicate is not chosen" in capsys.readouterr().out
    )
    table = pd.read_csv(root / "selection.csv")
    assert (table["runs"].sum(), table["diverged"].sum()) == (12, 3)
    found = load([root])
    selection = select(found.runs)
    said = "Of these runs 9 done and 3 diverged. Only those that are done enter a mean."
    assert said in text.whole(found, selection)
    assert "9 done and 3 diverged" in page.render(found, selection, [], ["svg"]).decode().replace("\xa0", " ")


def test_allowed_divergence_is_no_failure(tmp_path):
    outcomes, _ = swept(tmp_path, *TWO, "allow_diverged=true")
    assert [o.status for o in outcomes] == ["done", "diverged"]
    assert exit_code(outcomes) == 0
    again, root = swept(tmp_path, *TWO)  # and it is the same run when it is not allowed
    assert [(o.status, o.skipped) for o in again] == [("done", True), ("diverged", True)]
    assert exit_code(again) == 3
    assert len(list(root.glob("*/run.csv"))) == 2


@pytest.mark.parametrize(("words", "code"), [((), 3), (("allow_diverged=true",), 0)])
def test_the_command_exits_with_it(wdrun, capsys, words, code):
    found, out, err = wdrun(*EDGE, "lr=1e5", *words, capture=capsys)
    assert found == code
    assert out.count("\n") == 1
    assert '"status": "diverged"' in out
    assert "diverged" in err
    assert "Traceback" not in err


def ended(*words):
    return list(trainer(*words, base=EDGE).train())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lion"])
@pytest.mark.parametrize("lr", [10.0, 1e5])
def test_an_unstable_decay_is_found_under_every_rule(optimizer, lr):
    words = [f"optimizer={optimizer}", f"lr={lr}", "decay.coupling=decoupled", "epochs=30", "optimizer.clip_value=1e-9"]
    base = [word for word in EDGE if not word.startswith("optimizer.")]
    epochs = list(ready(parse(compose([*base, *words])).run).train())
    end = epochs[-1]
    assert end.status == "diverged"
    assert all(math.isfinite(row["data_loss"]) for epoch in epochs for row in epoch.metrics)
    assert end.summary["epochs_done"] == len(epochs) - 1
    assert all(torch.isfinite(w).all() for w in end.state.tensors.values() if w.is_floating_point())


def test_a_stable_decay_is_left_alone():
    epochs = ended("lr=1.9")
    assert [epoch.status for epoch in epochs] == ["running"] * 3 + ["done"]
    assert all(math.isfinite(row["data_loss"]) for epoch in epochs for row in epoch.metrics)


INFINITE = """
from dataclasses import dataclass
from wdrun.decay import Regularizer

@dataclass(frozen=True)
class Infinite(Regularizer):
    def value(self, w):
        return (w * float("inf")).abs().sum()
"""


@pytest.fixture
def infinite(here, monkeypatch):
    """A decay whose value and gradient are infinite everywhere."""
    monkeypatch.syspath_prepend(here)
    (here / "infinite_decay.py").write_text(INFINITE)
    (here / "conf" / "decay").mkdir(parents=True)
    text = "defaults: [_shared, _self_]\nname: infinite\n_target_: infinite_decay.Infinite\nlambda: 1\n"
    (here / "conf" / "decay" / "infinite.yaml").write_text(text)

    def train(*words):
        base = [word for word in EDGE if not word.startswith(("lambda", "decay.", "optimizer.clip"))]
        job = parse(compose([*base, "lr=0.1", *words], "conf"))
        return list(ready(job.run).train())

    return train


@pytest.mark.parametrize("coupling", ["coupled", "decoupled", "independent", "cautious"])
def test_lambda_zero_skips_a_term_that_is_infinite(infinite, coupling):
    """0·inf is nan: the term is left out, not multiplied away, and the run is that without any decay."""
    off = infinite("decay=infinite", "lambda=0", f"decay.coupling={coupling}")
    none = infinite("decay=none")
    assert off[-1].status == "done"
    assert all(row["penalty"] == 0.0 for epoch in off for row in epoch.metrics)
    assert [epoch.metrics for epoch in off] == [epoch.metrics for epoch in none]
    for name in (name for name in none[-1].state.tensors if name.startswith("params/")):
        assert torch.equal(off[-1].state.tensors[name], none[-1].state.tensors[name])
    on = infinite("decay=infinite", "lambda=1", f"decay.coupling={coupling}")
    assert on[-1].status == "diverged"


def test_a_row_of_a_diverged_run_is_read_back_as_it_was_written(tmp_path):
    outcomes, root = swept(tmp_path, *TWO)
    read = read_table(root / "runs.csv").set_index("id")
    for outcome in outcomes:
        row = render(list(outcome.row), [outcome.row])
        back = read_table(io.BytesIO(row)).iloc[0]
        assert read.loc[outcome.job.run.id, "status"] == outcome.status == back["status"]
        assert read.loc[outcome.job.run.id, "cause"] == back["cause"]


def test_the_first_loss_that_is_not_finite_is_named_with_its_step():
    losses = torch.tensor([1.0, 2.0, math.inf, math.nan], dtype=torch.float64)
    assert divergence.in_losses(losses, 11, 2) == "data loss is inf at step 13 (epoch 2)"
    assert divergence.in_losses(losses[:2], 11, 2) is None


def test_the_first_tensor_that_is_not_finite_is_named():
    finite = {"fc1.weight": True, "fc2.bias": False, "fc2.weight": False}
    assert divergence.in_tensors(finite, 14, 2) == "fc2.bias is not finite after step 14 (epoch 2)"
    assert divergence.in_tensors({"fc1.weight": True}, 14, 2) is None


def test_a_validation_loss_that_is_not_finite_is_a_divergence():
    assert divergence.in_validation({"data_loss": math.nan}, 3) == "validation loss is nan (epoch 3)"
    assert divergence.in_validation({"data_loss": 0.0}, 3) is None
