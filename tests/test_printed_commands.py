"""The commands that the READMEs show do what they promise: each is run as printed, on little data."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.data.own_sets import as_folders, grey
from tests.documents import BLOCKS, DOCUMENTS, FRONT, ROOT, TEXTS, spans
from wdrun import selection
from wdrun.config import experiments
from wdrun.data import reading
from wdrun.tables.read import read_table
from wdrun.tuning import asking


def commands():
    """Every wdrun line of the documents' plain blocks, and of their inline code, once each."""
    found = {}
    for path in DOCUMENTS:
        plain = [block for where, language, block in BLOCKS if where == path and language == ""]
        parts = [part for block in plain for line in block.splitlines() for part in line.split(" && ")]
        for line in [*parts, *spans(path)]:
            if line.startswith(("wdrun ", "RAY_ADDRESS")) and not line.endswith(" …"):
                found.setdefault(line.replace("\\|", "|"), path)
    return list(found)


def kind_of(line):
    """How a command is tried: a name of the tests below."""
    for pattern, kind in (
        (r" \| ", "piped"),
        (r"verify .*=cubic", "own laws"),
        (r"=cubic", "example"),
        (r"HOST:|outputs/smoke$|experiment=smoke$", "elsewhere"),  # needs a cluster; the way from sweep to report
        (r"^wdrun tune \S+=", "asked"),
        (r"^wdrun (tune|transfer)|--watch$", "elsewhere"),  # of a folder: tests/sweep; tests/report/test_watching.py
        (r"hydra/", "engine"),
        (r"--(help|version|cfg|shell-completion)", "flag"),
        (r"data=(cifar100|torchvision)", "elsewhere"),  # needs a network; tests/data/
        (r"data\.root=(photos|my\.npz)", "own data"),
        (r"^wdrun data$", "data"),
        (r"^wdrun (bench|explain|verify)", "keeps nothing"),
        (r"^wdrun (status|select|best|report|evaluate)( |$)", "reads"),
        (r"experiment=|train_size=5000", "composed"),
    ):
        if re.search(pattern, line):
            return kind
    return "trains"


KINDS = {}
for command in commands():
    KINDS.setdefault(kind_of(command), []).append(command)

SMALL = ["data=synthetic", "data.train_examples=200", "data.test_examples=50", "epochs=1", "batch_size=32", "threads=1"]


def small(words):
    """As typed, but on little data and for one epoch; what the words say else stays."""
    given = {word.partition("=")[0] for word in words} - {"data", "epochs"}
    words = [word for word in words if not word.startswith("epochs=")]
    return [*words, *(word for word in SMALL if word.partition("=")[0] not in given)]


def called(words, capsys):
    """Exit code, stdout and stderr of the command line in this process."""
    from wdrun import cli

    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    return stop.value.code, *capsys.readouterr()


@pytest.mark.parametrize("line", KINDS["trains"])
def test_a_command_trains_as_printed(line, here, capsys):
    code, _, err = called(small(shlex.split(line)[1:]), capsys)
    assert code == (6 if "require" in line else 0), err
    assert len(list(here.glob("outputs/*/runs.csv"))) == 1


@pytest.mark.parametrize("line", KINDS["keeps nothing"])
def test_a_command_that_keeps_nothing_answers(line, here, capsys):
    words = shlex.split(line)[1:]
    extra = {"explain": ["data=synthetic"], "bench": [word for word in SMALL if not word.startswith("epochs")]}
    code, out, _ = called([*words, *extra.get(words[0], [])], capsys)
    assert (code, list(here.iterdir())) == (0, [])
    assert out


@pytest.mark.parametrize("line", KINDS["composed"])
def test_a_command_that_takes_minutes_is_sound(line):
    words = shlex.split(line)[1:]
    assert experiments.jobs([word for word in words if word != "-m"], "-m" in words)


@pytest.mark.parametrize("line", KINDS["asked"])
def test_a_question_can_be_asked_as_printed(line, here):
    assert asking.asked(shlex.split(line.replace("=NAME", "=lr_lambda"))[2:]).question.pairs
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("line", KINDS["flag"])
def test_a_flag_is_answered(line, shell, here):
    done = shell(*shlex.split(line)[1:])
    assert (done.returncode, list(here.iterdir())) == (0, []), done.stderr
    assert done.stdout


@pytest.mark.parametrize("line", KINDS["piped"])
def test_a_pipe_ends_in_what_it_promises(line, here):
    python = shlex.quote(sys.executable)
    ours = line.replace("wdrun ", f"{python} -m wdrun ", 1).replace(" 2>", f" {' '.join(SMALL)} 2>", 1)
    done = subprocess.run(["bash", "-c", ours.replace("| python", f"| {python}")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0 <= float(done.stdout) <= 1


@pytest.mark.launchers
@pytest.mark.parametrize("line", KINDS["engine"])
def test_an_engine_trains_as_printed(line, here):
    words = [re.sub(r"n_trials=\d+", "n_trials=2", word) for word in shlex.split(line)[1:]]
    command = [sys.executable, "-m", "wdrun", *words, *SMALL, "model=mlp"]  # the plugins' own warnings are not ours
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(here / "outputs/default/runs.csv")) == 2


@pytest.mark.cifar10
@pytest.mark.parametrize("line", KINDS["data"])
def test_the_data_are_there_after_it(line, capsys):
    code, out, err = called(shlex.split(line)[1:], capsys)
    assert code == 0, err
    assert "SHA-256 verified" in out


@pytest.mark.parametrize("line", KINDS["own data"])
def test_a_command_takes_the_users_own_images(line, here, capsys):
    np.savez(here / "my.npz", **grey())
    as_folders(here / "photos", {"train": 120, "test": 12})
    words = shlex.split(line)[1:]
    code, out, err = called(words if words[0] == "data" else [*words, "epochs=1", "threads=1"], capsys)
    assert code == 0, err
    assert ("3 classes" in out) == (words[0] == "data")


def test_the_block_is_what_a_run_prints(capsys):
    (block,) = [block for path, language, block in BLOCKS if path == FRONT and language == "text"]
    code, out, err = called(["explain", "decay=l2", "lambda=1e-4"], capsys)
    assert code == 0, err
    assert set(block.splitlines()) <= set(out.splitlines())


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A folder in which the way from a sweep to its report was gone as printed, and what each command said."""
    folder = tmp_path_factory.mktemp("smoke")
    (story,) = [
        block.splitlines() for _, _, block in BLOCKS if block.startswith("wdrun experiment=smoke\nwdrun status")
    ]
    said = {}
    for line in story:
        words = [sys.executable, "-W", "error", "-m", "wdrun", *shlex.split(line)[1:]]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stderr)
        said[line.split()[1]] = done.stdout
    return folder, said


def test_the_way_from_a_sweep_to_its_report_is_as_printed(smoke):
    folder, said = smoke
    assert len(said["experiment=smoke"].splitlines()) == 12
    assert "12" in said["status"]
    assert "lambda" in said["select"]
    assert (folder / "outputs/smoke/selection.csv").is_file()
    assert said["best"].startswith("wdrun ")
    assert (folder / said["report"].strip()).read_text().startswith("<!doctype html>")


def on_smoke(line):
    """The words of a command that reads results, on those of `experiment=smoke`."""
    words = shlex.split(re.sub(r"DIR…?|outputs/\w+", "outputs/smoke", line))[1:]
    return tuple(words if len(words) > 1 else [*words, "outputs/smoke"])


@pytest.mark.parametrize("words", sorted(set(map(on_smoke, KINDS["reads"]))), ids=" ".join)
def test_a_command_that_reads_results_answers(words, smoke, monkeypatch, capsys):
    monkeypatch.chdir(smoke[0])
    code, out, err = called(words, capsys)
    assert code == 0, err
    assert out


@pytest.mark.parametrize("name", ["selection.csv", "leaderboard.csv"])
def test_the_columns_of_a_choice_are_those_that_are_written(name, smoke):
    text = TEXTS[ROOT / "wdrun/selection/README.md"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    told = [column for cell in cells for column in re.findall(r"`(\w+)`", cell)]
    assert told == list(pd.read_csv(smoke[0] / "outputs/smoke" / name).columns)


def test_the_files_of_a_run_and_of_a_folder_are_told_of(smoke):
    root = smoke[0] / "outputs/smoke"
    told = set(spans(ROOT / "wdrun/tables/README.md"))
    run = next(root.glob("*/run.csv")).parent
    written = {p.name for p in [*root.iterdir(), *run.iterdir()] if p.is_file() and p.name != ".lock"}
    assert written <= told


def test_there_are_commands_to_try():
    assert len(KINDS["trains"]) >= 10
    assert len(KINDS["reads"]) >= 4
    assert len(KINDS["asked"]) >= 5


def test_the_figures_it_shows_are_there_with_the_tables_they_were_made_from():
    shown = [ROOT / path for path in re.findall(r"\]\((outputs/examples/[^)]*)\)", TEXTS[FRONT])]
    assert len(shown) == 2
    for figure in shown:
        assert figure.read_bytes().startswith(b"\x89PNG")
        runs, kept = read_table(figure.parent / "runs.csv"), pd.read_csv(figure.parent / "selection.csv")
        columns = ["lambda_min", "lr_min", "n", "mean"]
        if (figure.parent / "verdict.csv").is_file():  # its runs that tell the verdict choose nothing
            runs = runs[runs["seed"] < 1000]
        else:
            columns += ["lambda_1se", "difference", "difference_low", "test_accuracy"]
        chosen = selection.select(runs).choices
        np.testing.assert_allclose(chosen[columns].to_numpy(float), kept[columns].to_numpy(float), rtol=1e-9)


def test_the_verdicts_it_shows_follow_from_the_fresh_runs_kept_beside_them():
    kept = ROOT / "outputs/examples/which_decay"
    runs, verdicts = pd.read_csv(kept / "runs.csv"), pd.read_csv(kept / "verdict.csv")
    fresh = runs[runs["seed"] >= 1000].pivot(index="seed", columns="decay", values="val_loss")
    assert list(verdicts["verdict"]) == ["better"] * 3
    for row in verdicts.itertuples():
        one, other = (name.removeprefix("decay=").replace("λ = 0", "none") for name in (row.facet, row.against))
        differences = (fresh[one] - fresh[other]).head(row.pairs)
        np.testing.assert_allclose(differences.mean(), row.difference, rtol=1e-12)
        assert f"{-row.difference:.3f}" in TEXTS[FRONT]
    first = verdicts.iloc[0]
    assert (
        f"{-first.difference:.3f} nats ({-first.high:.3f} to {-first.low:.3f}), at λ = {first['lambda']}"
        in TEXTS[FRONT]
    )
    assert f"{len(runs)} runs, told on fresh seeds" in TEXTS[FRONT]


def test_the_python_example_runs(here, monkeypatch, capsys):
    (example,) = [block for path, language, block in BLOCKS if path == FRONT and language == "python"]
    small = example.replace('data="synthetic"', 'data="synthetic", **{"data.train_examples": 200, "model": "mlp"}')
    assert small != example
    names = {}
    exec(small, names)
    assert names["result"].status == "done"
    assert not names["model"].training
    assert "accuracy" in capsys.readouterr().out


def test_the_python_example_of_a_sweep_runs(here, monkeypatch):
    small = python_of("api").replace("epochs=2", "epochs=2, **{'data.train_examples': 200, 'threads': 1}")
    names = {}
    exec(small, names)
    assert list(names["sweep"].runs["status"]) == ["done"] * 6
    assert names["result"].definition.lam == names["selection"].choices["lambda_min"].item()
    assert names["figure"].axes


def test_results_go_elsewhere_without_their_weights(smoke, tmp_path, capsys):
    folder, said = smoke
    (line,) = [block for _, language, block in BLOCKS if language == "bash"]
    archive = tmp_path / "smoke.tar.gz"
    subprocess.run(["bash", "-c", line.replace("smoke.tar.gz", str(archive))], cwd=folder, check=True)
    subprocess.run(["tar", "-xzf", archive], cwd=tmp_path, check=True)
    names = {path.name for path in (tmp_path / "outputs").rglob("*")}
    assert {"run.csv", "runs.csv", "config.yaml"} <= names
    assert not [name for name in names if "safetensors" in name or name.startswith("checkpoint")]
    code, out, _ = called(["best", str(tmp_path / "outputs/smoke")], capsys)
    assert (code, out) == (0, said["best"])


def test_a_sweep_is_read_in_pandas(smoke, monkeypatch, capsys):
    monkeypatch.chdir(smoke[0])
    names = {}
    exec(python_of("tables"), names)
    assert len(names["runs"]) == 12
    assert "mean" in capsys.readouterr().out
    (span,) = [s for s in spans(ROOT / "wdrun/tables/README.md") if s.startswith("pandas.read_csv")]
    assert list(eval(span, {"pandas": pd})["id"]) == list(names["runs"]["id"])


def python_of(room):
    """The one Python example of a room's README."""
    (example,) = [
        block
        for path, language, block in BLOCKS
        if path == ROOT / "wdrun" / room / "README.md" and language == "python"
    ]
    return example


def test_a_run_trains_from_python_without_a_folder(here, capsys):
    small = python_of("training").replace('"epochs=2"', '"epochs=2", "data.train_examples=200", "threads=1"')
    names = {}
    exec(small, names)
    assert names["weights"].shape == (64, 3072)
    d, *epochs = capsys.readouterr().out.splitlines()
    assert float(d.removeprefix("D = ")) == pytest.approx(names["trainer"].budget.total, rel=1e-2)
    assert [line.split()[:2] for line in epochs] == [["1", "running"], ["2", "done"]]
    assert "'test'" in epochs[1]
    assert list(here.iterdir()) == []


def test_words_become_jobs_from_python(here, capsys):
    exec(python_of("config"), {})
    lines = [line.split()[1:3] for line in capsys.readouterr().out.splitlines()]
    assert lines == [["0.0001", "0"], ["0.0001", "1"], ["0.001", "0"], ["0.001", "1"]]
    assert list(here.iterdir()) == []


def test_the_example_decay_needs_its_one_file_and_one_yaml(shell, here):
    (code,) = [block for _, language, block in BLOCKS if language == "python" and "class Cubic" in block]
    (options,) = [block for _, language, block in BLOCKS if language == "yaml"]
    (here / "cubic.py").write_text(code)
    (here / "mine" / "decay").mkdir(parents=True)
    (here / "mine" / "decay" / "cubic.yaml").write_text(options)
    (line,) = KINDS["example"]
    (laws,) = KINDS["own laws"]
    held = shell(*shlex.split(laws)[1:])
    assert (held.returncode, held.stderr) == (0, "imports cubic.Cubic (as decay)\n")
    assert held.stdout.endswith("every law holds\n")
    done = shell(*shlex.split(line)[1:], "model=mlp", "data.train_examples=200", "batch_size=32", "threads=1")
    assert done.returncode == 0, done.stderr
    assert "decay    cubic, coupled" in done.stderr
    refused = shell(*shlex.split(line)[1:], "decay.coupling=proximal")
    assert refused.returncode == 2
    assert "cubic has no prox, which proximal needs" in refused.stderr


def test_the_example_that_makes_pictures_alike(here):
    (code,) = [block for _, language, block in BLOCKS if language == "python" and "ImageOps" in block]
    for k, (mode, size) in enumerate([("RGB", (90, 70)), ("L", (64, 100)), ("RGB", (30, 30)), ("L", (64, 64))]):
        (here / "photos" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, 99).save(here / "photos" / "ab"[k % 2] / f"{k}.jpg")
    exec(code, {})
    found = reading.read(here / "small")
    assert (found.classes, found.parts["train"][0].shape) == (("a", "b"), (4, 64, 64, 3))


def test_the_example_of_a_gradient_alone_trains_without_a_penalty(shell, here):
    (code,) = [block for _, language, block in BLOCKS if language == "python" and "class Pull" in block]
    (options,) = [block for _, language, block in BLOCKS if language == "yaml"]
    (here / "pull.py").write_text(code)
    (here / "mine" / "decay").mkdir(parents=True)
    like = options.replace("name: cubic", "name: pull").replace("cubic.Cubic", "pull.Pull").replace("scale: 1.0\n", "")
    (here / "mine" / "decay" / "pull.yaml").write_text(like)
    words = ("--config-dir", "mine", "decay=pull", "lambda=0.1", "model=mlp", *SMALL)
    done = shell(*words)
    assert done.returncode == 0, done.stderr
    assert "budget   total decay D = " in done.stderr  # of the gradient alone
    found = pd.read_csv(here / "outputs/default/metrics.csv")
    assert found[["penalty", "objective"]].isna().all(axis=None)
    assert found["data_loss"].notna().all()
    held = shell("verify", "--config-dir=mine", "decay=pull")
    assert held.returncode == 0, held.stdout
    first, *_, last = held.stdout.splitlines()
    assert "not applicable: gradient_is_derivative (no value); " in first
    assert last.endswith("pairs, every law holds")
