"""Unpickling nothing but numpy arrays, lists, numbers and text, which is all the official batches hold."""

import hashlib
import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np

from wdrun.data.canonical import BadSource


class _ArraysOnly(pickle.Unpickler):
    """Knows the three names a pickled array needs; any other name ends the reading."""

    def find_class(self, module: str, name: str) -> Any:
        """Numpy's own array builders, under the module names of numpy 1 and 2."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # the same function, without importing a deprecated module
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def verified_loads(members: Mapping[str, bytes], md5: Mapping[str, str]) -> dict[str, dict[bytes, Any]]:
    """The dicts of official files, unpickled only after the MD5 of all of them are right; raises BadSource."""
    for name, content in members.items():
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5[name]:
            raise BadSource(f"is not official: {name} is damaged or altered (its MD5 differs) and was not unpickled")
    return {name: restricted_loads(content) for name, content in members.items()}


def restricted_loads(content: bytes) -> dict[bytes, Any]:
    """The pickled dict, its text as bytes (the batches were written by Python 2); raises BadSource."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a hostile pickle can raise anything; none of it may pass for data
        raise BadSource(f"holds a pickle that is not plain arrays ({error})") from error
    if not isinstance(batch, dict):
        raise BadSource("holds a pickle that is not a dict")
    return {key.encode() if isinstance(key, str) else key: value for key, value in batch.items()}
