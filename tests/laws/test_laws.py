"""The laws hold for every decay × coupling × optimizer of conf/, and a broken decay is caught."""

import pytest
import torch

from wdrun import decay, laws
from wdrun.config.options import option_names

CASES = list(laws.cases())


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_law_of_a_pair(case, law):
    assert law(case) is None


@pytest.mark.parametrize("law", laws.COUPLING_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", [c for c in CASES if c.optimizer == "adam"], ids=lambda c: f"{c.decay}-{c.coupling}")
def test_law_of_a_coupling(case, law):
    assert law(case) is None


@pytest.mark.parametrize("answer", laws.KNOWN_ANSWERS, ids=lambda answer: answer.__name__)
def test_known_answer(answer):
    assert answer() is None


@pytest.mark.parametrize("law", laws.REGULARIZER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", option_names("decay"))
def test_law_of_a_regularizer(name, law):
    case = next(c for c in CASES if c.decay == name)
    if not laws.lacking(law, case):
        assert law(case) is None


@pytest.mark.parametrize("law", laws.REGULARIZER_LAWS, ids=lambda law: law.__name__)
def test_a_law_applies_to_the_decays_that_offer_what_it_looks_at(law):
    why = {c.decay: laws.lacking(law, c) for c in CASES}
    assert why["l2"] == ""
    assert why["swd"] == "a rule of its own"
    of = law.__name__[:4]
    assert why["box"] == {"grad": "no grad", "each": "no each", "prox": "no prox", "proj": ""}[of]
    assert why["hoyer_square"] == {"grad": "", "each": "no each", "prox": "no prox", "proj": "no project"}[of]
    assert sum(not reason for reason in why.values()) >= 9


def test_every_decay_and_every_coupling_has_a_case():
    assert {c.decay for c in CASES} == set(option_names("decay"))
    assert {c.coupling for c in CASES} == set(decay.COUPLINGS)
    assert {c.optimizer for c in CASES} == set(option_names("optimizer"))


def _law(name):
    every = (*laws.LAWS, *laws.COUPLING_LAWS, *laws.REGULARIZER_LAWS, *laws.KNOWN_ANSWERS)
    return next(law for law in every if law.__name__ == name)


@pytest.mark.parametrize(
    ("law", "coupling", "method", "broken"),
    [
        ("zero_is_none", "decoupled", "build", None),
        ("moves_its_scope", "decoupled", "grad", lambda self, w: 0 * w),
        ("gradient_is_derivative", "coupled", "grad", lambda self, w: 2 * w),
        ("each_adds_up", "coupled", "each", lambda self, w: 0.5 * w.square().sum()),
        ("prox_is_minimal", "proximal", "prox", lambda self, w, t: w / (1 + 2 * t)),
        ("prox_by_brute_force", "proximal", "prox", lambda self, w, t: w / (1 + 2 * t)),
        ("projection_is_nearest", "projected", "project", lambda self, w, r: w.clamp(-r / w.numel(), r / w.numel())),
        ("projection_by_brute_force", "projected", "project", lambda self, w, r: w.clamp(-r / 4, r / 4)),
    ],
)
def test_a_broken_decay_breaks_its_law(law, coupling, method, broken, monkeypatch):
    from wdrun.decay import base, l2

    if method == "build":  # λ = 0 no longer skips the decay, and Ω' is not finite
        monkeypatch.setattr(base, "is_off", lambda lam: False)
        monkeypatch.setattr(l2.L2, "grad", lambda self, w: torch.full_like(w, float("inf")))
    else:
        monkeypatch.setattr(l2.L2, method, broken)
    assert _law(law)(laws.Case("l2", coupling, "sgd")) is not None


def test_a_coefficient_that_is_not_a_factor_of_lambda_breaks_its_law(monkeypatch):
    true = decay.coefficients
    monkeypatch.setattr(decay, "coefficients", lambda *of: {n: c**2 for n, c in true(*of).items()})
    assert _law("scale_is_lambda")(laws.Case("l2", "decoupled", "sgd")) is not None


def test_a_wrong_coupling_breaks_the_formula(monkeypatch):
    from wdrun.decay import base

    wrong = base.COUPLINGS["decoupled"]._replace(after=base.COUPLINGS["independent"].after)
    monkeypatch.setitem(base.COUPLINGS, "decoupled", wrong)
    assert _law("shrinks_by_formula")(laws.Case("l2", "decoupled", "sgd")) is not None


def test_a_rule_that_keeps_something_outside_its_memory_does_not_resume(monkeypatch):
    from wdrun.decay.swd import Swd

    true = Swd.strength
    monkeypatch.setattr(Swd, "strength", lambda self, ctx: true(self, ctx) * (1 + id(self) % 1009))
    assert _law("resumes_from_its_memory")(laws.Case("swd", "decoupled", "adam")) is not None


def test_a_mask_that_leaks_breaks_the_scope(monkeypatch):
    from wdrun.decay import base

    leaky = base.COUPLINGS["decoupled"]._replace(
        after=lambda omega, w, new, u, k, knobs: new - knobs.lr * torch.as_tensor(k).mean() * w
    )
    monkeypatch.setitem(base.COUPLINGS, "decoupled", leaky)
    assert _law("slice_is_a_scope")(laws.Case("l2", "decoupled", "adam")) is not None


@pytest.mark.parametrize(
    ("answer", "method", "broken"),
    [
        ("limits_of_regularizers", "grad", lambda self, w: 1.01 * w),
        ("torch_weight_decay", "grad", lambda self, w: 1.01 * w),
        ("cautious_mask", "grad", lambda self, w: 1.01 * w),
        ("shrink_is_total_decay", "grad", lambda self, w: 1.02 * w),
        ("equilibrium_rotation", "grad", lambda self, w: 1.5 * w),
        ("ridge_regression", "grad", lambda self, w: 2 * w),
    ],
)
def test_a_wrong_l2_breaks_the_known_answers(answer, method, broken, monkeypatch):
    from wdrun.decay.l2 import L2

    monkeypatch.setattr(L2, method, broken)
    assert _law(answer)() is not None
