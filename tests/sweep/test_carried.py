"""`wdrun tune … from=DIR`: the small question first, the large one from its answer, with fewer runs."""

import csv
import math
import shutil

import pytest

from tests.runs import TINY, changed
from tests.selection.choices import SMALL as WRITTEN
from tests.selection.choices import grid
from wdrun.errors import ConfigError
from wdrun.sweep import recording, tune
from wdrun.tables import carried
from wdrun.tuning.transfer import EXPONENTS

WORDS = changed(TINY, "epochs=1", "batch_size=50", "device=cpu", "decay=l2", "decay.coupling=decoupled", "margin=0.02")
SMALL, LARGE = "data.train_size=50", "data.train_size=150"


def worth(best, run):
    """A valley over lr, and a hollow in D = lr·λ·steps at `best`."""
    steps = run.data["train_size"] / run.batch_size
    away = math.log10(run.lr * run.lam * steps / best) if run.lam else math.inf
    return 1.6 + 0.2 * math.log10(run.lr / 0.03) ** 2 - 0.06 * math.exp(-(away**2)) + 0.001 * (run.seed % 7)


@pytest.fixture
def scored(monkeypatch):
    """Let runs score what their setting is worth where the best D is so much."""
    finish = recording._finish

    def let(best):
        def finished(job, trainer, state, rows, summary):
            summary["val_loss"] = worth(best, job.run)
            return finish(job, trainer, state, rows, summary)

        monkeypatch.setattr(recording, "_finish", finished)

    return let


@pytest.fixture
def tuned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def tuned(name, *words, **options):
        found = tune.tune([*changed(WORDS, *words), f"name={name}"], **options)
        return found, tmp_path / "outputs" / name

    return tuned


def decay_of_one(folder):
    """D at λ = 1 and lr = 1."""
    own = next(row for path in folder.glob("*-l2-*/run.csv") for row in table(path))
    return float(own["total_decay"]) / (float(own["lambda"]) * float(own["lr"]))


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_large_question_takes_fewer_runs_from_the_small_ones_answer(scored, tuned, tmp_path, capsys):
    scored(1.0)
    tuned("small", SMALL)
    alone, folder = tuned("alone", LARGE)
    capsys.readouterr()
    found, other = tuned("large", LARGE, "from=outputs/small")
    err = capsys.readouterr().err
    runs, fewer = (table(place / "decisions.csv") for place in (folder, other))
    searched, less = (sum(row["phase"] == "search" for row in rows) for rows in (runs, fewer))
    assert less <= searched - 3
    (verdict,), (same,) = found.plan.verdicts, alone.plan.verdicts
    assert verdict.answer.verdict == same.answer.verdict == "better"
    assert "decay=l2: λ starts at " in err
    assert "carried from outputs/small: there λ = " in err
    (row,) = carried.read(other)
    small = table("outputs/small/verdict.csv")[0]
    there = float(small["lambda"]) * float(small["lr"]) * decay_of_one(tmp_path / "outputs/small")
    grown = 3 ** EXPONENTS["images"].value
    assert row.lam * row.lr * decay_of_one(other) == pytest.approx(there * grown)
    bare = small["against_setting"].removeprefix("lambda=0 lr=")
    assert (row.lr, row.bare) == (float(small["lr"]), float(bare))
    assert row.low < row.lam < row.high
    assert f"tuned: λ from {row.lam:.2g} and lr from {row.lr:g} of decay=l2" in err

    def again(*words):
        seen = []
        tune.tune([*words], tell=seen.append)
        return seen, capsys.readouterr().err

    line = [*changed(WORDS, LARGE), "name=large"]
    before = (other / carried.NAME).read_bytes()
    shutil.move("outputs/small", "outputs/gone")
    seen, err = again(*line, "from=outputs/small")
    assert seen == []
    assert "from=outputs/small: no such folder; λ starts where it was carried to before" in err
    seen, err = again("outputs/large")
    assert (seen, "carried from outputs/small" in err) == ([], True)
    shutil.rmtree("outputs/gone")
    scored(30.0)
    tuned("small", SMALL)
    capsys.readouterr()
    seen, err = again(*line, "from=outputs/small")
    assert seen == []
    assert "from=outputs/small: says something else of decay=l2 now" in err
    assert (other / carried.NAME).read_bytes() == before
    again(*line)
    assert (other / carried.NAME).read_bytes() == before
    with pytest.raises(ConfigError, match="is the folder of this question itself"):
        again(*line, "from=outputs/large")


def test_a_wrong_prediction_is_recovered_from(scored, tuned):
    """The best D is thirty times what the small question says: the search leaves the interval and finds it."""
    scored(0.3)
    tuned("small", SMALL)
    scored(10.0)
    _, folder = tuned("large", LARGE, "from=outputs/small")
    row = table(folder / "verdict.csv")[0]
    (begun,) = carried.read(folder)
    assert float(row["lambda"]) > begun.high
    assert float(row["lambda"]) * float(row["lr"]) * 3 == pytest.approx(10.0, rel=0.5)
    assert row["verdict"] == "better"


def test_a_facet_that_no_rule_carries_is_searched_as_without(scored, tuned, capsys):
    scored(1.0)
    tuned("small", SMALL)
    _, alone = tuned("alone", LARGE, "decay=l1", "decay.coupling=auto", "runs=6")
    capsys.readouterr()
    _, folder = tuned("large", LARGE, "decay=l1", "decay.coupling=auto", "runs=6", "from=outputs/small")
    err = capsys.readouterr().err
    assert "decay=l1: searched as without from=outputs/small: " in err
    assert [row["id"] for row in table(folder / "decisions.csv")] == [r["id"] for r in table(alone / "decisions.csv")]


@pytest.fixture
def asked(here, capsys):
    """The rows of carried.csv and stderr of a question from the folder `small`, which `grid` wrote; one run trains."""

    def asked(*words, name="large"):
        tune.tune(changed((*WRITTEN, "device=cpu", f"name={name}", "from=small", "runs=1"), *words))
        return carried.read(here / "outputs" / name), capsys.readouterr().err

    return asked


def test_lr_is_carried_as_far_as_its_bounds_allow_and_lambda_to_that_lr(asked):
    cells = {0: {0.1: 1.0, 0.5: 0.95}, 0.01: {0.1: 0.6}, 0.1: {0.1: 0.4, 0.5: 0.9}, 1: {0.1: 0.6}}
    grid("small", cells, "device=cuda:7")  # whatever machine that was
    (row,), err = asked("decay=l2", "lr=interval(0.001,0.05)")
    assert (row.lr, row.bare) == (0.05, 0.05)
    assert row.lam == pytest.approx(0.1 * 0.5 ** EXPONENTS["lr"].value / 0.5)
    assert "and lr at 0.05, carried from small: there λ = 0.1 is best at lr = 0.1" in err
    (row,), _ = asked("decay=l2", name="free")
    assert (row.lr, row.bare, row.lam) == (0.1, 0.5, pytest.approx(0.1))


@pytest.mark.parametrize(
    ("cells", "words", "why"),
    [
        (
            {0: 1.0, 0.01: 0.9, 0.1: 0.4, 1: 0.9}, ["lambda=interval(1e-5,1e-4)"],
            "λ = 0.1 is expected, which is outside interval(1e-5,1e-4)",
        ),
        ({0: 1.0, 1e-4: 0.9, 1e-3: 1.2}, [], "λ = 1e-4 is expected, which cannot act here"),
        ({0: 0.4, 0.1: 0.9}, [], "decay=l2: λ = 0 was best there, so there is nothing to carry"),
    ],
)  # fmt: skip
def test_what_cannot_be_where_a_search_starts_is_said(asked, cells, words, why):
    grid("small", cells)
    (row,), err = asked("decay=l2", "lr=0.02", *words)
    assert math.isnan(row.lam)
    assert f"decay=l2: searched as without from=small: {why}\n" in err


def test_another_question_in_the_folder_keeps_what_was_carried_before(asked, here):
    grid("small", {0: 1.0, 0.01: 0.9, 0.1: 0.4, 1: 0.9})
    before, _ = asked("decay=l2")
    both, err = asked("decay=l1", "runs=2")
    assert [row.facet for row in both] == ["decay=l2", "decay=l1"]
    assert both[0].same(before[0])
    assert "so far λ was carried from" not in err
    shutil.rmtree("small")
    again, err = asked("decay=l2", "runs=3")
    assert {row.id: row.lam for row in again}[before[0].id] == before[0].lam
    assert "no such folder; λ starts where it was carried to before" in err


def test_a_folder_that_is_not_there_is_refused_before_anything_is_made(tuned, tmp_path):
    with pytest.raises(ConfigError, match=r"^from=outputs/small: no such folder$"):
        tuned("large", LARGE, "from=outputs/small")
    assert not (tmp_path / "outputs").exists()


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / carried.NAME).write_text("facet,lambda\n")
    with pytest.raises(ConfigError, match=r"carried.csv: .* take another name=, or move it away"):
        carried.read(tmp_path)


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = [carried.Carried("decay=l2", "abcdefgh", "outputs/a b", 0.0123456789, 0.0, math.inf, 0.1, 0.2, 'so, "it"')]
    carried.write(tmp_path, rows)
    assert carried.read(tmp_path) == rows
    carried.write(tmp_path, [carried.Carried("decay=l1", "abcdefgh", "x", why="none")])
    (row,) = carried.read(tmp_path)
    assert row.same(row)
    assert not row.same(rows[0])
