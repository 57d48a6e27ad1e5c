"""The articles' models: shapes and sizes, norms, dropout."""

import pytest
import torch
from torch import nn

from tests.models.networks import IMAGE, build
from wdrun import models


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("model=cnn",), 313_546),
        (("model=mlp",), 3072 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10),
        (("model=mlp", "model.hidden=[64]"), 3072 * 64 + 64 + 64 * 10 + 10),
        (("model=linear",), 30_730),
        (("model=cnn", "model.norm=batch"), 313_546 + 2 * (64 + 64 + 128)),
    ],
)
def test_sizes(words, parameters):
    model = build(*words)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.eval()(torch.zeros(2, *IMAGE)).shape == (2, 10)


def test_the_cnn_is_article_004s_with_relu_before_or_after_pooling():
    model, x = build("model=cnn"), torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(0))
    f = nn.functional
    h = f.max_pool2d(f.relu(model.conv1(x)), 2)
    h = f.max_pool2d(f.relu(model.conv2(h)), 2)
    assert h.shape == (4, 64, 5, 5)
    h = model.fc2(f.relu(model.fc1(h.flatten(1))))
    torch.testing.assert_close(model(x), h)


@pytest.mark.parametrize("norm", models.NORMS)
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_norms_normalise(name, norm):
    model = build(f"model={name}", f"model.norm={norm}", "model.dropout=0.5").train()
    x = torch.randn(32, *IMAGE, generator=torch.Generator().manual_seed(0))
    seen = {}
    for part, module in model.named_children():
        module.register_forward_hook(lambda m, i, out, part=part: seen.update({part: out}))
    model(x)
    layers = [part for part in seen if part.startswith("norm")]
    assert len(layers) == (0 if norm == "none" else {"mlp": 2, "cnn": 3}[name])
    for part in layers:
        over = {"batch": [0, *range(2, seen[part].ndim)]}.get(norm, list(range(1, seen[part].ndim)))
        torch.testing.assert_close(
            seen[part].mean(over), torch.zeros(()).expand_as(seen[part].mean(over)), atol=1e-5, rtol=0
        )
    assert sum(isinstance(m, nn.Dropout) for m in model.modules()) == {"mlp": 2, "cnn": 1}[name]
