"""The user's own code behind a run: the files of its classes and of the modules they import, and what changed in them.

Followed are the import statements of a file, wherever they stand, to modules that are neither Python's nor wdrun's nor
installed; of a class in an installed package the version of that package counts. Comments and blank lines do not. Not
seen are modules that are imported by a computed name, and files that the code reads.
"""

from __future__ import annotations

import inspect
import json
import os
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

from wdrun.config.run import Run, digest
from wdrun.config.targets import own_classes
from wdrun.storage import write_atomically
from wdrun.sweep.own_modules import GONE, digest_of, digest_of_text, find, imports, is_installed, is_own, version
from wdrun.wording import listed

NAME = "code.json"  # in a run's folder: the digest of each of its modules
OTHER = "other"  # in the place of the digest of a file that was edited between its import and the first look at it
MASK = 0xFFFFFFFF  # the header of a compiled file has 32 bits of its source's time and size
_begun: dict[str, tuple[ModuleSpec, str]] = {}  # what this process has imported, as it was when first looked at


@dataclass(frozen=True)
class Code:
    """The modules of a run's own code: name -> digest of its text, or version where it is installed."""

    modules: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Eight letters of all of it; empty where the run has no code of the user's."""
        return digest(self.modules) if self.modules else ""


def of(run: Run) -> Code:
    """The code of the run's own classes as this process has imported it, or else as its files are now."""
    found: dict[str, str] = {}
    for _, target in own_classes(run):
        found |= _of_class(target)
    return Code(dict(sorted(found.items())))


def _of_class(target: str) -> Mapping[str, str]:
    """The modules behind one class, as in `Code`."""
    module, _, name = target.rpartition(".")
    if module == "__main__":
        return _typed_in(name)
    if is_installed(find(module)):
        return version(module.partition(".")[0])
    return _followed(module)


def write(directory: Path, run: Run) -> None:
    """Note the run's own code in its folder; nothing where it has none."""
    if modules := of(run).modules:
        write_atomically(directory / NAME, (json.dumps(modules, indent=1) + "\n").encode())


def change(directory: Path, was: str, run: Run) -> str:
    """What changed, `FILE has changed`, since the run of a folder had the code of this column of its row; else "".

    Of code that an earlier version did not note, nothing is said.
    """
    now = of(run)
    last = was.rpartition(" then ")[2]
    if last in ("", "unknown", now.digest):
        return ""
    try:
        before = json.loads((directory / NAME).read_text(encoding="utf-8"))
        names = sorted({*before, *now.modules})
        differing = [name for name in names if before.get(name) != now.modules.get(name)]
    except (OSError, ValueError, AttributeError, TypeError):
        differing = []
    differing = differing or [*now.modules] or ["its own code"]
    files = listed([shown(name) for name in differing], 3)
    return f"{files} {'has' if len(differing) == 1 else 'have'} changed"


def stale(run: Run) -> str:
    """The module whose file was changed after this process had imported it, as in a notebook; else ""."""
    for _, target in own_classes(run):
        imported = target.rpartition(".")[0] in sys.modules
        for name in sorted(_of_class(target)):
            known = _begun.get(name) if imported or name in sys.modules else None  # else it is imported anew
            if known and (origin := known[0].origin) and digest_of(origin) not in (known[1], GONE):
                return name
    return ""


def shown(name: str) -> str:
    """The file of a module, as one would name it from here; the module where it has none."""
    spec = find(name)
    if name == "__main__" or spec is None or not spec.has_location or not spec.origin or is_installed(spec):
        return name
    here = os.path.relpath(spec.origin)
    return spec.origin if here.startswith("..") else here


def _followed(first: str) -> dict[str, str]:
    """The module, the packages it is in, and all of the user's that they import."""
    found: dict[str, str] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        waiting += [above] if (above := name.rpartition(".")[0]) and above not in found else []
        spec = find(name)
        if name in found or spec is None or not is_own(spec):
            continue
        if spec.origin is None or not spec.has_location:  # a folder without __init__.py
            continue
        found[name] = _digest(name, spec)
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        with suppress(OSError):
            waiting += [other for other in imports(spec.origin, package) if other not in found]
    return found


def _digest(name: str, spec: ModuleSpec) -> str:
    """Of a module as it was imported; a reload makes it another."""
    assert spec.origin is not None
    module = sys.modules.get(name)
    known = _begun.get(name)
    if module is not None and known is not None and known[0] is module.__spec__:
        return known[1]
    now = digest_of(spec.origin)
    if module is not None and module.__spec__ is not None:
        now = OTHER if _edited(module.__spec__) else now
        _begun[name] = module.__spec__, now
    return now


def _edited(spec: ModuleSpec) -> bool:
    """Whether a module's file is another than when this process imported it, by the header of its compiled file.

    Nothing is known where no such file is written.
    """
    if sys.dont_write_bytecode or type(spec.loader) is not SourceFileLoader or not spec.cached or not spec.origin:
        return False
    try:
        with open(spec.cached, "rb") as file:
            flags, mtime, size = struct.unpack("<4xIII", file.read(16))
        found = os.stat(spec.origin)
        writable = os.access(spec.cached, os.W_OK)  # else it may be older than the import
    except (OSError, struct.error):
        return False
    return writable and not flags and (mtime, size) != (int(found.st_mtime) & MASK, found.st_size & MASK)


def _typed_in(name: str) -> dict[str, str]:
    """Of a class of a script or a notebook: its own text alone, since the rest of it changes with every look."""
    try:
        return {"__main__": digest_of_text(inspect.getsource(getattr(sys.modules["__main__"], name)))}
    except (OSError, TypeError, AttributeError):
        return {}
