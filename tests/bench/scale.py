"""What thousands of runs cost: tests/bench/scale.py [sweep N | read N… | plan N… | all]. Linux, one thread, no GPU.

`sweep N` trains N real runs (an MLP 3072-2-10 on 64 synthetic images, one epoch) in one process and prints seconds a
run, and memory, open files and threads after a fifth of them and after all. `read N…` makes folders of N runs by
copying those of a small real sweep under new ids and seeds, and times each command that reads them, as a process of
its own. `plan N…` composes, checks and names the jobs of a grid without training; memory is that of a process of its
own. `all` is the table of the README: sweep 1000, read 1000 5000, plan 10000 100000.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TINY = ["data=synthetic", "data.train_examples=80", "data.test_examples=20", "model=mlp", "model.hidden=[2]"]
TINY += ["epochs=1", "batch_size=32", "threads=1", "precision=fp32", "device=cpu"]
COMMANDS = ("status", "select", "report")


def grid(count):
    """Words of a sweep of `count` distinct runs: λ × lr × seeds."""
    lams, lrs = (10, 5) if count % 50 == 0 else (1, 1)
    axes = ["lambda=log_range(1e-6,1e-2,10)", "lr=0.01,0.02,0.05,0.1,0.2"] if lams > 1 else []
    return [*TINY, *axes, f"seed=range(0,{count // (lams * lrs)})"]


def now():
    """Resident memory of this process in MiB, open files, threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files, threads = (len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task"))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, files, threads


def trained(count, folder, *words):
    """Train a sweep of `count` runs into the folder in this process; what it cost, sampled after every run."""
    from wdrun.config import experiments
    from wdrun.sweep.execute import execute

    began = time.perf_counter()
    jobs, options = experiments.sweep(experiments.lines([*grid(count), f"output_dir={folder}", *words], multirun=True))
    planned = time.perf_counter()
    samples = []
    outcomes = execute(jobs, options, lambda outcome: samples.append((time.perf_counter(), *now())))
    ended = time.perf_counter()
    assert [o.status for o in outcomes] == ["done"] * count
    disk = sum(p.stat().st_blocks * 512 for p in Path(folder).rglob("*"))
    return {
        "plan_seconds": planned - began,
        "seconds_a_run": (ended - planned) / count,
        "samples": samples,
        "kib_a_run": disk / 1024 / count,
        "files_a_run": sum(p.is_file() for p in Path(folder).rglob("*")) / count,
    }


def copied(source, target, count):
    """A folder of `count` runs made from those of `source` by giving each copy an id, a name and seeds of its own."""
    originals = sorted(path.parent for path in source.glob("*/run.csv"))
    seeds = 1 + max(int(path.name[:-9].rpartition("-s")[2].partition("-")[0]) for path in originals)
    for number in range(count):
        original = originals[number % len(originals)]
        new = f"{number:08}".translate(str.maketrans("0123456789", "lmnpqrstvw"))
        old, later = original.name[-8:], seeds * (number // len(originals))
        directory = target / f"{original.name[:-8]}{new}"
        shutil.copytree(original, directory, copy_function=os.link)
        for name in ("run", "metrics", "layers", "histograms", "timing"):
            path = directory / f"{name}.csv"
            head, *rows = path.read_text().splitlines()
            seed = head.split(",").index("seed")
            rows = [edited(row.replace(old, new, 1), seed, later) for row in rows]
            path.unlink()
            path.write_text("\n".join([head, *rows]) + "\n")


def edited(row, column, by):
    cells = row.split(",")
    return ",".join([*cells[:column], str(int(cells[column]) + by), *cells[column + 1 :]])


def measured(*words, cwd=None):
    """Seconds, peak memory in MiB and stdout of a command as a process of its own."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([sys.executable, *words], cwd=cwd, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        assert process.returncode == 0, (words, process.returncode, err.read()[-2000:])
        out.seek(0)
        return time.perf_counter() - began, used.ru_maxrss / 1024, out.read().decode()


def sweep_table(count):
    with tempfile.TemporaryDirectory() as folder:
        cost = json.loads(measured(__file__, "_sweep", str(count), folder)[2].splitlines()[-1])
    samples = cost["samples"]
    print(f"{count} real runs: {cost['seconds_a_run']:.3f} s a run, {cost['kib_a_run']:.0f} KiB on disk in "
          f"{cost['files_a_run']:.1f} files a run; planning took {cost['plan_seconds']:.1f} s")  # fmt: skip
    for number in (1, count // 5, count // 2, count):
        when, memory, files, threads = samples[number - 1]
        first = max(number - count // 10, 1)
        pace = (when - samples[first - 1][0]) / (number - first) if number > first else float("nan")
        print(f"  after run {number}: {memory:.0f} MiB, {files} open files, {threads} threads, {pace:.3f} s a run")


def read_table(counts):
    with tempfile.TemporaryDirectory() as folder:
        measured(__file__, "_sweep", "100", f"{folder}/real")
        for count in counts:
            root = Path(folder) / str(count) / "outputs"
            copied(Path(folder) / "real" / "default", root, count)
            for name in ("aggregate", *COMMANDS):
                words = ("-m", "wdrun", name, str(root)) if name in COMMANDS else (__file__, "_aggregate", str(root))
                seconds, memory, out = measured(*words)
                assert name != "aggregate" or int(out) == count
                print(f"{count} runs: {name} {seconds:.1f} s, {memory:.0f} MiB", flush=True)
            shutil.rmtree(root)


def plan_table(counts):
    for count in counts:
        _, memory, out = measured(__file__, "_plan", str(count))
        cost = json.loads(out)
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in cost.items())
        print(f"{count} jobs: {parts}; peak {memory:.0f} MiB", flush=True)


def planned(count):
    """Seconds of each part of planning a sweep of `count` jobs."""
    from wdrun.config import axes, experiments

    words = grid(count)
    clock = [time.perf_counter()]
    lines = axes.expand(words)
    clock.append(time.perf_counter())
    jobs, _ = experiments.sweep(lines)
    clock.append(time.perf_counter())
    found = {job.directory: job.run.structure for job in jobs}
    clock.append(time.perf_counter())
    assert (len(found), len(set(found.values()))) == (count, 1)
    return dict(zip(("grid", "compose and check", "names"), map(float.__sub__, clock[1:], clock), strict=True))


def main(words):
    what, *rest = words or ["all"]
    if what == "_sweep":
        print(json.dumps(trained(int(rest[0]), rest[1])))
    elif what == "_plan":
        print(json.dumps(planned(int(rest[0]))))
    elif what == "_aggregate":
        from wdrun.tables import aggregate

        print(aggregate.write(Path(rest[0])))
    if what in ("sweep", "all"):
        sweep_table(int(rest[0]) if rest else 1000)
    if what in ("read", "all"):
        read_table([int(word) for word in rest] or [1000, 5000])
    if what in ("plan", "all"):
        plan_table([int(word) for word in rest] or [10_000, 100_000])


if __name__ == "__main__":
    main(sys.argv[1:])
