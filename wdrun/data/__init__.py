"""Data sets held once as uint8 tables, their splits, and batches made whole on the device."""

from wdrun.data.batches import Batches
from wdrun.data.dataset import Dataset, Split
from wdrun.data.loading import digest, fetch, load

__all__ = ["Batches", "Dataset", "Split", "digest", "fetch", "load"]
