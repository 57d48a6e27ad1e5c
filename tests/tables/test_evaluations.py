"""evaluation.csv: what is put into it, gathered at a root, and taken from it where the runs did not measure it."""

import errno

import pandas as pd
import pytest

from tests import made_up
from wdrun.errors import StorageError
from wdrun.tables import evaluations
from wdrun.tables.columns import EVALUATIONS
from wdrun.tables.filters import kept
from wdrun.tables.read import load

HEADER = [column.name for column in EVALUATIONS["evaluation"]]


def row(run="bcdfghjk", weights="last", words="evaluate=calibration", split="val", **cells):
    whole = {
        "id": run,
        "seed": 0,
        "fold": 0,
        "weights": weights,
        "words": words,
        "split": split,
        "epoch": 2,
        "severity": 0,
        "examples": 9,
    }
    return whole | {"data_loss": 1.5, "accuracy": 0.25} | cells


def put(directory, *rows, name="evaluation"):
    evaluations.add(directory, {name: evaluations.texts(name, rows)})


def test_what_is_read_is_what_was_put(tmp_path):
    put(tmp_path, row(data_loss=0.1 + 0.2, ece=None))
    (found,) = map(evaluations.typed, evaluations.read(tmp_path))
    assert list(found) == HEADER
    assert {key: value for key, value in found.items() if value not in (None, "")} == row(data_loss=0.1 + 0.2)
    frame = evaluations.frame(evaluations.read(tmp_path))
    assert frame["data_loss"].tolist() == [0.1 + 0.2]
    assert frame["corruption"].tolist() == [""]
    assert evaluations.read(tmp_path, "evaluation_layers") == []
    assert [evaluations.typed({"margin": text})["margin"] for text in ("1e-3", "inf", "-inf", "")] == [0.001] + 3 * [
        None
    ]


def test_the_same_measurement_takes_the_place_of_its_rows_and_another_stands_beside(tmp_path):
    put(tmp_path, row(accuracy=0.1), row(split="test", accuracy=0.2), row(weights="best", accuracy=0.3))
    put(tmp_path, row(accuracy=0.4), row(words="evaluate=accuracy", accuracy=0.5))
    found = [(r["split"], r["weights"], r["words"], r["accuracy"]) for r in evaluations.read(tmp_path)]
    assert found == [
        ("test", "last", "evaluate=calibration", "0.2"),
        ("val", "best", "evaluate=calibration", "0.3"),
        ("val", "last", "evaluate=calibration", "0.4"),
        ("val", "last", "evaluate=accuracy", "0.5"),
    ]


def test_the_table_at_the_root_is_those_of_the_runs_and_names_what_is_broken(tmp_path):
    first, second, third = (made_up.run(tmp_path, lam) for lam in (0.1, 0.2, 0.3))
    put(second, row("b"))
    put(first, row("a", split="val"), row("a", split="test"))
    (third / "evaluation.csv").write_text(",".join(HEADER) + "\nx")
    told = []
    assert evaluations.gather(tmp_path, told.append)
    assert [(r["id"], r["split"]) for r in evaluations.read(tmp_path)] == [("a", "val"), ("a", "test"), ("b", "val")]
    assert told == [f"left out {third}: evaluation.csv is cut off"]
    assert not (tmp_path / "evaluation_layers.csv").exists()


def test_a_root_without_anything_measured_gets_no_table(tmp_path):
    made_up.run(tmp_path, 0.1)
    assert not evaluations.gather(tmp_path, pytest.fail)
    assert not (tmp_path / "evaluation.csv").exists()


def test_tables_that_were_handed_on_without_runs_stay_as_they_are(tmp_path):
    put(tmp_path, row("a"))
    before = (tmp_path / "evaluation.csv").read_bytes()
    assert not evaluations.gather(tmp_path, pytest.fail)
    assert (tmp_path / "evaluation.csv").read_bytes() == before


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_file_of_the_users_with_the_name_of_a_table_stays_as_it_is(tmp_path, name):
    put(made_up.run(tmp_path, 0.1), row("a"))
    (tmp_path / f"{name}.csv").write_text("mine\n")
    told = []
    assert not evaluations.gather(tmp_path, told.append)
    assert (tmp_path / f"{name}.csv").read_text() == "mine\n"
    assert [line.partition(":")[0] for line in told] == [str(tmp_path / f"{name}.csv")]


def test_where_nothing_may_be_written_the_error_names_what_would_do(tmp_path, monkeypatch):
    directory = made_up.run(tmp_path, 0.1)

    def refuse(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    put(directory, row("a"))
    monkeypatch.setattr("os.replace", refuse)
    for write in (lambda: put(directory, row("a")), lambda: evaluations.gather(tmp_path, pytest.fail)):
        with pytest.raises(StorageError, match=r"evaluation.csv: Permission denied; .*; try a copy of the folder$"):
            write()
    monkeypatch.setattr("wdrun.storage.open_lock", refuse)
    with pytest.raises(StorageError, match=r"Permission denied; .*; try a copy of the folder$"):
        evaluations.gather(tmp_path, pytest.fail)


@pytest.fixture
def two(tmp_path):
    """Two runs, of which the second measured its own calibration and blur; ids, and a way to load them."""
    folders = [made_up.run(tmp_path, lam) for lam in (0.1, 0.2)]
    table = pd.read_csv(folders[1] / "metrics.csv", dtype=str, keep_default_na=False)
    last = table["epoch"] == "2"
    table.loc[last, "ece"] = "0.5"
    blurred = table[last & (table["split"] == "test")].assign(corruption="blur", severity="1", strength="2.0")
    pd.concat([table, blurred]).to_csv(folders[1] / "metrics.csv", index=False)
    ids = [pd.read_csv(folder / "run.csv")["id"][0] for folder in folders]
    return tmp_path, folders, ids


def measured(run, words, ece, **cells):
    """Calibrated rows of val and test, and test's blurred."""
    blurred = {"corruption": "blur", "severity": 1, "strength": 2.0, "accuracy": 0.125}
    return [
        row(run, words=words, split="train", ece=0.9, **cells),
        row(run, words=words, ece=ece, **cells),
        row(run, words=words, split="test", ece=ece + 0.1, **cells),
        row(run, words=words, split="test", ece=ece + 0.2, **blurred, **cells),
    ]


def test_what_a_run_did_not_measure_itself_is_taken_from_what_was_measured_later(two):
    root, folders, ids = two
    for folder, run in zip(folders, ids, strict=True):
        put(folder, *measured(run, "evaluate=full", 0.25), *measured(run, "x", 0.75, weights="best"))
    before = load([root])
    found = evaluations.beside(before)
    kinds = found.metrics.set_index(["id", "epoch", "split", "corruption"])["ece"].dropna().round(9)
    assert kinds.to_dict() == {
        (ids[0], 2, "val", ""): 0.25, (ids[0], 2, "test", ""): 0.35, (ids[0], 2, "test", "blur"): 0.45,
        (ids[1], 2, "train", ""): 0.5, (ids[1], 2, "val", ""): 0.5, (ids[1], 2, "test", ""): 0.5,
        (ids[1], 2, "test", "blur"): 0.5,
    }  # fmt: skip
    same = [name for name in before.metrics if name not in ("ece", "brier", "margin")]
    pd.testing.assert_frame_equal(found.metrics[same][: len(before.metrics)], before.metrics[same])
    assert len(found.metrics) == len(before.metrics) + 1
    assert found.metrics.iloc[-1]["accuracy"] == 0.125


def test_of_several_measurements_the_last_counts(two):
    root, folders, ids = two
    put(folders[0], *measured(ids[0], "evaluate=full", 0.25), *measured(ids[0], "evaluate=mine", 0.0))
    found = evaluations.beside(load([root])).metrics
    own = found[(found["id"] == ids[0]) & found["ece"].notna()]
    assert own["ece"].tolist() == [0.0, 0.1, 0.2]


def test_with_early_stopping_test_is_measured_with_the_best_weights(tmp_path):
    folder = made_up.run(tmp_path, 0.1)
    whole = pd.read_csv(folder / "run.csv", dtype=str, keep_default_na=False)
    whole.assign(**{"early_stopping.patience": "3"}).to_csv(folder / "run.csv", index=False)
    (run,) = load([tmp_path]).runs["id"]
    put(folder, *measured(run, "a", 0.1), *measured(run, "a", 0.5, weights="best"))
    found = evaluations.beside(load([tmp_path])).metrics
    scores = found[found["ece"].notna()].set_index(["split", "corruption"])["ece"]
    assert scores.round(9).to_dict() == {("val", ""): 0.1, ("test", ""): 0.6, ("test", "blur"): 0.7}


def test_without_a_measurement_the_results_are_those_given(two):
    root, _, _ = two
    found = load([root])
    assert evaluations.beside(found) is found


def test_filters_leave_out_what_was_measured_of_other_runs(two):
    root, folders, ids = two
    put(folders[0], *measured(ids[0], "evaluate=full", 0.25))
    found = evaluations.beside(kept(load([root]), ["lambda=0.2"]))
    assert set(found.metrics["id"]) == {ids[1]}


def test_a_broken_table_is_named_among_the_problems(two):
    root, folders, ids = two
    put(folders[0], *measured(ids[0], "evaluate=full", 0.25))
    (folders[1] / "evaluation.csv").write_text("a\n")
    assert evaluations.beside(load([root])).problems == (
        f"left out {folders[1]}: evaluation.csv has other columns than this wdrun writes; remove it and measure again",
    )


def test_histograms_measured_later_are_seen(two):
    root, folders, ids = two
    put(folders[0], *measured(ids[0], "diagnostics=[histograms]", 0.25))
    bins = {"parameter": "fc1.weight", "bin": 0, "left": -0.001, "right": 0.001, "count": 20}
    put(folders[0], row(ids[0], **bins), row(ids[0], weights="best", **bins), name="evaluation_histograms")
    found = evaluations.beside(load([root])).histograms
    assert found[["id", "epoch", "count"]].to_numpy().tolist() == [[ids[0], 2, 20]]
