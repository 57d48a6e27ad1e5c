"""Stop by itself: the first signal is remembered, the second ends the process; what signals do to runs: hazards."""

import os
import signal
import threading

import pytest

from wdrun.sweep.signals import SIGNALS, Interrupted, Stop


@pytest.fixture
def ended(monkeypatch):
    """The codes the process would have left with."""
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_first_signal_lets_the_step_end(number, ended):
    stop = Stop()
    stop.check()
    before = handlers()
    with stop.installed():
        os.kill(os.getpid(), number)
        assert (stop.signum, ended) == (number, [])
        with pytest.raises(Interrupted, match=f"interrupted by {number.name}") as caught:
            stop.check()
    assert caught.value.exit_code == 128 + number
    assert handlers() == before


@pytest.mark.parametrize(("second", "codes"), [(signal.SIGINT, [130]), (signal.SIGTERM, [143]), (signal.SIGHUP, [])])
def test_a_second_signal_ends_at_once_but_for_a_hangup(second, codes, ended):
    stop = Stop()
    with stop.installed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), second)
    assert (stop.signum, ended) == (signal.SIGTERM, codes)


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop().installed():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_handled():
    before, seen = handlers(), []

    def elsewhere():
        with Stop().installed():
            seen.extend(handlers())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == before
