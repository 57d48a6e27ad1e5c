"""A user's own images, of any classes, size and channels, read from what holds them: `data=arrays`, `data=folder`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from wdrun.contents import of_path, unreadable
from wdrun.data import reading
from wdrun.data.canonical import BadSource, Unrecognised
from wdrun.data.dataset import Pool
from wdrun.data.options import Spec, root_of
from wdrun.data.parts import TEST, pooled
from wdrun.data.reading.found import Found
from wdrun.errors import ConfigError

OPTIONS = ("root", "digest", "label_noise", *TEST)
NO_ROOT = (
    "data.root: must be given: a file or folder of images, such as my.npz (x_train, y_train, x_test, y_test) "
    "or a folder with <class>/*.png"
)


def pool(spec: Spec) -> Pool:
    """The images of data.root, cached per process; ConfigError for what is no data set, or another than `digest`."""
    root = root_of(spec)
    if root is None:
        raise ConfigError(NO_ROOT)
    same_content(spec, root)
    return pooled(_found(root, spec.get("digest")), spec, f"data.root={spec['root']}")


def origin(spec: Spec) -> str:
    """What the images were read as, and from where."""
    root = root_of(spec)
    return f"{_found(root, spec.get('digest')).layout} of {root}" if root else ""


def same_content(spec: Spec, root: Path) -> None:
    """ConfigError where the root holds other bytes than the run's `digest` says."""
    expected = spec.get("digest")
    try:
        if expected is not None and (found := of_path(root)) != expected:
            raise ConfigError(
                f"data.root={spec['root']}: has other content than the run was given: data.digest={found} of it now; "
                "name the root alone to train on that, which is another run"
            )
    except OSError as error:
        where = "; give the place where the data are now" if not root.exists() else ""
        raise ConfigError(f"data.root={spec['root']}: cannot be read: {unreadable(error, root)}{where}") from error


@lru_cache(maxsize=2)
def _found(root: Path, _digest: object) -> Found:
    try:
        return reading.read(root)
    except BadSource as error:
        ways = f"; readable are {reading.READABLE}" if isinstance(error, Unrecognised) else ""
        raise ConfigError(f"data.root={root} {error}{ways}") from error
