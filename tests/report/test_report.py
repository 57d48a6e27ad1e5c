"""The report: its sentences say what the numbers say, its page is inert whatever is in the tables."""

import contextlib
import dataclasses
import html
import io
import itertools
import math
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import made_up
from wdrun.config import experiments
from wdrun.errors import ConfigError, StorageError
from wdrun.report import command, page, reproduce, text
from wdrun.report.markup import Picture, inert
from wdrun.selection import select
from wdrun.selection.verdicts import verdict
from wdrun.tables.read import load
from wdrun.wording import difference, listed, score, sort_key

NO_FLAGS = {"multirun": False, "cfg": None, "config_dir": None, "resolve": False}
CLEAR = {0: [1.0, 1.02, 0.98], 0.01: [0.80, 0.82, 0.78], 0.1: [0.7, 0.73, 0.68], 1: [0.9, 0.91, 0.93]}


def told(root, **options):
    """Results, selection and all sentences of the runs below root."""
    found = load([root])
    selection = select(found.runs, **options)
    return found, selection, "\n".join(text.whole(found, selection))


# The sentences


def test_a_clear_winner(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", CLEAR))
    first, won = said.splitlines()  # nothing open, nothing to run, nothing to beware of
    assert first == (
        "12 runs of mlp on synthetic with l2 under sgd, 100 training images, 2 epochs. "
        "They differ in λ (0, 0.01, 0.1 and 1) and seed (0, 1 and 2)."
    )
    # d = −0.30, −0.29, −0.30: mean −0.296667, s = 0.0057735, half width 4.302653·s/√3 = 0.014342
    assert (
        "Its difference to λ = 0 is −0.2967 (95 % interval −0.3110 to −0.2823, t, 3 pairs); all of the interval" in won
    )
    assert "mean validation loss is 0.7033 at λ = 0.1 with lr = 0.1 (3 replicates" in won
    assert "Its test accuracy, which chose nothing, is 50.0 %." in won


def test_no_difference_that_matters(tmp_path):
    near = {0: [1.0, 1.02, 0.98], 0.01: [1.1] * 3, 0.1: [0.999, 1.018, 0.979], 1: [1.2] * 3}
    found, selection, said = told(made_up.sweep(tmp_path / "r", near))
    assert (
        "−0.0013 (95 % interval −0.0028 to +0.0001, t, 3 pairs); all of the interval lies within the margin of 0.0200"
        in said
    )
    assert "not told" not in said
    # A margin inside the interval takes the claim back.
    narrow = select(found.runs, margin=0.002)
    assert verdict(narrow.choices.iloc[0], narrow.margin) == "cannot tell"
    assert verdict(selection.choices.iloc[0], selection.margin) == "equal"


def test_what_cannot_be_told_says_how_many_pairs_would(tmp_path):
    noisy = {0: [1.0, 1.3, 0.8], 0.01: [1.5] * 3, 0.1: [0.9, 1.1, 0.85], 1: [1.4] * 3}
    _, _, said = told(made_up.sweep(tmp_path / "r", noisy))
    # d = −0.10, −0.20, +0.05: mean −1/12, s = 0.125831, half width 0.312584: 3·(0.312584·12)² = 42.2
    assert "the interval of the difference includes 0; about 43 pairs would tell if it stays as it is\n" in said
    assert "wdrun -m decay=l2 lambda=0,0.1 lr=0.1 'seed=range(0,43)' model=mlp epochs=2" in said


def test_a_single_seed(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", {0: [1.0], 0.01: [1.2], 0.1: [0.9], 1: [1.3]}))
    assert "; all have seed 0." in said
    assert "(one pair, so no interval)" in said
    assert "not told: decay=l2: whether λ = 0.1 beats λ = 0: from one pair of runs the noise between seeds" in said
    assert "wdrun -m decay=l2 lambda=0,0.1 lr=0.1 seed=0,1,2,3,4 model=mlp epochs=2" in said


def test_without_lambda_zero_no_gain_is_claimed(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", {k: v for k, v in CLEAR.items() if k}))
    assert "Its difference" not in said
    assert "not told: decay=l2: λ = 0 is missing, so what decay gains cannot be told; add lambda=0\n" in said
    assert said.endswith("\n  wdrun -m decay=l2 lambda=0 lr=0.1 seed=0,1,2 model=mlp epochs=2")


def test_lambda_zero_may_win(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", {0: [1.0, 1.02, 0.98], 0.01: [1.1] * 3, 0.1: [1.2] * 3}))
    assert (
        "1.0000 at λ = 0 with lr = 0.1 (3 replicates, 95 % interval 0.9503 to 1.0497). No λ > 0 that was tried" in said
    )
    assert "lambda=0.001,1e-4" in said  # every λ tried acts, so a weaker one is proposed


def test_an_optimum_at_the_edge_is_open_and_extended(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", {0: [1.0, 1.02], 0.01: [0.8, 0.82], 0.1: [0.7, 0.71]}))
    assert "not told: decay=l2: best λ = 0.1 is the largest tried: the optimum may lie above; add lambda=1,10\n" in said
    assert "  wdrun -m decay=l2 lambda=1,10 lr=0.1 seed=0,1 model=mlp epochs=2" in said


def test_a_decay_that_cannot_act(tmp_path):
    weak = {0: [1.0, 1.02, 0.98], 1e-6: [1.03] * 3, 1e-5: [0.99, 1.01, 0.98], 1e-4: [1.05] * 3}
    _, _, said = told(made_up.sweep(tmp_path / "r", weak, total=0.001))
    assert "not told: decay=l2: no λ tried can act (total decay D ≤ 0.001 < 0.05); add lambda=0.05 (D ≈ 0.5)" in said
    assert "it is λ = 0 by another name" in said
    assert "lambda=0.05" in said  # 1e-4·0.5/0.001


def test_everything_diverged(tmp_path):
    for lam, seed in itertools.product((0, 0.1), (0, 1)):
        made_up.run(tmp_path / "r", lam, seed=seed, status="diverged", cause="loss is nan at step 3")
    made_up.run(tmp_path / "r", 0.1, seed=2, status="failed", cause="RuntimeError: boom")
    found, selection, said = told(tmp_path / "r")
    assert "Of these runs 4 diverged and 1 failed. Only those that are done enter a mean." in said
    assert "Nothing won: no run has finished" in said
    assert "nothing to choose from: 4 of 5 runs diverged, 1 failed, are not finished or have no val_loss" in said
    assert "lr=0.001,0.01" in said
    shown = page.render(found, selection, [], ["svg"]).decode()
    assert "loss is nan at step 3" in shown
    assert "RuntimeError: boom" in shown


def test_several_decays_are_ranked(tmp_path):
    root = tmp_path / "r"
    made_up.sweep(root, {0: [1.0, 1.02, 0.98], 0.01: [0.8, 0.82, 0.78], 0.1: [0.9] * 3})
    made_up.sweep(root, {0: [1.0, 1.02, 0.98], 0.01: [0.95, 0.99, 0.91], 0.1: [1.1] * 3}, decay="l1")
    made_up.sweep(root, {0: [1.0, 1.02, 0.98], 0.01: [0.801, 0.822, 0.779], 0.1: [1.1] * 3}, decay="huber")
    made_up.sweep(root, {0: [1.0, 1.02, 0.98], 0.01: [0.79, 0.95, 0.90], 0.1: [1.1] * 3}, decay="cautious")
    _, _, said = told(root)
    assert "Of 4 settings decay=l2 has the best mean validation loss, 0.8000 at λ = 0.01 with lr = 0.1." in said
    assert "Worse than it: decay=l1 (+0.1500, 95 % interval +0.1003 to +0.1997)." in said
    assert "Equal to it within the margin of 0.0200: decay=huber (+0.0007" in said
    assert "not told: decay=cautious: cannot be told from decay=l2 (+0.0800" in said
    assert "corrected p = " in said


def test_runs_of_a_sweep_under_way_are_counted_and_enter_no_mean(tmp_path):
    root = made_up.sweep(tmp_path / "r", CLEAR)
    before = told(root)[2].splitlines()[1]
    made_up.run(root, 0.1, seed=3, status="running", epochs_done=1, val_loss=0.0001)
    found, selection, said = told(root)
    assert "Of these runs 12 done and 1 running." in said
    assert before in said
    assert re.search(r"running</th><td[^>]*>1<", page.render(found, selection, [], ["svg"]).decode())


def test_accuracies_are_told_in_per_cent(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", CLEAR), metric="val_accuracy")
    assert "the best mean validation accuracy is 76.6 % at λ = 0.1" in said
    assert "Its difference to λ = 0 is +9.89 points (95 % interval +9.41 points to +10.37 points, t, 3 pairs)" in said


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "+0.5000"), (-0.5, "−0.5000"), (-0.00001, "−1e-5"), (math.nan, "–"), (0.0, "+0.0000")]
)
def test_signs(value, shown):
    assert difference(value, "val_loss") == shown


def test_words():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed("abcdefgh", at_most=4) == "a, b, c and 5 more"
    assert score(math.nan, "val_loss") == "–"
    assert sorted(["b", "10", "9", "1e-3", "a", "nan"], key=sort_key) == ["1e-3", "9", "10", "a", "b", "nan"]


# The commands


def test_every_proposed_command_composes(tmp_path):
    root = made_up.sweep(tmp_path / "r", {0.01: [1.0], 0.1: [0.9]}, total=0.001)
    made_up.sweep(root, {0: [1.0, 0.9], 0.01: [0.9, 0.95]}, decay="l1", lr=0.2)
    made_up.sweep(root, {0: [1.1, 0.9], 0.01: [1.0, 0.8]}, decay="l1", lr=0.1)
    found = load([root])
    steps = text.steps(select(found.runs))
    assert len(steps) == 5
    for typed in (typed for step in steps for typed in step.commands):
        _, *words = shlex.split(typed)
        several = "-m" in words
        jobs = experiments.jobs([word for word in words if word != "-m"], several)
        assert (len(jobs) > 1) == several


def test_budget_gives_way_to_lambda(tmp_path):
    folder = made_up.run(tmp_path / "r", 0.1)
    (folder / ".hydra" / "overrides.yaml").write_text("[budget=0.5, 'model.hidden=[8, 8]', seed=0]")
    made_up.run(tmp_path / "r", 0.01, 1.2)
    found = load([tmp_path / "r"])
    ((line,),) = {s.commands for s in text.steps(select(found.runs)) if "λ = 0 is missing" in s.why}
    assert line == "wdrun 'model.hidden=[8, 8]' seed=0 lr=0.1 lambda=0"


def test_commands_come_from_overrides_else_from_the_config_else_are_said_to_be_unknown(tmp_path):
    folders = [made_up.run(tmp_path / "r", lam) for lam in (0, 1e-5, 1e-4, 1e-3)]
    (folders[1] / ".hydra" / "overrides.yaml").write_text("{torn: [")
    (folders[2] / ".hydra" / "overrides.yaml").unlink()
    (folders[3] / ".hydra" / "overrides.yaml").write_text("- 3\n")
    (folders[3] / "config.yaml").write_bytes(b"\xff\xfe")
    assert reproduce.commands(folders) == [
        "wdrun -m decay=l2 lambda=0,1e-5,0.0001 lr=0.1 seed=0 model=mlp epochs=2",
        "# and 1 run whose command is not recorded",
    ]


def test_many_unlike_lines_are_counted(tmp_path):
    lines = [made_up.run(tmp_path / "r", 0.1) for _ in range(20)]
    for i, folder in enumerate(lines):
        (folder / ".hydra" / "overrides.yaml").write_text(f"[a{i}=1]")
    made = reproduce.commands(lines)
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


# The page

TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "h1",
    "h2",
    "h3",
    "nav",
    "ul",
    "li",
    "a",
    "main",
    "br",
}
TAGS |= {"section", "p", "div", "pre", "code", "span", "table", "thead", "tbody", "tr", "th", "td", "figure", "img"}
TAGS |= {"figcaption", "strong"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "id", "class", "href", "role", "tabindex", "scope"}
ATTRIBUTES |= {"aria-label", "aria-labelledby", "src", "alt", "width", "height"}
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """The page as a browser reads it; fails on any tag, attribute or address that a report has no use for."""

    def __init__(self, source):
        super().__init__()
        self.open, self.texts, self.images, self.ids, self.links = [], [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open
        assert len(set(self.ids)) == len(self.ids)
        assert {link.removeprefix("#") for link in self.links} <= set(self.ids)

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        attributes = dict(attrs)
        assert attributes.keys() <= ATTRIBUTES, attributes
        self.ids += [attributes["id"]] if "id" in attributes else []
        if "href" in attributes:
            assert attributes["href"].startswith("#")
            self.links.append(attributes["href"])
        if tag == "img":
            assert attributes["src"].startswith(("data:image/svg+xml;base64,", "data:image/png;base64,"))
            assert "alt" in attributes
            self.images.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"comment {data!r}")

    @property
    def text(self):
        return "".join(self.texts)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Results with every kind of run."""
    root = made_up.sweep(tmp_path_factory.mktemp("sound") / "r", {0: [1.0, 1.1], 0.1: [0.9, 0.95]})
    made_up.run(root, 0.1, seed=7, status="diverged", cause="CAUSE")
    return load([root])


PAYLOADS = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]>--><!--", "&lt;b&gt;&#0;", "x" * 9000]
PAYLOADS += [
    "\u202eevil\u2066",
    "א <b>",
    "</style><script>",
    "' onload='",
    "javascript:alert(1)",
    "$\\frac{1}{",
    "{margin}",
]
PAYLOADS += ["https://example.org/x.png", "a: b; c: ", "\0\x1b[31m", "=cmd()"]
HOSTILE = st.text(max_size=400) | st.sampled_from(PAYLOADS)


@given(st.lists(HOSTILE, min_size=6, max_size=6))
@settings(max_examples=30, deadline=None)
def test_arbitrary_text_stays_text(sound, strings):
    decay, model, cause, device, folder, problem = strings
    runs = sound.runs.copy()
    runs["decay"] = runs["decay"].where(runs["seed"] > 0, decay)
    runs["model"], runs["device_name"] = model, device
    runs.loc[runs["status"] == "diverged", "cause"] = cause
    where = (Path("/") / (folder.replace("/", "").replace("\0", "") or "f"),)
    found = dataclasses.replace(sound, runs=runs, folders=where, problems=(problem,))
    picture = Picture("name", decay, model, "image/png", b"\x89PNG", 4, 3)
    selection = select(runs)
    made = page.render(found, selection, [picture], ["svg"])
    read = Reader(made.decode())
    seen = read.text.replace("\xa0", " ")
    for shown in (cause or "not known", device or "not recorded", decay, model):
        assert html.unescape(inert(shown)) in seen


def test_the_page_says_that_nothing_may_run_or_load(sound):
    made = page.render(sound, select(sound.runs), [], ["svg"]).decode()
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in made
    assert '<html lang="en">' in made
    style = made[made.index("<style>") : made.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search("https?:", made)


def test_long_text_is_cut_and_says_so():
    assert inert("x" * 301) == "x" * 300 + "… (301 characters)"
    assert inert("x" * 300) == "x" * 300
    assert inert("\u202ea\0\ud800<") == "\\u202ea\\x00\\ud800&lt;"


# The command


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A sweep with a hostile name, a torn run and one of another schema; its report."""
    root = tmp_path_factory.mktemp("command") / "<i>results' $x$"
    made_up.sweep(root, CLEAR)
    made_up.sweep(root, {0.01: [0.9, 0.92]}, decay="<script>alert('1')</script>")
    torn = made_up.run(root, 0.1, seed=8)
    (torn / "metrics.csv").write_bytes((torn / "metrics.csv").read_bytes()[:-7])
    old = made_up.run(root, 0.1, seed=9)
    (old / "run.csv").write_bytes((old / "run.csv").read_bytes().removesuffix(b"1\n") + b"0\n")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert command([str(root), "formats=svg"], NO_FLAGS) == 0
    return root, out.getvalue(), err.getvalue()


def test_stdout_is_the_path_and_stderr_the_text(reported):
    root, out, err = reported
    assert out == f"{root / 'report.html'}\n"
    assert "14 runs of mlp on synthetic" in err
    assert "warning: left out" in err


def test_the_page_holds_every_figure_and_each_is_a_file(reported):
    root, _, _ = reported
    read = Reader((root / "report.html").read_text(encoding="utf-8"))
    names = sorted(path.name for path in (root / "figures").iterdir())
    assert names == sorted(f"{name.removeprefix('figure-')}.svg" for name in read.ids if name.startswith("figure-"))
    assert len(names) == len(read.images) > 2
    assert "metrics.csv is cut off" in read.text
    assert "schema '0'" in read.text
    assert "<script>alert('1')</script>" in read.text


def test_the_same_input_gives_the_same_bytes_in_another_process(reported, tmp_path):
    root, _, _ = reported
    target = tmp_path / "again" / "page.html"
    words = [sys.executable, "-W", "error", "-m", "wdrun", "report", str(root), f"out={target}", "formats=svg"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert (done.returncode, done.stdout) == (0, f"{target}\n"), done.stderr
    assert target.read_bytes() == (root / "report.html").read_bytes()
    for path in (root / "figures").iterdir():
        assert (target.parent / "figures" / path.name).read_bytes() == path.read_bytes()


def test_a_large_drawing_goes_into_the_page_as_png(tmp_path, monkeypatch):
    root = made_up.sweep(tmp_path / "r", {0: [1.0], 0.1: [0.9]})
    monkeypatch.setattr(sys.modules["wdrun.report.command"], "LARGEST_SVG", 30_000)
    command([str(root), f"out={tmp_path / 'p.html'}", "formats=svg"], NO_FLAGS)
    read = Reader((tmp_path / "p.html").read_text(encoding="utf-8"))
    kinds = {image["src"].partition(";")[0] for image in read.images}
    assert "data:image/png" in kinds
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "wdrun report: name a folder of results"),
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "empty: no results of wdrun there (no run.csv)"),
        (["other"], "run.csv is not a table of wdrun's (no column id)"),
        (["r", "format=svg"], "format: unknown setting of wdrun report; did you mean formats?"),
        (["r", "formats=gif"], "formats=gif: must be one or more of svg, png, pdf"),
        (["r", "formats="], "formats=: must be one or more of svg, png, pdf"),
        (["r", "metric=test_loss"], "metric=test_loss: must be val_loss or val_accuracy: λ is not chosen on test data"),
        (["r", "margin=-1"], "margin=-1: must be a number > 0"),
        (["r", "margin=nan"], "margin=nan: must be a number > 0"),
        (["r", "margin=wide"], "margin=wide: must be a number > 0"),
        (["r", "out=empty"], "out=empty: is a folder; give the file, such as out=empty/report.html"),
    ],
)
def test_bad_words_are_one_line_and_write_nothing(here, words, message):
    made_up.run(here / "r", 0.1)
    (here / "empty").mkdir()
    (here / "other" / "x").mkdir(parents=True)
    (here / "other" / "x" / "run.csv").write_text("a,b\n1,2\n")
    before = sorted(here.rglob("*"))
    with pytest.raises(ConfigError) as caught:
        command(words, NO_FLAGS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(here.rglob("*")) == before


def test_a_page_that_cannot_be_written_is_one_line(here):
    made_up.run(here / "r", 0.1)
    (here / "file").write_text("")
    with pytest.raises(StorageError, match="try out=PATH"):
        command(["r", "out=file/report.html", "formats=svg"], NO_FLAGS)


def test_failed_runs_alone_make_a_page(here):
    folder = made_up.run(here / "r", 0.1, status="failed", cause="RuntimeError: boom")
    for name in ("metrics", "layers", "histograms", "timing"):
        (folder / f"{name}.csv").unlink()
    assert command(["r", "formats=svg"], NO_FLAGS) == 0
    read = Reader((here / "r" / "report.html").read_text(encoding="utf-8"))
    assert "RuntimeError: boom" in read.text
    assert "Nothing won" in read.text
