"""Label noise of CIFAR-10: an exact share, of the training split only, the same for every run; none changes nothing."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wdrun.data import canonical, cifar10, load
from wdrun.data.dataset import Dataset, Pool
from wdrun.data.label_noise import with_noise
from wdrun.errors import ConfigError
from wdrun.wording import shown

SPEC = {"name": "cifar10", "root": None, "val_size": 100, "train_size": None, "folds": 1, "split_seed": 0}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """600 + 50 black images in place of CIFAR-10, digest "d"."""
    images = torch.zeros(600, 32, 32, 3, dtype=torch.uint8)
    labels = torch.arange(600) % 10
    pool = Pool(images, labels, images[:50], labels[:50], 10, canonical.MEAN, canonical.STD, "d")
    monkeypatch.setattr(cifar10, "_pool", lambda root, base: pool)


def replaced(clean: Dataset, noisy: Dataset) -> set[int]:
    """Rows of the training split whose label differs, after checking that the splits are the same."""
    for name, split in clean.splits.items():
        assert torch.equal(split.rows, noisy.splits[name].rows)
    train = noisy.splits["train"]
    return set(train.rows[clean.splits["train"].targets[train.rows] != train.targets[train.rows]].tolist())


@settings(deadline=None)
@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 99), st.data())
def test_the_share_is_exact_and_no_label_becomes_itself(classes, share, seed, data):
    labels = torch.tensor(data.draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=60)))
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(labels) - 1)))), dtype=np.int64)
    before = labels.clone()
    noisy = with_noise(labels, rows, share, seed, classes)
    assert torch.equal(labels, before)
    changed = (noisy != labels).nonzero()[:, 0].tolist()
    assert len(changed) == round(share * len(rows))
    assert set(changed) <= set(rows.tolist())
    assert ((noisy >= 0) & (noisy < classes)).all()


@pytest.mark.parametrize("share", [0.001, 0.1, 0.4, 0.5, 1])
def test_train_has_the_share_and_validation_and_test_are_clean(share):
    clean, noisy = load(SPEC), load(SPEC | {"label_noise": share})
    assert len(replaced(clean, noisy)) == round(share * 500)
    for name in ("val", "test"):
        assert torch.equal(clean.splits[name].targets, noisy.splits[name].targets)


def test_it_is_a_function_of_the_split_seed_alone():
    noisy = SPEC | {"label_noise": 0.3}
    first, again = load(noisy).splits["train"].targets, load(noisy).splits["train"].targets
    assert torch.equal(first, again)
    digest = hashlib.sha256(first.numpy().tobytes()).hexdigest()
    assert digest.startswith("797a0ed79a3c")  # on every machine
    other = load(noisy | {"split_seed": 1}).splits["train"].targets
    assert not torch.equal(first, other)


def test_every_other_class_is_about_as_likely():
    """5,000 wrong labels over nine steps: within five standard deviations of 1/9 each."""
    labels = torch.arange(5000) % 10
    steps = (with_noise(labels, np.arange(5000), 1, 0, 10) - labels) % 10
    counts = steps.bincount(minlength=10)
    assert counts[0] == 0
    assert (abs(counts[1:] - 5000 / 9) < 5 * (5000 / 9 * 8 / 9) ** 0.5).all()


def test_a_larger_share_adds_to_a_smaller_one():
    some, more = (replaced(load(SPEC), load(SPEC | {"label_noise": share})) for share in (0.2, 0.6))
    assert some < more


def test_folds_agree_on_the_wrong_class_and_share_the_digest():
    spec = SPEC | {"folds": 5, "label_noise": 0.3}
    folds = [load(spec, fold) for fold in range(5)]
    clean = [load(spec | {"label_noise": 0.0}, fold) for fold in range(5)]
    wrong: dict[int, set[int]] = {}
    for a, b in zip(clean, folds, strict=True):
        for row in replaced(a, b):
            wrong.setdefault(row, set()).add(int(b.splits["train"].targets[row]))
        assert torch.equal(a.splits["val"].targets, b.splits["val"].targets)
    assert all(len(classes) == 1 for classes in wrong.values())
    assert len({data.digest for data in folds}) == 1


def test_none_is_what_there_was_and_the_digest_tells_the_rest_apart():
    without, zero = load(SPEC), load(SPEC | {"label_noise": 0.0})
    assert zero.splits["train"].targets is without.splits["train"].targets
    assert zero.digest == without.digest == "d"
    options = [{"label_noise": 0.1}, {"label_noise": 0.2}, {"label_noise": 0.1, "split_seed": 1}]
    assert len({"d", *(load(SPEC | option).digest for option in options)}) == 4


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan"), "half", True, None])
def test_a_bad_share_is_one_line(share):
    with pytest.raises(ConfigError) as caught:
        load(SPEC | {"label_noise": share})
    assert str(caught.value) == f"data.label_noise={shown(share)}: must be a number from 0 to 1"
