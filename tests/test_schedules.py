"""Schedules against torch.optim.lr_scheduler and Keras' formula, step by step, and their own promises."""

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch.optim import lr_scheduler

from wdrun import schedules
from wdrun.errors import ConfigError

CONF = Path(__file__).parents[1] / "conf" / "schedule"
CATALOGUE = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in sorted(CONF.glob("*.yaml"))}
K, EPOCHS = 120, 12  # steps and epochs of a training; 10 steps an epoch


def spec(name: str, **changes: object) -> dict[str, object]:
    return CATALOGUE[name] | changes


def trajectory(options: dict[str, object], steps: int = K, epochs: float = EPOCHS) -> list[float]:
    s = schedules.build(options, epochs=epochs, steps=steps)
    return [s(k / steps) for k in range(steps)]


def of_torch(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler], steps: int = K) -> list[float]:
    """lr at steps 0 … steps−1 for a peak of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The epoch parameter", UserWarning)  # SequentialLR's own call
            scheduler.step()
    return rates


def same(ours: list[float], theirs: list[float]) -> None:
    assert ours == pytest.approx(theirs, rel=0, abs=1e-12)


def test_catalogue_equals_the_yaml_files() -> None:
    assert set(CATALOGUE) == set(schedules.SCHEDULES) == set(schedules.PARAMETERS)
    for name, options in CATALOGUE.items():
        assert options["name"] == name
        assert (CONF / f"{name}.yaml").read_text().startswith("# s = ")


@pytest.mark.parametrize("name", CATALOGUE)
def test_yaml_explains_every_key_but_the_name(name: str) -> None:
    lines = (CONF / f"{name}.yaml").read_text().splitlines()[2:]
    assert [line for line in lines if " # " not in line] == []


def test_constant() -> None:
    assert trajectory(spec("constant")) == [1.0] * K


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_linear_is_torchs(final: float) -> None:
    same(
        trajectory(spec("linear", final=final)),
        of_torch(lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=final, total_iters=K)),
    )


@pytest.mark.parametrize("final", [0.0, 0.01, 1.0])
def test_cosine_is_torchs(final: float) -> None:
    same(
        trajectory(spec("cosine", final=final)),
        of_torch(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=K, eta_min=final)),
    )


@pytest.mark.parametrize("steps", [7, 10, 100, 120, 977])
@pytest.mark.parametrize("percent", [[50, 75], [30, 60, 90], [29, 57], []])
def test_step_is_torchs(steps: int, percent: list[int]) -> None:
    reached = [math.ceil(p * steps / 100) for p in percent]  # the first step at or after the share
    same(
        trajectory(spec("step", milestones=[p / 100 for p in percent], factor=0.2), steps),
        of_torch(lambda o: lr_scheduler.MultiStepLR(o, reached, gamma=0.2), steps),
    )


def test_step_forgives_the_rounding_of_a_milestone() -> None:
    assert 0.1 + 0.2 > 3 / 10
    assert trajectory(spec("step", milestones=[0.1 + 0.2], factor=0.5), steps=10) == [1.0] * 3 + [0.5] * 7


def test_step_with_factor_zero_switches_off() -> None:
    assert trajectory(spec("step", milestones=[0.5], factor=0)) == [1.0] * 60 + [0.0] * 60


@pytest.mark.parametrize("rate", [0.0, 1e-6, 0.03])
def test_inverse_time_is_keras_decay(rate: float) -> None:
    same(trajectory(spec("inverse_time", rate=rate)), [1 / (1 + rate * t) for t in range(K)])


@pytest.mark.parametrize("half", [0.01, 0.1, 2.0])
def test_log_time_is_inverse_time_in_shares_of_training(half: float) -> None:
    found = trajectory(spec("log_time", half=half))
    same(found, [half * K / (half * K + t) for t in range(K)])  # λ of ADANA's code: ω/(T/10 + t) over its first
    same(found, trajectory(spec("inverse_time", rate=1 / (half * K))))


@pytest.mark.parametrize("warmup", [0.0, 3.0])
def test_log_time_adds_up_to_the_log_of_time(warmup: float) -> None:
    long = trajectory(spec("log_time", half=0.1, warmup=warmup), steps=40_000)
    rest = 1 - warmup / EPOCHS  # the rise adds up to half its length
    assert sum(long) / 40_000 == pytest.approx(rest * 0.1 * math.log(11) + (1 - rest) / 2, rel=1e-3)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("steps", [60, 120, 1320])
@pytest.mark.parametrize("period", [1, 2, 3])
def test_warm_restarts_are_torchs(factor: int, steps: int, period: int) -> None:
    first = period * steps // EPOCHS
    same(
        trajectory(spec("warm_restarts", period=period, factor=factor, final=0.05), steps),
        of_torch(
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=first, T_mult=factor, eta_min=0.05),
            steps,
        ),
    )


@pytest.mark.parametrize("peak_at", [0.25, 0.3, 0.5])
def test_one_cycle_is_torchs(peak_at: float) -> None:
    # torch's cycle ends at its last step, ours at the end of training: one step more makes them agree.
    same(
        trajectory(spec("one_cycle", peak_at=peak_at, start=0.1, final=1e-3)),
        of_torch(
            lambda o: lr_scheduler.OneCycleLR(
                o,
                max_lr=1.0,
                total_steps=K + 1,
                pct_start=(peak_at * K + 1) / (K + 1),
                anneal_strategy="cos",
                cycle_momentum=False,
                div_factor=10,
                final_div_factor=100,
            )
        ),
    )


def test_warm_up_then_cosine_is_torchs_sequence() -> None:
    ramp = 2 * K // EPOCHS

    def sequence(o: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        first = lr_scheduler.LinearLR(o, start_factor=0.1, end_factor=1.0, total_iters=ramp)
        then = lr_scheduler.CosineAnnealingLR(o, T_max=K - ramp, eta_min=0.01)
        return lr_scheduler.SequentialLR(o, [first, then], milestones=[ramp])

    same(trajectory(spec("cosine", final=0.01, warmup=2, warmup_start=0.1)), of_torch(sequence))


@pytest.mark.parametrize(
    ("options", "after"),
    [
        (
            spec("inverse_time", rate=0.01),
            lambda k: 1 / (1 + 0.01 * k),
        ),  # t from the end of warm-up
        (spec("log_time", half=0.2), lambda k: 1 / (1 + k / 18)),  # a fifth of the 90 steps that remain
        (
            spec("step", milestones=[0.5], factor=0.1),
            lambda k: 0.1 if k + 30 >= 60 else 1.0,
        ),
        (spec("warm_restarts", period=3, factor=1), lambda k: 0.5 * (1 + math.cos(math.pi * (k % 30) / 30))),
        (spec("linear", final=0.5), lambda k: 1 - 0.5 * k / 90),
    ],
    ids=lambda x: x["name"] if isinstance(x, dict) else "",
)
def test_units_hold_after_warm_up(options: dict[str, object], after: Callable[[int], float]) -> None:
    ramp = 30  # 3 of 12 epochs
    same(
        trajectory(options | {"warmup": 3}),
        [k / ramp for k in range(ramp)] + [after(k) for k in range(K - ramp)],
    )


def test_keys_of_warm_up_may_be_absent() -> None:
    spec_ = {"name": "cosine", "start": 1.0, "final": 10.0}
    s = schedules.build(spec_, epochs=EPOCHS, steps=K)  # as λ(p)/λ: 1 rising to 10
    assert (s(0.0), s(1.0)) == (1.0, 10.0)
    assert s(0.5) == pytest.approx(5.5, abs=1e-12)


shares = st.floats(0.0, 1.0)
options = st.one_of(
    st.just({"name": "constant"}),
    st.builds(lambda s, f: {"name": "linear", "start": s, "final": f}, shares, shares),
    st.builds(lambda s, f: {"name": "cosine", "start": s, "final": f}, shares, shares),
    st.builds(lambda b: {"name": "window", "begin": 0.0, "end": b}, st.floats(0.51, 1.0)),
    st.builds(
        lambda m, f: {"name": "step", "milestones": sorted(m), "factor": f},
        st.sets(st.floats(0.51, 0.99), max_size=4),
        shares,
    ),
    st.builds(lambda r: {"name": "inverse_time", "rate": r}, st.floats(0.0, 1e3)),
    st.builds(lambda h: {"name": "log_time", "half": h}, st.floats(1e-6, 1e3)),
    st.builds(
        lambda p, g, f: {"name": "warm_restarts", "period": p, "factor": g, "final": f},
        st.floats(0.01, 100.0),
        st.one_of(st.just(1.0), st.floats(1.0, 5.0)),
        shares,
    ),
    st.builds(
        lambda a, s, f: {"name": "one_cycle", "peak_at": a, "start": s, "final": f},
        st.floats(1e-3, 0.999),
        shares,
        shares,
    ),
)
trainings = st.fixed_dictionaries({"epochs": st.floats(1.0, 300.0), "steps": st.integers(1, 100_000)})


@given(options, trainings, st.floats(0.0, 0.5), shares, shares)
def test_multiplier_stays_in_0_1(spec_: dict, training: dict, warmup: float, start: float, p: float) -> None:
    """With final, start and factor in [0, 1] every schedule is finite and in [0, 1], at every progress."""
    full = spec_ | {"warmup": warmup * training["epochs"], "warmup_start": start}
    s = schedules.build(full, **training)
    for progress in (0.0, p, 1.0):
        assert -1e-12 <= s(progress) <= 1 + 1e-12


@given(options, trainings, st.floats(0.01, 0.5), shares)
def test_warm_up_meets_the_schedule(spec_: dict, training: dict, warmup: float, start: float) -> None:
    plain = schedules.build(spec_, **training)
    full = spec_ | {"warmup": warmup * training["epochs"], "warmup_start": start}
    s = schedules.build(full, **training)
    assert s(0.0) == pytest.approx(start * plain(0.0), abs=1e-12)
    assert s(warmup - 1e-8) == pytest.approx(plain(0.0), abs=1e-5)
    assert s(warmup) == pytest.approx(plain(0.0), abs=1e-12)


def test_schedules_are_functions_of_progress_alone() -> None:
    s = schedules.build(spec("warm_restarts", factor=2), epochs=EPOCHS, steps=K)
    forward = [s(k / K) for k in range(K)]
    assert [s(k / K) for k in reversed(range(K))] == forward[::-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "cosin"}, "schedule.name=cosin: must be one of constant, linear, cosine"),
        ({"name": None}, "schedule.name=null: must be one of"),
        ({"final": -0.1}, "schedule.final=-0.1: must be a number ≥ 0"),
        ({"final": math.nan}, "schedule.final=nan: must be a number ≥ 0"),
        ({"final": math.inf}, "schedule.final=inf: must be a number ≥ 0"),
        ({"final": True}, "schedule.final=true: must be a number"),
        ({"final": "abc"}, "schedule.final=abc: must be a number"),
        ({"final": None}, "schedule.final=null: must be a number"),
        ({"finall": 0.1}, "schedule.finall: unknown key; did you mean schedule.final?"),
        ({"warmup": -1}, "schedule.warmup=-1: must be a number ≥ 0"),
        ({"warmup": 12}, "schedule.warmup=12: must be less than the 12 epochs of training"),
        ({"warmup_start": 1.5}, "schedule.warmup_start=1.5: must be a number from 0 to 1"),
        (spec("step", milestones=0.5), "schedule.milestones=0.5: must be a list"),
        (
            spec("step", milestones=[1.5]),
            "schedule.milestones=[1.5]: must be a list of rising shares of training in (0, 1)",
        ),
        (spec("step", milestones=[0.7, 0.3]), "schedule.milestones=[0.7,0.3]: must be a list of rising shares"),
        (spec("step", warmup=6), "after the warm-up, which ends at 0.5"),
        (
            spec("window", begin=0.5, end=0.5),
            "schedule.end=0.5: must be a share of training after schedule.begin=0.5",
        ),
        (spec("window", begin=0.8), "schedule.end=0.5: must be a share of training after schedule.begin=0.8"),
        (spec("window", end=0), "schedule.end=0: must be a share of training after schedule.begin=0"),
        (
            spec("window", warmup=6),
            "schedule.end=0.5: must be a share of training after the warm-up, which ends at 0.5",
        ),
        *(
            (
                spec("window", begin=begin, warmup=3),
                f"schedule.begin={begin}: must be 0, or a share of training after the warm-up, which ends at 0.25",
            )
            for begin in (0.1, 0.25)  # from 0.25 on it would be open in the warm-up too, as from 0 on
        ),
        (spec("warm_restarts", period=0), "schedule.period=0: must be a number > 0"),
        (spec("warm_restarts", factor=0.5), "schedule.factor=0.5: must be a number ≥ 1"),
        (spec("log_time", half=0), "schedule.half=0: must be a number > 0"),
        (spec("one_cycle", peak_at=1), "schedule.peak_at=1: must be a number in (0, 1)"),
    ],
)
def test_a_wrong_value_is_one_sentence(changes: dict[str, object], message: str) -> None:
    wrong = changes if "warmup" in changes and "name" in changes else spec("cosine") | changes
    with pytest.raises(ConfigError) as caught:
        schedules.build(wrong, epochs=EPOCHS, steps=K)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_parameter_is_named_under_the_callers_key() -> None:
    with pytest.raises(
        ConfigError, match=r"^decay\.schedule\.final: missing; cosine takes start, final, warmup, warmup_start$"
    ):
        schedules.build({"name": "cosine", "start": 1.0}, epochs=EPOCHS, steps=K, key="decay.schedule")


def test_import_needs_no_torch() -> None:
    code = "import sys, wdrun.schedules; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_a_start_below_final_rises(name: str) -> None:
    """λ from γ₀ to γ_max (article 004), and DINO's 0.04 → 0.4, as shares of the largest."""
    s = schedules.build(spec(name, start=0.1, final=1.0), epochs=EPOCHS, steps=K)
    rising = [s(k / K) for k in range(K + 1)]
    assert (rising[0], rising[-1]) == (pytest.approx(0.1, abs=1e-15), pytest.approx(1.0, abs=1e-15))
    assert rising[K // 2] == pytest.approx(0.55, abs=1e-12)
    assert rising == sorted(rising)


@pytest.mark.parametrize(
    ("begin", "end", "on"),
    [(0.0, 0.5, range(60)), (0.5, 1.0, range(60, 120)), (0.0, 1.0, range(120)), (0.25, 0.5, range(30, 60))],
)
def test_window_is_on_between_begin_and_end(begin: float, end: float, on: range) -> None:
    assert trajectory(spec("window", begin=begin, end=end)) == [float(k in on) for k in range(K)]
    assert schedules.build(spec("window", begin=begin, end=end), epochs=EPOCHS, steps=K)(1.0) == float(end == 1.0)


def test_window_counts_the_warm_up() -> None:
    assert trajectory(spec("window", begin=0.5, end=1.0, warmup=3)) == [float(k >= 60) for k in range(K)]


def test_window_may_open_with_the_warm_up() -> None:
    rise = [k / 30 for k in range(30)]
    assert trajectory(spec("window", end=0.5, warmup=3)) == pytest.approx(rise + [1.0] * 30 + [0.0] * 60)


def test_renormalized_is_normalized_lambda_of_every_restart() -> None:
    """AdamWR: λ_i = λ_norm·√(b/(N·T_i)) = λ_norm/√(steps of restart i): 10, 20, 40 and 80 steps here."""
    options = {"schedule": spec("renormalized", period=1, factor=2), "normalized": True}
    s = schedules.of_lambda(options, epochs=EPOCHS, steps=K)
    lengths = [10] * 10 + [20] * 20 + [40] * 40 + [80] * 50
    same([s(k / K) for k in range(K)], [length**-0.5 for length in lengths])


def test_normalized_lambda_is_the_adamw_papers() -> None:
    batch, examples, epochs = 128, 128 * 300, 40
    options = {"schedule": spec("cosine"), "normalized": True}
    s = schedules.of_lambda(options, epochs=epochs, steps=epochs * examples // batch)
    assert s(0.0) == pytest.approx((batch / (examples * epochs)) ** 0.5, rel=1e-12)
    assert s(0.5) == pytest.approx(s(0.0) / 2, rel=1e-12)
