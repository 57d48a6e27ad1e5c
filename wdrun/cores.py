"""The CPU cores that this process may use: how many, and torch's threads each kept on a core of its own.

Threads that share a step meet a few dozen times in it. Where they may move, another busy process makes them end up on
one core and wait for whole time slices; each on its own core they lose no more than that core's share. OpenMP binds
where it is told to in the environment, and reads that once, as torch loads it. It then binds the thread that loads it
as well, so the cores are counted before; and that thread is let go again, as every process it starts inherits its core.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

Cores = tuple[int, ...]  # numbers as the system has them; () where it does not say (macOS, Windows)
BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")  # whoever sets one decides it all
# OpenMP's threads spin while they wait for each other; with the usual long spin a run beside another busy process slows
# down a hundredfold, with this one it shares the machine.
SPIN = ("GOMP_SPINCOUNT", "10000")


@dataclass(frozen=True)
class Placement:
    """Which cores a process counts, which of them it keeps to, and what OpenMP reads as the process loads torch."""

    counted: Cores | None = None  # None: the system is asked each time
    own: Cores = ()  # (): those that it has anyway
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def places(self) -> Cores:
        """The core of each of torch's threads, first that of the thread that trains; () where they are not bound."""
        return tuple(int(core) for core in re.findall(r"\d+", self.variables.get("OMP_PLACES", "")))


_here = Placement()  # this process's


def usable() -> Cores:
    """The cores this process may use, as `taskset` or a container's set of them leaves them."""
    if _here.counted is not None:
        return _here.counted
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def quota(cgroup: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> float:
    """Seconds of CPU a second that a container (`--cpus`) or a batch system grants; inf where nothing bounds them.

    The least of cpu.max (cgroup v2), or of cpu.cfs_quota_us / cpu.cfs_period_us (v1), of the group of this process and
    those around it. Inside a container its own group may be the mount itself, whatever `cgroup` calls it.
    """
    try:
        lines = cgroup.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return math.inf
    found = [math.inf]
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount / controllers if controllers else mount
        group = root / name.lstrip("/")
        found += [_granted(folder) for folder in (group, *group.parents) if folder.is_relative_to(root)]
    return min(found)


def _granted(folder: Path) -> float:
    """What one group's files grant."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):
            words = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
            granted, period = (math.inf if word == "max" else float(word) for word in words)
            if granted > 0 and period > 0:  # v1 says −1 for none
                return granted / period
    return math.inf


def automatic() -> int:
    """Threads of threads=auto: one for each core this process may use, no more than its quota and OMP_NUM_THREADS."""
    count = len(usable()) or os.cpu_count() or 1
    granted = quota()
    count = min(count, max(1, math.ceil(granted))) if math.isfinite(granted) else count
    told = os.environ.get("OMP_NUM_THREADS", "")  # how an engine tells a worker its share of a machine
    return min(count, int(told)) if told.isdigit() and int(told) >= 1 else count


def processes(parallel: int | str, threads: Iterable[int | str]) -> int:
    """How many processes `parallel` asks for: of auto as many as runs with these `threads` leave cores for."""
    if parallel != "auto":
        return int(parallel)
    # Measured on two cores: two processes of one thread give 1.2 times the throughput of two threads for an MLP, 1.1
    # for a CNN; threads of one process wait for each other, those of two do not.
    most = max((1 if count == "auto" else int(count) for count in threads), default=1)
    return max(1, automatic() // most)


def variables(cores: Cores, threads: Iterable[int], given: Mapping[str, str], turn: int) -> dict[str, str]:
    """What OpenMP is to read, of a process that may use these cores and trains with so many threads, in its runs.

    Threads are bound where they are as many as cores: with fewer, two such processes would sit on the same ones. Runs
    of one thread are none the worse for it. Whatever is `given` stays. `turn`, different in processes that run at the
    same time, says at which core they begin: the first thread has the most to do.
    """
    wanted = dict([SPIN]) if SPIN[0] not in given else {}
    many = {*threads} - {1}
    if many == {len(cores)} and not any(name in given for name in BINDING):
        first = turn % len(cores)
        places = ",".join(f"{{{core}}}" for core in cores[first:] + cores[:first])
        wanted |= {"OMP_PROC_BIND": "true", "OMP_PLACES": places}
    return wanted


def part(cores: Cores, threads: Iterable[int], parts: int, number: int) -> Cores:
    """The cores of the `number`-th of so many processes that divide these, where a run's threads fit; else all."""
    size = len(cores) // parts
    fits = max(threads, default=1) <= size
    return cores[number % parts * size :][:size] if fits else cores


def count_early() -> None:
    """Remember how many cores there are, unless torch may have bound this thread already."""
    global _here
    if "torch" not in sys.modules and _here.counted is None:
        _here = replace(_here, counted=usable())


def shared(threads: Iterable[int | str], parts: int, number: int) -> Placement:
    """Of the `number`-th of so many processes that divide these cores, for runs with these `threads`."""
    counts = [max(1, automatic() // parts) if count == "auto" else int(count) for count in threads]
    return _placed(counts, part(usable(), counts, parts, number), number)


def _placed(threads: Iterable[int], own: Cores, turn: int = 0) -> Placement:
    cores = usable()
    told = any(name in os.environ for name in BINDING)
    wanted = variables(own, threads, os.environ, os.getpid() + turn)
    return Placement(cores, () if told or own == cores else own, wanted)


@contextmanager
def handed(placement: Placement) -> Iterator[None]:
    """A process that is started meanwhile has this placement, once it says so by `take`."""
    before = {name: os.environ.get(name) for name in placement.variables}
    mask = os.sched_getaffinity(0) if placement.own else set()
    os.environ.update(placement.variables)
    _keep_to(placement.own)
    try:
        yield
    finally:
        _keep_to(tuple(mask))
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def take(placement: Placement) -> None:
    """Be placed like this, now that torch is loaded; the processes that this one starts are not bound."""
    global _here
    _here = placement
    if placement.places:
        for name in BINDING:
            os.environ.pop(name, None)
        os.register_at_fork(after_in_child=_free)
    _free()


def load(threads: Iterable[int | str]) -> None:
    """Load torch for runs with these `threads`; nothing where it is loaded."""
    if "torch" in sys.modules:
        return
    counts = [automatic() if count == "auto" else int(count) for count in threads]
    placement = _placed(counts, usable())
    with handed(placement):
        import torch  # noqa: F401
    take(placement)


@contextmanager
def bound(threads: int) -> Iterator[None]:
    """This thread keeps to its core while it trains with a thread on each of them; afterwards it is free again."""
    if len(places := _here.places) < 2 or threads != len(places):
        yield
        return
    _keep_to(places[:1])
    try:
        yield
    finally:
        _free()


def _free() -> None:
    """This thread may run wherever its process may."""
    if _here.own or _here.places:
        _keep_to(_here.own or usable())


def _keep_to(cores: Cores) -> None:
    """This thread, and the processes and threads it starts, keep to these cores, unless the system refuses."""
    if cores:
        with suppress(OSError):  # a core was taken away since
            os.sched_setaffinity(0, cores)
