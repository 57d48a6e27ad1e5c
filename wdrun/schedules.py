"""s(p) = η(p)/η_peak: learning-rate schedules as pure functions of progress p = k/K, step k = 0 … K−1.

A function here takes progress in [0, 1] and parameters in shares of training; `build` converts from what a
user types (epochs, steps). They shape λ(p)/λ too, where a `final` above 1 makes λ rise. No torch in here.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from math import cos, floor, pi
from typing import Any

from wdrun.accepts import Accepts, check, check_names, number, one_of

Schedule = Callable[[float], float]
# Far below one step, above the rounding of k/K: a boundary that falls on a step takes effect at that step.
_TIE = 1e-9


def constant(progress: float) -> float:
    """s = 1."""
    return 1.0


def linear(progress: float, start: float, final: float) -> float:
    """s = start + (final − start)·p."""
    return start + (final - start) * progress


def cosine(progress: float, start: float, final: float) -> float:
    """s = final + (start − final)·½(1 + cos πp) (Loshchilov & Hutter 2017, one period)."""
    return final + (start - final) * 0.5 * (1.0 + cos(pi * progress))


def step(progress: float, milestones: list[float], factor: float) -> float:
    """s = factor^n, n = how many of the rising milestones (shares of training) are reached."""
    return float(factor ** bisect_right(milestones, progress + _TIE))


def window(progress: float, begin: float, end: float) -> float:
    """s = 1 for begin ≤ p < end, else 0: a critical period (Golatkar, Achille & Soatto 2019)."""
    return 1.0 if begin - _TIE <= progress < end - _TIE or progress >= 1.0 <= end else 0.0


def inverse_time(progress: float, rate: float) -> float:
    """s = 1/(1 + rate·p), rate over the whole training (Keras' `decay=` is the rate of one step)."""
    return 1.0 / (1.0 + rate * progress)


def log_time(progress: float, half: float) -> float:
    """s = 1/(1 + p/half), ½ at p = half: Σs over K steps is K·half·log(1 + 1/half) (Ferbach et al. 2026, of λ)."""
    return 1.0 / (1.0 + progress / half)


def warm_restarts(progress: float, period: float, factor: float, final: float) -> float:
    """s = cosine(share done of a period), lengths period·factor^i (SGDR, Loshchilov & Hutter 2017)."""
    done, length = _restarts(progress / period, factor)
    return cosine(done / length, 1.0, final)


def renormalized(progress: float, period: float, factor: float) -> float:
    """s = 1/√(T_i/T), T_i the period of a warm restart, T the training: normalized λ anew for each (AdamWR)."""
    _, length = _restarts(progress / period, factor)
    return float((period * length) ** -0.5)


def _restarts(done: float, factor: float) -> tuple[float, float]:
    """How far into which restart: time since its start and its length, all in first periods."""
    length = 1.0
    if factor == 1.0:
        done -= floor(done)
    while done > length - _TIE:
        done, length = done - length, length * factor
    return max(done, 0.0), length


def one_cycle(progress: float, peak_at: float, start: float, final: float) -> float:
    """s rises from start to 1 at p = peak_at, falls to final, both by half a cosine (Smith & Topin 2018)."""
    if progress < peak_at:
        return start + (1.0 - start) * 0.5 * (1.0 - cos(pi * progress / peak_at))
    return cosine((progress - peak_at) / (1.0 - peak_at), 1.0, final)


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "step": step,
    "window": window,
    "inverse_time": inverse_time,
    "log_time": log_time,
    "warm_restarts": warm_restarts,
    "renormalized": renormalized,
    "one_cycle": one_cycle,
}


def milestones(after: float = 0.0) -> Accepts:
    """Rising shares of the whole training, the first of them after the end of the warm-up."""
    later = f" after the warm-up, which ends at {after:g}" if after else ""
    share = number(above=after, below=1)

    def rising(value: Any) -> bool:
        return isinstance(value, list | tuple) and all(map(share.fits, value)) and list(value) == sorted(set(value))

    return Accepts(f"a list of rising shares of training in (0, 1){later}, such as [0.5,0.75]", rising)


_at_least_0, _share, _positive, _growth = number(0), number(0, 1), number(above=0), number(1)
WARM_UP = {"warmup": _at_least_0, "warmup_start": _share}  # every schedule takes these
# What each takes from a user besides.
PARAMETERS: dict[str, dict[str, Accepts]] = {
    "constant": {},
    "linear": {"start": _at_least_0, "final": _at_least_0},
    "cosine": {"start": _at_least_0, "final": _at_least_0},
    "step": {"milestones": milestones(), "factor": _at_least_0},
    "window": {"begin": _share, "end": _share},
    "inverse_time": {"rate": _at_least_0},
    "log_time": {"half": _positive},
    "warm_restarts": {"period": _positive, "factor": _growth, "final": _at_least_0},
    "renormalized": {"period": _positive, "factor": _growth},
    "one_cycle": {"peak_at": number(above=0, below=1), "start": _at_least_0, "final": _at_least_0},
}


def build(spec: Mapping[str, object], *, epochs: float, steps: int, key: str = "schedule") -> Schedule:
    """s of a dict shaped like conf/schedule/<name>.yaml, for `epochs` epochs, `steps` steps in all.

    With warm-up over the share q = warmup/epochs: s(p) = f(0)·(a + (1 − a)·p/q), a = warmup_start, for p < q,
    then f((p − q)/(1 − q)), f over what remains. Units of f's parameters: `period` epochs, `rate` per step,
    `milestones`, `begin`, `end` shares of the whole training, warm-up included, `peak_at` and `half` of what remains.
    ConfigError says what does not fit, under the name `key`.
    """
    name: str = check(f"{key}.name", spec.get("name"), one_of(*SCHEDULES))
    f, accepted = SCHEDULES[name], PARAMETERS[name] | WARM_UP
    given: dict[str, Any] = {"warmup": 0.0, "warmup_start": 0.0} | {str(k): v for k, v in spec.items() if k != "name"}
    check_names(key, given, accepted, name)
    for parameter, accepts in accepted.items():
        check(f"{key}.{parameter}", given[parameter], accepts)

    warmup, low = given["warmup"], given["warmup_start"]
    short = Accepts(f"less than the {epochs:g} epochs of training", lambda v: not v or v < epochs)
    q = check(f"{key}.warmup", warmup, short) / epochs
    if name == "window":
        begin, ends = given["begin"], f"the warm-up, which ends at {q:g}"
        opens = Accepts(f"0, or a share of training after {ends}", lambda v: not 0 < v <= q + _TIE)
        check(f"{key}.begin", begin, opens)
        later = f"{key}.begin={begin:g}" if begin or not q else ends
        check(f"{key}.end", given["end"], Accepts(f"a share of training after {later}", lambda v: v > max(begin, q)))
    units = {"rate": steps * (1.0 - q), "period": 1.0 / (epochs - warmup)}
    values: dict[str, float | list[float]] = {}
    for parameter in PARAMETERS[name]:
        value = given[parameter]
        if parameter == "milestones":
            shares = check(f"{key}.milestones", value, milestones(after=q))
            values[parameter] = [(share - q) / (1.0 - q) for share in shares]
        else:
            shift = q if parameter in ("begin", "end") else 0.0
            values[parameter] = (value - shift) / (1.0 - shift) * units.get(parameter, 1.0)

    def schedule(progress: float) -> float:
        if progress < q - _TIE:
            return f(0.0, **values) * (low + (1.0 - low) * progress / q)
        since = (progress - q) / (1.0 - q)
        return f(min(since, 1.0) if since > _TIE else 0.0, **values)

    return schedule


def of_lambda(spec: Mapping[str, Any], *, epochs: float, steps: int) -> Schedule:
    """λ(p)/λ of a decay option: its `schedule`, times 1/√steps when it is `normalized`.

    Loshchilov & Hutter 2019, appendix B.1: λ = λ_norm·√(b/(N·T)); N·T/b is the number of steps of the training.
    """
    shape = build(spec["schedule"], epochs=epochs, steps=steps, key="decay.schedule")
    factor = normalization(spec, steps)
    return lambda progress: factor * shape(progress)


def normalization(spec: Mapping[str, Any], steps: int) -> float:
    """1/√steps of a decay option that is `normalized`, else 1."""
    return steps**-0.5 if spec["normalized"] else 1.0
