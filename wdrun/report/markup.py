"""Text to HTML: everything that comes from a table, a config or a folder name passes `inert` on its way."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from wdrun.wording import printable

LONGEST, LONGEST_SENTENCE, LONGEST_COMMAND = 300, 2000, 4000  # characters; a longer text is cut and says so


class Picture(NamedTuple):
    """A drawn figure as it goes into the page; width and height in CSS pixels."""

    name: str
    title: str
    caption: str
    media: str
    content: bytes
    width: int
    height: int


def inert(value: object, longest: int = LONGEST) -> str:
    """A value as HTML text, fit for an attribute too; controls, bidi marks and lone surrogates become their escapes."""
    text = str(value)
    if len(text) > longest:
        text = f"{text[:longest]}… ({len(text):,} characters)"
    return escape(printable(text))


def paragraphs(sentences: Iterable[str]) -> str:
    return "".join(f"<p>{prose(sentence)}</p>\n" for sentence in sentences)


def bullets(sentences: Iterable[str], names: Sequence[str] = ()) -> str:
    """A list; where a sentence begins with names, `; ` between them and a colon after, they are set in bold."""
    items = []
    for sentence in sentences:
        subject = _subject(sentence, names)
        start = f"<strong>{inert(subject, LONGEST_SENTENCE)}</strong>" if subject else ""
        items.append(f"<li>{start}{prose(sentence.removeprefix(subject))}</li>\n")
    return f"<ul>\n{''.join(items)}</ul>\n" if items else ""


def _subject(sentence: str, names: Sequence[str]) -> str:
    for name in names:
        if sentence.startswith(f"{name}: "):
            return name
        if sentence.startswith(f"{name}; ") and (more := _subject(sentence[len(name) + 2 :], names)):
            return f"{name}; {more}"
    return ""


def prose(sentence: str) -> str:
    """A sentence whose `λ = 1` and `95 %` stay on one line."""
    return inert(sentence, LONGEST_SENTENCE).replace(" = ", "&nbsp;=&nbsp;").replace(" %", "&nbsp;%")


def code(lines: Iterable[str]) -> str:
    """Command lines, each whole: they are to be copied. A line breaks between words only."""
    text = "\n".join(
        " ".join(f"<span>{word}</span>" for word in inert(line, LONGEST_COMMAND).split(" ")) for line in lines
    )
    return f'<pre tabindex="0"><code>{text}</code></pre>\n' if text else ""


def table(title: str, columns: Mapping[str, bool], rows: Sequence[Sequence[object]], note: str = "") -> str:
    """A table in a frame that scrolls on a narrow screen; `columns` says of each whether it holds numbers.

    The first cell of a row is its header.
    """
    sides = [' class="n"' if number else "" for number in columns.values()]
    head = "".join(f'<th scope="col"{side}>{prose(name)}</th>' for name, side in zip(columns, sides, strict=True))
    body = []
    for row in rows:
        first, *rest = (inert(value) for value in row)
        # An interval stands below its number.
        rest = [text.replace(" (", "<br>(") if side else text for text, side in zip(rest, sides[1:], strict=True)]
        cells = "".join(f"<td{side}>{text}</td>" for text, side in zip(rest, sides[1:], strict=True))
        body.append(f'<tr><th scope="row"{sides[0]}>{first}</th>{cells}</tr>')
    label = inert(title)
    name = f'aria-label="{label}"'
    return (
        f'<h3>{label}</h3>\n<div class="wide" role="region" {name} tabindex="0"><table {name}>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{chr(10).join(body)}\n</tbody></table></div>\n"
        + (f'<p class="about">{prose(note)}</p>\n' if note else "")
    )


def figure(picture: Picture) -> str:
    """A figure inside the page: as an image it can neither run nor load anything."""
    source = f"data:{picture.media};base64,{base64.b64encode(picture.content).decode('ascii')}"
    caption = inert(picture.caption, LONGEST_SENTENCE)
    return (
        f'<figure id="figure-{inert(picture.name)}"><h3>{inert(picture.title)}</h3>\n'
        f'<img src="{source}" alt="{caption}" width="{picture.width}" height="{picture.height}">'
        f"<figcaption>{prose(picture.caption)}</figcaption></figure>\n"
    )
