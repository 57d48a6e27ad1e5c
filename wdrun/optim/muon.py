"""Muon: updates of matrices brought near orthogonal ones. Symbols and shapes as in `rules`."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from wdrun.optim.rules import Adam, Optimizer, State, mean, zeros
from wdrun.tensors import Tensors


@dataclass(frozen=True)
class Muon(Optimizer):
    """m ← μm + (1−μ)g; u = 0.2·√max(rows, columns)·orth(m) for matrices, Adam for the rest.

    Jordan 2024. The factor (Liu et al. 2025) gives u the root mean square of an Adam step: one lr serves all.
    A tensor of two or more dimensions is the matrix (out, everything else). `nesterov` looks ahead in m.
    """

    momentum: float
    nesterov: bool
    ns_steps: int
    ns_dtype: str
    beta1: float
    beta2: float
    eps: float

    @property
    def fallback(self) -> Adam:
        """The rule of tensors with fewer than two dimensions."""
        return Adam(self.beta1, self.beta2, self.eps)

    def init(self, params: Tensors) -> State:
        vectors = zeros({k: w for k, w in params.items() if w.ndim < 2})
        return {"m": zeros(params)} | ({"v": vectors} if vectors else {})

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        matrices = {k: g for k, g in grads.items() if g.ndim >= 2}
        m = mean(state["m"], matrices, self.momentum)
        ahead = mean(m, matrices, self.momentum) if self.nesterov else m
        u = {k: self._matrix(x) for k, x in ahead.items()}
        if len(matrices) == len(grads):
            return u, {"m": m}
        vectors = {k: g for k, g in grads.items() if g.ndim < 2}
        u_vectors, moments = self.fallback.direction(vectors, state, t, params)
        u, m = u | u_vectors, m | moments["m"]
        return {k: u[k] for k in grads}, {"m": {k: m[k] for k in grads}, "v": moments["v"]}

    def _matrix(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        factor = 0.2 * sqrt(max(flat.shape))
        u = orthogonalize(flat, self.ns_steps, getattr(torch, self.ns_dtype))
        return (u.to(x.dtype) * factor).reshape(x.shape)


def orthogonalize(matrix: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """X ← aX + (bS + cS²)X with S = XXᵀ, from X = M/‖M‖: the singular values of M brought near 1.

    Newton–Schulz, Jordan 2024. M: (rows, columns). The coefficients make the slope at 0 steep, not the limit
    exact: after 5 steps singular values above ~1 % of ‖M‖ lie in roughly [0.7, 1.2].
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.to(dtype)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x  # S is then the smaller of the two Gram matrices
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = torch.addmm(x, torch.addmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
