"""Trace and top eigenvalue of a loss's Hessian H from products Hv alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wdrun.tensors import Tensors

PROBES, ITERATIONS, TOLERANCE = 32, 100, 1e-4


def curvature(
    loss: Callable[[Tensors], Tensor],
    params: Tensors,
    draws: torch.Generator,
    probes: int = PROBES,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> dict[str, float]:
    """tr H ≈ mean of vᵀHv over random signs v (Hutchinson 1990), with its standard error, and H's largest eigenvalue.

    The eigenvalue is found by power iteration, until its relative change is below `tolerance`. That gives the one of
    largest magnitude; where it is negative a second iteration, on H shifted by it, gives the largest. `loss` gives a
    scalar, twice differentiable in the parameters; `draws` is a CPU generator. Three columns of the run's row, all 0 of
    a loss that is linear.
    """
    leaves = {n: w.detach().requires_grad_() for n, w in params.items()}
    grads = torch.autograd.grad(loss(leaves), tuple(leaves.values()), create_graph=True, materialize_grads=True)
    flat = torch.cat([g.flatten() for g in grads])

    def product(v: Tensor) -> Tensor:
        parts = torch.autograd.grad(
            flat, tuple(leaves.values()), v, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([p.flatten() for p in parts])

    def top(shift: float) -> float:
        v = torch.randn(flat.numel(), generator=draws).to(flat)
        value = float("inf")
        for _ in range(iterations):
            v = v / torch.linalg.vector_norm(v)
            image = product(v) - shift * v
            previous, value = value, torch.dot(v, image).item()
            if abs(value - previous) <= tolerance * abs(value) or not image.any():
                break
            v = image
        return value + shift

    if not flat.requires_grad:  # a loss linear in the parameters
        return {"hessian_trace": 0.0, "hessian_trace_error": 0.0, "hessian_top": 0.0}
    signs = [torch.randint(2, (flat.numel(),), generator=draws).to(flat) * 2 - 1 for _ in range(probes)]
    samples = torch.stack([torch.dot(v, product(v)) for v in signs]).double()
    largest = top(0.0)
    return {
        "hessian_trace": samples.mean().item(),
        "hessian_trace_error": (samples.std() / probes**0.5).item(),
        "hessian_top": top(largest) if largest < 0 else largest,
    }
