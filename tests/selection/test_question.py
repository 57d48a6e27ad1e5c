"""Runs of other lengths, machines and data: left out or told apart, never rivals"""

import math

import pytest

from tests.selection.choices import chosen, curve, only, row, said

SMALL, LARGE = ({"data.name": "synthetic", "data.train_examples": n} for n in (200, 400))


def test_an_unfinished_longer_run_changes_no_choice():
    rows = curve({0: [2, 2.1, 2.2], 0.1: [1, 1.1, 1.2]})
    selection = chosen([*rows, row(0.1, 0, math.nan, epochs=5000, status="interrupted")])
    assert (only(selection)["lambda_min"], only(selection)["runs"], only(selection)["failed"]) == (0.1, 6, 0)
    (sentence,) = [s for s in said(selection) if "question" in s]
    assert sentence == (
        "all: only 6 runs of epochs=3 count, of which most have finished: other epochs is another question, so 1 run "
        "of epochs=5000 is left out"
    )


def test_a_length_of_which_none_has_finished_is_not_proposed():
    rows = [row(0.1, 0, math.nan, epochs=5000, status="interrupted"), row(0.1, 0, 1, epochs=7, threads=2)]
    selection = chosen([r | {"threads": 1} | r for r in [*curve({0: [2, 2.1], 0.1: [1, 1.1]}), rows[0]]])
    (sentence,) = [s for s in said(selection) if "question" in s]
    assert sentence.endswith("so 1 run of epochs=5000 is left out")
    selection = chosen([{"threads": 1} | r for r in [*curve({0: [2, 2.1], 0.1: [1, 1.1]}), *rows]])
    (sentence,) = [s for s in said(selection) if "question" in s]
    assert "other epochs and threads are another question" in sentence
    assert sentence.endswith("are left out; add epochs=7 threads=2 to the command to choose among those")


def test_data_are_told_apart_in_as_few_words_as_will_do():
    two = [{"data.name": "regression", "data.test_x": "[0.1, 0.2]", "augment": "flip_crop"}]
    two += [{"data.name": "synthetic", "data.test_x": "", "augment": "none"}]
    selection = chosen([r for knobs in two for r in curve({0: [2, 2.1]}, **knobs)])
    assert selection.facets == ("data.name",)
    assert [data for data, _ in selection.boards] == ["data=regression", "data=synthetic"]
    points = [{"data.test_x": "[0.1, 0.2]"}, {"data.test_x": "[0.3]"}]
    selection = chosen([r for knobs in points for r in curve({0: [2, 2.1]}, **knobs)])
    assert [data for data, _ in selection.boards] == ["data.test_x=[0.1,0.2]", "data.test_x=[0.3]"]


@pytest.mark.parametrize("epochs", [1, 9])
def test_the_length_of_which_most_have_finished_counts(epochs):
    selection = chosen(curve({0: [2, 2], 1: [1, 1]}) + curve({0: [0, 0]}, epochs=epochs))
    assert only(selection)["lambda_min"] == 1
    tie = chosen(curve({0: [2, 2]}) + curve({0: [1, 1]}, epochs=epochs))
    assert only(tie)["mean"] == (1 if epochs > 3 else 2)  # of as many, the longer ones


def test_rungs_of_halving_are_no_rivals(tmp_path):
    (tmp_path / "halving.csv").write_text("rung,epochs\n1,1\n2,3\n")
    rows = curve({0: [2], 1: [1]}) + curve({0: [0], 0.1: [0], 1: [0], 2: [0]}, epochs=1)
    selection = chosen([r | {"dir": str(tmp_path / "run")} for r in rows])
    assert (only(selection)["lambda_min"], only(selection)["runs"]) == (1, 2)
    assert any("only the 2 runs of epochs=3 count; 4 shorter ones do not" in w for w in said(selection))


@pytest.mark.parametrize(
    ("knob", "used", "words"),
    [
        ("threads", "threads_used", (1, "2", 2)),
        ("device", "device_name", ("cuda", "cpu", "NVIDIA")),
        ("precision", "precision_used", ("fp32", "bf16", "bf16")),
    ],
)
def test_other_arithmetic_is_no_rival(knob, used, words):
    one, two, came_to = words
    rows = curve({0: [2, 2, 2], 0.1: [3, 3, 3]}, **{knob: str(one), used: str(one)})
    rows += curve({0: [1, 1], 0.1: [1, 1]}, **{knob: two, used: came_to})
    selection = chosen(rows)
    assert (selection.facets, only(selection)["mean"], only(selection)["n"]) == ((), 2, 3)
    assert any(f"so 4 runs of {knob}={two} are left out" in s for s in said(selection))


def test_two_words_for_the_same_arithmetic_are_one_question():
    rows = curve({0: [2, 2]}, threads="auto", threads_used=4) + curve({0.1: [1, 1]}, threads="4", threads_used=4)
    rows.append(row(0.1, 2, math.nan, threads="4", status="failed"))  # it failed before it recorded anything
    selection = chosen(rows)
    assert (only(selection)["lambda_min"], only(selection)["runs"]) == (0.1, 5)
    assert not any("question" in s for s in said(selection))


def test_versions_that_differ_are_told_and_split_nothing():
    rows = curve({0: [2, 2]}, commit="a") + curve({0.1: [1, 1]}, commit="b", torch_version="2.9")
    selection = chosen(rows)
    assert only(selection)["lambda_min"] == 0.1
    assert any("the 4 runs compared were not all made alike: they differ in commit, from" in s for s in said(selection))


def test_other_data_is_neither_ranked_nor_paired():
    rows = curve({0: [2, 2.1], 0.1: [1, 1.1]}, **SMALL) + curve({0: [0.2, 0.3], 0.1: [0.1, 0.2]}, **LARGE)
    selection = chosen(rows)
    assert selection.choices["lambda_min"].tolist() == [0.1, 0.1]
    assert selection.leaderboard["verdict"].tolist() == ["best", "best"]
    assert selection.leaderboard["rank"].tolist() == [1, 1]
    assert selection.leaderboard["p"].isna().all()
    assert [name for name, _ in selection.boards] == ["data.train_examples=200", "data.train_examples=400"]
    assert not any(f.kind == "rival" for f in selection.findings)
    says = "different data (data.train_examples=200; data.train_examples=400): these are neither ranked nor compared"
    assert any(says in s for s in said(selection))


def test_other_data_beside_other_models_is_ranked_within_each_data():
    rows = curve({0: [2, 2.1]}, **SMALL) + curve({0: [3, 3.2]}, model="cnn", **SMALL)
    rows += curve({0: [0.2, 0.3]}, model="linear", **{"data.name": "regression"})
    board = chosen(rows).leaderboard
    assert dict(zip(board["model"], board["rank"], strict=True)) == {"mlp": 1, "cnn": 2, "linear": 1}
    assert board.set_index("model").loc["linear", "pairs"] == 0


def test_another_digest_under_the_same_words_is_another_question():
    rows = curve({0: [2, 2, 2]}, data_digest="aa") + curve({0: [1, 1]}, data_digest="bb")
    selection = chosen([*rows, row(0, 3, math.nan, status="failed")])
    assert (only(selection)["mean"], only(selection)["runs"]) == (2, 4)
    assert any("other data is another question, so 2 runs of data_digest=bb are left out" in s for s in said(selection))


def test_where_the_data_lies_is_no_setting():
    rows = curve({0: [2, 2]}, **{"data.root": "/a"}) + curve({0.1: [1, 1]}, **{"data.root": "/b"})
    assert chosen(rows).facets == ()


def own(*places):
    """Runs of a user's own data: of each (root, digest) λ = 0 and 0.1."""
    return [
        r for root, digest in places for r in curve({0: [2], 0.1: [1]}, **{"data.root": root, "data.digest": digest})
    ]


@pytest.mark.parametrize(("places", "names"), [
    ((("cats.npz", "bcd"), ("dogs.npz", "fgh")), ["data.root=cats.npz", "data.root=dogs.npz"]),
    ((("my photos", "bcd"), ("dogs.npz", "fgh")), ["data.root=dogs.npz", "data.root=my photos"]),
    ((("cats.npz", "bcd"), ("cats.npz", "fgh")), ["data.digest=bcd", "data.digest=fgh"]),
    ((("cats.npz", "bcd"), ("moved.npz", "bcd"), ("cats.npz", "fgh")), ["data.digest=bcd", "data.digest=fgh"]),
])  # fmt: skip
def test_own_data_are_called_by_their_place_where_it_says_which_they_are(places, names):
    selection = chosen(own(*places))
    assert sorted(selection.names) == sorted(name for name, _ in selection.boards) == names
