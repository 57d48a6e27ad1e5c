"""The value that arrives in a run is the value that was given by keyword, whatever its type and characters."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from wdrun.api.arguments import plain, split, words
from wdrun.config import experiments
from wdrun.config.compose import opened
from wdrun.config.parse import parse
from wdrun.errors import ConfigError


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 64


@pytest.fixture(scope="module")
def composed():
    with opened() as function:
        yield function


def arrived(composed, key, value):
    """What the config holds at a dotted key once the value is given for it."""
    config = OmegaConf.to_container(composed(["data=cifar10", *words({key: value})]))
    group, _, name = key.lstrip("+").partition(".")
    return config[group][name]


SAME = [
    (np.float64(1e-3), 1e-3), (np.float32(0.1), float(np.float32(0.1))), (np.int64(3), 3), (np.bool_(True), True),
    (np.array([0.1, 0.2]), [0.1, 0.2]), (np.array(2.5), 2.5), (torch.tensor(3), 3), (torch.tensor([[1, 2]]), [[1, 2]]),
    (torch.tensor(0.1), float(np.float32(0.1))), (pd.Series([1, 2]), [1, 2]), ((1, (2, None)), [1, [2, None]]),
    (range(3), [0, 1, 2]), (None, None), (True, True), (Path("a b") / "λ", "a b/λ"), (Colour.RED, "red"),
    (Size.LARGE, 64), ({"a": (1, np.int8(2)), "b*": None}, {"a": [1, 2], "b*": None}),
    (OmegaConf.create({"a": [1, "x"]}), {"a": [1, "x"]}), (65536, 65536), (65536.0, 65536.0), (2**62 + 1, 2**62 + 1),
    (0.1 + 0.2, 0.1 + 0.2), (5e-324, 5e-324), (1e22, 1e22), (-1.0, -1.0),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), SAME, ids=lambda value: repr(value)[:30])
def test_a_value_of_another_library_arrives_as_pythons_own(composed, value, expected):
    found = arrived(composed, "+decay.mine", value)
    assert (type(found), found) == (type(expected), expected)


TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20) | st.text(
    "ab ,()[]{}='\"\\$#λ:;|&%@!?*~+-./0129eE\u00e9\u4e2d", max_size=12
)
TEXT = TEXTS.filter(lambda text: "${" not in text and text != "???")  # OmegaConf's own: another key, a missing value
ODD = (
    *("a,b", "f(x", "a=b", "it's", 'a"b', "a\\", "a\\'b", "$HOME", "#1", "λ", " a ", "", "2024", "1e5", "true", "null"),
    *("nan", "[1,2]", "{a:1}", "range(0,3)", "a:b", "~x", "-m", "--config-dir=x", "choice(1)", "a\u00a0b", "TRUE"),
)


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_text_arrives_letter_by_letter(composed, text):
    assert arrived(composed, "data.root", text) == text
    assert arrived(composed, "+decay.mine", text) == text
    assert arrived(composed, "+decay.mine", [text, {"a": text}]) == [text, {"a": text}]


@pytest.mark.parametrize("text", ODD)
def test_odd_text_arrives(composed, text):
    assert arrived(composed, "data.root", text) == text
    assert arrived(composed, "+decay.mine", text) == text


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63) + 1, 2**63 - 1) | st.booleans()
PLAIN = st.recursive(
    st.none() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{3,9}", fullmatch=True), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(PLAIN)
def test_any_plain_value_arrives_with_all_its_bits(composed, value):
    if not isinstance(value, dict):  # a mapping has the keys of the option that it is put over
        assert repr(arrived(composed, "+decay.mine", value)) == repr(value)
    assert repr(arrived(composed, "+decay.mine", [value])) == repr([value])


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT.filter(str.strip), min_size=2, max_size=4, unique_by=str.strip))
def test_a_list_is_an_axis_whose_points_are_its_values(composed, texts):
    (word,) = words({"data__root": texts}, axes=True)
    lines = experiments.lines(["data=cifar10", word], True)
    assert [composed(line).data.root for line in lines] == texts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-300, 1e300), min_size=2, max_size=4, unique=True))
def test_an_axis_of_numbers_keeps_their_bits(composed, lams):
    lines = experiments.lines(words({"lam": np.array(lams)}, axes=True), True)
    assert [parse(composed(line)).run.lam for line in lines] == lams


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"lam": [0, 1e-3]}, "lambda=0,0.001"),
        ({"lam": np.logspace(-3, -1, 3)}, "lambda=0.001,0.01,0.1"),
        ({"seed": range(2)}, "seed=0,1"),
        ({"seed": "range(0,2)"}, "seed=range(0,2)"),
        ({"decay": ["l1", "l2"]}, "decay=l1,l2"),
        ({"decay": "l1,l2"}, "decay=l1,l2"),
        ({"model__hidden": [64]}, "model.hidden=[64]"),  # the key takes a list
        ({"model__hidden": [[64], [64, 32]]}, "model.hidden=[64],[64,32]"),
        ({"model__widths": [16, 32]}, "model.widths=[16,32]"),
        ({"model__widths": [[16, 32], [64]]}, "model.widths=[16,32],[64]"),
        ({"optimizer__lr_scales": [["fc*", 2]]}, "optimizer.lr_scales=[['fc*',2]]"),
        ({"schedule__milestones": [0.25, 0.5]}, "schedule.milestones=[0.25,0.5]"),
        ({"diagnostics": ["oui"]}, "diagnostics=[oui]"),
        ({"optimizer__momentum": [0.8, 0.9]}, "optimizer.momentum=0.8,0.9"),
    ],
    ids=str,
)
def test_what_is_an_axis_and_what_is_one_value(given, word):
    assert words(given, axes=True) == [word]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"lam": "1e-3"}, "lambda=1e-3"),  # the key takes a number: read as on the command line
        ({"data__train_examples": "160"}, "data.train_examples=160"),
        ({"model__hidden": "[64,64]"}, "model.hidden=[64,64]"),
        ({"early_stopping__patience": "null"}, "early_stopping.patience=null"),
        ({"folds": 5}, "folds=5"),
        ({"folds": "5"}, "folds=5"),
        ({"name": "a,b"}, "name='a,b'"),
        ({"name": " a"}, "name=' a'"),
        ({"lr": None}, "lr=null"),
        ({"lam": float("nan")}, "lambda=nan"),
        ({"name": "2024"}, "name=2024"),  # the key takes text, and on the command line too
        ({"device": "cuda:0"}, "device=cuda:0"),
        ({"data__root": "null"}, "data.root='null'"),
    ],
    ids=str,
)
def test_a_string_is_text_where_its_key_takes_text(given, word):
    assert words(given) == [word]


def test_a_name_that_looks_like_a_number_stays_text(composed):
    job = parse(composed(words({"name": "1e5", "output_dir": Path("2024")})))
    assert (job.options.name, job.options.output_dir) == ("1e5", "2024")


@dataclass
class Thing:
    x: int = 1


@pytest.mark.parametrize(
    "value",
    [len, pd.DataFrame({"a": [1]}), Thing(), {1, 2}, b"raw", 1j, object(), [Thing()]],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_value_of_a_config_is_refused(value):
    with pytest.raises(ConfigError, match=r"lam: \w+ is no type of a config; must be a number, text, true, false"):
        words({"lam": value})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a=b": 1}, "a=b: must be the name of a key, such as lam, seed or data__root"),
        ({"lr ": 1}, "lr : must be the name of a key"),
        ({"+decay.mine": {"a b": 1}}, "'a b': must be letters, digits"),
        ({"+decay.mine": {1: 1}}, "1: must be letters, digits"),
        ({"data__root": ["???"]}, r"data__root: \?\?\? must be a value"),
        ({"lam": []}, r"lam=\[\]: holds no value"),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused_with_a_sentence(given, message):
    with pytest.raises(ConfigError, match=message):
        words(given, axes=True)


def test_the_folder_of_own_options_is_taken_from_the_words_of_best():
    assert split(["decay=l2", "--config-dir=a b"], None) == (["decay=l2"], "a b")
    assert split(["decay=l2", "--config-dir=a b"], Path("mine")) == (["decay=l2"], "mine")
    with pytest.raises(ConfigError, match=r"0\.1: must be text, as 'decay=l2'"):
        split([0.1], None)


def test_a_plain_value_is_itself():
    assert plain("x", {"a": [1, None, "b"]}) == {"a": [1, None, "b"]}
