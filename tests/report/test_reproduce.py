"""How runs came about is told from what was recorded, and what was not is said."""

from tests import made_up
from wdrun.report import reproduce
from wdrun.selection.overrides import recorded
from wdrun.tables.read import load


def test_commands_come_from_overrides_else_from_the_config_else_are_said_to_be_unknown(tmp_path):
    folders = [made_up.run(tmp_path / "r", lam) for lam in (0, 1e-5, 1e-4, 1e-3)]
    (folders[1] / ".hydra" / "overrides.yaml").write_text("{torn: [")
    (folders[2] / ".hydra" / "overrides.yaml").unlink()
    (folders[3] / ".hydra" / "overrides.yaml").write_text("- 3\n")
    (folders[3] / "config.yaml").write_bytes(b"\xff\xfe")
    assert reproduce.commands(folders, recorded) == [
        f"wdrun -m decay=l2 lambda=0,1e-5,0.0001 lr=0.1 seed=0 model=mlp epochs=2 name=r output_dir={tmp_path}",
        "# and 1 run whose command is not recorded",
    ]


def test_many_unlike_lines_are_counted(tmp_path):
    lines = [made_up.run(tmp_path / "r", 0.1) for _ in range(20)]
    for i, folder in enumerate(lines):
        (folder / ".hydra" / "overrides.yaml").write_text(f"[a{i}=1]")
    made = reproduce.commands(lines, recorded)
    assert len(made) == 13
    assert made[-1].startswith("# and 8 more")


def test_what_the_runs_were_made_with_and_where_they_differ(tmp_path):
    for seed in range(3):
        made_up.run(
            tmp_path / "r", 0.1, seed=seed, torch_version="2.10.0" if seed else "2.11.0", threads_used=1 + seed // 2
        )
    made_up.run(tmp_path / "r", 0.1, seed=3, status="failed", **dict.fromkeys(made_up.MADE_WITH, "") | {"schema": 1})
    made = {label: (value, differs) for label, value, differs in reproduce.made_with(load([tmp_path / "r"]).runs)}
    assert made["torch"] == ("2.10.0 (2 runs); 2.11.0 (1 run)", True)
    assert made["threads"] == ("1 (2 runs); 2 (1 run)", True)
    assert made["Python"] == ("3.11.7", False)
