"""State by name and back, and how a run stands: its best epoch, its early end, the weights for the test split."""

from types import SimpleNamespace

import pytest
import torch

from wdrun.training.state import Standing, State, flatten, laid_out, unflatten
from wdrun.training.step import Training


def at(value):
    """Parameters, memories and buffers that are all `value`."""
    params = {"fc.weight": torch.full((2, 3), value), "fc.bias": torch.full((2,), value)}
    memory = {"m": {n: w + 1 for n, w in params.items()}, "product": {"": torch.tensor(value)}}
    average = {"fc.weight": torch.full((2, 3), value / 2)}
    training = Training(params, memory, {"0.fc.weight": torch.tensor(value)}, average)
    return training, {"norm.running/mean": torch.tensor([value])}


def standing(patience=None, epochs=9, classes=10, state=None):
    run = SimpleNamespace(epochs=epochs, early_stopping={"patience": patience})
    start = State(flatten(*at(0.0)), {"epoch": 0, "best_epoch": None, "best_score": None})
    return Standing(run, classes, state or start)


def walk(one, accuracies, first=1):
    """Whether the run was over, after each epoch with these validation accuracies; epoch k has the weights k."""
    return [
        one.advance(k, *at(float(k)), {"accuracy": a, "data_loss": -a}) for k, a in enumerate(accuracies, start=first)
    ]


def same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(w, b[n]) for n, w in a.items())


def test_what_is_flattened_comes_back():
    training, buffers = at(2.0)
    flat = flatten(training, buffers)
    assert set(flat) == {
        *("params/fc.weight", "params/fc.bias", "optimizer/m/fc.weight", "optimizer/m/fc.bias"),
        *("optimizer/product/", "decay/0.fc.weight", "buffers/norm.running/mean", "average/fc.weight"),
    }
    again, beside = unflatten(flat | {"best/fc.weight": torch.zeros(2, 3)})
    same(again.params, training.params)
    same(again.decay, training.decay)
    same(again.average, training.average)
    assert again.optimizer.keys() == training.optimizer.keys()
    for slot, memory in training.optimizer.items():
        same(again.optimizer[slot], memory)
    same(beside, buffers)


def test_buffers_are_copies_both_ways():
    training, buffers = at(2.0)
    flat = flatten(training, buffers)
    _, beside = unflatten(flat)
    buffers["norm.running/mean"] += 1
    beside["norm.running/mean"] += 5
    assert flat["buffers/norm.running/mean"].item() == 2.0


def test_the_layout_is_that_of_training_and_the_values_stay():
    images = torch.arange(48.0).reshape(2, 3, 2, 4)
    state = laid_out(State({"params/conv": images, "params/fc": torch.ones(2, 3)}, {"epoch": 3}), channels_last=True)
    assert state.tensors["params/conv"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(state.tensors["params/conv"], images)
    assert state.values == {"epoch": 3}


def test_the_best_epoch_is_the_first_of_equals():
    one = standing()
    assert walk(one, [0.5, 0.7, 0.7, 0.6]) == [False] * 4
    assert one.state.values == {"epoch": 4, "best_epoch": 2, "best_score": 0.7}
    assert one.epochs_done == 4
    assert one.state.tensors["best/fc.bias"].tolist() == [2.0, 2.0]
    assert one.state.tensors["best/norm.running/mean"].tolist() == [2.0]
    assert one.state.tensors["params/fc.bias"].tolist() == [4.0, 4.0]


def test_a_regression_is_judged_by_its_loss():
    one = standing(classes=1)
    for k, loss in enumerate([0.5, 0.2, 0.3], start=1):
        one.advance(k, *at(float(k)), {"accuracy": None, "data_loss": loss})
    assert (one.state.values["best_epoch"], one.state.values["best_score"]) == (2, -0.2)


@pytest.mark.parametrize(
    ("patience", "over"), [(None, [False] * 5), (1, [False, False, True]), (2, [False, False, False, True])]
)
def test_patience_counts_from_the_best_epoch(patience, over):
    assert walk(standing(patience), [0.5, 0.7, 0.6, 0.6, 0.6][: len(over)]) == over


def test_the_last_epoch_ends_the_run():
    assert walk(standing(epochs=3), [0.1, 0.2, 0.3]) == [False, False, True]


@pytest.mark.parametrize(("patience", "chosen"), [(None, 3.0), (5, 1.0)])
def test_the_test_split_sees_the_last_weights_or_with_early_stopping_the_best(patience, chosen):
    one = standing(patience)
    walk(one, [0.9, 0.5, 0.6])
    params, buffers = one.to_test()
    same(params, at(chosen)[0].params)
    same(buffers, at(chosen)[1])


def test_the_best_weights_are_copies():
    one, (training, buffers) = standing(), at(1.0)
    one.advance(1, training, buffers, {"accuracy": 0.5, "data_loss": 1.0})
    for w in (*training.params.values(), *buffers.values()):
        w.add_(1)
    assert one.best["fc.bias"].tolist() == [1.0, 1.0]
    assert one.best["norm.running/mean"].tolist() == [1.0]


def test_a_run_goes_on_from_its_state_with_the_best_it_had():
    whole, parts = standing(2), standing(2)
    walk(whole, [0.5, 0.9, 0.6, 0.7])
    walk(parts, [0.5, 0.9, 0.6])
    rest = standing(2, state=parts.state)
    assert walk(rest, [0.7], first=4) == [True]
    assert rest.state.values == whole.state.values
    same(rest.state.tensors, whole.state.tensors)
