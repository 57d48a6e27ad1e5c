"""Code of the user's that a config imports: said aloud, and found in the current folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from wdrun.config.run import Job


def announce(jobs: Sequence[Job]) -> None:
    """Say which code of the user's a config imports, and let it be found in the current folder."""
    found = {("model", job.run.model.get("_target_")) for job in jobs}
    found |= {("decay", job.run.decay["_target_"]) for job in jobs}
    own = sorted((group, target) for group, target in found if target and not target.startswith("wdrun."))
    if own and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for group, target in own:
        print(f"imports {target} (as {group})", file=sys.stderr)
