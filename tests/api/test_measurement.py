"""Runs measured later from Python: values arrive as they are given."""

import pytest

import wdrun
from tests.api import SMALL


@pytest.fixture
def result(here):
    return wdrun.run("decay=l2", quiet=True, **SMALL)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"evaluate": "calibration"}, "evaluate=calibration"),
        ({"evaluate__blur": [1, 2]}, "evaluate=accuracy evaluate.blur=[1,2]"),
        ({"evaluate__blur": [1.5]}, "evaluate=accuracy evaluate.blur=[1.5]"),
        ({"evaluate__attack_examples": None}, "evaluate=accuracy evaluate.attack_examples=null"),
        ({"diagnostics": ["oui"]}, "evaluate=accuracy diagnostics=[oui]"),
        ({"diagnostics": ["histograms", "oui"], "weights": "best"}, "evaluate=accuracy diagnostics=[histograms,oui]"),
        ({"lam": [0.001], "seed": 0, "diagnostics": None}, "evaluate=accuracy"),
        ({"where": {"model.hidden": [8]}}, "evaluate=accuracy"),
    ],
    ids=str,
)
def test_what_is_given_is_what_is_measured(result, given, words):
    found = wdrun.evaluate(result, quiet=True, **given)
    assert set(found["words"]) == {words}
    assert set(found["weights"]) == {given.get("weights", "last")}
    assert set(found["dir"]) == {str(result.directory)}
