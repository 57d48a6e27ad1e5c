"""The runs of a folder that differ from a given run in one respect alone: known by their rows, whatever their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from wdrun.config.run import OUTSIDE, UNWRITTEN, Run, canonical
from wdrun.tables.identity import plain
from wdrun.tables.sound import run_of, whole
from wdrun.tables.write import cell


def without_decay(root: Path, run: Run, data_digest: str) -> dict[str, str] | None:
    """The finished run below `root` that differs from this one, on these data, in having no decay (λ = 0)."""

    def zero(row: dict[str, str]) -> bool:
        return float(row["lambda"]) == 0 and "" not in (row["val_loss"], row["test_loss"])

    found = _alike(root.glob("*/run.csv"), run, data_digest, ("lambda", "decay."), zero)
    return next((row for _, row in found), None)


def shorter(root: Path, run: Run, data_digest: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """The finished runs below `root`, no rungs of halving, that are this one, on these data, of fewer epochs."""
    short = {*range(run.epochs)} - rungs(root)
    return _alike(_namesakes(root, run), run, data_digest, ("epochs",), lambda row: int(row["epochs"]) in short)


def otherwise_begun(root: Path, run: Run, data_digest: str) -> dict[str, str] | None:
    """The run below `root` that differs from this one, on these data, in what its `init_from` held then."""

    def other(row: dict[str, str]) -> bool:
        return row["init_from"] == run.init_from and row["init_digest"] != run.init_digest

    found = _alike(_namesakes(root, run), run, data_digest, ("init_digest",), other, ended=False)
    return next((row for _, row in found), None)


def on_other_data(root: Path, run: Run) -> dict[str, str] | None:
    """The run below `root` that differs from this one in what its `data.root` held then."""

    def other(row: dict[str, str]) -> bool:
        return row["data.root"] == run.data["root"] and row["data.digest"] not in ("", run.data["digest"])

    found = _alike(_namesakes(root, run), run, None, ("data.digest",), other, ended=False)
    return next((row for _, row in found), None)


def _namesakes(root: Path, run: Run) -> list[Path]:
    """The run.csv of the folders below `root` whose names differ from this run's in the id alone, as few of a sweep do.

    Each of its runs may read them: were it all of the sweep, its time would grow as the square of its runs.
    """
    begin = run.slug[: -len(run.id)]
    try:
        names = os.listdir(root)
    except OSError:
        return []
    return [root / name / "run.csv" for name in names if name.startswith(begin) and len(name) == len(run.slug)]


def _alike(
    paths: Iterable[Path],
    run: Run,
    data_digest: str | None,
    but: Sequence[str],
    asked: Callable[[dict[str, str]], bool],
    *,
    ended: bool = True,
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Folder and row of such runs, on these data unless None, with this one's knobs but for some; `x.` is a group.

    A row that is broken, or may not be read, is none: `load` tells of it. Those of runs that are not done count where
    they need not have `ended`.
    """
    groups = tuple(key for key in but if key.endswith("."))
    knobs = run.knobs
    left = {key for key in (*knobs, *UNWRITTEN) if key not in (*but, *OUTSIDE) and not key.startswith(groups)}
    same = {key: cell(canonical(knobs[key])) for key in left if key in knobs}
    for path in sorted(paths):
        try:
            row = run_of(*whole(path))
            if data_digest not in (None, row["data_digest"]) or (ended and row["status"] != "done") or not asked(row):
                continue
        except (OSError, ValueError, KeyError):
            continue
        if any(row.get(key) for key in left - same.keys()):  # those are as always, and in no table
            continue
        if all(key in row and plain(row[key]) == text for key, text in same.items()):
            yield path.parent, row


def rungs(root: Path) -> set[int]:
    """The epochs of the rungs of successive halving in a folder of runs; none but where a former version halved."""
    try:
        header, rows = whole(root / "halving.csv")
        return {int(row[header.index("epochs")]) for row in rows}
    except (OSError, ValueError):
        return set()
