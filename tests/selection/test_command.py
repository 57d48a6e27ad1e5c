"""`wdrun select` and `wdrun best`, their tables, lines and errors"""

import csv
import io
import shlex
import shutil
from pathlib import Path

import pytest

from tests.selection.choices import write
from wdrun.config import experiments
from wdrun.tables.columns import TABLES
from wdrun.tables.write import render

SMALL = ("data=synthetic", "model=mlp", "model.hidden=[4]", "epochs=1", "threads=1")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """l1 and l2 × three λ × three seeds; l2 at 0.01 is best, l1 at 0.1 diverges."""
    root = tmp_path_factory.mktemp("written") / "runs"
    loss = {("l2", 0.0): 2, ("l2", 0.01): 1, ("l2", 0.1): 1.5, ("l1", 0.0): 2, ("l1", 0.01): 1.8, ("l1", 0.1): 9}
    for (decay, lam), x in loss.items():
        for seed in range(3):
            outcome = {"val_loss": x + 0.1 * seed + lam * seed, "val_accuracy": 0.5, "test_loss": x, "total_decay": lam}
            outcome |= {"status": "diverged"} if x == 9 else {}
            write(root, *SMALL, f"decay={decay}", f"lambda={lam}", f"seed={seed}", **outcome)
    return root


@pytest.fixture
def swept(written, here):
    return shutil.copytree(written, here / "runs")


def test_select_prints_and_writes(swept, wdrun, capfd):
    code, out, err = wdrun("select", "runs", capture=capfd)
    assert code == 0
    assert "decay=l2" in out
    assert "lambda_min" in out
    assert "warning: decay=l1: 3 of 9 runs diverged (at λ = 0.1)" in out
    assert "selection.csv" in err
    assert all(text == text.rstrip() and "\x1b" not in text for text in out.splitlines())
    selection = list(csv.DictReader(io.StringIO((swept / "selection.csv").read_text())))
    assert [(r["decay"], r["lambda_min"], r["diverged"]) for r in selection] == [
        ("l1", "0.01", "3"),
        ("l2", "0.01", "0"),
    ]
    assert selection[1]["lr_min"] == "0.02"
    board = list(csv.DictReader(io.StringIO((swept / "leaderboard.csv").read_text())))
    assert [(r["rank"], r["decay"], r["verdict"]) for r in board] == [("1", "l2", "best"), ("2", "l1", "worse")]
    before = (swept / "selection.csv").read_bytes()
    assert wdrun("select", "runs", capture=capfd)[1] == out
    assert (swept / "selection.csv").read_bytes() == before


@pytest.mark.parametrize("width", [120, 80, 60, 40, 20])
def test_a_narrow_terminal_cuts_no_digit(swept, wdrun, capfd, monkeypatch, width):
    """λ = 0, 0.01 and 0.1 were 0, 0. and 0. at 80 columns, and at 60 there was no facet."""
    wide = wdrun("select", "runs", capture=capfd)[1].split()
    monkeypatch.setattr("wdrun.terminal.screen.columns", lambda stream=None: width)
    code, out, _ = wdrun("select", "runs", capture=capfd)
    assert code == 0
    assert max(map(len, out.splitlines())) <= width
    assert "\x1b" not in out
    words = out.partition("decay=l2: λ = 0.01 with")[0].split()
    assert words.count("0.01") + words.count("0.1") >= 8  # in the curves of two facets, the choice, the leaderboard
    assert {"0.01", "0.1", "decay=l1", "decay=l2", "lambda_min", "verdict", "best", "worse"} <= set(words)
    numbers = {word for word in words if word.replace(".", "").isdecimal()}
    assert numbers <= {*wide, str(width)}  # none has lost a digit


def test_select_names_what_it_cannot_read(swept, wdrun, capfd):
    victim = sorted(swept.glob("*/run.csv"))[0]
    victim.write_bytes(victim.read_bytes()[:-5])
    code, _, err = wdrun("select", "runs", capture=capfd)
    assert code == 0
    assert f"left out {victim.parent.relative_to(swept.parent)}" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["margin=wide"], "margin=wide: must be a number"),
        (
            ["metric=accuracy"],
            "metric=accuracy: must be val_loss or val_accuracy: λ is not chosen on test data; "
            "did you mean val_accuracy?",
        ),
        (["nuisance=lrr"], "did you mean lr?"),
        (["rule=1se"], "rule: unknown setting of wdrun select"),
    ],
)
def test_wrong_words_are_one_line(swept, wdrun, capfd, words, message):
    code, out, err = wdrun("select", "runs", *words, capture=capfd)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (swept / "selection.csv").exists()


@pytest.mark.parametrize("command", ["select", "best"])
def test_all_diverged_is_one_line(here, wdrun, capfd, command):
    for seed in (0, 1):
        write(here / "runs", *SMALL, f"seed={seed}", status="diverged")
    code, out, err = wdrun(command, "runs", capture=capfd)
    assert (code, out) == (2, "")
    assert "nothing to choose from: 2 of 2 runs diverged" in err
    assert err.count("\n") == 1


def test_best_is_one_line_that_reproduces_the_choice(swept, wdrun, capfd):
    code, out, err = wdrun("best", "runs", capture=capfd)
    assert code == 0
    assert out.count("\n") == 1
    first, *words = shlex.split(out)
    assert first == "wdrun"
    assert words[:2] == ["decay=l2", "lambda=0.01"]
    assert "decay=l2: lambda_min = 0.01" in err
    (job,) = experiments.jobs(words, False)
    (typed,) = experiments.jobs([*SMALL, "decay=l2", "lambda=0.01"], False)
    assert job.run.id == typed.run.id
    assert "lambda=0.01" in wdrun("best", "runs", "rule=1se", capture=capfd)[1]


def test_the_line_that_select_names_chooses_among_the_same_runs(swept, wdrun, capfd):
    """The words that filter the runs stand in it; of different data, those of one."""

    def named():
        return shlex.split(err.partition("`wdrun ")[2].partition("`")[0])

    _, _, err = wdrun("select", "runs", "lambda!=0.01", "decay=l2", capture=capfd)
    assert named() == ["best", "runs", "lambda!=0.01", "decay=l2"]
    assert "lambda=0.1 " in wdrun(*named(), capture=capfd)[1]
    for seed in range(3):
        write(swept, *SMALL, "data.train_size=50", f"seed={seed}", val_loss=1.0, val_accuracy=0.5)
    _, _, err = wdrun("select", "runs", capture=capfd)
    code, _, said = wdrun(*named(), capture=capfd)
    assert code == 0, (named(), said)


def test_best_by_one_standard_error_needs_replicates(here, wdrun, capfd):
    write(here / "runs", *SMALL, val_loss=1.0)
    assert wdrun("best", "runs", capture=capfd)[0] == 0
    code, out, err = wdrun("best", "runs", "rule=1se", capture=capfd)
    assert (code, out) == (2, "")
    assert "has one replicate, so no standard error; take rule=min" in err


def test_a_real_sweep(wdrun, capfd):
    """Trained, chosen, and the printed command trains the very run that was chosen (skipped: it is there already)."""
    code, _, err = wdrun("-m", *SMALL, "data.train_size=128", "lambda=0,0.1", "seed=0,1", capture=capfd)
    assert code == 0, err
    code, out, err = wdrun("best", "outputs/default", capture=capfd)
    assert code == 0, err
    code, _, err = wdrun(*shlex.split(out)[1:], capture=capfd)
    assert code == 0, err
    assert "already done" in err


def test_filter_words_choose_the_runs(swept, wdrun, capfd):
    code, out, err = wdrun("select", "runs", "decay=l2", "lambda!=0.01", capture=capfd)
    assert code == 0, err
    assert "l1" not in out
    assert "decay=l2: λ = 0.1 with lr = 0.02" in out
    assert "`wdrun best runs decay=l2 'lambda!=0.01'` prints the command" in err
    assert err.startswith("filters  6 of 18 runs are looked at\n")
    Path("my own").mkdir()
    err = wdrun("select", "runs", "--config-dir", "my own", capture=capfd)[2]
    assert "`wdrun best runs '--config-dir=my own'` prints the command" in err
    assert wdrun("best", "runs", "lambda=0,0.1", "decay=l2", capture=capfd)[1].split()[1:3] == [
        "decay=l2",
        "lambda=0.1",
    ]
    code, out, err = wdrun("select", "runs", "lambda=5", capture=capfd)
    assert (code, out) == (2, "")
    assert err.endswith("lambda=5: no run has lambda=5; there are 0, 0.01 and 0.1\n")


def test_best_of_different_data_is_refused(swept, wdrun, capfd):
    for seed in (0, 1, 2):
        words = ("data.train_examples=400", f"seed={seed}")
        write(swept, *SMALL, *words, val_loss=0.1, total_decay=1.0)
    code, out, err = wdrun("best", "runs", capture=capfd)
    assert (code, out) == (2, "")
    assert "different data do not compare; add the words of one of them: data.train_examples=4000" in err
    assert wdrun("best", "runs", "data.train_examples=4000", capture=capfd)[0] == 0


def test_tables_alone_are_answered_as_their_run_folders(swept, here, wdrun, capfd):
    """Cell for cell, and the printed line is that run."""
    for path in list(swept.glob("*/run.csv")):
        for name in TABLES:
            (path.parent / f"{name}.csv").write_bytes(render([c.name for c in TABLES[name]], []))
    rows = [
        dict(zip(*csv.reader(path.read_text().splitlines()), strict=True)) for path in sorted(swept.glob("*/run.csv"))
    ]
    (here / "theirs").mkdir()
    (here / "theirs" / "all.csv").write_bytes(render(list(dict.fromkeys(k for row in rows for k in row)), rows))
    one, other = (wdrun("select", name, capture=capfd) for name in ("runs", "theirs/all.csv"))
    assert (one[0], one[1]) == (other[0], other[1])
    assert "tables   theirs/all/selection.csv and leaderboard.csv; `wdrun best theirs/all.csv`" in other[2]
    for name in ("selection.csv", "leaderboard.csv"):
        assert (swept / name).read_bytes() == (here / "theirs" / "all" / name).read_bytes()
    one, other = (wdrun("best", name, "decay=l2", capture=capfd) for name in ("runs", "theirs/all.csv"))
    assert one == other
    assert one[0] == 0


def test_the_sentence_of_one_standard_error_is_about_the_choice_it_prints(here, wdrun, capfd):
    """lambda_min = 0.1, mean 1.1 (se 0.0577); lambda_1se = 1, mean 1.15."""
    for lam, x in ((0, 3.0), (0.1, 1.0), (1, 1.05)):
        for seed in range(3):
            write(here / "runs", *SMALL, f"lambda={lam}", f"seed={seed}", val_loss=x + 0.1 * seed, val_accuracy=0.5)
    code, out, err = wdrun("best", "runs", "rule=1se", capture=capfd)
    assert code == 0, err
    assert "lambda=1 " in out
    first, second = err.splitlines()[:2]
    assert first == "decay=l2: lambda_1se = 1, mean val_loss 1.15"
    assert second.startswith(
        "λ = 1 with lr = 0.02; the strongest within one standard error (0.0577) of the best mean: +0.0500 from that of "
        "lambda_min; at lambda_min, λ = 0.1 with lr = 0.02: its difference to λ = 0 is −2.0000"
    )
    assert "λ = 0.1 with lr = 0.02; its difference" in wdrun("best", "runs", capture=capfd)[2]


def test_confidence_and_margin_are_asked_for_everywhere(swept, wdrun, capfd):
    _, out, err = wdrun("select", "runs", "decay=l2", "confidence=0.8", "margin=0.5", capture=capfd)
    assert "(80 % interval" in out
    line = shlex.split(err.partition("`wdrun ")[2].partition("`")[0])
    assert line == ["best", "runs", "margin=0.5", "confidence=0.8", "decay=l2"]
    code, _, err = wdrun(*line, capture=capfd)
    assert (code, "(80 % interval" in err) == (0, True)
    low = [float(row["difference_low"]) for row in csv.DictReader((swept / "selection.csv").read_text().splitlines())]
    wdrun("select", "runs", "decay=l2", "out=wide", capture=capfd)
    wide = [float(row["difference_low"]) for row in csv.DictReader(Path("wide/selection.csv").read_text().splitlines())]
    assert wide[0] < low[0]
