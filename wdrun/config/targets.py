"""Code of the user's that a config imports: said aloud, and found in the current folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wdrun.config.run import Job, Run


def own_classes(run: Run) -> list[tuple[str, str]]:
    """(group, dotted name) of each class of the user's that makes the run, those of a chain's terms too, sorted."""
    named = {(group, getattr(run, group).get("_target_")) for group in ("data", "model")}
    named |= {("decay", target) for target in _decays(run.decay)}
    return sorted((group, target) for group, target in named if target and not target.startswith("wdrun."))


def _decays(spec: Mapping[str, Any]) -> Iterator[str]:
    yield spec["_target_"]
    for term in spec.get("terms", ()):
        yield from _decays(term)


def announce(jobs: Sequence[Job], groups: Sequence[str] = ("data", "decay", "model")) -> None:
    """Say which code of the user's a config imports for these groups, and let it be found in the current folder."""
    own = sorted({found for job in jobs for found in own_classes(job.run) if found[0] in groups})
    if own and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for group, target in own:
        print(f"imports {target} (as {group})", file=sys.stderr)
