"""Data sets such as users bring: 3 classes of 24×20 grey images, 101 of 8×8 RGB, as a file, folders, or parts."""

import numpy as np
from PIL import Image

from wdrun.data.reading import Found

ANIMALS = ("cat", "dog", "frog")


def images(classes, count, shape, seed=0):
    """`count` learnable images (uint8) with labels that go round the classes: each class is bright somewhere else."""
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = draws.integers(0, 100, (count, *shape), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image.reshape(-1)[label :: classes + 1] += 120
    return pixels, labels


def grey(train=90, test=30, seed=0):
    """The arrays of an .npz, by name."""
    (x, y), (z, v) = images(3, train, (24, 20), seed), images(3, test, (24, 20), seed + 1)
    return {"x_train": x, "y_train": y, "x_test": z, "y_test": v}


def many(each=6):
    """101 classes and no test part."""
    x, y = images(101, 101 * each, (8, 8, 3))
    return {"x_train": x, "y_train": y}


def parts(arrays, names=()):
    """What reading gives of such arrays."""
    found = {
        key.removeprefix("x_"): (x if x.ndim == 4 else x[..., None], arrays[key.replace("x", "y", 1)])
        for key, x in arrays.items()
        if key.startswith("x_")
    }
    return Found(found, tuple(names), "arrays")


def as_folders(root, counts, seed=0):
    """`root`/<part>/<class>/*.png of 24×20 grey images, for each part and its number of images."""
    for number, (part, count) in enumerate(counts.items()):
        pixels, labels = images(3, count, (24, 20), seed + number)
        for name in ANIMALS:
            (root / part / name).mkdir(parents=True, exist_ok=True)
        for k, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            Image.fromarray(image).save(root / part / ANIMALS[label] / f"{part}{k}.png")
    return root
