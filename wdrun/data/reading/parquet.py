"""Hugging Face parquet: files of pictures and labels, of which the name or the folder says the part.

The order of rows is the publisher's: of CIFAR-10 the batches are 4, 3, 2, 5, 1.
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from wdrun.data.canonical import BadSource
from wdrun.data.reading import archive
from wdrun.data.reading.folders import PARTS
from wdrun.data.reading.found import Found, labels_of
from wdrun.data.reading.pictures import stacked
from wdrun.data.reading.tree import Lone, Tree, natural, shown
from wdrun.wording import first_line

PICTURES, LABELS = ("img", "image"), ("label", "labels", "fine_label")
ROWS = 1000  # read at once


def _names(tree: Tree) -> list[str]:
    lone = isinstance(tree, Lone)  # by its first bytes, whatever its name
    return sorted((name for name in tree.files() if lone or name.endswith(".parquet")), key=natural)


def claims(tree: Tree) -> bool:
    """Whether there is a parquet file, or a train/ that holds one."""
    return bool(_names(tree)) or any(_names(tree.inside(name)) for name in tree.folders() if name.lower() == "train")


def read(tree: Tree) -> Found:
    """The rows of the files of each part, in the order of the files' names."""
    try:
        import pyarrow.parquet  # noqa: F401 - an extra
    except ImportError as error:
        raise BadSource("is parquet, which needs the extra: pip install 'wdrun[parquet]'") from error
    files: dict[str, list[tuple[Tree, str]]] = {}
    for name in _names(tree):
        word = re.split(r"[-_.]", name)[0].lower()
        files.setdefault(PARTS.get(word, word), []).append((tree, name))
    for folder in tree.folders():
        if folder.lower() in PARTS:
            place = tree.inside(folder)
            files.setdefault(PARTS[folder.lower()], []).extend((place, name) for name in _names(place))
    unknown = [name for part, held in files.items() if part not in PARTS.values() for _, name in held]
    if unknown and len(files) > 1:
        raise BadSource(f"holds {shown(unknown)}: must be named train-…, test-… or validation-….parquet")
    if unknown:
        files = {"train": files.popitem()[1]}  # a lone file of whatever name
    with ExitStack() as stack:
        held = {part: [_open(stack, *f) for f in files[part]] for part in ("train", "val", "test") if files.get(part)}
        if "train" not in held:
            raise BadSource(f"has no train part, only {shown(files)}: give the folder of all of them")
        classes = _classes(held["train"][0][1].schema_arrow)
        return Found({part: _part(opened) for part, opened in held.items()}, classes, "Hugging Face parquet")


def _open(stack: ExitStack, tree: Tree, name: str) -> tuple[str, Any]:
    """A file by its path in the source, after its own account of its size was found to be within bounds."""
    from pyarrow.parquet import ParquetFile

    path = f"{tree.where}{name}"
    try:
        file = ParquetFile(stack.enter_context(tree.open(name)))
        groups = [file.metadata.row_group(k) for k in range(file.metadata.num_row_groups)]
        unpacked, names = sum(group.total_byte_size for group in groups), file.schema_arrow.names
    except Exception as error:  # what a damaged file raises is not documented
        raise BadSource(f"holds a damaged {path} ({first_line(error)})") from error
    if unpacked > (most := archive.limit(tree.size(name))):
        raise BadSource(f"holds {path}, which {archive.too_large(most)}")
    for wanted in (PICTURES, LABELS):
        if not set(wanted) & set(names):
            raise BadSource(f"holds {path} with the columns {shown(names, 8)}, none of them {' or '.join(wanted)}")
    return path, file


def _part(opened: list[tuple[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    labels: list[int | None] = []
    count = sum(file.metadata.num_rows for _, file in opened)
    if count == 0:
        raise BadSource(f"holds {opened[0][0]} without a row")
    images = stacked(_rows(opened, labels), count)
    if len(labels) != count:
        raise BadSource(f"holds {opened[-1][0]}, of which {len(labels)} of {count} rows are there")
    return images, labels_of("label", np.array(labels), count)


def _rows(opened: list[tuple[str, Any]], labels: list[int | None]) -> Iterator[tuple[str, bytes]]:
    """Yield each picture with its place in the source, and append its label."""
    for path, file in opened:
        schema = file.schema_arrow
        picture = next(name for name in PICTURES if name in schema.names)
        label = next(name for name in LABELS if name in schema.names)
        row = 0
        try:
            for batch in file.iter_batches(ROWS, columns=[picture, label], use_threads=False):
                pictures = batch.column(picture)
                labels.extend(batch.column(label).to_pylist())
                for item in pictures.to_pylist():
                    content = item.get("bytes") if isinstance(item, dict) else item
                    if not isinstance(content, bytes):
                        raise BadSource(f"holds {path} without the bytes of the picture in row {row}")
                    yield f"{path} (row {row})", content
                    row += 1
        except (BadSource, GeneratorExit):
            raise
        except Exception as error:
            raise BadSource(f"holds a damaged {path} ({first_line(error)})") from error


def _classes(schema: Any) -> tuple[str, ...]:
    """The names of the classes that the schema has; () where it has none."""
    label = next(name for name in LABELS if name in schema.names)
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    return tuple(told) if isinstance(told, list) and all(isinstance(name, str) for name in told) else ()
