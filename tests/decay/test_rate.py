"""The rate: 1 for L2, the relative pull of others, None where no such number exists."""

import pytest
import torch

from wdrun.decay import Chain, Decay, Rule, rate
from wdrun.decay.l1 import L1
from wdrun.decay.l2 import L2
from wdrun.laws import weights


def test_rate_is_one_for_l2_and_the_relative_pull_for_l1():
    params = weights()
    scale = dict.fromkeys(params, 1.0)
    assert rate(Decay(L2(), "coupled", scale), params) == pytest.approx(1.0, abs=1e-15)
    flat = torch.cat([w.flatten() for w in params.values()])
    expected = flat.abs().sum().item() / flat.square().sum().item()
    assert rate(Decay(L1(), "coupled", scale), params) == pytest.approx(expected, rel=1e-12)
    assert rate(Decay(L1(), "coupled", {}), params) == 0.0


def test_a_part_of_a_tensor_counts_by_itself():
    w = weights()["fc.weight"]
    c = torch.zeros_like(w)
    c[:2] = 3.0
    rows = w[:2]
    assert rate(Decay(L1(), "coupled", {"w": c}), {"w": w}) == pytest.approx(
        3 * (rows.abs().sum() / rows.square().sum()).item(), rel=1e-12
    )


def test_a_bound_a_chain_and_a_rule_of_its_own_have_none():
    params = weights()
    l2 = Decay(L2(), "coupled", dict.fromkeys(params, 1.0))
    assert rate(Decay(L2(), "projected", dict.fromkeys(params, 1.0)), params) is None
    assert rate(Chain((l2,), (1.0,)), params) is None
    assert rate(Rule(), params) is None
