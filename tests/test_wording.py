"""What a person reads of an error, whatever its message: something, and one line of it."""

import pytest

from wdrun.wording import first_line, named

# message, its first line, the error by name
SAID = [
    ("out of memory", "out of memory", "RuntimeError: out of memory"),
    ("one\ntwo\nthree", "one", "RuntimeError: one"),
    ("\n \n  third \nfourth", "third", "RuntimeError: third"),
    ("", "RuntimeError", "RuntimeError"),
    (" \n\t\n", "RuntimeError", "RuntimeError"),
]


@pytest.mark.parametrize(("message", "line", "whole"), SAID)
def test_an_error_has_a_first_line(message, line, whole):
    assert first_line(RuntimeError(message)) == line
    assert named(RuntimeError(message)) == whole


def test_an_error_without_arguments_is_its_type():
    assert first_line(SystemExit()) == named(SystemExit()) == "SystemExit"
