"""Where answers on result folders go (selection.csv, leaderboard.csv, report.html), and what there may be replaced."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wdrun.errors import StorageError
from wdrun.storage import storage_error, write_atomically
from wdrun.tables.handed import NAME
from wdrun.terminal.progress import say
from wdrun.wording import printable

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
LONGEST = 120  # characters of a folder's name


def place(folders: Sequence[Path]) -> Path:
    """The folder of the answers on these results: their own; of several one beside the first, named `a+b` after them.

    Those of a file of tables go beside it, of one with a name of its own into a folder of that name.
    """
    known: dict[Path, Path] = {}
    for folder in map(_own, folders):
        known.setdefault(folder.resolve(), folder)
    own = list(known.values())
    if len(own) == 1:
        return own[0]
    first = own[0].resolve()
    apart = ["" if folder.resolve().parent == first.parent else f"{folder.resolve().parent.name}." for folder in own]
    name = "+".join(f"{where}{folder.resolve().name}" for where, folder in zip(apart, own, strict=True))
    if len(name) > LONGEST:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
        name = f"{name[:LONGEST]}+{digest}"
    return own[0].parent / name if own[0].name not in ("", "..") else first.parent / name


def _own(path: Path) -> Path:
    """The folder that one folder or file has for itself."""
    if not path.is_file():
        return path
    if path.name in (NAME, "run.csv"):
        return path.parent
    own = path.with_suffix("")
    return path.with_name(f"{path.name}+") if own.is_file() else own  # `runs`, or `x.csv` beside a file `x`


def write(files: Mapping[Path, bytes], ours: Callable[[Path], bool], *, asked: bool, remedy: str) -> bool:
    """Write the files, each whole, and return whether it could be done; StorageError where it should have been.

    Where one of them is there and not `ours`, none is written. Where the user has not `asked` for this place and it may
    only be read, a line says so and what to ask for, the `remedy`.
    """
    for path in files:
        if path.exists() and not ours(path):
            raise StorageError(f"{path}: was not written by wdrun, so it stays as it is; try {remedy}")
    path = next(iter(files))
    try:
        for path, content in files.items():
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content, remedy)
    except (OSError, StorageError) as error:
        reason = error if isinstance(error, OSError) else error.__cause__
        if isinstance(reason, OSError) and reason.errno in READ_ONLY and not asked:
            say(printable(f"nothing is written: {path.parent} may only be read; {remedy} writes elsewhere"))
            return False
        raise error if isinstance(error, StorageError) else storage_error(path, error, remedy) from error
    return True
