"""Files from elsewhere are data: nothing in them is run, leaves its folder, or commands a shell or a terminal."""

import ast
import hashlib
import io
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.data import stand_in as cifar
from tests.data.stand_in import stand_in  # noqa: F401 - a fixture every test here has: the stand-in is CIFAR-10
from tests.runs import SMALLEST, changed, jobs
from wdrun import cli
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.data import load
from wdrun.data.canonical import BadSource
from wdrun.data.reading import official, pickles
from wdrun.data.reading.pickles import restricted_loads
from wdrun.errors import ConfigError
from wdrun.report import reproduce
from wdrun.selection.overrides import recorded
from wdrun.sweep import checkpoint
from wdrun.sweep.execute import execute
from wdrun.tables import aggregate, read, status

ROOT = Path(__file__).resolve().parents[2]
WORDS = changed(SMALLEST, "epochs=1", "fuse=false", "parallel=1")

# What can run code that a file brings, and the one place where each is meant.
UNSAFE = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "marshal.loads", "shelve.open", "joblib.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "eval", "exec", "compile", "__import__"),
    *(
        "os.system",
        "os.popen",
        "hydra.utils.instantiate",
        "hydra.utils.get_class",
        "cloudpickle.loads",
        "pd.read_pickle",
    ),
}
UNSAFE_METHODS = {"extractall", "extract"}
MEANT = {
    ("config/compose.py", "pickle.loads"),  # bytes that this process made a moment before
    ("data/reading/pickles.py", "pickle.Unpickler"),  # the restricted one
    ("sweep/weights_file.py", "torch.load"),  # weights_only: tensors, and no code
    ("selection/overrides.py", "yaml.load"),  # with the safe loader in C, which knows no more tags than safe_load
}


def calls(path):
    """Every call and base class of a file by its dotted name, with its node."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node
        elif isinstance(node, ast.ClassDef):
            yield from ((ast.unparse(base), node) for base in node.bases)


def unsafe(path, name):
    """What is unsafe in a file called `name` in the package."""
    for called, node in calls(path):
        if called in UNSAFE and (name, called) not in MEANT:
            yield called
        if isinstance(node, ast.Call):
            if called.rpartition(".")[2] in UNSAFE_METHODS:
                yield called
            for word in node.keywords:
                value = getattr(word.value, "value", True)
                if word.arg in ("shell", "allow_pickle") and value is not False:
                    yield f"{called}({word.arg})"
            if called in ("np.load", "numpy.load") and "allow_pickle" not in {word.arg for word in node.keywords}:
                yield f"{called} without allow_pickle=False"


@pytest.mark.parametrize("path", sorted((ROOT / "wdrun").rglob("*.py")), ids=lambda p: p.name)
def test_no_file_of_ours_loads_what_could_run(path):
    assert list(unsafe(path, str(path.relative_to(ROOT / "wdrun")))) == []
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"from (pickle|os|subprocess|builtins|yaml) import (?!YAMLError)", text
    )  # the names above are all there are


def test_the_search_finds_what_it_should(tmp_path):
    lines = (
        *("pickle.loads(b)", "torch.load(f)", "np.load(f)", "np.load(f, allow_pickle=True)", "yaml.load(t)", "eval(x)"),
        *("subprocess.run(x, shell=True)", "archive.extractall()", "class A(pickle.Unpickler): pass"),
    )
    for text in lines:
        (tmp_path / "x.py").write_text(text)
        assert len(list(unsafe(tmp_path / "x.py", "x.py"))) >= 1, text


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder of two finished runs."""
    folder = tmp_path_factory.mktemp("swept")
    execute(jobs(folder, "lambda=0,1e-2", base=WORDS))
    return folder / "default"


@pytest.fixture
def elsewhere(swept, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(swept, tmp_path / "elsewhere"))


def test_what_a_run_leaves_behind_holds_no_pickle(swept, tmp_path):
    import pickletools

    (kept,) = execute(jobs(tmp_path, "keep_state=true", base=WORDS))
    checked = 0
    for path in (p for place in (swept, kept.directory) for p in place.rglob("*") if p.is_file() and p.stat().st_size):
        content = path.read_bytes()
        assert not content.startswith((b"PK", b"\x80")), path
        try:
            pickletools.dis(content, out=io.StringIO())
        except Exception:
            checked += 1
        assert path.suffix in (".csv", ".yaml", ".safetensors") or path == kept.directory / "kept.checkpoint", path
    assert checked >= 30
    assert (kept.directory / "kept.checkpoint").stat().st_size


# Archives


class Reduced:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def deep(inner, levels):
    for _ in range(levels):
        inner = [inner, {b"x": inner}] if levels < 20 else [inner]
    return inner


def hostile(trace):
    """Pickles that would leave a file at `trace`."""
    touch = f"touch {shlex.quote(str(trace))}"
    python = f"open({str(trace)!r}, 'w')"
    array = np.empty(1, dtype=object)
    array[0] = Reduced(os.system, touch)
    text = f"cos\nsystem\n(S'{trace}'\ntR.".encode()
    return {
        "os.system": pickle.dumps({b"data": Reduced(os.system, touch)}),
        "eval": pickle.dumps({b"data": Reduced(eval, python)}),
        "exec": pickle.dumps({b"data": Reduced(exec, python)}),
        "subprocess": pickle.dumps({b"data": Reduced(subprocess.check_call, ["touch", str(trace)])}),
        "deep": pickle.dumps(deep(Reduced(os.system, touch), 12)),
        "very deep": pickle.dumps({b"data": deep(Reduced(os.system, touch), 200)}),
        "in an array": pickle.dumps({b"data": array}),
        "a key": pickle.dumps({Reduced(os.system, touch): 1}),
        "old protocol": pickle.dumps({b"data": Reduced(os.system, touch)}, protocol=0),
        "by hand": text,
        "getattr": b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        "another of numpy": b"cnumpy\nsave\n.",
        "numpy's runner": b"cnumpy.testing\nrundocs\n.",
        "persistent": b"\x80\x04\x8c\x01xQ.",
        "an extension": b"\x80\x02\x82\x01.",
        "a changed class": b"\x80\x04cnumpy\nndarray\n}\x8c\x01x\x8c\x01ysb.",
        "not a dict": pickle.dumps([1]),
        "endless": b"\x80\x04" + b"(" * 100_000,
        "cut": pickle.dumps({b"data": b"x" * 100})[:-20],
        "empty": b"",
    }


@pytest.mark.parametrize("kind", hostile(Path("x")))
def test_a_hostile_pickle_runs_nothing_even_if_its_digest_matched(kind, tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    content = hostile(trace)[kind]
    with pytest.raises(BadSource, match="holds a pickle that is not"):
        restricted_loads(content)
    root = cifar.archive_of(tmp_path / "x.tar.gz", "python", {"data_batch_3": content})
    monkeypatch.setattr(pickles, "restricted_loads", lambda content: pytest.fail("unpickled before its digest"))
    with pytest.raises(ConfigError, match="data_batch_3 is damaged or altered"):
        load(cifar.SPEC | {"root": str(root)})
    monkeypatch.undo()
    assert not trace.exists()


def test_the_true_batches_are_still_read():
    tables = cifar.made()
    for content in cifar.python_members(tables).values():
        assert restricted_loads(content)[b"data"].dtype == np.uint8


def test_the_pickle_is_trusted_by_its_digest_alone(tmp_path, monkeypatch):
    """A matching MD5 (which can be forged) still meets the restricted reader, and its arrays the SHA-256."""
    trace = tmp_path / "trace"
    content = hostile(trace)["os.system"]
    md5 = official.official_md5() | {"data_batch_3": hashlib.md5(content).hexdigest()}
    monkeypatch.setattr(official, "official_md5", lambda: md5)
    with pytest.raises(ConfigError, match="not plain arrays"):
        load(cifar.SPEC | {"root": str(cifar.archive_of(tmp_path / "x.tgz", "python", {"data_batch_3": content}))})
    assert not trace.exists()


NAMES = (
    "../../{}",
    "/tmp/../{}",
    "a/../../../{}",
    "./{}",
    "/{}",
    "a//{}",
    "..\\..\\{}",
    "~/{}",
    "C:\\{}",
    "\x1b[2J/{}",
)


def test_members_reach_the_memory_only_whatever_they_are_called(tmp_path):
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    path = place / "given.tar"
    outside = tmp_path / "outside"
    outside.write_text("secret")
    with tarfile.open(path, "w") as archive:
        for number, (name, content) in enumerate(cifar.binary_members(cifar.made()).items()):
            for pattern in (NAMES[number], NAMES[(number + 5) % len(NAMES)].replace("{}", "x{}")):
                entry = tarfile.TarInfo(pattern.format(name) if "\\" not in pattern else f"..\\/{name}")
                entry.size = len(content)
                if not entry.name.rpartition("/")[2].startswith("x") or number == 0:
                    archive.addfile(entry, io.BytesIO(content))
        for kind, target in ((tarfile.SYMTYPE, str(outside)), (tarfile.LNKTYPE, "../../outside"), (tarfile.CHRTYPE, ""),
                             (tarfile.FIFOTYPE, ""), (tarfile.DIRTYPE, ""), (tarfile.BLKTYPE, "")):  # fmt: skip
            for name in ("../../evil", "test_batch.bin", "data_batch_1.bin"):
                entry = tarfile.TarInfo(f"{name}")
                entry.type, entry.linkname, entry.mode = kind, target, 0o7777
                archive.addfile(entry)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    try:
        load(cifar.SPEC | {"root": str(path)})
    except ConfigError as error:
        assert "secret" not in str(error)  # noqa: PT017
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


# Names, keys and targets


@pytest.mark.parametrize(
    "name",
    ["../x", "/tmp/x", "..", ".", "a/b", ".hidden", "", "'a b'", "a\\b", "'x\ny'", "x" * 81, "'~'", "'$(id)'", "'ä'"],
)
def test_a_name_cannot_leave_the_output_folder(name, here, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*WORDS, f"name={name}"])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith("wdrun: name=")
    assert err.count("\n") == 1
    assert list(here.iterdir()) == []


TARGETED = ("optimizer", "schedule", "data", "augment", "evaluate", "early_stopping", "require", "article")


@pytest.mark.parametrize("word", [*(f"+{key}._target_=evil.Evil" for key in TARGETED), "+_target_=evil.Evil",
                                  "+decay.schedule={name:cosine,_target_:evil.Evil}", "optimizer={_target_:evil.Evil}",
                                  "hydra.job_logging._target_=evil.Evil"])  # fmt: skip
def test_a_target_elsewhere_than_in_model_and_decay_is_refused(word, here, capsys):
    (here / "evil.py").write_text("open('trace', 'w')\nclass Evil: pass\n")
    with pytest.raises(SystemExit) as stop:
        cli.main([*WORDS, word])
    err = capsys.readouterr().err
    assert stop.value.code == 2, err
    assert err.startswith("wdrun: ")
    assert err.count("\n") == 1
    assert sorted(p.name for p in here.iterdir()) == ["evil.py"]


def test_a_target_in_an_option_from_elsewhere_is_said_before_it_is_imported(here, capsys, monkeypatch):
    (here / "evil.py").write_text(
        "import sys, torch\nprint('imported', file=sys.stderr)\nclass Net(torch.nn.Linear): pass\n"
    )
    options = here / "options" / "model"
    options.mkdir(parents=True)
    (options / "mine.yaml").write_text("name: mine\n_target_: evil.Net\n")
    words = [w for w in WORDS if not w.startswith("model")]
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as stop:
        cli.main(["explain", "--config-dir=options", *words, "model=mine"])
    sys.modules.pop("evil", None)
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["imports evil.Net (as model)", "imported"]
    assert stop.value.code == 2  # its class wants arguments that the option has not
    assert len(said) == 3
    assert said[2].startswith("wdrun: model._target_=evil.Net: ")


RESOLVERS = (
    *("${oc.env:HOME}", "${oc.env:NO_SUCH,x}", "${now:%s}", "${hydra:runtime.cwd}", "${oc.decode:'1'}", "${eval:1}"),
    *(
        "a${oc.env:HOME}b",
        "${ oc.env:HOME }",
        "${${lr}:x}",
        "${oc.env:${lr}}",
        "${oc.create:{a:1}}",
        "${oc.dict.keys:x}",
    ),
)


@pytest.mark.parametrize("value", RESOLVERS)
def test_no_resolver_runs_in_a_config_from_elsewhere(value, here, monkeypatch):
    monkeypatch.setenv("HOME", "a-secret")
    options = here / "options" / "model"
    options.mkdir(parents=True)
    (options / "mine.yaml").write_text(yaml.safe_dump({"name": "mlp", "hidden": [1], "deep": {"note": [value]}}))
    words = [w for w in WORDS if not w.startswith("model")]
    with pytest.raises(ConfigError) as caught:
        parse(compose([*words, "model=mine"], str(here / "options")))
    assert "a-secret" not in str(caught.value)
    assert "nothing else is run" in str(caught.value)
    with pytest.raises(ConfigError):
        parse(compose([*WORDS, f"+model.note='{value}'"]))


def test_references_to_other_keys_work():
    job = parse(compose([*WORDS, "lr=0.25", "lambda=${lr}", "name=run-${seed}", "seed=3"]))
    assert (job.run.lam, job.options.name) == (0.25, "run-3")


# Results from elsewhere

HOSTILE = (
    *("$(touch trace)", "`touch trace`", "; touch trace;", "| touch trace", "&& touch trace", "' ; touch trace ; '"),
    *('" ; touch trace ; "', "\\'; touch trace", "${IFS}touch${IFS}trace", "a\ttouch trace", "*", "~", "!!", "#", "-m"),
    *(
        "--config-dir=/",
        "<(touch trace)",
        "> trace",
        "a=b",
        "[1,2]",
        "{a:1}",
        "null",
        "λ 'x' \"y\" \\z",
        "\\",
        "x\\\\'",
    ),
)


def words_of_the_shell(command, folder):
    """The words that a shell hands to `wdrun` when it is given the line."""
    script = f'wdrun() {{ printf "%s\\0" "$@"; }}\n{command}\n'
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.split("\0")[:-1]


def with_config(folder, **model):
    """Let every run of the folder claim another model in its config.yaml."""
    for path in folder.glob("*/config.yaml"):
        knobs = yaml.safe_load(path.read_text())
        knobs["model"] |= model
        path.write_text(yaml.safe_dump(knobs))


UNSAYABLE = ("${IFS}touch${IFS}trace", "a\ttouch trace")


def best(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["best", str(folder)])
    return stop.value.code, *capsys.readouterr()


def test_best_prints_a_line_that_is_safe_in_a_shell(elsewhere, here, capsys):
    notes = {f"note{i}": value for i, value in enumerate(v for v in HOSTILE if v not in UNSAYABLE)}
    with_config(elsewhere, name="Net", _target_="evil.Net", **notes)
    (here / "evil.py").write_text("open('trace', 'w')\n")
    code, out, err = best(elsewhere, capsys)
    assert code == 0, err
    assert out.startswith("wdrun ")
    assert out.count("\n") == 1
    words = words_of_the_shell(out, here)
    assert words == shlex.split(out)[1:]
    model = parse(compose(words)).run.model
    assert {key: model[key] for key in notes} == notes
    assert sorted(p.name for p in here.iterdir() if p.name != "elsewhere") == ["evil.py"]


@pytest.mark.parametrize(
    "change", [*({"note": v} for v in UNSAYABLE), {"a b; touch trace": 1}, {"x=1,$(touch trace)": 1}]
)
def test_best_says_what_no_command_can_say(change, elsewhere, here, capsys):
    with_config(elsewhere, **change)
    code, out, err = best(elsewhere, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert not (here / "trace").exists()


NO_CONFIG = {
    "python": "!!python/object/apply:os.system ['touch trace']",
    "a circle": "a: &a [*a]",
    "laughs": "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))]),
    "deep": "a: " + "[" * 1200,
    "a list": "- 1",
    "open": "{",
    "NUL": "\0",
}


@pytest.mark.parametrize("text", NO_CONFIG.values(), ids=NO_CONFIG)
def test_a_config_that_is_no_config_is_a_line(text, elsewhere, here, capsys):
    for path in elsewhere.glob("*/config.yaml"):
        path.write_text(text)
        (path.parent / ".hydra" / "overrides.yaml").write_text(text)
    code, out, err = best(elsewhere, capsys)
    assert (code in (2, 5), out, err.count("\n")) == (True, "", 1), err
    assert not (here / "trace").exists()
    for row in reproduce.commands((path.parent for path in elsewhere.glob("*/config.yaml")), recorded):
        assert row.startswith(("wdrun", "# and"))


def test_the_commands_of_a_report_are_safe_in_a_shell(elsewhere, here):
    paths = sorted(elsewhere.glob("*/.hydra/overrides.yaml"))
    for value in HOSTILE:
        for path in paths:
            path.write_text(yaml.safe_dump([f"+model.note={value}", "seed=0"]))
        (command,) = reproduce.commands((path.parent.parent for path in paths), recorded)
        assert words_of_the_shell(command, here)[:2] == [f"+model.note={value}", "seed=0"]
    assert not (here / "trace").exists()


def test_results_from_elsewhere_import_nothing(elsewhere, here, capsys, monkeypatch):
    with_config(elsewhere, name="Net", _target_="evil.Net")
    (here / "evil.py").write_text("open('trace', 'w')\n")
    monkeypatch.syspath_prepend(str(here))
    for command in ("status", "select", "best"):
        with pytest.raises(SystemExit):
            cli.main([command, str(elsewhere)])
    capsys.readouterr()
    assert not (here / "trace").exists()
    assert "evil" not in sys.modules


def test_text_from_elsewhere_does_not_command_a_terminal(elsewhere):
    clear = "\x1b[2J\x07"
    paths = sorted(elsewhere.glob("*/run.csv"))
    paths[0].write_text(paths[0].read_text().replace(",done,,", f",failed,{clear},"))
    paths[1].write_text(paths[1].read_text().replace(paths[1].parent.name[-8:], clear))
    told = []
    aggregate.write(elsewhere, told.append)
    lines = [*status.report(elsewhere), *told, *read.load([paths[0].parent]).problems]
    with pytest.raises(ConfigError) as caught:
        read.load([paths[1].parent])
    assert all(line.isprintable() for line in [*lines, str(caught.value)]), lines
    assert any("x1b[2J" in line for line in lines)


def test_weights_and_checkpoints_of_another_format_are_not_loaded(tmp_path):
    trace = tmp_path / "trace"
    for content in (pickle.dumps(Reduced(os.system, f"touch {trace}")), b"PK\3\4" + bytes(99), b"{}"):
        (tmp_path / checkpoint.NAME).write_bytes(content)
        loaded, notes = checkpoint.load(tmp_path)
        assert loaded is None
        assert "not a wdrun checkpoint" in notes[0]
    assert not trace.exists()


# What we stand on


def test_dependencies_have_lower_bounds_that_are_met():
    from importlib.metadata import version

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = {}
    for requirement in project["dependencies"]:
        name, _, least = requirement.split(",")[0].partition(">=")
        assert re.fullmatch(r"[a-z-]+", name), requirement
        assert re.fullmatch(r"[\d.]+", least), requirement
        bounds[name] = tuple(map(int, least.split(".")))
        found = tuple(int(part) for part in re.findall(r"\d+", version(name))[: len(bounds[name])])
        assert found >= bounds[name], requirement
    assert bounds["torch"] >= (2, 10)
    assert bounds["safetensors"] >= (0, 4)
    assert bounds["pillow"] >= (10, 3)
