"""Verdicts in sentences, the setting to take, which runs are of a facet; select and best of a tuned folder."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from tests import made_up, tuned_folder
from tests.selection.choices import write
from wdrun.selection import tuned
from wdrun.selection.command import JUDGING
from wdrun.tables import verdicts
from wdrun.tables.read import load

ROW = {
    "facet": "decay=l2", "against": "λ = 0", "verdict": "better", "setting": "lambda=0.001 lr=0.02",
    "against_setting": "lambda=0 lr=0.05", "difference": -0.039, "low": -0.057, "high": -0.021, "pairs": 4, "runs": 19,
    "cause": "", "more": math.nan, "objective": "val_loss", "margin": 0.02, "confidence": 0.95, "lambda": 1e-3,
    "lr": 0.02,
}  # fmt: skip
AT = "at λ = 0.001, lr = 0.02 against λ = 0, lr = 0.05; 4 pairs of fresh runs"
ACCURACY = {"objective": "val_accuracy", "margin": 0.005}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, f"decay=l2 is better than λ = 0: by 0.0390 nats (0.0210 to 0.0570); {AT}"),
        (
            {"high": -0.001, "low": -0.015, "difference": -0.008},
            "decay=l2 is better than λ = 0: by 0.0080 nats (0.0010 to 0.0150), less than the margin of 0.0200 nats; "
            + AT,
        ),
        (
            {"verdict": "worse", "difference": 0.039, "low": 0.021, "high": 0.057},
            f"decay=l2 is worse than λ = 0: by 0.0390 nats (0.0210 to 0.0570); {AT}",
        ),
        (
            {"verdict": "equivalent", "difference": -0.003, "low": -0.011, "high": 0.005},
            "decay=l2 is equivalent to λ = 0: the difference −0.0030 nats (−0.0110 to +0.0050) lies within the margin "
            f"of 0.0200 nats; {AT}",
        ),
        (
            ACCURACY | {"difference": 0.012, "low": 0.008, "high": 0.016},
            f"decay=l2 is better than λ = 0: by 1.20 points (0.80 points to 1.60 points); {AT}",
        ),
        (
            ACCURACY | {"verdict": "worse", "difference": -0.012, "low": -0.016, "high": -0.008},
            f"decay=l2 is worse than λ = 0: by 1.20 points (0.80 points to 1.60 points); {AT}",
        ),
        (
            {"against": "decay=l1", "cause": "lambda=0.001 is at the upper end of its interval(1e-5,0.001)"},
            f"decay=l2 is better than decay=l1, each tuned: by 0.0390 nats (0.0210 to 0.0570); {AT}; lambda=0.001 is "
            "at the upper end of its interval(1e-5,0.001)",
        ),
        (
            {
                "verdict": "undecided",
                "low": -0.057,
                "high": 0.01,
                "more": 14.0,
                "cause": "no further round fits into the budget of time",
            },
            "decay=l2 against λ = 0 is undecided: −0.0390 nats (−0.0570 to +0.0100) after 4 pairs of fresh runs; about "
            "14 more runs, 18 min, would decide it; no further round fits into the budget of time",
        ),
        (
            {"verdict": "undecided", "pairs": 2, "low": math.nan, "high": math.nan, "more": math.inf},
            "decay=l2 against λ = 0 is undecided: −0.0390 nats after 2 pairs of fresh runs; no number of runs within "
            "reach would decide it, should it stay so",
        ),
        (
            {"verdict": "undecided", "pairs": 0, "difference": math.nan, "against": "decay=l1"},
            "decay=l2 against decay=l1, each tuned is undecided: no pair of fresh runs yet",
        ),
        ({"verdict": "dropped", "cause": "all diverged"}, "decay=l2 against λ = 0 is dropped: all diverged"),
    ],
)
def test_a_verdict_as_a_sentence(changes, sentence):
    assert tuned.said(ROW | changes, minutes=17.5) == sentence


def test_a_squared_error_is_no_nats():
    assert "by 0.0390 (0.0210" in tuned.said(ROW, nats=False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (40, "40 s"), (90, "2 min"), (1080, "18 min"), (5400, "1.5 h"), (12600, "3.5 h")],
)
def test_a_time_to_plan_with(seconds, text):
    assert tuned.duration(seconds) == text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tuned_folder.tuned(tmp_path_factory.mktemp("tuned") / "r")


def records(*rows):
    return verdicts.Records(*(verdicts.frame(name, rows if name == "verdict" else []) for name in verdicts.RECORDS))


def test_how_sure_is_said_where_there_is_a_verdict():
    assert tuned.sure(records(ROW | {"verdict": "undecided"})) == []
    (alone,) = tuned.sure(records(ROW))
    assert alone == "All verdicts together are right with 95 %, however often they were looked at."
    (both,) = tuned.sure(records(ROW, ROW | {"against": "decay=l1"}))
    assert both.endswith("each at its own best: a verdict on setting and tuning together.")


def test_the_setting_to_take_is_that_which_beats_the_most_others():
    pairs = {("a", "b"): 0.01, ("a", "c"): -0.01, ("b", "c"): -0.03}
    rows = [
        ROW
        | {"facet": one, "against": other, "difference": d, "setting": f"lr={one}", "against_setting": f"lr={other}"}
        for (one, other), d in pairs.items()
    ]
    assert tuned.chosen(records(*rows)) == ("b", "lr=b", False)
    more = [row | {"objective": "val_accuracy"} for row in rows]
    assert tuned.chosen(records(*more)) == ("c", "lr=c", False)
    worse = ROW | {"facet": "b", "verdict": "worse", "setting": "lr=b", "against_setting": "lambda=0 lr=1"}
    assert tuned.chosen(records(worse, *rows)) == ("b", "lambda=0 lr=1", True)
    assert tuned.chosen(records(ROW | {"setting": "", "verdict": "undecided"})) is None


def test_a_facet_has_its_own_runs_and_those_with_no_decay(made):
    runs, found = load([made.root]).runs, verdicts.read(made.root)
    for facet in ("l2", "l1"):
        own = tuned.runs_of(runs, found, f"decay={facet}")
        assert set(own["decay"]) == {facet, "none"}
        wanted = runs[(runs["decay"] == facet) | (runs["lambda"] == 0)]
        assert list(own["id"]) == list(wanted["id"])
    assert tuned.runs_of(runs, found, "decay=huber").empty


def test_runs_of_an_earlier_sweep_are_of_the_facet_that_they_are_alike(tmp_path):
    root = tmp_path / "r"
    before = [made_up.run(root, lam, 1.0, seed=seed, decay="l2") for lam in (0.0, 1e-4) for seed in (0, 1)]
    other = made_up.run(root, 1e-4, 1.0, seed=0, decay="l2", **{"optimizer.momentum": 0.5})
    made = tuned_folder.tuned(root)
    own = tuned.runs_of(load([root]).runs, verdicts.read(made.root), "decay=l2")
    assert {made_up.id_of(folder) for folder in before} <= set(own["id"])
    assert made_up.id_of(other) not in set(own["id"])
    alone = tuned.runs_of(load([root]).runs, verdicts.read(made.root), "decay=l1")
    assert not {made_up.id_of(folder) for folder in before[2:]} & set(alone["id"])


def test_the_run_of_the_setting_to_take_is_that_of_its_first_seed(made):
    runs, found = load([made.root]).runs, verdicts.read(made.root)
    choice = tuned.chosen(found)
    assert choice.facet == "decay=l2"
    run = tuned.run_of(runs, found, choice)
    assert (run["decay"], run["seed"], run["status"]) == ("l2", 0, "done")  # that of the search has its setting too
    row = found.verdicts.iloc[0]
    assert (run["lambda"], run["lr"]) == (row["lambda"], row["lr"])
    bare = tuned.run_of(runs, found, tuned.Chosen("decay=l1", row["against_setting"], True))
    assert (bare["lambda"], f"lambda=0 lr={bare['lr']:g}") == (0, row["against_setting"])
    none = replace(found, decisions=found.decisions.iloc[:0])
    assert tuned.run_of(runs, none, choice) is None


@pytest.fixture
def small(here):
    """One decay tuned over λ and lr, with folders that `best` can make a line of."""

    def written(root, lam, loss, seed, lr, decay):
        words = ("data=synthetic", "model=mlp", "model.hidden=[4]", "epochs=1", "threads=1", f"decay={decay}")
        words += (f"lambda={lam}",) * (decay != "none") + (f"lr={lr}", f"seed={seed}")
        return write(root, *words, val_loss=loss, val_accuracy=0.5, test_loss=loss, total_decay=lam).id

    return tuned_folder.tuned(here / "runs", tuned_folder.question(("l2",)), write=written)


def test_select_says_the_verdicts_and_judges_nothing_itself(small, wdrun, capfd):
    code, out, _ = wdrun("select", "runs", capture=capfd)
    assert code == 0
    first, *rest = out.splitlines()
    assert first.startswith("decay=l2 is better than λ = 0: by 0.0")
    assert rest[0] == "All verdicts together are right with 95 %, however often they were looked at."
    assert "val_loss by λ" in out
    for word in ("leaderboard", "warning:", "lambda_1se", "choice by mean"):
        assert word not in out
    for name, judging in JUDGING.items():
        table = pd.read_csv(small.root / name)
        assert table[[*judging]].isna().all(axis=None)
        assert table["mean"].notna().all()


def test_best_prints_the_line_of_the_verdicts_setting(small, wdrun, capfd):
    code, out, err = wdrun("best", "runs", capture=capfd)
    assert code == 0
    row = verdicts.read(small.root).verdicts.iloc[0]
    assert f"decay=l2 lambda={row['lambda']:g} lr={row['lr']:g}" in out
    assert f"decay=l2: {row['setting']}, by the verdicts of wdrun tune" in err
    assert "decay=l2 is better than λ = 0" in err


def test_best_is_that_of_select_where_other_runs_or_another_score_are_asked_for(small, wdrun, capfd):
    for words in (["rule=1se"], ["metric=val_accuracy"], ["seed=0"]):
        _, _, err = wdrun("best", "runs", *words, capture=capfd)
        assert "by the verdicts of wdrun tune" not in err


def test_best_is_lambda_zero_where_decay_is_worse(small, wdrun, capfd):
    path = small.root / "verdict.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",better,", ",worse,"), encoding="utf-8")
    code, out, _ = wdrun("best", "runs", capture=capfd)
    assert code == 0
    assert "decay=none" in out


def test_select_offers_to_go_on_only_with_what_is_undecided(small, wdrun, capfd):
    assert "settle " not in wdrun("select", "runs", capture=capfd)[2]
    path = small.root / "verdict.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",better,", ",undecided,"), encoding="utf-8")
    _, _, err = wdrun("select", "runs", capture=capfd)
    assert "settle   `wdrun tune runs`: This goes on with what is undecided" in err
