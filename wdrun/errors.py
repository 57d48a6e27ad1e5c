"""The errors a user can cause or meet, each one line, and the exit codes of the command line."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ends, where no signal n ended it (that is 128 + n); `meaning` as --help says it."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "Exit":
        member = int.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member

    DONE = 0, "done"
    FAILED = 1, "a run failed"
    CONFIG = 2, "wrong command or config"
    DIVERGED = 3, "a run diverged"
    BUSY = 4, "folder in use or of another run"
    STORAGE = 5, "disk or download"
    REQUIREMENT = 6, "a require.* threshold missed"
    UNFINISHED = 7, "status --json: runs are not finished"


class WdrunError(Exception):
    """An expected failure: shown as one line on stderr, without a traceback."""

    exit_code = Exit.FAILED


class ConfigError(WdrunError):
    """The command or the config is wrong; nothing was created."""

    exit_code = Exit.CONFIG


class BusyError(WdrunError):
    """The run directory is in use by another process or holds another config."""

    exit_code = Exit.BUSY


class InUseError(BusyError):
    """Another process holds the run directory: it will end, so waiting helps."""


class StorageError(WdrunError):
    """Disk, permission, download or other I/O trouble."""

    exit_code = Exit.STORAGE
