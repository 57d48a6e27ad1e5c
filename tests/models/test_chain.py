"""The forward pass of a chain of plain layers is that of the module."""

import pytest
import torch

from tests.models.networks import IMAGE, build
from wdrun import models


@pytest.mark.parametrize(
    "words", [("model=cnn",), ("model=mlp",), ("model=linear",), ("model=mlp", "model.norm=layer")]
)
def test_forward_is_functional_call_bit_for_bit(words):
    model = build(*words)
    params = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    x = torch.randn(4, *IMAGE)
    direct = models.forward(model, params, {}, x)
    assert torch.equal(direct, torch.func.functional_call(model, (params, {}), (x,)))
    seen = []
    handle = model[-1].register_forward_hook(lambda *given: seen.append(1))
    assert torch.equal(models.forward(model, params, {}, x), direct)
    handle.remove()
    assert seen == [1]
