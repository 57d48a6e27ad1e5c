"""λ carried to another setting: its closed forms, how wide its interval is, and what no rule carries it to."""

import math
from dataclasses import replace

import pytest

from tests import runs
from tests.runs import MLP, changed
from wdrun.errors import ConfigError
from wdrun.sweep.transfer import facts
from wdrun.tuning import transfer
from wdrun.tuning.finished import Best
from wdrun.tuning.transfer import EXPONENTS, Exponent, Facts, changes, predict, scaled_lr

BASE = changed(runs.TINY, *MLP, "decay=l2", "lr=0.02", "schedule=constant", "epochs=4", "augment=none")
DECOUPLED = "decay.coupling=decoupled"
CONSTANT_TAU = {"images": 0.0, "epochs": 1.0, "batch": 0.0, "parameters": 0.0, "lr": 0.0}


@pytest.fixture(autouse=True)
def _constant_tau(monkeypatch):
    """The rule of the closed forms, whatever numbers are measured for it."""
    monkeypatch.setattr(transfer, "EXPONENTS", {size: Exponent(e, 0.1) for size, e in CONSTANT_TAU.items()})


def best(lam=0.01, low=0.0, high=math.inf, **more):
    return Best("decay=l2", {}, lam, low, high, tried=5, metric="val_loss", margin=0.02, **more)


def known(*words):
    return facts(runs.trainer(*words, base=BASE))


def carried(there, here, lam=0.01, **more):
    return predict(best(lam, **more), known(*there), known(*here))


@pytest.mark.parametrize(
    ("there", "here", "factor"),
    [
        ([], [], 1),
        ([DECOUPLED], [DECOUPLED, "batch_size=8"], 5 / 20),  # 160 images: 20 steps an epoch, not 5
        ([], ["batch_size=160"], 5),
        ([], ["batch_size=48"], 5 / 3),  # the last 16 of 160 images are left out
        (["data.train_size=32"], [], 1 / 5),  # five times the images: five times the steps
        ([], ["epochs=16"], 1),  # constant τ: as much decay an epoch
        ([], ["model.hidden=[32]"], 1),
        ([], [DECOUPLED], 10),  # what momentum adds up: 1/(1 − 0.9)
        ([DECOUPLED], [], 0.1),
        ([DECOUPLED], ["decay.coupling=independent"], 0.02),  # the lr
        (["decay.coupling=independent"], ["decay=decoupled"], 50),
        ([DECOUPLED], ["decay.coupling=proximal"], 1),
        ([], ["lr=0.04"], 0.5),
        ([], ["optimizer.momentum=0.8"], 2),
        ([DECOUPLED], [DECOUPLED, "optimizer.momentum=0.8"], 1),
        ([], ["optimizer.dampening=0.5"], 2),
        ([], ["optimizer.nesterov=true"], 1),
        ([], ["decay.normalized=true"], 20**0.5),  # λ/√steps
        (["optimizer=adam", DECOUPLED], ["optimizer=adamw"], 1),  # Adam by another name
        (["optimizer=adam", DECOUPLED], ["optimizer=adam", DECOUPLED, "lr=0.001"], 20),
        ([], ["seed=3", "evaluate=full", "diagnostics=[rank]", "ema=0.9", "precision=bf16"], 1),
    ],
)
def test_lambda_is_that_of_the_same_timescale(there, here, factor):
    found = carried(there, here)
    assert found.lam == pytest.approx(0.01 * factor, rel=1e-9)
    before, after = (of.run.epochs / d for of, d in ((found.there, found.total_there), (found.here, found.total)))
    assert after == pytest.approx(before, rel=1e-9)
    assert found.total == pytest.approx(found.lam * found.here.per_lambda, rel=1e-9)


def test_a_schedule_is_in_the_sum():
    found = carried([], ["schedule=linear", "schedule.warmup=0", "schedule.final=0"])
    steps = 20
    assert found.lam == pytest.approx(0.01 * steps / sum(1 - k / steps for k in range(steps)), rel=1e-9)


def test_there_and_back_gives_the_lambda_there_was():
    away = ["batch_size=80", "epochs=6", DECOUPLED, "lr=0.05", "data.train_size=100", "model.hidden=[4]"]
    there = carried([], away)
    assert carried(away, [], there.lam).lam == pytest.approx(0.01, rel=1e-9)


def test_the_same_setting_keeps_lambda_and_its_interval():
    found = carried([], ["seed=5"], 0.3, low=0.1, high=0.7)
    assert (found.lam, found.changes) == (0.3, ())
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.7))


def test_the_power_law_is_in_the_sizes_as_they_are_here(monkeypatch):
    exponents = dict(zip(CONSTANT_TAU, (0.5, 0.75, 0.25, -0.5, 0.6), strict=True))
    monkeypatch.setattr(transfer, "EXPONENTS", {size: Exponent(e, 0.0) for size, e in exponents.items()})
    one, other = known(), known("data.train_size=40", "epochs=8", "batch_size=8", "model.hidden=[32]", "lr=0.06")
    assert (one.sizes["images"], other.sizes["images"]) == (160, 40)
    sizes = (1 / 4) ** 0.5 * 2**0.75 * (1 / 4) ** 0.25 * (other.sizes["parameters"] / one.sizes["parameters"]) ** -0.5
    assert predict(best(), one, other).total == pytest.approx(0.01 * one.per_lambda * sizes * 3**0.6, rel=1e-12)
    fast = known("optimizer.momentum=0.95")  # 1/(1 − μ) is part of the lr
    assert predict(best(), one, fast).total == pytest.approx(0.01 * one.per_lambda * 2**0.6, rel=1e-9)


def test_the_interval_adds_what_was_as_good_to_what_the_rule_leaves_open(monkeypatch):
    monkeypatch.setattr(transfer, "SCATTER", 0.3)
    monkeypatch.setattr(transfer, "EXPONENTS", {size: Exponent(e, 0.4) for size, e in CONSTANT_TAU.items()})
    wide = 1.959963984540054
    rule = wide * math.hypot(0.3, 0.4 * math.log10(5))
    found = carried([], ["batch_size=160"], low=0.01 / 10**0.5, high=0.01 * 10**0.25)
    assert found.spread == pytest.approx(rule)
    assert math.log10(found.lam / found.low) == pytest.approx(math.hypot(rule, 0.5))
    assert math.log10(found.high / found.lam) == pytest.approx(math.hypot(rule, 0.25))
    alone = carried([], ["schedule=cosine"], low=0.01, high=0.01)  # no size changes: the scatter alone
    assert math.log10(alone.high / alone.lam) == pytest.approx(wide * 0.3)
    exact = carried([], [DECOUPLED], low=0.005, high=0.02)  # D says all that a coupling does
    assert (exact.low, exact.high, exact.spread) == (pytest.approx(0.05), pytest.approx(0.2), 0)
    assert (carried([], ["lr=0.04"]).low, carried([], ["lr=0.04"]).high) == (0, math.inf)


TUNE = "; wdrun tune finds λ anew"
NO_RULE = f"as in the runs there: no rule says how the best λ follows from it{TUNE}"


@pytest.mark.parametrize(
    ("there", "here", "sentence"),
    [
        ([], ["model=cnn"], "model=cnn: must be mlp, as in the runs there: λ does not carry over to another family of"),
        (
            [], ["optimizer=adam"],
            "optimizer=adam: must be sgd, as in the runs there: λ does not carry over to another family of optimizers",
        ),
        ([], ["decay=l1"], "decay=l1: must be l2, as in the runs there: λ of another regularizer is another quantity"),
        ([], ["augment=flip_crop"], f"augment=flip_crop: must be none, {NO_RULE}"),
        ([], ["label_smoothing=0.1"], f"label_smoothing=0.1: must be null, {NO_RULE}"),
        ([], ["model.dropout=0.5"], f"model.dropout=0.5: must be 0.0, {NO_RULE}"),
        ([], ["decay.scope=all"], f"decay.scope=all: must be auto, {NO_RULE}"),
        ([], ["data.label_noise=0.3"], f"data.label_noise=0.3: must be 0.1, {NO_RULE}"),
        (["optimizer=muon"], ["optimizer=muon", "optimizer.momentum=0.5"], "optimizer.momentum=0.5: must be 0.95, as"),
        (
            ["decay=cautious"], [],
            "decay.coupling=coupled: must be cautious, as in the runs there: what cautious takes of a weight has no "
            f"formula that others share{TUNE}",
        ),
        ([], ["decay.coupling=projected"], "decay.coupling=projected: must be coupled, as in the runs there: what pro"),
    ],
)  # fmt: skip
def test_what_no_rule_is_known_for_is_refused_before_any_data_are_read(there, here, sentence):
    base = [word for word in BASE if "hidden" not in word]
    one, other = (runs.run(*words, base=base) for words in (there, here))
    with pytest.raises(ConfigError) as error:
        changes(one, other)
    assert str(error.value).startswith(sentence)
    assert str(error.value).endswith(TUNE)


def test_other_data_are_refused():
    run = runs.run(base=BASE)
    for key, value in (("name", "cifar10"), ("digest", "abcdefghijkl"), ("seed", 1)):
        with pytest.raises(ConfigError, match=f"^data{'' if key == 'name' else '.' + key}={value}: must be "):
            changes(run, replace(run, data={**run.data, key: value}))


def test_of_a_model_of_ones_own_another_class_and_a_key_that_is_no_width_are_refused():
    own = replace(runs.run(base=BASE), model={"name": "Net", "_target_": "mine.Net", "wide": 8, "drop": 0.1})
    with pytest.raises(ConfigError, match=r"^model\._target_=other\.Net: must be mine\.Net, as in the runs there: λ "):
        changes(own, replace(own, model={**own.model, "_target_": "other.Net"}))
    there = Facts(own, 160, {"a": (4, 8)}, 2.0)
    wide = Facts(replace(own, model={**own.model, "wide": 16}), 160, {"a": (4, 16)}, 2.0)
    assert predict(best(), there, wide).changes == (("model.wide", "8", "16"),)
    with pytest.raises(ConfigError, match=f"^model.drop=0.5: must be 0.1, {NO_RULE}$"):
        predict(best(), there, replace(there, run=replace(own, model={**own.model, "drop": 0.5})))


def test_another_number_of_layers_is_refused():
    with pytest.raises(ConfigError) as error:
        carried([], ["model.hidden=[8,8]"])
    assert str(error.value) == (
        "model.hidden=[8,8]: must give as many layers as [8] in the runs there: the rule is one of their width" + TUNE
    )


def test_decay_without_a_total_is_refused():
    one, other = (known("optimizer=adam", *words) for words in ([], [DECOUPLED]))
    with pytest.raises(ConfigError) as error:
        predict(best(), one, other)
    assert str(error.value) == (f"l2, coupled, under adam: has no total decay D there, so no rule carries its λ{TUNE}")
    with pytest.raises(ConfigError) as error:
        predict(best(), other, one)
    assert str(error.value).endswith(
        "has no total decay D here, so no rule carries its λ; decay.coupling=decoupled has one"
    )


def test_what_was_refused_there_is_refused_here():
    with pytest.raises(ConfigError, match="λ = 0 was best"):
        predict(replace(best(), refused="λ = 0 was best"), known(), known())


@pytest.mark.parametrize(
    ("optimizer", "lr"), [("sgd", 0.16), ("adam", 0.02 * 8**0.5), ("adamw", 0.02 * 8**0.5), ("rmsprop", 0.02 * 8**0.5)]
)
def test_lr_goes_with_the_batch(optimizer, lr):
    found, how = scaled_lr(runs.run(f"optimizer={optimizer}", base=BASE), 256)
    assert found == pytest.approx(lr, rel=1e-12)
    assert f"under {optimizer}" in how


def test_lr_of_another_optimizer_has_no_rule():
    with pytest.raises(ConfigError, match="no rule says how lr goes with the batch under lion; give lr="):
        scaled_lr(runs.run("optimizer=lion", base=BASE), 256)


def test_the_rule_that_is_shipped_has_a_number_for_each_size():
    assert {*EXPONENTS} == {*known().sizes}
    assert all(exponent.error >= 0 for exponent in EXPONENTS.values())
