"""The grid of a sweep: the points of each axis, in order, the last axis varying fastest."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wdrun.config import axes
from wdrun.config.options import option_names

GRIDS = [
    ("lambda=1e-4,1e-3", [["lambda=0.0001"], ["lambda=0.001"]]),
    ("seed=range(0,3)", [["seed=0"], ["seed=1"], ["seed=2"]]),
    ("decay=l1,l2 seed=0,1 lr=1", [[d, s, "lr=1"] for d in ("decay=l1", "decay=l2") for s in ("seed=0", "seed=1")]),
    ("decay.scales=[],[[conv*,1]]", [["decay.scales=[]"], ["decay.scales=[[conv*,1]]"]]),
    ("lr=choice(1,2)", [["lr=1"], ["lr=2"]]),
    ("lr=sort(3,1,2)", [["lr=1"], ["lr=2"], ["lr=3"]]),
    ("seed=range(0,7,3)", [["seed=0"], ["seed=3"], ["seed=6"]]),
    ("lr=1", [["lr=1"]]),
    ("", [[]]),
    ("lr=log_range(1e-3,10,5)", [["lr=0.001"], ["lr=0.01"], ["lr=0.1"], ["lr=1"], ["lr=10"]]),
    ("lr=0,log_range(2,8,3)", [["lr=0"], ["lr=2"], ["lr=4"], ["lr=8"]]),
    ("lr=log_range(8,2,3),1", [["lr=8"], ["lr=4"], ["lr=2"], ["lr=1"]]),
    ("name='log_range(1,2,3)'", [["name='log_range(1,2,3)'"]]),
    ("lambda+lr=1e-4:0.1,1e-3:0.05", [["lambda=1e-4", "lr=0.1"], ["lambda=1e-3", "lr=0.05"]]),
    ("name+seed='a:b,c':1,d:2", [["name='a:b,c'", "seed=1"], ["name=d", "seed=2"]]),
    ("model.hidden+lr=[8,8]:1,[4]:2", [["model.hidden=[8,8]", "lr=1"], ["model.hidden=[4]", "lr=2"]]),
    (
        "seed=0,1 lambda+lr=1:2,3:4 fold=0",
        [[f"seed={s}", *z, "fold=0"] for s in (0, 1) for z in (["lambda=1", "lr=2"], ["lambda=3", "lr=4"])],
    ),
    ("folds=2 seed=0,1", [["data.folds=2", f"fold={f}", f"seed={s}"] for f in (0, 1) for s in (0, 1)]),
]


@pytest.mark.parametrize(("words", "jobs"), GRIDS)
def test_a_grid(words, jobs):
    assert axes.expand(words.split()) == jobs


def test_a_glob_takes_the_options_of_the_group():
    assert axes.expand(["decay=glob(l*,exclude=l2)"]) == [
        [f"decay={name}"] for name in option_names("decay") if name.startswith("l") and name != "l2"
    ]


def test_shuffle_keeps_the_values():
    assert sorted(axes.expand(["seed=shuffle(range(0,20))"])) == sorted(axes.expand(["seed=range(0,20)"]))


POSITIVE = st.floats(1e-300, 1e300).map(lambda x: f"{x:.3g}")


@settings(deadline=None, derandomize=True)
@given(POSITIVE, POSITIVE, st.integers(2, 50))
def test_log_range_is_even_in_the_logarithm(start, stop, count):
    lines = axes.expand([f"lambda=log_range({start},{stop},{count})"])
    values = [float(line[0].removeprefix("lambda=")) for line in lines]
    assert (len(values), values[0], values[-1]) == (count, float(start), float(stop))
    low, high = Decimal(start), Decimal(stop)
    for i, value in enumerate(values[1:-1], start=1):
        exact = low * (high / low) ** (Decimal(i) / (count - 1))
        assert abs(Decimal(value) / exact - 1) <= Decimal("5.0001e-6")  # half a unit of the sixth digit
        assert value == float(f"{value:.6g}")


@settings(deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=4), max_size=5))
def test_the_last_axis_varies_fastest(values):
    """Against counting: job number n takes, of the last axis, point n mod its length, and so on to the left."""
    words = [f"+k{i}={','.join(map(str, axis))}" for i, axis in enumerate(values)]
    jobs = axes.expand(words)
    assert len(jobs) == math.prod(map(len, values))
    for number, job in enumerate(jobs):
        for i, axis in reversed(list(enumerate(values))):
            number, place = divmod(number, len(axis))
            assert job[i] == f"+k{i}={axis[place]}"


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("lr=1", "lr"),
        ("+a.b=1,2", "a.b"),
        ("++a=1=2", "a"),
        ("~lr", "lr"),
        ("~lr=x", "lr"),
        ("a+b=1:2", "a+b"),
        ("", ""),
    ],
)
def test_the_key_of_a_word(word, key):
    assert axes.key_of(word) == key


@pytest.mark.parametrize(
    ("word", "keys", "axis"),
    [
        ("lr=1", ("lr",), False),
        ("+a.b=1,2", ("a.b",), True),
        ("~lr", ("lr",), False),
        ("a+b.c=1:2", ("a", "b.c"), True),
        ("folds=3", ("data.folds", "fold"), True),
        ("name='x=a+b'", ("name",), False),
        ("lr=log_range(1,2,2)", ("lr",), True),
    ],
)
def test_keys_of_a_word(word, keys, axis):
    assert (axes.keys(word), axes.is_axis(word)) == (keys, axis)
