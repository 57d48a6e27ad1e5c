"""The READMEs: their generated tables are the code's, they are short, their links and names lead somewhere."""

import ast
import re
import tomllib
from functools import cache

import pytest
import yaml

from tests import documents
from tests.documents import BLOCKS, CONF, DOCUMENTS, FENCE, FRONT, PART, PARTS, ROOT, TEXTS, spans
from wdrun.config.options import GROUPS, option_names

EXAMPLES = ("cubic.py", "mine/decay/cubic.yaml", "pull.py", "mine/decay/pull.yaml")  # files a reader is told to write


def name_of(path):
    return path.relative_to(ROOT).as_posix()


each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


# ------------------------------------------------------------------------------------------- generated parts


@each_document
def test_the_generated_tables_are_those_of_the_code(path):
    assert documents.rewritten(TEXTS[path]) == TEXTS[path], "run: python -m tests.documents"


def test_every_part_stands_in_one_document():
    found = [name for text in TEXTS.values() for name in documents.parts_of(text)]
    assert sorted(found) == sorted(PARTS)


def test_a_comment_that_goes_on_belongs_to_the_key_above(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "# what x is\n"
        "a: 1  # first; such as b: 2,\n"
        "       # second = third\n"
        "# about what follows\n"
        "b:\n"
        "  c: [1, 2] # inner\n"
        "  d:      # a list:\n"
        "    - {e: f}\n"
        "g: null\n"
    )
    assert documents.keys_of(tmp_path / "x.yaml") == [
        ("a", "1", "first; such as b: 2, second = third"),
        ("b.c", "[1, 2]", "inner"),
        ("b.d", "[{e: f}]", "a list:"),
        ("g", "null", ""),
    ]


def leaves(node, path=""):
    """The keys of a config whose value is no mapping, `group.key`."""
    for key, value in node.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from leaves(value, here)
        else:
            yield here


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: p.relative_to(CONF).as_posix())
def test_every_key_of_a_config_file_is_found(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    content.pop("defaults", None)
    if path.parent.name == "experiment":
        return  # deltas: what they set is documented where it belongs
    assert [key.path for key in documents.keys_of(path)] == list(leaves(content))


@pytest.mark.parametrize("group", GROUPS)
def test_every_key_of_a_group_is_in_its_table_with_a_meaning(group):
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in PARTS[f"keys of {group}"]().splitlines()[2:]]
    rows = {(key.strip(" `"), default.strip(" `")): meaning.strip() for key, default, meaning, _ in cells}
    assert all(rows.values()), [key for key, meaning in rows.items() if not meaning]
    for name in option_names(group):
        for key in documents.keys_of(CONF / group / f"{name}.yaml"):
            if key.path not in documents.UNSAID:
                assert (f"{group}.{key.path}", key.default.replace("|", "\\|")) in rows


def test_the_slowest_tests_are_read_from_a_log():
    log = "== slowest 20 ==\n12.50s call     tests/a/test_b.py::test_c[x=1]\n0.01s setup    tests/d.py::e\n"
    assert documents.slowest(log).splitlines()[2:] == ["| 12.50 | `a/test_b.py::test_c[x=1]` |"]


# ------------------------------------------------------------------------------------------- length


def test_the_front_page_is_short():
    assert len(TEXTS[FRONT].split()) <= 700
    assert len(TEXTS[FRONT].splitlines()) <= 90


@each_document
def test_no_line_of_prose_is_a_page(path):
    prose = [line for line in FENCE.sub("", TEXTS[path]).splitlines() if not line.startswith("|")]
    assert max(map(len, PART.sub("", "\n".join(prose)).splitlines())) <= 700


# ------------------------------------------------------------------------------------------- links and names


def anchors(text):
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_document
def test_links_lead_somewhere(path):
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", TEXTS[path]))
    for target in re.findall(r"\]\(([^)]*)\)", prose):
        place, _, anchor = target.partition("#")
        found = (path.parent / place).resolve() if place else path
        assert found.exists(), target
        assert ROOT in (found, *found.parents), target
        if anchor:
            assert anchor in anchors(TEXTS[found]), target


def located(path, name):
    """The file or folder that a document means: beside it, in the repository, in the package."""
    places = (path.parent, ROOT, ROOT / "wdrun", path.parent / "launch")
    return next((place / name for place in places if (place / name).exists()), None)


@cache
def defined(file):
    """The names a module defines, methods as Class.method."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


@each_document
def test_files_folders_and_functions_it_names_exist(path):
    for span in spans(path):
        words = span.split()
        for word in words if words[0] in ("python", "pytest", "bash") else [span]:
            if not re.fullmatch(r"\.?[\w.-]+(/[\w.-]+)*(/|\.(py|md|css|toml)(:[\w.]+)?|/[\w-]+\.yaml)", word):
                continue
            file, _, name = word.partition(":")
            if file in EXAMPLES or file.startswith((".hydra/", "figures/", "outputs/")):
                assert file in EXAMPLES or path.parent.name in ("tables", "report", "bench"), word
                continue
            assert located(path, file), word
            if name:
                assert name in defined(located(path, file)), word


def test_every_benchmark_is_told_of():
    text = TEXTS[ROOT / "tests/bench/README.md"]
    scripts = {p.name for p in (ROOT / "tests/bench").glob("*.py") if "__main__" in p.read_text(encoding="utf-8")}
    assert scripts == set(re.findall(r"python tests/bench/(\w+\.py)", text))


@pytest.mark.parametrize("room", [name for floor in documents.floors() for name in floor])
def test_a_room_says_what_it_is(room):
    assert documents._opening(documents._face(room))


def test_what_it_names_of_the_project_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = "\n".join(TEXTS.values())
    extras = {word for names in re.findall(r"(?:wdrun|\.)\[([a-z,]+)\]'", text) for word in names.split(",")}
    assert {"test", "ray"} <= extras <= set(project["project"]["optional-dependencies"])
    markers = set(re.findall(r"pytest(?: -n 0)? -m (\w+)", text))
    known = {line.partition(":")[0] for line in project["tool"]["pytest"]["ini_options"]["markers"]}
    assert markers == known
    assert "Typing :: Typed" in project["project"]["classifiers"]
    assert (ROOT / "wdrun/py.typed").exists()


def test_the_set_up_lines_are_those_of_ci():
    (block,) = [block for path, _, block in BLOCKS if path == FRONT and "pip install" in block]
    assert block.splitlines() == [
        "pip install -e . && wdrun decay=l2 lambda=1e-4",
        "pip install -e '.[test]' && pytest",
    ]
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "pip install --quiet -e '.[test]'\n" in ci
    assert "\npytest\n" in ci
    assert "bash .ci/run" in (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
