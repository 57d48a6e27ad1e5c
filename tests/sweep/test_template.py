"""Workers that are copies of one process: it has torch, they the environment of now, and nothing is left of them."""

import os
import signal
import sys

import pytest

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
        os.kill(origin, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(origin, 0)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == heard


def test_without_one_a_worker_is_an_interpreter_of_its_own():
    with template.begun(False):
        assert template.context().get_start_method() == "spawn"
        assert seen()[2] == os.getpid()
