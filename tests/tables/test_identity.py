"""Which run a row is of: cells read back as values, former ids by knobs, and ended runs before others."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import made_up
from tests.runs import run
from wdrun.config.run import canonical
from wdrun.tables.columns import run_row
from wdrun.tables.identity import filled, finished_first, identity, identity_of, plain, value
from wdrun.tables.write import cell

NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS
WORDS = st.text("abcwxyz_*.", min_size=1, max_size=5)
NESTED = st.lists(
    st.recursive(SCALARS | WORDS, lambda v: st.lists(v, max_size=3) | st.dictionaries(WORDS, v)), max_size=4
)


@given(SCALARS | WORDS | NESTED)
def test_a_cell_is_read_back_as_the_value_in_canonical_form(given_value):
    found = value(cell(given_value))
    assert found == canonical(given_value)
    assert repr(found) == repr(canonical(given_value))


@pytest.mark.parametrize(
    "text", ["1_000", "0x10", "1e", "inf", "nan", "-", ".5", "[", "[a", "{1", "True", "1 000", "٣"]
)
def test_text_that_is_no_value_of_ours_stays_text(text):
    assert value(text) == text == plain(text)


@pytest.mark.parametrize(
    ("one", "other"), [("0", "0.0"), ("-0.0", "0"), ("[['a', 1.0]]", "[['a', 1]]"), ("1e+22", "1e+22")]
)
def test_plain_is_one_text_for_one_value(one, other):
    assert plain(one) == plain(other)


def test_plain_keeps_true_apart_from_1():
    assert len({plain(text) for text in ("true", "1", "[True]", "[1]", "")}) == 5


@pytest.mark.parametrize("words", [
    (), ("model=cnn", "augment=cutout"), ("decay=chain",), ("decay.scales=[[a*,1.0],[b,0]]", "decay.schedule=with_lr"),
    ("model._target_=my.Net", "+model.x=[1.5,true,null,{a:-0.0}]"), ("data.noise=0", "evaluate=full", "lambda=5e-324"),
])  # fmt: skip
def test_a_row_of_a_former_id_has_the_id_of_its_knobs(words):
    one = run(*words)
    row = {key: cell(item) for key, item in run_row(one, {}).items()}
    assert identity(row) == one.id
    assert identity(row | {"id": "1f2e3d4c", "dir": "/somewhere", "data.root": "/elsewhere"}) == one.id
    assert identity(row | {"id": "1f2e3d4c", "lr": "0.3"}) != one.id


def test_a_folder_without_a_sound_row_is_known_by_its_config(tmp_path):
    folder = made_up.run(tmp_path, 0.1)
    assert identity_of(folder) == "llllllll"
    (folder / "run.csv").write_text("cut")
    (folder / "config.yaml").write_text("lambda: 0.5\nmodel: {name: mlp, dropout: 0}\n")
    known = identity_of(folder)
    (folder / "config.yaml").write_text("lambda: 0.5\nmodel: {dropout: -0.0, name: mlp}\n")
    assert identity_of(folder) == known
    for broken in ("[", "text", "- 1"):
        (folder / "config.yaml").write_text(broken)
        with pytest.raises(ValueError, match=r"run\.csv is cut off"):
            identity_of(folder)


def test_of_folders_alike_but_for_a_former_id_the_ended_come_first(tmp_path):
    names = ["a-s0-11111111", "a-s0-bcdghjkl", "b-s0-11111111", "c-s0-ghjklmnp", "c-s0-klmnpqrs"]
    states = ["interrupted", "done", "interrupted", "interrupted", "done"]
    for name, status in zip(names, states, strict=True):
        made_up.run(tmp_path, 0.1, math.nan, status=status).rename(tmp_path / name)
    folders = [tmp_path / name for name in names]
    assert [folder.name for folder in finished_first(folders)] == [names[1], names[0], *names[2:]]
    (folders[0] / "run.csv").write_text("cut")
    assert [folder.name for folder in finished_first(folders)][:2] == [names[1], names[0]]


def test_a_knob_that_came_later_has_its_value_where_a_row_leaves_it_out_and_its_option_has_it():
    """An option has it that is shipped with it, or of which another row has it; null stays an empty cell."""
    runs = pd.DataFrame({
        "augment.name": ["flip_crop", "mixup", "none", "mine", "mine", "ours"],
        "augment.pad_mode": ["reflect", None, None, "reflect", None, None],
        "label_smoothing": [None, 0.1, None, None, None, None],
        "optimizer.name": ["adam", "adam", "sgd", "adamw", "sgd", "sgd"],
        "optimizer.amsgrad": [True, None, None, None, None, None],
        "optimizer.lr_scales": [None, None, None, None, None, "[['fc*', 2]]"],
        "ema": [None, None, None, None, None, 0.9],
    })  # fmt: skip
    found = filled(runs).astype(object).where(lambda frame: frame.notna(), None)
    assert found["augment.pad_mode"].tolist() == ["reflect", "zeros", None, "reflect", "zeros", None]
    assert found["label_smoothing"].tolist() == [0, 0.1, 0, 0, 0, 0]
    assert found["optimizer.amsgrad"].tolist() == [True, False, None, False, None, None]
    assert found["optimizer.lr_scales"].tolist() == ["[]"] * 5 + ["[['fc*', 2]]"]
    assert found["ema"].tolist() == runs["ema"].astype(object).where(runs["ema"].notna(), None).tolist()
    pd.testing.assert_frame_equal(filled(filled(runs)), filled(runs))
