"""`wdrun evaluate`: lines, tables and codes; what an interrupted command leaves, and how the same one goes on."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios

import pytest

from tests import runs
from wdrun.errors import StorageError
from wdrun.sweep import evaluate, measurement
from wdrun.sweep.execute import execute
from wdrun.tables import evaluations
from wdrun.tables.columns import EVALUATIONS

COLUMNS = [column.name for column in EVALUATIONS["evaluation"]]


def trained(folder, *words):
    outcomes = execute(runs.jobs(folder, *words))
    assert {outcome.status for outcome in outcomes} == {"done"}
    return folder / "default", [outcome.directory for outcome in outcomes]


def rows(folder, name="evaluation"):
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def three(here):
    """A folder of three runs and their folders, by λ."""
    root, found = trained(here, "lambda=0,0.1,1")
    return root, sorted(found)


def test_a_line_a_row_where_stdout_is_no_terminal_and_the_tables(three, wdrun, capsys):
    root, found = three
    code, out, err = wdrun("evaluate", str(root), "evaluate=calibration", capture=capsys)
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [[*line] for line in lines] == [[*COLUMNS, "dir"]] * 9
    assert [line["dir"] for line in lines] == [str(run) for run in found for _ in range(3)]
    assert [line["split"] for line in lines] == ["train", "val", "test"] * 3
    assert [r for run in found for r in rows(run)] == rows(root)
    assert [{k: v for k, v in evaluations.typed(r).items() if v is not None} for r in rows(root)] == [
        {k: v for k, v in line.items() if v is not None and k != "dir"} for line in lines
    ]
    assert len(rows(root, "evaluation_layers")) == 3 * 2
    assert not (root / "evaluation_histograms.csv").exists()
    assert [line for line in err.splitlines() if re.match(r"[123]/3  linear-l2-lambda", line)] == err.splitlines()[:3]
    assert err.splitlines()[3:] == [f"tables   {root / 'evaluation.csv'}"]


def test_what_was_measured_before_is_told_again(three, wdrun, capsys):
    root, _ = three
    first = wdrun("evaluate", str(root), capture=capsys)
    again = wdrun("evaluate", str(root), capture=capsys)
    assert again[:2] == first[:2]
    assert again[2].splitlines() == ["3 runs measured before", f"tables   {root / 'evaluation.csv'}"]


@pytest.mark.parametrize(("word", "column", "other"), [
    ("precision=fp64", "precision_used", "fp64"), ("threads=2", "threads_used", "2"),
])  # fmt: skip
def test_without_a_word_it_is_measured_as_the_run_was(word, column, other, three, wdrun, capsys):
    root, (first, *_) = three
    usual = wdrun("evaluate", str(root), capture=capsys)[1]
    assert wdrun("evaluate", str(root), word, capture=capsys)[0] == 0
    assert {row[column] for row in rows(root)} == {other}
    assert wdrun("evaluate", str(root), capture=capsys)[1] == usual
    (row,) = rows(first, "run")
    assert {r[column] for r in rows(root)} == {row[column]} != {other}


def test_a_file_of_tables_stands_for_its_folder(three, wdrun, capsys):
    root, _ = three
    of_folder = wdrun("evaluate", str(root), capture=capsys)
    assert wdrun("evaluate", str(root / "runs.csv"), capture=capsys)[:2] == of_folder[:2]


def test_tables_that_were_handed_on_stay_as_they_are(three, here, wdrun, capsys):
    root, _ = three
    assert wdrun("evaluate", str(root), capture=capsys)[0] == 0
    (here / "mail").mkdir()
    sent = {path.name: path.read_bytes() for path in root.glob("*.csv")}
    for name, content in sent.items():
        (here / "mail" / name).write_bytes(content)
    assert wdrun("evaluate", str(here / "mail"), capture=capsys)[0] == 1
    assert {path.name: path.read_bytes() for path in (here / "mail").iterdir()} == sent


def test_filter_words_choose_among_the_runs(three, wdrun, capsys):
    root, found = three
    code, out, err = wdrun("evaluate", str(root), "lambda!=0.1", capture=capsys)
    assert code == 0, err
    assert {json.loads(line)["lambda"] for line in out.splitlines()} == {0.0, 1.0}
    assert [(run / "evaluation.csv").exists() for run in found] == [True, False, True]
    assert wdrun("evaluate", str(root), "lamda=1", capture=capsys)[::2] == (
        2, "wdrun: lamda: unknown setting of wdrun evaluate; did you mean lambda?\n",
    )  # fmt: skip


def test_a_run_by_its_folder_and_the_table_of_the_folder_above(three, wdrun, capsys):
    root, (first, second, _) = three
    assert wdrun("evaluate", str(second), capture=capsys)[0] == 0
    assert wdrun("evaluate", str(first), capture=capsys)[0] == 0
    assert rows(root) == rows(first) + rows(second)


def test_a_run_alone_writes_nothing_into_a_folder_that_is_not_wdruns(three, here, wdrun, capsys):
    _, (first, *_) = three
    (here / "mail").mkdir()
    first.rename(here / "mail" / first.name)
    assert wdrun("evaluate", str(here / "mail" / first.name), capture=capsys)[0] == 0
    assert [path.name for path in (here / "mail").iterdir()] == [first.name]


def test_it_fails_where_not_one_run_can_be_measured(three, wdrun, capsys):
    root, found = three
    for run in found:
        (run / "last.safetensors").unlink()
    code, out, err = wdrun("evaluate", str(root), capture=capsys)
    assert (code, out) == (1, "")
    assert [line.partition(": ")[0] for line in err.splitlines()] == [f"left out {run}" for run in found]
    assert not (root / "evaluation.csv").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "wdrun: wdrun evaluate: name a folder of results, such as outputs/default"),
        (("nowhere",), 2, "wdrun: nowhere: no such folder"),
        (("default", "weights=first"), 2, "wdrun: weights=first: must be last, best or ema: "),
        (("default", "evaluate=robust"), 2, "wdrun: evaluate=robust: must be one of accuracy, calibration, full, rob"),
        (
            ("default", "diagnostics=oui"),
            2,
            "wdrun: diagnostics=oui: must be a list of histograms, oui, hessian, rank; did you mean [oui]?",
        ),
        (("default", "diagnostics=[rotation]"), 2, "wdrun: diagnostics=[rotation]: rotation is measured of a training"),
        (("-m", "default"), 2, "wdrun: -m: wdrun evaluate does not take it"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(words, code, said, three, wdrun, capsys):
    got, out, err = wdrun("evaluate", *words, capture=capsys)
    assert (got, out) == (code, "")
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert not list(three[0].rglob("evaluation*"))


def test_a_regression_has_no_calibration_and_that_is_its_reason(here, wdrun, capsys):
    words = ("data=regression", "model=linear", "batch_size=4", "epochs=1", "threads=1", f"output_dir={here}")
    assert wdrun(*words, capture=capsys)[0] == 0
    code, _, err = wdrun("evaluate", "default", "evaluate=calibration", capture=capsys)
    assert code == 1
    assert err.endswith(": evaluate=calibration: calibration needs classes, and regression is a regression\n")
    code, out, _ = wdrun("evaluate", "default", capture=capsys)
    assert (code, [json.loads(line)["accuracy"] for line in out.splitlines()]) == (0, [None] * 3)


def on_a_terminal(*words, cwd, columns):
    """What a person sees of stdout, and the exit code."""
    own, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    child = subprocess.Popen(
        [sys.executable, "-m", "wdrun", *words],
        cwd=cwd,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": str(columns)},
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(own, 4096):
            seen += part
    except OSError:  # what Linux says when the other end is closed
        pass
    os.close(own)
    return child.wait(), seen.decode().replace("\r\n", "\n")


def test_a_person_gets_a_table(three, here):
    code, out = on_a_terminal("evaluate", "default", "evaluate=calibration", "lambda=0", cwd=here, columns=120)
    header, *lines = (line.split() for line in out.splitlines())
    assert code == 0
    assert header == ["run", "split", "data_loss", "accuracy", "ece", "brier", "margin"]
    (first, *_) = three[1]
    wanted = [[first.name, r["split"], *(f"{float(r[name]):.4f}" for name in header[2:])] for r in rows(first)]
    assert lines == wanted
    _, out = on_a_terminal("evaluate", "default", "lambda=0", cwd=here, columns=60)
    assert all(len(line) <= 60 for line in out.splitlines())
    assert all(f"{float(row['data_loss']):.4f}" in out for row in rows(first)), "no digit is cut"


def test_interrupted_it_keeps_what_is_measured_and_the_same_command_goes_on(three, monkeypatch, wdrun, capsys):
    root, found = three
    measured = evaluate.measured

    def second(directory, *rest):
        if directory == found[1]:
            os.kill(os.getpid(), signal.SIGTERM)
        return measured(directory, *rest)

    monkeypatch.setattr(evaluate, "measured", second)
    code, out, _ = wdrun("evaluate", str(root), capture=capsys)
    assert code == 143
    assert {json.loads(line)["dir"] for line in out.splitlines()} == {str(found[0])}
    assert [(run / "evaluation.csv").exists() for run in found] == [True, False, False]
    assert rows(root) == rows(found[0])
    monkeypatch.undo()
    monkeypatch.chdir(root.parent)
    before = (found[0] / "evaluation.csv").stat().st_mtime_ns
    code, out, err = wdrun("evaluate", str(root), capture=capsys)
    assert (code, len(out.splitlines())) == (0, 9)
    assert "1 run measured before" in err
    assert (found[0] / "evaluation.csv").stat().st_mtime_ns == before
    assert rows(root) == [r for run in found for r in rows(run)]


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_run_is_measured_only_when_all_of_its_tables_are_there(name, three, monkeypatch, wdrun, capsys):
    root, found = three
    words = ("evaluate", str(root), "diagnostics=[histograms]")
    write = evaluations.write_atomically

    def full(path, content, *remedy):
        if path.name == f"{name}.csv":
            raise StorageError(f"{path}: No space left on device")
        write(path, content, *remedy)

    monkeypatch.setattr(evaluations, "write_atomically", full)
    code, out, err = wdrun(*words, capture=capsys)
    assert (code, out) == (5, "")
    assert err.splitlines()[-1] == f"wdrun: {found[0] / name}.csv: No space left on device"
    monkeypatch.undo()
    monkeypatch.chdir(root.parent)
    code, _, err = wdrun(*words, capture=capsys)
    assert code == 0
    assert "measured before" not in err
    counts = [len(rows(root, table)) for table in EVALUATIONS]
    assert counts[:2] == [9, 6]
    assert sum(int(r["count"]) for r in rows(root, "evaluation_histograms")) == 3 * sum(
        int(r["numel"]) for r in rows(found[0], "evaluation_layers")
    )


def test_a_run_trained_anew_meanwhile_is_left_out(three, monkeypatch, wdrun, capsys):
    _, found = three
    finished, moments = measurement._finished, iter(["first", "anew"])
    monkeypatch.setattr(measurement, "_finished", lambda directory: finished(directory) | {"cause": next(moments)})
    code, _, err = wdrun("evaluate", str(found[0]), capture=capsys)
    assert code == 1
    assert f"left out {found[0]}: it was trained anew meanwhile; the same command measures it\n" in err
    assert not (found[0] / "evaluation.csv").exists()


def test_two_commands_at_once_end_with_the_rows_of_both(three, here):
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "wdrun", "evaluate", "default", word], cwd=here, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )
        for word in ("evaluate=accuracy", "evaluate=calibration")
    ]  # fmt: skip
    said = [command.communicate()[1] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], said
    for run in three[1]:
        assert sorted({row["words"] for row in rows(run)}) == ["evaluate=accuracy", "evaluate=calibration"]
        assert len(rows(run)) == 6


def test_the_report_draws_what_was_measured_later(three, wdrun, capsys):
    root, _ = three
    figures = root / "figures"
    assert wdrun("report", str(root), capture=capsys)[0] == 0
    assert not {"calibration.svg", "robustness.svg"} & {path.name for path in figures.iterdir()}
    words = ("evaluate=full", "evaluate.attack_examples=10")
    assert wdrun("evaluate", str(root), *words, capture=capsys)[0] == 0
    assert wdrun("report", str(root), capture=capsys)[0] == 0
    assert {"calibration.svg", "robustness.svg"} <= {path.name for path in figures.iterdir()}
    later = (figures / "robustness.svg").read_bytes(), (figures / "calibration.svg").read_bytes()
    assert wdrun(*runs.changed(runs.TINY, "-m", "lambda=0,0.1,1", "name=told", "evaluate=full",
                 "evaluate.attack_examples=10", "allow_diverged=true"), capture=capsys)[0] == 0  # fmt: skip
    assert wdrun("report", "outputs/told", capture=capsys)[0] == 0
    told = root.parent / "outputs" / "told" / "figures"
    assert ((told / "robustness.svg").read_bytes(), (told / "calibration.svg").read_bytes()) == later
