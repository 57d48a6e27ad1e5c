"""Python's modules as files, without importing them: where one is, whose it is, what its text is, what it imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import os
import sys
import sysconfig
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

GONE = "gone"  # in the place of the digest of a file that cannot be read
_INSTALLED = ("site-packages", "dist-packages")
_OURS = Path(__file__).resolve().parents[1]
_PYTHONS = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}


def find(name: str) -> ModuleSpec | None:
    """Where a module is; nothing is imported for it."""
    module = sys.modules.get(name)
    if module is not None and (spec := getattr(module, "__spec__", None)) is not None:
        return spec
    path = None
    if above := name.rpartition(".")[0]:
        parent = find(above)
        if parent is None or parent.submodule_search_locations is None:
            return None
        path = list(parent.submodule_search_locations)
    for finder in sys.meta_path:
        with suppress(Exception):  # of somebody else's finder
            if (spec := finder.find_spec(name, path)) is not None:
                return spec
    return None


def is_own(spec: ModuleSpec) -> bool:
    """Whether a module is the user's: neither Python's nor wdrun's nor installed."""
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return bool(places) and all(_is_own_place(place) for place in places)


@lru_cache(maxsize=4096)
def _is_own_place(place: str) -> bool:
    path = Path(place).resolve()
    if not {*path.parts}.isdisjoint(_INSTALLED) or path.is_relative_to(_OURS):
        return False
    return not any(path.is_relative_to(python) for python in _PYTHONS)


def is_installed(spec: ModuleSpec | None) -> bool:
    """Whether a module is in a package that was installed."""
    return spec is not None and spec.origin is not None and not {*Path(spec.origin).parts}.isdisjoint(_INSTALLED)


@lru_cache(maxsize=256)
def version(package: str) -> Mapping[str, str]:
    """Of an installed package the version, or versions, of what it was installed as: its name may be another."""
    versions = set()
    for name in metadata.packages_distributions().get(package, [package]):
        with suppress(metadata.PackageNotFoundError):
            versions.add(metadata.version(name))
    return {package: ", ".join(sorted(versions))} if versions else {}


def digest_of(path: str) -> str:
    """The digest of a file without its comments and blank lines; GONE where it cannot be read."""
    try:
        return _known_digest(*_stamp(path))
    except OSError:
        return GONE


def digest_of_text(text: str) -> str:
    """The digest of the text of a file, as `digest_of` has it."""
    return _hash(_bare(text).encode())


@lru_cache(maxsize=4096)
def _known_digest(path: str, *_: int) -> str:
    content = Path(path).read_bytes()
    try:
        return digest_of_text(content.decode("utf-8"))
    except ValueError:
        return _hash(content)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _bare(text: str) -> str:
    """A file of Python without its comments and blank lines; as it is where it is none."""
    lines = [line.rstrip() for line in io.StringIO(text)]  # as tokenize counts them: a form feed ends none
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


def imports(path: str, package: str) -> frozenset[str]:
    """The names of the user's modules that a file's import statements may mean; OSError where it cannot be read."""
    return _known_imports(package, *_stamp(path))


@lru_cache(maxsize=4096)
def _known_imports(package: str, path: str, *_: int) -> frozenset[str]:
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
    spec = find(name) if name not in sys.stdlib_module_names else None
    return spec is not None and is_own(spec)


def _stamp(path: str) -> tuple[str, int, int, int]:
    found = os.stat(path)
    return path, found.st_mtime_ns, found.st_size, found.st_ino
