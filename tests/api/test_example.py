"""The example of outputs/examples/python: it runs as a script, and finds what its cells say."""

import runpy
from pathlib import Path

import pytest

import wdrun

EXAMPLE = Path(wdrun.__file__).resolve().parent.parent / "outputs" / "examples" / "python" / "which_decay.py"


def test_the_example_runs(here, capsys):
    found = runpy.run_path(str(EXAMPLE))
    assert list(found["sweep"].runs["status"]) == ["done"] * 12
    assert found["selection"].choices["lambda_min"].item() in (0.03, 0.3)
    assert found["result"].definition.seed == 3
    assert found["result"].definition.lam == found["selection"].choices["lambda_min"].item()
    assert found["result"].directory.parent.name == "confirmed"
    folder = here / "outputs" / "which_decay"
    assert {"curve.pdf", "learning.png", "report.html", "runs.csv"} <= {path.name for path in folder.iterdir()}
    out, err = capsys.readouterr()
    assert f"Sweep(12 runs: 12 done; {folder})" in out
    assert "torch.Size([1, 10])" in out
    assert err == ""


def test_the_example_is_cells_of_a_notebook():
    cells = EXAMPLE.read_text(encoding="utf-8").split("# %%")
    assert len(cells) > 6
    for cell in cells[2:]:
        compile(cell.partition("\n")[2], "cell", "exec")


@pytest.mark.parametrize("name", [name for name in wdrun.__all__ if name.islower() and name[0] != "_"])
def test_the_example_or_the_readme_of_the_room_shows_every_function(name):
    shown = EXAMPLE.read_text(encoding="utf-8") + (Path(wdrun.__file__).parent / "api/README.md").read_text("utf-8")
    assert f"wdrun.{name}" in shown
