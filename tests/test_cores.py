"""How many cores a process may use, whose they are, what OpenMP is told: by tables, and in processes of their own."""

import json
import math
import os
import subprocess
import sys

import pytest

from wdrun import cores

TWO, SIXTEEN = (0, 1), tuple(range(16))
SPIN = {"GOMP_SPINCOUNT": "10000"}
needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds nothing")
needs_two = pytest.mark.skipif(len(cores.usable()) < 2, reason="needs two cores")


@pytest.mark.parametrize(("usable", "threads", "turn", "places"), [
    (TWO, [2], 0, "{0},{1}"),
    (TWO, [2], 7, "{1},{0}"),
    ((3, 5, 9), [3], 2, "{9},{3},{5}"),
    (TWO, [1, 2], 0, "{0},{1}"),  # a sweep of threads=1,2: one thread is none the worse for it
    (TWO, [1], 0, ""),
    (TWO, [3], 0, ""),
    (SIXTEEN, [2], 0, ""),  # two such commands would share two of sixteen
    (SIXTEEN, [2, 16], 0, ""),
    ((3,), [1], 0, ""),
    ((), [4], 0, ""),  # the system does not say which there are
    (TWO, [], 0, ""),  # not known before torch is loaded
])  # fmt: skip
def test_threads_are_bound_where_they_are_as_many_as_cores(usable, threads, turn, places):
    wanted = {"OMP_PROC_BIND": "true", "OMP_PLACES": places} if places else {}
    assert cores.variables(usable, threads, {}, turn) == SPIN | wanted
    found = cores.Placement(usable, (), cores.variables(usable, threads, {}, turn)).places
    assert sorted(found) == (sorted(usable) if places else [])


@pytest.mark.parametrize("name", cores.BINDING)
def test_who_binds_himself_is_left_alone(name):
    assert cores.variables(TWO, [2], {name: "false"}, 0) == SPIN
    assert cores.variables(TWO, [2], {name: "false", "GOMP_SPINCOUNT": "5"}, 0) == {}


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 16])
def test_workers_have_cores_of_their_own(parts):
    found = [cores.part(SIXTEEN, [16 // parts, 1], parts, number) for number in range(parts)]
    assert [len(own) for own in found] == [16 // parts] * parts
    assert len({core for own in found for core in own}) == parts * (16 // parts)


def test_workers_whose_threads_do_not_fit_have_all():
    assert [cores.part(TWO, [2], 2, number) for number in range(2)] == [TWO, TWO]
    assert cores.part(TWO, [1], 3, 2) == TWO
    assert cores.part((), [1], 2, 0) == ()


@pytest.fixture
def usable(monkeypatch):
    """Say which cores there are."""

    def say(*numbers):
        monkeypatch.setattr(cores, "_here", cores.Placement(numbers))
        monkeypatch.setattr(cores, "quota", lambda: math.inf)
        for name in ("OMP_NUM_THREADS", *cores.BINDING, *SPIN):
            monkeypatch.delenv(name, raising=False)

    return say


def test_the_placement_of_workers(usable):
    usable(*range(4))
    first, second = (cores.shared(["auto"], 2, seat) for seat in range(2))
    assert (first.counted, first.own, sorted(first.places)) == ((0, 1, 2, 3), (0, 1), [0, 1])
    assert (second.counted, second.own, sorted(second.places)) == ((0, 1, 2, 3), (2, 3), [2, 3])
    assert cores.shared([1], 4, 3) == cores.Placement((0, 1, 2, 3), (3,), SPIN)
    assert cores.shared([1], 2, 1) == cores.Placement((0, 1, 2, 3), (2, 3), SPIN)  # free to move in its half
    both = [cores.shared([4], 2, seat) for seat in range(2)]  # more threads than cores: each spread over all
    assert [placement.own for placement in both] == [(), ()]
    assert both[0].places != both[1].places
    assert [sorted(placement.places) for placement in both] == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("name", cores.BINDING)
def test_workers_of_who_binds_himself_are_left_alone(name, usable, monkeypatch):
    usable(*range(4))
    monkeypatch.setenv(name, "true")
    assert cores.shared(["auto"], 2, 1) == cores.Placement((0, 1, 2, 3), (), SPIN)


@pytest.mark.parametrize(("parallel", "threads", "count"), [
    ("auto", ["auto"], 6), ("auto", [1], 6), ("auto", ["auto", 2], 3), ("auto", [4], 1), ("auto", [9], 1),
    ("auto", [], 6), (1, ["auto"], 1), (9, [2], 9),
])  # fmt: skip
def test_auto_is_as_many_processes_as_have_cores(parallel, threads, count, usable):
    usable(*range(6))
    assert cores.processes(parallel, threads) == count


@pytest.mark.parametrize(("granted", "told", "count"), [
    (math.inf, "", 6), (1.0, "", 1), (0.5, "", 1), (1.5, "", 2), (8.0, "", 6), (3.0, "2", 2), (2.0, "5", 2),
])  # fmt: skip
def test_automatic_threads_heed_the_quota(granted, told, count, usable, monkeypatch):
    usable(*range(6))
    monkeypatch.setattr(cores, "quota", lambda: granted)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert cores.automatic() == count


def test_another_system_counts_its_cpus(monkeypatch, usable):
    usable()
    monkeypatch.setattr(cores, "_here", cores.Placement())
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert (cores.usable(), cores.automatic()) == ((), 8)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.automatic() == 1
    placement = cores.shared(["auto"], 2, 0)
    with cores.handed(placement), cores.bound(2):  # nothing is asked of the system
        assert placement.own == placement.places == ()


GROUPS = {
    "none": ("0::/\n", {"cpu.max": "max 100000"}, math.inf),
    "v2": ("0::/job\n", {"job/cpu.max": "150000 100000\n"}, 1.5),
    "v2, one around it": ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2.0),
    "v2, the least": ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "300000 100000"}, 2.0),
    "v2, in a container": ("0::/docker/12\n", {"cpu.max": "50000 100000"}, 0.5),
    "v1": (
        "4:memory:/m\n3:cpu,cpuacct:/c\n",
        {"cpu,cpuacct/c/cpu.cfs_quota_us": "400000", "cpu,cpuacct/c/cpu.cfs_period_us": "100000"},
        4.0,
    ),
    "v1, unbounded": ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
    "other controllers": ("5:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "1", "cpuset/cpu.cfs_period_us": "1"}, math.inf),
    "no sense": ("0::/\n", {"cpu.max": "lots"}, math.inf),
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_quota_is_that_of_the_process_and_all_around_it(name, tmp_path):
    lines, files, granted = GROUPS[name]
    (tmp_path / "cgroup").write_text(lines)
    for path, text in files.items():
        (tmp_path / "mount" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / path).write_text(text)
    assert cores.quota(tmp_path / "cgroup", tmp_path / "mount") == granted
    assert cores.quota(tmp_path / "nowhere", tmp_path / "mount") == math.inf


def told(code, mask=None, **environment):
    """What a process of its own prints as JSON, on the cores of the mask."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, mask or before)
    try:
        done = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True)
    finally:
        os.sched_setaffinity(0, before)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


LOADED = """
import json, os, subprocess, sys
from wdrun import cores
cores.load([{threads!r}])
import torch
from wdrun import devices
machine = devices.resolve("cpu", "fp32", {threads!r})
devices.apply(machine)
def others():
    tasks = {{int(task) for task in os.listdir("/proc/self/task")}}
    return tasks - {{os.getpid()}}
def child():
    return len(eval(subprocess.check_output([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"])))
free = len(os.sched_getaffinity(0)), child()
known = others()
with machine.at_work():
    work = sorted(os.sched_getaffinity(0))
    torch.ones(1 << 20).add_(1)
    pool = sorted(core for task in others() - known for core in os.sched_getaffinity(task))
    pid = os.fork()
    if not pid:
        os._exit(len(os.sched_getaffinity(0)))
    forked = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
after = len(os.sched_getaffinity(0)), child()
left = [name for name in ("OMP_PROC_BIND", "OMP_PLACES") if name in os.environ]
again = devices.resolve("cpu", "fp32", "auto").threads
print(json.dumps([machine.threads, free, work, pool, forked, after, left, again]))
"""


@needs_affinity
@needs_two
def test_a_process_on_two_cores_has_a_thread_on_each_and_nothing_else_is_bound():
    two = cores.usable()[:2]
    threads, free, work, pool, forked, after, left, again = told(LOADED.format(threads="auto"), {*two})
    assert (threads, again) == (2, 2)
    assert sorted(work + pool) == sorted(two)
    assert len(work) == 1
    assert (free, forked, after, left) == ([2, 2], 2, [2, 2], [])


@needs_affinity
@needs_two
def test_a_process_that_leaves_cores_alone_is_not_bound():
    two = cores.usable()[:2]
    threads, free, work, pool, forked, after, left, again = told(LOADED.format(threads=1), {*two})
    assert (threads, again, work, pool) == (1, 2, sorted(two), [])
    assert (free, forked, after, left) == ([2, 2], 2, [2, 2], [])


@needs_affinity
def test_a_process_on_one_core_has_one_thread():
    one = cores.usable()[0]
    threads, free, work, pool, forked, after, left, again = told(LOADED.format(threads="auto"), {one})
    assert (threads, again, work, pool) == (1, 1, [one], [])
    assert (free, forked, after, left) == ([1, 1], 1, [1, 1], [])


@needs_affinity
@needs_two
def test_the_cores_are_counted_where_the_user_lets_openmp_bind():
    code = """
import json, os, sys
from wdrun import cores
cores.load(["auto"])
from wdrun import devices
print(json.dumps([devices.resolve("cpu", "fp32", "auto").threads, os.environ["OMP_PROC_BIND"]]))
"""
    assert told(code, {*cores.usable()[:2]}, OMP_PROC_BIND="true") == [2, "true"]


COMMAND = """
import json, os
from wdrun import cli, cores
begun = {{}}
def seen():
    import torch
    from wdrun.sweep.signals import Stop
    check = Stop.check
    def watched(self):
        begun.setdefault("work", []).append(sorted(os.sched_getaffinity(0)))
        begun["threads"] = torch.get_num_threads()
        return check(self)
    Stop.check = watched  # after each step, and at the end of a sweep
load = cores.load
cores.load = lambda *given: (load(*given), seen())
try:
    cli.main({words!r})
except SystemExit as ended:
    print()
    free = sorted(os.sched_getaffinity(0))
    print(json.dumps([ended.code, begun["threads"], begun["work"][0], sorted(cores._here.places), free]))
"""
TINY = ["data=synthetic", "data.train_examples=96", "data.test_examples=20", "model=linear", "epochs=1"]
TINY += ["batch_size=32", "lr=0.02", "precision=fp32", "device=cpu"]


@needs_affinity
@needs_two
@pytest.mark.parametrize(("words", "bound"), [
    (TINY, True),
    ([*TINY, "threads=1"], False),
    (["-m", *TINY, "seed=0,1", "fuse=true"], True),
    (["tune", *TINY, "decay=l2", "runs=1"], True),
    (["tune", *TINY, "decay=l2", "runs=1", "threads=1"], False),
])  # fmt: skip
def test_a_command_binds_while_it_trains(words, bound, here):
    two = [*cores.usable()[:2]]
    code, threads, work, places, free = told(COMMAND.format(words=words), {*two})
    assert (code, threads, free) == (0, 2 if bound else 1, two)
    assert places == (two if bound else [])
    assert len(work) == (1 if bound else 2)


@needs_affinity
@needs_two
def test_the_bits_are_those_of_threads_that_are_not_bound(here):
    """Of a model whose steps both threads share."""
    words = [*TINY, "model=mlp", "model.hidden=[512]", "threads=2", "epochs=2", "data.train_examples=960"]
    two = {*cores.usable()[:2]}
    for name, environment in {"bound": {}, "free": {"OMP_PROC_BIND": "false"}}.items():
        code, threads, _, places, _ = told(COMMAND.format(words=[*words, f"name={name}"]), two, **environment)
        assert (code, threads, places) == (0, 2, sorted(two) if name == "bound" else [])
    bound, free = (sorted(here.glob(f"outputs/{name}/*/last.safetensors")) for name in ("bound", "free"))
    assert [file.read_bytes() for file in bound] == [file.read_bytes() for file in free] != []
