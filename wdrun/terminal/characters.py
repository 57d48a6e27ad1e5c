"""Characters that a stream's encoding lacks, in those that it has: λ as lambda, − as -, … as three dots.

No text is refused, and what the encoding has stays as it is. Files are UTF-8 whatever the terminal is.
"""

from __future__ import annotations

import codecs
import unicodedata
from typing import TextIO

from wdrun.terminal import results

NAME = "wdrun"  # of the error handler
GREEK = {"LAMDA": "lambda"}  # Unicode's own spelling; other letters are called as people call them
PLAIN = {
    "Σ": "sum", "Π": "proj", "µ": "mu", "∇": "grad", "√": "sqrt", "½": "1/2", "∞": "inf",
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "→": "->", "←": "<-", "±": "+-", "×": "x", "⊙": "*", "·": "*",
    "∘": "o", "‖": "||", "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~", "∝": "~", "…": "...", "⋯": "...", "′": "'",
    "⟨": "<", "⟩": ">", "⌊": "floor(", "⌋": ")", "°": " deg", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
    "•": "*", "━": "=", "─": "-", "│": "|", "█": "#", "\xa0": " ", "\u0302": "", "\u0304": "",
}  # fmt: skip
WORDS = "ΣΠ∇√"  # said before what they are of


def shown(text: str, stream: TextIO | None = None) -> str:
    """The text as the stream, by default stdout, will show it; its length is that of what is seen."""
    encoding = getattr(stream or results.stream(), "encoding", None) or "utf-8"
    return text.encode(encoding, NAME).decode(encoding, "replace")


def open_stream(stream: TextIO | None) -> None:
    """Let the stream write what its encoding lacks in other characters; one that cannot be told so stays as it is."""
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors=NAME)


def _instead(error: UnicodeError) -> tuple[str | bytes, int]:
    """The codec's error handler; a byte of a path that was no character (surrogateescape) goes out as that byte."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    if all("\udc80" <= character <= "\udcff" for character in bad):
        return bytes(ord(character) - 0xDC00 for character in bad), error.end
    return "".join(_apart(error.object, at) for at in range(error.start, error.end)), error.end


def _apart(text: str, at: int) -> str:
    """ASCII for a character of the text; one that becomes a word is kept from the letters beside it: λw is lambda*w."""
    instead = _ascii(text[at])
    if not instead.isalpha() or not _is_word(text[at]):
        return instead
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if text[at] in WORDS:
        return instead + " " * after.isalnum()
    return "*" * before.isalnum() + instead + "*" * (after.isascii() and after.isalpha())


def _is_word(character: str) -> bool:
    return character in WORDS or unicodedata.name(character, "").startswith("GREEK")


def _ascii(character: str) -> str:
    """ASCII for one character: its own entry, a Greek letter's name, the letter below an accent, else a question mark.

    Above the line is `^2`.
    """
    if (known := PLAIN.get(character)) is not None:
        return known
    kind, _, name = unicodedata.name(character, "").partition(" LETTER ")
    if kind.startswith("GREEK") and name:
        word = GREEK.get(name.split()[0], name.split()[0].lower())
        return word.capitalize() if "CAPITAL" in kind else word
    parts = unicodedata.normalize("NFKD", character).replace("⁄", "/").replace("−", "-")
    plain = "".join(part for part in parts if part.isascii())
    raised = "^" if unicodedata.decomposition(character).startswith("<super>") else ""
    return f"{raised}{plain}" if plain else "" if unicodedata.combining(character) else "?"


codecs.register_error(NAME, _instead)
