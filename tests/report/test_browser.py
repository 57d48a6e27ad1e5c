"""The report as a reader meets it: a real headless browser, offline, at phone and desktop width, light and dark."""

import contextlib
import itertools
import re
import time

import pytest

from tests import made_up, tuned_folder
from tests.report.browser import PATH, Browser
from wdrun.report import command
from wdrun.report.command import write

pytestmark = pytest.mark.skipif(PATH is None, reason="no chromium, chromium-browser or google-chrome on PATH")

NO_FLAGS = {"multirun": False, "cfg": None, "config_dir": None, "resolve": False}
PHONE, DESKTOP = 390, 1280
CLEAR = {0: [1.0, 1.02, 0.98], 0.01: [0.80, 0.82, 0.78], 0.1: [0.7, 0.73, 0.68], 1: [0.9, 0.91, 0.93]}

IMAGES = """[...document.images].map(i => { const box = i.getBoundingClientRect();
  return {natural: i.naturalWidth, left: box.left, right: box.right, height: box.height, shown: i.checkVisibility()}
})"""
# WCAG 2 contrast of each piece of text with the nearest opaque background: [ratio, text] of those below 4.5.
CONTRAST = """(() => {
  const parse = c => { const n = c.match(/[0-9.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n };
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c[3] === 1) return c } return [255, 255, 255] };
  const poor = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = texts.nextNode();) if (n.data.trim()) { const e = n.parentElement;
    const both = [parse(getComputedStyle(e).color), behind(e)].map(c => light(c.slice(0, 3)));
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < 4.5) poor.push([ratio, n.data.slice(0, 40)]) }
  return poor })()"""
HEADINGS = "[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])"
UNNAMED = """[...document.querySelectorAll('table')].filter(t => !t.ariaLabel || !t.tHead ||
  [...t.tHead.rows[0].cells].some(c => c.scope !== 'col') ||
  [...t.tBodies[0].rows].some(r => r.cells[0].scope !== 'row')
).length + [...document.images].filter(i => i.alt !== i.closest('figure').querySelector('figcaption').innerText
  .replaceAll('\\u00a0', ' ')).length"""


INTRUDER = """(() => { const script = document.createElement('script');
  script.textContent = 'window.ran = 1'; document.body.append(script) })()"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of two decays, with diverged runs, a torn one and strings that try to break out."""
    root = tmp_path_factory.mktemp("browser") / "<b onclick=x>results"
    made_up.sweep(root, CLEAR)
    made_up.sweep(
        root, {0: [1.0, 1.02, 0.98], 0.01: [0.9, 0.92, 0.95], 0.1: [0.9, 1, 1.1]}, decay="<script>x()</script>"
    )
    made_up.run(
        root, 0.1, seed=7, status="diverged", cause="<img src=https://example.org/x.png onerror=x()>" + "w" * 250
    )
    torn = made_up.run(root, 0.1, seed=8)
    (torn / "metrics.csv").write_bytes((torn / "metrics.csv").read_bytes()[:-7])
    assert command([str(root), "formats=svg"], NO_FLAGS) == 0
    return root / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_every_figure_is_seen_and_nothing_is_asked_for(browser, report, width, scheme):
    browser.open(report, width, scheme=scheme)
    assert browser.requests == [report.as_uri()]
    assert browser.complaints == []
    images = browser.ask(IMAGES)
    assert len(images) == len(list((report.parent / "figures").iterdir())) > 2
    for image in images:
        assert image["natural"] > 0
        assert image["shown"]
        assert image["height"] > 50
        assert 0 <= image["left"] < image["right"] <= width
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask(CONTRAST) == []


def test_dark_is_dark(browser, report):
    seen = {}
    for scheme in ("light", "dark"):
        browser.open(report, DESKTOP, scheme=scheme)
        seen[scheme] = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert seen == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}


def test_structure_for_those_who_listen(browser, report):
    browser.open(report, DESKTOP)
    levels = browser.ask(HEADINGS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert browser.ask("document.documentElement.lang") == "en"
    assert browser.ask(UNNAMED) == 0


def test_nothing_in_the_page_runs(browser, report):
    browser.open(report, DESKTOP)
    assert browser.ask("document.scripts.length") == 0
    assert (
        browser.ask(
            "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => /^on/i.test(a.name))).length"
        )
        == 0
    )
    # And if something had got in, the page's own policy stops it.
    browser.ask(INTRUDER)
    assert browser.ask("window.ran") is None


def test_print_keeps_figures_whole(browser, report):
    browser.open(report, 700, media="print")
    page = 297 / 25.4 * 96 - 2 * 16 / 25.4 * 96  # A4 less its margins, CSS pixels
    for image in browser.ask(IMAGES):
        assert 0 < image["height"] < page
    assert set(
        browser.ask("[...document.querySelectorAll('figure, tr, pre')].map(e => getComputedStyle(e).breakInside)")
    ) == {"avoid"}
    made = browser.pdf()
    assert made.startswith(b"%PDF-")
    assert int(re.search(rb"/Type /Pages\s*/Count (\d+)", made)[1]) > 2


def test_a_page_that_is_watched_is_read_again_by_its_head_alone(browser, tmp_path):
    root = made_up.sweep(tmp_path / "r", {0: [1.0], 0.1: [0.9]})
    write([str(root), "formats=svg"], NO_FLAGS, reload=1)
    page = root / "report.html"
    browser.open(page, DESKTOP)
    page.write_bytes(page.read_bytes().replace(b"What weight decay did", b"Read again"))
    heading, end = "", time.monotonic() + 30
    while not heading.startswith("Read again") and time.monotonic() < end:
        time.sleep(0.2)
        with contextlib.suppress(AssertionError):  # asked while it is being read
            heading = browser.ask("document.querySelector('h1')?.innerText ?? ''")
    assert heading.startswith("Read again")
    assert set(browser.requests) == {page.as_uri()}
    assert browser.complaints == []
    assert browser.ask("document.scripts.length") == 0


def test_the_page_of_a_tuned_folder_is_read_as_well(browser, tmp_path):
    root = tuned_folder.tuned(tmp_path / "r").root
    assert command([str(root), "formats=svg"], NO_FLAGS) == 0
    for width, scheme in ((PHONE, "dark"), (DESKTOP, "light")):
        browser.open(root / "report.html", width, scheme=scheme)
        assert browser.complaints == []
        assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.ask(CONTRAST) == []
        assert browser.ask(UNNAMED) == 0
        levels = browser.ask(HEADINGS)
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert all(image["natural"] > 0 for image in browser.ask(IMAGES))
