"""Data sets out of the files that people have: `read(path)` finds the layout and gives images and labels."""

from wdrun.data.reading.found import Found
from wdrun.data.reading.layouts import LAYOUTS, READABLE, read

__all__ = ["LAYOUTS", "READABLE", "Found", "read"]
