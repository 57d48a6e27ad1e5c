"""Trace and top eigenvalue of a loss's Hessian H from products Hv alone; B examples x, labels y."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from wdrun.tensors import Tensors

PROBES, ITERATIONS, TOLERANCE = 32, 100, 1e-4
# Up to these a Hessian is that of all examples at once: operations in a forward pass of one, and bytes of all of them.
WHOLE_FLOPS, WHOLE_BYTES = 5e7, 2 * 2**30
# Else examples are taken a few at a time, so that a graph of them keeps to these bytes, and no more of them than these
# operations of forward passes allow: on two cores 20 seconds, 256 examples of a ResNet-20.
PART_BYTES, FLOPS = 2**29, 2.4e11
# Of a model of a user's, which may be of any cost, all products together keep to them; an operation that is no product
# counts by what it gives, since reading and writing an element takes about as long as so many multiplications.
ELEMENT = 40
STEPS, CLOSE = 10, 1e-2  # of Lanczos' iteration, and the error of an eigenvalue at which it ends
GRAPH = 6  # a graph of second derivatives keeps about so many times what one of first derivatives does

Loss = Callable[[Tensors], Tensor]
LossOf = Callable[[Tensors, Tensor, Tensor], Tensor]  # of these examples
Told = Callable[[int, int], None]  # so many of so many products are done; it may raise to leave


def nobody(done: int, of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Plan:
    """How many examples a Hessian is measured on, and how many at a time; the same for a model on every machine."""

    examples: int
    at_once: int


class _Elements(TorchDispatchMode):
    """Counts the elements that operations give."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        self.total += sum(w.numel() for w in tree_leaves(given) if isinstance(w, Tensor))
        return given


def plan(loss: LossOf, params: Tensors, x: Tensor, y: Tensor, own: bool = False) -> Plan:
    """All examples at once where that is cheap; else as few at a time, and in all, as FLOPS and PART_BYTES allow.

    Told by the operations and the bytes kept in a forward pass of the first two. `own`: of a model of a user's.
    """
    kept = 0

    two = min(2, len(x))
    leaves = {n: w.detach().requires_grad_() for n, w in params.items()}
    ends = {w.data_ptr() for w in leaves.values()}  # which are kept once, however many examples there are

    def pack(w: Tensor) -> Tensor:
        nonlocal kept
        kept += 0 if w.data_ptr() in ends else w.numel() * w.element_size()
        return w

    elements = _Elements()
    with (
        elements,
        FlopCounterMode(display=False) as counter,
        torch.autograd.graph.saved_tensors_hooks(pack, lambda w: w),
    ):
        loss(leaves, x[:two], y[:two])
    flops, size = counter.get_total_flops() / two, GRAPH * kept / two
    whole = WHOLE_FLOPS
    if own:
        flops, whole = max(flops, ELEMENT * elements.total / two), FLOPS / (len(x) * (PROBES + ITERATIONS))
    if flops <= whole and size * len(x) <= WHOLE_BYTES:
        return Plan(len(x), len(x))
    most = int(FLOPS / ((STEPS + 1) * max(flops, 1)))
    parts = min(PROBES, len(x))
    examples = max(min(most, len(x)) // parts, 1) * parts
    return Plan(examples, max(1, min(int(PART_BYTES / max(size, 1)), examples // parts)))


def curvature(
    loss: Loss,
    params: Tensors,
    draws: torch.Generator,
    probes: int = PROBES,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    told: Told = nobody,
) -> dict[str, float]:
    """tr H ≈ mean of vᵀHv over random signs v (Hutchinson 1990), with its standard error, and H's largest eigenvalue.

    The eigenvalue is found by power iteration, until its relative change is below `tolerance`. That gives the one of
    largest magnitude; where it is negative a second iteration, on H shifted by it, gives the largest. `loss` gives a
    scalar, twice differentiable in the parameters; `draws` is a CPU generator. Three columns of the run's row, all 0 of
    a loss that is linear.
    """
    done, work = 0, probes + iterations
    leaves = {n: w.detach().requires_grad_() for n, w in params.items()}
    grads = torch.autograd.grad(loss(leaves), tuple(leaves.values()), create_graph=True, materialize_grads=True)
    flat = torch.cat([g.flatten() for g in grads])

    def product(v: Tensor) -> Tensor:
        nonlocal done
        told(done := done + 1, work)
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
    if largest < 0:
        work = done + iterations
        largest = top(largest)
    return {
        "hessian_trace": samples.mean().item(),
        "hessian_trace_error": (samples.std() / probes**0.5).item(),
        "hessian_top": largest,
    }


def sampled(
    loss: LossOf,
    params: Tensors,
    x: Tensor,
    y: Tensor,
    draws: torch.Generator,
    at_once: int,
    steps: int = STEPS,
    close: float = CLOSE,
    told: Told = nobody,
) -> dict[str, float]:
    """The columns of `curvature` in bounded memory, of a graph of `at_once` examples at a time.

    The examples are divided among the probes: tr H ≈ mean of vᵀH_p v, H_p the Hessian of part p, whose standard error
    holds that of the examples too. The largest eigenvalue of the whole is Lanczos' (1950) after `steps` products, or
    once its residual is below `close` of it.
    """
    parts = list(zip(x.tensor_split(min(PROBES, len(x))), y.tensor_split(min(PROBES, len(x))), strict=True))
    done, work = 0, (1 + steps) * sum(-(-len(of) // at_once) for of, _ in parts)

    def product(v: Tensor, of: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Hv, H of the mean loss over these examples."""
        nonlocal done
        total, size = torch.zeros_like(v), sum(len(some) for some, _ in of)
        for some, labels in of:
            for few, right in zip(some.split(at_once), labels.split(at_once), strict=True):
                told(done := done + 1, work)
                total += _product(loss, params, few, right, v) * (len(few) / size)
        return total

    flat = torch.cat([w.detach().flatten() for w in params.values()])
    samples = []
    for part in parts:
        v = torch.randint(2, (flat.numel(),), generator=draws).to(flat) * 2 - 1
        samples.append(torch.dot(v, product(v, [part])).double())
    traces = torch.stack(samples)
    v, before = torch.randn(flat.numel(), generator=draws).to(flat), torch.zeros_like(flat)
    v, beta, value = v / torch.linalg.vector_norm(v), 0.0, 0.0
    along: list[float] = []
    across: list[float] = []
    for _ in range(steps):
        image = product(v, parts)
        along.append(torch.dot(v, image).item())
        image = image - along[-1] * v - beta * before
        beta = torch.linalg.vector_norm(image).item()
        small = torch.diag(torch.tensor(along, dtype=torch.float64))
        small += torch.diag(torch.tensor(across, dtype=torch.float64), 1)
        values, vectors = torch.linalg.eigh(small + small.triu(1).T)
        value = values[-1].item()
        if beta * abs(vectors[-1, -1].item()) <= close * abs(value):
            break
        across.append(beta)
        before, v = v, image / beta
    error = (traces.std() / len(traces) ** 0.5).item() if len(traces) > 1 else float("nan")
    return {"hessian_trace": traces.mean().item(), "hessian_trace_error": error, "hessian_top": value}


def _product(loss: LossOf, params: Tensors, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Hv of these examples, the graph of the second derivatives made and let go."""
    leaves = {n: w.detach().requires_grad_() for n, w in params.items()}
    ends = tuple(leaves.values())
    grads = torch.autograd.grad(loss(leaves, x, y), ends, create_graph=True, materialize_grads=True)
    flat = torch.cat([g.flatten() for g in grads])
    if not flat.requires_grad:
        return torch.zeros_like(v)
    return torch.cat(
        [p.flatten() for p in torch.autograd.grad(flat, ends, v, allow_unused=True, materialize_grads=True)]
    )
