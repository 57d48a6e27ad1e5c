"""Chains: their terms one after another, each with its own scope, schedule, memory and share of λ."""

import pytest
import torch

from wdrun import decay, optim
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.decay import Chain, Context, Decay, Knobs
from wdrun.decay.elastic_net import ElasticNet
from wdrun.decay.l1 import L1
from wdrun.decay.l2 import L2
from wdrun.errors import ConfigError
from wdrun.explain import formula
from wdrun.laws import noise, step_of, weights
from wdrun.training.step import Training

PARAMS = weights()


def flat(spec):
    return lambda progress: 1.0


def spec(*words):
    return dict(parse(compose(words)).run.decay)


def end(rule, lam=0.1, steps=4):
    sgd = optim.Sgd(0.0, False)
    step, now = step_of(rule, sgd), Training(PARAMS, {}, rule.init(PARAMS))
    for t in range(1, steps + 1):
        grads = {n: noise(t, n, w) for n, w in now.params.items()}
        now = step.update(now, grads, Knobs(lam, 0.1, 1.0, rule.lam_scales((t - 1) / steps), t))
    return now.params


def test_a_chain_of_one_is_its_link_and_of_two_is_both():
    l2, l1 = (Decay(r, "decoupled", dict.fromkeys(PARAMS, 1.0)) for r in (L2(), L1()))
    alone = end(l2)
    chained = end(Chain((l2,), (1.0,)))
    assert all(torch.equal(alone[n], chained[n]) for n in PARAMS)
    both = end(Chain((l2, l1), (0.25, 0.75)))
    net = Decay(ElasticNet(0.75), "decoupled", dict.fromkeys(PARAMS, 1.0))
    as_one = end(net)
    for n in PARAMS:
        torch.testing.assert_close(both[n], as_one[n], rtol=0, atol=1e-13)
    penalty = Chain((l2, l1), (0.25, 0.75)).penalty(PARAMS, {}, 0.1, 1.0)
    torch.testing.assert_close(penalty, net.penalty(PARAMS, {}, 0.1, 1.0), rtol=1e-13, atol=0)


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


def test_a_part_in_a_chains_scales_is_refused_only_by_a_term_that_holds_it():
    terms = "decay.terms=[{decay: l2}, {decay: rescale, coupling: projected, scope: conv}]"
    rule = decay.build(spec("decay=chain", terms, "decay.scales=[['fc.weight[:, :2]', 3]]"), PARAMS, flat)
    assert [sorted(r.scale) for r in rule.rules] == [["conv.weight", "fc.weight"], ["conv.weight"]]
    with pytest.raises(
        ConfigError, match=r"^decay\.scales: a term of the chain acts on whole tensors, so not on a part"
    ):
        decay.build(spec("decay=chain", terms, "decay.scales=[['conv.weight[:2]', 3]]"), PARAMS, flat)


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
