"""wdrun bench: the table's arithmetic, the FLOP count, and the plain loop it measures against."""

import re

import pytest
import torch.nn.functional as F

from tests.bench import hessian
from wdrun import bench
from wdrun.bench import plain, rows
from wdrun.config import experiments
from wdrun.errors import ConfigError
from wdrun.sweep.one_run import ready

SMALL = ["data=synthetic", "data.train_size=256", "threads=1", "batch_size=32"]


def test_a_row_holds_medians_ratios_and_the_share_of_the_peak():
    pairs = [(300.0, 100.0), (200.0, 100.0), (900.0, 100.0)]
    row = bench.cells("work", pairs, flops=1e9, peak=6e11)
    assert row == ("work", "300", "100", "3.00 (2.00 to 9.00)", "300", "50%")
    lines = bench.table([row])
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r"\|(-+\|)+", lines[1])


def test_flops_of_a_linear_model_are_counted():
    (job,) = experiments.jobs([*SMALL, "model=linear", "precision=fp32"], False)
    forward = 2 * 3072 * 10
    assert rows.flops_per_image(ready(job.run)) == 2 * forward  # and the weight gradient, the same product


def test_flops_of_the_cnn_are_those_of_its_shapes():
    (job,) = experiments.jobs([*SMALL, "model=cnn", "precision=fp32"], False)
    conv1, conv2 = 28 * 28 * 64 * 75, 10 * 10 * 64 * 1600
    fc1, fc2 = 1600 * 128, 128 * 10
    # forward, weight gradient, and the gradient of the input but for the first convolution
    assert rows.flops_per_image(ready(job.run)) == 2 * (2 * conv1 + 3 * (conv2 + fc1 + fc2))


@pytest.mark.parametrize("model", ["model=mlp", "model=cnn"])
def test_pairs_are_measured_in_two_processes(model, monkeypatch):
    monkeypatch.setattr(rows, "SECONDS", 0.05)
    monkeypatch.setattr(rows, "EDGES", (64,))
    title, pairs, flops, peak = rows.measure([*SMALL, model, "precision=fp32"], rounds=2)
    assert title == f"{model.removeprefix('model=')}, flip_crop, batch 32, fp32, 1 thread"
    assert len(pairs) == 2
    assert all(rate > 0 for pair in pairs for rate in pair)
    assert flops > 0
    assert peak > 0


@pytest.mark.parametrize("augment", ["flip_crop", "mixup", "cutmix"])
def test_the_plain_loop_has_the_recipe_of_the_run(augment, monkeypatch):
    """Border, flip, mixed images and smoothed labels as torchvision and torch have them."""
    words = ["model=linear", "device=cpu", "augment.pad_mode=reflect", "augment.flip=alternate", "label_smoothing=0.1"]
    (job,) = experiments.jobs([*SMALL, *words, f"augment={augment}"], False)
    loop, given, true = plain.Loop(job.run), [], F.cross_entropy
    monkeypatch.setattr(F, "cross_entropy", lambda *of, **more: given.append((of[1], more)) or true(*of, **more))
    assert loop.images_per_second(0.0) > 0
    crop, flip, *_ = loop.loader.dataset.dataset.transform.transforms
    assert (crop.padding, crop.padding_mode, type(flip).__name__) == (4, "reflect", "RandomHorizontalFlip")
    ((y, more),) = given
    assert more == {"label_smoothing": 0.1}
    assert y.shape == ((32,) if augment == "flip_crop" else (32, 10))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rounds=0"], "rounds=0: must be a whole number ≥ 1"),
        (["rounds=x"], "rounds=x: must be a whole number ≥ 1"),
        (["data=regression", "model=linear"], "data=regression: the plain loop is one over images"),
        (["experiment=decay_curve"], "experiment=decay_curve: is a sweep; wdrun bench times one run"),
    ],
)
def test_what_cannot_be_timed_is_one_line(words, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        bench.command(words, {"config_dir": None})


def test_the_bench_of_the_hessian_measures_one():
    assert sum(p.numel() for p in hessian.ResNet20().parameters()) == 269_722  # as in the paper's table: 0.27 million
    small = ("model._target_=tests.training.networks.Base", "threads=1", "device=cpu")
    seconds, before, after, found = hessian.measured(*small, examples=64)
    assert seconds > 0
    assert after >= before > 0
    assert found.keys() == {"hessian_trace", "hessian_trace_error", "hessian_top"}
