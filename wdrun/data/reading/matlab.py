"""Arrays of bytes out of MATLAB 5 files, through scipy, after the file was found to unpack within bounds."""

import io
import struct
import zlib
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wdrun.data.canonical import BadSource
from wdrun.data.reading.kinds import HEAD, kind_of
from wdrun.data.reading.tree import FILE_LIMIT
from wdrun.wording import first_line

HEADER, TAG = 128, 8  # bytes before the first element, and of the type and size that each begins with
COMPRESSED = 15


def bytes_of(content: bytes, name: str, wanted: Collection[str]) -> dict[str, NDArray[np.uint8]]:
    """The wanted uint8 matrices of a file; BadSource where one is not there, or is anything but bytes."""
    kind = kind_of(content[:HEAD])
    if kind.name != "MATLAB 5":
        raise BadSource(f"holds {name}, which {kind.refusal or 'is not a MATLAB 5 file'}")
    from scipy.io import loadmat, whosmat  # a second to load, and only for these

    try:
        _check_size(content, name)
        held = {key: (shape, kind) for key, shape, kind in whosmat(io.BytesIO(content))}
        for key in wanted:  # before anything is loaded: objects and cells are never built
            if held.get(key, ((), ""))[1] != "uint8":
                raise BadSource(f"holds {name} without {key} of uint8")
        arrays: dict[str, Any] = loadmat(io.BytesIO(content), variable_names=list(wanted))
    except (BadSource, MemoryError):
        raise
    except Exception as error:  # what a damaged file raises is not documented
        raise BadSource(f"holds a damaged {name} ({first_line(error)})") from error
    return {key: arrays[key] for key in wanted}


def _check_size(content: bytes, name: str) -> None:
    """BadSource where the compressed elements unpack to more than a file may have."""
    order = "<" if content[126:128] == b"IM" else ">"
    at, total = HEADER, 0
    while at + TAG <= len(content):
        kind, size = struct.unpack(f"{order}II", content[at : at + TAG])
        if kind == COMPRESSED:
            packed = content[at + TAG : at + TAG + size]
            total += len(zlib.decompressobj().decompress(packed, FILE_LIMIT + 1))
        if total > FILE_LIMIT:
            raise BadSource(f"holds {name}, which unpacks to more than {FILE_LIMIT} bytes")
        at += TAG + size
