"""A user's own network from Python: what `module()` and `state_dict()` give back, and what no folder is made for."""

import pytest
import torch

import wdrun
from tests.training import networks
from wdrun import data
from wdrun.errors import ConfigError

HERE = "model._target_=tests.training.networks."
WORDS = (
    *("data=synthetic", "data.train_examples=200", "data.test_examples=100", "batch_size=32", "epochs=2", "threads=1"),
    *("precision=fp32", "device=cpu", "lr=0.05", "lambda=0.01"),
)
pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:.*torch.jit")
KEPT = ["Projected", "Scaled", "Tied", "Shared", "NotSaved", "ExtraState", "FourierFilter", "Frozen", "SinCos", "Lazy",
        "NumpyInit", "WeightNorm", "SpectralNorm", "Causal", "Momentum", "dense_net", "vit", "FrozenInTrain",
        "FrozenWithoutReturn", "Pruned", "scripted", "Turned"]  # fmt: skip


def run(here, name, *words, **options):
    return wdrun.run(f"{HERE}{name}", *WORDS, f"output_dir={here}", *words, quiet=True, **options)


def scores(model, definition):
    """Accuracy and mean loss on the test split, by plain torch."""
    dataset = data.load(definition.data, definition.fold)
    split = dataset.splits["test"]
    mean, std = (torch.tensor(of).view(-1, 1, 1) for of in (dataset.mean, dataset.std))
    x = (split.inputs[split.rows].permute(0, 3, 1, 2).contiguous().float() / 255 - mean) / std
    y = split.targets[split.rows]
    with torch.no_grad():
        outputs = model(x)
    return (outputs.argmax(1) == y).float().mean().item(), torch.nn.functional.cross_entropy(outputs, y).item()


@pytest.mark.parametrize("name", KEPT)
def test_the_module_is_the_one_that_was_trained_and_its_state_fits_the_users_class(name, here):
    result = run(here, name, "seed=3")
    row = result.run.iloc[0]
    model = result.module()
    assert scores(model, result.definition) == pytest.approx((row["test_accuracy"], row["test_loss"]), rel=1e-5)
    own = getattr(networks, name)()
    own.load_state_dict(result.state_dict())  # strict
    assert own.state_dict().keys() == model.state_dict().keys()
    for key, w in model.state_dict().items():
        assert torch.equal(own.state_dict()[key], w) if isinstance(w, torch.Tensor) else own.state_dict()[key] == w
    best = result.state_dict("best")
    assert best.keys() == own.state_dict().keys()


def test_a_plain_attribute_that_forward_changed_is_as_built(here):
    """All tensors and extra state are as trained; the number of calls that forward counts is not among them."""
    assert run(here, "Watched").module().calls == networks.Watched().calls == 0


def test_each_run_of_a_sweep_has_what_its_own_seed_drew(here):
    words = (f"{HERE}Projected", *WORDS, f"output_dir={here}", "seed=0,1", "fuse=true")
    wdrun.sweep(*words, quiet=True)
    for seed in (0, 1):
        result = run(here, "Projected", f"seed={seed}")
        row = result.run.iloc[0]
        expected = (row["test_accuracy"], row["test_loss"])
        assert scores(result.module(), result.definition) == pytest.approx(expected, rel=1e-5)


def test_what_numpy_draws_is_the_runs_own_side_by_side_too(here):
    words = (f"{HERE}NumpyNoise", *WORDS, "seed=0,1")
    alone = wdrun.sweep(*words, f"output_dir={here / 'one'}", quiet=True).runs
    beside = wdrun.sweep(*words, f"output_dir={here / 'two'}", "parallel=2", quiet=True).runs
    columns = ["seed", "train_loss", "val_loss", "test_loss", "norm_end"]
    assert alone[columns].equals(beside[columns])
    assert alone["test_loss"].nunique() == 2


def test_a_sweep_of_a_network_that_cannot_train_creates_nothing(here):
    with pytest.raises(ConfigError, match=r"its output is a tuple"):
        wdrun.sweep(f"{HERE}Pair", *WORDS, f"output_dir={here / 'runs'}", seed=[0, 1], quiet=True)
    assert not (here / "runs").exists()


def test_what_is_frozen_is_not_counted_as_trained(here):
    result = run(here, "Frozen")
    assert result.run.iloc[0]["parameters"] == 90
    assert set(result.layers["parameter"]) == {"head.weight", "head.bias"}
    fresh = networks.Frozen()
    torch.testing.assert_close(result.module().stem.weight.std(), fresh.stem.weight.std(), rtol=0.5, atol=0)


def test_weights_are_measured_again_as_they_were_when_trained(here):
    for name in ("FourierFilter", "ExtraState", "NotSaved", "Drawn", "Tied", "Projected"):
        result = run(here, name)
        found = wdrun.evaluate(result.directory, evaluate="calibration")
        test = found[found["split"] == "test"].iloc[0]
        row = result.run.iloc[0]
        assert (test["data_loss"], test["accuracy"]) == (row["test_loss"], row["test_accuracy"]), name
