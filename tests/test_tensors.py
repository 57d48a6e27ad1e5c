"""a·x + y, of a number and of a tensor; what counts as off."""

import pytest
import torch

from wdrun.tensors import axpy, is_off


@pytest.mark.parametrize("a", [2.0, torch.tensor(2.0), torch.tensor(2.0, dtype=torch.float64)])
def test_axpy_keeps_the_type_of_its_tensors(a):
    x, y = torch.tensor([1.0, -3.0]), torch.tensor([0.5, 1.0])
    found = axpy(a, x, y)
    assert found.dtype == torch.float32
    assert found.tolist() == [2.5, -5.0]


def test_axpy_lifts_over_runs_of_different_a():
    x, y = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [1.0]])
    a = torch.tensor([2.0, -1.0], dtype=torch.float64)
    assert torch.func.vmap(axpy)(a, x, y).tolist() == [[3.0], [0.0]]


@pytest.mark.parametrize(("number", "off"), [(0.0, True), (-0.0, True), (0, True), (1e-300, False)])
def test_a_number_is_off_when_it_is_zero(number, off):
    assert is_off(number) is off


def test_a_tensor_is_never_off():
    assert not is_off(torch.zeros(()))
