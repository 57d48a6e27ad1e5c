"""`wdrun report DIR…`: results → selection → one page, and its figures as files beside it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.config.commands import COMMANDS
from wdrun.errors import ConfigError
from wdrun.storage import storage_error, write_atomically
from wdrun.tables.words import folders_and_settings

if TYPE_CHECKING:
    from wdrun.report.markup import Picture
    from wdrun.selection import Selection
    from wdrun.tables.read import Results

MEDIA = {"svg": "image/svg+xml", "png": "image/png"}  # of the figures in the page
TAKES = COMMANDS["report"]
LARGEST_SVG = 400_000  # bytes; a larger figure goes into the page as PNG
CSS_PIXELS = 96  # an inch


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Write page and figures; stdout gets the page's path, stderr its text."""
    print(write(words, flags))
    return 0


def write(words: Sequence[str], flags: Mapping[str, Any]) -> Path:
    """Write page and figures, say the text on stderr; the page's path."""
    filters: list[str] = []
    folders, texts = folders_and_settings("report", words, TAKES.defaults, filters)
    settings = TAKES.values(texts)
    formats = settings["formats"]
    target = Path(settings["out"] or folders[0] / "report.html")
    if target.is_dir():
        raise ConfigError(f"out={target}: is a folder; give the file, such as out={target / 'report.html'}")

    from wdrun.report import page, text
    from wdrun.selection import select
    from wdrun.selection.looks import last_look
    from wdrun.tables.filters import kept
    from wdrun.tables.read import load

    found = kept(load(folders), filters, "report", settings)
    asked = {"metric": settings["metric"], "margin": settings["margin"], "config_dir": flags["config_dir"]}
    selection = select(found.runs, **asked, plan=found.plan, before=last_look(folders[0]), left_out=found.left_out)
    pictures = _draw(found, selection, target.parent / "figures", formats)
    _write(target, page.render(found, selection, pictures, formats))
    for line in text.whole(found, selection):
        print(line, file=sys.stderr)
    return target


def _draw(found: Results, selection: Selection, folder: Path, formats: Sequence[str]) -> list[Picture]:
    """Draw every figure once, write it in each format; those of the page."""
    from wdrun.report.figures import drawings, style
    from wdrun.report.markup import Picture

    pictures = []
    for drawing in drawings.drawings(found, selection):
        width, height = (round(CSS_PIXELS * inches) for inches in drawing.figure.get_size_inches())
        made = {name: style.render(drawing.figure, name) for name in dict.fromkeys([*formats, "svg"])}
        for name in formats:
            _write(folder / f"{drawing.name}.{name}", made[name])
        shown = "svg"
        if len(made["svg"]) > LARGEST_SVG:
            shown = "png"
            made["png"] = made.get("png") or style.render(drawing.figure, "png")
        pictures.append(Picture(drawing.name, drawing.title, drawing.caption, MEDIA[shown], made[shown], width, height))
    return pictures


def _write(path: Path, content: bytes) -> None:
    remedy = "out=PATH, elsewhere or shorter"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error, remedy) from error
    write_atomically(path, content, remedy)
