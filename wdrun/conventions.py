"""What a λ means: the same λ in other frameworks' units, total decay, timescale and verdict. Pure arithmetic.

Symbols: η_t = lr·s_t learning rate of step t, s_t the schedule, b batch size, N training examples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp

from wdrun.wording import short

CANNOT_ACT = 0.05  # D below this moves a weight by less than 5 %
DOMINATES = 10.0  # D above this leaves e^-10 of a weight without gradient: the penalty decides its size
USEFUL = 0.5  # D of the λ we suggest when decay cannot act


@dataclass(frozen=True)
class Budget:
    """How much a decay can do over a whole run.

    `total` is D = Σ η_t λ_t × gain × rate, the exponent by which a weight without gradient shrinks: it ends at e^-D
    of its size. `gain` is 1/(1−μ) for coupled decay under SGD with momentum μ, else 1. `rate` = ⟨Ω'(w₀), w₀⟩/‖w₀‖²
    is the relative pull of the regularizer on the initial weights, 1 for L2. `timescale` τ is in epochs: D = T/τ.
    None where no such number exists: the projected coupling, and coupled decay under an adaptive optimizer, whose
    preconditioner rescales the penalty.
    """

    total: float | None
    timescale: float | None
    peak: float  # largest relative shrink of a single step
    limit: float = 2.0  # the peak from which on the weights swing round zero ever further

    @property
    def verdict(self) -> str:
        """off | cannot act | acts | dominates | overshoots | diverges | cannot be told."""
        if self.total is None:
            return "cannot be told"
        if self.peak >= self.limit:
            return "diverges"
        if self.peak >= 2:
            return "overshoots"
        if self.total == 0:
            return "off"
        return "cannot act" if self.total < CANNOT_ACT else "acts" if self.total <= DOMINATES else "dominates"


def budget(
    coupling: str,
    steps: Iterable[tuple[float, float, float]],
    *,
    epochs: int,
    gain: float | None,
    rate: float | None,
    overshoots: bool = True,
    limit: float = 2.0,
) -> Budget:
    """The budget of a run whose steps have (λ_t, η_t, s_t); `gain`, `rate` and `limit` as in `Budget`.

    `overshoots`: whether a pull of more than a weight's size carries it past 0; a proximal step never does.
    `limit`: 2 of a pull that is linear in w, ∞ of a bounded one, `Optimizer.limit` where it goes through momentum.
    """
    steps = list(steps)
    if not any(lam for lam, _, _ in steps):
        return Budget(0.0, None, 0.0)
    if coupling == "projected" or rate is None or (coupling == "coupled" and gain is None):
        return Budget(None, None, 0.0)
    free_of_lr = coupling == "independent"
    pulls = [lam * (s if free_of_lr else lr) * rate for lam, lr, s in steps]
    # Momentum spreads a pull over later steps: it adds to the total, but does not make a single step larger.
    total = sum(pulls) * (gain or 1.0 if coupling == "coupled" else 1.0)
    peak = 0.0 if coupling == "proximal" or not overshoots else max(pulls, default=0.0)
    return Budget(total, epochs / total if total else None, peak, limit)


def elsewhere(
    lam: float, *, regularizer: str, coupling: str, lr: float, batch_size: int, p: float = 2.0, depth: int = 1
) -> dict[str, float]:
    """This λ as other frameworks write it; empty for a regularizer they do not share, and where λ is a radius.

    L2: Ω = ½Σw² here and in torch; Keras' l2(c) and c·Σw² double it; tf.nn.l2_loss has the ½; scikit-learn's MLP
    divides alpha by the batch. Decoupled decay in the AdamW paper and in Composer is not multiplied by the lr.
    Lp with exponent `p`: PAdam's code leaves out the 1/p of Ω. Deep weight factorization (`depth` factors) and the
    nuclear norm (p = 1) are weight decay on the factors of w.
    """
    if coupling == "projected":
        return {}
    if regularizer in ("lp", "pwd"):
        return {"λ_p of PAdam's code": lam / p}
    if regularizer == "dwf":
        return {f"torch weight_decay of {depth} factors": 2 * lam / depth}
    if regularizer == "schatten" and p == 1:
        return {"torch weight_decay of A and B, AB = w": lam}
    if regularizer == "l1":
        return {"Keras l1": lam, "torch Σ|w|": lam}
    if regularizer != "l2":
        return {}
    if coupling == "coupled":
        return {
            "torch weight_decay": lam,
            "Keras l2": lam / 2,
            "tf.nn.l2_loss": lam,
            "scikit-learn alpha": lam * batch_size,
        }
    if coupling in ("decoupled", "cautious"):
        return {"torch/optax/Keras weight_decay": lam, "AdamW paper, Composer": lam * lr}
    if coupling == "independent":
        return {"torch/optax/Keras weight_decay": lam / lr, "AdamW paper, Composer": lam}
    return {}


def sentences(found: Budget, lam: float, tries: str = "") -> list[str]:
    """The budget in words: what D and τ are, and whether decay can act; a warning names a λ that would.

    `tries` is an axis worth sweeping where there is no D, if the decay has one.
    """
    if found.verdict == "off":
        return ["λ acts on no parameter that moves" if lam else "λ = 0: no decay"]
    if found.total is None or found.timescale is None:
        advice = f"sweep {tries}" if tries else "only a sweep can tell which λ acts"
        return [f"total decay is not defined for this coupling and optimizer: {advice}"]
    left = 100 * exp(-found.total)
    lines = [
        f"total decay D = {found.total:.3g}: a weight without gradient ends at {left:.3g} % of its size; "
        f"timescale τ = {found.timescale:.3g} epoch{'s' * (f'{found.timescale:.3g}' != '1')}"
    ]
    better = short(float(f"{lam * USEFUL / found.total:.1g}"))
    if found.verdict == "cannot act":
        lines.append(
            f"warning: this λ is too small to act (D < {CANNOT_ACT}): lambda={better} would (D ≈ {USEFUL}); "
            "expect the result of decay=none"
        )
    elif found.verdict == "dominates":
        lines.append(
            f"warning: decay dominates (D > {DOMINATES:g}): the data may not hold the weights up; try lambda={better}"
        )
    elif found.verdict == "diverges":
        why = f"ηλ ≥ {found.limit:.3g} makes every step overshoot zero"
        lines.append(f"warning: {why}: the run will diverge; try lambda={better}")
    elif found.verdict == "overshoots":
        lines.append(f"warning: a step overshoots zero by more than the weights are from it; try lambda={better}")
    return lines
