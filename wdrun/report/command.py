"""`wdrun report DIR…`: results → selection → one page, and its figures as files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.config.commands import COMMANDS
from wdrun.errors import ConfigError
from wdrun.tables.words import folders_and_settings

if TYPE_CHECKING:
    from wdrun.report.markup import Picture
    from wdrun.selection import Selection
    from wdrun.tables.read import Results
    from wdrun.tables.verdicts import Records

MEDIA = {"svg": "image/svg+xml", "png": "image/png"}  # of the figures in the page
TAKES = COMMANDS["report"]
LARGEST_SVG = 400_000  # bytes; a larger figure goes into the page as PNG
CSS_PIXELS = 96  # an inch


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Write page and figures, with --watch while runs train; stdout gets the page's path, stderr its text."""
    if flags.get("watch"):
        from wdrun.report.watching import watch

        return watch(words, flags)
    if (page := write(words, flags)) is not None:
        print(page)
    return 0


def write(words: Sequence[str], flags: Mapping[str, Any], reload: int | None = None) -> Path | None:
    """Write page and figures, say the text on stderr; the page's path, None where its place may only be read.

    With `reload` a browser reads the page again after so many seconds.
    """
    filters: list[str] = []
    folders, texts = folders_and_settings("report", words, TAKES.defaults, filters, files=True)
    settings = TAKES.values(texts)
    formats = settings["formats"]
    out = Path(settings["out"]) if settings["out"] else None
    if out is not None and (out.is_dir() or settings["out"].endswith("/")):
        raise ConfigError(f"out={settings['out']}: is a folder; give the file, such as out={out / 'report.html'}")

    from wdrun.report import earlier, page, text
    from wdrun.selection import select, tuned
    from wdrun.selection.looks import last_look
    from wdrun.tables import aggregate, answers
    from wdrun.tables.evaluations import beside
    from wdrun.tables.filters import kept
    from wdrun.tables.read import load
    from wdrun.terminal.progress import say

    found = beside(kept(load(folders), filters, "report", settings))
    home = answers.place(found.folders)
    target = out or home / "report.html"
    asked = {key: settings[key] for key in ("metric", "margin", "nuisance", "confidence")}
    asked |= {"config_dir": flags["config_dir"], "plan": found.plan, "left_out": found.left_out}
    selection = select(found.runs, **asked, before=last_look(home))
    records = tuned.of(found.folders)
    pictures, files = _draw(found, selection, records, target.parent / "figures", formats)
    rendered = page.render(found, selection, pictures, formats, flags["config_dir"], records, reload)
    content = {target: rendered, **files}
    before = earlier.figures_of(target)
    written = answers.write(content, earlier.is_ours, asked=out is not None, remedy="out=PATH")
    if written:
        earlier.remove(before - content.keys())
    if written and out is None:
        aggregate.refresh(found.folders, say)
    for line in text.whole(found, selection, records):
        say(line)
    return target if written else None


def _draw(
    found: Results, selection: Selection, records: Records | None, folder: Path, formats: Sequence[str]
) -> tuple[list[Picture], dict[Path, bytes]]:
    """Every figure, drawn once: those of the page, and the files of each format."""
    from wdrun.report.figures import drawings, style
    from wdrun.report.markup import Picture

    pictures: list[Picture] = []
    files: dict[Path, bytes] = {}
    for drawing in drawings.drawings(found, selection, records):
        width, height = (round(CSS_PIXELS * inches) for inches in drawing.figure.get_size_inches())
        made = {name: style.render(drawing.figure, name) for name in dict.fromkeys([*formats, "svg"])}
        files |= {folder / f"{drawing.name}.{name}": made[name] for name in formats}
        shown = "svg"
        if len(made["svg"]) > LARGEST_SVG:
            shown = "png"
            made["png"] = made.get("png") or style.render(drawing.figure, "png")
        pictures.append(Picture(drawing.name, drawing.title, drawing.caption, MEDIA[shown], made[shown], width, height))
    return pictures, files
