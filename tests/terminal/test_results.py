"""stdout has results alone: what a user's model prints, from Python, to descriptor 1 or from C, is on stderr."""

import json
import os
import subprocess
import sys
import threading

import pytest

from tests.runs import TINY, changed
from wdrun.terminal import results

LOUD = """
import ctypes, os
from torch import nn

def tell(what):
    print(what)
    os.write(1, b"raw " + what.encode() + b"\\n")
    ctypes.CDLL(None).printf(b"from c, %s\\n", what.encode())

tell("imported")

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        tell("built")
        self.body = nn.Linear(3072, classes)
    def forward(self, x):
        tell("called")
        return self.body(x.reshape(len(x), -1))
"""
# Each command in turn in one process, a line of its own on stdout after each.
DRIVER = """
import json, sys
import wdrun
from wdrun import cli
for words in json.loads(sys.argv[1]):
    try:
        cli.main(words)
    except SystemExit as stop:
        print("code", stop.code, flush=True)
result = wdrun.run(*json.loads(sys.argv[2]))
print("mine", result.status, flush=True)
"""
WORDS = changed(TINY, "epochs=1", "fuse=false", "model._target_=loud_net.Net")
COMMANDS = [
    WORDS,
    ["-m", *WORDS, "seed=1,2"],
    ["-m", *WORDS, "seed=3,4", "parallel=2"],
    ["-m", *changed(WORDS, "fuse=true"), "seed=5,6"],
    ["-m", *WORDS, "seed=7,8", "hydra/launcher=basic"],
    ["tune", *changed(WORDS, "decay=l2", "lambda=interval(0.01,1)"), "runs=2", "name=tuned"],
    ["evaluate", "outputs/default", "evaluate=calibration", "seed=0"],
    ["explain", *WORDS],
]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """stdout and stderr of the commands."""
    folder = tmp_path_factory.mktemp("loud")
    (folder / "loud_net.py").write_text(LOUD)
    command = [sys.executable, "-c", DRIVER, json.dumps(COMMANDS), json.dumps([*WORDS, "seed=9"])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env={**os.environ})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_stdout_has_the_results_and_nothing_else(said):
    out, _ = said
    *commands, explained = "\n".join(out).split("code 0\n")[:-1]
    *tuned, verdict = [json.loads(line) for line in commands.pop(5).splitlines()]
    assert ({line["status"] for line in tuned}, [*verdict]) == ({"done"}, ["question"])
    seeds = [[json.loads(line)["seed"] for line in text.splitlines()] for text in commands]
    assert [sorted(found) for found in seeds] == [[0], [1, 2], [3, 4], [5, 6], [7, 8], [0, 0, 0]]
    assert explained.startswith("run      Net, 30,730 parameters on synthetic;")
    assert explained.splitlines()[-1].startswith("sweep    D from")
    assert out[-2:] == ["code 0", "mine done"]


def test_stderr_has_what_was_printed(said):
    _, err = said
    for what in ("imported", "built", "called"):
        for way in (what, f"raw {what}", f"from c, {what}"):
            assert f"\n{way}\n" in err


def test_where_stdout_is_no_descriptor_prints_go_to_stderr_all_the_same(capsys):
    with results.alone(), results.alone():
        print("by the model")
        print("a result", file=results.stream())
    print("after")
    assert capsys.readouterr() == ("a result\nafter\n", "by the model\n")


def test_what_one_thread_drops_others_print(capfd):
    def other():
        print("another thread")
        with results.dropped():
            entered.set()
            leave.wait(10)
        print("another thread after")

    entered, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    before = sys.stdout
    with results.dropped(), results.dropped():
        print("dropped")
        assert sys.stdout.fileno() == before.fileno()
        thread.start()
        entered.wait(10)
    print("kept")
    leave.set()
    thread.join()
    print("kept too")
    sys.stdout = before
    assert capfd.readouterr().out == "another thread\nkept\nanother thread after\nkept too\n"


def test_what_goes_wrong_inside_leaves_stdout_as_it_was(capsys):
    before = sys.stdout
    with pytest.raises(ZeroDivisionError), results.alone():
        print(1 / 0)
    assert sys.stdout is before
    assert results.stream() is before


@pytest.mark.parametrize(("closed", "more"), [
    ("1>&-", ""), ("2>&-", ""), ("1>&- 2>&-", ""), ("<&- 1>&- 2>&-", "-m parallel=2 seed=0,1"),
])  # fmt: skip
def test_streams_that_the_caller_closed_are_no_error(here, closed, more):
    (here / "loud_net.py").write_text(LOUD)
    words = " ".join([more, *(f"'{word}'" for word in WORDS)])
    script = f"{sys.executable} -m wdrun {words} {closed}"
    assert subprocess.run(["bash", "-c", script], cwd=here, timeout=120, capture_output=True).returncode == 0
    assert len([*(here / "outputs" / "default").glob("*/last.safetensors")]) == (2 if more else 1)


def test_what_stderr_cannot_take_any_more_leaves_the_exit_code(tmp_path):
    script = (
        "import os, sys\n"
        "from wdrun import cli\n"
        "def half(*_):\n"
        "    sys.stderr.write('half a line')\n"
        "    os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n"
        "    return 3\n"
        "cli.dispatch = half\n"
        "cli.main([])\n"
    )
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    line = [sys.executable, "-c", script]
    done = subprocess.run(line, cwd=tmp_path, env=buffered, stderr=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 3
