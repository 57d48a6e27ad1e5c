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


def test_axpy_of_what_is_spent_is_the_same_sum_in_its_place():
    """Where the two are laid out alike: else the sum would have another layout, which the last bits of norms follow."""
    x, y = torch.randn(2, 3, 5, 7)
    expected = axpy(0.3, x.clone(), y)
    found = axpy(0.3, x, y, spent=True)
    assert torch.equal(found, expected)
    assert found.data_ptr() == x.data_ptr()
    plain, other = torch.randn(4, 4), torch.randn(4, 4).t()
    assert axpy(0.3, other, plain, spent=True).stride() == axpy(0.3, other, plain).stride() == plain.stride()
