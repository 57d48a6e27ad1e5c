"""Scopes: kinds of layers, globs, coefficients, parts of a tensor; and chains, whose terms have scopes of their own."""

import pytest
import torch

from wdrun import decay, optim
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.decay import Chain, Context, Knobs, rate
from wdrun.decay.scope import coefficients
from wdrun.errors import ConfigError
from wdrun.explain import formula
from wdrun.laws import Case, noise, weights
from wdrun.training.step import Training

PARAMS = weights()


def flat(spec):
    return lambda progress: 1.0


def spec(*words):
    return dict(parse(compose(words)).run.decay)


def end(rule, lam=0.1, steps=4):
    sgd = optim.Sgd(0.0, False)
    step, now = Case("none", "coupled", "sgd").step(rule, sgd), Training(PARAMS, {}, rule.init(PARAMS))
    for t in range(1, steps + 1):
        grads = {n: noise(t, n, w) for n, w in now.params.items()}
        now = step.update(now, grads, Knobs(lam, 0.1, 1.0, rule.lam_scales((t - 1) / steps), t))
    return now.params


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


TERMS = "decay.terms=[{decay: l2, weight: 1}, {decay: l1, weight: 0.1, coupling: proximal}]"


def test_a_chain_is_its_terms_with_their_own_defaults_and_changes():
    rule = decay.build(spec("decay=chain", TERMS), PARAMS, flat, "decoupled")
    assert isinstance(rule, Chain)
    assert [(type(r.regularizer).__name__, r.coupling) for r in rule.rules] == [("L2", "decoupled"), ("L1", "proximal")]
    assert rule.weights == (1.0, 0.1)
    assert formula(rule) == "1λ: w⁺ ← w − ηu − ηλcΩ'(w); then 0.1λ: w⁺ ← prox_{ηλcΩ}(w − ηu)"
    found = end(rule)
    w = PARAMS["fc.weight"]
    for t in range(1, 5):
        w = w - 0.1 * noise(t, "fc.weight", w) - 0.1 * 0.1 * w
        w = w.sign() * (w.abs() - 0.1 * 0.1 * 0.1).clamp_min(0)
    torch.testing.assert_close(found["fc.weight"], w, rtol=0, atol=1e-13)
    assert torch.equal(found["fc.bias"], end(decay.build(spec("decay=none"), PARAMS, flat))["fc.bias"])


def test_a_chains_scales_multiply_those_of_its_terms():
    terms = "decay.terms=[{decay: l2, scales: [['fc.weight', 2], ['*', 0]]}, {decay: l1, exclude_1d: false}]"
    rule = decay.build(spec("decay=chain", terms, "decay.scales=[['fc.weight[:, :2]', 3], ['conv*', 0]]"), PARAMS, flat)
    first, second = (r.scale for r in rule.rules)
    assert list(first) == ["fc.weight"]
    assert first["fc.weight"][0].tolist() == [6.0] * 2 + [2.0] * 10
    assert list(second) == ["fc.weight", "fc.bias", "norm.weight"]
    assert rule.scope() == ["fc.weight", "fc.bias", "norm.weight"]


def test_the_terms_have_schedules_and_memory_of_their_own():
    terms = "decay.terms=[{decay: adamc}, {decay: l2_init, weight: 2}, {decay: rescale, weight: 0}]"
    resolved = spec("decay=chain", terms, "schedule=step")
    assert resolved["terms"][0]["schedule"]["name"] == "step"
    rule = decay.build(resolved, PARAMS, flat, "decoupled")
    assert sorted(rule.init(PARAMS)) == sorted(f"{i}.{n}" for i in (1, 2) for n in ("conv.weight", "fc.weight"))
    knobs = Knobs(0.5, 0.1, 1.0, rule.lam_scales(0.0), 1)
    context = Context(PARAMS, knobs, state=rule.init(PARAMS), updates=PARAMS)
    new, state = rule.after(PARAMS, context)
    torch.testing.assert_close(new["fc.weight"], PARAMS["fc.weight"] * 0.95, rtol=0, atol=1e-15)  # the others: nothing
    assert state.keys() == rule.init(PARAMS).keys()
    assert rule.penalty(PARAMS, state, 0.5, 0.0) == pytest.approx(
        0.5 * 0.5 * sum(PARAMS[n].square().sum().item() for n in ("conv.weight", "fc.weight"))
    )


def test_a_chain_in_a_chain():
    inner = "{decay: chain, weight: 0.5, terms: [{decay: l2}, {decay: l1, weight: 3}]}"
    nested = decay.build(spec("decay=chain", f"decay.terms=[{inner}]"), PARAMS, flat)
    plain = decay.build(
        spec("decay=chain", "decay.terms=[{decay: l2, weight: 0.5}, {decay: l1, weight: 1.5}]"), PARAMS, flat
    )
    a, b = end(nested), end(plain)
    for n in PARAMS:
        torch.testing.assert_close(a[n], b[n], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ("[{weight: 1}]", r"decay\.terms\[0\]="),
        ("[{decay: l3}]", r"decay\.terms\[0\]=.*l3"),
        ("3", r"decay\.terms"),
        ("[{decay: l2}, {decay: l1, coupling: proxmal}]", r"decay\.terms\[1\]\.coupling=proxmal: must be one of auto"),
        ("[{decay: l2, weight: -1}]", r"decay\.terms\[0\]\.weight=-1: must be a number ≥ 0"),
        ("[{decay: l2, slope: 1}]", r"decay\.terms\[0\]\.slope: l2 does not take it"),
        ("[{decay: box, coupling: coupled}]", r"decay\.terms\[0\]\.coupling=coupled: box has no grad"),
    ],
)
def test_a_wrong_term_is_a_sentence(terms, message):
    with pytest.raises(ConfigError, match=message):
        decay.build(spec("decay=chain", f"decay.terms={terms}"), PARAMS, flat)
