"""Thirty-one stories of commands give the tables, ids and weights of another commit: `python tests/unchanged.py REV`.

Each story is a few commands typed in an empty folder, once with the wdrun of REV (a worktree of it) and once with this
one. What a run writes is compared but for seconds (`timing.csv`), for what names the version (`wdrun_version`,
`commit`), and for columns that REV may not have. A story with `STOP` before a command interrupts that command once its
first checkpoint is there. Where REV gave ids of digits, all is compared but for the ids and the order of runs that
follows from them: now they are letters.
"""

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("wdrun_version", "commit")
ADDED = ("stable_rank",)  # columns that REV may not have
SECONDS = ("train_seconds", "evaluate_seconds", "images_per_second", "peak_memory_mib")
STOP = "STOP "
FORMER = re.compile(r"-[0-9a-f]{8}/")
ID = re.compile(r"\b(?:[0-9a-f]{8}|[bcdfghjklmnpqrstvwxz]{8})\b")
S = "data=synthetic data.train_examples=200 data.test_examples=50 threads=1 batch_size=32 epochs=2"
M = f"{S} model=mlp model.hidden=[8] augment=none"
LONG = f"{M} decay=swd lambda=1e-2 optimizer=adam epochs=300"
C = f"{S} model=cnn model.channels=[4,4] model.width=8"

STORIES = [
    [f"{M} decay=l2 lambda=1e-2"],
    [f"{M} decay=none"],
    [f"{M} decay=l1 lambda=1e-3 decay.coupling=proximal optimizer=adam lr=1e-3 diagnostics=[histograms,oui,hessian]"],
    [f"{M} decay=l2 lambda=0.1 decay.coupling=decoupled optimizer=adam schedule=one_cycle decay.schedule=with_lr"],
    [f"{M} decay=independent lambda=1e-3 optimizer=adamw schedule=warm_restarts schedule.period=1"],
    [f"{M} decay=cautious lambda=0.1 optimizer=lion lr=1e-4"],
    [f"{M} decay=max_norm lambda=0.5 optimizer=rmsprop lr=1e-3 optimizer.clip_norm=1"],
    [f"{M} decay=elastic_net lambda=1e-3 optimizer=nadam decay.scales=[[fc1.weight,0.5],[*.bias,0]]"],
    [f"{M} decay=chain lambda=1e-2 optimizer=sgd optimizer.nesterov=true evaluate=calibration"],
    [f"{M} decay=swd lambda=1e-3 optimizer=adam precision=fp64"],
    [f"{M} decay=cpr lambda=1 optimizer=adam decay.kappa=warm_up decay.kappa_after=3"],
    [f"{M} decay=target_norm lambda=0.1 decay.target=0.5 optimizer=adagrad lr=1e-2"],
    [f"{M} decay=group_lasso lambda=1e-3 optimizer=muon optimizer.ns_dtype=float32 decay.normalized=true"],
    [f"{M} decay=random_mask lambda=0.1 optimizer=adadelta lr=1"],
    [f"{M} decay=l2_init lambda=0.1 decay.scope=fc decay.coupling=decoupled"],
    [f"{M} decay=l2 decay.scope=fc budget=0.5 decay.coupling=decoupled"],
    [f"{M} decay=spectral lambda=1e-2 early_stopping.patience=1 epochs=4"],
    [f"{M} decay=huber lambda=1e-2 model.dropout=0.3 model.norm=batch optimizer.clip_value=0.1"],
    [f"{M} lr=1e6 lambda=1 allow_diverged=true epochs=3"],
    [f"{C} decay=l2 lambda=1e-2 augment=flip_crop"],
    [f"{C} decay=hoyer_square lambda=1e-4 augment=cutout precision=bf16 model.norm=group"],
    [f"{C} decay=orthogonal lambda=1e-3 augment=flip_crop evaluate=robustness evaluate.attack_examples=20 epochs=1"],
    ["experiment=linear_regression epochs=50 threads=1 \"sweep=['lambda=0,0.1']\""],
    [f"{STOP}{LONG}", LONG],
    [f"-m {M} lambda=0,1e-2,1e-1 seed=0,1", "select outputs/default", "report outputs/default", "best outputs/default"],
    [f"-m {M} decay=l2,l1 lambda=0,1e-2 lr=0.01,0.1 optimizer=sgd,adam fuse=true"],
    [f"-m {M} decay=l2 lambda=0,1e-2,1 decay.coupling=coupled,decoupled,cautious fuse=true precision=fp64 seed=0,1"],
    [f"-m {C} augment=flip_crop lambda=0,1e-2 seed=0,1 fuse=true epochs=1"],
    [f"-m {M} folds=2 lambda=0,1e-2 parallel=2", "select outputs/default"],
    [f"-m {M} lambda=0,1e-3,1e-2,1e-1 epochs=4 objective=val_accuracy"],
    ["experiment=smoke epochs=2", "status outputs/smoke", "select outputs/smoke metric=val_accuracy nuisance=lr"],
]  # fmt: skip


def tell(root: Path, words: str, folder: Path) -> tuple[int, list[str]]:
    """Type one command with the wdrun of `root`; its exit code and the results on stdout."""
    path = os.pathsep.join([str(root), str(root / "wdrun" / "plugin")])
    command = [sys.executable, "-m", "wdrun", *shlex.split(words.removeprefix(STOP))]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        if words.startswith(STOP):
            while child.poll() is None and not list(folder.glob("outputs/*/*/checkpoint")):
                time.sleep(0.02)
            child.send_signal(signal.SIGTERM)
        out, _ = child.communicate()
    if words.startswith(STOP):
        return child.returncode, []
    return child.returncode, sorted(line.replace(str(folder), "") for line in out.splitlines() if line.startswith("{"))


def plain(path: Path) -> bytes:
    """A file without seconds and versions; a CSV's cells as they stand."""
    content = path.read_bytes()
    if path.suffix != ".csv":
        return content
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    left = [i for i, name in enumerate(rows[0]) if name not in (*VERSIONS, *SECONDS, *ADDED)] if rows else []
    return json.dumps([[row[i] for i in left] for row in rows]).encode()


def found(folder: Path) -> dict[str, bytes]:
    """What is compared of a story's folder: tables, configs and weights."""
    kinds = {".csv", ".yaml", ".safetensors"}
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in kinds and ".hydra-sweep" not in p.parts)
    return {str(p.relative_to(folder)): plain(p) for p in paths}


def without_ids(files: dict[str, bytes]) -> dict[str, list[bytes]]:
    """The same without ids, of letters or of digits: the contents by name, rows and contents sorted."""
    bare: dict[str, list[bytes]] = {}
    for name, content in files.items():
        text = ID.sub("", content.decode("latin-1"))
        if name.endswith(".csv"):
            text = json.dumps(sorted(json.loads(text)))
        bare.setdefault(ID.sub("", name), []).append(text.encode())
    return {name: sorted(contents) for name, contents in bare.items()}


def story(roots: tuple[Path, Path], words: list[str]) -> list[str]:
    """What differs between the two, a line each."""
    ends = []
    for root in roots:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            said = [tell(root, line, folder) for line in words]
            ends.append((said, found(folder)))
    (said, files), (said_now, files_now) = ends
    if FORMER.search(" ".join(files)) and not FORMER.search(" ".join(files_now)):
        said, said_now = (
            [(code, sorted(ID.sub("", x) for x in out)) for code, out in part] for part in (said, said_now)
        )
        files, files_now = without_ids(files), without_ids(files_now)
    differ = [f"{line}: {a} before, {b} now" for line, a, b in zip(words, said, said_now, strict=True) if a != b]
    differ += [f"only before: {name}" for name in files.keys() - files_now.keys()]
    differ += [f"only now: {name}" for name in files_now.keys() - files.keys()]
    differ += [f"other bytes: {name}" for name in files.keys() & files_now.keys() if files[name] != files_now[name]]
    if not any(name.endswith("run.csv") for name in files):
        differ.append(f"no run was written: {said}")
    return differ


def main() -> int:
    """Compare every story with REV; 1 where one differs. Further words: the numbers of the stories to tell."""
    revision, *chosen = sys.argv[1:]
    numbers = [int(n) for n in chosen] or range(1, len(STORIES) + 1)
    with tempfile.TemporaryDirectory() as name:
        before = Path(name) / "before"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", before, revision], cwd=ROOT, check=True)
        try:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                told = dict(
                    zip(numbers, pool.map(lambda n: story((before, ROOT), STORIES[n - 1]), numbers), strict=True)
                )
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", before], cwd=ROOT, check=True)
    for number, differ in told.items():
        print(f"{number:2} {'as before' if not differ else 'DIFFERS'}  {STORIES[number - 1][0]}")
        for line in differ:
            print(f"     {line}")
    print(f"{len(told)} stories, {sum(map(bool, told.values()))} differ from {revision}")
    return int(any(told.values()))


if __name__ == "__main__":
    sys.exit(main())
