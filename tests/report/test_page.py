"""The page is inert whatever is in the tables, and says so."""

import dataclasses
import html
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import made_up
from tests.report.pages import Reader
from wdrun.report import page
from wdrun.report.markup import Picture, inert
from wdrun.selection import select
from wdrun.tables.read import load


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Results with every kind of run."""
    root = made_up.sweep(tmp_path_factory.mktemp("sound") / "r", {0: [1.0, 1.1], 0.1: [0.9, 0.95]})
    made_up.run(root, 0.1, seed=7, status="diverged", cause="CAUSE")
    return load([root])


PAYLOADS = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]>--><!--", "&lt;b&gt;&#0;", "x" * 9000]
PAYLOADS += [
    "\u202eevil\u2066",
    "א <b>",
    "</style><script>",
    "' onload='",
    "javascript:alert(1)",
    "$\\frac{1}{",
    "{margin}",
]
PAYLOADS += ["https://example.org/x.png", "a: b; c: ", "\0\x1b[31m", "=cmd()"]
HOSTILE = st.text(max_size=400) | st.sampled_from(PAYLOADS)


@given(st.lists(HOSTILE, min_size=6, max_size=6))
@settings(max_examples=30, deadline=None)
def test_arbitrary_text_stays_text(sound, strings):
    decay, model, cause, device, folder, problem = strings
    runs = sound.runs.copy()
    runs["decay"] = runs["decay"].where(runs["seed"] > 0, decay)
    runs["model"], runs["device_name"] = model, device
    runs.loc[runs["status"] == "diverged", "cause"] = cause
    where = (Path("/") / (folder.replace("/", "").replace("\0", "") or "f"),)
    found = dataclasses.replace(sound, runs=runs, folders=where, problems=(problem,))
    picture = Picture("name", decay, model, "image/png", b"\x89PNG", 4, 3)
    selection = select(runs)
    made = page.render(found, selection, [picture], ["svg"])
    read = Reader(made.decode())
    seen = read.text.replace("\xa0", " ")
    for shown in (cause or "not known", device or "not recorded", decay, model):
        assert html.unescape(inert(shown)) in seen


def test_the_page_says_that_nothing_may_run_or_load(sound):
    made = page.render(sound, select(sound.runs), [], ["svg"]).decode()
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in made
    assert '<html lang="en">' in made
    style = made[made.index("<style>") : made.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search("https?:", made)


def test_long_text_is_cut_and_says_so():
    assert inert("x" * 301) == "x" * 300 + "… (301 characters)"
    assert inert("x" * 300) == "x" * 300
    assert inert("\u202ea\0\ud800<") == "\\u202ea\\x00\\ud800&lt;"
