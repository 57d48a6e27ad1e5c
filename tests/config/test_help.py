"""What --help says of the keys and options is what the files of conf/ say."""

import pytest
import yaml

from wdrun.config.help import keys_of, summary, whole_help
from wdrun.config.options import GROUPS, conf_dir, option_names

YAML = """\
# What it is.
defaults: [_shared, _self_]
name: x           # the name
rate: 1e-3        # a rate,
                  # in steps, such as a: b
pairs: [[a, 1]]   # [[pattern, c], …]
# about what follows
text: "a # b: c"  # quoted
odd: {a: 1, b: 2} # as it is
bare:
section:
  one: true       # first
                  # and more
  two:
    deep: null    # nested
axes:
  - "a=1"
  - b
last: 'it''s'
"""
KEYS = [
    ("name", "x", "the name"),
    ("rate", "1e-3", "a rate, in steps, such as a: b"),
    ("pairs", "[[a, 1]]", "[[pattern, c], …]"),
    ("text", '"a # b: c"', "quoted"),
    ("odd", "{a: 1, b: 2}", "as it is"),
    ("bare", "", ""),
    ("section.one", "true", "first and more"),
    ("section.two.deep", "null", "nested"),
    ("axes", '["a=1", b]', ""),
    ("last", "'it''s'", ""),
]


def test_the_keys_of_a_file_with_their_comments():
    assert keys_of(YAML) == KEYS
    assert keys_of("# nothing\n") == []


def plain(node, section=""):
    """The keys of a mapping as PyYAML reads it, nested ones dotted."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from plain(value, f"{section}{key}.")
        else:
            yield f"{section}{key}"


@pytest.mark.parametrize("path", sorted(conf_dir().rglob("*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_key_of_conf_is_found_once_and_none_besides(path):
    text = path.read_text(encoding="utf-8")
    read = yaml.safe_load(text)
    read.pop("defaults", None)
    found = []
    for key, default, _ in keys_of(text):
        flow = yaml.safe_load(default) if default.startswith("{") else None
        found += plain(flow, f"{key}.") if flow else [key]
    assert found == list(plain(read))


FILES = ["config.yaml", "decay/_shared.yaml", *(f"data/{name}.yaml" for name in option_names("data"))]


@pytest.mark.parametrize("path", FILES)
def test_every_key_says_what_it_is(path):
    found = keys_of((conf_dir() / path).read_text(encoding="utf-8"))
    assert all(default and comment for _, default, comment in found)
    assert len(found) == len({key for key, _, _ in found})


def test_a_summary_is_the_first_line_that_is_no_package_line():
    assert summary("# @package _global_\n# What it is.\na: 1\n") == "What it is."
    assert summary("# What it is.\n") == "What it is."


def test_help_names_every_option_and_every_key():
    text = whole_help()
    for group in (*GROUPS, "experiment"):
        for name in option_names(group):
            first = summary((conf_dir() / group / f"{name}.yaml").read_text(encoding="utf-8"))
            assert f"  {name:<14} {first}" in text.splitlines()
    for key, default, comment in keys_of((conf_dir() / "config.yaml").read_text(encoding="utf-8")):
        assert f"  {f'{key}={default}':<28} {comment}" in text.splitlines()
