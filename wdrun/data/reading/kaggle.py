"""Kaggle's competition layout: train/1.png … and trainLabels.csv (id,label), whose test images have no labels."""

import csv
import io

import numpy as np

from wdrun.data.canonical import BadSource
from wdrun.data.reading.folders import pictures_in
from wdrun.data.reading.found import Found
from wdrun.data.reading.pictures import stacked
from wdrun.data.reading.tree import Tree, natural, shown

LABELS = "trainLabels.csv"


def claims(tree: Tree) -> bool:
    """Whether the labels are there."""
    return LABELS in tree.files()


def read(tree: Tree) -> Found:
    """The training images in the order of their numbers, labelled by the sorted names of their classes."""
    place = _pictures(tree)
    names = sorted(pictures_in(place), key=natural)
    label_of = _labels(tree)
    ids = [name.rpartition(".")[0] for name in names]
    lacking = [name for name, key in zip(names, ids, strict=True) if key not in label_of]
    if lacking or len(label_of) != len(names):
        missing = shown(map(str, lacking)) or shown(f"{key}.png" for key in label_of if key not in set(ids))
        where = f"without a row in {tree.where}{LABELS}" if lacking else f"named there, but not in {place.where}"
        raise BadSource(f"holds {len(names)} pictures in {place.where} and {len(label_of)} labels: {missing} {where}")
    classes = sorted(set(label_of.values()))
    images = stacked(((f"{place.where}{name}", place.read(name)) for name in names), len(names))
    labels = np.array([classes.index(label_of[key]) for key in ids], dtype=np.int64)
    return Found({"train": (images, labels)}, tuple(classes), "Kaggle's train/ with trainLabels.csv")


def _pictures(tree: Tree) -> Tree:
    """The folder train/, or train/train/ as some unpackers leave it."""
    place = tree
    for _ in range(2):
        if "train" in place.folders():
            place = place.inside("train")
            if pictures_in(place):
                return place
    packed = next((name for name in tree.files() if name.startswith("train.")), None)
    hint = f": unpack {tree.where}{packed} there" if packed else f": must be beside {tree.where}{LABELS}"
    raise BadSource(f"lacks the pictures train/1.png …{hint}")


def _labels(tree: Tree) -> dict[str, str]:
    """The name of the class of each picture, by its number as text."""
    name = f"{tree.where}{LABELS}"
    try:
        rows = list(csv.reader(io.StringIO(tree.read(LABELS).decode("utf-8-sig")), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadSource(f"holds a damaged {name} ({error})") from error
    if not rows or [cell.strip() for cell in rows[0]] != ["id", "label"]:
        raise BadSource(f"holds {name} without the header id,label")
    rows = [row for row in rows[1:] if row]
    odd = next((row for row in rows if len(row) != 2 or not all(row)), None)
    if odd is not None:
        raise BadSource(f"holds {name} with the row {','.join(odd)!r}, which must be a number and a class")
    found = {row[0]: row[1] for row in rows}
    if len(found) != len(rows):
        raise BadSource(f"holds {name} with a number twice")
    return found
