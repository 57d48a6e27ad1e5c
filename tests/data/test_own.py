"""Own data sets: 3 classes of 24×20 grey images and 101 of 8×8 RGB, read, checked, split and made into batches."""

import hashlib

import numpy as np
import pytest
import torch

from tests.data.own_sets import ANIMALS, as_folders, grey, images, many, parts
from wdrun.contents import of_path
from wdrun.data import Batches, fetch, load
from wdrun.data import digest as data_digest
from wdrun.data.parts import pooled
from wdrun.errors import ConfigError

SPEC = {"name": "arrays", "test_size": 0.2, "val_size": 0.2, "train_size": None, "folds": 1, "split_seed": 0}


@pytest.fixture
def spec(tmp_path):
    """A function from arrays to the config of the file that has them."""

    def saved(arrays, name="my.npz", **more):
        np.savez(tmp_path / name, **arrays)
        path = tmp_path / name
        return SPEC | {"root": str(path), "digest": of_path(path)} | more

    return saved


def rows(dataset, split):
    part = dataset.splits[split]
    return part.inputs[part.rows].numpy(), part.targets[part.rows].numpy()


def test_grey_images_of_any_size(spec):
    arrays = grey()
    dataset = load(spec(arrays))
    assert (dataset.classes, dataset.input_shape, dataset.names) == (3, (1, 24, 20), ())
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 72, "val": 18, "test": 30}
    pixels = arrays["x_train"] / 255
    assert dataset.mean == (round(pixels.mean(), 4),)
    assert dataset.std == (round(pixels.std(), 4),)
    x, y = rows(dataset, "test")
    assert (x[..., 0] == arrays["x_test"]).all()
    assert (y == arrays["y_test"]).all()
    _, y = rows(dataset, "val")
    assert np.bincount(y).tolist() == [6, 6, 6]


def test_without_a_test_part_a_stratified_share_is_kept_aside(spec, capsys):
    arrays = many()
    given = spec(arrays)
    dataset = load(given)
    size = {name: len(part) for name, part in dataset.splits.items()}
    assert (dataset.classes, size) == (101, {"train": 388, "val": 97, "test": 121})
    _, y = rows(dataset, "test")
    assert set(np.bincount(y, minlength=101)) == {1, 2}
    together = np.concatenate([rows(dataset, part)[0] for part in size]).reshape(606, -1)
    assert sorted(map(bytes, together)) == sorted(map(bytes, arrays["x_train"].reshape(606, -1)))
    said = "my.npz has no test part: 121 of its 606 images are kept aside as one (data.test_size=0.2, the same"
    assert said in capsys.readouterr().err
    others = [load(given | changes) for changes in ({}, {"val_size": 0.1}, {"split_seed": 1}, {"test_size": 10})]
    tests = [rows(other, "test")[0].tobytes() for other in others]
    assert tests[0] == tests[1] == rows(dataset, "test")[0].tobytes()
    assert len({*tests}) == 3


def test_a_val_part_takes_the_place_of_val_size(tmp_path):
    root = as_folders(tmp_path / "photos", {"train": 30, "val": 9, "test": 6})
    given = SPEC | {"name": "folder", "root": str(root), "digest": of_path(root)}
    dataset = load(given)
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 30, "val": 9, "test": 6}
    assert dataset.names == ANIMALS
    x, _ = rows(dataset, "val")
    assert {image.tobytes() for image in x[..., 0]} == {image.tobytes() for image in images(3, 9, (24, 20), 1)[0]}
    fewer = load(given | {"train_size": 12})
    assert [len(part) for part in fewer.splits.values()] == [12, 9, 6]
    folded = [load(given | {"folds": 3}, fold) for fold in range(3)]
    assert [len(part) for one in folded for part in one.splits.values()] == [26, 13, 6] * 3
    line = fetch(given)
    assert line.startswith(
        "folder: 30 training, 9 validation and 6 test images of 20×24 grey in 3 classes (0 cat, 1 dog, 2 frog), "
    )
    for said in (str(root), f"mean {dataset.mean[0]:g}, std {dataset.std[0]:g}", f"SHA-256 {dataset.digest}"):
        assert said in line


def test_of_many_classes_the_first_are_told():
    names = [f"c{k}" for k in range(101)]
    from wdrun.data.parts import counts

    line = counts(pooled(parts(many(), names), SPEC, "it"))
    assert line.endswith("8×8 RGB in 101 classes (0 c0, 1 c1, 2 c2, 3 c3, 4 c4, …, 100 c100)")


def test_the_digest_is_of_bytes_and_names():
    arrays = grey()
    pools = [pooled(parts(arrays, names), SPEC, "it") for names in ((), ANIMALS, ("cat", "dog", "newt"))] + [
        pooled(parts(arrays | {"y_test": 2 - arrays["y_test"]}), SPEC, "it")
    ]
    assert len({pool.digest for pool in pools}) == 4
    expected = hashlib.sha256("\n".join(ANIMALS).encode())
    for key in ("x_train", "y_train", "x_test", "y_test"):
        table = arrays[key][..., None] if key[0] == "x" else arrays[key]
        expected.update(f"\n{table.shape}\n".encode() + table.tobytes())
    assert pools[1].digest == expected.hexdigest()


def test_another_content_than_the_runs_is_refused(spec):
    given = spec(grey())
    assert data_digest(given) == load(given).digest
    spec(grey(seed=5))  # in the same place
    with pytest.raises(ConfigError, match=r"has other content than the run was given: data.digest=[a-z]{12} of it now"):
        load(given)


def test_label_noise_is_of_the_training_split_alone(spec):
    given = spec(many())
    clean, noisy = load(given), load(given | {"label_noise": 0.25})
    differ = rows(clean, "train")[1] != rows(noisy, "train")[1]
    assert differ.sum() == round(0.25 * 388)
    for split in ("val", "test"):
        assert (rows(clean, split)[1] == rows(noisy, split)[1]).all()
    assert clean.digest != noisy.digest


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("made", [grey, many])
@pytest.mark.parametrize("augment", [{}, {"flip": True, "pad": 2}, {"flip": True, "pad": 8, "size": 4}])
def test_batches_of_any_shape(made, augment, channels_last):
    dataset_parts = parts(made())
    pool = pooled(dataset_parts, SPEC, "it")
    from wdrun.data import Split

    split = Split(pool.train_images, pool.train_labels, torch.arange(len(pool.train_labels)))
    batches = Batches(split, batch_size=30, mean=pool.mean, std=pool.std, device="cpu", dtype=torch.float32,
                      augment=augment, channels_last=channels_last)  # fmt: skip
    height, width, channels = pool.train_images.shape[1:]
    for x, y in batches.epoch(0, 1):
        assert x.shape == (30, channels, height, width)
        assert y.shape == (30,)
    whole = torch.cat([x for x, _ in batches.sequential()])
    expected = (pool.train_images.double().permute(0, 3, 1, 2) / 255 - torch.tensor(pool.mean).view(-1, 1, 1)) / (
        torch.tensor(pool.std).view(-1, 1, 1)
    )
    assert torch.allclose(whole.double(), expected, atol=1e-5)


def test_a_crop_is_padded_by_no_more_than_the_shorter_edge(spec):
    dataset = load(spec(grey()))
    with pytest.raises(ConfigError, match=r"augment\.pad=21: must be a whole number from 0 to 20"):
        Batches(dataset.splits["train"], batch_size=8, mean=dataset.mean, std=dataset.std, device="cpu",
                dtype=torch.float32, augment={"pad": 21})  # fmt: skip


def broken(**changes):
    return grey() | changes


@pytest.mark.parametrize(
    ("arrays", "more", "message"),
    [
        (broken(y_train=np.zeros(90, int), y_test=np.zeros(30, int)), {}, "has the one class 0 in train"),
        (broken(y_train=grey()["y_train"] + 1), {}, "labels must be 0 … K − 1, .* it has 3 classes with labels 1 … 3"),
        (broken(y_train=grey()["y_train"] * 5), {}, "it has 3 classes with labels 0 … 10: renumber them"),
        (broken(y_test=np.full(30, 7)), {}, "has the class 7 in test that is not in train"),
        (broken(x_test=np.zeros((30, 20, 24), np.uint8)), {}, "images of .* in test and .* in train"),
        (many(), {"test_size": None}, "data.test_size=null: must be a count or a fraction of the images, as the data"),
        (many(), {"test_size": 606}, "data.test_size=606: must be a count from 1 to 604 or a fraction between 0 and 1"),
        ({"x_train": grey(2)["x_train"], "y_train": np.arange(2)}, {}, "data.test_size=0.2: must be a count from 1 to"),
        (grey(3), {"val_size": 0.1}, "data.val_size=0.1: must be a count from 1 to 2 or a fraction"),
        (many(), {"folds": 5}, "data.folds=5: must be at most 4, the size of the smallest class"),
        (many(), {"train_size": 500}, "data.train_size=500: must be a count from 1 to 388"),
        (grey(), {"label_noise": 2}, "data.label_noise=2: must be a number from 0 to 1"),
        (grey(), {"root": None}, "data.root: must be given: a file or folder of images"),
    ],
)
def test_what_is_no_data_set_is_one_line(spec, arrays, more, message):
    given = spec(arrays) | more
    with pytest.raises(ConfigError, match=message) as error:
        load(given)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("data.")


def test_what_has_moved_is_said(spec, tmp_path):
    given = spec(grey())
    (tmp_path / "my.npz").rename(tmp_path / "other.npz")
    with pytest.raises(ConfigError, match=r"my\.npz: cannot be read: No such file or directory; give the place where"):
        load(given)


def test_damage_is_told_without_a_list_of_layouts(tmp_path):
    root = as_folders(tmp_path / "photos", {"train": 6})
    (root / "train" / "cat" / "train0.png").write_bytes(b"")
    with pytest.raises(ConfigError) as error:
        load(SPEC | {"name": "folder", "root": str(root)})
    assert str(error.value) == f"data.root={root} holds a damaged train/cat/train0.png (it is empty)"


def test_what_reading_refuses_names_the_file(tmp_path):
    (tmp_path / "my.npz").write_text("no archive")
    given = SPEC | {"root": str(tmp_path / "my.npz"), "digest": None}
    with pytest.raises(ConfigError, match=r"data.root=.*my\.npz .*; readable are ") as error:
        load(given)
    assert "\n" not in str(error.value)
