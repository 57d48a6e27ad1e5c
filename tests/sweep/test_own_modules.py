"""Python's modules as files: which are the user's, what they import, what of their text counts, and which version."""

import sys
from importlib import metadata

import pytest

from wdrun.sweep import own_modules

TEXT = """
import math, own_parts
import torch.nn as nn
from . import near
from .near import thing, other
from .. import beyond
from wdrun.decay import l1

def late():
    from own_parts.deep import *
"""


@pytest.fixture
def package(here, monkeypatch):
    """The path of own_pack/net.py, with own_parts beside the package."""
    monkeypatch.syspath_prepend(here)
    for name, text in {"own_pack/__init__": "", "own_pack/net": TEXT, "own_parts": "raise ImportError\n"}.items():
        (here / f"{name}.py").parent.mkdir(exist_ok=True)
        (here / f"{name}.py").write_text(text)
    return here / "own_pack/net.py"


def test_imports_are_those_of_the_users_modules_wherever_they_stand(package):
    near = {"own_pack.near", "own_pack.near.thing", "own_pack.near.other"}
    assert own_modules.imports(str(package), "own_pack") == {"own_pack", "own_parts", "own_parts.deep", *near}
    assert not {"own_pack", "own_parts"} & sys.modules.keys()  # nothing of it was imported


@pytest.mark.parametrize(
    ("name", "own", "installed"),
    [("own_parts", True, False), ("json", False, False), ("wdrun.decay", False, False), ("torch", False, True)],
)
def test_whose_a_module_is(package, name, own, installed):
    spec = own_modules.find(name)
    assert (own_modules.is_own(spec), own_modules.is_installed(spec)) == (own, installed)


def test_what_is_not_there_is_nowhere(package):
    assert own_modules.find("own_pack.nothing") is own_modules.find("own_parts.deep") is None
    assert own_modules.digest_of(str(package.parent / "nothing.py")) == own_modules.GONE
    with pytest.raises(OSError, match="nothing"):
        own_modules.imports(str(package.parent / "nothing.py"), "own_pack")


def test_a_file_and_its_text_have_one_digest_without_what_does_not_count(package):
    assert own_modules.digest_of(str(package)) == own_modules.digest_of_text(TEXT)
    assert own_modules.digest_of_text("x = 1  # one\n\n") == own_modules.digest_of_text("x = 1\n")
    assert own_modules.digest_of_text("x = 1\n") != own_modules.digest_of_text("x = 2\n")


@pytest.mark.parametrize("odd", ["\x0c", "\x0b", "\x1c", "\x85", "\u2028"])  # none of them ends a line of Python
def test_what_stands_below_an_odd_character_counts(odd):
    one, other = (f"x = '{odd}'\nWIDTH = {width}\n# a comment\n" for width in (2, 3))
    assert own_modules.digest_of_text(one) != own_modules.digest_of_text(other)
    assert own_modules.digest_of_text(one) == own_modules.digest_of_text(one.replace("# a comment", "# another"))


def test_of_a_package_that_is_installed_by_another_name_the_version_counts(monkeypatch):
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"vision_of": ["torchvision", "torch"]})
    versions = {metadata.version("torchvision"), metadata.version("torch")}
    assert own_modules.version("vision_of") == {"vision_of": ", ".join(sorted(versions))}
    assert own_modules.version("of_nobody") == {}
