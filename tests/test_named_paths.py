"""Every file and folder that a comment of conf/ or of the code names is there."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONF = sorted((ROOT / "conf").rglob("*.yaml"))
CODE = sorted((ROOT / "wdrun").rglob("*.py"))
# conf/decay/<name>.yaml and conf/model/*.yaml are any of them; `outputs/` is made by a run.
PATH = re.compile(r"(?<![\w/.:<>*-])(?:(?:wdrun|conf|tests)/[\w<>*./-]*|[\w<>*/-]+\.(?:py|yaml))(?![\w/])")
WRITTEN = {"config.yaml", "overrides.yaml", "hydra.yaml"}  # of a run's folder


def comments(path):
    """The text of a file that is not its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        return "\n".join(line.partition("#")[2] for line in text.splitlines())
    said = [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    nodes = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef))
    return "\n".join([*said, *(ast.get_docstring(node) or "" for node in nodes)])


def missing(path):
    """The paths that a file's comments name and that neither the project nor the file's own folder has."""
    named = {name.rstrip(".") for name in PATH.findall(comments(path))} - WRITTEN
    patterns = {name: re.sub(r"<\w+>", "*", name) for name in named}
    return {
        name for name, pattern in patterns.items()
        if not any(any(folder.glob(pattern)) for folder in (ROOT, ROOT / "wdrun", ROOT / "wdrun/plugin", path.parent))
    }  # fmt: skip


@pytest.mark.parametrize("path", [*CONF, *CODE], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_paths_it_names_are_there(path):
    assert missing(path) == set()


def test_a_path_that_is_not_there_is_found(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "a: 1 # as wdrun/optim.py, conf/decay/<name>.yaml, conf/model/*.yaml, conf/no.yaml\n"
    )
    assert missing(tmp_path / "x.yaml") == {"wdrun/optim.py", "conf/no.yaml"}
