"""A user's own network beside a loop of plain torch: the same batches give the same losses, gradients and weights."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import wdrun
from tests import runs
from tests.training import networks
from wdrun import models
from wdrun.errors import ConfigError
from wdrun.streams import seeded, stream_seed
from wdrun.training import fused, network

HERE = "model._target_=tests.training.networks."
BASE = (
    *("data=synthetic", "data.train_examples=200", "data.test_examples=20", "batch_size=32", "epochs=1", "threads=1"),
    *("schedule=constant", "decay.exclude_1d=false", "device=cpu"),
)
SGD = ("optimizer=sgd", "lr=0.05", "lambda=0.01")
TRAINS = [
    *("Flat", "ViewBehindConv", "ResNet", "Checkpointed", "Reentrant", "dense_net", "shuffle_net", "mobile_net", "vit"),
    *("Frozen", "SinCos", "EvalNorm", "Unused", "Halved", "Accumulated", "ForwardHook", "BackwardHook"),
    *("GradientReversal", "Centred", "NotSaved", "Standardised", "Projected", "Scaled", "Tied", "Shared", "ExtraState"),
    *("FourierFilter", "Rotary", "Paired", "NumpyInit", "NumpyNoise", "Drawn", "Dropped", "MapDropout", "Lazy"),
    *("Whole", "Embedded", "MaxNorm", "Video", "Lines", "WeightNorm", "SpectralNorm", "Mixer", "ConvNext"),
    *("SqueezeExcite", "Causal", "InstanceNorm", "Listed", "Momentum", "Memorised", "Watched", "sequential"),
]  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:.*use_reentrant", "ignore:None of the inputs")


def trainer(name, *words):
    return runs.trainer(f"{HERE}{name}", *words, base=BASE)


def loop(ours, optimizer, clip=None):
    """The run's first epoch by plain torch: its losses, and the module after it."""
    run, machine = ours.run, ours.machine
    with seeded(stream_seed(run.seed, "init"), own=True):
        model = getattr(networks, run.model["name"])()
        if run.model["name"] == "Lazy":
            model.eval()(torch.zeros(2, 3, 32, 32))
    model = network.place(model, machine.device, machine.dtype, channels_last=False).train()
    steps = optimizer(model.parameters())
    losses = []
    with seeded(stream_seed(run.seed, "model", 1), own=True):
        for x, y in ours.train_batches.epoch(run.seed, 1):
            steps.zero_grad()
            loss = F.cross_entropy(model(x.contiguous()), y)
            loss.backward()
            for p in model.parameters():
                if p.grad is not None and p.grad.is_sparse:
                    p.grad = p.grad.to_dense()
            if clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            steps.step()
            losses.append(loss.item())
    return losses, model


def agrees(ours, optimizer, tolerance, clip=None):
    (epoch,) = ours.train()
    losses, model = loop(ours, optimizer, clip)
    assert len(losses) >= 5
    assert epoch.metrics[0]["data_loss"] == pytest.approx(np.mean(losses), rel=tolerance)
    params, kept = network.trained(model), network.kept(model)
    tensors = epoch.state.tensors
    assert {n.removeprefix("params/") for n in tensors if n.startswith("params/")} == params.keys()
    assert {n.removeprefix("buffers/") for n in tensors if n.startswith("buffers/")} == kept.keys()
    for name, w in params.items():
        torch.testing.assert_close(tensors[f"params/{name}"], w, rtol=tolerance, atol=tolerance, msg=name)
    for name, w in kept.items():
        torch.testing.assert_close(tensors[f"buffers/{name}"], w, rtol=tolerance, atol=tolerance, msg=name)


def sgd(params):
    return torch.optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=0.01)


@pytest.mark.parametrize("name", TRAINS)
def test_trains_as_a_loop_in_torch(name):
    agrees(trainer(name, *SGD, "precision=fp32"), sgd, 1e-6 if name != "MaxNorm" else 1e-6)


@pytest.mark.parametrize("name", TRAINS)
def test_trains_as_a_loop_in_torch_to_the_last_digits(name):
    agrees(trainer(name, *SGD, "precision=fp64"), sgd, 1e-12)
