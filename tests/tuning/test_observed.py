"""Which run of a folder is which cell of a question: every run that the question words comes back as itself."""

import io
import math
import time

import pandas as pd
import pytest

from tests.runs import TINY, changed
from wdrun.config import experiments
from wdrun.errors import ConfigError
from wdrun.tables.columns import run_row
from wdrun.tables.identity import filled
from wdrun.tables.read import read_table
from wdrun.tables.write import render
from wdrun.tuning import asking
from wdrun.tuning.observed import observed
from wdrun.tuning.question import Seen

SCORE = 1.25


def table(lines, folder="outputs/default", **results):
    """A typed runs table of the runs of these lines; `results` has a value a column, or a list of them."""
    jobs, _ = experiments.sweep(lines)
    rows = []
    for number, job in enumerate(jobs):
        own = {key: value[number] if isinstance(value, list) else value for key, value in results.items()}
        summary = {"status": "done", "val_loss": SCORE, "val_accuracy": 0.5} | own
        rows.append(run_row(job.run, summary) | {"dir": f"{folder}/{job.run.slug}"})
    columns = dict.fromkeys(key for row in rows for key in row)
    return read_table(io.BytesIO(render(list(columns), rows)))


def asked(*words):
    return asking.asked(changed(TINY, *words))


def seen(found, runs, **others):
    return observed(runs, found.question, found.jobs, **others)


@pytest.mark.parametrize("words", [
    ("decay=l2",),
    ("decay=none,l1,huber", "optimizer=sgd,adam"),
    ("decay=huber,l2", "decay.delta=interval(1e-3,1)", "model=mlp", "model.hidden=[4]"),
    ("optimizer.momentum=interval(0,0.9)", "batch_size=interval(8,64)"),
    ("lambda=1e-3,1e-2", "decay=l1,l2"),
    ("lr=0.1,0.01", "decay=l2_ball,rescale"),
    ("decay.coupling=coupled,decoupled", "lambda=interval(1e-4,1)", "lr=0.1"),
    ("decay=chain", "decay.terms=[{decay:l2},{decay:l1,weight:0.1}]"),
    ("label_smoothing=0,0.1",),  # a row names a knob that came later only where it is not as always
    ("label_smoothing=interval(0,0.2)", "decay=l2"),
    ("optimizer=sgd,adam", "optimizer.dampening=interval(0,0.5)", "optimizer.lr_scales=[],[[fc*,2]]"),
    ("model=resnet,mlp", "model.widths=[4,8]", "augment=flip_crop,mixup", "augment.pad_mode=zeros,reflect"),
], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("read", [lambda runs: runs, filled], ids=["as written", "filled"])
def test_what_the_question_would_train_is_seen_as_that_cell(words, read):
    found = asked(*words)
    question, cells = found.question, []
    for place, facet in enumerate(question.facets):
        space = facet.space
        starts = [axis.start for axis in space.axes]
        tried = [tuple(starts), *([(0.0, *starts[1:])] if facet.decays else [])]
        tried += space.new(space.grid(tried[:1], decayed=True), tried)[:3]
        cells += [question.cell(place, setting) for setting in tried]
    cells = list(dict.fromkeys(cells))
    lines = [question.words(cell, seed) for cell in cells for seed in (0, 1000)]
    expected = [Seen(cell, seed, SCORE) for cell in cells for seed in (0, 1000)]
    assert [s[:3] for s in seen(found, read(table(lines)))] == [s[:3] for s in expected]


def test_lambda_zero_is_one_cell_whatever_decay_it_was_typed_with():
    found = asked("decay=none,l2,l1", "lr=0.1")
    lines = [changed(TINY, "lr=0.1", "lambda=0", f"decay={d}", "seed=3") for d in ("l1", "l2", "huber", "l2_ball")]
    lines.append(changed(TINY, "lr=0.1", "decay=none", "seed=4"))
    assert [(run.cell, run.seed) for run in seen(found, table(lines))] == [((0, ()), 3), ((0, ()), 4)]
    alone = asked("decay=l2", "lr=0.1")
    assert [(run.cell, run.seed) for run in seen(alone, table(lines))] == [((0, (0.0,)), 3), ((0, (0.0,)), 4)]


@pytest.mark.parametrize("word", [
    "model=mlp", "optimizer=adam", "batch_size=16", "decay=l1", "decay.scope=all", "decay.coupling=decoupled",
    "optimizer.momentum=0.5", "augment=flip_crop", "schedule=constant", "precision=fp64",
])  # fmt: skip
def test_a_run_with_another_knob_is_of_no_cell(word):
    found = asked("decay=l2")
    own, other = (changed(TINY, "lambda=0.1", "lr=0.1", *words) for words in ((), (word,)))
    assert [run.cell.setting for run in seen(found, table([own, other]))] == [(0.1, 0.1)]


def test_a_knob_of_the_decay_does_not_matter_where_lambda_is_zero():
    found = asked("decay=l2", "lr=0.1")
    lines = [changed(TINY, "lr=0.1", f"lambda={lam}", "decay.scope=all") for lam in (0, 0.1)]
    assert [run.cell.setting for run in seen(found, table(lines))] == [(0.0,)]


def test_runs_outside_the_bounds_are_not_the_questions():
    found = asked("decay=l2", "lambda=interval(1e-3,1e-1)", "lr=interval(0.01,0.1)")
    lines = [changed(TINY, f"lambda={lam}", f"lr={lr}") for lam in (0, 1e-4, 1e-3, 1) for lr in (0.01, 1)]
    assert [run.cell.setting for run in seen(found, table(lines))] == [(0.0, 0.01), (1e-3, 0.01)]


def test_what_came_of_a_run_is_its_score():
    found = asked("decay=l2")
    lines = [changed(TINY, "lambda=0.1", "lr=0.1", f"seed={seed}") for seed in range(6)]
    status = ["done", "diverged", "running", "interrupted", "failed", "done"]
    loss = [1.5, "", "", 1.0, "", ""]
    scores = {run.seed: run.score for run in seen(found, table(lines, status=status, val_loss=loss))}
    assert list(scores) == [0, 1, 2, 3, 5]  # what failed is tried again
    assert (scores[0], scores[1], scores[5]) == (1.5, math.inf, math.inf)
    assert math.isnan(scores[2])
    assert math.isnan(scores[3])
    accuracy = asked("decay=l2", "objective=val_accuracy")
    assert seen(accuracy, table(lines[:1], val_accuracy=0.75))[0].score == -0.75


def test_of_two_runs_of_a_cell_and_seed_the_one_that_ended_counts():
    found = asked("decay=none,l2", "lr=0.1")
    lines = [changed(TINY, "lr=0.1", "lambda=0", f"decay={decay}") for decay in ("l1", "none", "l2")]
    for status in (["running", "done", "done"], ["failed", "running", "done"]):
        (one,) = seen(found, table(lines, status=status, val_loss=[5, 6, 7]))
        assert one.score == (6 if status[1] == "done" else 7)


def test_the_seconds_of_a_run_are_those_of_its_epochs():
    found = asked("decay=l2")
    runs = table([changed(TINY, "lambda=0.1", "lr=0.1", f"seed={seed}") for seed in (0, 1)])
    first = runs["id"].iloc[0]
    timing = pd.DataFrame({"id": [first] * 2, "train_seconds": [1.0, 2.0], "evaluate_seconds": [0.5, 0.25]})
    one, other = seen(found, runs, timing=timing)
    assert one.seconds == 3.75
    assert math.isnan(other.seconds)


@pytest.mark.parametrize(("word", "message"), [
    ("epochs=5", "epochs=2: .*default holds runs of 5, which do not compare; give another name="),
    ("data.label_noise=0.3", "data.label_noise=0.1: .*default holds runs of 0.3, which do not compare"),
    ("data.train_examples=100", "data.train_examples=200: .* holds runs of 100"),
])  # fmt: skip
def test_a_folder_of_another_question_is_refused(word, message):
    with pytest.raises(ConfigError, match=message):
        seen(asked("decay=l2"), table([changed(TINY, word)]))


def test_runs_in_a_folder_of_other_images_are_refused():
    word = f"data.digest={'b' * 12}"
    found = asking.asked(["decay=l2", "data=arrays", "data.root=cats.npz", "model=linear", word])
    runs = table([found.question.words(found.question.cell(0, (0.1, 0.1)), 0)])
    assert len(seen(found, runs)) == 1
    with pytest.raises(ConfigError, match=r"^data.root=cats.npz: .*default holds runs of other images, which"):
        seen(found, runs.assign(**{"data.digest": "c" * 12}))


def test_a_knob_that_came_later_is_outside_the_bounds_where_no_row_names_it():
    found = asked("decay=l2", "label_smoothing=interval(0.05,0.2)")
    assert seen(found, table([changed(TINY, "lambda=0.1", "lr=0.1")])) == []


def test_where_the_data_lie_is_no_other_question():
    found = asked("decay=l2")
    runs = table([changed(TINY, "lambda=0.1", "lr=0.1")])
    assert len(seen(found, runs.assign(**{"data.root": "/elsewhere"}))) == 1


def test_rungs_of_halving_are_left_out(tmp_path):
    (tmp_path / "halving.csv").write_text("rung,epochs\n1,1\n")
    lines = [changed(TINY, "lambda=0.1", "lr=0.1", f"epochs={epochs}") for epochs in (1, 2)]
    assert len(seen(asked("decay=l2"), table(lines, folder=str(tmp_path)))) == 1


def test_a_thousand_runs_of_seven_facets_are_seen_at_once():
    found = asked("decay=l2,decoupled,l1,proximal,cautious,elastic_net,huber")
    lines = [
        found.question.words(found.question.cell(place, (10.0**-k, 0.1)), k) for place in range(7) for k in range(2)
    ]
    runs = table(lines)
    runs = pd.concat([runs.assign(seed=runs["seed"] + 10 * n) for n in range(72)], ignore_index=True)
    seen(found, runs)
    began = time.perf_counter()
    assert len(seen(found, runs)) == len(runs) == 1008
    assert time.perf_counter() - began < 1  # 0.03 s on a machine of its own
