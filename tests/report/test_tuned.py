"""The report of a tuned folder: verdicts first, nothing that contradicts them, the search and the intervals drawn."""

import contextlib
import io
import math

import numpy as np
import pytest

from tests import made_up, tuned_folder
from tests.report.pages import NO_FLAGS, Reader
from wdrun.report import command
from wdrun.report.figures import narrowing, searched, style
from wdrun.tables import verdicts
from wdrun.tables.read import load
from wdrun.tuning.question import FRESH


def reported(root, *words):
    """The page as a browser reads it, and what stderr heard."""
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        assert command([str(root), "formats=svg", *words], NO_FLAGS) == 0
    return Reader((root / "report.html").read_text(encoding="utf-8")), err.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """l2, l1 and one that always diverges, tuned over λ and lr."""
    gains = tuned_folder.GAINS | {"huber": 0.0}
    asked = tuned_folder.question(("l2", "l1", "huber"))
    root = tmp_path_factory.mktemp("tuned") / "r"
    return tuned_folder.tuned(root, asked, gains=gains, diverges=lambda decay: decay == "huber")


@pytest.fixture(scope="module")
def page(made):
    return reported(made.root)


def test_the_verdicts_come_first_and_select_is_silent(page):
    read, err = page
    text = read.text.replace("\xa0", " ")
    assert read.ids[0] == "verdicts"
    assert "choice" not in read.ids
    assert text.index("decay=l2 is better than λ = 0: by ") < text.rindex("What was tried")
    assert "decay=huber against λ = 0 is dropped: decay=huber: no setting can be trained" in text
    assert "All verdicts together are right with 95 %" in text
    for word in ("The chosen λ", "Settings compared", "could not be told", "best mean validation loss"):
        assert word not in text
    assert err.startswith("decay=l2 is better than λ = 0: by ")
    assert "next:" not in err


def test_the_search_stands_in_the_place_of_the_curve_and_the_map(page, made):
    figures = [name.removeprefix("figure-") for name in page[0].ids if name.startswith("figure-")]
    assert figures[:3] == ["searched-curve", "searched-plane", "narrowing"]
    assert not {"decay-curve", "lr-lambda"} & set(figures)
    assert all((made.root / "figures" / f"{name}.svg").is_file() for name in figures)
    assert all(image["alt"] for image in page[0].images)


def test_decisions_are_told_with_what_was_known(page, made):
    text = page[0].text.replace("\xa0", " ")
    assert "What was asked for, and why" in text
    assert f"The last 30 of {len(made.seen)}; all of them are in decisions.csv." in text
    assert "what promises most" not in text.split("What was asked for")[0]


def test_the_same_tables_give_the_same_page(page, made):
    before = (made.root / "report.html").read_bytes()
    reported(made.root)
    assert (made.root / "report.html").read_bytes() == before
    assert b'http-equiv="refresh"' not in before


def test_what_is_undecided_can_be_gone_on_with(tmp_path):
    searching = reported(tuned_folder.tuned(tmp_path / "early", upto=19).root)[0].text.replace("\xa0", " ")
    assert "repeat the line that was typed, with a larger budget" in searching
    assert "wdrun tune '" not in searching
    cut = tuned_folder.tuned(tmp_path / "a folder", upto=26)
    text = reported(cut.root)[0].text.replace("\xa0", " ")
    assert "is undecided: " in text
    assert f"wdrun tune '{cut.root}'" in text
    assert "right with 95 %" not in text


@pytest.mark.parametrize("upto", [1, 4, 12])
def test_a_folder_is_told_of_from_its_first_run_on(tmp_path, upto):
    cut = tuned_folder.tuned(tmp_path / "r", upto=upto)
    read, _ = reported(cut.root)
    assert "no pair of fresh runs yet" in read.text.replace("\xa0", " ")
    assert "figure-narrowing" not in read.ids


def test_several_folders_and_files_are_reported_as_ever(tmp_path, made):
    other = made_up.sweep(tmp_path / "other", {0: [1.0, 1.1], 0.1: [0.9, 0.8]})
    out = tmp_path / "both.html"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command([str(made.root), str(other), "formats=svg", f"out={out}"], NO_FLAGS)
    assert Reader(out.read_text(encoding="utf-8")).ids[0] == "summary"


def test_hostile_names_stay_text(tmp_path):
    found = tuned_folder.tuned(tmp_path / "r")
    for name in ("verdict.csv", "looks.csv", "decisions.csv"):
        path = found.root / name
        path.write_text(path.read_text(encoding="utf-8").replace("decay=l2", "<script>x()</script> $x$"), "utf-8")
    read, _ = reported(found.root)
    assert "<script>x()</script> $x$ is better than λ = 0" in read.text.replace("\xa0", " ")


def test_what_was_searched_has_its_order_and_its_scores(made):
    runs, found = load([made.root]).runs, verdicts.read(made.root)
    one, two, lost = searched.searched(found, runs)
    assert (one.label, two.label, lost.label) == ("decay=l2", "decay=l1", "decay=huber")
    for facet, shown in enumerate((one, two)):
        own = [(run.cell, run.score) for run in made.seen if run.seed < FRESH]
        own = [(made.question.setting(facet, cell), score) for cell, score in own]
        wanted = [(*setting, score) for setting, score in own if setting is not None]
        assert list(shown.points[["lambda", "lr", "score"]].itertuples(index=False, name=None)) == wanted
        assert list(shown.points["order"]) == list(range(1, len(wanted) + 1))
    assert lost.points.loc[lost.points["lambda"] > 0, "score"].isna().all()
    assert math.isnan(lost.mean)
    assert not lost.fresh


def test_the_star_the_line_and_the_bar_are_those_of_the_verdict(made):
    runs, found = load([made.root]).runs, verdicts.read(made.root)
    one = searched.searched(found, runs)[0]
    verdict = made.plan.verdicts[0]
    scores = {(run.cell, run.seed): run.score for run in made.seen}
    seeds = range(FRESH, FRESH + verdict.answer.pairs)
    here, zero = (np.mean([scores[cell, seed] for seed in seeds]) for cell in (verdict.one, verdict.other))
    assert one.mean == pytest.approx(here, abs=1e-12)
    assert one.zero == pytest.approx(zero, abs=1e-12)
    assert one.low == pytest.approx(zero + verdict.answer.low, abs=1e-12)
    assert one.high == pytest.approx(zero + verdict.answer.high, abs=1e-12)
    assert one.chosen == verdict.one.setting


def test_the_curve_draws_each_search_run_once(made):
    shown = searched.searched(verdicts.read(made.root), load([made.root]).runs)
    figure = searched.curve(shown, "val_loss", 0.02, True)
    for ax, one in zip(figure.axes, shown, strict=False):
        marks = [line for line in ax.lines if line.get_marker() in ("o", "^", "x")]
        assert len(marks) == len(one.points)
        dots = [float(line.get_ydata()[0]) for line in marks if line.get_marker() == "o"]
        assert set(dots) <= set(one.points["score"].dropna())
        assert sum(line.get_marker() == "x" for line in marks) == int(one.points["score"].isna().sum())


def test_the_plane_numbers_the_settings_in_the_order_tried(made):
    shown = [one for one in searched.searched(verdicts.read(made.root), load([made.root]).runs) if searched.planar(one)]
    figure = searched.plane(shown, "val_loss", True)
    for ax, one in zip(figure.axes, shown, strict=False):
        assert [text.get_text() for text in ax.texts] == [str(n) for n in range(1, one.points["order"].max() + 1)]
        first = ax.texts[0].get_position()[0]
        assert first == pytest.approx(math.log10(one.points["lr"].iloc[0]))


def test_the_intervals_are_those_of_the_looks(made):
    found = verdicts.read(made.root)
    asked = narrowing.questions(found.looks, found.verdicts)
    assert next(title for title, _ in asked) == "decay=l2: better\nagainst λ = 0"
    assert len(asked) == 3  # what is dropped has no look
    figure = narrowing.narrowing(asked, "val_loss", 0.02, True)
    drawn = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert list(drawn.get_xdata()) == [1, 2, 3, 4]
    assert list(drawn.get_ydata()) == list(asked[0][1]["difference"])
    assert style.render(figure, "svg") == style.render(narrowing.narrowing(asked, "val_loss", 0.02, True), "svg")
