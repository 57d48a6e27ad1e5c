"""Scopes: kinds of layers, globs, coefficients, parts of a tensor."""

import pytest
import torch

from wdrun import decay
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.decay import rate
from wdrun.decay.scope import coefficients
from wdrun.errors import ConfigError
from wdrun.laws import weights

PARAMS = weights()


def flat(spec):
    return lambda progress: 1.0


def spec(*words):
    return dict(parse(compose(words)).run.decay)


@pytest.mark.parametrize(
    ("scope", "exclude_1d", "chosen"),
    [
        ("auto", True, ["conv.weight", "fc.weight"]),
        ("auto", False, ["conv.weight", "fc.weight", "fc.bias", "norm.weight"]),
        ("all", True, ["conv.weight", "fc.weight", "fc.bias", "norm.weight"]),
        ("weights", False, ["conv.weight", "fc.weight"]),
        ("conv", True, ["conv.weight"]),
        ("fc", True, ["fc.weight"]),
    ],
)
def test_scope_by_kind_of_layer(scope, exclude_1d, chosen):
    assert coefficients(PARAMS, [], exclude_1d, scope) == dict.fromkeys(chosen, 1.0)


def test_a_pattern_goes_before_the_scope_and_an_empty_scope_is_a_mistake():
    assert coefficients(PARAMS, [("fc.bias", 0.5)], True, "conv") == {"conv.weight": 1.0, "fc.bias": 0.5}
    with pytest.raises(ConfigError, match=r"decay\.scope=conv: no parameter is of that kind"):
        coefficients({"fc.weight": PARAMS["fc.weight"]}, [], True, "conv")


def test_a_part_of_a_tensor_first_match_wins():
    chosen = coefficients(PARAMS, [("fc.weight[:, :10]", 1), ("fc.weight[0:2]", 0.25), ("*", 0)], True)
    expected = torch.zeros(5, 12, dtype=torch.float64)
    expected[:2] = 0.25
    expected[:, :10] = 1
    assert list(chosen) == ["fc.weight"]
    assert torch.equal(chosen["fc.weight"], expected)


def test_what_no_pattern_holds_of_a_tensor_keeps_its_default():
    chosen = coefficients(PARAMS, [("fc.weight[-1:]", 3), ("fc.bias[:2]", 2)], True)
    assert chosen["conv.weight"] == 1.0
    assert chosen["fc.weight"][:-1].eq(1).all()
    assert chosen["fc.weight"][-1].eq(3).all()
    assert chosen["fc.bias"].tolist() == [2, 2, 0, 0, 0]  # a vector is out of scope unless named


def test_a_part_that_is_the_whole_is_a_number_and_one_index_is_a_globs_choice():
    assert coefficients(PARAMS, [("fc.weight[:, :]", 2), ("*", 0)], True) == {"fc.weight": 2.0}
    assert coefficients(PARAMS, [("fc.weight[1, :]", 0), ("fc.weight[:1]", 0), ("*", 0)], True) == {}
    assert coefficients(PARAMS, [("[cn]o*.weight", 2), ("*", 0)], True) == {"conv.weight": 2.0, "norm.weight": 2.0}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("fc.weight[:, 12:]", r"holds nothing of fc\.weight of shape \(5, 12\)"),
        ("fc.weight[7, :]", r"does not fit fc\.weight of shape \(5, 12\)"),
        ("fc.weight[:, :, :]", r"does not fit fc\.weight of shape \(5, 12\)"),
        ("fc.weight[:, ]", r"has a number or a colon between commas"),
        ("fc.weight[::-1]", r"does not fit fc\.weight"),
        ("fd.weight[:, :2]", r"matches no parameter"),
    ],
)
def test_a_part_that_does_not_fit_is_a_sentence(pattern, message):
    with pytest.raises(ConfigError, match=message) as error:
        coefficients(PARAMS, [(pattern, 1.0)], True)
    assert "\n" not in str(error.value)


def test_the_value_over_a_part_is_that_of_the_part():
    rule = decay.build(spec("decay=l1") | {"scales": [["fc.weight[:, :10]", 2], ["*", 0]]}, PARAMS, flat)
    assert rule.value(PARAMS, {}) == pytest.approx(2 * PARAMS["fc.weight"][:, :10].abs().sum().item(), rel=1e-12)
    whole = decay.build(spec("decay=l2"), {"w": PARAMS["fc.weight"][:, :10]}, flat)
    part = decay.build(spec("decay=l2") | {"scales": [["fc.weight[:, :10]", 1], ["*", 0]]}, PARAMS, flat)
    assert rate(part, PARAMS) == pytest.approx(rate(whole, {"w": PARAMS["fc.weight"][:, :10]}))


@pytest.mark.parametrize("words", [["decay=group_lasso"], ["decay=max_norm"], ["decay=l2", "decay.coupling=projected"]])
def test_a_decay_of_whole_tensors_refuses_parts(words):
    with pytest.raises(ConfigError, match=r"acts on whole tensors, so not on a part of fc\.weight"):
        decay.build(spec(*words) | {"scales": [["fc.weight[:2]", 0.5]]}, PARAMS, flat)


def test_scopes_from_the_command_line():
    words = ["decay=l2", "decay.scope=fc", "decay.scales=[['fc.weight[:, :10]', 0.5]]"]
    rule = decay.build(spec(*words), PARAMS, flat)
    assert rule.scope() == ["fc.weight"]
    assert rule.scale["fc.weight"][0].tolist() == [0.5] * 10 + [1.0] * 2
    with pytest.raises(ConfigError, match=r"decay\.scope=cnv"):
        spec("decay=l2", "decay.scope=cnv")
