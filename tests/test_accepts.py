"""What each kind of value accepts and refuses, at its edges, and the line it refuses with."""

import math
import re
from pathlib import Path

import pytest

from wdrun.accepts import (
    PLAIN,
    SHARES,
    boolean,
    check,
    check_known,
    check_names,
    list_of,
    number,
    one_of,
    or_auto,
    or_null,
    text,
    whole,
)
from wdrun.config.keys import KEYS
from wdrun.errors import ConfigError

NO_NUMBERS = [True, False, None, "1", "abc", [1], {}, math.nan, math.inf, -math.inf, 10**400]
KINDS = [  # what is accepted, in words; values that fit, values that do not
    (number(0), "a number ≥ 0", [0, 0.0, 1e-300, 1.7e308], [-1e-300, -1, *NO_NUMBERS]),
    (number(above=0), "a number > 0", [1e-300, 3], [0, -1, *NO_NUMBERS]),
    (number(0, 1), "a number from 0 to 1", [0, 1, 0.5], [-1e-9, 1.0001, *NO_NUMBERS]),
    (number(0, below=1), "a number in [0, 1)", [0, 0.999], [1, 1.0, -0.1, *NO_NUMBERS]),
    (number(above=0, below=1), "a number in (0, 1)", [1e-9, 0.999], [0, 1, *NO_NUMBERS]),
    (number(1), "a number ≥ 1", [1, 2.5], [0.999, *NO_NUMBERS]),
    (whole(1), "a whole number ≥ 1", [1, 2**63 - 1], [0, 1.0, 2.5, 2**63, *NO_NUMBERS]),
    (whole(0, 3), "a whole number from 0 to 3", [0, 3], [-1, 4, *NO_NUMBERS]),
    (whole(0, 0), "a whole number from 0 to 0", [0], [1, -1]),
    (boolean(), "true or false", [True, False], [0, 1, None, "true"]),
    (one_of("a", "b"), "one of a, b", ["a", "b"], ["", "ab", None, ["a"], True]),
    (text("a path"), "a path", ["x", "a b"], ["", None, 3, ["x"], "a\n"]),
    (text("cpu or cuda", "cpu|cuda"), "cpu or cuda", ["cpu", "cuda"], ["cpu ", "gpu", None]),
    (list_of(whole(1), "a list", least=1), "a list", [[1], [3, 4]], [[], [0], [1, "a"], 1, None, {}, (1,)]),
    (list_of(number(0), "a list"), "a list", [[], [0.5]], [[-1], [math.nan], 0.5]),
    (or_null(whole(1)), "a whole number ≥ 1, or null", [None, 1], [0, "null", "auto"]),
    (or_auto(whole(1)), "a whole number ≥ 1, or auto", ["auto", 1], [0, None, "Auto"]),
    (
        PLAIN,
        "a finite number, text, true, false, null or a list of these",
        [0, 1.5, "λ", True, None, [], [[1, "a"]], {"a": [1]}],
        [math.nan, math.inf, 2**63, "a\nb", "\x1b", [math.nan], {1: 2}, {"a": math.inf}, (1,), object],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("accepts", "words", "fitting", "others"), KINDS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_kind_of_value(accepts, words, fitting, others):
    assert accepts.words == words
    for value in fitting:
        assert check("key", value, accepts) is value
    for value in others:
        assert not accepts.fits(value), value
        with pytest.raises(ConfigError, match=r"(?s)^key=.*: must be "):
            check("key", value, accepts)


@pytest.mark.parametrize(
    ("value", "accepts", "message"),
    [
        (-0.0001, number(0), "k=-0.0001: must be a number ≥ 0"),
        (None, number(0), "k=null: must be a number ≥ 0"),
        (True, whole(1), "k=true: must be a whole number ≥ 1"),
        ([1, [2, "x"]], whole(1), "k=[1,[2,x]]: must be a whole number ≥ 1"),
        ({"a": None}, boolean(), "k={a:null}: must be true or false"),
        ("layr", one_of("batch", "layer"), "k=layr: must be one of batch, layer; did you mean layer?"),
        ("x", or_null(one_of("batch", "layer")), "k=x: must be one of batch, layer, or null"),
        (["oui", "oi"], list_of(one_of("oui", "hessian"), "a list"), "k=[oui,oi]: must be a list; did you mean oui?"),
    ],
)
def test_a_refusal_says_key_value_what_is_accepted_and_the_nearest(value, accepts, message):
    with pytest.raises(ConfigError) as caught:
        check("k", value, accepts)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["beta", "rate"], None),
        (["bta", "beta", "rate"], "g.bta: unknown key; did you mean g.beta?"),
        (["x", "beta", "rate"], "g.x: unknown key; adam takes beta, rate"),
        (["beta"], "g.rate: missing; adam takes beta, rate"),
        (["beta", "rte"], "g.rte: unknown key; did you mean g.rate?"),  # a typo is both: the unknown one says more
        ([], "g.beta: missing; adam takes beta, rate"),
    ],
)
def test_the_keys_of_a_group(given, message):
    if message is None:
        check_names("g", given, ("beta", "rate"), "adam")
        return
    with pytest.raises(ConfigError) as caught:
        check_names("g", given, ("beta", "rate"), "adam")
    assert str(caught.value) == message


def test_keys_with_a_default_may_be_left_out():
    check_known("g", [], ("beta", "rate"), "adam")
    check_known("g", ["rate"], ("beta", "rate"), "adam")
    with pytest.raises(ConfigError, match=r"^g\.3: unknown key; adam takes no arguments$"):
        check_known("g", [3], (), "adam")


def test_shares_are_what_the_options_say_is_one():
    conf = Path(__file__).parents[1] / "conf"
    said = re.compile(r"^(\w+): [\d.]+ .*# (?!.*a fraction).*(in [\[(]0, 1[\])]|, 0 to 1$)", re.MULTILINE)
    keys = {f"{path.parent.name}.{one[1]}" for path in conf.glob("*/*.yaml") for one in said.finditer(path.read_text())}
    assert keys - KEYS.keys() == SHARES
