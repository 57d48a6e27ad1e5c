"""Where wdrun runs and who reads it: terminals of any kind and width, any encoding, no current folder, no home."""

import errno
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from tests import runs
from tests.runs import changed
from wdrun import cli
from wdrun.terminal import screen

TINY = changed(runs.TINY, "epochs=1", "device=cpu")


# Streams

UNTAUGHT = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("environment", UNTAUGHT, ids=lambda environment: next(iter(environment.values())))
def test_any_encoding_is_written(here, environment):
    """λ and its like become what the encoding has, in every command; files are UTF-8 whatever it is."""

    def ended(*words):
        line, known = [sys.executable, "-m", "wdrun", *words], {**os.environ, **environment}
        return subprocess.run(line, cwd=here, env=known, capture_output=True, encoding="latin-1", timeout=300)

    done = ended("-m", *TINY, "lambda=0,0.01", "name=here", "parallel=2")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr
    lines = {
        "explain": [*TINY, "lambda=0.1"],
        "select": ["outputs/here"],
        "best": ["outputs/here"],
        "report": ["outputs/here"],
        "status": ["outputs/here"],
        "verify": ["decay=l2", "coupling=coupled", "optimizer=sgd"],
        "data": ["data=synthetic"],
        "--help": [],
        "help": ["select"],
        "--cfg": ["job"],
        "lr=−1": [],
    }
    said = {}
    for name, words in lines.items():
        done = ended(name, *words)
        said[name] = done.stdout + done.stderr
        assert (done.returncode, "Traceback" in said[name]) == (2 if "=" in name else 0, False), said[name]
    assert "lambda = 0.1 on" in said["explain"]
    table = said["select"].splitlines()
    header = table.index(next(line for line in table if line.startswith("lambda  ")))
    assert table[header + 2].startswith("0.01")
    assert table[header].index("lr") + len("lr") == table[header + 2].index("0.02") + len("0.02")  # one column
    assert "λ" in (here / "outputs" / "here" / "report.html").read_text(encoding="utf-8")
    for path in (here / "outputs" / "here").rglob("*.csv"):
        path.read_text(encoding="utf-8")


def on_terminal(here, *words, columns=80, **environment):
    """Exit code of the command on a terminal so wide, and all that it wrote there, whichever stream."""
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.chdir(here)
        os.execve(
            sys.executable, [sys.executable, "-m", "wdrun", *words], {**os.environ, "TERM": "xterm", **environment}
        )
    said = b""
    with suppress(OSError):  # EIO once the other end is closed
        while part := os.read(master, 65536):
            said += part
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode().replace("\r\n", "\n")


def test_a_person_reads_sentences_and_a_script_lines(here):
    sweep = ("-m", *TINY, "lambda=0,0.1")
    code, said = on_terminal(here, *sweep)
    assert (code, "{" in said, "best     val" in said) == (0, False, True)
    code, said = on_terminal(here, *sweep, "--json", "seed=1")
    lines = [line for line in said.split("\n") if "{" in line]
    assert (code, [json.loads(line[line.index("{") :])["seed"] for line in lines]) == (0, [1, 1])  # each line whole
    code, said = on_terminal(here, *TINY, "lambda=0")
    assert (code, "{" in said) == (0, False)
    assert "already done: " in said
    assert "\nresult   val " in said


def test_json_through_a_launcher(here):
    words = ("-m", "hydra/launcher=wdrun", *TINY, "seed=0,1")
    assert "{" not in on_terminal(here, *words)[1]
    assert on_terminal(here, *words, "--json")[1].count('{"id"') == 2


def test_a_dumb_terminal_gets_no_codes(here):
    for words in (["-m", *TINY, "lambda=0,0.1", "epochs=2"], [*TINY, "epochs=2"], ["select", "outputs/default"]):
        code, said = on_terminal(here, *words, TERM="dumb")
        assert (code, "\x1b" in said, "\r" in said) == (0, False, False)


@pytest.mark.parametrize("columns", [60, 80])
def test_help_and_explanations_keep_to_the_terminal(here, columns):
    for words in (["--help"], ["select", "--help"], ["help", "status"], ["explain", *TINY], ["verify", "decay=none"]):
        code, said = on_terminal(here, *words, columns=columns)
        assert code == 0
        long = [line for line in said.splitlines() if screen.cells(line) > columns]
        # what is to be pasted stays whole: a command, or a word that has no room beside its name
        assert all("wdrun " in line or max(map(len, line.split())) > columns // 2 for line in long), long


def test_sentences_of_every_command_keep_to_the_terminal(here):
    assert on_terminal(here, "-m", *TINY, "lambda=0,0.1")[0] == 0
    runs = here / "outputs" / "default"
    (damaged := runs / "damaged").mkdir()
    (damaged / "run.csv").write_text("no,run\n")
    for words in (
        [*TINY, "seed=7"], ["-m", *TINY, "seed=7,8"], ["decay=l3"], ["data", "data=synthetic"],
        *([name, "outputs/default"] for name in ("status", "select", "best", "report")),
    ):  # fmt: skip
        _, said = on_terminal(here, *words, columns=60)
        lines = re.sub(r"\x1b\[\d*[A-Za-z]", "", said).replace("\r", "\n").splitlines()
        long = [line for line in lines if screen.cells(line) > 60]
        # what is to be pasted stays whole: a command, or a path that has no room beside its name
        assert all("wdrun " in line or max(map(len, line.split())) > 30 for line in long), long
        assert not [line for line in lines if line.split() in (["s"], ["points"])]  # a unit without its number


def test_a_folder_that_may_not_be_read_is_said_without_a_remedy_of_runs(wdrun, here, capsys, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "outputs")

    monkeypatch.setattr("wdrun.tables.status.state", refused)
    assert wdrun("status", ".", capture=capsys) == (5, "", "wdrun: outputs: Permission denied\n")


# Folders and users

GONE = "wdrun: the current folder is gone (No such file or directory); cd to one that is there\n"


@pytest.mark.parametrize(
    "words",
    [[], ["-m", "seed=0,1"], ["--cfg", "job"], ["--info"], *([name, "x"] for name in cli.COMMANDS)],
    ids=" ".join,
)
def test_a_current_folder_that_is_gone_is_a_sentence(wdrun, tmp_path, monkeypatch, capsys, words):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert wdrun(*words, capture=capsys) == (5, "", GONE)
    assert wdrun("--version", capture=capsys)[0] == 0
    assert wdrun("--help", capture=capsys)[0] == 0


UNKNOWN = "import pwd\ndef unknown(uid): raise KeyError(uid)\npwd.getpwuid = unknown\n"


def test_a_user_whom_the_system_does_not_know_without_a_home(here):
    """As in a container that runs with a number for a user: what needs a home folder says what to set."""
    (here / "site").mkdir()
    (here / "site" / "sitecustomize.py").write_text(UNKNOWN)
    environment = {name: text for name, text in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")}
    environment |= {"PYTHONPATH": f"{here / 'site'}:{os.environ.get('PYTHONPATH', '')}", "TMPDIR": "/nowhere"}
    for name in ("WDRUN_DATA", "XDG_CACHE_HOME"):
        environment.pop(name, None)

    def ended(*words):
        line = [sys.executable, "-m", "wdrun", *words]
        done = subprocess.run(line, cwd=here, env=environment, capture_output=True, text=True, timeout=200)
        return done.returncode, done.stderr

    assert ended("data") == (
        5,
        "wdrun: the data cache: there is no home folder; set WDRUN_DATA to a writable folder\n",
    )
    assert ended("data", "data.root='~/x'") == (
        2,
        "wdrun: data.root=~/x: must be a path without ~, as there is no home folder here\n",
    )
    for words in (["-m", *TINY, "seed=0,1"], [*TINY, "fuse=true"], ["select", "outputs/default"]):
        code, said = ended(*words)
        assert (code, "Traceback" in said) == (0, False), said
