"""Filter words: which runs they keep, and what is said of a key or a value that no run has"""

from dataclasses import replace

import pytest

from tests import made_up
from wdrun.errors import ConfigError
from wdrun.tables.filters import kept
from wdrun.tables.identity import filled
from wdrun.tables.read import load


@pytest.fixture
def found(tmp_path):
    made_up.sweep(tmp_path, {0: [1.0, 1.1], 0.01: [1.2, 1.3], 0.1: [1.4, 1.5]})
    made_up.run(tmp_path, 0.1, 1.0, decay="l1", epochs=20, **{"data.train_size": None})
    found = load([tmp_path])
    return replace(found, runs=found.runs.assign(**{"model.hidden": ["[4]"] * 6 + ["[8, 16]"]}))


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([], 7),
        (["lambda=0"], 2),
        (["lambda=0.0,1e-2"], 4),
        (["lambda!=0.1"], 4),
        (["lambda!=0,0.01"], 3),
        (["lambda=0.1", "decay=l2"], 2),
        (["epochs=20"], 1),
        (["data=synthetic", "seed=1"], 3),
        (["model.hidden=[8,16]"], 1),
        (["data.train_size=null"], 1),
        (["seed=range(0,2)"], 7),
        (["seed=range(1,9)"], 3),
        (["lam=interval(0.01,0.1)"], 5),
        (["λ!=interval(0.01,1)"], 2),
        (["decay.lambda=0,interval(0.05,1)"], 5),
        (["decay=glob(l2*)"], 6),
        (["lambda=log_range(0.01,0.1,2)"], 5),
    ],
)
def test_the_runs_with_these_values_are_kept(found, words, count):
    left = kept(found, words)
    assert len(left.runs) == count
    assert set(left.metrics["id"]) == set(left.runs["id"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["epoch=20"], "epoch: unknown setting of wdrun select; did you mean epochs?"),
        (["metrik=val_loss"], "metrik: unknown setting of wdrun select; did you mean metric?"),
        (["q=1"], "q: unknown setting of wdrun select; select takes metric=, margin=, or a knob of these runs"),
        (["lambda=0.5"], "lambda=0.5: no run has lambda=0.5; there are 0, 0.01 and 0.1"),
        (["lambda!=0.5"], "lambda!=0.5: no run has lambda=0.5; there are 0, 0.01 and 0.1"),
        (["decay=l1", "lambda=0"], "decay=l1 lambda=0: no run is left"),
    ],
)
def test_what_no_run_has_is_said(found, words, message):
    with pytest.raises(ConfigError) as caught:
        kept(found, words, "select", ["metric", "margin"])
    assert str(caught.value) == message


def test_a_knob_that_is_not_written_where_it_is_as_always_is_found_by_that_value(found):
    smoothed = found.runs.assign(label_smoothing=[0.1, *[None] * 6], **{"augment.pad_mode": ["reflect", *[None] * 6]})
    found = replace(found, runs=filled(smoothed))
    assert len(kept(found, ["label_smoothing=0"]).runs) == len(kept(found, ["augment.pad_mode=zeros"]).runs) == 6
    assert len(kept(found, ["label_smoothing=0.1"]).runs) == len(kept(found, ["label_smoothing!=0"]).runs) == 1
