"""Twelve letters of a file's or a folder's content: the same wherever it lies, others for another byte."""

import os
import shutil
from pathlib import Path

import pytest

from wdrun import contents


def tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


FILES = {"train/cat/1.png": "one", "train/dog/2.png": "two"}


def test_a_files_letters_are_of_its_bytes_alone(tmp_path):
    one = tree(tmp_path, {"a.npz": "x", "b.npz": "x", "c.npz": "y"})
    found = [contents.of_path(one / name) for name in ("a.npz", "b.npz", "c.npz")]
    assert found[0] == found[1] == contents.of_bytes(b"x") == contents.of_file(one / "a.npz")
    assert found[2] == contents.of_bytes(b"y") != found[0]
    assert len(found[0]) == 12


def test_a_folders_letters_are_of_names_and_bytes_below_it(tmp_path):
    letters = contents.of_path(tree(tmp_path / "a", FILES))
    assert contents.of_path(shutil.copytree(tmp_path / "a", tmp_path / "elsewhere" / "b")) == letters
    others = [
        FILES | {"train/cat/1.png": "ONE"},
        FILES | {"train/cat/3.png": ""},
        {"train/cat/1.png": "two", "train/dog/2.png": "one"},
        {"train/cat/1.png": "one", "train/cow/2.png": "two"},
    ]
    found = {contents.of_path(tree(tmp_path / f"other{k}", files)) for k, files in enumerate(others)}
    assert len(found | {letters}) == 5


def test_what_programs_leave_there_does_not_count(tmp_path):
    left = {"train/.DS_Store": "x", "__MACOSX/train/cat/._1.png": "x", ".ipynb_checkpoints/1.png": "x"}
    assert contents.of_path(tree(tmp_path / "a", FILES)) == contents.of_path(tree(tmp_path / "b", FILES | left))


def test_links_are_what_they_lead_to_and_may_go_in_a_circle(tmp_path):
    letters = contents.of_path(tree(tmp_path / "a", FILES))
    linked = tree(tmp_path / "b", {"train/cat/1.png": "one"})
    (linked / "train" / "dog").symlink_to(tmp_path / "a" / "train" / "dog", target_is_directory=True)
    assert contents.of_path(linked) == letters
    (linked / "train" / "again").symlink_to(linked, target_is_directory=True)
    assert contents.of_path(linked) == letters
    (linked / "itself").symlink_to("itself")
    (linked / "broken").symlink_to("nowhere")
    assert contents.of_path(linked) == letters


def test_a_folder_counts_under_each_name_that_leads_to_it(tmp_path):
    for root, link in ((tmp_path / "copied", shutil.copytree), (tmp_path / "linked", os.symlink)):
        tree(root / "data", {"train/cat/1.png": "one"})
        link(root / "data" / "train", root / "data" / "test")
    letters = {contents.of_path(tmp_path / name / "data") for name in ("copied", "linked")}
    assert len(letters) == 1
    (tmp_path / "linked" / "data" / "test").unlink()
    assert contents.of_path(tmp_path / "linked" / "data") not in letters


def test_a_link_to_a_folder_is_followed_anew_where_it_leads_elsewhere(tmp_path):
    ones = [tree(tmp_path / name, {"1.png": name}) for name in ("a", "b")]
    link = tmp_path / "link"
    for one in ones:
        link.unlink(missing_ok=True)
        link.symlink_to(one)
        assert contents.of_path(link) == contents.of_path(one)


def test_folders_that_link_to_one_another_are_each_read_once(tmp_path):
    names = "abcdefghijkl"
    for name in names:
        tree(tmp_path / "web", {f"{name}/{name}.png": name})
    for name in names:
        for other in names:
            (tmp_path / "web" / name / f"to_{other}").symlink_to(tmp_path / "web" / other)
    assert len(contents.of_path(tmp_path / "web")) == 12


def test_a_folder_is_read_once_until_its_names_change(tmp_path, monkeypatch):
    folder = tree(tmp_path / "a", FILES)
    read = []
    once = contents._Reading.file
    monkeypatch.setattr(contents._Reading, "file", lambda self, path: read.append(path) or once(self, path))
    letters = contents.of_path(folder)
    assert (contents.of_path(folder), len(read)) == (letters, 2)
    tree(folder, {"train/dog/3.png": "three"})
    os.utime(folder / "train" / "dog", ns=(1, 1))  # two changes within one tick of the clock look alike
    assert contents.of_path(folder) != letters
    assert len(read) == 5


def test_what_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        contents.of_path(tmp_path / "nothing")
    with pytest.raises(OSError, match="it is neither a file nor a folder"):
        contents.of_path(Path("/dev/zero"))


def test_what_takes_long_is_said_once(tmp_path, monkeypatch, capsys):
    folder = tree(tmp_path / "a", FILES)
    monkeypatch.setattr(contents, "SAY_S", -1)
    contents.of_path(folder)
    assert capsys.readouterr().err == f"wdrun: reading all of {folder}, as its content is part of a run's id …\n"


def test_what_cannot_be_read_is_named(tmp_path):
    folder = tree(tmp_path / "a", FILES)
    (tmp_path / "link").symlink_to(folder)
    for path in (folder, tmp_path / "link"):
        below = PermissionError(13, "Permission denied", str(path / "train" / "cat" / "1.png"))
        assert contents.unreadable(below, path) == "Permission denied (train/cat/1.png)"
        assert contents.unreadable(PermissionError(13, "Permission denied", str(path)), path) == "Permission denied"
