"""Imports point one way, heavy libraries stay where they belong, and the tree keeps its shape."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wdrun"

# From top to bottom: a module imports from its own row (a package of its own) or from rows below it only.
ROWS = [
    {"__main__"},
    {"cli"},
    {"api", "usage", "plugin"},
    {"launch", "bench"},
    {"presets", "halving"},
    {"sweep", "laws", "report"},
    {"workers", "together", "selection", "status", "board"},
    {"ending"},
    {"runner"},
    {"recording"},
    {"explain"},
    {"fused"},
    {"train"},
    {"course"},
    {"loggers", "results"},
    {"diagnostics", "evaluation", "aggregate"},
    {"config", "step", "records", "conventions", "interrupt", "checkpoint", "progress"},
    {"compose", "arguments", "targets"},
    {"axes"},
    {"models", "decay", "optim", "schedules", "data", "devices", "job", "storage"},
    {"streams", "rules", "catalogue"},
    {"errors", "__init__"},
]
HEAVY = {
    "torch": {
        "train",
        "course",
        "step",
        "models",
        "decay",
        "optim",
        "data",
        "devices",
        "diagnostics",
        "streams",
        "checkpoint",
    }
    | {"evaluation", "loggers", "api", "laws", "fused", "bench"},
    "hydra": {"cli", "config", "compose", "axes", "launch", "plugin"},
    "omegaconf": {"cli", "config", "compose", "launch", "plugin"},
    "pandas": {"records", "api", "results", "selection", "report"},
    "scipy": {"selection", "report"},
    "matplotlib": {"report"},
    "torchvision": {"data", "evaluation", "bench"},
}


def name_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Top-level module of every absolute import, and the wdrun module for ours; type-checking blocks left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield ("wdrun", parts[1] if len(parts) > 1 else "__init__") if parts[0] == "wdrun" else (parts[0], "")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    module = name_of(path)
    row = {name: i for i, names in enumerate(ROWS) for name in names}
    assert module in row, f"{module} has no row"
    for library, ours in imports(path):
        if library == "wdrun":
            ours = ours if ours in row else "__init__"  # `from wdrun import __version__`
            assert ours == module or row[ours] > row[module] or (module == "__init__" and ours == "api"), ours
        elif library in HEAVY:
            assert module in HEAVY[library], f"{module} imports {library}"


def test_the_top_level_is_what_was_agreed():
    import subprocess

    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    top = {name.split("/")[0] for name in listed}
    assert {name for name in top if not name.startswith(".")} <= {
        "wdrun", "conf", "tests", "outputs", "pyproject.toml", "README.md",
    }  # fmt: skip


def test_no_module_is_a_drawer():
    assert not {p.stem for p in FILES} & {"utils", "helpers", "manager", "common", "misc"}
