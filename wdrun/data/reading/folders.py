"""Image folders: train/<class>/ and test/<class>/, and where there is one val/<class>/, of PNG and JPEG pictures.

Classes are labelled in the order of their sorted names, images are in the order of the file names over all classes.
"""

import numpy as np

from wdrun.data.canonical import BadSource
from wdrun.data.reading.found import Found, Part
from wdrun.data.reading.pictures import is_picture, stacked
from wdrun.data.reading.tree import Tree, natural, shown

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def pictures_in(tree: Tree) -> list[str]:
    """The names of the pictures of a folder."""
    return [name for name in tree.files() if is_picture(name)]


def claims(tree: Tree) -> bool:
    """Whether there is a train/ that holds folders with pictures."""
    return any(
        name.lower() == "train" and any(pictures_in(part.inside(folder)) for folder in part.folders())
        for name in tree.folders()
        for part in [tree.inside(name)]
    )


def read(tree: Tree) -> Found:
    """The pictures of all parts, which must have the same classes; a class folder without a picture is left out."""
    held: dict[str, dict[str, list[str]]] = {}  # part -> class -> pictures
    places: dict[str, Tree] = {}
    for name in tree.folders():
        part = PARTS.get(name.lower())
        if part is None:
            continue
        if part in places:
            raise BadSource(f"holds both {places[part].where} and {tree.where}{name}/: must be one of them")
        places[part] = tree.inside(name)
        held[part] = {folder: pictures_in(places[part].inside(folder)) for folder in places[part].folders()}
    full = {part: {name for name, pictures in classes.items() if pictures} for part, classes in held.items()}
    for part, classes in full.items():
        for name in sorted(classes ^ full["train"]):
            has, lacks = ("train", part) if name in full["train"] else (part, "train")
            raise BadSource(f"holds {places[has].where}{name}/ but no pictures in {places[lacks].where}{name}/")
    names = sorted(full["train"])
    parts: dict[str, Part] = {
        part: _part(places[part], held[part], names) for part in ("train", "val", "test") if part in places
    }
    empty = sorted({name for classes in held.values() for name in classes} - set(names))
    note = f", without the empty {shown(empty)}" if empty else ""
    return Found(parts, tuple(names), f"image folders{note}")


def _part(place: Tree, held: dict[str, list[str]], names: list[str]) -> Part:
    folders = [place.inside(name) for name in names]
    files = [(file, label) for label, name in enumerate(names) for file in held[name]]
    files.sort(key=lambda item: natural(item[0]))
    images = stacked(((folders[c].where + file, folders[c].read(file)) for file, c in files), len(files))
    return images, np.array([label for _, label in files], dtype=np.int64)
