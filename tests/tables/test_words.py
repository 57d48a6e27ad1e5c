"""The words of the commands that read results: folders that are there, settings that are known."""

import pytest

from wdrun.errors import ConfigError
from wdrun.tables.words import folders_and_settings

KNOWN = {"metric": "val_loss", "nuisance": ""}


def test_folders_and_settings_in_any_order(here):
    for name in ("a", "b=c"):
        (here / name).mkdir()
    folders, settings = folders_and_settings("select", ["nuisance=lr=1", "a", "b=c"], KNOWN)
    assert [str(folder) for folder in folders] == ["a", "b=c"]  # what is there is a folder, whatever its name
    assert settings == {"metric": "val_loss", "nuisance": "lr=1"}
    assert KNOWN["nuisance"] == ""


@pytest.mark.parametrize(("words", "why"), [
    ([], "wdrun select: name a folder of results, such as outputs/default"),
    (["metric=x"], "wdrun select: name a folder of results, such as outputs/default"),
    (["gone"], "gone: no such folder"),
    (["metrik=x"], "metrik: unknown setting of wdrun select; did you mean metric?"),
    (["q=x"], "q: unknown setting of wdrun select; select takes metric=, nuisance="),
])  # fmt: skip
def test_what_is_wrong_is_said(here, words, why):
    with pytest.raises(ConfigError) as caught:
        folders_and_settings("select", words, KNOWN)
    assert str(caught.value) == why


def test_a_command_without_settings_names_none(here):
    with pytest.raises(ConfigError, match=r"^q: unknown setting of wdrun status$"):
        folders_and_settings("status", ["q=x"], {})


def test_other_keys_are_filters_where_the_command_takes_them(here):
    for name in ("a", "b=c"):
        (here / name).mkdir()
    filters = []
    folders, settings = folders_and_settings(
        "select", ["a", "b=c", "lambda!=0.1", "metric=x", "epochs=2"], KNOWN, filters
    )
    assert [str(folder) for folder in folders] == ["a", "b=c"]
    assert settings == {"metric": "x", "nuisance": ""}
    assert filters == ["lambda!=0.1", "epochs=2"]
