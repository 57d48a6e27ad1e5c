"""Workers that are copies of one process: it has torch, they the environment of now, and nothing is left of them."""

import os
import signal
import sys

import pytest

from wdrun import cores
from wdrun.config import experiments
from wdrun.sweep import template
from wdrun.sweep.signals import SIGNALS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there are workers copies")


def look(pipe):
    """In a worker: whether torch is there already, from where, and who would be heard."""
    torch = sys.modules.get("torch")
    deaf = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    pipe.send((torch and torch.__file__, set(SIGNALS) <= deaf, os.getppid(), "PYTHONSAFEPATH" in os.environ))


def seen():
    """What a worker that starts now sees."""
    context = template.context()
    ours, theirs = context.Pipe()
    process = context.Process(target=look, args=(theirs,))
    process.start()
    found = ours.recv()
    process.join()
    return found


def test_a_copy_has_torch_and_is_deaf_and_its_origin_ends_with_the_command(tmp_path, monkeypatch):
    """A file of the folder one is in does not stand in for a library, as it does not for a fresh worker."""
    import torch

    (tmp_path / "torch.py").write_text("raise SystemExit('of the folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(template.SAFE, raising=False)
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with template.begun(True):
        assert template.SAFE not in os.environ
        found, deaf, origin, _ = seen()
        assert (found, deaf) == (torch.__file__, True)
        assert origin != os.getpid()
        assert template.context(fresh=True).get_start_method() == "spawn"
        os.kill(origin, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(origin, 0)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == heard


def test_without_one_a_worker_is_an_interpreter_of_its_own():
    with template.begun(False):
        assert template.context().get_start_method() == "spawn"
        assert seen()[2] == os.getpid()


@pytest.mark.parametrize(("count", "words", "copied"), [
    (2, "parallel=2 seed=0,1", True),  # a thread each
    (2, "parallel=auto seed=0,1", True),
    (2, "parallel=2 seed=0", False),
    (2, "seed=0,1", False),
    (2, "parallel=auto fuse=true seed=0,1", False),
    (1, "parallel=auto seed=0,1", False),
    (2, "parallel=auto threads=2 seed=0,1", False),  # one process
    (2, "parallel=2 threads=2 seed=0,1", False),  # each with a thread on each core
    (4, "parallel=2 seed=0,1", False),
    (4, "parallel=2 threads=1 seed=0,1", True),
    (4, "parallel=auto threads=2 seed=0,1", False),
])  # fmt: skip
def test_there_is_one_for_several_workers_of_free_threads(count, words, copied, monkeypatch):
    monkeypatch.setattr(cores, "_here", cores.Placement(tuple(range(count))))
    for name in ("OMP_NUM_THREADS", *cores.BINDING):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cores, "quota", lambda: float("inf"))
    assert template.suits(*experiments.sweep(experiments.lines(words.split(), True))) is copied


def test_a_program_keeps_the_process_that_it_has_copied():
    with template.begun(True):
        origin = seen()[2]
        with template.begun(True):
            assert seen()[2] == origin
        assert seen()[2] == origin
