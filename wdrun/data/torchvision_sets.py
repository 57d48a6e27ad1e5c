"""A data set of torchvision's, or a class of one's own with its protocol, as `data._target_` names it.

The class is called once a part, with `train=True` or `split="train"` where it takes that, then read by its `data` and
`targets` (or `labels`), else as pairs of a PIL image and a label.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wdrun.accepts import Accepts, check
from wdrun.data.dataset import Pool
from wdrun.data.options import Spec, root_of
from wdrun.data.own import same_content
from wdrun.data.parts import TEST, pooled
from wdrun.data.reading.found import Found, Images, size_of
from wdrun.data.splits import Rows
from wdrun.errors import ConfigError, StorageError
from wdrun.streams import seeded, stream_seed
from wdrun.wording import named

OPTIONS = ("_target_", "root", "digest", "label_noise", *TEST)
OURS = ("name", *OPTIONS, "val_size", "train_size", "folds", "split_seed")  # what else is given is the class's
EXAMPLE = "a dotted name, such as torchvision.datasets.SVHN"
PARTS = ("train", "val", "test")


class _Lacking(Exception):
    """That a class has no such part."""


def pool(spec: Spec) -> Pool:
    """The images of the class, cached per process; ConfigError where it cannot be imported, called or read."""
    root = root_of(spec, "a path, or null for a class without one")
    if root is not None:
        same_content(spec, root)
    own = {key: value for key, value in spec.items() if key in ("_target_", "digest") or key not in OURS}
    return pooled(_found(json.dumps(own | {"root": root and str(root)}, sort_keys=True)), spec, _named(spec))


def download(spec: Spec) -> None:
    """Let the class fetch what it needs, where it can: `download=True`."""
    root = root_of(spec)
    for part in PARTS:
        try:
            _made(_class(spec), _arguments(spec) | {"root": root and str(root)}, part, fetch=True)
        except _Lacking:
            continue


def origin(spec: Spec) -> str:
    """Where the images came from."""
    return f"from {spec['_target_']}" + (f" at {root_of(spec)}" if spec.get("root") else "")


def _named(spec: Mapping[str, Any]) -> str:
    return f"data._target_={spec.get('_target_')}"


def _arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in OURS}


def _class(spec: Mapping[str, Any]) -> Any:
    """What the target names; what it draws while it is imported is the same in every process."""
    dotted = Accepts(EXAMPLE, lambda v: isinstance(v, str) and "." in v.strip("."))
    module, _, attribute = check("data._target_", spec.get("_target_"), dotted).rpartition(".")
    try:
        with seeded(stream_seed(0, "import"), own=True):
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"{_named(spec)}: cannot be imported ({named(error)})") from error


@lru_cache(maxsize=2)
def _found(text: str) -> Found:
    """All parts that the class of these keys (JSON) has."""
    spec = json.loads(text)
    made, arguments = _class(spec), {**_arguments(spec), "root": spec["root"]}
    found: dict[str, tuple[Images, Rows]] = {}
    names: tuple[str, ...] = ()
    for part in PARTS:
        try:
            with seeded(stream_seed(0, f"data/{part}"), own=True):
                given = _made(made, arguments, part)
                found[part] = _read(given, f"{_named(spec)}: its {part} part")
        except _Lacking:
            continue
        names = names or tuple(map(str, getattr(given, "classes", None) or ()))
    return Found(found, names, spec["_target_"])


def _made(made: Any, arguments: Mapping[str, Any], part: str, fetch: bool = False) -> Any:
    """The class called for one part; _Lacking where it has none such."""
    given = {key: value for key, value in arguments.items() if key != "root" or value is not None}
    try:
        taken = inspect.signature(made).parameters
    except (TypeError, ValueError):
        taken = MappingProxyType({})
    name = f"data._target_={getattr(made, '__module__', '')}.{getattr(made, '__qualname__', made)}"
    if "root" in taken and taken["root"].default is inspect.Parameter.empty and "root" not in given:
        raise ConfigError(f"data.root: must be given: the folder in which {name.partition('=')[2]} has its files")
    if "train" in taken and "train" not in given:
        if part == "val":
            raise _Lacking
        given["train"] = part == "train"
    elif "split" in taken and "split" not in given:
        given["split"] = part
    elif part != "train":
        raise _Lacking
    if "download" in taken:
        given["download"] = fetch
    try:
        return made(**given)
    except Exception as error:  # whatever the class raises
        if isinstance(error, ValueError) and given.get("split") == part != "train":
            raise _Lacking from error
        if fetch and isinstance(error, OSError | RuntimeError):
            raise StorageError(f"{name}: {named(error)}; it is downloaded where there is a network") from error
        hint = "" if fetch or "download" not in taken else "; `wdrun data` with the same words downloads it"
        raise ConfigError(f"{name}: {named(error)}{hint}") from error


def _read(given: Any, what: str) -> tuple[Images, Rows]:
    """The images (N, H, W, C) and labels (N,) of one part; ConfigError says what is not as it must be."""
    labels = getattr(given, "targets", getattr(given, "labels", None))
    data = getattr(given, "data", None)
    if labels is None or not hasattr(data, "shape"):
        return _iterated(given, what)
    table, numbers = np.asarray(data), np.asarray(labels)
    if table.ndim == 4 and table.shape[1] in (1, 3) and table.shape[3] not in (1, 3):  # SVHN, STL10
        table = table.transpose(0, 2, 3, 1)
    table = table[..., None] if table.ndim == 3 else table
    if table.dtype != np.uint8 or table.ndim != 4:
        raise ConfigError(f"{what} has data of {table.dtype} and shape {table.shape}; must be uint8 images")
    return np.ascontiguousarray(table), _labels(numbers, len(table), what)


def _iterated(given: Any, what: str) -> tuple[Images, Rows]:
    """Images and labels of what gives pairs, one at a time, of a PIL image or a uint8 array and a label."""
    images: list[Images] = []
    labels: list[Any] = []
    try:
        for k in range(len(given)):
            image, label = given[k]
            mode = getattr(image, "mode", None)
            array = np.asarray(image.convert("RGB") if mode not in (None, "L", "RGB") else image)
            array = array[..., None] if array.ndim == 2 else array
            if array.dtype != np.uint8 or array.ndim != 3:
                shown = f"{type(image).__name__} of {array.dtype} and shape {array.shape}"
                raise ConfigError(f"{what} gives a {shown}; must be a PIL image or a uint8 array (H, W, C)")
            if images and array.shape != images[0].shape:
                sizes = f"{size_of(images[0].shape)} and {size_of(array.shape)} (number {k})"
                raise ConfigError(f"{what} gives images of {sizes}; all must be alike")
            images.append(array)
            labels.append(label)
    except ConfigError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"{what} gives no pairs of image and label: {named(error)}") from error
    if not images:
        raise ConfigError(f"{what} holds no images")
    return np.stack(images), _labels(np.asarray(labels), len(images), what)


def _labels(labels: NDArray[Any], count: int, what: str) -> Rows:
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        shown = f"{labels.dtype} and shape {labels.shape}"
        raise ConfigError(f"{what} has labels of {shown}; must be a whole number for each of its {count} images")
    return labels.astype(np.int64)
