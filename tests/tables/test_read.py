"""Reading results back: sound runs typed, broken ones left out with a reason."""

import pandas as pd
import pytest

from tests import made_up
from tests.runs import TINY, changed, jobs
from wdrun.errors import ConfigError
from wdrun.storage import write_atomically
from wdrun.sweep.execute import execute
from wdrun.tables import aggregate, sound
from wdrun.tables.columns import FORMER, TABLES
from wdrun.tables.read import load, read_table


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Three runs of a tiny sweep, and the folder they are in."""
    import subprocess
    import sys

    root = tmp_path_factory.mktemp("results")
    words = ["-m", *changed(TINY, "model=mlp", "model.hidden=[4]", "epochs=1", "seed=0,1,2")]
    subprocess.run([sys.executable, "-m", "wdrun", *words], cwd=root, check=True, capture_output=True)
    return root / "outputs" / "default"


@pytest.fixture
def copy(swept, tmp_path):
    import shutil

    return shutil.copytree(swept, tmp_path / "copy")


def test_equals_the_aggregated_tables(swept):
    found = load([swept])
    pd.testing.assert_frame_equal(found.runs.drop(columns="dir"), read_table(swept / "runs.csv"))
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(found, name), read_table(swept / f"{name}.csv"))
    assert found.problems == ()


def test_a_run_named_twice_is_there_once(swept):
    one = sorted(swept.glob("*/run.csv"))[0].parent
    assert len(load([swept, one, swept]).runs) == 3
    assert list(load([one]).runs["dir"]) == [str(one)]


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("metrics.csv", lambda b: b[:-9], "metrics.csv is cut off"),
        (
            "metrics.csv",
            lambda b: b.replace(b",train,,0,", b",train,,o,"),
            "is no number",
        ),
        ("metrics.csv", lambda b: b.replace(b",train,", b",train,,"), "cells, its header"),
        ("run.csv", lambda b: b.rstrip(b"\n").rpartition(b",")[0] + b",99\n", "has schema '99', this wdrun reads"),
        ("run.csv", lambda b: b"a,b\n1,2\n", "not a table of wdrun's (no column id)"),
        ("run.csv", lambda b: b"", "run.csv is cut off"),
        ("run.csv", lambda b: b + b.split(b"\n")[1] + b"\n", "run.csv has 2 rows where one run has one"),
        ("layers.csv", lambda b: b"\xff\xfe", "utf-8"),
        ("layers.csv", None, "No such file"),
    ],
)
def test_a_broken_run_is_left_out_and_named(copy, name, edit, reason):
    victim = sorted(copy.glob("*/run.csv"))[1].parent
    path = victim / name
    if edit is None:
        path.unlink()
    else:
        path.write_bytes(edit(path.read_bytes()))
    found = load([copy])
    assert len(found.runs) == 2
    (problem,) = found.problems
    assert str(victim) in problem
    assert reason in problem
    assert "\n" not in problem


def test_crlf_reads_the_same(copy):
    before = load([copy])
    for path in copy.glob("*/metrics.csv"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(load([copy]).metrics, before.metrics)


def test_a_folder_without_results_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"no results of wdrun there \(no run.csv, no runs.csv\)"):
        load([tmp_path])


def test_a_run_that_goes_on_while_it_is_read_is_read_again(copy):
    directory = next(copy.glob("*/run.csv")).parent
    path, failures = directory / "run.csv", []

    def read(moves):
        if len(failures) < moves:
            write_atomically(path, path.read_bytes())  # the run replaced it
        if len(failures) < 3:
            failures.append(1)
            raise ValueError("half old, half new")
        return "whole"

    assert sound.settled(directory, lambda: read(3)) == "whole"
    failures.clear()
    with pytest.raises(ValueError, match="half old"):
        sound.settled(directory, lambda: read(1))
    assert len(failures) == 2  # once it stayed the same, it was broken


def edited(root, name, old, new):
    (path,) = root.glob(f"*{name}*/run.csv")
    path.write_bytes(path.read_bytes().replace(old, new))


def test_two_folders_with_other_results_of_one_run_are_told(tmp_path):
    for folder in ("a", "b"):
        made_up.sweep(tmp_path / folder, {0: [1.0, 1.1], 0.1: [1.2, 1.3]})
    assert load([tmp_path / "a", tmp_path / "b"]).problems == ()  # they are alike
    edited(tmp_path / "b", "0000", b",1.0,", b",1.5,")
    found = load([tmp_path / "a", tmp_path / "b"], tables=())
    first, second = tmp_path / "a" / "run-0000", tmp_path / "b" / "run-0000"
    (problem,) = found.problems
    assert problem == f"left out {second}: {first} holds the same run with another val_loss (1.0 and 1.5)"
    assert found.runs["val_loss"].tolist() == [1.0, 1.1, 1.2, 1.3]
    edited(tmp_path / "a", "0000", b",done,", b",interrupted,")
    found = load([tmp_path / "a", tmp_path / "b"], tables=())  # the finished one counts, wherever it is
    assert found.problems[0].startswith(f"left out {first}: {second} holds the same run with another status")
    assert found.runs["val_loss"].tolist() == [1.5, 1.1, 1.2, 1.3]


def test_an_empty_folder_among_several_is_told(tmp_path):
    made_up.sweep(tmp_path / "a", {0: [1.0]})
    made_up.sweep(tmp_path / "c", {0: [1.0]})
    (tmp_path / "b").mkdir()
    edited(tmp_path / "c", "0000", b"\n", b"")
    found = load([tmp_path / name for name in "abc"])
    assert found.problems[0] == f"{tmp_path / 'b'}: no results of wdrun there (no run.csv, no runs.csv)"
    assert found.problems[-1] == f"{tmp_path / 'c'}: none of its 1 run can be read"


def test_the_plan_is_read_too(tmp_path):
    root = made_up.sweep(tmp_path / "outputs" / "default", {0: [1.0]})
    (root / "plan.csv").write_text("dir,epochs,overrides\nrun-0000,2,lambda=0\nrun-0001,2,\"'a=[x, y]' lambda=1\"\n")
    assert [(run.name, run.overrides, run.waits) for run in load([root]).plan] == [
        ("run-0000", ("lambda=0",), False),
        ("run-0001", ("a=[x, y]", "lambda=1"), True),
    ]


def test_a_value_of_several_texts_is_one(tmp_path):
    cells = ["[['a', 1]]", "[['a', 1.0]]", "[['a', 2]]"]
    mixed = ["1.0", "warm_up", "1"]
    lines = ["decay.scales,decay.kappa,dir", *(f'"{a}",{b},{c}' for a, b, c in zip(cells, mixed, mixed, strict=True))]
    write_atomically(tmp_path / "runs.csv", ("\n".join(lines) + "\n").encode())
    found = read_table(tmp_path / "runs.csv")
    assert found["decay.scales"].tolist() == [cells[0], cells[0], cells[2]]
    assert found["decay.kappa"].tolist() == ["1", "warm_up", "1"]
    assert found["dir"].tolist() == mixed


def test_a_knob_that_came_later_is_read_as_off_where_a_row_leaves_it_out(tmp_path):
    """Of the options that have it: a run's row has the knob only where it is not as it always was."""
    words = ("epochs=1", "optimizer=sgd,adam", "optimizer.amsgrad=true,false")
    execute(jobs(tmp_path, *words, "optimizer.clip_norm=1"))
    for folder in (tmp_path / "default", tmp_path / "default" / "runs.csv"):
        runs = load([folder]).runs
        assert {
            (name, str(on)) for name, on in zip(runs["optimizer.name"], runs["optimizer.amsgrad"], strict=True)
        } == {
            *(("adam", "True"), ("adam", "False"), ("sgd", "nan")),
        }
        assert "optimizer.clip" not in runs


def test_tables_of_former_names_are_read_as_those_of_now(copy):
    now = load([copy])
    for path in [*copy.rglob("layers.csv")]:
        header, rest = path.read_text().split("\n", 1)
        assert header.count("last_") == len(FORMER) == 7
        path.write_text(header.replace("last_", "") + "\n" + rest)
        assert read_table(path)["last_rotation"].notna().all()
    before = load([copy])
    assert before.problems == ()
    pd.testing.assert_frame_equal(before.layers, now.layers)
    assert aggregate.write(copy, pytest.fail) == 3
    assert "last_update_ratio" in (copy / "layers.csv").read_text().partition("\n")[0]


def test_a_table_without_the_columns_that_were_added_since_reads_as_empty_there(copy):
    """As a former version wrote it: in the run's folder, at the root, and handed on without its folders."""
    for path in [*copy.glob("*/layers.csv"), copy / "layers.csv"]:
        lines = path.read_text().splitlines()
        assert lines[0].endswith(",oui,stable_rank")
        path.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines))
    alone = copy.parent / "alone"
    alone.mkdir()
    for path in copy.glob("*.csv"):
        (alone / path.name).write_bytes(path.read_bytes())
    for root in (copy, alone):
        found = load([root])
        assert (len(found.runs), found.problems) == (3, ())
        assert found.layers["stable_rank"].isna().all()
        assert found.layers["l2_norm"].notna().all()
    assert aggregate.write(copy) == 3
    assert (copy / "layers.csv").read_text().splitlines()[0].endswith(",oui,stable_rank")
