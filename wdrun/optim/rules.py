"""u_t, state = direction(g_t, state, t): optimizers as pure update directions; the caller does w ← w − lr·u.

There is no weight decay in here: where Ω enters the step is the coupling's business (wdrun.decay). Each rule
equals its torch.optim twin with weight_decay=0 (lion: Chen et al. 2023, algorithm 2).

Symbols: g gradient, u direction, w parameter (dicts from parameter name to tensor of any shape), t = 1, 2, …
the step, μ β ρ α decay rates in [0, 1), ε ≥ 0. State is slot -> parameter name -> tensor, tensors only, so a
checkpoint needs no other type. Nothing branches on a tensor's value or writes to an argument: torch.func.vmap
lifts all of it over runs. t may be a 0-d float64 tensor, as a captured CUDA graph needs it, and so may the numbers
of a rule (μ, β₁, …), as runs that differ in them need it when they train together; one that is 0 is a plain 0.
"""

from dataclasses import dataclass

import torch

from wdrun.tensors import Scalar, Tensors, after_first, axpy, is_off, toward

State = dict[str, Tensors]


class Optimizer:
    """A rule's hyperparameters (the fields) and its two pure functions."""

    def init(self, params: Tensors) -> State:
        """State before the first step; a slot without tensors is left out."""
        raise TypeError(f"{type(self).__name__} has no init")

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        """u_t, shaped like grads, and the state after step t."""
        raise TypeError(f"{type(self).__name__} has no direction")

    def gain(self) -> float | None:
        """u/g once g has long been constant, such as 1/(1−μ) with momentum; None where u is not linear in g."""
        return None

    def limit(self) -> float:
        """ηλ from which on g = λw alone makes w swing ever further, where u is linear in g."""
        return 2.0


@dataclass(frozen=True)
class Sgd(Optimizer):
    """b ← μb + (1−τ)g, the first b = g; u = b, or g + μb with Nesterov's look-ahead (Sutskever et al. 2013)."""

    momentum: float
    nesterov: bool
    dampening: float = 0.0  # τ, which nothing but a momentum feels

    def init(self, params: Tensors) -> State:
        return {"b": zeros(params)} if self.momentum else {}

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        if is_off(self.momentum):
            return grads, state
        new = grads
        if not is_off(self.dampening):
            less = -self.dampening * after_first(t)
            new = {k: axpy(less, g, g) for k, g in grads.items()}
        b = {k: axpy(self.momentum, state["b"][k], g) for k, g in new.items()}
        u = {k: axpy(self.momentum, b[k], g) for k, g in grads.items()} if self.nesterov else b
        return u, {"b": b}

    def gain(self) -> float | None:
        return (1 - self.dampening) / (1 - self.momentum) if self.momentum else 1.0

    def limit(self) -> float:
        """2(1+μ)/(1−τ), where the heavy ball has an eigenvalue of −1; with Nesterov's look-ahead 2(1+μ)/(1+2μ)."""
        if not self.momentum:
            return 2.0
        return 2 * (1 + self.momentum) / (1 + 2 * self.momentum if self.nesterov else 1 - self.dampening)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s ← s + g²; u = g/(√s + ε) (Duchi, Hazan & Singer 2011)."""

    eps: float
    initial_accumulator: float

    def init(self, params: Tensors) -> State:
        return {"s": {k: torch.full_like(w, self.initial_accumulator) for k, w in params.items()}}

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        s = {k: torch.addcmul(state["s"][k], g, g) for k, g in grads.items()}
        return {k: g / s[k].sqrt().add_(self.eps) for k, g in grads.items()}, {"s": s}


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """v ← ρv + (1−ρ)g²; u = g·√(d+ε)/√(v+ε); d ← ρd + (1−ρ)u² (Zeiler 2012)."""

    rho: float
    eps: float

    def init(self, params: Tensors) -> State:
        return {"v": zeros(params), "d": zeros(params)}

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        v = _mean_square(state["v"], grads, self.rho)
        root = {k: (d + self.eps).sqrt_() for k, d in state["d"].items()}
        u = {k: g * root[k].div((v[k] + self.eps).sqrt_()) for k, g in grads.items()}
        return u, {"v": v, "d": _mean_square(state["d"], u, self.rho)}


@dataclass(frozen=True)
class RmsProp(Optimizer):
    """v ← αv + (1−α)g²; u = b ← μb + g/(√(v − m²) + ε), m the mean of g if centered, else 0.

    Hinton 2012 (lecture 6e); centered: Graves 2013, equations 38 to 40.
    """

    alpha: float
    eps: float
    momentum: float
    centered: bool

    def init(self, params: Tensors) -> State:
        slots = ["v"] + ["m"] * self.centered + ["b"] * (self.momentum > 0)
        return {slot: zeros(params) for slot in slots}

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        new = {"v": _mean_square(state["v"], grads, self.alpha)}
        variance = new["v"]
        if self.centered:
            m = new["m"] = mean(state["m"], grads, self.alpha)
            # A variance is ≥ 0; rounding makes it slightly negative when g hardly changes, and its root nan.
            variance = {k: torch.addcmul(v, m[k], m[k], value=-1).clamp(min=0) for k, v in variance.items()}
        u = {k: g / variance[k].sqrt().add_(self.eps) for k, g in grads.items()}
        if not is_off(self.momentum):
            u = new["b"] = {k: axpy(self.momentum, state["b"][k], x) for k, x in u.items()}
        return u, new


@dataclass(frozen=True)
class Adam(Optimizer):
    """u = m̂/(√v̂ + ε), m and v the means of g and g², m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ) (Kingma & Ba 2015).

    With AMSGrad (Reddi, Kale & Kumar 2018) v̂ is the largest v so far over the step's own 1−β₂ᵗ, as in torch.
    """

    beta1: float
    beta2: float
    eps: float
    amsgrad: bool = False

    def init(self, params: Tensors) -> State:
        return {slot: zeros(params) for slot in ("m", "v", *["largest"] * self.amsgrad)}

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        m = mean(state["m"], grads, self.beta1)
        v = felt = _mean_square(state["v"], grads, self.beta2)
        if self.amsgrad:
            felt = {k: torch.maximum(state["largest"][k], x) for k, x in v.items()}
        # m̂/(√v̂ + ε) = m/(√v·c₁/c₂ + c₁ε): both corrections in the denominator, one pass over the tensor less.
        c1, c2 = 1 - self.beta1**t, (1 - self.beta2**t) ** 0.5
        u = {k: m[k] / felt[k].sqrt().mul_(c1 / c2).add_(c1 * self.eps) for k in grads}
        return u, {"m": m, "v": v} | ({"largest": felt} if self.amsgrad else {})


@dataclass(frozen=True)
class NAdam(Optimizer):
    """u = (g·(1−μ_t)/(1−Π_t) + m·μ_{t+1}/(1−Π_{t+1}))/(√v̂ + ε), Π_t = μ_1⋯μ_t (Dozat 2016).

    μ_t = β₁(1 − ½·0.96^{tψ}); m, v and v̂ as in Adam. Π is one scalar for all tensors.
    """

    beta1: float
    beta2: float
    eps: float
    momentum_decay: float  # ψ

    def init(self, params: Tensors) -> State:
        one = next(iter(params.values())).new_ones(())
        return {"m": zeros(params), "v": zeros(params), "product": {"": one}}

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        m = mean(state["m"], grads, self.beta1)
        v = _mean_square(state["v"], grads, self.beta2)
        mu, mu_next = (self.beta1 * (1 - 0.5 * 0.96 ** (s * self.momentum_decay)) for s in (t, t + 1))
        product = state["product"][""] * mu
        of_g, of_m = (1 - mu) / (1 - product), mu_next / (1 - product * mu_next)
        c2 = (1 - self.beta2**t) ** 0.5
        u = {k: torch.addcmul(g * of_g, m[k], of_m) / v[k].sqrt().mul_(1 / c2).add_(self.eps) for k, g in grads.items()}
        return u, {"m": m, "v": v, "product": {"": product}}


@dataclass(frozen=True)
class Lion(Optimizer):
    """u = sign(β₁m + (1−β₁)g); m ← β₂m + (1−β₂)g (Chen et al. 2023)."""

    beta1: float
    beta2: float

    def init(self, params: Tensors) -> State:
        return {"m": zeros(params)}

    def direction(self, grads: Tensors, state: State, t: int, params: Tensors) -> tuple[Tensors, State]:
        u = {k: c.sign() for k, c in mean(state["m"], grads, self.beta1).items()}
        return u, {"m": mean(state["m"], grads, self.beta2)}


def zeros(params: Tensors) -> Tensors:
    """A memory that begins at 0."""
    return {k: torch.zeros_like(w) for k, w in params.items()}


def mean(old: Tensors, new: Tensors, beta: Scalar) -> Tensors:
    """βx̄ + (1−β)x, for the names of `new`."""
    return {k: toward(old[k], x, 1 - beta) for k, x in new.items()}


def _mean_square(old: Tensors, new: Tensors, beta: Scalar) -> Tensors:
    """βx̄ + (1−β)x², for the names of `new`."""
    return {k: toward(old[k], x.square(), 1 - beta) for k, x in new.items()}
