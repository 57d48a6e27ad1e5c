"""What earlier versions of wdrun wrote is skipped, resumed, selected and reported, also beside what this one writes.

tests/results/ holds a folder of each version, never edited: `first`, whose ids are hexadecimal digits, and `second`,
whose ids are letters. Each was made by `MADE_BY`, the last command ended by SIGTERM in its first epochs, and the
`.lock` files removed.
"""

import csv
import shutil
from pathlib import Path

import pytest

import wdrun as package
from wdrun import devices
from wdrun.config import experiments
from wdrun.selection import select
from wdrun.sweep import checkpoint, preparation
from wdrun.tables import status
from wdrun.tables.identity import FORMER
from wdrun.tables.read import load, read_run

RESULTS = Path(__file__).parent.parent / "results"
R = ["data=regression", "data.noise=0", "model=mlp", "model.hidden=[2]", "augment=none", "batch_size=50"]
R += ["threads=1", "device=cpu", "precision=fp32", "name=results"]
GRID = ["epochs=2", "lambda=0,0.1", "seed=0,1"]
ZERO = ["epochs=2", "lambda=0.1", "model.dropout=0", 'decay.scales=[["fc*",1]]']
REAL = ["epochs=2", "lambda=0.1", "model.dropout=0.0", 'decay.scales=[["fc*",1.0]]', "seed=1"]
DIVERGED = ["epochs=2", "lr=1e6", "lambda=0.1", "seed=2"]
INTERRUPTED = ["epochs=100", "lambda=0.1", "seed=3"]
MADE_BY = (["-m", *R, *GRID], [*R, *ZERO], [*R, *REAL], [*R, *DIVERGED], [*R, *INTERRUPTED])
# The same runs, every number of theirs typed in its other way.
OTHERWISE = (
    ["-m", *R, "epochs=2", "lambda=-0.0,1e-1", "seed=0,1", "model.dropout=0", "data.noise=-0.0"],
    [*R, "epochs=2", "lambda=.1", "model.dropout=0.0", 'decay.scales=[["fc*",1.0]]'],
    [*R, "epochs=2", "lambda=.1", "model.dropout=0", 'decay.scales=[["fc*",1]]', "seed=1"],
    [*R, "epochs=2", "lr=1000000.0", "lambda=1e-1", "seed=2", "data.slope=2", "data.intercept=1"],
)


@pytest.fixture(params=["first", "second"])
def root(request, here):
    """A copy of a version's folder as outputs/results, its checkpoint and digest those of this machine."""
    root = here / "outputs" / "results"
    shutil.copytree(RESULTS / request.param, root)
    run = experiments.jobs([*R, *INTERRUPTED], False)[0].run
    machine = devices.describe(devices.resolve(run.device, run.precision, run.threads))
    (directory,) = [path.parent for path in root.glob("*/checkpoint")]
    (tensors, values), _ = checkpoint.load(directory)
    checkpoint.save(directory, tensors, values | {"machine": machine})
    (directory / checkpoint.PREVIOUS).unlink()
    return root


def folders(root):
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def content(root):
    return {path: path.read_bytes() for path in root.glob("*/*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("typed", [MADE_BY[:-1], OTHERWISE])
def test_what_has_ended_is_skipped_however_its_numbers_are_typed(root, typed, wdrun, capsys):
    before = content(root)
    codes = [wdrun(*words, capture=capsys)[0] for words in typed]
    assert codes == [0, 0, 0, 3]
    assert content(root) == before


def test_what_was_interrupted_goes_on_where_it_stands(root, wdrun, capsys):
    before = folders(root)
    (directory,) = [path.parent for path in root.glob("*/checkpoint")]
    begun = read_run(directory)
    rows = (directory / "metrics.csv").read_text().splitlines()
    code, _, err = wdrun(*R, *INTERRUPTED, "model.dropout=-0.0", capture=capsys)
    assert (code, f"resuming after epoch {begun['epochs_done']} of 100" in err) == (0, True)
    assert folders(root) == before
    row = read_run(directory)
    assert (row["status"], row["epochs_done"]) == ("done", "100")
    assert row["commit"].startswith(begun["commit"])
    now = (directory / "metrics.csv").read_text().splitlines()
    cells = [[line.split(",", 1)[1] for line in lines] for lines in (rows, now[: len(rows)])]
    assert cells[0] == cells[1]
    assert wdrun(*R, *INTERRUPTED, capture=capsys)[0] == 0
    assert not load([root]).problems


def test_a_failed_run_is_trained_in_its_own_folder(root, wdrun, capsys):
    before = folders(root)
    path = next(path for path in root.glob("*-s1-*/run.csv") if "[['fc*', 1.0]]" in path.read_text())
    row = read_run(path.parent) | {"status": "failed", "cause": "E"}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
    assert wdrun(*R, *OTHERWISE[2][len(R) :], capture=capsys)[0] == 0
    assert (folders(root), read_run(path.parent)["status"]) == (before, "done")


def test_every_command_reads_it(root, wdrun, capsys):
    found = load([root])
    assert (len(found.runs), found.problems) == (8, ())
    assert found.runs["status"].value_counts().to_dict() == {"done": 6, "diverged": 1, "interrupted": 1}
    # [[fc*, 1]] and [[fc*, 1.0]] are one setting of two seeds
    scaled = found.runs[found.runs["decay.scales"] != "[]"]
    assert (len(scaled), scaled["decay.scales"].nunique()) == (2, 1)
    assert wdrun("status", str(root), capture=capsys)[1].startswith(
        f"{root}: 8 runs: 6 done, 1 interrupted, 1 diverged"
    )
    for path in (path for path in folders(root) if "-s3-" in path):
        shutil.rmtree(root / path)  # of another length: another question
    for command in ("select", "report", "best"):
        code, out, err = wdrun(command, str(root), capture=capsys)
        assert (code, "left out" in out + err) == (0, False), err


def test_python_reads_it(root):
    words = [f"{key}={value}" for key, value in (word.split("=", 1) for word in [*R, *OTHERWISE[1][len(R) :]])]
    result = package.run(*words)
    assert result.directory.parent == root
    assert result.run.iloc[0]["id"] == result.directory.name[-8:]
    assert result.module()


def test_new_runs_stand_beside_it(root, wdrun, capsys):
    grid = [*R, "epochs=2", "lambda=0,0.1", "seed=range(0,4)"]
    assert wdrun("-m", *grid, capture=capsys)[0] == 0
    assert len(folders(root)) == 8 + 4
    found = load([root])
    plain = found.runs[(found.runs["epochs"] == 2) & (found.runs["lr"] == 0.02) & (found.runs["decay.scales"] == "[]")]
    cells = select(plain.reset_index(drop=True)).cells
    assert cells["n"].tolist() == [4, 4]
    assert status.report(root)[0].startswith(f"{root}: 12 runs: 10 done")


@pytest.mark.parametrize("root", ["first"], indirect=True)
def test_a_run_there_under_two_ids_counts_once(root, wdrun, capsys):
    """As where two folders were put together: the ended one counts, whichever comes first."""
    assert wdrun(*R, *INTERRUPTED, f"output_dir={root.parent.parent / 'other'}", capture=capsys)[0] == 0
    (new,) = (root.parent.parent / "other" / "results").glob("mlp-*")
    shutil.copytree(new, root / new.name)
    found = load([root])
    assert found.runs["status"].value_counts().to_dict() == {"done": 7, "diverged": 1}
    assert status.report(root)[0].startswith(f"{root}: 8 runs: 7 done, 1 diverged")
    before = content(root)
    _, _, err = wdrun(*R, *INTERRUPTED, capture=capsys)
    assert f"already done: {root / new.name}" in err
    assert content(root) == before


@pytest.mark.parametrize("root", ["first"], indirect=True)
def test_a_broken_run_is_known_by_its_config_or_named(root, wdrun, capsys):
    (directory,) = [path.parent for path in root.glob("*/checkpoint")]
    cut = (directory / "run.csv").read_bytes()[:-10]
    (directory / "run.csv").write_bytes(cut)
    (job,) = preparation.distinct(experiments.jobs([*R, *INTERRUPTED], False))
    assert job.folder == directory.name
    (directory / "config.yaml").write_text("[")
    (job,) = preparation.distinct(experiments.jobs([*R, *INTERRUPTED], False))
    assert job.folder == ""
    said = f"{directory}: not known of which run it is, so it is left alone: run.csv is cut off"
    assert said in capsys.readouterr().err


def test_only_folders_of_the_same_readable_name_are_looked_into(root, monkeypatch):
    looked = []
    monkeypatch.setattr(preparation, "identity_of", lambda directory: looked.append(directory.name) or "")
    preparation.distinct(experiments.jobs([*R, "epochs=2", "lambda=0", "seed=0"], False))
    former = [name for name in folders(root) if FORMER.fullmatch(name[-8:])]
    assert looked == [name for name in former if name.startswith("mlp-l2-lambda0-sgd-lr0.02-s0-")]
    assert len(looked) == bool(former)
