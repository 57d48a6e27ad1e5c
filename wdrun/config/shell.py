"""What Hydra's own main answers, --info, --hydra-help and the shells' completion scripts, and what completes a line."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any

from wdrun.config.completion import completed
from wdrun.config.options import conf_dir


def own_main(words: Sequence[str]) -> int:
    """--info, --hydra-help and the shells' completion scripts are Hydra's own; what they ask `complete` answers."""
    _hydra_main(words)
    if "install=bash" in words:
        print("COMP_WORDBREAKS=${COMP_WORDBREAKS//@}")  # else bash takes the @ of a file of words for a word of its own
    return 0


def _hydra_main(words: Sequence[str]) -> None:
    import hydra

    sys.argv = ["wdrun", *words]
    show: Callable[[Any], None] = lambda config: None  # noqa: E731 - Hydra wants a task function
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(show)()


def complete(words: Sequence[str], flags: Sequence[str]) -> int:
    """Print what may end the line in COMP_LINE, a word a line; `flags` are those of a run. No error is heard of."""
    own, rest, config_dir = completed(os.environ.get("COMP_LINE", ""), flags)
    heard = io.StringIO()
    if rest is not None:
        os.environ["COMP_LINE"] = rest
        place = ["--config-dir", config_dir] if config_dir is not None else []
        with suppress(SystemExit, Exception), redirect_stdout(heard), redirect_stderr(io.StringIO()):
            _hydra_main([*words, *place])
    hidden = re.compile(r"[^=]*=(_|wdrun_)")  # files that others extend, and our presets of others' engines
    print("\n".join(dict.fromkeys([*own, *(word for word in heard.getvalue().split() if not hidden.match(word))])))
    return 0
