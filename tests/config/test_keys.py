"""Every key of a shipped config is known, and every shipped default is accepted."""

import math

import pytest

from wdrun.config.compose import compose
from wdrun.config.help import keys_of
from wdrun.config.keys import KEYS, check_key, flatten, in_section
from wdrun.config.options import GROUPS, conf_dir, option_names
from wdrun.config.parse import values
from wdrun.errors import ConfigError

OPTIONS = [f"{group}={name}" for group in GROUPS for name in option_names(group)]


@pytest.mark.parametrize("word", ["", *OPTIONS])
def test_a_shipped_default_is_accepted(word):
    for key, value in flatten(values(compose([word] if word else []))):
        check_key(key, value)


def test_the_keys_of_config_yaml_are_all_there():
    """Each key outside of the groups has an entry, so that no value of it goes unchecked."""
    named = {key for key, _, _ in keys_of((conf_dir() / "config.yaml").read_text(encoding="utf-8"))}
    assert named == {key for key in KEYS if key.partition(".")[0] not in GROUPS}


def test_a_key_of_a_group_is_one_that_an_option_of_it_has():
    shipped = {key for word in OPTIONS for key, _ in flatten(values(compose([word])))}
    assert {key for key in KEYS if key != "decay.weight"} <= shipped | {"decay.l1_ratio"}  # weight: of a chain's term


def test_flatten_keeps_what_is_one_value():
    node = {
        "lambda": 1.0,
        "early_stopping": {"patience": None},
        "decay": {"schedule": {"name": "cosine"}, "terms": [{"decay": "l2"}], "deep": {"er": {"x": 1}}},
        "model": {"hidden": {"not": "a list"}},
    }
    assert flatten(node) == [
        ("lambda", 1.0),
        ("early_stopping.patience", None),
        ("decay.schedule", {"name": "cosine"}),
        ("decay.terms", [{"decay": "l2"}]),
        ("decay.deep.er.x", 1),
        ("model.hidden", {"not": "a list"}),
    ]


def test_the_keys_of_a_section():
    assert in_section("require") == ["val_accuracy", "test_accuracy"]
    assert in_section("early_stopping") == ["patience"]


@pytest.mark.parametrize(
    ("key", "value", "kind", "message"),
    [
        ("lr", 0, None, "lr=0: must be a number > 0"),
        ("decay.terms[0].weight", -1, "decay.weight", "decay.terms[0].weight=-1: must be a number ≥ 0"),
        ("data.seed", math.nan, None,
         "data.seed=nan: must be a finite number, text, true, false, null or a list of these"),
        ("output_dir", "a\x1bb", None,
         "output_dir=a\x1bb: must be a finite number, text, true, false, null or a list of these"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit(key, value, kind, message):
    with pytest.raises(ConfigError) as caught:
        check_key(key, value, kind)
    assert str(caught.value) == message
