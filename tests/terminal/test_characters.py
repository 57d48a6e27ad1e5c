"""What a stream's encoding lacks is written in other characters, what it has as it is, and nothing is refused."""

import io
from pathlib import Path

import pytest

from wdrun.terminal.characters import open_stream, shown

ROOT = Path(__file__).resolve().parents[2]


def written(text, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    open_stream(stream)
    stream.write(text)
    stream.flush()
    return stream.buffer.getvalue()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("λ = 0, τ, Ω, Δ", "lambda = 0, tau, Omega, Delta"),
        ("−1 – ± 3×4 … ← →", "-1 - +- 3x4 ... <- ->"),
        ("━━── │", "==-- |"),
        ("“a” ‘b’", "\"a\" 'b'"),
        ("≤ ≥ ≠ ≈ ∞ ½", "<= >= != ~ inf 1/2"),
        ("g + λcΩ'(w), ηλw, 2λ", "g + lambda*c*Omega'(w), eta*lambda*w, 2*lambda"),
        ("√v, √(v), Σw², Σ h", "sqrt v, sqrt(v), sum w^2, sum h"),
        ("w⁺ m̂ β₁ ȳ", "w^+ m beta1 y"),
        ("café naïve 名", "cafe naive ?"),
    ],
)
def test_ascii(text, plain):
    assert written(text, "ascii") == plain.encode()


def test_what_the_encoding_has_stays():
    assert written("é ± ² × λ", "latin-1") == "é ± ² × lambda".encode("latin-1")
    assert written("λ – … é", "cp1252") == "lambda – … é".encode("cp1252")
    assert written("λ ━ 名", "utf-8") == "λ ━ 名".encode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_byte_of_a_path_that_was_no_character_comes_out_as_it_went_in(encoding):
    path = b"runs/\xff\xfe".decode("ascii", "surrogateescape")
    assert written(path, encoding) == b"runs/\xff\xfe"


def test_every_character_of_the_house_has_a_word():
    """None of those in a message, a comment of conf/ or a formula is a question mark."""
    files = [*(ROOT / "wdrun").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml")]
    there = {character for path in files for character in path.read_text(encoding="utf-8") if not character.isascii()}
    assert len(there) > 50
    assert {character for character in there if "?" in written(character, "ascii").decode()} == set()


def test_shown_is_what_is_written():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert shown("λ ± 名", stream) == "lambda +- ?"
    assert shown("λ", io.StringIO()) == "λ"
