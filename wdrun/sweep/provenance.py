"""Which wdrun trained a run: its version and commit, of all epochs where the run was resumed with another."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from wdrun import __version__

# those of run.csv that may be others where a run is resumed
COLUMNS = ("python_version", "wdrun_version", "commit", "code")
CHECKOUT = Path(__file__).resolve().parents[2]  # where this wdrun runs from one


def describe() -> dict[str, str]:
    """Columns of run.csv that name this wdrun."""
    return {"wdrun_version": __version__, "commit": commit_of(CHECKOUT)}


def joined(was: str, now: str) -> str:
    """What the epochs so far were made with, then what those to come are, as `a then b`; once where it is the same."""
    last = was.rpartition(" then ")[2]
    return was if (last or "unknown") == (now or "unknown") else f"{was or 'unknown'} then {now or 'unknown'}"


@cache
def commit_of(root: Path) -> str:
    """Git commit of a checkout, with `-dirty` where its files are not those of the commit; empty where it is none.

    Files that git does not know count where they would be run: in wdrun/ and conf/.
    """
    if not (root / ".git").exists():
        return ""
    status = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=all"]
    try:
        done = subprocess.run(status, cwd=root, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = done.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if commit == "(initial)":  # none yet
        return ""
    changed = any(not line.startswith(("#", "? ")) or line.startswith(("? wdrun/", "? conf/")) for line in lines)
    return f"{commit}-dirty" if changed else commit
