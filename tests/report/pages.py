"""A sweep with a clear winner, what is told of runs, and the page as a browser reads it."""

from html.parser import HTMLParser

from wdrun.report import text
from wdrun.selection import select
from wdrun.tables.read import load

NO_FLAGS = {"multirun": False, "cfg": None, "config_dir": None, "resolve": False}
CLEAR = {0: [1.0, 1.02, 0.98], 0.01: [0.80, 0.82, 0.78], 0.1: [0.7, 0.73, 0.68], 1: [0.9, 0.91, 0.93]}


def told(root, **options):
    """Results, selection and all sentences of the runs below root."""
    found = load([root])
    selection = select(found.runs, **options)
    return found, selection, "\n".join(text.whole(found, selection))


TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "h1",
    "h2",
    "h3",
    "nav",
    "ul",
    "li",
    "a",
    "main",
    "br",
}
TAGS |= {"section", "p", "div", "pre", "code", "span", "table", "thead", "tbody", "tr", "th", "td", "figure", "img"}
TAGS |= {"figcaption", "strong"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "id", "class", "href", "role", "tabindex", "scope"}
ATTRIBUTES |= {"aria-label", "aria-labelledby", "src", "alt", "width", "height"}
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """The page as a browser reads it; fails on any tag, attribute or address that a report has no use for."""

    def __init__(self, source):
        super().__init__()
        self.open, self.texts, self.images, self.ids, self.links = [], [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open
        assert len(set(self.ids)) == len(self.ids)
        assert {link.removeprefix("#") for link in self.links} <= set(self.ids)

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        attributes = dict(attrs)
        assert attributes.keys() <= ATTRIBUTES, attributes
        self.ids += [attributes["id"]] if "id" in attributes else []
        if "href" in attributes:
            assert attributes["href"].startswith("#")
            self.links.append(attributes["href"])
        if tag == "img":
            assert attributes["src"].startswith(("data:image/svg+xml;base64,", "data:image/png;base64,"))
            assert "alt" in attributes
            self.images.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"comment {data!r}")

    @property
    def text(self):
        return "".join(self.texts)
