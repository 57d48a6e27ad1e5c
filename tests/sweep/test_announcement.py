"""What `wdrun tune` says before its first run: what it may take, as it was typed (more in test_tune.py)."""

from types import SimpleNamespace

import pytest

from tests import tuned_folder
from wdrun.sweep import announcement


@pytest.mark.parametrize(("seconds", "text"), [
    (100.0, "100 s"), (90.0, "90 s"), (1200.0, "20 min"), (5400.0, "90 min"), (7200.0, "2 h"), (5700.0, "95 min"),
])  # fmt: skip
def test_the_time_that_is_allowed_is_said_as_it_was_typed(seconds, text):
    assert announcement._allowed(seconds) == text


@pytest.mark.parametrize(("seed", "told"), [(999, False), (1000, True), (1059, True), (1060, False), (2000, False)])
def test_runs_told_of_another_question_where_their_seeds_are_for_verdicts(tmp_path, seed, told):
    made = tuned_folder.tuned(tmp_path / "r", upto=3)
    asked, other = SimpleNamespace(root=made.root), tuned_folder.question(("l2",))
    tuner = SimpleNamespace(asked=asked, seen={("cell", seed): None}, question=other)
    assert announcement._of_another(tuner) == told
