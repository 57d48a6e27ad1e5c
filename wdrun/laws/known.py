"""Known answers: closed forms, other programs' definitions and results of papers that the same code must reproduce."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, pi

import torch
from torch import Tensor

from wdrun import optim, schedules
from wdrun.config.compose import compose
from wdrun.config.options import option_names
from wdrun.config.parse import parse
from wdrun.decay import COUPLINGS, Chain, Decay, Regularizer, Rule
from wdrun.decay.dwf import Dwf
from wdrun.decay.elastic_net import ElasticNet
from wdrun.decay.group_lasso import GroupLasso
from wdrun.decay.huber import Huber
from wdrun.decay.l1 import L1
from wdrun.decay.l2 import L2
from wdrun.decay.lp import Lp
from wdrun.decay.max_norm import MaxNorm
from wdrun.decay.schatten import Schatten
from wdrun.decay.target_norm import TargetNorm
from wdrun.decay.unit_norm import UnitNorm
from wdrun.laws.cases import noise, nothing, train, weights
from wdrun.laws.powers import POWERS
from wdrun.tensors import Tensors
from wdrun.training.diagnostics import rotation

SGD = optim.Sgd(momentum=0.0, nesterov=False)


def limits_of_regularizers() -> str | None:
    """Elastic net, Huber, Lp, Schatten, group lasso and target norm are L2 or L1 at an end, in all that both can do."""
    column = weights()["fc.bias"].reshape(-1, 1)
    aim = TargetNorm(target=0.0).recall(torch.ones((), dtype=torch.float64))
    pairs: list[tuple[str, Regularizer, Regularizer, float, Tensor]] = [
        ("elastic_net at l1_ratio 0", ElasticNet(0.0), L2(), 1.0, column),
        ("elastic_net at l1_ratio 1", ElasticNet(1.0), L1(), 1.0, column),
        ("huber at a large delta", Huber(1e3), L2(), 1.0, column),
        ("huber/delta at a small delta", Huber(1e-9), L1(), 1e9, column),
        ("lp at p 1", Lp(1.0), L1(), 1.0, column),
        ("lp at p 2", Lp(2.0), L2(), 1.0, column),
        ("dwf of two factors", Dwf(2), L1(), 1.0, column),
        ("schatten at p 2", Schatten(2.0), L2(), 1.0, weights()["fc.weight"]),
        ("schatten at p 1 on one row", Schatten(1.0), GroupLasso(), 12**0.5, weights()["fc.weight"][:1]),
        ("group_lasso on groups of one", GroupLasso(), L1(), 1.0, column),
        ("target_norm at target 0", aim, L2(), 1.0, column),
    ]
    for what, ours, limit, unit, w in pairs:
        found, expected = unit * ours.value(w), limit.value(w)
        differences = [found - expected, unit * ours.grad(w) - limit.grad(w)]
        differences += [ours.prox(w, 0.3 * unit) - limit.prox(w, 0.3)]
        if ours.can("project"):
            differences += [ours.project(w, 0.4 / unit) - limit.project(w, 0.4)]
        if (off := max(d.abs().max().item() for d in differences)) > 1e-7:
            return f"{what}: off by {off:.2e}"
    return None


def limits_of_rules() -> str | None:
    """A chain of one is its link, bit for bit; under plain SGD l2 coupled is l2 decoupled."""
    params = weights()
    ones = dict.fromkeys(params, 1.0)

    def noisy(t: int, w: Tensors) -> Tensors:
        return {n: noise(t, n, x) for n, x in w.items()}

    def end(rule: Rule, by: optim.Optimizer) -> Tensors:
        return train(rule, by, params, noisy, 0.1, 0.05, [1.0] * 5)[-1]

    for coupling in COUPLINGS:
        link = Decay(L1(), coupling, ones)
        adam = optim.Adam(0.9, 0.999, 1e-8)
        one, alone = end(Chain((link,), (1.0,)), adam), end(link, adam)
        if not all(torch.equal(one[n], alone[n]) for n in params):
            return f"a chain of one {coupling} l1 is not that decay"
    coupled, decoupled = (end(Decay(L2(), c, ones), SGD) for c in ("coupled", "decoupled"))
    off = max((coupled[n] - decoupled[n]).abs().max().item() for n in params)
    return None if off < 1e-13 else f"plain SGD: coupled and decoupled l2 differ by {off:.2e}"


def torch_weight_decay() -> str | None:
    """l2 coupled under SGD with momentum and Adam, and decoupled under Adam, are torch's weight_decay and AdamW."""
    adam = optim.Adam(0.9, 0.999, 1e-8)
    twins: list[tuple[str, str, optim.Optimizer, Callable[..., torch.optim.Optimizer], dict[str, float]]] = [
        ("SGD", "coupled", optim.Sgd(0.9, False), torch.optim.SGD, {"momentum": 0.9}),
        ("Adam", "coupled", adam, torch.optim.Adam, {}),
        ("AdamW", "decoupled", adam, torch.optim.AdamW, {}),
    ]
    for name, coupling, ours, twin, options in twins:
        w = weights()["fc.weight"]
        rule = Decay(L2(), coupling, {"w": 1.0})
        found = train(rule, ours, {"w": w}, lambda t, p: {"w": noise(t, "w", p["w"])}, 0.1, 0.01, [1.0] * 30)[-1]["w"]
        leaf = w.clone().requires_grad_()
        theirs = twin([leaf], lr=0.01, weight_decay=0.1, **options)
        for t in range(1, 31):
            leaf.grad = noise(t, "w", w)
            theirs.step()
        if (off := (found - leaf.detach()).abs().max().item()) > 1e-12:
            return f"{coupling} l2 is off torch.optim.{name} by {off:.2e}"
    return None


def keras_norms() -> str | None:
    """max_norm and unit_norm are Keras' constraints over the inputs, up to the 1e-7 Keras adds to the norm."""
    for name, w in weights().items():
        if w.ndim < 2:
            continue
        norms = w.square().sum(tuple(range(1, w.ndim)), keepdim=True).sqrt()  # (outputs, 1, …)
        for limit in (0.5, 2.0):
            keras = w * (norms.clamp(0, limit) / (1e-7 + norms))
            if (MaxNorm().project(w, limit) - keras).abs().max() > 1e-6:
                return f"max_norm of {name} is not Keras' MaxNorm({limit})"
        if (UnitNorm().project(w, 1.0) - w / (1e-7 + norms)).abs().max() > 1e-6:
            return f"unit_norm of {name} is not Keras' UnitNorm()"
    return None


def cautious_mask() -> str | None:
    """Cautious decay acts where weight and update agree in sign or one is zero, worked out by hand."""
    w = torch.tensor([1.0, -1.0, 2.0, -2.0, 0.5], dtype=torch.float64)
    g = torch.tensor([1.0, 1.0, -3.0, -3.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([0.45, -1.5, 3.5, -0.4, 0.475], dtype=torch.float64)  # w − ½(g + 0.1·mask·w)
    rule = Decay(L2(), "cautious", {"w": 1.0})
    found = train(rule, SGD, {"w": w}, lambda t, p: {"w": g}, 0.1, 0.5, [1.0] * 1)[-1]["w"]
    return None if (found - expected).abs().max() < 1e-15 else f"got {found.tolist()}, by hand {expected.tolist()}"


def shrink_is_total_decay() -> str | None:
    """Without a gradient a weight ends at e^−D, D = Σ η_t λ_t, within 1 %: each schedule for the lr and for λ."""
    steps = 400
    zero = {n: nothing(0, n, w) for n, w in weights().items()}
    for name in option_names("schedule"):
        spec = parse(compose([f"schedule={name}"])).run.schedule
        s = schedules.build(spec, epochs=10, steps=steps)
        scale = [s(k / steps) for k in range(steps)]
        for of, rates in (("lr", scale), ("λ", [1.0] * steps)):
            rule = Decay(L2(), "decoupled", dict.fromkeys(zero, 1.0), s if of == "λ" else lambda progress: 1.0)
            before, *_, after = train(rule, SGD, weights(), lambda t, p: zero, 0.02, 0.05, rates)
            left = after["fc.weight"].norm() / before["fc.weight"].norm()
            total = sum(0.05 * 0.02 * x for x in scale)
            if abs(-left.log().item() - total) > 0.01 * total:
                return f"{name} as a schedule of the {of}: {left:.6f} is left, e^−D is {exp(-total):.6f}"
    return None


def equilibrium_rotation() -> str | None:
    """A normalised layer under noise turns by √(2ηλ/(1+μ)) a step with SGD and momentum, and by
    √(2ηλ(1−β₁)/(1+β₁)) with AdamW, within 10 % (Kosson, Messmer & Jaggi 2024, table 1)."""
    eta_lambda, size, steps = 0.005, 400, 1500
    for name, by, coupling, lr, expected in (
        ("SGD, μ = 0.9", optim.Sgd(0.9, False), "coupled", 0.1, (2 * eta_lambda / 1.9) ** 0.5),
        ("AdamW", optim.Adam(0.9, 0.99, 1e-12), "decoupled", 0.01, (2 * eta_lambda * 0.1 / 1.9) ** 0.5),
    ):
        source = torch.Generator().manual_seed(3)

        def scale_free(t: int, p: Tensors, source: torch.Generator = source) -> Tensors:
            w, g = p["w"], torch.randn(size, generator=source, dtype=torch.float64)
            unit = w / w.norm()
            return {"w": (g - (g @ unit) * unit) / w.norm()}  # across w, and ∝ 1/‖w‖: the loss sees the direction only

        start = {"w": torch.randn(size, generator=source, dtype=torch.float64)}
        seen = train(Decay(L2(), coupling, {"w": 1.0}), by, start, scale_free, eta_lambda / lr, lr, [1.0] * steps)
        late = [rotation(a["w"], b["w"]) for a, b in zip(seen[-400:-1], seen[-399:], strict=True)]
        found = torch.stack(late).mean().item() * pi / 180
        if abs(found / expected - 1) > 0.1:
            return f"{name}: {found:.4f} rad a step, the formula says {expected:.4f}"
    return None


def ridge_regression() -> str | None:
    """Article 000: y = 2x + 1 + 0.1ε with the decay on w alone ends on Sxy/(Sxx + c/2) for (c/2)w², on Sxy/(Sxx + c)
    for c·w², S the centred means over the 100 points and the loss their mean squared error."""
    source = torch.Generator().manual_seed(0)
    x = torch.rand(100, generator=source, dtype=torch.float64)
    y = 2 * x + 1 + 0.1 * torch.randn(100, generator=source, dtype=torch.float64)
    xx, xy = (x - x.mean()).square().mean(), ((x - x.mean()) * (y - y.mean())).mean()

    def gradient(t: int, p: Tensors) -> Tensors:
        off = p["w"] * x + p["b"] - y
        return {"w": 2 * (off * x).mean(), "b": 2 * off.mean()}

    start = {"w": torch.zeros((), dtype=torch.float64), "b": torch.zeros((), dtype=torch.float64)}
    for c in (0.01, 0.3):
        for penalty, lam, slope in (("(c/2)w²", c, xy / (xx + c / 2)), ("c·w²", 2 * c, xy / (xx + c))):
            rule = Decay(L2(), "coupled", {"w": 1.0})
            end = train(rule, optim.Adam(0.9, 0.999, 1e-8), start, gradient, lam, 0.01, [1.0] * 3000)[-1]
            if abs(end["w"] - slope) > 1e-3 or abs(end["b"] - (y.mean() - slope * x.mean())) > 1e-3:
                return f"{penalty}, c = {c}: w = {end['w']:.5f}, the closed form is {slope:.5f}"
    return None


def lasso() -> str | None:
    """Proximal l1 is the lasso of coordinate descent, with the same exact zeros; its subgradient has none."""
    source = torch.Generator().manual_seed(7)
    x = torch.randn(60, 12, generator=source, dtype=torch.float64)
    y = x[:, :4] @ torch.tensor([2.0, -1.5, 1.0, 0.3], dtype=torch.float64)
    y = y + 0.3 * torch.randn(60, generator=source, dtype=torch.float64)
    lam, w = 0.15, torch.zeros(12, dtype=torch.float64)
    for _ in range(300):
        for j in range(12):  # the best w_j given the others: soft threshold of its own least-squares fit
            fit = x[:, j] @ (y - x @ w + x[:, j] * w[j]) / 60
            w[j] = fit.sign() * (fit.abs() - lam).clamp_min(0) / x[:, j].square().mean()

    def gradient(t: int, p: Tensors) -> Tensors:
        return {"w": x.T @ (x @ p["w"] - y) / 60}

    ends = {}
    for coupling in ("proximal", "coupled"):
        start = {"w": torch.full((12,), 0.5, dtype=torch.float64)}
        ends[coupling] = train(Decay(L1(), coupling, {"w": 1.0}), SGD, start, gradient, lam, 0.3, [1.0] * 500)[-1]["w"]
    if not torch.equal(ends["proximal"] == 0, w == 0) or not (w == 0).any():
        return f"zeros of proximal l1 {ends['proximal'].tolist()}, of coordinate descent {w.tolist()}"
    if (off := (ends["proximal"] - w).abs().max().item()) > 1e-9:
        return f"proximal l1 is off coordinate descent by {off:.2e}"
    return "the subgradient has exact zeros" if (ends["coupled"] == 0).any() else None


KNOWN_ANSWERS: tuple[Callable[[], str | None], ...] = (
    limits_of_regularizers,
    limits_of_rules,
    torch_weight_decay,
    keras_norms,
    cautious_mask,
    shrink_is_total_decay,
    equilibrium_rotation,
    ridge_regression,
    lasso,
    *POWERS,
)
