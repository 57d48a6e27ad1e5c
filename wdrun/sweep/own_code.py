"""The user's own code behind a run: the files of its classes and of the modules they import, and what changed in them.

Followed are the import statements of a file, wherever they stand, to modules that are neither Python's nor wdrun's nor
installed; of a class in an installed package the version of that package counts. Comments and blank lines do not. Not
seen are modules that are imported by a computed name, and files that the code reads.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import io
import json
import os
import struct
import sys
import sysconfig
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

from wdrun.config.run import Run, digest
from wdrun.config.targets import own_classes
from wdrun.storage import write_atomically
from wdrun.wording import listed

NAME = "code.json"  # in a run's folder: the digest of each of its modules
GONE = "gone"
OTHER = "other"  # in the place of the digest of a file that was edited between its import and the first look at it
MASK = 0xFFFFFFFF  # the header of a compiled file has 32 bits of its source's time and size
_INSTALLED = ("site-packages", "dist-packages")
_OURS = Path(__file__).resolve().parents[1]
_PYTHONS = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
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
    if _is_installed(_spec(module)):
        return _version(module.partition(".")[0])
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
            if known and (origin := known[0].origin) and _text(origin) not in (known[1], GONE):
                return name
    return ""


def shown(name: str) -> str:
    """The file of a module, as one would name it from here; the module where it has none."""
    spec = _spec(name)
    if name == "__main__" or spec is None or not spec.has_location or not spec.origin or _is_installed(spec):
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
        spec = _spec(name)
        if name in found or spec is None or not _is_own(spec):
            continue
        if spec.origin is None or not spec.has_location:  # a folder without __init__.py
            continue
        found[name] = _digest(name, spec)
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        with suppress(OSError):
            waiting += [other for other in _imports(*_stamp(spec.origin), package) if other not in found]
    return found


def _digest(name: str, spec: ModuleSpec) -> str:
    """Of a module as it was imported; a reload makes it another."""
    assert spec.origin is not None
    module = sys.modules.get(name)
    known = _begun.get(name)
    if module is not None and known is not None and known[0] is module.__spec__:
        return known[1]
    now = _text(spec.origin)
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


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is; nothing is imported for it."""
    module = sys.modules.get(name)
    if module is not None and (spec := getattr(module, "__spec__", None)) is not None:
        return spec
    path = None
    if above := name.rpartition(".")[0]:
        parent = _spec(above)
        if parent is None or parent.submodule_search_locations is None:
            return None
        path = list(parent.submodule_search_locations)
    for finder in sys.meta_path:
        with suppress(Exception):  # of somebody else's finder
            if (spec := finder.find_spec(name, path)) is not None:
                return spec
    return None


def _is_own(spec: ModuleSpec) -> bool:
    """Whether a module is the user's: neither Python's nor wdrun's nor installed."""
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return bool(places) and all(_is_own_place(place) for place in places)


@lru_cache(maxsize=4096)
def _is_own_place(place: str) -> bool:
    path = Path(place).resolve()
    if not {*path.parts}.isdisjoint(_INSTALLED) or path.is_relative_to(_OURS):
        return False
    return not any(path.is_relative_to(python) for python in _PYTHONS)


def _is_installed(spec: ModuleSpec | None) -> bool:
    return spec is not None and spec.origin is not None and not {*Path(spec.origin).parts}.isdisjoint(_INSTALLED)


@lru_cache(maxsize=256)
def _version(package: str) -> Mapping[str, str]:
    """Of an installed package the version, or versions, of what it was installed as: its name may be another."""
    versions = set()
    for name in metadata.packages_distributions().get(package, [package]):
        with suppress(metadata.PackageNotFoundError):
            versions.add(metadata.version(name))
    return {package: ", ".join(sorted(versions))} if versions else {}


def _typed_in(name: str) -> dict[str, str]:
    """Of a class of a script or a notebook: its own text alone, since the rest of it changes with every look."""
    try:
        return {"__main__": _hash(_bare(inspect.getsource(getattr(sys.modules["__main__"], name))).encode())}
    except (OSError, TypeError, AttributeError):
        return {}


def _stamp(path: str) -> tuple[str, int, int, int]:
    found = os.stat(path)
    return path, found.st_mtime_ns, found.st_size, found.st_ino


def _text(path: str) -> str:
    """The digest of a file without what does not count; GONE where it cannot be read."""
    try:
        return _known_text(*_stamp(path))
    except OSError:
        return GONE


@lru_cache(maxsize=4096)
def _known_text(path: str, *_: int) -> str:
    content = Path(path).read_bytes()
    try:
        return _hash(_bare(content.decode("utf-8")).encode())
    except ValueError:
        return _hash(content)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _bare(text: str) -> str:
    """A file of Python without its comments and blank lines; as it is where it is none."""
    lines = [line.rstrip() for line in text.splitlines()]
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            row, column = token.start
            if token.type == tokenize.COMMENT:
                lines[row - 1] = lines[row - 1][:column].rstrip()
            if token.type in (tokenize.COMMENT, tokenize.NL) and not lines[row - 1]:
                lines[row - 1] = "\0"
    except (tokenize.TokenError, SyntaxError, IndexError):
        return text
    return "\n".join(line for line in lines if line != "\0")


@lru_cache(maxsize=4096)
def _imports(path: str, _mtime: int, _size: int, _inode: int, package: str) -> frozenset[str]:
    """The names that a file's import statements may mean, those of packages installed or Python's left out."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (SyntaxError, ValueError):
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError, ValueError):  # beyond the top of its package
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                names |= {base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")}
    return frozenset(name for name in names if _is_own_top(name.partition(".")[0]))


def _is_own_top(name: str) -> bool:
    spec = _spec(name) if name not in sys.stdlib_module_names else None
    return spec is not None and _is_own(spec)
