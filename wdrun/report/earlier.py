"""What an earlier report left where this one goes: which pages and figures are wdrun's, and may be replaced."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MARKS = {  # of the figures of this version, see `figures.style.METADATA`
    "svg": b"<dc:title>wdrun</dc:title>",
    "png": b"Software\0wdrun",
    "pdf": b"/Creator (wdrun)",
}
TITLE = b"<title>wdrun report: "
FORMATS = re.compile(rb"Each figure is also a file in figures/ beside this page \(([^)]*)\)")
HEAD = 4096  # bytes of a page with its title


def is_ours(path: Path) -> bool:
    """Whether wdrun wrote this page, or this figure of a report: it says so, or a page of ours beside it does."""
    if path.parent.name != "figures":
        return _is_page(path)
    try:
        marked = MARKS.get(path.suffix[1:], b"\0" * 9) in path.read_bytes()
    except OSError:
        return False
    return marked or path.name in _named(path.parent.parent)


def figures_of(page: Path) -> set[Path]:
    """The figures that are there of the page of ours in this place."""
    return {path for name in _names(page) if is_ours(path := page.parent / "figures" / name)}


def remove(figures: Iterable[Path]) -> None:
    """Delete figures of an earlier page that its successor has not."""
    for path in figures:
        with suppress(OSError):
            path.unlink()


def _named(folder: Path) -> set[str]:
    """The files of figures that the pages in a folder name."""
    return {name for page in folder.glob("*.htm*") for name in _names(page)}


def _is_page(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return TITLE in file.read(HEAD)
    except OSError:
        return False


def _names(page: Path) -> set[str]:
    """The files in figures/ that a page of ours names, by the ids of its figures and its formats."""
    if not _is_page(page):
        return set()
    text = page.read_bytes()
    formats = re.findall(r"svg|png|pdf", b" ".join(FORMATS.findall(text)).decode(errors="replace"))
    ids = re.findall(rb'<figure id="figure-([\w.-]+)"', text)
    return {f"{name.decode()}.{kind}" for name in ids for kind in formats}
