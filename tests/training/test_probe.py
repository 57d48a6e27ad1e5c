"""The probe measures the total decay D: where that has a formula, the two agree."""

import math

import pytest
import torch

from tests.runs import CNN, LEARNING, MLP, trainer
from wdrun.training.probe import total_decays


def measured(trainer, lam):
    """D at a λ of the ladder."""
    return 10 ** dict(total_decays(trainer))[round(math.log10(lam))]


@pytest.mark.parametrize("words", [
    ("decay=decoupled", "optimizer=adam"), ("decay=decoupled",), ("decay=independent",),
    ("decay=decoupled", "optimizer=lion", "schedule=one_cycle"), ("decay=decoupled", "decay.schedule=linear"),
], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("model", [MLP, CNN], ids=["mlp", "cnn"])
def test_of_l2_after_the_optimizer_it_is_d_itself(words, model):
    one = trainer(*model, "lr=1e-3", *words, base=LEARNING)
    for lam in (1e-2, 1e-1):  # below, in float32, δ is rounding; above (1 − ηλ)ⁿ is not exp(−nηλ)
        if one.at(lam).budget.peak > 0.02:
            continue
        assert measured(one, lam) == pytest.approx(one.at(lam).budget.total, rel=0.05)


@pytest.mark.parametrize(
    "words", [("decay=l2",), ("decay=l1", "decay.coupling=proximal"), ("decay=huber",)], ids=" ".join
)
def test_of_other_rules_it_is_of_the_same_size(words):
    """Of 20 steps with momentum 0.9 the last ten hardly count, and an Ω that is not l2 pulls otherwise later on."""
    one = trainer(*MLP, *words, base=LEARNING)
    found = {k: total for k, total in total_decays(one) if -3 < total < -1}
    assert found
    for decade, total in found.items():
        assert 1 / 5 < 10**total / one.at(10.0**decade).budget.total < 5


def test_without_weights_in_its_scope_a_decay_does_nothing():
    assert total_decays(trainer(*MLP, "decay=l2", "decay.scales=[['*',0]]", "optimizer=adam", base=LEARNING)) == ()


def test_it_leaves_no_trace():
    one = trainer(*MLP, "decay=l2", "optimizer=adam", "model.dropout=0.1", base=LEARNING)
    before, state = {n: p.clone() for n, p in one.model.named_parameters()}, torch.get_rng_state()
    first = total_decays(one)
    assert first == total_decays(one)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(p, before[n]) for n, p in one.model.named_parameters())


@pytest.mark.parametrize("decay", ["l2_init", "target_norm", "cpr", "swd", "spd"])
def test_a_decay_with_a_memory_is_held_against_how_far_the_weights_came(decay):
    one = trainer(*MLP, f"decay={decay}", base=LEARNING)
    totals = [total for _, total in total_decays(one)]
    assert len(totals) > 3
    assert totals[:4] == sorted(totals[:4])


def test_a_chain_of_one_is_held_against_what_its_rule_is():
    """A memory that is not of where the weights were makes no difference to D, nor does being in a chain."""
    for name, coupling in (("alpha_decay", "coupled"), ("l2_init", "coupled"), ("spd", "independent")):
        term = f"decay.terms=[{{decay: {name}, coupling: {coupling}}}]"
        alone, chained = (
            trainer(*MLP, *words, "optimizer=adam", base=LEARNING)
            for words in ((f"decay={name}", f"decay.coupling={coupling}"), ("decay=chain", term))
        )
        assert total_decays(chained) == total_decays(alone) != ()


def test_of_a_projection_a_smaller_radius_takes_more():
    totals = [total for _, total in total_decays(trainer(*MLP, "decay=l2_ball", base=LEARNING))]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] > 0 > totals[-1]
