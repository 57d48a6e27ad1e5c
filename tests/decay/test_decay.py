"""Decay against closed forms and limit identities; scope; what a regularizer cannot do."""

import re
from dataclasses import dataclass, replace
from inspect import get_annotations
from pathlib import Path

import pytest
import torch
from torch import nn

from wdrun import decay, optim
from wdrun.config.compose import compose
from wdrun.config.options import option_names
from wdrun.config.parse import parse
from wdrun.decay import Context, Decay, Knobs, Regularizer, Rule, coefficients
from wdrun.decay.elastic_net import ElasticNet
from wdrun.decay.l1 import L1
from wdrun.decay.l2 import L2
from wdrun.devices import Machine
from wdrun.errors import ConfigError
from wdrun.laws import cases, noise, nothing, weights
from wdrun.laws.cases import LAM, LR, step_of, train
from wdrun.training.step import Step, Training

CPU64 = Machine(torch.device("cpu"), "fp64", 1)


def constant(progress):
    return 1.0


def flat(spec):
    return constant


def option(group, *words):
    return dict(getattr(parse(compose(words)).run, group))


def steps(rule, optimizer, params, gradient, count, lam, lr, schedule=constant):
    """Parameters after `count` steps of the pure step under a given gradient function."""
    step = Step(nn.Identity(), rule, optimizer, None, None, CPU64)
    now = Training(params, optimizer.init(params), rule.init(params))
    for t in range(1, count + 1):
        s = schedule((t - 1) / count)
        now = step.update(now, gradient(t, now.params), Knobs(lam, lr * s, s, rule.lam_scales((t - 1) / count), t))
    return now.params


def quadratic(t, params):
    return {n: w - 0.5 * t for n, w in params.items()}


def test_a_step_writes_to_nothing_that_it_was_given():
    """A gradient of Ω that may be written over is neither the weight nor what the rule remembers."""
    for case in cases():
        if case.optimizer != "sgd":
            continue
        params = weights()
        rule, by = case.rule(params), case.by()
        now = Training(params, by.init(params), rule.init(params))
        grads = {n: noise(1, n, w) for n, w in params.items()}
        given = [*params.values(), *grads.values(), *now.decay.values(), *now.optimizer.get("b", {}).values()]
        before = [w.clone() for w in given]
        knobs = Knobs(LAM, LR, 1.0, rule.lam_scales(0.0), 1)
        once, again = (step_of(rule, by).update(now, grads, knobs) for _ in range(2))
        assert all(map(torch.equal, given, before)), case
        for n, w in once.params.items():
            assert torch.equal(w, again.params[n]), case


def test_a_gradient_of_ones_own_in_the_place_of_a_fresh_one_is_left_as_it_is():
    class Lazy(L1):
        def grad(self, w):
            return w

    params = weights()
    before = {n: w.clone() for n, w in params.items()}
    rule = Decay(Lazy(), "coupled", dict.fromkeys(params, 1.0))
    rule.before({n: torch.zeros_like(w) for n, w in params.items()}, Context(params, Knobs(0.3, 0.1, 1.0, (1.0,), 1)))
    assert all(torch.equal(params[n], w) for n, w in before.items())


def test_coupled_l2_is_the_gradient_of_the_penalty_in_the_loss():
    params = weights()
    rule = Decay(L2(), "coupled", {"fc.weight": 2.0})
    context = Context(params, Knobs(0.3, 0.1, 1.0, (1.0,), 1))
    grads = rule.before({n: torch.zeros_like(w) for n, w in params.items()}, context)
    leaf = params["fc.weight"].clone().requires_grad_()
    (0.3 * 2.0 * 0.5 * leaf.square().sum()).backward()
    torch.testing.assert_close(grads["fc.weight"], leaf.grad, rtol=0, atol=1e-15)
    assert not grads["conv.weight"].any()


def test_plain_sgd_coupled_and_decoupled_are_the_same_step():
    params, sgd = weights(), optim.build(option("optimizer", "optimizer=sgd", "optimizer.momentum=0"))
    found = [
        steps(Decay(L2(), coupling, dict.fromkeys(params, 1.0)), sgd, params, quadratic, 20, lam=0.1, lr=0.05)
        for coupling in ("coupled", "decoupled")
    ]
    for n in params:
        torch.testing.assert_close(found[0][n], found[1][n], rtol=0, atol=1e-13)


def test_independent_ignores_lr_and_follows_the_schedule():
    params, sgd = weights(), optim.build(option("optimizer"))
    rule = Decay(L2(), "independent", dict.fromkeys(params, 1.0))
    half = lambda p: 1.0 - p / 2  # noqa: E731

    def zero(t, w):
        return {n: nothing(t, n, x) for n, x in w.items()}

    for lr in (0.01, 1.0):
        found = steps(rule, sgd, params, zero, 4, lam=0.1, lr=lr, schedule=half)
        factor = 1.0
        for t in range(4):
            factor *= 1 - 0.1 * half(t / 4)
        for n, w in params.items():
            torch.testing.assert_close(found[n], w * factor, rtol=0, atol=1e-14)


def test_cautious_shrinks_only_where_the_update_agrees_with_the_weight():
    w = {"w": torch.tensor([1.0, -1.0, 2.0, -2.0, 0.5], dtype=torch.float64)}
    u = {"w": torch.tensor([1.0, 1.0, -3.0, -3.0, 0.0], dtype=torch.float64)}
    context = Context(w, Knobs(0.1, 0.5, 1.0, (1.0,), 1), updates=u)
    stepped = {"w": w["w"] - 0.5 * u["w"]}
    shrunk, _ = Decay(L2(), "cautious", {"w": 1.0}).after(stepped, context)
    mask = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0], dtype=torch.float64)  # signs equal, or no update
    torch.testing.assert_close(shrunk["w"], stepped["w"] - 0.5 * 0.1 * w["w"] * mask, rtol=0, atol=1e-15)


def test_proximal_l1_gives_exact_zeros_and_the_subgradient_none():
    params, sgd = weights(), optim.build(option("optimizer"))

    def zero(t, w):
        return {n: nothing(t, n, x) for n, x in w.items()}

    counts = {}
    for coupling in ("proximal", "coupled"):
        rule = Decay(L1(), coupling, dict.fromkeys(params, 1.0))
        found = steps(rule, sgd, params, zero, 30, lam=0.3, lr=0.03)
        counts[coupling] = sum(int((w == 0).sum()) for w in found.values())
    assert counts["proximal"] > 20
    assert counts["coupled"] == 0


@pytest.mark.parametrize("method", ["value", "grad", "prox", "project"])
@pytest.mark.parametrize(("ratio", "limit"), [(0.0, L2()), (1.0, L1())])
def test_elastic_net_at_its_ends(ratio, limit, method):
    for w in weights().values():
        arguments = {"prox": (0.7,), "project": (1.3,)}.get(method, ())
        ours, theirs = (getattr(r, method)(w, *arguments) for r in (ElasticNet(ratio), limit))
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_mean_is_sum_over_numel_in_every_coupling():
    params = {"w": weights()["fc.weight"]}
    n = params["w"].numel()
    adam = optim.build(option("optimizer", "optimizer=adam"))
    spec = option("decay", "decay=l1", "decay.scales=[['*', 0.5]]")
    for coupling in decay.COUPLINGS:
        whole, mean = (
            decay.build(spec | {"coupling": coupling, "reduction": of}, params, flat) for of in ("sum", "mean")
        )
        same = 0.02 * n if coupling == "projected" else 0.02 / n  # there λ is the radius of Ω
        found = steps(mean, adam, params, quadratic, 5, lam=0.02, lr=0.01)
        expected = steps(whole, adam, params, quadratic, 5, lam=same, lr=0.01)
        torch.testing.assert_close(found["w"], expected["w"], rtol=0, atol=1e-12)
        if coupling != "projected":
            penalty = 0.02 * 0.5 * params["w"].abs().mean()
            torch.testing.assert_close(mean.penalty(params, {}, 0.02, 1.0), penalty, rtol=1e-13, atol=0)


def test_scope_first_match_wins_and_1d_is_left_out_unless_named():
    params = weights()
    assert coefficients(params, [], True) == {"conv.weight": 1.0, "fc.weight": 1.0}
    assert coefficients(params, [], False) == dict.fromkeys(params, 1.0)
    scales = [("fc.*", 0.5), ("*.weight", 2.0)]
    assert coefficients(params, scales, True) == {
        "conv.weight": 2.0,
        "fc.weight": 0.5,
        "fc.bias": 0.5,
        "norm.weight": 2.0,
    }
    assert coefficients(params, [("conv*", 0)], True) == {"fc.weight": 1.0}
    with pytest.raises(ConfigError, match=r"decay.scales: 'fc9\*' matches no parameter; there are conv.weight"):
        coefficients(params, [("fc9*", 1.0)], True)


def test_lambda_schedule_multiplies_lambda():
    params, sgd = weights(), optim.build(option("optimizer", "optimizer.momentum=0"))
    rule = Decay(L2(), "decoupled", dict.fromkeys(params, 1.0), schedule=lambda p: 1.0 if p < 0.5 else 0.0)

    def zero(t, w):
        return {n: nothing(t, n, x) for n, x in w.items()}

    found = steps(rule, sgd, params, zero, 4, lam=0.1, lr=0.5)
    for n, w in params.items():
        torch.testing.assert_close(found[n], w * 0.95**2, rtol=0, atol=1e-15)


def test_what_a_regularizer_cannot_do_is_a_sentence(monkeypatch):
    import dataclasses
    import sys
    import types

    @dataclasses.dataclass(frozen=True)
    class Quartic(Regularizer):
        power: float

        def value(self, w):
            return w.pow(4).sum()

    module = types.ModuleType("mine")
    module.Quartic = Quartic
    module.NotOne = int
    monkeypatch.setitem(sys.modules, "mine", module)
    spec = option("decay") | {"name": "quartic", "_target_": "mine.Quartic", "power": 4.0}
    params = weights()
    for coupling in ("coupled", "decoupled", "independent", "cautious"):
        assert decay.build(spec | {"coupling": coupling}, params, flat).scope() == ["conv.weight", "fc.weight"]
    for coupling, need in (("proximal", "prox"), ("projected", "project")):
        with pytest.raises(ConfigError) as error:
            decay.build(spec | {"coupling": coupling}, params, flat)
        expected = f"decay.coupling={coupling}: quartic has no {need}, which {coupling} needs; "
        assert str(error.value) == expected + "it can do coupled, decoupled, independent, cautious"
    with pytest.raises(ConfigError, match=r"decay\.pwer: quartic does not take it; it takes power"):
        decay.build(spec | {"pwer": 3}, params, flat)
    with pytest.raises(ConfigError, match=r"mine\.Nowhere: cannot be imported"):
        decay.build(spec | {"_target_": "mine.Nowhere"}, params, flat)
    with pytest.raises(ConfigError, match="not a dataclass derived from"):
        decay.build(spec | {"_target_": "mine.NotOne"}, params, flat)


def test_auto_takes_the_decays_preference_then_the_optimizers():
    params = weights()
    spec = option("decay")
    assert decay.build(spec, params, flat).coupling == "coupled"
    assert decay.build(spec, params, flat, "decoupled").coupling == "decoupled"
    assert decay.build(spec | {"prefers": "proximal"}, params, flat, "decoupled").coupling == "proximal"
    assert parse(compose(["optimizer=adamw"])).run.coupling == "decoupled"


@dataclass(frozen=True)
class Pull(Regularizer):
    def grad(self, w):
        return w.tanh()


@dataclass(frozen=True)
class Thrown(Regularizer):
    def prox(self, w, t):
        return w / (1 + t)


@dataclass(frozen=True)
class Nothing(Regularizer):
    convex = False


def built(cls, monkeypatch, coupling="decoupled"):
    """The rule of a class as a user's option would name it, over one tensor."""
    monkeypatch.setattr("wdrun.decay.l2." + cls.__name__, cls, raising=False)
    spec = dict(parse(compose(["decay=l2"])).run.decay) | {"name": "own", "_target_": f"wdrun.decay.l2.{cls.__name__}"}
    w = torch.tensor([[0.5, -2.0]], dtype=torch.float64)
    return decay.build(spec | {"coupling": coupling}, {"fc.weight": w}, lambda spec: lambda progress: 1.0), w


def test_a_decay_may_be_its_gradient_alone(monkeypatch):
    rule, w = built(Pull, monkeypatch)
    assert not rule.has_penalty
    pull = (w * w.tanh()).sum().item() / (w * w).sum().item()
    assert decay.rate(rule, {"fc.weight": w}) == pytest.approx(pull, rel=1e-12)
    with pytest.raises(ConfigError, match="own has no prox, which proximal needs; it can do coupled, decoupled"):
        built(Pull, monkeypatch, "proximal")


def test_a_decay_may_be_its_prox_alone(monkeypatch):
    rule, w = built(Thrown, monkeypatch, "proximal")
    assert not rule.has_penalty
    assert decay.rate(rule, {"fc.weight": w}) is None
    with pytest.raises(ConfigError, match=r"own has no grad, which coupled needs; it can do proximal$"):
        built(Thrown, monkeypatch, "coupled")


def test_a_decay_without_any_of_them_is_told_what_to_write(monkeypatch):
    why = (
        r"^decay\._target_=wdrun\.decay\.l2\.Nothing: write its value\(self, w\), or each\(self, w\) where .*, or grad"
    )
    with pytest.raises(ConfigError, match=why):
        built(Nothing, monkeypatch)


def test_a_chain_knows_its_penalty_where_every_link_does(monkeypatch):
    pull, l2 = built(Pull, monkeypatch)[0], built(L2, monkeypatch)[0]
    assert decay.Chain((l2, l2), (1.0, 1.0)).has_penalty
    assert not decay.Chain((l2, pull), (1.0, 1.0)).has_penalty


@pytest.mark.parametrize("name", option_names("decay"))
def test_a_tensor_without_elements_is_left_alone_and_changes_nothing_else(name):
    """In every coupling, scope and optimizer: the others end where they do without it, bit for bit."""
    empty = {"none.weight": torch.zeros(0, 5), "odd.weight": torch.zeros(4, 0, 3, 3), "none.bias": torch.zeros(0)}
    empty = {n: w.double() for n, w in empty.items()}
    of_optimizers = {case.optimizer: case for case in cases(["l2"])} if name == "l2" else {}
    for case in {**{case.coupling: case for case in cases([name])}, **of_optimizers}.values():
        for changes in ({}, {"scope": "all"}, {"reduction": "mean"}):
            ends = []
            for params in (weights(), weights() | empty):
                try:
                    rule = case.rule(params, **changes)
                except ConfigError as error:
                    ends.append(str(error))
                    continue

                def grads(t, now):
                    return {n: noise(t, n, w) for n, w in now.items()}

                ends.append(train(rule, case.by(), params, grads, 0.3, 0.05, [1.0] * 3)[-1])
                assert not set(rule.scope()) & set(empty)
            if isinstance(ends[0], str):
                assert ends[0] == ends[1]
                continue
            assert all(torch.equal(w, ends[1][n]) for n, w in ends[0].items()), (case, changes)
            assert {n: ends[1][n].shape for n in empty} == {n: w.shape for n, w in empty.items()}


@pytest.mark.parametrize("name", option_names("decay"))
def test_a_parameter_whose_learning_rate_has_the_factor_0_stays_as_it_is(name):
    """Bit for bit, under every decay and coupling, also where λ is free of the lr or a radius."""
    for case in {case.coupling: case for case in cases([name])}.values():
        rule, params = case.rule(weights()), weights()
        step = replace(step_of(rule, case.by()), lr_factors={"fc.weight": 0.0})
        now = Training(params, step.optimizer.init(params), rule.init(params))
        for t in range(1, 4):
            grads = {n: noise(t, n, w) for n, w in now.params.items()}
            now = step.update(now, grads, Knobs(LAM, LR, 1.0, rule.lam_scales(0.0), t))
        assert torch.equal(now.params["fc.weight"], params["fc.weight"]), case
        assert not any(torch.equal(now.params[n], params[n]) for n in params.keys() - {"fc.weight"}), case


def test_the_readme_says_what_each_attribute_of_a_class_means():
    text = (Path(decay.__file__).parent / "README.md").read_text().partition("What a class says of itself")[2]
    told = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+?) \|", text, re.MULTILINE))
    of = {
        name: getattr(cls, name)
        for cls in (Rule, Decay, Regularizer)
        for name, kind in get_annotations(cls).items()
        if str(kind).startswith("ClassVar")
    }
    assert told.keys() == of.keys() | {"lacks_at"}
    shown = {name: '`""`' if value == "" else f"`{value}`" for name, value in of.items()}
    assert told == shown | {"formula": "that of the coupling", "lacks_at": '`""`'}
