"""The floors of wdrun/: imports point down, in no circle; heavy libraries stay in the rooms that may load them."""

import ast
import re
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wdrun"

# A floor a line, the highest first. A room imports from itself and from lower floors; in brackets, what it may load of
# the libraries that are slow to load, or that not every room is to depend on. `wdrun` is the package's own face.
FLOORS = """
__main__
cli [hydra omegaconf]
api [matplotlib pandas torch], plugin [hydra omegaconf]
bench [torch torchvision]
sweep [hydra omegaconf torch], report [matplotlib pandas scipy]
tuning [hydra omegaconf pandas scipy]
explain, laws [torch], selection [pandas scipy]
training [torch torchvision], tables [pandas]
config [hydra omegaconf], models [torch], decay [torch], optim [torch], data [pyarrow scipy torch torchvision]
conventions, schedules, terminal
accepts, contents, devices [torch], storage, streams [torch], tensors [torch]
cores [torch], wording, wdrun
errors
"""
# The imports that point up: wdrun.run(…) loads the door it stands for when it is called.
DOORS = ("answers", "explanation", "figures", "measurement", "runs", "tuning")
FACE = {("wdrun", f"wdrun.api.{module}") for module in DOORS}

LINES = [re.findall(r"(\w+)(?: \[(.*?)\])?", line) for line in FLOORS.split("\n") if line]
FLOOR = {room: floor for floor, line in enumerate(LINES) for room, _ in line}
MAY_LOAD = {room: set(libraries.split()) for line in LINES for room, libraries in line}
HEAVY = set().union(*MAY_LOAD.values())


def module_of(path):
    parts = ("wdrun", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    return module.split(".")[1] if "." in module else "wdrun"


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def named(node):
    """What a node of the syntax tree imports; `module:function` in a string is imported when it is called."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.findall(r"^(wdrun[\w.]+):\w+$", node.value)
    return []


def imports(path):
    """Our modules, and the top names of others, that a file imports anywhere; for a type checker alone is no import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = (n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))
    skipped = {id(inner) for block in checked for inner in ast.walk(block)}
    names = {name for node in ast.walk(tree) if id(node) not in skipped for name in named(node)}
    ours = {n if n in FILES else n.rpartition(".")[0] for n in names if n.split(".")[0] == "wdrun"}
    return ours, {name.split(".")[0] for name in names} - {"wdrun"}


@pytest.fixture(scope="module")
def found():
    """Module -> what it imports of ours, and of others."""
    both = {module: imports(path) for module, path in FILES.items()}
    return {module: (ours - {module}, others) for module, (ours, others) in both.items()}


def test_every_room_is_on_a_floor_and_every_floor_is_there():
    assert set(FLOOR) == {room_of(module) for module in FILES}


def test_imports_point_down(found):
    arrows = {(module, other) for module, (ours, _) in found.items() for other in ours} - FACE
    assert not {
        (module, other)
        for module, other in arrows
        if room_of(module) != room_of(other) and FLOOR[room_of(module)] >= FLOOR[room_of(other)]
    }


def test_no_imports_go_in_a_circle(found):
    graph = {module: {other for other in ours if (module, other) not in FACE} for module, (ours, _) in found.items()}
    TopologicalSorter(graph).prepare()  # raises on a circle, and names it


def test_heavy_libraries_stay_where_they_may_be(found):
    loads = {(module, other) for module, (_, others) in found.items() for other in others & HEAVY}
    assert not {(module, other) for module, other in loads if other not in MAY_LOAD[room_of(module)]}


def test_the_top_level_is_what_was_agreed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {name.split("/")[0] for name in listed.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= {
        "wdrun", "conf", "tests", "outputs", "pyproject.toml", "README.md",
    }  # fmt: skip


def test_no_module_is_a_drawer():
    assert not {path.stem for path in FILES.values()} & {"utils", "helpers", "manager", "common", "misc"}
