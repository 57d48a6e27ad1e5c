"""wdrun.run inside other programs: beside Hydra, in threads, event loops and forks; the process as it was before."""

import asyncio
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

import wdrun
from tests.api import SMALL
from wdrun.config.apart import apart
from wdrun.config.compose import compose


def trained(name, seed, **more):
    """The metrics and last weights of a small run."""
    result = wdrun.run("decay=l2", lam=0.1, seed=seed, name=name, quiet=True, **SMALL, **more)
    return result.metrics, (result.directory / "last.safetensors").read_bytes()


def same(one, other):
    pd.testing.assert_frame_equal(one[0], other[0])
    return one[1] == other[1]


# ------------------------------------------------------------------------------------------- threads


def test_calls_of_eight_threads_give_the_bits_of_calls_in_turn(here):
    alone = [trained("alone", seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda seed: trained("together", seed), range(8)))
    assert all(map(same, alone, together))


def test_composing_in_threads_gives_each_its_own_config():
    with ThreadPoolExecutor(8) as pool:
        configs = list(pool.map(lambda seed: compose([f"seed={seed}", "decay=l1"]), range(8)))
    assert [config.seed for config in configs] == [*range(8)]


def test_a_run_inside_a_running_event_loop(here):
    async def main():
        inside = trained("inside", 0)
        return inside, await asyncio.to_thread(trained, "beside", 0)

    inside, beside = asyncio.run(main())
    assert same(inside, beside)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_run_in_a_process_of_multiprocessing(here, start):
    own = trained("own", 0)
    with multiprocessing.get_context(start).Pool(1) as pool:
        assert same(own, pool.apply(trained, ("child", 0)))


def side_by_side():
    return str(wdrun.sweep("decay=l2", seed=[0, 1], parallel=2, quiet=True, **SMALL))


def test_a_worker_of_multiprocessing_may_have_no_workers(here):
    with multiprocessing.get_context("fork").Pool(1) as pool, pytest.raises(wdrun.ConfigError, match="use parallel=1"):
        pool.apply(side_by_side)


def test_a_current_folder_that_is_gone_is_a_sentence(here, monkeypatch):
    (here / "gone").mkdir()
    monkeypatch.chdir(here / "gone")
    (here / "gone").rmdir()
    with pytest.raises(wdrun.StorageError, match="the current folder is not there any more; go to one that is"):
        trained("x", 0)


def test_a_process_forked_while_a_thread_composes_can_compose():
    holding, done = threading.Event(), threading.Event()

    def hold():
        with apart():
            holding.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait()
    child = multiprocessing.get_context("fork").Process(target=compose, args=(["seed=1"],))
    child.start()
    child.join(60)
    done.set()
    thread.join()
    assert child.exitcode == 0


# ------------------------------------------------------------------------------------------- what a call leaves


def settings():
    """Everything of the process that training could change."""
    return {
        "threads": torch.get_num_threads(),
        "matmul": torch.get_float32_matmul_precision(),
        "tf32": torch.backends.cudnn.allow_tf32,
        "benchmark": torch.backends.cudnn.benchmark,
        "deterministic": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "torch": torch.get_rng_state().tolist(),
        "numpy": repr(np.random.get_state()),
        "random": random.getstate(),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "stderr": sys.stderr,
        "folder": os.getcwd(),
    }


@pytest.fixture
def odd_settings():
    """A process that computes otherwise than wdrun does; put back afterwards."""
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = False, True
    yield
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before[:2]
    torch.set_float32_matmul_precision(before[2])


def test_what_the_program_set_is_there_afterwards_and_changes_no_bit(here, odd_settings, monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT")
    before = settings()
    odd = trained("odd", 0)
    assert settings() == before
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert same(odd, trained("no-grad", 0))
    with torch.inference_mode():
        assert same(odd, trained("inference", 0))
    wdrun.sweep("decay=l2", seed=[0, 1], name="sweep", parallel=2, quiet=True, **SMALL)
    assert settings() == before
    torch.set_default_dtype(torch.float32)
    assert same(odd, trained("plain", 0))


def test_fifty_calls_leave_no_file_open(here):
    trained("many", 0)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for seed in range(1, 12):
        trained("many", seed)
    assert before == (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0)


# ------------------------------------------------------------------------------------------- beside Hydra


HYDRA = """
import sys
import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
import wdrun

ConfigStore.instance().store(name="config", node={"lam": 0.1, "mine": "${now:x}", "hidden": [8]})
ConfigStore.instance().store(group="decay", name="l2", node={"taken": True})


@hydra.main(version_base="1.1", config_path=None, config_name="config")
def main(config):
    OmegaConf.register_new_resolver("now", lambda text: "mine", replace=True)
    before = GlobalHydra.instance().hydra, HydraConfig.get(), dict(ConfigStore.instance().repo)
    result = wdrun.run("decay=l2", lam=config.lam, model__hidden=config.hidden, data="synthetic", model="mlp", epochs=1,
                       data__train_examples=200, data__test_examples=50, threads=1, quiet=True)
    assert (GlobalHydra.instance().hydra, HydraConfig.get(), ConfigStore.instance().repo) == before
    assert HydraConfig.get().job.name == "app" and config.mine == "mine"
    assert result.definition.lam == 0.1 and result.definition.model["hidden"] == [8]
    print(result.status)


main()
"""


def test_a_run_inside_a_task_of_hydra(here):
    (here / "app.py").write_text(HYDRA)
    words = [sys.executable, "-W", "ignore", "app.py", "hydra.run.dir=own", "lam=0.1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_run_after_hydra_was_initialized(here):
    from hydra import compose as hydras
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf.basecontainer import BaseContainer

    (here / "own").mkdir()
    (here / "own" / "config.yaml").write_text("lr: mine\n")
    with initialize_config_dir(version_base=None, config_dir=str(here / "own")):
        before, resolvers = GlobalHydra.instance().hydra, dict(BaseContainer._resolvers)
        trained("x", 0)
        wdrun.explain("decay=l1", quiet=True, **SMALL)
        assert GlobalHydra.instance().hydra is before
        assert BaseContainer._resolvers == resolvers
        assert hydras("config") == {"lr": "mine"}
    assert not GlobalHydra.instance().is_initialized()


# ------------------------------------------------------------------------------------------- interruptions


INTERRUPTED = """
import os, signal, sys
import wdrun
from wdrun.sweep import recording
heard = []
if sys.argv[1] == "own":
    signal.signal(signal.SIGTERM, lambda *given: heard.append(given[0]))
take = recording.Record.take
def taken(record, epoch, **more):
    take(record, epoch, **more)
    if epoch.number == 1:
        os.kill(os.getpid(), signal.SIGINT if sys.argv[1] == "ctrl-c" else signal.SIGTERM)
recording.Record.take = taken
small = dict(data="synthetic", model="mlp", model__hidden=[8], epochs=3, data__train_examples=200,
             data__test_examples=50, threads=1, quiet=True)
try:
    wdrun.run("decay=l2", **small)
except KeyboardInterrupt as stopped:
    print(repr(stopped), heard)
recording.Record.take = take
result = wdrun.run("decay=l2", **small)
print(result.status, list(result.timing["epoch"]))
"""


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("ctrl-c", 0, ["KeyboardInterrupt() []", "done [1, 2, 3]"]),
        ("own", 0, ["KeyboardInterrupt('interrupted by SIGTERM') [15]", "done [1, 2, 3]"]),
        ("default", -signal.SIGTERM, []),  # as the program would have ended without wdrun
    ],
)
def test_a_signal_saves_the_run_and_is_the_programs_own_again(here, how, code, said):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, how], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (code, said), done.stderr
    assert list(here.glob("outputs/default/*/run.csv"))


def test_a_script_without_a_guard_may_use_workers(here):
    """Worker processes do not run the script that started them."""
    (here / "script.py").write_text(
        "import wdrun\n"
        "print('once', flush=True)\n"
        "sweep = wdrun.sweep('decay=l2', seed=[0, 1, 2], parallel=2, quiet=True, data='synthetic', model='mlp',\n"
        "    model__hidden=[8], epochs=1, data__train_examples=200, data__test_examples=50, threads=1)\n"
        "print(list(sweep.runs['status']))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    assert done.stdout == "once\n['done', 'done', 'done']\n", done.stderr


# ------------------------------------------------------------------------------------------- streams


class Notebook:
    """A stream as a notebook has it: no file, no terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False

    def fileno(self):
        raise OSError("no file")


def test_stdout_stays_empty_and_quiet_silences_this_thread_alone(here, monkeypatch):
    out, err = Notebook(), Notebook()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    wdrun.run("decay=l2", **SMALL)
    assert "verdict" in err.text
    err.text = ""

    def beside(*given):
        print("from another thread", file=sys.stderr)

    from wdrun.sweep import one_run

    ready = one_run.ready
    monkeypatch.setattr(one_run, "ready", lambda *given: (in_thread(beside), ready(*given))[1])
    sweep = wdrun.sweep("decay=l2", seed=[1, 2], parallel=1, quiet=True, **SMALL)
    wdrun.sweep("decay=l2", seed=[3, 4], parallel=2, quiet=True, **SMALL)
    wdrun.report(sweep, quiet=True)
    assert set(err.text.splitlines()) == {"from another thread"}
    assert out.text == ""
    assert sys.stderr is err


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_without_a_stderr_nothing_goes_to_stdout(here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert wdrun.run("decay=l2", **SMALL).status == "done"
    assert capsys.readouterr().out == ""
