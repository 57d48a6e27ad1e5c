"""Checkpoints: round trips, every truncation and many bit flips caught, the previous one used."""

import os
import random

import pytest
import torch

from wdrun import storage
from wdrun.errors import BusyError, StorageError
from wdrun.sweep import checkpoint

TENSORS = {
    "z": torch.zeros(1),
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor(7),
    "c": torch.ones(2, dtype=torch.bfloat16),
}
VALUES = {"epoch": 3, "rows": [{"x": 0.1}], "text": "λ"}


def test_round_trip_keeps_bits_and_types(tmp_path):
    shared = TENSORS["a"].t()  # not contiguous, and its memory is also that of "a"
    checkpoint.save(tmp_path, TENSORS | {"shared": shared}, VALUES)
    (tensors, values), notes = checkpoint.load(tmp_path)
    assert (values, notes) == (VALUES, [])
    assert list(tensors) == [*TENSORS, "shared"]
    for name, w in (TENSORS | {"shared": shared}).items():
        assert tensors[name].dtype == w.dtype
        assert torch.equal(tensors[name], w)


def test_nothing_there(tmp_path):
    assert checkpoint.load(tmp_path) == (None, [])


def test_every_truncation_is_caught():
    content = checkpoint.encode(TENSORS, VALUES)
    for length in range(len(content)):
        with pytest.raises(checkpoint.DamagedError):
            checkpoint.decode(content[:length])


def test_every_bit_flip_is_caught():
    content = checkpoint.encode(TENSORS, VALUES)
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(checkpoint.DamagedError):
            checkpoint.decode(bytes(damaged))


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_checkpoint_is_set_aside_and_the_previous_used(tmp_path, seed):
    checkpoint.save(tmp_path, TENSORS, {"epoch": 1})
    checkpoint.save(tmp_path, TENSORS, {"epoch": 2})
    path = tmp_path / checkpoint.NAME
    content = bytearray(path.read_bytes())
    content[random.Random(seed).randrange(len(content))] ^= 0x10
    path.write_bytes(content)
    (_, values), notes = checkpoint.load(tmp_path)
    assert values == {"epoch": 1}
    (note,) = notes
    assert note.startswith(f"{path}: ")
    assert note.endswith("set aside as checkpoint.damaged")
    assert (tmp_path / "checkpoint.damaged").read_bytes() == bytes(content)


def test_a_failed_write_leaves_the_old_content_and_no_temporary_file(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, TENSORS, {"epoch": 1})
    monkeypatch.setattr(storage.os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left"):
        checkpoint.save(tmp_path, TENSORS, {"epoch": 2})
    monkeypatch.undo()
    (_, values), _ = checkpoint.load(tmp_path)
    assert values == {"epoch": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint", "checkpoint.previous"]


@pytest.mark.parametrize("code", checkpoint.NO_LINKS)
def test_without_hard_links_a_whole_checkpoint_is_always_there(tmp_path, monkeypatch, code):
    def refused(*paths):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(checkpoint.os, "link", refused)
    replace, seen = os.replace, []

    def watched(source, target):
        replace(source, target)
        seen.append(checkpoint.load(tmp_path)[0][1]["epoch"])

    monkeypatch.setattr(os, "replace", watched)
    for epoch in (1, 2, 3):
        checkpoint.save(tmp_path, TENSORS, {"epoch": epoch})
    assert seen == [1, 1, 2, 2, 3]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint", "checkpoint.previous"]


def test_no_pickle_in_our_own_files():
    content = checkpoint.encode(TENSORS, VALUES)
    assert not content.startswith(b"PK")
    assert b"torch" not in content


def test_a_folder_is_held_once(tmp_path):
    place = tmp_path / "run"
    with storage.hold(place), pytest.raises(BusyError, match="another process"), storage.hold(place):
        pass
    with storage.hold(tmp_path / "run"):
        pass
