"""Images a second where the machine is not idle, bound and not, interleaved: python tests/bench/busy.py [n] [row …].

Rows: alone; busy, beside one process that computes on one core; two such commands at once; sweeps, two at once, of
MLPs. Each round has every row twice, as wdrun does it and with OMP_PROC_BIND=false, in turn first; n rounds. Given are
images a second, of two commands the sum, and the share of what is fair: of two that alone gives, beside a busy process
two thirds of it, each of the round itself. An epoch counts where all commands of its row trained, after the first one.
"""

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

CNN = ["model=cnn", "data.train_size=3200", "data.val_size=500", "epochs=6"]
MLP = ["-m", "model=mlp", "augment=none", "batch_size=128", "data.train_size=20000", "data.val_size=500", "epochs=12"]
MLP += ["seed=0,1"]
BUSY = "while True: pass"
MANY = {"alone": 1, "busy": 1, "two": 2, "sweep": 1, "sweeps": 2}
FAIR = {"busy": ("alone", 2 / 3), "two": ("alone", 1.0), "sweeps": ("sweep", 1.0)}
WAYS = {"as it is": {}, "not bound": {"OMP_PROC_BIND": "false"}}
LIMIT = 35.0  # seconds of a row; what starves has told enough by then


@contextmanager
def company(row):
    """What computes beside the row's commands."""
    other = subprocess.Popen([sys.executable, "-c", BUSY]) if row == "busy" else None
    try:
        yield
    finally:
        if other:
            other.kill()
            other.wait()


def started(words, folder, environment):
    """A command in a folder of its own."""
    folder.mkdir()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "wdrun", *words], cwd=folder, env=environment, **quiet)


def rate(folder):
    """Median images a second over the epochs of a folder's runs but the first of all."""
    rows = []
    for file in sorted(folder.glob("outputs/*/*/timing.csv"), key=lambda file: file.stat().st_mtime):
        with file.open() as text:
            rows += [float(row["images_per_second"]) for row in csv.DictReader(text)]
    return statistics.median(rows[1:] or rows or [0.0])


def measured(row, environment):
    """Images a second of the row's commands together, until the first of them ends."""
    words = MLP if row.startswith("sweep") else CNN
    with tempfile.TemporaryDirectory() as place, company(row):
        folders = [Path(place) / str(number) for number in range(MANY[row])]
        commands = [started(words, folder, environment) for folder in folders]
        until = time.monotonic() + LIMIT
        while all(command.poll() is None for command in commands) and time.monotonic() < until:
            time.sleep(0.1)
        for command in commands:
            command.terminate()  # interrupted, it keeps the epochs that it has
        for command in commands:
            command.wait()
        return sum(map(rate, folders))


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = sys.argv[2:] or list(MANY)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    rounds = []
    for i in range(n):
        found = {}
        for row in rows:
            for way in list(WAYS)[:: -1 if i % 2 else 1]:
                found[row, way] = measured(row, clean | WAYS[way])
        rounds.append(found)
        print({f"{row}, {way}": round(value) for (row, way), value in found.items()}, file=sys.stderr, flush=True)
    print(f"{len(os.sched_getaffinity(0))} CPUs, n = {n}: images a second, share of what is fair")
    for row in rows:
        for way in WAYS:
            values = [found[row, way] for found in rounds]
            alone, share = FAIR.get(row, (row, 1.0))
            best = [max(found.get((alone, other), 0.0) for other in WAYS) * share for found in rounds]
            shares = [value / fair for value, fair in zip(values, best, strict=True) if fair]
            print(f"{row}, {way}: {shown(values, ',.0f')}; {shown(shares, '.0%') if shares else 'unknown'}")


def shown(values, how):
    return f"{statistics.median(values):{how}} ({min(values):{how}} to {max(values):{how}})"


if __name__ == "__main__":
    main()
