"""The step and the trainer: determinism, resume, divergence, early stopping, what counts as loss."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests import runs
from tests.runs import CNN, LEARNING, MLP


def trainer(*overrides):
    model = () if "model=cnn" in overrides else MLP
    return runs.trainer(*model, *overrides, base=LEARNING)


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def rows(epochs):
    return [row for epoch in epochs for row in (*epoch.metrics, *epoch.layers)]


@pytest.mark.parametrize(
    "words",
    [
        (),
        CNN,
        (*CNN, "model.norm=batch", "optimizer=adamw"),
        (*CNN, "model.norm=group", "augment=cutout"),
        (*CNN, "label_smoothing=0.1", "augment=flip_crop", "augment.flip=alternate", "augment.pad_mode=reflect"),
        ("model.dropout=0.5", "decay=l1", "decay.coupling=proximal"),
        ("optimizer=nadam", "decay=elastic_net", "schedule=warm_restarts"),
        ("optimizer=muon", "early_stopping.patience=1"),
    ],
    ids=" ".join,
)
def test_resumed_after_any_epoch_gives_the_same_bits(words):
    whole = list(trainer(*words).train())
    for after in whole[:-1]:
        rest = list(trainer(*words).train(after.state))
        same(rest[-1].state.tensors, whole[-1].state.tensors)
        assert rest[-1].state.values == whole[-1].state.values
        assert rows(rest) == rows(whole[after.number :])


def test_best_weights_keep_the_statistics_of_their_epoch():
    epochs = list(
        trainer(*CNN, "model.norm=batch", "lr=2", "epochs=6", "schedule=inverse_time", "schedule.rate=1").train()
    )
    best = epochs[-1].state.values["best_epoch"]
    assert best < 6
    at_best = epochs[best - 1].state.tensors["buffers/norm1.running_mean"]
    assert torch.equal(epochs[-1].state.tensors["best/norm1.running_mean"], at_best)


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(4)
    before = torch.get_rng_state()
    list(trainer("model.dropout=0.3", "epochs=1").train())
    assert torch.equal(torch.get_rng_state(), before)


def test_training_depends_on_the_seed_and_not_on_the_global_generator():
    torch.manual_seed(1)
    first = list(trainer("model.dropout=0.3").train())
    torch.manual_seed(2)
    second = list(trainer("model.dropout=0.3").train())
    same(first[-1].state.tensors, second[-1].state.tensors)
    other = list(trainer("model.dropout=0.3", "seed=1").train())
    assert not torch.equal(first[-1].state.tensors["params/fc1.weight"], other[-1].state.tensors["params/fc1.weight"])


def test_the_step_is_a_hand_written_loop_with_torch_sgd():
    """Three steps of the trainer's own batches through torch.optim.SGD with weight_decay, in float64."""
    ready = trainer(*CNN, "precision=fp64", "schedule=linear", "decay.exclude_1d=false", "epochs=1")
    epoch = next(iter(ready.train()))
    fresh = trainer(*CNN, "precision=fp64", "schedule=linear", "decay.exclude_1d=false", "epochs=1")
    model, seen = fresh.model.train(), 0
    twin = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-2)
    for x, y in fresh.train_batches.epoch(0, 1):
        twin.param_groups[0]["lr"] = 0.02 * (1 - seen / fresh.steps)
        twin.zero_grad()
        F.cross_entropy(model(x), y).backward()
        twin.step()
        seen += 1
    assert seen == fresh.steps == 5
    for name, p in model.named_parameters():
        torch.testing.assert_close(epoch.state.tensors[f"params/{name}"], p.detach(), rtol=0, atol=1e-12)


def test_evaluation_sees_every_example_once_and_changes_nothing():
    ready = trainer("model.norm=batch", "model.dropout=0.5")
    state = ready.initial()
    params = {n.removeprefix("params/"): w for n, w in state.tensors.items() if n.startswith("params/")}
    buffers = {n.removeprefix("buffers/"): w for n, w in state.tensors.items() if n.startswith("buffers/")}
    before = {n: b.clone() for n, b in buffers.items()}
    row = ready.evaluate("val", 1, params, buffers)
    same(before, buffers)
    split = ready.dataset.splits["val"]
    model = ready.model.eval()
    images = split.inputs[split.rows].permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (ready.dataset.mean, ready.dataset.std))
    logits = model((images - mean) / std)
    targets = split.targets[split.rows]
    assert row["accuracy"] == (logits.argmax(1) == targets).double().mean().item()
    assert row["data_loss"] == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-5)
    assert row["examples"] == len(split)


def test_evaluating_does_not_touch_training(monkeypatch):
    with_it = list(trainer("model.dropout=0.3").train())
    quiet = trainer("model.dropout=0.3")
    row = {"epoch": 1, "split": "val", "data_loss": 1.0, "accuracy": 0.5, "examples": 1}
    monkeypatch.setattr(quiet, "evaluate", lambda *of: row)
    without = list(quiet.train())
    for name, w in with_it[-1].state.tensors.items():
        if not name.startswith("best/"):
            assert torch.equal(w, without[-1].state.tensors[name]), name


def test_test_is_evaluated_once_at_the_end():
    splits = [[row["split"] for row in epoch.metrics] for epoch in trainer().train()]
    assert splits == [["train", "val"], ["train", "val"], ["train", "val", "test"]]


def test_early_stopping_stops_and_tests_the_best_weights():
    ready = trainer("early_stopping.patience=2", "epochs=30", "lr=0.2", "schedule=constant", "decay=none")
    epochs = list(ready.train())
    last, values = epochs[-1], epochs[-1].state.values
    assert last.status == "done"
    assert last.number == values["best_epoch"] + 2 < 30
    scores = [e.metrics[1]["accuracy"] for e in epochs]
    assert values["best_score"] == max(scores) == scores[values["best_epoch"] - 1]
    best = {n.removeprefix("best/"): w for n, w in last.state.tensors.items() if n.startswith("best/")}
    at_best = epochs[values["best_epoch"] - 1].state.tensors
    same(best, {n.removeprefix("params/"): w for n, w in at_best.items() if n.startswith("params/")})
    assert last.metrics[-1] == ready.evaluate("test", last.number, best, {})


def test_a_budget_at_another_lambda_needs_no_other_trainer():
    ready = trainer("decay.coupling=decoupled", "decay.schedule=linear", "schedule=cosine")
    by_hand = sum(k.lr * k.lam * k.lam_scales[0] for k in map(ready.knobs, range(1, ready.steps + 1)))
    assert ready.budget.total == pytest.approx(by_hand, rel=1e-12)
    assert ready.budget is ready.budget
    assert (
        ready.at(1.0).budget
        == trainer("decay.coupling=decoupled", "decay.schedule=linear", "schedule=cosine", "lambda=1").budget
    )
    assert ready.at(0.0).budget.verdict == "off"


def test_penalty_stands_apart_from_the_data_loss():
    ready = trainer("decay.scales=[[fc1*,0.5],[*,2]]")
    epoch = list(ready.train())[-1]
    weights = {n.removeprefix("params/"): w.double() for n, w in epoch.state.tensors.items() if n.startswith("params/")}
    by_hand = 1e-2 * sum(
        (0.5 if n.startswith("fc1") else 2) * 0.5 * w.square().sum().item() for n, w in weights.items()
    )
    for row in epoch.metrics:
        assert row["penalty"] == pytest.approx(by_hand, rel=1e-6)
        assert row["objective"] == row["data_loss"] + row["penalty"]
    assert all(row["penalty"] == 0.0 for e in trainer("lambda=0").train() for row in e.metrics)


@pytest.mark.parametrize(
    ("lr", "stable"), [(1.9, True), (2.1, False), (10.0, False), (1e5, False)], ids=["1.9", "2.1", "10", "1e5"]
)
def test_the_edge_of_divergence_is_lr_lambda_2(lr, stable):
    """Decoupled L2 alone (the gradient is clipped away): w ← (1 − ηλ)w grows without bound where ηλ > 2."""
    words = ("optimizer.momentum=0", "decay.coupling=decoupled", f"lr={lr}", "lambda=1", "optimizer.clip_value=1e-9")
    ready = trainer(*words, "decay.exclude_1d=false", "schedule=constant", "epochs=40", "data.train_examples=1000")
    epochs = list(ready.train())
    if stable:
        assert epochs[-1].status == "done"
        assert ready.decayed_norm(epochs[-1].state) < 1e-3
    else:
        assert epochs[-1].status == "diverged"
        late = ready.steps_per_epoch * (epochs[-1].number - 1)
        assert (late >= 100) if lr == 2.1 else (late < 30)


def test_divergence_names_the_first_bad_step_and_keeps_the_last_good_state():
    epochs = list(trainer("lr=1e12", "epochs=5", "schedule=constant").train())
    end = epochs[-1]
    assert end.status == "diverged"
    assert not end.metrics
    assert end.summary["epochs_done"] == end.number - 1
    assert "data loss is" in end.summary["cause"] or "is not finite" in end.summary["cause"]
    assert f"(epoch {end.number})" in end.summary["cause"]
    assert all(torch.isfinite(w).all() for w in end.state.tensors.values() if w.is_floating_point())


@pytest.mark.parametrize("bad", ["loss", "gradient", "weight", "buffer"])
def test_a_nan_anywhere_ends_the_run(bad, monkeypatch):
    ready = trainer("model.norm=batch", *CNN)
    kind, true = type(ready.step), type(ready.step).gradients
    calls = []

    def spoilt(self, params, buffers, x, y):
        calls.append(1)
        hit = len(calls) == 7
        if hit and bad == "weight":
            params = params | {"fc1.weight": params["fc1.weight"] * math.nan}
        if hit and bad == "buffer":
            buffers["norm1.running_mean"].fill_(math.nan)
        grads, loss, right = true(self, params, buffers, x, y)
        if hit and bad == "gradient":
            grads = grads | {"fc2.bias": grads["fc2.bias"] * math.nan}
        return grads, loss * math.nan if hit and bad == "loss" else loss, right

    monkeypatch.setattr(kind, "gradients", spoilt)
    end = list(ready.train())[-1]
    assert end.status == "diverged"
    assert end.number == 2
    if bad in ("loss", "weight"):
        assert end.summary["cause"] == "data loss is nan at step 7 (epoch 2)"


def test_batch_norm_statistics_are_trained_and_saved():
    ready = trainer(*CNN, "model.norm=batch")
    state = list(ready.train())[-1].state.tensors
    assert state["buffers/norm1.num_batches_tracked"].item() == ready.steps
    assert state["buffers/norm1.running_mean"].abs().sum() > 0


def test_layer_rows_measure_the_last_step():
    epoch = next(trainer("lambda=0", "optimizer.momentum=0", "schedule=constant").train())
    assert [row["parameter"] for row in epoch.layers] == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    for row in epoch.layers:
        assert row["last_update_norm"] == pytest.approx(0.02 * row["last_grad_norm"], rel=1e-3)
        assert row["last_effective_lr"] == pytest.approx(0.02 / row["l2_norm"] ** 2, rel=1e-6)


def test_bf16_computes_in_bf16_and_keeps_fp32_masters():
    ready = trainer("precision=bf16", *CNN)
    end = list(ready.train())[-1]
    assert ready.machine.input_dtype == torch.bfloat16
    assert {w.dtype for n, w in end.state.tensors.items() if n.startswith("params/")} == {torch.float32}
    assert end.metrics[0]["data_loss"] != list(trainer("precision=fp32", *CNN).train())[-1].metrics[0]["data_loss"]


@pytest.mark.parametrize("words", [CNN, (), ("augment=none", "model.hidden=[64]"), ("model.hidden=[300,8]",)])
def test_casting_once_a_step_is_autocast_of_all_but_small_products_bit_for_bit(words):
    ready = trainer("precision=bf16", *words)
    params = {n: p.detach() for n, p in ready.model.named_parameters()}
    x, y = next(ready.train_batches.epoch(0, 1))
    grads, loss, right = ready.step.gradients(params, {}, x, y)

    leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
    z = x
    for name, layer in ready.model.named_children():
        small = isinstance(layer, torch.nn.Linear) and len(x) * layer.weight.numel() < 2**20
        weights = {k: leaves[f"{name}.{k}"] for k, _ in layer.named_parameters()}
        with torch.autocast("cpu", torch.bfloat16, enabled=not small):
            z = torch.func.functional_call(layer, weights, (z.float() if small else z,))
    expected = torch.nn.functional.cross_entropy(z.float(), y)
    expected.backward()
    assert (loss.item(), right.item()) == (expected.item(), (z.argmax(-1) == y).sum().item())
    assert all(torch.equal(grads[n], leaf.grad) for n, leaf in leaves.items())
