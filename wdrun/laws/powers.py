"""Known answers of pwd, dwf and nuclear: a public optimizer's step, training on factors, matrices of known values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wdrun import optim
from wdrun.decay import Decay
from wdrun.decay.dwf import Dwf
from wdrun.decay.l2 import L2
from wdrun.decay.pwd import Pwd
from wdrun.decay.schatten import Schatten
from wdrun.laws.cases import noise, train, weights
from wdrun.tensors import Tensors

SGD = optim.Sgd(momentum=0.0, nesterov=False)
ADAM = optim.Adam(0.9, 0.999, 1e-8)


def padam() -> str | None:
    """pwd is w ← w'·X/(X + pηλ_p), X = |w|^(2−p), λ_p = λ/p, w' the step alone (Outmezguine & Levi 2024, PAdam);
    for p = 2 it is proximal l2."""
    start, lam, lr = weights()["fc.weight"], 0.3, 0.05

    def noisy(t: int, params: Tensors) -> Tensors:
        return {"w": noise(t, "w", params["w"])}

    for by in (SGD, ADAM):
        for p in (0.5, 0.8, 1.0, 1.5, 2.0):
            found = train(_pwd(p), by, {"w": start}, noisy, lam, lr, [1.0] * 30)[-1]["w"]
            w, state = start, by.init({"w": start})
            for t in range(1, 31):
                u, state = by.direction(noisy(t, {"w": w}), state, t, {"w": w})
                kept = w.abs() ** (2 - p)
                w = (w - lr * u["w"]) * kept / (kept + p * lr * (lam / p))
            if (off := (found - w).abs().max().item()) > 1e-12:
                return f"pwd at p = {p} is off PAdam by {off:.2e} under {type(by).__name__}"
    l2 = train(Decay(L2(), "proximal", {"w": 1.0}), ADAM, {"w": start}, noisy, lam, lr, [1.0] * 30)[-1]["w"]
    pwd = train(_pwd(2.0), ADAM, {"w": start}, noisy, lam, lr, [1.0] * 30)[-1]["w"]
    off = (l2 - pwd).abs().max().item()
    return None if off < 1e-13 else f"pwd at p = 2 is off proximal l2 by {off:.2e}"


def factors() -> str | None:
    """Least squares over D factors of w with weight decay 2λ/D on each end where proximal dwf does, zeros at zeros."""
    source = torch.Generator().manual_seed(7)
    x = torch.randn(60, 6, generator=source, dtype=torch.float64)
    y = x[:, :3] @ torch.tensor([2.0, -1.5, 1.0], dtype=torch.float64)
    y = y + 0.3 * torch.randn(60, generator=source, dtype=torch.float64)
    start = 0.5 * (x.T @ y).sign()

    def slope(w: Tensor) -> Tensor:
        return x.T @ (x @ w - y) / 60

    for depth in (2, 3, 4):
        lam, rule = 0.15, Decay(Dwf(depth), "proximal", {"w": 1.0})
        by_prox = train(rule, SGD, {"w": start}, lambda t, p: {"w": slope(p["w"])}, lam, 0.3, [1.0] * 500)[-1]["w"]
        w = start.abs().pow(1 / depth).repeat(depth, 1)  # factors of equal size, the sign in the first: (D, weights)
        w[0] *= start.sign()
        for _ in range(3000):
            product = w.prod(0)
            w = w - 0.1 * (slope(product) * product / w + 2 * lam / depth * w)
        if not torch.allclose(w.prod(0), by_prox, rtol=0, atol=1e-6):
            return f"depth {depth}: factors end on {w.prod(0).tolist()}, proximal dwf on {by_prox.tolist()}"
        if not 0 < (by_prox == 0).sum() < 6:
            return f"depth {depth}: zeros of {by_prox.tolist()}"
    return None


def singular_values() -> str | None:
    """The nuclear norm's prox soft-thresholds known singular values, and so takes the rank of those at or below t;
    of a diagonal matrix it is that of l1 on the diagonal."""
    source = torch.Generator().manual_seed(3)
    left, right = (torch.linalg.qr(torch.randn(n, 4, generator=source, dtype=torch.float64)).Q for n in (6, 9))
    values = torch.tensor([3.0, 1.0, 0.5, 0.2], dtype=torch.float64)
    w, t = (left * values) @ right.T, 0.6
    found = Schatten(1.0).prox(w.reshape(6, 3, 3), t).reshape(6, 9)
    expected = (left * (values - t).clamp_min(0)) @ right.T
    if (off := (found - expected).abs().max().item()) > 1e-12:
        return f"off the thresholded singular values by {off:.2e}"
    if (rank := torch.linalg.matrix_rank(found).item()) != 2:
        return f"rank {rank}, where two of four singular values are above {t}"
    if abs(Schatten(1.0).value(w) - values.sum()) > 1e-12:
        return f"Ω = {Schatten(1.0).value(w):.6g}, the singular values add up to {values.sum():.6g}"
    diagonal = Schatten(1.0).prox(torch.diag(torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)), 0.6)
    off = (diagonal - torch.diag(torch.tensor([1.4, -0.4, 0.0], dtype=torch.float64))).abs().max().item()
    return None if off < 1e-15 else f"a diagonal matrix is off l1 of its diagonal by {off:.2e}"


def _pwd(p: float) -> Pwd:
    return Pwd(L2(), "decoupled", {"w": 1.0}, p=p)


POWERS: tuple[Callable[[], str | None], ...] = (padam, factors, singular_values)
