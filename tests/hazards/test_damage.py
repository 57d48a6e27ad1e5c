"""Damaged checkpoints, tables, archives and caches: detected, named, set aside or left out; never a wrong number.

Random damage prints the seed that makes it again.
"""

import csv
import gzip
import io
import os
import random
import shutil
import tarfile
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests import runs
from tests.data import stand_in as cifar
from tests.data.stand_in import stand_in  # noqa: F401 - a fixture every test here has: the stand-in is CIFAR-10
from tests.runs import SMALLEST, changed
from wdrun import cli
from wdrun.data import cache, canonical, load
from wdrun.data.reading import archive, official
from wdrun.errors import ConfigError, StorageError
from wdrun.sweep import checkpoint, one_run
from wdrun.sweep.execute import execute
from wdrun.sweep.outcome import exit_code
from wdrun.tables import aggregate, read, status
from wdrun.tables.read import read_run
from wdrun.tables.write import csv_text

WORDS = changed(
    *(SMALLEST, "epochs=3", "lambda=1e-2", "diagnostics=[histograms]"),
    *("evaluate=calibration", "evaluate.blur=[0.5,1]", "evaluate.fgsm=[1]"),
)
jobs = partial(runs.jobs, base=WORDS)
TABLES = ("run.csv", "metrics.csv", "layers.csv", "histograms.csv", "timing.csv")
BYTES = ("run.csv", "metrics.csv", "layers.csv", "histograms.csv", "last.safetensors", "best.safetensors")


class Killed(BaseException):
    """The process is gone."""


def run_of(folder):
    (path,) = Path(folder).glob("*/*/run.csv")
    return path.parent


def content(directory):
    return {name: (directory / name).read_bytes() for name in BYTES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    execute(jobs(folder))
    return run_of(folder)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of the same run, killed after its second checkpoint."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as monkeypatch:
        true, saves = checkpoint.save, []

        def save(*arguments):
            true(*arguments)
            saves.append(1)
            if len(saves) == 2:
                raise Killed

        monkeypatch.setattr(checkpoint, "save", save)
        with pytest.raises(Killed):
            execute(jobs(folder))
    return run_of(folder)


@pytest.fixture
def stopped(killed, tmp_path):
    """A copy of `killed` and the folder to train it on in."""
    shutil.copytree(killed.parent.parent, tmp_path / "runs")
    return run_of(tmp_path / "runs")


@pytest.fixture
def finished(whole, tmp_path):
    shutil.copytree(whole.parent.parent, tmp_path / "runs")
    return run_of(tmp_path / "runs")


def flipped(whole, bit):
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


# Checkpoints


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A checkpoint of a few kB and the one before it, of real types."""
    import torch

    folder = tmp_path_factory.mktemp("two")
    for epoch in (1, 2):
        tensors = {"params/w": torch.randn(9, 5), "best/w": torch.zeros(3, dtype=torch.bfloat16), "t": torch.tensor(7)}
        checkpoint.save(folder, tensors, {"epoch": epoch, "rows": [{"x": 0.1 * epoch, "text": "λ"}] * 20})
    return folder


def assert_the_previous_is_used(folder, damaged, why):
    path = folder / checkpoint.NAME
    path.write_bytes(damaged)
    loaded, notes = checkpoint.load(folder)
    assert loaded is not None, why
    assert loaded[1]["epoch"] == 1, why
    assert len(notes) == 1, why
    assert notes[0].startswith(f"{path}: "), why
    assert notes[0].endswith("; set aside as checkpoint.damaged"), why
    assert (folder / "checkpoint.damaged").read_bytes() == damaged, why
    assert not path.exists(), why


def test_every_truncation_of_a_checkpoint_falls_back_to_the_one_before(two, tmp_path):
    current = (two / checkpoint.NAME).read_bytes()
    shutil.copy(two / checkpoint.PREVIOUS, tmp_path)
    for length in range(len(current)):
        assert_the_previous_is_used(tmp_path, current[:length], f"length {length}")
    assert len(current) > 1000


def test_a_thousand_bit_flips_of_a_checkpoint_fall_back_to_the_one_before(two, tmp_path):
    current = (two / checkpoint.NAME).read_bytes()
    shutil.copy(two / checkpoint.PREVIOUS, tmp_path)
    for bit in random.Random(6).sample(range(8 * len(current)), 1000):
        assert_the_previous_is_used(tmp_path, flipped(current, bit), f"bit {bit}")


def test_larger_damage_of_a_checkpoint_falls_back_to_the_one_before(two, tmp_path):
    current = (two / checkpoint.NAME).read_bytes()
    before = (two / checkpoint.PREVIOUS).read_bytes()
    shutil.copy(two / checkpoint.PREVIOUS, tmp_path)
    cases = [current + b"\0", current + current, b"\0" * len(current), current.replace(b"\n", b"\r\n"), before[:-1]]
    for seed in range(200):
        draw = random.Random(seed)
        start, size = draw.randrange(len(current)), draw.choice((1, 16, 512))
        block = draw.choice((b"\0" * size, b"\xff" * size, draw.randbytes(size)))
        cases.append(current[:start] + block + current[start + size :])
    for number, damaged in enumerate(cases):
        if damaged != current:
            assert_the_previous_is_used(tmp_path, damaged, f"case {number}, seed {number - 5}")


DAMAGE = {
    "empty": lambda b: b"",
    "half": lambda b: b[: len(b) // 2],
    "one short": lambda b: b[:-1],
    "zeros": lambda b: b"\0" * len(b),
    "first bit": lambda b: flipped(b, 0),
    "last bit": lambda b: flipped(b, 8 * len(b) - 1),
    "a weight": lambda b: flipped(b, 8 * len(b) - 99),
    "text": lambda b: b"<!DOCTYPE html>",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(kind, stopped, whole, capsys):
    path = stopped / checkpoint.NAME
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    (outcome,) = execute(jobs(stopped.parent.parent))
    said = capsys.readouterr().err
    assert f"warning: {path}: " in said
    assert "resuming after epoch 1 of 3" in said
    assert outcome.status == "done"
    assert content(stopped) == content(whole)


def test_two_damaged_checkpoints_are_a_start_said_aloud(stopped, whole, capsys):
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        (stopped / name).write_bytes(b"")
    execute(jobs(stopped.parent.parent))
    said = capsys.readouterr().err
    assert said.count("set aside as checkpoint") == 2
    assert "no sound checkpoint is left; training starts again from the first epoch" in said
    assert content(stopped) == content(whole)


def test_a_checkpoint_that_is_gone_is_a_start_said_aloud(stopped, whole, capsys):
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        (stopped / name).unlink()
    execute(jobs(stopped.parent.parent))
    assert (
        "its checkpoint is gone, and with it 1 epoch; training starts again from the first epoch"
        in capsys.readouterr().err
    )
    assert content(stopped) == content(whole)


def test_the_checkpoint_of_another_run_is_refused(stopped, tmp_path):
    (other,) = jobs(tmp_path / "runs", "seed=5")
    shutil.copytree(stopped, other.directory)
    (other.directory / "run.csv").unlink()
    (outcome,) = execute([other])
    assert outcome.status == "busy"
    assert "holds the checkpoint of run" in str(outcome.error)


# Tables


def folder_or_why(directory):
    """What an aggregate takes from the folder, or why it takes nothing."""
    try:
        return aggregate._folder(directory)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_cut_at_any_byte_is_left_out_and_never_read_as_other_numbers(name, finished):
    path, (job,) = finished / name, jobs(finished.parent.parent)
    assert job.directory == finished
    text = path.read_bytes()
    ends = {i + 1 for i, byte in enumerate(text[:-1]) if byte == 10}
    everywhere = range(len(text)) if len(text) < 3000 else {*range(600), *range(len(text) - 400, len(text))}
    for length in sorted(ends | set(everywhere)):
        path.write_bytes(text[:length])
        assert isinstance(folder_or_why(finished), str), length
        if name == "run.csv":
            assert read_run(finished) is None, length
            assert one_run.finished(job).status == "busy", length
            with pytest.raises(ValueError, match=r"run\.csv"):
                status.look(finished, 0)
    path.write_bytes(text)
    assert isinstance(folder_or_why(finished), tuple)


@pytest.mark.parametrize("name", TABLES[:-1])
def test_results_leave_a_cut_table_out_as_well(name, finished):
    path, (job,) = finished / name, jobs(finished.parent.parent)
    assert job.directory == finished
    text = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(text) if byte == 10][:-1]
    for length in {*ends[:2], *ends[-2:], *random.Random(0).sample(range(len(text)), 6)}:
        path.write_bytes(text[:length])
        with pytest.raises(ConfigError, match="left out"):
            read.load([finished.parent])


def edit(name, old, new, count=1):
    return name, lambda text: text.replace(old, new, count)


def a_line(name, change):
    """An edit of the table's list of lines."""

    def edited(text):
        lines = text.splitlines(keepends=True)
        change(lines)
        return b"".join(lines)

    return name, edited


def cell(column, value):
    def edited(text):
        header, row = csv.reader(io.StringIO(text.decode()))
        row[header.index(column)] = value
        return csv_text([header, row])

    return "run.csv", edited


EDITS = {
    "a row twice": a_line("metrics.csv", lambda lines: lines.append(lines[-1])),
    "a row gone": a_line("metrics.csv", lambda lines: lines.pop(2)),
    "the last row gone": a_line("metrics.csv", lambda lines: lines.pop()),
    "the test rows gone": a_line("metrics.csv", lambda lines: lines.__delitem__(slice(-4, None))),
    "an epoch twice": a_line("timing.csv", lambda lines: lines.append(lines[-1])),
    "an epoch gone": a_line("timing.csv", lambda lines: lines.pop(2)),
    "epochs in another order": a_line("layers.csv", lambda lines: lines.reverse()),
    "a tensor gone": a_line("layers.csv", lambda lines: lines.pop()),
    "a bin gone": a_line("histograms.csv", lambda lines: lines.pop(5)),
    "no bins": a_line("histograms.csv", lambda lines: lines.__delitem__(slice(1, None))),
    "another loss": cell("val_loss", "0.1"),
    "no loss": cell("test_loss", ""),
    "another number of epochs": cell("epochs_done", "2"),
    "a billion epochs": cell("epochs_done", "1000000000"),
    "no epochs": cell("epochs_done", ""),
    "a word for a number": cell("train_accuracy", "high"),
    "semicolons": ("metrics.csv", lambda text: text.replace(b",", b";")),
    "an empty line at the end": ("layers.csv", lambda text: text + b"\n"),
    "a quote": edit("metrics.csv", b",train,", b',"train,'),
    "a NUL": ("metrics.csv", lambda text: text.replace(b"train", b"tr\0in", 1)),
    "not UTF-8": edit("metrics.csv", b"train", b"tr\xffin"),
    "another run": ("layers.csv", lambda text: text.replace(text.splitlines()[1][:8], b"0" * 8)),
    "a column gone": ("timing.csv", lambda text: b"".join(x.rsplit(b",", 1)[0] + b"\n" for x in text.splitlines())),
    "a merge conflict": a_line("run.csv", lambda lines: lines.insert(1, b"<<<<<<< HEAD\n")),
    "another schema": cell("schema", "2"),
}


@pytest.mark.parametrize("case", EDITS)
def test_a_table_edited_by_hand_is_left_out_with_a_reason(case, finished):
    name, change = EDITS[case]
    path = finished / name
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    told = []
    assert aggregate.write(finished.parent, told.append) == 0
    (line,) = told
    assert line.startswith(f"left out {finished}: ")
    assert "\n" not in line
    assert (finished.parent / "metrics.csv").read_text().count("\n") == 1
    with pytest.raises(ConfigError, match="left out"):
        read.load([finished.parent])


def test_line_ends_of_another_system_change_no_number(finished):
    before = folder_or_why(finished)
    for name in TABLES:
        path = finished / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert folder_or_why(finished) == before
    assert one_run.finished(*jobs(finished.parent.parent)).skipped


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ["empty", "half", "text"])
def test_tables_of_an_unfinished_run_are_written_anew_from_its_checkpoint(name, kind, stopped, whole):
    path = stopped / name
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    (outcome,) = execute(jobs(stopped.parent.parent))
    assert outcome.status == "done"
    assert content(stopped) == content(whole)


@pytest.mark.parametrize("kind", ["empty", "half", "one short", "text", "another run's"])
def test_a_finished_run_whose_row_is_damaged_is_neither_believed_nor_trained_again(kind, finished, capsys):
    path = finished / "run.csv"
    own = path.read_bytes()
    damage = DAMAGE.get(kind, lambda b: b.replace(finished.name[-8:].encode(), b"0" * 8))
    path.write_bytes(damage(own))
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    folder = finished.parent.parent
    outcomes = execute(jobs(folder, "seed=0,1"))
    assert [o.status for o in outcomes] == ["busy", "done"]  # the other run is not held up
    assert exit_code(outcomes) == 4
    (alone,) = execute(jobs(folder))
    cause = alone.row["cause"]
    assert cause.startswith(f"{finished}: run.csv ")
    assert cause.endswith("Restore the file, or remove the folder to train it again")
    assert "\n" not in cause
    assert f"left out {finished}" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file() and p.name != ".lock"} == {
        p: b for p, b in before.items() if p.name != ".lock"
    }
    path.write_bytes(own)
    (restored,) = execute(jobs(folder))
    assert restored.skipped


@pytest.mark.parametrize("words", [("select",), ("best",), ("report",)])
def test_commands_leave_damaged_runs_out_and_say_so(words, finished, capsys):
    folder = finished.parent
    name = "run.csv"
    (finished / name).write_bytes((finished / name).read_bytes()[:-7])
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, str(folder)])
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert "run.csv is cut off" in err
    assert err.count("\n") == 1
    with pytest.raises(SystemExit):
        cli.main(["status", str(folder)])
    assert f"cannot be read: {finished}: run.csv is cut off" in capsys.readouterr().out


# The data


def stand_in_or_why(root):
    """Load the stand-in from there: None where it is the stand-in bit for bit, else the one line of the refusal."""
    try:
        data = load(cifar.SPEC | {"root": str(root)})
    except ConfigError as error:
        line = str(error)
        assert line.startswith(f"data.root={root} "), line
        assert "\n" not in line
        return line
    tables = cifar.made()
    assert np.array_equal(data.splits["train"].inputs.numpy(), tables["train_images"])
    assert np.array_equal(data.splits["train"].targets.numpy(), tables["train_labels"])
    assert np.array_equal(data.splits["test"].inputs.numpy(), tables["test_images"])
    assert np.array_equal(data.splits["test"].targets.numpy(), tables["test_labels"])
    return None


@pytest.mark.parametrize("form", cifar.FORMATS)
def test_an_archive_with_flipped_bits_is_refused_or_the_same_data(form, tmp_path):
    packed = cifar.archive_of(tmp_path / "whole.tar.gz", form).read_bytes()
    plain = gzip.decompress(packed)
    refused = 0
    for seed in range(60):
        draw = random.Random(seed)
        image = draw.choice((packed, plain))
        # Half of the flips in the headers, where numbers and names are.
        bit = draw.randrange(8 * len(image)) if draw.random() < 0.5 else draw.randrange(8 * 512)
        root = tmp_path / f"{seed}.tar"
        root.write_bytes(flipped(image, bit))
        refused += stand_in_or_why(root) is not None
        root.unlink()
    assert refused > 20


@pytest.mark.parametrize("form", cifar.FORMATS)
@pytest.mark.parametrize("packed", [True, False])
def test_a_cut_archive_is_refused(form, packed, tmp_path):
    image = cifar.archive_of(tmp_path / "whole.tar.gz", form).read_bytes()
    image = image if packed else gzip.decompress(image)
    end = len(image) - (100 if packed else 10240)  # beyond is the padding of the tar format
    root = tmp_path / "cut"
    for length in [*range(0, end, end // 15), 1, 2, 10, 511, 512, 513]:
        root.write_bytes(image[:length])
        assert stand_in_or_why(root) is not None, length


def test_swapped_members_and_web_pages_are_refused(tmp_path):
    binary, python = cifar.binary_members(cifar.made()), cifar.python_members(cifar.made())
    swapped = {"data_batch_1.bin": binary["data_batch_2.bin"], "data_batch_2.bin": binary["data_batch_1.bin"]}
    root = cifar.archive_of(tmp_path / "a.tgz", "binary", swapped)
    assert "in the official order: the SHA-256 of train_images" in stand_in_or_why(root)
    turned = {"data_batch_1": python["test_batch"], "test_batch": python["data_batch_1"]}
    assert "its MD5 differs" in stand_in_or_why(cifar.archive_of(tmp_path / "b.tgz", "python", turned))
    page = b"<!DOCTYPE html><title>Sign in</title>" + b"." * 5000
    for number, content in enumerate((page, b"\n\n " + page, gzip.compress(page), b"\xef\xbb\xbf" + page)):
        root = tmp_path / f"page{number}"
        root.write_bytes(content)
        assert "HTML page" in stand_in_or_why(root) or "not a tar archive" in stand_in_or_why(root)


def header(name, size, kind=tarfile.REGTYPE):
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)


MANY = 64 * 2**20
BOMBS = {
    "a large member": [(header("data_batch_1.bin", MANY), MANY)],
    "a large stranger": [(header("readme.html", MANY), MANY)],
    "many members": [(header(f"x{i}", 2**19), 2**19) for i in range(64)],
    "a long name": [(header("././@LongLink", MANY, tarfile.GNUTYPE_LONGNAME), MANY)],
    "a pax header": [(header("pax", MANY, tarfile.XHDTYPE), MANY)],
    "a size beyond all": [(header("readme.html", 2**62), 512)],
    "a sparse file": [(header("data_batch_1.bin", 2**40, tarfile.GNUTYPE_SPARSE), 512)],
}


@pytest.mark.parametrize("kind", BOMBS)
def test_an_archive_that_unpacks_without_end_is_refused_by_size(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "ARCHIVE_LIMIT", 4 * 2**20)
    root = tmp_path / "bomb.tar.gz"
    with gzip.open(root, "wb", compresslevel=1) as file:
        for head, size in BOMBS[kind]:
            file.write(head)
            file.write(bytes(size))
    tracemalloc.start()
    try:
        why = stand_in_or_why(root)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "decompression bomb" in why or "not a tar archive" in why
    assert peak < 8 * 2**20


def test_hostile_pictures_and_labels_are_refused_in_a_line(tmp_path):
    tall = cifar.png(np.zeros((official.ROWS_LIMIT + 1, 1024, 3), np.uint8))
    cases = {"test_batch.png": tall, "test_lables.json": b"[" * 100_000, "train_lables.json": b'{"a": 1}'}
    for name, content in cases.items():
        assert name in stand_in_or_why(cifar.archive_of(tmp_path / f"{name}.tgz", "npm", {name: content}))
    whole = cifar.npm_members(cifar.made())["test_batch.png"]
    root = tmp_path / "flips"
    for seed in range(60):
        draw = random.Random(seed)
        damaged = flipped(whole, draw.randrange(8 * (64 if seed % 2 else len(whole))))
        cifar.archive_of(root, "npm", {"test_batch.png": damaged})
        stand_in_or_why(root)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A cache of the stand-in."""
    folder = tmp_path / "cache" / "cifar10"
    cache.open_or_build(folder, lambda scratch: cifar.made())
    return folder


def tables_or_damaged(folder):
    try:
        return cache.open_tables(folder)
    except cache.Damaged:
        return None


def test_a_cached_array_damaged_after_it_was_verified_is_found_at_the_next_opening(cached):
    tables, found = cifar.made(), 0
    for name in canonical.SHA256:
        file = cached / f"{name}.npy"
        sound = file.read_bytes()
        bits = range(8 * 128) if name == "train_images" else range(0, 8 * 128, 31)
        for bit in [*bits, *random.Random(name).sample(range(8 * 128, 8 * len(sound)), 60)]:
            file.write_bytes(flipped(sound, bit))
            opened = tables_or_damaged(cached)
            found += opened is None
            if opened is not None:  # a flip of the padding of the header, or of an equivalent word in it
                assert all(np.array_equal(opened[key], tables[key]) for key in tables), (name, bit)
                assert bit < 8 * 128, (name, bit)
        file.write_bytes(sound)
    assert found > 1000
    assert tables_or_damaged(cached) is not None


def test_a_swapped_or_longer_array_is_damage(cached):
    images, labels = cached / "train_images.npy", cached / "test_labels.npy"
    sound = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    assert tables_or_damaged(cached) is None
    file = io.BytesIO()
    np.save(file, cifar.made()["train_images"][:-1])
    images.write_bytes(file.getvalue())
    assert tables_or_damaged(cached) is None
    file = io.BytesIO()
    np.save(file, np.array([{"code": print}]), allow_pickle=True)
    images.write_bytes(file.getvalue())
    assert tables_or_damaged(cached) is None
    images.write_bytes(sound)
    assert tables_or_damaged(cached) is not None


@pytest.mark.parametrize("number", [24, 12, 5, 13])  # EMFILE, ENOMEM, EIO, EACCES
def test_a_cache_that_cannot_be_read_now_is_not_set_aside(number, cached, monkeypatch):
    def failing(*_, **__):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(cache.np, "load", failing)
        with pytest.raises(StorageError, match=f"cannot read .*{os.strerror(number)}"):
            cache.open_or_build(cached, lambda scratch: pytest.fail("built again"))
    assert cache.open_tables(cached) is not None
    assert not cached.with_name("cifar10.damaged").exists()
