"""`wdrun transfer`: what it prints for a changed setting, the line to run, whom a word picks, and what it refuses."""

import json
import shlex

import pytest

import wdrun as api
from tests.selection.choices import grid
from wdrun.config import experiments
from wdrun.errors import ConfigError
from wdrun.tuning import transfer
from wdrun.tuning.transfer import Exponent

CELLS = {0: 1.0, 0.01: 0.99, 0.1: 0.9, 1: 0.915, 10: 1.2}


@pytest.fixture(autouse=True)
def _constant_tau(monkeypatch):
    """A rule of round numbers, whatever is measured for it."""
    errors = {"images": 0.25, "epochs": 0.25, "batch": 0.15, "parameters": 0.15, "lr": 0.0}
    exponents = {size: Exponent(float(size == "epochs"), error) for size, error in errors.items()}
    monkeypatch.setattr(transfer, "EXPONENTS", exponents)
    monkeypatch.setattr(transfer, "SCATTER", 0.15)


@pytest.fixture
def made(here):
    """l2, whose best is inside of what was tried, and l1, whose best is at its lower end."""
    grid("r", CELLS)
    return grid("r", {0.01: 0.5, 0.1: 0.6}, "decay=l1")


@pytest.fixture
def asked(wdrun, capsys):
    """Exit code, the lines of stdout, and stderr of `wdrun transfer`."""

    def call(*words):
        code, out, err = wdrun("transfer", *words, capture=capsys)
        return code, out.splitlines(), err

    return call


def run_of(lines):
    """The run of the line to paste."""
    (line,) = (line.removeprefix("run      ") for line in lines if line.startswith("run "))
    program, *words = shlex.split(line)
    assert program == "wdrun"
    return experiments.jobs(words, False)[0].run


def test_the_answer_is_the_equation_with_its_numbers(made, asked, here):
    before = sorted(here.rglob("*"))
    code, lines, err = asked("r", "decay=l2", "batch_size=8", "epochs=40")
    assert (code, err, sorted(here.rglob("*"))) == (0, "", before)  # it keeps nothing
    *told, last = lines
    assert told == [
        "decay=l2: λ = 0.0112 (0.0018 to 0.48) with lr = 0.02",
        "there    λ = 0.1 with lr = 0.02 is the best of 4 (0.032 to 3.2 within 0.0200 of its val_loss): D = 0.09, "
        "τ = 44.4 epochs",
        "changed  batch_size 64 → 8, epochs 4 → 40",
        "rule     constant τ in epochs: D = 0.09 × (40/4 epochs) = 0.9",
        "here     λ = 1 is D = 80.1 (0.9 there), so λ = 0.9/80.1 = 0.0112",
        "within   a factor of 4.3 by the rule (95 %), and what was as good there",
        "note     at 4 times the epochs the rule missed where it was tried: search the interval",
        "lr       0.02 as there; scale_lr=true takes 0.0025: ∝ batch under sgd, Goyal et al. 2017",
    ]
    run = run_of([last])
    assert (run.lam, run.lr, run.batch_size, run.epochs, run.model["hidden"]) == (0.0112, 0.02, 8, 40, [4])


def test_json_has_the_same_numbers_and_words(made, asked):
    code, lines, _ = asked("r", "--json", "decay=l1", "epochs=8", "scale_lr=true", "batch_size=16")
    (found,) = (json.loads(line)["transfer"] for line in lines)
    assert code == 0
    assert (found["facet"], found["refused"], found["low_there"], found["low"]) == ("decay=l1", None, None, None)
    assert found["changed"] == {"batch_size": ["64", "16"], "epochs": ["4", "8"], "lr": ["0.02", "0.005"]}
    assert found["D"] == pytest.approx(2 * found["D_there"])
    run = experiments.jobs(found["words"], False)[0].run
    assert (run.lam, run.lr, run.decay["name"]) == (found["lambda"], found["lr"], "l1")


def test_without_a_word_that_picks_each_facet_is_answered_and_each_setting(made, asked):
    _, lines, _ = asked("r", "decay.coupling=decoupled", "epochs=4,8")
    assert [line.partition(" (")[0] for line in lines if line.startswith("decay=")] == [
        "decay=l1: λ = 0.1", "decay=l2: λ = 1", "decay=l1: λ = 0.106", "decay=l2: λ = 1.06",
    ]  # fmt: skip
    assert lines.count("open     λ = 0.01 is the smallest that was tried there: the best may lie below it") == 2


def test_what_is_refused_of_one_facet_leaves_the_others(made, asked):
    code, lines, _ = asked("r", "decay=decoupled")
    assert (code, lines[0].partition(":")[0], lines[2].partition(" (")[0]) == (0, "decay=l1", "decay=l2: λ = 1")
    assert lines[0].endswith("decay=decoupled: must be l1, as in the runs there: λ of another regularizer is another "
                             "quantity; wdrun tune finds λ anew")  # fmt: skip
    assert run_of(lines).coupling == "decoupled"


def test_a_word_that_picks_a_facet_changes_nothing_of_it(here, asked):
    grid("r", CELLS, "decay.coupling=decoupled")
    grid("r", {0.01: 0.5, 0.1: 0.6}, "decay=l1")
    _, lines, _ = asked("r", "decay=L2", "epochs=8")
    assert "changed  epochs 4 → 8" in lines
    assert run_of(lines).coupling == "decoupled"
    _, lines, _ = asked("r", "decay=decoupled", "epochs=8")  # the same regularizer by another name
    assert "changed  epochs 4 → 8" in lines


def test_what_was_trained_on_another_machine_is_carried_here(here, asked):
    grid("r", CELLS, "device=cuda:7", "precision=tf32", "threads=64")
    code, lines, _ = asked("r", "device=cpu", "precision=fp32", "threads=1", "batch_size=32")
    assert (code, lines[0].partition(" (")[0]) == (0, "decay=l2: λ = 0.0429")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["optimizer=adam"],
            "optimizer=adam: must be sgd, as in the runs there: λ does not carry over to another family of optimizers; "
            "wdrun tune finds λ anew",
        ),
        (["lambda=0.1"], "lambda=0.1: leave it out; wdrun transfer says which λ to take"),
        (["tau=3"], "tau=3: leave it out; wdrun transfer says which λ to take"),
        (["experiment=smoke"], "experiment=smoke: leave it out; give the keys that are to change"),
        (["decay=none"], "decay=none: has no λ; name a decay, or leave it out"),
        (["scale_lr=yes"], "scale_lr=yes: must be true or false"),
        (["scale_lr=true", "lr=1"], "scale_lr=true: lr=1 is given too; both set lr"),
        (
            ["scale_lr=true", "batch_size+lr=8:1,16:2"],
            "scale_lr=true: batch_size+lr=8:1,16:2 is given too; both set lr",
        ),
        (
            ["scale_lr=true", "epochs=8"],
            "scale_lr=true: lr goes with the batch, which stays as it is; give batch_size= too",
        ),
        (["batch_siz=8"], "batch_siz: unknown key; did you mean batch_size?"),
        (["wd=8"], "wd: unknown key; write lambda=8 (with decay=l2)"),
    ],
)
def test_what_cannot_be_answered_is_one_line(made, asked, words, sentence):
    assert asked("r", *words) == (2, [], f"wdrun: {sentence}\n")


def test_a_folder_whose_best_was_no_decay_has_nothing_to_carry(here, asked):
    grid("none", {0: 0.4, 0.1: 0.5})
    assert asked("none", "epochs=8") == (2, [], "wdrun: λ = 0 was best there, so there is nothing to carry\n")
    assert asked("epochs=8")[2] == "wdrun: wdrun transfer: name a folder of results, such as outputs/default\n"


def test_a_setting_of_transfer_is_known_where_a_run_is_typed(asked, wdrun, capsys):
    code, _, err = wdrun("scale_lr=true", capture=capsys)
    assert (code, err) == (2, "wdrun: scale_lr: unknown key; it is a setting of wdrun transfer\n")


def test_a_lambda_that_cannot_act_is_said(here, asked):
    grid("r", {0: 1.0, 0.001: 0.9, 0.01: 1.2})
    _, lines, _ = asked("r", "batch_size=32")
    assert any(line.startswith("warning: this λ is too small to act (D < 0.05)") for line in lines)


def test_from_python_it_is_a_frame(made):
    table = api.transfer("r", decay="l2", epochs=[8, 16])
    assert list(table["lambda"]) == [0.106, 0.109]  # Σs of a cosine is not quite in proportion to its steps
    assert list(table["D"] / table["D_there"]) == [pytest.approx(2), pytest.approx(4)]
    assert "decay=l2" in table["words"][0]
    assert table["lines"][0][0].startswith("there    λ = 0.1")
    with pytest.raises(ConfigError, match="optimizer=adam: must be sgd"):
        api.transfer("r", optimizer="adam", quiet=True)
