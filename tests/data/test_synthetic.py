"""The synthetic set: a function of its options, balanced, with as much label noise as asked."""

import gc
from weakref import ref

import pytest
import torch

from wdrun.data import fetch, load
from wdrun.data.synthetic import _pool, pool
from wdrun.errors import ConfigError

SMALL = {"name": "synthetic", "train_examples": 300, "test_examples": 100, "val_size": 0.2}


def test_the_same_options_give_the_same_bytes_and_another_seed_others() -> None:
    first = pool(SMALL)
    _pool.cache_clear()
    again = pool(SMALL)
    assert first.digest == again.digest
    assert torch.equal(first.train_images, again.train_images)
    assert pool(SMALL | {"seed": 1}).digest != first.digest
    assert pool(SMALL | {"noise": 0.01}).digest != first.digest


def test_the_memory_of_sets_that_are_no_longer_kept_is_free() -> None:
    first = ref(pool(SMALL | {"seed": 10}))
    for seed in range(10, 15):
        load(SMALL | {"seed": seed})
    gc.collect()
    assert first() is None


def test_labels_are_balanced_and_noisy_by_the_share_asked() -> None:
    clean, noisy = pool(SMALL | {"label_noise": 0}), pool(SMALL | {"label_noise": 0.2})
    assert clean.train_labels.bincount().tolist() == [30] * 10
    assert (clean.train_labels != noisy.train_labels).sum() == 60
    assert torch.equal(clean.test_labels, noisy.test_labels)
    assert torch.equal(clean.train_images, noisy.train_images)


def test_mean_and_std_are_those_of_the_pool() -> None:
    made = pool(SMALL)
    pixels = made.train_images.view(-1, 3).double() / 255
    assert torch.allclose(pixels.mean(0), torch.tensor(made.mean, dtype=torch.float64), atol=5e-5)
    assert torch.allclose(pixels.std(0), torch.tensor(made.std, dtype=torch.float64), atol=5e-5)


def test_classes_can_be_told_apart_beyond_chance() -> None:
    """Ridge regression on pixels, in closed form: well above 10 %, far from 100 %."""
    data = pool(SMALL | {"train_examples": 1500})
    x, z = (t.flatten(1).double() / 255 - 0.5 for t in (data.train_images, data.test_images))
    aim = torch.nn.functional.one_hot(data.train_labels, 10).double()
    dual = torch.linalg.solve(x @ x.T + 300 * torch.eye(len(x), dtype=torch.float64), aim)
    accuracy = ((z @ x.T @ dual).argmax(1) == data.test_labels).double().mean().item()
    assert 0.2 < accuracy < 0.95


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_noise": 1.5}, "data.label_noise=1.5: must be a number from 0 to 1"),
        ({"noise": "much"}, "data.noise=much: must be a number"),
        ({"noise": float("nan")}, "data.noise=nan: must be a number"),
        ({"train_examples": 3}, "data.train_examples=3: must be a whole number from 20"),
        ({"test_examples": 10.5}, "data.test_examples=10.5: must be a whole number"),
        ({"seed": -1}, "data.seed=-1: must be a whole number"),
        ({"root": "/x"}, "data.root: unknown key; synthetic takes name, train_examples,"),
    ],
)
def test_a_bad_option_is_one_line(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        load(SMALL | options)


def test_fetch_says_that_there_is_nothing_to_fetch() -> None:
    line = fetch(SMALL)
    assert line.startswith("synthetic: 300 training and 100 test images")
    assert "\n" not in line
