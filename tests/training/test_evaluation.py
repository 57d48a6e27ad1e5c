"""Scores, corruptions and attacks by hand on small inputs; deterministic in the seed, and off by default."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from tests import runs
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.errors import ConfigError
from wdrun.sweep.execute import execute
from wdrun.training.evaluation import ATTACKS
from wdrun.training.evaluation.attacks import fgsm, pgd
from wdrun.training.evaluation.corruptions import CORRUPTIONS, corrupt
from wdrun.training.evaluation.scores import score

TINY = ["data=synthetic", "data.train_examples=1000", "data.test_examples=150", "epochs=2", "model=cnn"]
TINY += ["model.channels=[8,8]", "model.width=16", "precision=fp32", "threads=1", "lr=0.05", "lambda=1e-3"]
trainer = partial(runs.trainer, base=TINY)
FEW = ["evaluate=full", "evaluate.gaussian_noise=[0.1,0.5]", "evaluate.fgsm=[2]", "evaluate.pgd=[2]"]
FEW += ["evaluate.blur=[1]", "evaluate.brightness=[1.5]", "evaluate.contrast=[0.3]", "evaluate.attack_examples=40"]


def logits_of(probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_scores_by_hand():
    """Three examples, three classes; two of them share a calibration bin."""
    p = [[0.7, 0.2, 0.1], [0.3, 0.69, 0.01], [0.05, 0.05, 0.9]]
    y = torch.tensor([0, 0, 2])
    found = score([(logits_of(p[:2]), y[:2]), (logits_of(p[2:]), y[2:])], calibration=True)
    assert found["data_loss"] == pytest.approx(-(math.log(0.7) + math.log(0.3) + math.log(0.9)) / 3)
    assert found["accuracy"] == 2 / 3
    assert found["examples"] == 3
    brier = (0.09 + 0.04 + 0.01) + (0.49 + 0.69**2 + 0.0001) + (0.0025 + 0.0025 + 0.01)
    assert found["brier"] == pytest.approx(brier / 3)
    margins = math.log(0.7 / 0.2) + math.log(0.3 / 0.69) + math.log(0.9 / 0.05)
    assert found["margin"] == pytest.approx(margins / 3)
    # (10/15, 11/15] holds 0.7 (right) and 0.69 (wrong); 0.9 (right) is alone.
    assert found["ece"] == pytest.approx((abs(0.7 + 0.69 - 1) + abs(0.9 - 1)) / 3)


def test_calibration_error_of_the_sure_and_the_honest():
    sure_and_wrong = score([(torch.tensor([[50.0, 0.0]] * 4), torch.tensor([1, 1, 1, 1]))], True)
    assert sure_and_wrong["ece"] == pytest.approx(1.0)
    assert sure_and_wrong["brier"] == pytest.approx(2.0)
    honest = score([(logits_of([[0.75, 0.25]] * 4), torch.tensor([0, 0, 0, 1]))], True)
    assert honest["ece"] == pytest.approx(0.0, abs=1e-12)


def test_scores_do_not_depend_on_the_batches():
    source = torch.Generator().manual_seed(0)
    z, y = torch.randn(50, 10, generator=source, dtype=torch.float64), torch.randint(10, (50,), generator=source)
    whole = score([(z, y)], True)
    parts = score(zip(z.split(7), y.split(7), strict=True), True)
    assert parts == {name: pytest.approx(value, rel=1e-12) for name, value in whole.items()}


def images(n=16):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("name", "nothing"),
    [("gaussian_noise", 0.0), ("blur", 0.0), ("blur", 1e-3), ("brightness", 1.0), ("contrast", 1.0)],
)
def test_strength_zero_is_the_image(name, nothing):
    torch.testing.assert_close(corrupt(name, images(), nothing, 1), images(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_farther_from_the_image(name):
    strengths = trainer("evaluate=robustness").run.evaluate[name]
    assert len(strengths) == 5
    corrupted = [corrupt(name, images(), strength, 1) for strength in strengths]
    distances = [(x - images()).norm().item() for x in corrupted]
    assert distances[0] > 0
    assert distances == sorted(distances)
    assert all(x.min() >= 0 and x.max() <= 1 and x.shape == images().shape for x in corrupted)


def test_noise_is_the_seeds_and_the_generator_stays():
    torch.manual_seed(9)
    before = torch.get_rng_state()
    a, b, c = (corrupt("gaussian_noise", images(), 0.1, seed) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), before)


def test_blur_and_contrast_by_hand():
    point = torch.zeros(1, 3, 9, 9)
    point[..., 4, 4] = 1
    kernel = torch.exp(-0.5 * (torch.arange(-4, 5) / 0.8) ** 2)
    kernel = kernel / kernel.sum()
    torch.testing.assert_close(corrupt("blur", point, 0.8, 0)[0, 0], torch.outer(kernel, kernel), rtol=0, atol=1e-6)
    grey = torch.full((1, 3, 4, 4), 0.25)
    grey[..., :2] = 0.75
    torch.testing.assert_close(corrupt("contrast", grey, 0.5, 0), 0.5 + 0.5 * (grey - 0.5), rtol=0, atol=1e-3)


def linear_classifier():
    weights = torch.randn(4, 3 * 6 * 6, generator=torch.Generator().manual_seed(3))
    return weights, lambda x: F.linear(x.flatten(1), weights)


def small_images():
    source = torch.Generator().manual_seed(4)
    return torch.rand(8, 3, 6, 6, generator=source), torch.randint(4, (8,), generator=source)


def test_fgsm_is_the_gradients_sign_by_hand():
    """Of a linear classifier ∇ₓL = Wᵀ(p − onehot)."""
    weights, classify = linear_classifier()
    x, y = small_images()
    p = classify(x).softmax(-1)
    gradient = ((p - F.one_hot(y, 4)) @ weights).view_as(x)
    moved = fgsm(classify, x, y, 0.1)
    torch.testing.assert_close(moved, (x + 0.1 * gradient.sign()).clamp(0, 1), rtol=0, atol=0)
    assert moved.min() == 0
    assert moved.max() == 1
    assert (moved - x).abs().max() <= 0.1 + 1e-6


@pytest.mark.parametrize("epsilon", [0.02, 0.3])
def test_pgd_stays_in_the_ball_and_repeats(epsilon):
    _, classify = linear_classifier()
    x, y = small_images()
    a, b = (pgd(classify, x, y, epsilon, 5, epsilon, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.min() >= 0
    assert a.max() <= 1
    assert (a - x).abs().max() <= epsilon + 1e-6
    start = pgd(classify, x, y, epsilon, 0, epsilon, torch.Generator().manual_seed(1))
    assert 0 < (start - x).abs().max() <= epsilon + 1e-6
    assert F.cross_entropy(classify(a), y) > F.cross_entropy(classify(start), y)


@pytest.fixture(scope="module")
def trained():
    return runs.trained(trainer("epochs=4", "evaluate=full", "evaluate.attack_examples=100"))[-1]


def test_one_row_a_corruption_and_severity(trained):
    options = trainer("evaluate=full").run.evaluate
    test = [row for row in trained.metrics if row["split"] == "test"]
    expected = [("", 0, None)]
    for name in (*CORRUPTIONS, *ATTACKS):
        expected += [(name, i, float(s)) for i, s in enumerate(options[name], start=1)]
    assert [(row["corruption"], row["severity"], row.get("strength")) for row in test] == expected
    assert [row["split"] for row in trained.metrics[:3]] == ["train", "val", "test"]
    assert {row["epoch"] for row in trained.metrics} == {4}
    assert all(row["examples"] == (100 if row["corruption"] in ATTACKS else 150) for row in test)
    assert all(0 <= row["ece"] <= 1 and 0 <= row["brier"] <= 2 for row in test)


def test_pgd_is_at_least_as_strong_as_fgsm_and_grows(trained):
    loss = {(row["corruption"], row["severity"]): row["data_loss"] for row in trained.metrics if row["split"] == "test"}
    for severity in (1, 2, 3, 4):
        assert loss["pgd", severity] >= loss["fgsm", severity] - 1e-4 > loss["", 0]
    assert [loss["pgd", s] for s in (1, 2, 3, 4)] == sorted(loss["pgd", s] for s in (1, 2, 3, 4))


@pytest.mark.parametrize("words", [(), ("precision=bf16", "model.norm=batch"), ("early_stopping.patience=1",)], ids=str)
def test_evaluated_again_it_is_the_same_bits(words):
    first, second = (runs.trained(trainer(*FEW, *words))[-1] for _ in range(2))
    assert first.metrics == second.metrics
    assert len(first.metrics) == 10


def test_the_clean_pixels_of_an_attack_are_those_of_training():
    ready = trainer("precision=fp64", "evaluate=robustness", "evaluate.brightness=[1]", "model.norm=batch")
    state = ready.initial().tensors
    params = {n.removeprefix("params/"): w for n, w in state.items() if n.startswith("params/")}
    buffers = {n.removeprefix("buffers/"): w for n, w in state.items() if n.startswith("buffers/")}
    before = {n: b.clone() for n, b in buffers.items()}
    clean = ready.evaluator.clean("test", params, buffers)
    (same,) = [r for r in ready.evaluator.shifted("test", params, buffers) if r["corruption"] == "brightness"]
    assert same["accuracy"] == clean["accuracy"]
    assert same["data_loss"] == pytest.approx(clean["data_loss"], rel=1e-6)
    assert all(torch.equal(b, buffers[n]) for n, b in before.items())


def test_the_default_adds_nothing(tmp_path):
    epochs = list(trainer().train())
    assert [[row["split"] for row in e.metrics] for e in epochs] == [["train", "val"], ["train", "val", "test"]]
    assert all(
        "ece" not in row and row["corruption"] == "" and row["severity"] == 0 for e in epochs for row in e.metrics
    )


def test_the_runs_row_keeps_the_clean_scores(tmp_path):
    jobs = [parse(compose([*TINY, *words, f"output_dir={tmp_path}"])) for words in ([], FEW)]
    plain, full = (outcome.row for outcome in execute(jobs))
    for column in ("test_loss", "test_accuracy", "val_loss", "val_accuracy"):
        assert plain[column] == full[column]


@pytest.mark.parametrize(
    "word",
    ["evaluate.blur=2", "evaluate.blur=[-1]", "evaluate.pgd_steps=0", "evaluate.calibration=1", "evaluate.fgsm=[x]"],
)
def test_what_an_option_does_not_accept_is_one_line(word):
    with pytest.raises(ConfigError, match=r"^evaluate\.\w+=.*: must be .*$") as error:
        trainer(word)
    assert "\n" not in str(error.value)


def test_an_option_it_does_not_know_is_named():
    with pytest.raises(ConfigError, match=r"^evaluate\.pgd_step: unknown key; did you mean evaluate\.pgd_steps\?$"):
        trainer("+evaluate.pgd_step=3")
