"""What is told of other processes on the cores, with clocks that the test turns, and what Linux says of waiting."""

import pytest

from wdrun.sweep.contention import Contention, seconds_queued


class Clocks:
    """Seconds that passed, that the thread computed, and that threads stood ready without a core."""

    def __init__(self):
        self.passed, self.computed, self.queued = 100.0, 3.0, 7.0
        self.contention = Contention(lambda: self.passed, lambda: self.computed, lambda: self.queued)

    def turn(self, passed, computed, queued):
        self.passed += passed
        self.computed += computed
        self.queued = None if self.queued is None or queued is None else self.queued + queued

    def look(self, passed, computed, queued, threads=2):
        self.turn(passed, computed, queued)
        return self.contention.look(threads)


@pytest.fixture
def clocks():
    """After a first step, which is none to look at."""
    found = Clocks()
    assert found.look(50, 0, 50) is None
    return found


SHARED = "; runs that share the cores lose least with threads=1 each"
LINE = "other processes use the cores: training lost {} of the last {} s to them; stop them, or wait until they end"


@pytest.mark.parametrize(("passed", "computed", "queued", "lost"), [
    (12, 4, 9, 8),  # the pool's threads waited too: no more than the thread itself lost
    (12, 4, 6.6, 7),
    (12, 5.9, 30, 6),
    (12, 6, 30, None),  # a half
    (12, 4, 6, None),
    (12, 0, 0, None),  # a disk, a GPU, a sleep
    (9.9, 0, 9.9, None),  # too short to tell
])  # fmt: skip
def test_more_than_half_is_lost_to_others(clocks, passed, computed, queued, lost):
    told = clocks.look(passed, computed, queued)
    assert told == (LINE.format(lost, f"{passed:.0f}") + SHARED if lost else None)


def test_it_is_told_once_however_long_it_lasts(clocks):
    assert clocks.look(10, 1, 9)
    assert clocks.look(10, 1, 9) is None


def test_what_was_good_before_is_no_excuse(clocks):
    assert clocks.look(1000, 1000, 0) is None
    assert clocks.look(10, 1, 9) == LINE.format(9, 10) + SHARED


def test_short_runs_count_together(clocks):
    assert [bool(clocks.look(3, 0.5, 3)) for _ in range(4)] == [False, False, False, True]


def test_a_run_of_one_thread_is_not_told_to_take_one(clocks):
    assert clocks.look(10, 1, 9, threads=1) == LINE.format(9, 10)


def test_where_the_system_does_not_say_nothing_is_told(clocks):
    assert [clocks.look(20, 0, None) for _ in range(3)] == [None] * 3
    assert clocks.contention.quiet


def test_seconds_queued_are_those_of_all_threads(tmp_path):
    for thread, text in {"7": "5000 1500000000 3\n", "8": "9 250000000 1\n"}.items():
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(text)
    (tmp_path / "9").mkdir()  # one that ends meanwhile
    assert seconds_queued(tmp_path) == 1.75
    (tmp_path / "9" / "schedstat").write_text("0\n")
    assert seconds_queued(tmp_path) is None
    assert seconds_queued(tmp_path / "nowhere") is None
