"""Imports point one way, heavy libraries stay where they belong, and the tree keeps its shape."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wdrun"

# The rooms from top to bottom: one imports from itself and from those below it only.
ROOMS = [
    {"__main__"},
    {"cli"},
    {"api", "plugin"},
    {"bench"},
    {"sweep", "report"},
    {"explain", "laws", "selection"},
    {"training", "tables"},
    {"config", "models", "decay", "optim", "data"},
    {"conventions", "schedules", "terminal"},
    {"accepts", "devices", "storage", "streams"},
    {"wording"},
    {"errors", "__init__"},
]
# The libraries that are slow to load, or not ours to depend on everywhere: the rooms that may import them.
HEAVY = {
    "torch": {"training", "models", "decay", "optim", "data", "devices", "streams", "sweep", "api", "laws", "bench"},
    "hydra": {"cli", "config", "sweep", "plugin"},
    "omegaconf": {"cli", "config", "sweep", "plugin"},
    "pandas": {"tables", "selection", "report", "api"},
    "scipy": {"selection", "report"},
    "matplotlib": {"report"},
    "torchvision": {"data", "training", "bench"},
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
    row = {name: i for i, names in enumerate(ROOMS) for name in names}
    assert module in row, f"{module} has no place"
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
