"""The step: its loss and hits by hand, and what stands in which order within it."""

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from wdrun import optim
from wdrun.decay import Knobs, Rule
from wdrun.devices import Machine
from wdrun.training.step import Step, Training, accuracy, data_loss, hits

CPU64 = Machine(torch.device("cpu"), "fp64", 1)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_loss_is_the_mean_cross_entropy_and_a_hit_the_largest_logit():
    logits, labels = double([2.0, 1.0, 0.0], [0.0, 0.0, 0.0]), torch.tensor([1, 0])
    by_hand = (math.log(math.e**2 + math.e + 1) - 1 + math.log(3)) / 2
    assert data_loss(logits, labels).item() == pytest.approx(by_hand, rel=1e-15)
    assert hits(logits, labels).item() == 1  # of equals the first is the answer
    assert accuracy(1.0, 2) == 0.5


def test_a_bf16_loss_is_taken_in_float32():
    logits, labels = torch.tensor([[3.0, 1.0]]).bfloat16(), torch.tensor([0])
    assert data_loss(logits, labels).dtype == torch.float32
    assert torch.equal(data_loss(logits, labels), F.cross_entropy(logits.float(), labels))


def test_of_real_targets_the_loss_is_the_mean_squared_error_and_nothing_is_right():
    outputs, targets = double([1.0], [4.0]), double([0.0], [2.0])
    assert data_loss(outputs, targets).item() == 2.5
    assert math.isnan(hits(outputs, targets).item())
    assert accuracy(math.nan, 2) is None


def test_a_smoothed_label_gives_each_class_its_share_of_the_loss():
    """1 − ε + ε/K of the label, ε/K of every other class; timm and torch have the same convention."""
    logits, labels, epsilon = double([2.0, 1.0, 0.0], [0.0, 3.0, -1.0]), torch.tensor([1, 1]), 0.3
    logs = logits.log_softmax(-1)
    by_hand = -(0.8 * logs[:, 1] + 0.1 * logs[:, 0] + 0.1 * logs[:, 2]).mean()
    assert data_loss(logits, labels, epsilon).item() == pytest.approx(by_hand.item(), rel=1e-15)
    assert hits(logits, labels).item() == 1


def test_shares_of_the_classes_are_no_regression():
    logits = double([2.0, 1.0, 0.0], [0.0, 3.0, -1.0], [1.0, 0.0, 0.0])
    shares = torch.tensor([[0.25, 0.75, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    logs = logits.log_softmax(-1)
    assert data_loss(logits, shares, shares=True).item() == pytest.approx(-(shares * logs).sum().item() / 3, rel=1e-15)
    smoothed = 0.9 * shares.double() + 0.1 / 3
    found = data_loss(logits, shares, 0.1, shares=True).item()
    assert found == pytest.approx(-(smoothed * logs).sum().item() / 3, rel=1e-7)
    assert hits(logits, shares, shares=True).item() == 2  # the larger share's class; of equal ones the first
    labels = torch.tensor([1, 1, 0])
    assert torch.equal(data_loss(logits, labels, shares=True), data_loss(logits, labels))
    assert hits(logits, labels, shares=True).item() == 2


class Affine(nn.Module):
    """w·x and a parameter that nothing uses."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(double(1.0, 2.0))
        self.unused = nn.Parameter(double(5.0))

    def forward(self, x):
        return x @ self.w[:, None]


@dataclass(frozen=True)
class Noting(Rule):
    """Adds 1 to the gradient and 10 to the weights, and notes what it was given."""

    seen: list

    def init(self, params):
        return {"steps": torch.zeros(())}

    def before(self, grads, ctx):
        self.seen.append(("before", ctx))
        return {n: g + 1 for n, g in grads.items()}

    def after(self, new, ctx):
        self.seen.append(("after", ctx))
        return {n: w + 10 for n, w in new.items()}, {"steps": ctx.state["steps"] + 1}


def step_of(rule, norm=None, value=None):
    return Step(Affine(), rule, optim.Sgd(0.5, False), norm, value, CPU64)


def test_gradients_are_those_of_the_data_loss_and_zero_for_what_it_does_not_use():
    step = step_of(Rule())
    params = {n: p.detach() for n, p in step.model.named_parameters()}
    x, y = double([1.0, 0.0], [1.0, 1.0]), double([0.0], [1.0])  # outputs 1 and 3, errors 1 and 2
    grads, loss, right = step.gradients(params, {}, x, y)
    assert loss.item() == 2.5
    assert grads["w"].tolist() == [3.0, 2.0]  # mean of 2·error·x
    assert grads["unused"].tolist() == [0.0]
    assert math.isnan(right.item())
    assert not any(p.requires_grad and p.grad is not None for p in params.values())


def test_a_step_is_decay_then_clip_then_optimizer_then_decay():
    rule = Noting([])
    step = step_of(rule, value=2.0)
    w, memory = {"w": double(1.0, -1.0)}, {"b": {"w": double(0.0, 4.0)}}
    now, knobs = Training(w, memory, rule.init(w)), Knobs(0.3, 0.1, 1.0, (), 7)
    after = step.update(now, {"w": double(0.5, 3.0)}, knobs)
    (first, before), (second, later) = rule.seen
    assert (first, second) == ("before", "after")
    assert before.knobs is later.knobs is knobs
    assert (before.grads, before.updates) == ({}, {})
    assert later.params is before.params is w
    assert later.grads["w"].tolist() == [1.5, 2.0]  # (0.5, 3) + 1, clipped at 2
    assert later.updates["w"].tolist() == [1.5, 4.0]  # ½b + g
    torch.testing.assert_close(after.params["w"], double(11 - 0.15, 9 - 0.4), rtol=0, atol=1e-15)
    assert after.optimizer["b"]["w"].tolist() == [1.5, 4.0]
    assert after.decay["steps"].item() == 1
    assert now.params["w"].tolist() == [1.0, -1.0]  # what it was given stays as it was


def test_the_norm_is_clipped_over_all_tensors_together():
    rule = Noting([])
    step = step_of(rule, norm=1.0)
    w = {"w": double(0.0), "v": double(0.0)}
    memory = {"b": {n: double(0.0) for n in w}}
    step.update(Training(w, memory, rule.init(w)), {"w": double(2.0), "v": double(3.0)}, Knobs(0.0, 0.1, 1.0, (), 1))
    clipped = rule.seen[1][1].grads
    assert clipped["w"].item() == pytest.approx(3 / (5 + 1e-6), rel=1e-15)
    assert clipped["v"].item() == pytest.approx(4 / (5 + 1e-6), rel=1e-15)
