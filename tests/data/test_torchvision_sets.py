"""Classes of torchvision's, and of one's own with its protocol: called a part each, read by attribute or by pairs."""

import struct
import sys

import numpy as np
import pytest

from tests.data.own_sets import ANIMALS, as_folders, images
from wdrun.contents import of_path
from wdrun.data import fetch, load
from wdrun.errors import ConfigError, StorageError

SPEC = {"name": "torchvision", "root": None, "digest": None, "test_size": 0.2, "val_size": 0.2, "split_seed": 0}
OWN = '''
import numpy as np
from PIL import Image
from tests.data.own_sets import images

class Planar:
    """As SVHN: planes first, labels, split=."""
    def __init__(self, root, split="train", download=False):
        if split not in ("train", "test"):
            raise ValueError(split)
        self.data, self.labels = images(3, 30 if split == "train" else 12, (24, 20, 3), split == "test")
        self.data = self.data.transpose(0, 3, 1, 2)

class Pairs:
    """PIL images and labels; no parts."""
    classes = ["cat", "dog", "frog"]
    def __init__(self, count=60, mode="L"):
        self.pixels, self.labels = images(3, count, (24, 20))
        self.mode = mode
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, k):
        return Image.fromarray(self.pixels[k]).convert(self.mode), int(self.labels[k])

class Drawn(Pairs):
    """Drawn anew at each call."""
    def __init__(self):
        super().__init__()
        self.pixels = np.random.randint(0, 256, self.pixels.shape, dtype=np.uint8)

class Sizes(Pairs):
    def __getitem__(self, k):
        image, label = super().__getitem__(k)
        return (image.resize((9, 9)) if k == 4 else image), label

class Floats(Pairs):
    def __getitem__(self, k):
        return self.pixels[k] / 255, int(self.labels[k])

class Texts(Pairs):
    def __getitem__(self, k):
        return super().__getitem__(k)[0], "cat"

class Remote:
    def __init__(self, root, train=True, download=False):
        raise RuntimeError("Error downloading x.tar" if download else "not found")

class Broken:
    def __init__(self, root):
        raise OSError("no disk")

def number():
    return 5
'''


@pytest.fixture
def own(here, monkeypatch):
    """A function from the name of a class of OWN to its config."""
    (here / "my_sets.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delitem(sys.modules, "my_sets", raising=False)
    return lambda name, **more: SPEC | {"_target_": f"my_sets.{name}"} | more


def table(dataset, split):
    part = dataset.splits[split]
    return part.inputs[part.rows].numpy(), part.targets[part.rows].numpy()


def test_planes_first_and_a_split(own, here):
    dataset = load(own("Planar", root=str(here)))
    pixels, labels = images(3, 12, (24, 20, 3), 1)
    assert (dataset.input_shape, dataset.classes) == ((3, 24, 20), 3)
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 24, "val": 6, "test": 12}
    assert (table(dataset, "test")[0] == pixels).all()
    assert (table(dataset, "test")[1] == labels).all()


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("P", 3)])
def test_pairs_of_pictures(own, mode, channels):
    dataset = load(own("Pairs", mode=mode))
    assert (dataset.names, dataset.input_shape) == (ANIMALS, (channels, 24, 20))
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 38, "val": 10, "test": 12}


def test_a_classs_own_arguments_are_keys(own):
    assert len(load(own("Pairs", count=90)).splits["test"]) == 18
    assert load(own("Pairs", count=90)).digest != load(own("Pairs")).digest


def test_what_it_draws_is_the_same_in_every_process(own):
    from wdrun.data import torchvision_sets

    first = load(own("Drawn")).digest
    torchvision_sets._found.cache_clear()
    np.random.seed(7)
    assert load(own("Drawn")).digest == first


def test_torchvisions_own_classes(here):
    raw = here / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 12)):
        pixels, labels = images(10, count, (28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, count, 28, 28) + pixels.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2i", 2049, count) + labels.astype(np.uint8).tobytes()
        )
    given = SPEC | {"_target_": "torchvision.datasets.MNIST", "root": str(here), "digest": of_path(here)}
    dataset = load(given)
    assert (dataset.input_shape, dataset.classes, dataset.names[0]) == ((1, 28, 28), 10, "0 - zero")
    assert (table(dataset, "test")[0][..., 0] == images(10, 12, (28, 28))[0]).all()
    assert fetch(given).startswith(
        "torchvision: 30 training and 12 test images of 28×28 grey in 10 classes (0 0 - zero"
    )


def test_a_class_of_folders(here):
    root = as_folders(here / "photos", {"all": 30}) / "all"
    given = SPEC | {"_target_": "torchvision.datasets.ImageFolder", "root": str(root), "digest": of_path(root)}
    dataset = load(given)
    assert (dataset.names, dataset.input_shape) == (ANIMALS, (3, 24, 20))
    (root / "cat" / "more.png").write_bytes((root / "cat" / "all0.png").read_bytes())
    with pytest.raises(ConfigError, match="has other content than the run was given"):
        load(given)


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("Sizes", {}, r"its train part gives images of 20×24 grey and 9×9 grey \(number 4\); all must be alike"),
        ("Floats", {}, "gives a ndarray of float64 and shape .*; must be a PIL image or a uint8 array"),
        ("Texts", {}, "has labels of <U3 and shape .*; must be a whole number for each of its 60 images"),
        ("Broken", {"root": "."}, "my_sets.Broken: OSError: no disk"),
        ("Broken", {}, "data.root: must be given: the folder in which my_sets.Broken has its files"),
        ("Planar", {}, "data.root: must be given"),
        ("Pairs", {"cuont": 3}, "unexpected keyword argument 'cuont'"),
        ("Pairs", {"count": 0}, "its train part holds no images"),
        ("number", {}, "gives no pairs of image and label: TypeError"),
        ("Nothing", {}, "data._target_=my_sets.Nothing: cannot be imported"),
    ],
)
def test_what_does_not_fit_is_one_line(own, name, more, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(own(name, **more))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("target", [None, "Net", 5])
def test_a_class_has_a_dotted_name(target):
    with pytest.raises(
        ConfigError, match=r"data\._target_=.*: must be a dotted name, such as torchvision.datasets.SVHN"
    ):
        load(SPEC | {"_target_": target})


def test_files_that_are_not_there_yet_are_fetched_by_wdrun_data(here):
    with pytest.raises(ConfigError, match="; `wdrun data` with the same words downloads it"):
        load(SPEC | {"_target_": "torchvision.datasets.MNIST", "root": str(here / "none")})


def test_without_a_network_they_cannot_be(own, here):
    with pytest.raises(
        StorageError, match=r"Remote: RuntimeError: Error downloading x\.tar; it is downloaded where there"
    ):
        fetch(own("Remote", root=str(here)))
