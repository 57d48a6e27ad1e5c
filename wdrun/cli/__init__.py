"""`wdrun key=value …` trains; a first word without "=" is a command; flags as Hydra has them."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from wdrun import __version__, cores
from wdrun.cli.flags import FLAGS, HYDRA_FLAGS, SWITCHES, split
from wdrun.config import commands
from wdrun.errors import ConfigError, StorageError, WdrunError
from wdrun.terminal.characters import open_stream
from wdrun.terminal.screen import folded
from wdrun.wording import command_line, nearest, printable

# A command is a function (words, flags) -> exit code, imported when it is called.
COMMANDS = {
    "data": "wdrun.cli.run:data_command",
    "explain": "wdrun.cli.run:explain_command",
    "verify": "wdrun.laws.verify:command",
    "status": "wdrun.tables.status:command",
    "evaluate": "wdrun.sweep.evaluate:command",
    "select": "wdrun.selection:select_command",
    "best": "wdrun.selection:best_command",
    "report": "wdrun.report:command",
    "tune": "wdrun.sweep.tune:command",
    "transfer": "wdrun.sweep.transfer:command",
    "bench": "wdrun.bench:command",
}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
HELP = ("-h", "--help")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script; exits with the documented code."""
    began = time.monotonic()
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    os.environ.setdefault(*cores.SPIN)
    cores.count_early()
    try:
        code = dispatch(words, began)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of stdout left (`| head -1`): nothing more can be said there, and it is not our failure.
        _give_up(sys.stdout)
        code = 128 + signal.SIGPIPE
    except WdrunError as error:
        code = _report(error)
    except OSError as error:  # of a path the user named, or of stdout, which has no name
        if error.filename is None:
            if error.errno not in FULL:  # a bug of ours
                raise
            _give_up(sys.stdout)
            code = _report(StorageError(f"/dev/stdout: {error.strerror}; what was to be printed is lost"))
        elif any(word in COMMANDS for word in words) and error.errno not in FULL:  # it reads: no other folder helps
            code = _report(StorageError(f"{error.filename}: {error.strerror}"))
        else:
            from wdrun.storage import storage_error

            code = _report(storage_error(Path(error.filename), error))
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # as of a terminal that is gone; Python would try again as it leaves, and end with 120
            _give_up(stream)
    sys.exit(code)


def _give_up(stream: TextIO) -> None:
    """Let what the stream holds, and what comes, go nowhere: it can be written no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_streams() -> None:
    """A stream that the caller closed (`2>&-`) goes nowhere; else its number would be that of a file opened later.

    What an encoding lacks is written in other characters.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)  # of worker processes too
            setattr(sys, name, stream)
    open_stream(sys.stdout)
    open_stream(sys.stderr)


def _report(error: WdrunError) -> int:
    """One line on stderr, folded only to a terminal's width, whatever characters a value in it has; the exit code."""
    print("\n".join(folded(f"wdrun: {printable(str(error))}", sys.stderr)), file=sys.stderr)
    return error.exit_code


def dispatch(words: list[str], began: float | None = None) -> int:
    """Do what the words ask; the exit code. `began`: when the command did, by the monotonic clock."""
    if any(word.startswith("'") for word in words):
        from wdrun.config import files

        words = files.unquoted(words)
    if words[:1] == ["help"] or any(word in HELP for word in words):
        return _help(words)
    if "--version" in words:
        print(f"wdrun {__version__}")
        return 0
    if any(word.startswith("query=") for word in words) and "COMP_LINE" in os.environ:
        from wdrun.config import shell

        return shell.complete(words, FLAGS)
    _check_here()
    if any(word.partition("=")[0] in HYDRA_FLAGS for word in words):
        from wdrun.config import shell

        return shell.own_main(words)
    if any(word.startswith("@") for word in words):
        from wdrun.config import files

        read = {word: files.words_in(word) for word in words if word.startswith("@")}
        flags, _ = split([*words, *chain(*read.values())])
        words = files.spliced(words, read, flags["config_dir"])
    given = words
    flags, words = split(given)
    if words and "=" not in words[0] and not words[0].startswith("~"):
        name, *rest = words
        if name not in COMMANDS:
            hint = nearest(name, [*COMMANDS, "--help", "train"])
            hint = hint.replace("did you mean train?", "to train, type settings alone, as decay=l2")
            raise ConfigError(f"{name!r}: neither key=value nor a command ({', '.join(COMMANDS)}){hint}")
        if wrong := [flag for flag, value in flags.items() if value and flag not in commands.COMMANDS[name].flags]:
            shown = "-m" if wrong[0] == "multirun" else f"--{wrong[0]}"
            raise ConfigError(f"{shown}: wdrun {name} does not take it; see wdrun {name} --help")
        rest = _again(rest, flags)
        if name == "tune":  # whose module loads torch
            from wdrun.config import typed

            cores.load(typed.threads(rest))
        module, _, function = COMMANDS[name].partition(":")
        code: int = getattr(importlib.import_module(module), function)(rest, flags | {"began": began})
        return code
    if late := next((word for word in words if word in COMMANDS), None):
        takes = commands.COMMANDS[late].flags
        idle = [word for flag in SWITCHES if flag not in takes for word in commands.SPELLED[flag]]
        line = command_line([late, *(word for word in given if word not in (late, *idle))])
        raise ConfigError(f"{late!r}: a command stands first; write {line}")
    if flags["watch"]:
        raise ConfigError("--watch: only wdrun report takes it")
    words = _again(words, flags)
    from wdrun.cli import run

    return run.show_config(words, flags) if flags["cfg"] else run.train_command(words, flags)


def _check_here() -> None:
    """StorageError where the current folder was removed: neither torch nor Hydra starts there."""
    try:
        os.getcwd()
    except OSError as error:
        raise StorageError(f"the current folder is gone ({error.strerror}); cd to one that is there") from error


def _again(words: list[str], flags: dict[str, Any]) -> list[str]:
    """The words after those of the run that --config names; as they are where it is not given."""
    if flags["config"] is None:
        return words
    from wdrun.config import files

    return files.run_again(flags["config"], words, flags["config_dir"])


def _help(words: Sequence[str]) -> int:
    """Print what the command among the words takes, else what a run takes, the user's own options among it."""
    from wdrun.config.help import help_of, whole_help

    flags, left = split([word for word in words if word not in (*HELP, "--version") and word[:1] != "@"])
    left = left[1:] if left[:1] == ["help"] else left
    if left and "=" not in left[0]:
        if left[0] not in COMMANDS:
            raise ConfigError(f"{left[0]!r}: must be a command ({', '.join(COMMANDS)}){nearest(left[0], COMMANDS)}")
        print(help_of(left[0]))
        return 0
    print("\n".join(part for line in whole_help(flags["config_dir"]).splitlines() for part in folded(line)))
    return 0
