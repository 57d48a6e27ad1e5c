"""Image folders: train/<class>/, and where they are val/<class>/ and test/<class>/, or <class>/ alone; PNG and JPEG.

Classes are labelled in the order of their sorted names, images are in the order of the file names over all classes.
"""

from itertools import islice

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
    """Whether there is a train/ that holds folders with pictures, or two such folders and no part among them."""
    places = _places(tree)
    return any(_classes(place, least=2 if place is tree else 1) for place in places.get("train", ()))


def read(tree: Tree) -> Found:
    """The pictures of all parts, which must have the same classes; a class folder without a picture is left out."""
    places = {}
    for part, (place, *more) in _places(tree).items():
        if more:
            raise BadSource(f"holds both {place.where} and {more[0].where}: must be one of them")
        places[part] = place
    held = {part: {name: pictures_in(place.inside(name)) for name in place.folders()} for part, place in places.items()}
    full = {part: {name for name, pictures in classes.items() if pictures} for part, classes in held.items()}
    for part, classes in full.items():
        if not classes:
            raise BadSource(
                f"holds no class folders with pictures in {places[part].where}: must hold some, or not be there"
            )
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


def _places(tree: Tree) -> dict[str, list[Tree]]:
    """The folders that are called as a part is, by part; where none is, the tree itself is train."""
    places: dict[str, list[Tree]] = {}
    for name in tree.folders():
        if part := PARTS.get(name.lower()):
            places.setdefault(part, []).append(tree.inside(name))
    return places or {"train": [tree]}


def _classes(place: Tree, least: int) -> bool:
    """Whether so many folders of a place hold pictures."""
    full = (name for name in place.folders() if pictures_in(place.inside(name)))
    return len(list(islice(full, least))) == least


def _part(place: Tree, held: dict[str, list[str]], names: list[str]) -> Part:
    folders = [place.inside(name) for name in names]
    files = [(file, label) for label, name in enumerate(names) for file in held[name]]
    files.sort(key=lambda item: natural(item[0]))
    images = stacked(((folders[c].where + file, folders[c].read(file)) for file, c in files), len(files))
    return images, np.array([label for _, label in files], dtype=np.int64)
