"""Settings every test shares: one thread that waits asleep, and the command line in an empty folder, in memory."""

import os

os.environ["GOMP_SPINCOUNT"] = "10000"

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
# A run waits for its disk some seventy times, longer than it trains here. What is synced when is counted in hazards/.
MEMORY = Path("/dev/shm")
usable = os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC  # some tests make a program
if usable and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))  # where tmp_path is
# what helper modules assert is shown as what a test asserts
pytest.register_assert_rewrite("tests.data.stand_in", "tests.hazards.deaths", "tests.made_up")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def joblib_in_this_folder(request):
    """joblib's workers stay for the next sweep, in the folder of the test that began them, which is gone by then."""
    yield
    loky = sys.modules.get("joblib.externals.loky")
    if loky and request.node.get_closest_marker("launchers"):
        loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)


def command(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `wdrun` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "wdrun", *words],
        cwd=cwd, capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def wdrun(here):
    """Call the command line in-process in an empty folder: exit code, stdout and stderr."""
    from wdrun import cli

    def call(*words: str, capture):
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        out, err = capture.readouterr()
        return stop.value.code, out, err

    return call


@pytest.fixture
def shell(here):
    """Call the command line as its own process in an empty folder."""
    return lambda *words, **environment: command(*words, cwd=here, **environment)
