"""The command as its user meets it: streams, exit codes, interruptions, sweeps, the flags that train nothing."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

import wdrun as package
from tests import runs
from tests.runs import changed
from wdrun import cli
from wdrun.config import commands
from wdrun.config.compose import compose
from wdrun.config.options import GROUPS, option_names
from wdrun.config.parse import parse
from wdrun.sweep import one_run
from wdrun.sweep.execute import execute

TINY = changed(runs.TINY, "epochs=1", "device=cpu")
STABLE = ("metrics.csv", "layers.csv", "run.csv", "last.safetensors")  # the same bytes however often a run was stopped


def results(out):
    return [json.loads(line) for line in out.splitlines()]


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


# The flags that train nothing


def test_help_shows_examples_then_every_option(wdrun, here, capsys):
    code, out, err = wdrun("--help", capture=capsys)
    assert (code, err, list(here.iterdir())) == (0, "", [])
    assert out.index("wdrun decay=l2 lambda=1e-4") < out.index("Exit codes") < out.index("decay=\n")
    for group in GROUPS:
        _, found, listed = out.partition(f"\n{group}=\n")
        assert found
        options = [line.split()[0] for line in listed.splitlines() if line.startswith("  ")]
        assert set(option_names(group)) <= set(options)
    for key in ("lambda=", "lr=", "seed=0", "epochs=10", "require.val_accuracy=null", "name=default"):
        assert f"  {key}" in out


@pytest.mark.parametrize("words", [["evaluate", "--json", "d"], ["--json", "evaluate", "d"]])
def test_what_a_command_cannot_read_is_named_without_another_folder_to_write_to(words, monkeypatch, capsys):
    def unreadable(*_):
        raise PermissionError(13, "Permission denied", "d/run.csv")

    monkeypatch.setattr(cli, "dispatch", unreadable)
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert (stop.value.code, capsys.readouterr().err) == (5, "wdrun: d/run.csv: Permission denied\n")


@pytest.mark.parametrize("name", commands.COMMANDS)
@pytest.mark.parametrize(
    "way", [["NAME", "--help"], ["NAME", "-h"], ["help", "NAME"], ["--help", "NAME"]], ids=" ".join
)
def test_each_command_has_its_own_help(wdrun, here, capsys, name, way):
    code, out, err = wdrun(*(name if word == "NAME" else word for word in way), capture=capsys)
    assert (code, err, list(here.iterdir())) == (0, "", [])
    assert out.startswith(f"wdrun {name} ")
    for setting in commands.COMMANDS[name].settings:
        assert f"  {setting.key}={setting.default}" in out
        assert " ".join(setting.accepts.words.split()) in " ".join(out.split())
    assert "Exit codes: 0 done" in out
    assert max(map(len, out.splitlines())) <= 116


def test_the_commands_that_are_described_are_those_that_are_there(wdrun, capsys):
    assert list(cli.COMMANDS) == list(commands.COMMANDS)
    code, _, err = wdrun("help", "selct", capture=capsys)
    assert (code, err.endswith("did you mean select?\n")) == (2, True)
    assert wdrun("help", capture=capsys) == wdrun("--help", capture=capsys)


@pytest.mark.parametrize(("words", "flag"), [(["select", "-m", "."], "-m"), (["report", "--cfg", "job", "."], "--cfg")])
def test_a_flag_that_a_command_would_ignore_is_refused(wdrun, capsys, words, flag):
    message = f"wdrun: {flag}: wdrun {words[0]} does not take it; see wdrun {words[0]} --help\n"
    assert wdrun(*words, capture=capsys) == (2, "", message)


def test_a_command_of_a_run_takes_the_config_of_one(wdrun, here, capsys):
    words = ["data=synthetic", "model=linear", "decay=l1", "lambda=0.25"]
    _, config, _ = wdrun("explain", *words, capture=capsys)
    (here / "config.yaml").write_text(yaml.safe_dump(parse(compose(words)).run.nested))
    code, again, _ = wdrun("explain", "--config", "config.yaml", capture=capsys)
    assert (code, again.splitlines()[:6]) == (0, config.splitlines()[:6])  # below them are lines to type
    assert wdrun("data", "--config", "config.yaml", capture=capsys)[0] == 0
    message = "wdrun: --config: wdrun select does not take it; see wdrun select --help\n"
    assert wdrun("select", "--config", "config.yaml", capture=capsys) == (2, "", message)


def test_help_beside_a_file_of_words_is_that_of_a_run(wdrun, capsys):
    assert wdrun("@words.txt", "--help", capture=capsys) == wdrun("--help", capture=capsys)


def test_help_lists_the_users_own_options(wdrun, here, capsys):
    (here / "mine" / "decay").mkdir(parents=True)
    (here / "mine" / "decay" / "quartic.yaml").write_text("# Ω = Σw⁴\nname: quartic\n")
    code, out, _ = wdrun("--help", "--config-dir=mine", capture=capsys)
    assert (code, "  quartic        Ω = Σw⁴\n" in out) == (0, True)
    assert "quartic" not in wdrun("--help", capture=capsys)[1]
    assert wdrun("--help", "--config-dir=nowhere", capture=capsys)[0] == 2


def test_version(wdrun, capsys):
    assert wdrun("--version", capture=capsys) == (0, f"wdrun {package.__version__}\n", "")


def test_cfg_job_shows_the_config(wdrun, here, capsys):
    code, out, err = wdrun("--cfg", "job", "decay=l1", "lambda=0.25", capture=capsys)
    assert (code, err, list(here.iterdir())) == (0, "", [])
    assert "name: l1\n" in out
    assert "lambda: 0.25\n" in out
    assert "lr: ${optimizer.lr}\n" in out
    assert "${" not in wdrun("--cfg=job", "--resolve", capture=capsys)[1]


def test_cfg_job_shows_every_job_of_a_sweep(wdrun, capsys):
    code, out, _ = wdrun("-m", "--cfg=job", "lambda=0.5,0.25", capture=capsys)
    assert (code, out.count("\n---\n"), "lambda: 0.5\n" in out, "lambda: 0.25\n" in out) == (0, 1, True, True)


LOADED = """
import sys
from wdrun import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
heavy = {"torch", "torchvision", "pandas", "scipy", "numpy", "matplotlib", "hydra"} & sys.modules.keys()
print(code, *sorted(heavy), file=sys.stderr)
"""


def loaded(here, *words):
    """The exit code of a command and the heavy libraries in its process at the end."""
    line = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(line, cwd=here, capture_output=True, text=True, check=True)
    code, *libraries = done.stderr.splitlines()[-1].split()
    return int(code), set(libraries)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["--cfg", "job"], ["lr=0"], ["decay=l3"]]
    + [[command, "--help"] for command in commands.COMMANDS],
    ids=" ".join,
)
def test_what_trains_nothing_imports_nothing_heavy(here, words):
    code, libraries = loaded(here, *words)
    assert code == (2 if "=" in words[0] else 0)
    assert libraries <= {"hydra"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a sweep of four finished runs."""
    folder = tmp_path_factory.mktemp("finished")
    execute(runs.jobs(folder, "lambda=0,1e-2", "seed=0,1", base=TINY))
    return folder / "default"


@pytest.mark.parametrize(
    ("command", "libraries"),
    [
        ("select", {"numpy", "pandas", "scipy"}),
        ("best", {"numpy", "pandas", "scipy", "hydra"}),
        ("status", set()),
        ("report", {"numpy", "pandas", "scipy", "matplotlib"}),
    ],
)
def test_what_reads_tables_loads_no_torch(here, finished, command, libraries):
    code, found = loaded(here, command, str(finished))
    assert code == 0
    assert found <= libraries


def test_completion(shell, here):
    installed = shell("--shell-completion", "install=bash")
    assert (installed.returncode, installed.stderr) == (0, "")
    assert "complete -o nospace -o default -F hydra_bash_completion" in installed.stdout
    done = shell("-sc", "query=bash", COMP_LINE="wdrun decay=", COMP_POINT="12")
    assert {f"decay={name}" for name in option_names("decay")} <= set(done.stdout.split())
    for typed, expected in (
        ("wdrun s", {"select", "status", "seed="}),
        ("wdrun select outputs/x m", {"metric=", "margin="}),
        ("wdrun report x metric=", {"metric=val_loss", "metric=val_accuracy"}),
        ("wdrun explain decay=hoyer", {"decay=hoyer_square"}),
        ("wdrun verify optimizer=adam", {"optimizer=adam", "optimizer=adamw"}),
        ("wdrun bench ro", {"rounds="}),
    ):
        done = shell("-sc", "query=bash", COMP_LINE=typed, COMP_POINT=str(len(typed)))
        assert expected <= set(done.stdout.split()), typed
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("wdrun @w", ["@words.txt"]),
        ("wdrun -m lr=1 @sub/", ["@sub/config.yaml"]),
        ("wdrun --config ", ["sub/", "words.txt"]),
        ("wdrun --config su", ["sub/"]),
        ("wdrun --config=sub/c", ["--config=sub/config.yaml"]),
        ("wdrun help s", ["status", "select"]),
        ("wdrun verify ", ["decay=", "coupling=", "optimizer="]),
        ("wdrun verify coupling=c", ["coupling=coupled", "coupling=cautious"]),
        ("wdrun --conf", ["--config", "--config-dir"]),
        ("wdrun @words.txt --config sub decay=l2_", ["decay=l2_ball", "decay=l2_init"]),
        ("wdrun --config=sub optimizer.nes", ["optimizer.nesterov="]),
    ],
)
def test_completion_knows_the_words_of_files(shell, here, line, found):
    (here / "words.txt").write_text("lr=1")
    (here / "sub").mkdir()
    (here / "sub" / "config.yaml").write_text("lr: 1")
    done = shell("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert (done.stdout.split(), done.returncode) == (found, 0)


def test_bash_completes_a_file_of_words(here):
    """Bash splits words at @ unless it is told not to."""
    (here / "words.txt").write_text("lr=1")
    script = f"""
    eval "$({sys.executable} -m wdrun --shell-completion install=bash)"
    case $COMP_WORDBREAKS in *@*) echo splits;; *) echo whole;; esac
    """
    done = subprocess.run(["bash", "-c", script], cwd=here, capture_output=True, text=True, timeout=120)
    assert done.stdout == "whole\n", done.stderr


def test_a_run_again_from_its_folder(wdrun, here, capsys):
    _, first, _ = wdrun(*TINY, "decay=l1", "lambda=1e-3", capture=capsys)
    folder = results(first)[0]["dir"]
    assert wdrun("--config", folder, capture=capsys)[:2] == (0, first)  # already done
    code, out, _ = wdrun("-m", f"--config={folder}/config.yaml", "seed=0,1", "lambda=0.5", capture=capsys)
    assert (code, [(r["decay"], r["lambda"], r["seed"]) for r in results(out)]) == (0, [("l1", 0.5, s) for s in (0, 1)])


# A run


def test_a_run_writes_one_line_and_its_tables(shell, here):
    done = shell(*TINY, "lambda=0.5", "name=first")
    assert done.returncode == 0, done.stderr
    (result,) = results(done.stdout)
    assert (result["status"], result["lambda"], result["decay"]) == ("done", 0.5, "l2")
    assert "Traceback" not in done.stderr
    assert "epoch 1/1" in done.stderr
    folder = here / "outputs" / "first"
    assert result["dir"] == str(next(path for path in folder.iterdir() if path.is_dir()))
    assert [row["id"] for row in table(folder / "runs.csv")] == [result["id"]]
    assert {row["split"] for row in table(folder / "metrics.csv")} == {"train", "val", "test"}


def test_a_finished_run_is_not_trained_again(wdrun, here, capsys, monkeypatch):
    first = wdrun(*TINY, capture=capsys)
    before = files(here / "outputs")
    monkeypatch.setattr(one_run, "train", lambda *given: pytest.fail("trained again"))
    code, out, err = wdrun(*TINY, capture=capsys)
    assert (code, out) == (0, first[1])
    assert err.startswith("already done: ")
    run_folders = {path: was for path, was in before.items() if path.parent.parent.name == "default"}
    assert run_folders
    assert {path: files(here / "outputs")[path] for path in run_folders} == run_folders


def test_a_sweep(wdrun, here, capsys):
    words = (*TINY, "decay=none,l2", "lambda=0.5,0.25", "seed=range(0,2)")
    code, out, err = wdrun("-m", *words, capture=capsys)
    assert code == 0
    assert err.startswith("8 jobs are 6 distinct runs (decay=none is the same run for every λ)\n")
    assert [(r["decay"], r["lambda"], r["seed"]) for r in results(out)] == [
        *(("none", 0.0, seed) for seed in (0, 1)),
        *(("l2", lam, seed) for lam in (0.5, 0.25) for seed in (0, 1)),
    ]
    root = here / "outputs" / "default"
    runs = table(root / "runs.csv")
    assert sorted(row["id"] for row in runs) == sorted(r["id"] for r in results(out))
    assert {row["status"] for row in runs} == {"done"}
    for name in ("metrics", "layers", "timing"):
        rows = [row for folder in sorted(root.iterdir()) if folder.is_dir() for row in table(folder / f"{name}.csv")]
        assert table(root / f"{name}.csv") == rows


def test_a_run_is_the_same_alone_and_in_a_sweep(wdrun, here, capsys):
    _, alone, _ = wdrun(*TINY, "seed=1", "name=alone", capture=capsys)
    _, swept, _ = wdrun("-m", *TINY, "seed=0,1", "name=swept", capture=capsys)
    (one,), (_, other) = results(alone), results(swept)
    for name in STABLE:
        paths = [here / "outputs" / n / os.path.basename(one["dir"]) / name for n in ("alone", "swept")]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    assert one | {"dir": ""} == other | {"dir": ""}


def test_config_dir_and_code_of_the_users(wdrun, here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (here / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom wdrun.decay import Regularizer\n\n@dataclass(frozen=True)\n"
        "class Quartic(Regularizer):\n    power: float = 4\n    def value(self, w):\n"
        "        return (w**self.power).sum()\n"
    )
    (here / "my conf" / "decay").mkdir(parents=True)
    yaml = "defaults: [_shared, _self_]\nname: quartic\n_target_: mine.Quartic\nlambda: 0.5\npower: 4\n"
    (here / "my conf" / "decay" / "quartic.yaml").write_text(yaml)
    code, out, err = wdrun("--config-dir", "my conf", *TINY, "decay=quartic", capture=capsys)
    assert (code, results(out)[0]["decay"]) == (0, "quartic"), err
    assert err.startswith("imports mine.Quartic (as decay)\n")


def test_a_closed_pipe_is_no_error(here):
    words = " ".join([*TINY, "'seed=range(0,3)'"])
    script = f"set -o pipefail; {sys.executable} -m wdrun -m {words} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=here, capture_output=True, text=True, timeout=120)
    line, code = done.stdout.splitlines()
    assert (json.loads(line)["seed"], code) in [(0, "141"), (0, "0")]
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


# Exit codes


OWN = """
from torch import nn

class Fails(nn.Module):
    def __init__(self, classes, fails=False):
        super().__init__()
        self.fails, self.flatten, self.fc = fails, nn.Flatten(), nn.Linear(3072, classes)
    def forward(self, x):
        if self.fails and len(x) > 4:  # more than the dry run of a sweep's networks has
            raise ArithmeticError("out of numbers\\nsecond line")
        return self.fc(self.flatten(x))
"""


def test_a_run_that_raises_does_not_stop_the_others(wdrun, here, capsys):
    (here / "failing_net.py").write_text(OWN)
    words = ("-m", *TINY, "model._target_=failing_net.Fails", "+model.fails=false,true", "seed=0,1")
    code, out, err = wdrun(*words, capture=capsys)
    found = results(out)
    assert (code, [r["status"] for r in found]) == (1, ["done", "done", "failed", "failed"])
    assert err.count("failed: ArithmeticError: out of numbers; traceback in ") == 2
    log = (here / found[2]["dir"] / "error.log").read_text()
    assert log.startswith("Traceback (most recent call last):\n")
    assert log.endswith("ArithmeticError: out of numbers\nsecond line\n")
    runs = table(here / "outputs" / "default" / "runs.csv")
    assert sorted(row["status"] for row in runs) == ["done", "done", "failed", "failed"]


DIVERGES = ("optimizer.momentum=0", "lr=1e6", "lambda=1e6", "epochs=3", "schedule=constant")


def test_a_diverged_run_is_code_3_unless_allowed(wdrun, capsys):
    code, out, err = wdrun(*TINY, *DIVERGES, capture=capsys)
    (result,) = results(out)
    assert (code, result["status"], result["test_accuracy"]) == (3, "diverged", None), err
    assert result["cause"]
    assert wdrun(*TINY, *DIVERGES, "allow_diverged=true", capture=capsys)[:2] == (0, out)


def test_a_missed_threshold_is_code_6(wdrun, capsys):
    code, out, err = wdrun(*TINY, "require.val_accuracy=0.99", capture=capsys)
    (result,) = results(out)
    folder = os.path.basename(result["dir"])
    assert code == 6
    assert err.endswith(f"require: val_accuracy {result['val_accuracy']:.4f} is below 0.99 in {folder}\n")
    assert wdrun(*TINY, "require.val_accuracy=0.001", capture=capsys)[:2] == (0, out)
    again = wdrun(*TINY, "require.val_accuracy=0.99", capture=capsys)  # the skipped run of an earlier command
    assert again[:2] == (6, out)
    assert again[2].count("require: ") == 1


def test_a_diverged_run_that_is_allowed_has_not_reached_a_threshold(wdrun, capsys):
    code, out, err = wdrun(*TINY, *DIVERGES, "allow_diverged=true", "require.val_accuracy=0.01", capture=capsys)
    folder = os.path.basename(results(out)[0]["dir"])
    assert code == 6
    assert err.endswith(f"require: val_accuracy (it diverged) is below 0.01 in {folder}\n")


FOUR = ("-m", *TINY, "epochs=3", "schedule=constant", "optimizer.momentum=0", "lr+lambda=0.01:0.1,1e6:1e6", "seed=0,1")


@pytest.mark.parametrize(("more", "lines", "code"), [
    ([], 4, 3), (["allow_diverged=true"], 4, 6), (["fuse=true"], 4, 3), (["parallel=2"], 4, 3),
    (["fail_fast=true"], 3, 3),
])  # fmt: skip
def test_a_sweep_tells_every_miss_whatever_else_went_wrong(wdrun, capsys, more, lines, code):
    found, out, err = wdrun(*FOUR, *more, "require.val_accuracy=0.99", capture=capsys)
    told = [line for line in err.splitlines() if line.startswith("require: val_accuracy ")]
    assert (found, len(told), len(set(told))) == (code, lines, lines)
    assert {r["dir"].rpartition("/")[2] for r in results(out)} == {line.split()[-1] for line in told}


def test_of_equal_runs_the_strictest_threshold_counts(wdrun, capsys):
    words = ("-m", *TINY, "require.val_accuracy=0.001,0.99,0.01")
    assert wdrun(*words, capture=capsys)[0] == 6


def test_an_interrupted_sweep_tells_the_misses_of_the_runs_that_ended(here):
    with start(here, "-m", "seed=range(0,30)", "epochs=1", "require.val_accuracy=0.99") as process:
        assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.count("\nrequire: ") == 1 + len(out.splitlines())


def test_python_hears_of_a_miss_too(here, capsys):
    result = package.run(*TINY, "require.val_accuracy=0.99")
    assert capsys.readouterr().err.endswith(f"is below 0.99 in {result.directory.name}\n")


def test_a_folder_in_use_is_code_4(wdrun, here, capsys):
    directory = parse(compose(TINY)).directory
    directory.mkdir(parents=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
         "print('held', flush=True); sys.stdin.read()", str(directory / ".lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        assert holder.stdout.readline() == "held\n"
        code, _out, err = wdrun(*TINY, capture=capsys)
        holder.stdin.close()
    assert code == 4
    assert f"{directory}: another process is training this run; wait for it or stop it" in err
    assert "Traceback" not in err
    assert wdrun(*TINY, capture=capsys)[0] == 0


# Interruptions

LONG = changed(TINY, "model=mlp", "model.hidden=[16]", "epochs=6", "batch_size=8", "data.train_examples=400")


def start(here, *words):
    command = [sys.executable, "-m", "wdrun", *LONG, *words]
    return subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_epoch(process, number):
    """Read stderr until that epoch is recorded; what was read."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(f"epoch {number}/"):
            return lines
    raise AssertionError("".join(lines))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Digests of the tables and weights of a run nobody stopped, and its line on stdout."""
    job = parse(compose([*LONG, f"output_dir={tmp_path_factory.mktemp('uninterrupted')}"]))
    (outcome,) = execute([job])
    return {name: digest(outcome.directory, name) for name in STABLE}, outcome.result() | {"dir": ""}


def digest(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_run_goes_on_and_ends_the_same(wdrun, here, capsys, uninterrupted, sent, code):
    with start(here) as process:
        until_epoch(process, 2)
        process.send_signal(sent)
        began = time.monotonic()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, "Traceback" in err) == (code, "", False)
    assert time.monotonic() - began < 10
    (folder,) = [path for path in (here / "outputs" / "default").iterdir() if path.is_dir()]
    epochs = [int(row["epoch"]) for row in table(folder / "metrics.csv") if row["split"] == "val"]
    assert epochs == list(range(1, len(epochs) + 1))
    (row,) = table(folder / "run.csv")
    assert row["status"] == ("running" if sent == signal.SIGKILL else "interrupted")
    assert ("the same command goes on from there" in err) == (sent != signal.SIGKILL)

    code, out, err = wdrun(*LONG, capture=capsys)
    # The checkpoint is written before the tables, so a kill can leave these one epoch behind.
    resumed = [int(line.split()[3]) for line in err.splitlines() if line.startswith("resuming after epoch ")]
    assert (code, resumed in ([[len(epochs)], [len(epochs) + 1]]), resumed[0] >= 2) == (0, True, True), err
    expected, result = uninterrupted
    assert {name: digest(folder, name) for name in STABLE} == expected
    assert results(out) == [result | {"dir": str(folder)}]


def test_an_interrupted_sweep_leaves_its_tables(here):
    with start(here, "-m", "seed=0,1") as process:
        tables = here / "outputs" / "default"
        while not any(len(path.read_text().splitlines()) > 1 for path in tables.glob("*/metrics.csv")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, _err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert [row["status"] for row in table(here / "outputs" / "default" / "runs.csv")] == ["interrupted"]
