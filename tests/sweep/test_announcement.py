"""What `wdrun tune` says before its first run: what it may take, as it was typed (more in test_tune.py)."""

import pytest

from wdrun.sweep import announcement


@pytest.mark.parametrize(("seconds", "text"), [
    (100.0, "100 s"), (90.0, "90 s"), (1200.0, "20 min"), (5400.0, "90 min"), (7200.0, "2 h"), (5700.0, "95 min"),
])  # fmt: skip
def test_the_time_that_is_allowed_is_said_as_it_was_typed(seconds, text):
    assert announcement._allowed(seconds) == text
