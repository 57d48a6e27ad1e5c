"""Splits are disjoint, stratified, complete, and a function of the options only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wdrun.data import load
from wdrun.data.splits import partition
from wdrun.errors import ConfigError

KNOWN = [7, 8, 14, 22, 24, 25, 33, 35]  # validation rows of 8 out of 40 with split_seed 0
POOLS = st.lists(st.integers(0, 4), min_size=8, max_size=200).map(lambda labels: np.array(labels, dtype=np.int64))
SMALL = {"name": "synthetic", "train_examples": 200, "test_examples": 50, "val_size": 0.2}


def shares_are_proportional(labels: np.ndarray, part: np.ndarray) -> bool:
    """Every class has its share of `part`, rounded up or down."""
    expected = np.bincount(labels) * len(part) / len(labels)
    found = np.bincount(labels[part], minlength=len(expected))
    return bool((abs(found - expected) < 1).all())


@settings(deadline=None)
@given(POOLS, st.data())
def test_one_split_is_disjoint_complete_and_stratified(labels: np.ndarray, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(labels) - 1))
    rows = partition(labels, {"val_size": count, "split_seed": data.draw(st.integers(0, 99))})
    assert len(rows.val) == count
    assert np.array_equal(np.sort(np.concatenate([rows.train, rows.val])), np.arange(len(labels)))
    assert (np.diff(rows.train) > 0).all()
    assert (np.diff(rows.val) > 0).all()
    assert shares_are_proportional(labels, rows.val)


@settings(deadline=None)
@given(POOLS, st.data())
def test_folds_partition_the_pool(labels: np.ndarray, data: st.DataObject) -> None:
    smallest = np.unique(labels, return_counts=True)[1].min()
    if smallest < 2:
        return
    folds = data.draw(st.integers(2, int(smallest)))
    parts = [partition(labels, {"folds": folds, "val_size": 1}, fold) for fold in range(folds)]
    assert np.array_equal(np.sort(np.concatenate([p.val for p in parts])), np.arange(len(labels)))
    assert all(not np.intersect1d(p.train, p.val).size for p in parts)
    assert all(len(p.train) + len(p.val) == len(labels) for p in parts)
    assert all(shares_are_proportional(labels, p.val) for p in parts)
    sizes = [len(p.val) for p in parts]
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(POOLS, st.data())
def test_train_size_is_a_stratified_part_of_train(labels: np.ndarray, data: st.DataObject) -> None:
    whole = partition(labels, {"val_size": 0.25})
    count = data.draw(st.integers(1, len(whole.train)))
    part = partition(labels, {"val_size": 0.25, "train_size": count})
    assert np.array_equal(part.val, whole.val)
    assert len(part.train) == count
    assert np.isin(part.train, whole.train).all()
    present = np.unique(labels[whole.train], return_inverse=True)[1]
    assert shares_are_proportional(present, np.searchsorted(whole.train, part.train))


def test_a_split_is_known_for_ever() -> None:
    labels = np.arange(40) % 4
    assert partition(labels, {"val_size": 8}).val.tolist() == partition(labels, {"val_size": 0.2}).val.tolist()
    assert partition(labels, {"val_size": 8}).val.tolist() == KNOWN
    assert partition(labels, {"val_size": 8, "split_seed": 1}).val.tolist() != KNOWN


@pytest.mark.parametrize(
    ("options", "fold", "words"),
    [
        ({"val_size": 0}, 0, "data.val_size=0: must be a count from 1 to 199"),
        ({"val_size": 200}, 0, "data.val_size=200: must be a count from 1 to 199"),
        ({"val_size": 1.0}, 0, "data.val_size=1.0: must be"),
        ({"val_size": 1.5}, 0, "data.val_size=1.5: must be"),
        ({"val_size": -0.1}, 0, "data.val_size=-0.1: must be"),
        ({"val_size": float("nan")}, 0, "data.val_size=nan: must be"),
        ({"val_size": "half"}, 0, "data.val_size=half: must be"),
        ({"val_size": True}, 0, "data.val_size=true: must be"),
        ({"val_size": None}, 0, "data.val_size=null"),
        ({"train_size": 161}, 0, "data.train_size=161: must be a count from 1 to 160"),
        ({"train_size": 0}, 0, "data.train_size=0: must be"),
        ({"folds": 0}, 0, "data.folds=0: must be a whole number ≥ 1"),
        ({"folds": 5}, 5, "fold=5: must be a whole number ≥ 0 and below data.folds=5"),
        ({"folds": 5}, -1, "fold=-1: must be a whole number ≥ 0"),
        ({}, 1, "fold=1: must be a whole number ≥ 0 and below data.folds=1"),
        ({"folds": 21, "label_noise": 0}, 0, "data.folds=21: must be at most 20"),
        ({"split_seed": -1}, 0, "data.split_seed=-1: must be"),
        ({"split_sed": 1}, 0, "did you mean data.split_seed?"),
        (
            {"name": "cifar11"},
            0,
            "data.name=cifar11: must be one of arrays, cifar10, cifar100, folder, regression, "
            "synthetic, torchvision; did you mean cifar10?",
        ),
    ],
)
def test_a_bad_option_is_one_line(options: dict[str, object], fold: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(SMALL | options, fold)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_test_split_is_complete_and_tables_are_shared() -> None:
    data = load(SMALL | {"folds": 4, "train_size": 30}, 3)
    assert len(data.splits["test"]) == 50
    assert len(data.splits["val"]) == 50
    assert len(data.splits["train"]) == 30
    assert data.splits["train"].inputs is data.splits["val"].inputs is load(SMALL).splits["train"].inputs
    assert data.input_shape == (3, 32, 32)
