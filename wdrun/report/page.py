"""The report as one HTML page: nothing in it runs, nothing is loaded, the same input gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun.report import page_tables, reproduce, text
from wdrun.report.markup import Picture, bullets, code, figure, inert, paragraphs, prose, table
from wdrun.selection import settling, tuned
from wdrun.selection.line import Typed
from wdrun.wording import command_line, counted, listed

if TYPE_CHECKING:
    from wdrun.selection import Selection
    from wdrun.tables.read import Results
    from wdrun.tables.verdicts import Records

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render(
    found: Results,
    selection: Selection,
    pictures: Sequence[Picture],
    formats: Sequence[str],
    config_dir: str | None = None,
    records: Records | None = None,
    reload: int | None = None,
) -> bytes:
    """The page of these results, the choice made from them and its figures (which lie beside it in `formats`).

    `config_dir`: the folder of the user's own options, for the lines that need it. Of a tuned folder the verdicts of
    its `records` stand in the place of the choice. With `reload` a browser reads the page again after so many seconds.
    """
    names = listed([folder.resolve().name for folder in found.folders])
    answer = (
        {"summary": ("In short", _summary(found, selection)), "choice": ("The choice of λ", _choice(found, selection))}
        if records is None
        else {
            "verdicts": ("Verdicts", _verdicts(found, records, config_dir)),
            "summary": ("What was tried", _tried(found, selection, records)),
        }
    )
    parts = {
        **answer,
        "figures": ("Figures", _figures(found, pictures, formats)),
        "runs": ("Runs", _runs(found, records)),
        "reproduce": ("Reproduce", _reproduce(found, config_dir)),
    }
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in parts.items())
    sections = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>\n{content}</section>\n'
        for name, (title, content) in parts.items()
    )
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">{_reloading(reload)}
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>wdrun report: {inert(names)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>What weight decay did: {inert(names)}</h1>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{sections}</main>
</body>
</html>
""".encode()


def _reloading(seconds: int | None) -> str:
    """The HTML that has a browser load the page again after so many seconds, without a script."""
    return "" if seconds is None else f'\n<meta http-equiv="refresh" content="{seconds}">'


def settled(page: bytes) -> bytes:
    """The page without the line by which a browser reads it again."""
    return re.sub(rb'\n<meta http-equiv="refresh" content="\d+">', b"", page, count=1)


def _verdicts(found: Results, records: Records, config_dir: str | None) -> str:
    """What is known of each question, and for one that is open what goes on with it."""
    parts = [bullets(tuned.told(records, found.runs)), paragraphs(tuned.sure(records))]
    parts += [table(*content) for content in page_tables.verdicts(records)]
    sentence, words = settling.of_tuned(records, found.folders[0], config_dir)
    if sentence:
        lines = code([command_line(words)]) if words else ""
        parts.append(f'<h3>What to run next</h3>\n<div class="step"><p>{prose(sentence)}</p>\n{lines}</div>\n')
    return "".join(parts)


def _tried(found: Results, selection: Selection, records: Records) -> str:
    parts = [paragraphs(text.tried(found, selection, records))]
    if warnings := [*found.problems[: text.MOST_WARNINGS], *found.lacking]:
        parts.append(f'<div class="warnings" role="note"><h3>Warnings</h3>\n{bullets(warnings)}</div>\n')
    return "".join(parts)


def _summary(found: Results, selection: Selection) -> str:
    names = ["all", "every facet", *selection.names]
    parts = [paragraphs(text.compared(found, selection)), bullets(text.won(found, selection), names)]
    if open_questions := text.untold(selection):
        parts.append(f"<h3>What could not be told</h3>\n{bullets(open_questions, names)}")
    if steps := text.steps(selection):
        parts.append("<h3>What to run next</h3>\n")
        parts += [f'<div class="step"><p>{prose(step.why)}</p>\n{code(step.commands)}</div>\n' for step in steps]
    if warnings := text.warnings(found, selection):
        aside = f"<h3>Warnings</h3>\n{bullets(warnings, names)}"
        parts.append(f'<div class="warnings" role="note">{aside}</div>\n')
    return "".join(parts)


def _choice(found: Results, selection: Selection) -> str:
    return "".join(table(*content) for content in page_tables.choice(found, selection))


def _figures(found: Results, pictures: Sequence[Picture], formats: Sequence[str]) -> str:
    lacking = paragraphs(found.lacking)
    if not pictures:
        return f"<p>Nothing to draw: no run has a measured epoch.</p>\n{lacking}"
    files = (
        f'<p class="about">Each figure is also a file in figures/ beside this page ({inert(listed(formats))}).</p>\n'
    )
    return files + lacking + "".join(map(figure, pictures))


def _runs(found: Results, records: Records | None) -> str:
    parts = [table(*content) for content in page_tables.runs(found)]
    parts += [table(*content) for content in (page_tables.decisions(records) if records else ())]
    if found.problems:
        parts.append(f"<h3>Left out</h3>\n{bullets(found.problems)}")
    return "".join(parts)


def _reproduce(found: Results, config_dir: str | None) -> str:
    lines = reproduce.commands(found.runs["dir"], Typed(found.runs, config_dir))
    made = reproduce.made_with(found.runs)
    differing = [label for label, _, differs in made if differs]
    note = (
        f"These runs were not all made alike: they differ in {listed(differing, 9)}. Small differences between them "
        "may come from that."
        if differing
        else "All runs that recorded these agree in them. Where one of them differs, so may the last digits."
    )
    rows = [(label, value) for label, value, _ in made]
    columns = {"What": False, "Value": False}
    total = counted(len(found.runs), "run")
    does = "train them in another folder" if found.lacking else "skip what is finished and resume what is not"
    return (
        f"<p>{total}; the same lines {does}.</p>\n{code(lines)}"
        + table("Made with", columns, rows)
        + paragraphs([note])
    )
