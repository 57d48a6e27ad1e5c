"""A prediction of λ in words: the equation with its numbers in it, what it rests on, and what it leaves open."""

from __future__ import annotations

import math
from collections.abc import Iterator

from wdrun import conventions
from wdrun.conventions import Budget
from wdrun.tuning import transfer
from wdrun.tuning.transfer import Facts, Prediction
from wdrun.wording import amount, rough, short

L2 = "wdrun.decay.l2.L2"
MISSED = 4  # a factor of the epochs


def answer(found: Prediction) -> str:
    """The λ with its interval, and lr: `λ = 0.257 (0.089 to 0.77) with lr = 0.03`."""
    return f"λ = {rough(found.lam, 3)} ({ranged(found.low, found.high)}) with lr = {short(found.here.run.lr)}"


def ranged(low: float, high: float) -> str:
    """`0.089 to 0.77`; an open end as `up to 0.77`, `0.089 or more`."""
    if not low and math.isinf(high):
        return "no bound is known"
    if not low:
        return f"up to {rough(high)}"
    return f"{rough(low)} or more" if math.isinf(high) else f"{rough(low)} to {rough(high)}"


def equation(found: Prediction) -> Iterator[str]:
    """The lines below the answer: what was best there, what is changed, the rule, λ, and how sure that is."""
    best, there, here = found.best, found.there, found.here
    total, other = rough(found.total_there, 4), rough(found.total, 4)
    tau, changed_tau = (of.run.epochs / d for of, d in ((there, found.total_there), (here, found.total)))
    as_good = f"{ranged(best.low, best.high)} within {amount(best.margin, best.metric)} of its {best.metric}"
    yield (
        f"there    λ = {rough(best.lam, 3)} with lr = {short(there.run.lr)} is the best of {best.tried} "
        f"({as_good}): D = {total}, τ = {rough(tau, 3)} epochs"
    )
    changed = ", ".join(f"{key} {old} → {new}" for key, old, new in found.changes)
    yield f"changed  {changed or 'nothing that the best λ depends on'}"
    kept = math.isclose(tau, changed_tau, rel_tol=1e-9)
    rule = "constant τ in epochs" if kept else f"τ = {rough(changed_tau, 3)} epochs"
    factors = list(_factors(there, here))
    yield f"rule     {rule}: D = " + (f"{' × '.join([total, *factors])} = {other}" if factors else f"{other} as there")
    one, before = (rough(of.per_lambda or math.nan, 4) for of in (here, there))
    yield f"here     λ = 1 is D = {one} ({before} there), so λ = {other}/{one} = {rough(found.lam, 3)}"
    if found.spread:
        yield f"within   a factor of {rough(10**found.spread)} by the rule (95 %), and what was as good there"
    yield from _open(found)


def _factors(there: Facts, here: Facts) -> Iterator[str]:
    """What D is multiplied by, `(40/10 epochs)`, for each size that changed and has a say."""
    for size, exponent in transfer.EXPONENTS.items():
        old, new = there.sizes[size], here.sizes[size]
        if not exponent.value or old == new:
            continue
        if size == "lr" and there.gain == here.gain:
            old, new = there.run.lr, here.run.lr
        else:
            size = "lr/(1 − μ)" if size == "lr" else size
        numbers = (f"{x:,}" if isinstance(x, int) else short(x) for x in (new, old))
        yield f"({'/'.join(numbers)} {size})" + f"^{exponent.value:g}" * (exponent.value != 1)


def _open(found: Prediction) -> Iterator[str]:
    """What the prediction does not know."""
    best = found.best
    if best.unproven:
        yield f"open     that decay helps there is not shown: {best.unproven}"
    lam = f"λ = {rough(best.lam, 3)}"
    sides = (("lower", "smallest", "below", best.low == 0), ("upper", "largest", "above", math.isinf(best.high)))
    for side, least, beyond, is_open in sides:
        if best.edge in (side, "both"):
            yield f"open     {lam} is the {least} that was tried there: the best may lie {beyond} it"
        elif is_open:
            yield f"open     no worse λ was tried there {beyond} it: the interval has no end {beyond}"
    longer = found.here.run.epochs / found.there.run.epochs
    if max(longer, 1 / longer) >= MISSED:
        yield f"note     at {MISSED} times the epochs the rule missed where it was tried: search the interval"
    if found.spread and found.here.run.decay["_target_"] != L2:
        yield "note     the rule is known of l2; whether it holds of another Ω is not"


def doubts(acts: Budget, lam: float) -> list[str]:
    """Why a decay of this λ would do nothing or too much, as it is said before a run; nothing where it would not.

    A large D is no doubt: where τ is kept, D grows with the epochs.
    """
    doubtful = acts.verdict in ("cannot act", "overshoots", "diverges")
    return conventions.sentences(acts, lam)[1:] if doubtful else []
