"""CIFAR-10 out of whatever holds it, put into the official order; `canonical.mismatch` decides whether it is."""

from pathlib import Path

import numpy as np

from wdrun.data import reading
from wdrun.data.canonical import BadSource, Tables


def read(path: Path) -> Tables:
    """The four tables held by an archive or a folder, in the order of the official files."""
    found = reading.read(path)
    tables: Tables = {}
    for part in ("train", "test"):
        if part not in found.parts:
            raise BadSource(f"has no {part} part ({found.layout})")
        images, labels = found.parts[part]
        tables[f"{part}_images"] = images
        tables[f"{part}_labels"] = labels.astype(np.uint8)
    return tables
