"""Properties over thousands of random cases: what is typed, what is written and what is read back.

Every case is found from the test's own name (derandomize), and a failing one prints a line that replays it.
"""

import ast
import csv
import io
import itertools
import json
import math
import shutil
import string
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wdrun.config import axes, files
from wdrun.config.compose import _check, compose, opened
from wdrun.config.parse import parse
from wdrun.errors import ConfigError
from wdrun.report.markup import inert
from wdrun.selection import overrides
from wdrun.selection.intervals import picked_interval, pool, spread, t_interval
from wdrun.sweep import checkpoint
from wdrun.tables import aggregate, sound
from wdrun.tables.columns import TABLES
from wdrun.tables.read import load, read_table
from wdrun.tables.write import cell, csv_text, render, write_tables
from wdrun.wording import listed, short, sort_key, typed


def cases(number):
    """So many cases of a test, the same ones every time."""
    return settings(
        max_examples=number, deadline=None, derandomize=True, print_blob=True, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )  # fmt: skip


RUN = parse(compose(["data=synthetic", "model=mlp", "lambda=1e-4", "lr=0.1"])).run
FLOATS = st.floats() | st.sampled_from([5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0])
# No NUL, which the csv module of Python 3.11 cannot read, and no lone surrogate, which no file can hold.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60) | st.sampled_from(
    ['"', '""', ",", "a,b", '"a"', "\n", "\r\n", "a\rb", " ", "nan", "None", "NA", "null", "1e-4", "=cmd()", "λ" * 3000,
     "#", "\t", "'", "\u2028", "\ufeff", "true", "-", "'\"',\n,", "\x1a", "\u202e"]
)  # fmt: skip


def same_bits(a, b):
    return np.float64(a).tobytes() == np.float64(b).tobytes()


# Words

NAME = st.text(string.ascii_lowercase, min_size=1, max_size=6)
PLAIN = st.from_regex(r"[a-z][a-z0-9._-]{0,7}", fullmatch=True).filter(
    lambda word: word not in ("true", "false", "null", "nan", "inf")  # these Hydra writes in its own way
)
VALUE = PLAIN | st.integers(-99, 99).map(str) | st.floats(0, 1e9).map(repr)
AXES = st.dictionaries(NAME.filter(lambda k: k != "folds"), st.lists(VALUE, min_size=1, max_size=4), max_size=4)


@cases(1000)
@given(AXES)
def test_a_grid_is_the_brute_force_product(given_axes):
    words = [f"{key}={','.join(values)}" for key, values in given_axes.items()]
    expected = [
        [f"{key}={value}" for key, value in zip(given_axes, point, strict=True)]
        for point in itertools.product(*given_axes.values())
    ]
    assert axes.expand(words) == expected


@cases(300)
@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=5), st.lists(VALUE, min_size=2, max_size=3))
def test_keys_that_vary_together_are_one_axis(points, others):
    words = ["alpha+beta=" + ",".join(":".join(point) for point in points), "gamma=" + ",".join(others)]
    expected = [[f"alpha={a}", f"beta={b}", f"gamma={c}"] for (a, b), c in itertools.product(points, others)]
    assert axes.expand(words) == expected


@cases(300)
@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 9))
def test_a_range_is_pythons(start, stop, step):
    expected = [[f"seed={i}"] for i in range(start, stop, step)]
    if expected:
        assert axes.expand([f"seed=range({start},{stop},{step})"]) == expected
    else:
        with pytest.raises(ConfigError, match="holds no value"):
            axes.expand([f"seed=range({start},{stop},{step})"])


@cases(300)
@given(st.floats(1e-12, 1e12), st.floats(1e-12, 1e12), st.integers(2, 12))
def test_a_log_range_is_even_in_the_logarithm(start, stop, count):
    values = [float(word.partition("=")[2]) for (word,) in axes.expand([f"lr=log_range({start!r},{stop!r},{count})"])]
    assert (len(values), values[0], values[-1]) == (count, start, stop)
    ideal = np.exp(np.linspace(math.log(start), math.log(stop), count))
    np.testing.assert_allclose(values, ideal, rtol=6e-6)


@cases(1500)
@given(st.text(max_size=40))
def test_any_word_is_an_override_or_one_line_of_refusal(word):
    for reading in (lambda: axes.override(word), lambda: axes.expand([word]), lambda: _check(word, None)):
        with suppress(ConfigError):  # which is printed as one line, whatever its text; any other error fails
            reading()


HOSTILE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30) | st.sampled_from(
    ["'", '"', "\\", "\\\\", "\\'", "a b", "a,b", "{a:1}", "[1", "$", "#", "é λ", "range(0,3)", "null", "true", "1",
     ":", "'a','b'", "x=y", "interval(0,1)", "a\\", "~", "@", "…", "'", "???", " lead", "trail ", "a: b"]
)  # fmt: skip


@pytest.fixture(scope="module")
def composed():
    with opened() as function:
        yield function


@cases(500)
@given(HOSTILE.filter(lambda value: "${" not in value and value != "???"))  # OmegaConf's own: see another, missing
def test_a_quoted_value_arrives_as_it_was_typed(composed, value):
    """As `wdrun best` and the report write it: quotes, backslashes, commas, braces, anything printable."""
    assert composed([files.word("data.root", value), "data=cifar10"]).data.root == value


KNOBS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1e6, 1e6) | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME.map("key_{}".format), inner, max_size=3),
    max_leaves=5,
)


# Numbers and text in files


@cases(2000)
@given(FLOATS)
def test_a_number_in_a_cell_has_its_bits(value):
    text = cell(value)
    assert text == "" if math.isnan(value) else same_bits(float(text), value)
    for kind in (np.float64, float):
        assert cell(kind(value)) == text


@cases(1000)
@given(st.lists(st.tuples(FLOATS, TEXTS), min_size=1, max_size=4))
def test_any_table_is_whole_and_comes_back(rows):
    content = render(["data_loss", "cause"], [{"data_loss": x, "cause": t} for x, t in rows])
    header, back = sound.whole(Memory("t.csv", content))
    assert header == ["data_loss", "cause"]
    assert back == [[cell(x), cell(t)] for x, t in rows]
    assert csv_text([header, *back]) == content  # what was read and written again is the same file
    assert back == list(csv.reader(io.StringIO(content.decode(), newline="")))[1:]


@cases(1000)
@given(st.lists(st.tuples(FLOATS, TEXTS, st.integers(-(2**62), 2**62)), min_size=1, max_size=4))
def test_pandas_gives_the_same_bits(rows):
    names = ("data_loss", "cause", "examples")
    content = render(names, [dict(zip(names, row, strict=True)) for row in rows])
    table = read_table(io.BytesIO(content))
    for (x, cause, count), (_, row) in zip(rows, table.iterrows(), strict=True):
        assert math.isnan(row["data_loss"]) if math.isnan(x) else same_bits(row["data_loss"], x)
        assert row["cause"] == cell(cause)
        assert row["examples"] == count


@cases(500)
@given(st.lists(st.tuples(FLOATS, TEXTS), min_size=1, max_size=3), st.data())
def test_a_table_that_was_cut_is_whole_lines_or_refused(rows, data):
    content = render(["data_loss", "cause"], [{"data_loss": x, "cause": t} for x, t in rows])
    cut = content[: data.draw(st.integers(0, len(content)), label="bytes left")]
    _, whole = sound.whole(Memory("t.csv", content))
    try:
        header, back = sound.whole(Memory("t.csv", cut))
    except ValueError:
        return
    assert header == ["data_loss", "cause"]
    assert back == whole[: len(back)]


class Memory:
    """A file that is not on a disk."""

    def __init__(self, name, content):
        self.name, self.stem, self.read_bytes = name, name.partition(".")[0], lambda: content


# Run folders, their aggregation, and reading them back


def folder(root, name, run, status="running", cause="", losses=()):
    """A run folder of consistent tables: one row of metrics.csv for each loss."""
    tables = {table: [] for table in TABLES}
    tables["metrics"] = [{"epoch": i, "split": "val", "data_loss": x} for i, x in enumerate(losses, start=1)]
    directory = root / name
    directory.mkdir(parents=True)
    last = {"val_loss": losses[-1]} if losses else {}
    write_tables(directory, run, tables, last | {"status": status, "cause": cause})
    return directory


def written(root):
    return {name: (root / f"{name}.csv").read_bytes() for name in ("runs", *TABLES)}


def body(content):
    return sound.whole(Memory("x", content))[1]


RUNS = st.lists(
    st.tuples(
        st.sampled_from(["running", "interrupted", "failed"]), TEXTS, st.lists(FLOATS, max_size=3),
        st.integers(0, 99), st.floats(0, 1),
    ), min_size=1, max_size=4,
)  # fmt: skip


def made(root, runs, prefix=""):
    for number, (status, cause, losses, seed, lam) in enumerate(runs):
        folder(root, f"{prefix}run{number}", replace(RUN, seed=seed, lam=lam, fold=number), status, cause, losses)
    aggregate.write(root)


@pytest.fixture
def empty(tmp_path):
    """A new empty folder at each call, the one before gone."""
    place = tmp_path / "empty"

    def new():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    return new


@pytest.fixture(autouse=True)
def without_fsync(monkeypatch):
    """What is on the disk after a power cut is not what these tests ask."""
    monkeypatch.setattr("wdrun.storage.os.fsync", lambda descriptor: None)


@cases(100)
@given(RUNS, TEXTS)
def test_a_run_that_diverged_adds_its_rows_and_changes_no_other(empty, runs, cause):
    root = empty()
    made(root, runs)
    before = written(root)
    write_tables(
        (directory := folder(root, "run10", replace(RUN, seed=1000), "failed")), replace(RUN, seed=1000),
        {name: [] for name in TABLES}, {"status": "diverged", "cause": cause, "epochs_done": 0},
    )  # fmt: skip
    aggregate.write(root)
    after = written(root)
    assert {name: after[name] for name in TABLES} == {name: before[name] for name in TABLES}
    added = [row for row in body(after["runs"]) if row not in body(before["runs"])]
    assert [row[0] for row in added] == [replace(RUN, seed=1000).id]
    assert [row for row in body(after["runs"]) if row not in added] == body(before["runs"])
    shutil.rmtree(directory)
    aggregate.write(root)
    assert written(root) == before


@cases(100)
@given(RUNS, RUNS, st.randoms(use_true_random=False))
def test_the_tables_are_those_of_the_folders_in_name_order(empty, first, second, random):
    """However the folders came to be there, the whole is the parts one under another."""
    parts = []
    for prefix, runs in (("a", first), ("b", second)):
        made(root := empty(), runs, prefix)
        parts.append(written(root))
    root = empty()
    both = [*(("a", i, run) for i, run in enumerate(first)), *(("b", i, run) for i, run in enumerate(second))]
    for prefix, i, (status, cause, losses, seed, lam) in random.sample(both, len(both)):
        folder(root, f"{prefix}run{i}", replace(RUN, seed=seed, lam=lam, fold=i), status, cause, losses)
    aggregate.write(root)
    for name, content in written(root).items():
        assert body(content) == body(parts[0][name]) + body(parts[1][name])
    aggregate.write(root)
    found = load([root])
    order = found.runs["id"].drop_duplicates()
    assert len(order) == len({row[0] for row in body(written(root)["runs"])})
    assert all("holds the same run with another" in problem for problem in found.problems)  # drawn twice, not alike


@cases(150)
@given(RUNS)
def test_what_was_written_is_what_is_loaded(empty, runs):
    root = empty()
    made(root, runs)
    found = load([root])
    expected = {}
    for number, (status, cause, losses, seed, lam) in enumerate(runs):
        expected[replace(RUN, seed=seed, lam=lam, fold=number).id] = status, cell(cause), losses, lam
    assert set(found.runs["id"]) == set(expected)
    for _, row in found.runs.iterrows():
        status, cause, losses, lam = expected[row["id"]]
        assert (row["status"], row["cause"]) == (status, cause)
        assert same_bits(row["lambda"], lam)
        back = found.metrics.loc[found.metrics["id"] == row["id"], "data_loss"].tolist()
        assert len(back) == len(losses)
        assert all(math.isnan(b) if math.isnan(a) else same_bits(a, b) for a, b in zip(losses, back, strict=True))


# Runs and their ids

CHANGES = st.fixed_dictionaries(
    {}, optional={
        "lam": st.floats(0, 10), "lr": st.floats(1e-9, 10), "seed": st.integers(0, 2**40), "fold": st.integers(0, 9),
        "epochs": st.integers(1, 10**6), "batch_size": st.integers(1, 999),
        "precision": st.sampled_from(["fp32", "bf16"]),
    },
)  # fmt: skip
SEEN: dict[str, str] = {}


@cases(2000)
@given(CHANGES)
def test_equal_runs_have_equal_ids_and_others_other_ones(changes):
    run, again = replace(RUN, **changes), replace(RUN, **dict(reversed(changes.items())))
    knobs = json.dumps(run.knobs, sort_keys=True)
    assert run.id == again.id
    assert SEEN.setdefault(run.id, knobs) == knobs
    assert (run.id == RUN.id) == (run.knobs == RUN.knobs)
    scalars = {"lam", "lr", "seed", "fold"} >= changes.keys()
    assert (run.structure == RUN.structure) or not scalars
    assert run.slug.endswith(run.id)
    assert set(run.slug) <= set(string.ascii_letters + string.digits + "._-")
    assert len(run.slug) <= 120


@cases(500)
@given(st.permutations(list(RUN.data)), st.permutations(list(RUN.decay)))
def test_the_order_of_keys_is_not_in_the_id(data, decay):
    run = replace(RUN, data={k: RUN.data[k] for k in data}, decay={k: RUN.decay[k] for k in decay})
    assert (run.id, run.structure) == (RUN.id, RUN.structure)


@cases(2000)
@given(st.floats(allow_nan=False))
def test_a_number_as_a_person_writes_it_is_that_number(value):
    shown = short(value)
    assert float(shown) == pytest.approx(value, rel=1e-5, abs=0) or math.isinf(value)
    assert len(shown) <= 14
    assert float(typed(value)) == value  # in a command nothing may be lost


@cases(500)
@given(KNOBS)
def test_any_knob_written_as_a_word_is_read_back(value):
    """`wdrun best` writes any knob as a word; Hydra reads the same value from it."""
    assert plain(axes.override(files.word("++diagnostics", value)).value()) == value


def plain(value):
    """Without Hydra's quotes."""
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return getattr(value, "text", value)


# Checkpoints

DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]
SHAPES = st.lists(st.integers(0, 4), max_size=4)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda name: name != "__metadata__"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def tensors(draw):
    shape, kind, seed = draw(SHAPES), draw(st.sampled_from(DTYPES)), draw(st.integers(0, 2**32))
    random = np.random.default_rng(seed)
    raw = torch.from_numpy(random.integers(0, 256, (math.prod(shape), kind.itemsize), dtype=np.uint8))
    if kind is torch.bool:
        return (raw[:, 0] > 127).reshape(shape)
    return raw.reshape(-1).view(kind).reshape(shape)  # any bits: nan of every kind, ±inf, subnormal


@cases(600)
@given(st.dictionaries(NAMES, tensors(), max_size=4), st.dictionaries(NAME, JSON, max_size=3), st.booleans())
def test_any_state_survives_a_checkpoint(state, values, turned):
    if turned:
        state = {name: w.t() if w.ndim == 2 else w for name, w in state.items()}
    found, back = checkpoint.decode(checkpoint.encode(state, values))
    assert list(found) == list(state)
    for name, w in state.items():
        assert (found[name].dtype, found[name].shape) == (w.dtype, w.shape)
        assert bits(found[name]) == bits(w)
    assert repr(back) == repr(json.loads(json.dumps(values, sort_keys=True)))
    assert checkpoint.pack(found) == checkpoint.pack(state)  # as weights are kept: the same file


def bits(w):
    return w.contiguous().reshape(-1).view(torch.uint8).tolist() if w.numel() else []


@cases(600)
@given(st.dictionaries(NAMES, tensors(), max_size=2), st.data())
def test_any_change_of_a_checkpoint_is_noticed(state, data):
    content = bytearray(checkpoint.encode(state, {"epoch": 1}))
    where = data.draw(st.integers(0, len(content) - 1), label="byte")
    how = data.draw(st.integers(1, 255), label="xor")
    content[where] ^= how
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.decode(bytes(content))


# Statistics and sentences

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8)


@cases(1000)
@given(VALUES, st.randoms(use_true_random=False))
def test_statistics_do_not_know_the_order(values, random):
    x, y = np.array(values), np.array(random.sample(values, len(values)))
    assert spread(y) == pytest.approx(spread(x), rel=1e-9, abs=1e-9)
    low, high, _ = t_interval(x, 0.95)
    assert low <= x.mean() <= high
    assert t_interval(y, 0.95)[:2] == pytest.approx((low, high), rel=1e-9, abs=1e-6)
    wide = t_interval(x, 0.99)
    assert wide[0] <= low + 1e-9
    assert wide[1] >= high - 1e-9


@cases(300)
@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 10**6))
def test_an_interval_that_knows_of_the_choice_holds_the_plain_one(n, k, seed):
    d = np.random.default_rng(seed).normal(size=(n, k))
    plain, picked = t_interval(d[:, 0], 0.95), picked_interval(d[:, 0], k, pool(d), 0.95)
    assert picked.low <= plain.low + 1e-9
    assert picked.high >= plain.high - 1e-9
    shuffled = np.random.default_rng(seed + 1).permutation(d.T).T
    assert picked_interval(d[:, 0], k, pool(shuffled), 0.95)[:2] == pytest.approx(picked[:2])


@cases(2000)
@given(TEXTS | st.text(max_size=400))
def test_text_in_the_page_is_inert(value):
    shown = inert(value)
    assert not set(shown) & set("<>\"'")
    assert all(c.isprintable() for c in shown)
    assert len(shown) <= 6 * 400 * 2


@cases(1000)
@given(st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=5), min_size=1, max_size=12), st.integers(2, 8))
def test_a_list_in_a_sentence_names_or_counts_all(items, most):
    said = listed(items, most)
    named = said.replace(" and ", ", ").split(", ")
    if len(items) <= most:
        assert named == items
    else:
        assert named == [*items[: most - 1], f"{len(items) - most + 1} more"]


@cases(500)
@given(st.lists(st.one_of(TEXTS, FLOATS.map(repr)), max_size=6))
def test_values_have_one_order(items):
    ordered = sorted(items, key=sort_key)
    backwards = list(reversed(items))
    assert sorted(backwards, key=sort_key) == ordered
    numbers = [float(x) for x in ordered if sort_key(x)[0] is False]
    assert numbers == sorted(numbers)


ROWS = st.lists(
    st.tuples(st.sampled_from(["l1", "l2"]), st.sampled_from(["0", "0.1"]), st.sampled_from(["0", "1", "2"])),
    min_size=1, max_size=12,
)  # fmt: skip


@cases(500)
@given(ROWS)
def test_condensed_commands_give_back_their_lines(rows):
    lines = [tuple(f"{k}={v}" for k, v in zip(("decay", "lambda", "seed"), row, strict=True)) for row in rows]
    made = []
    for box in overrides.condensed(lines):
        made += [tuple(words) for words in axes.expand([f"{key}={','.join(values)}" for key, values in box.items()])]
    assert sorted(made) == sorted(set(lines))


def test_twenty_thousand_cases():
    """Those of this file with those of the others that run by default: `max_examples`, 100 where none is given."""
    total = 0
    for path in Path(__file__).parent.glob("test_*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        shared = {ast.unparse(n.targets[0]): asked(n.value) for n in body if isinstance(n, ast.Assign)}
        for function in (node for node in body if isinstance(node, ast.FunctionDef)):
            marks = {ast.unparse(node): node for node in function.decorator_list}
            if any(mark.startswith("given(") for mark in marks) and "pytest.mark.long" not in marks:
                found = [asked(node) or shared.get(mark) for mark, node in marks.items()]
                total += next(filter(None, found), 100)
    assert total >= 20_000


def asked(node):
    """How many cases `settings(max_examples=…)` or `cases(…)` asks for; None for another expression."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "cases":
        return node.args[0].value
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return next((word.value.value for word in keywords if word.arg == "max_examples"), None)


def test_the_frames_of_no_rows_have_their_columns():
    for name, columns in TABLES.items():
        frame = read_table(io.BytesIO(render([c.name for c in columns], [])))
        assert (list(frame.columns), len(frame)) == ([c.name for c in columns], 0), name
