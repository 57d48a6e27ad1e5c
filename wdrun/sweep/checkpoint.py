"""One run's state in one file: tensors and JSON, no pickle, digest-checked, replaced atomically.

Layout: a line naming the format, the SHA-256 (hex) of what follows, and a safetensors file whose metadata holds the
JSON. The previous checkpoint is kept beside the current one until the run has finished.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from wdrun.errors import StorageError
from wdrun.storage import sync, write_atomically

MAGIC = b"wdrun checkpoint 1\n"
NAME = "checkpoint"
PREVIOUS = "checkpoint.previous"
KEPT = "kept.checkpoint"  # that of the last epoch of a run which was to keep its state
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # what FAT and some network file systems answer to a hard link


class DamagedError(Exception):
    """The file is not a whole, unaltered checkpoint; the text says why."""


def pack(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Tensors as a safetensors file."""
    # Distinct copies, because safetensors refuses tensors that share memory (best weights may be the current ones).
    plain = {name: w.detach().cpu().clone(memory_format=torch.contiguous_format) for name, w in tensors.items()}
    return safetensors.torch.save(plain, metadata)


def encode(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> bytes:
    """The bytes of a checkpoint."""
    # safetensors sorts by name; the order of the parameters is the order of sums over them, and so of their last bits.
    order = json.dumps(list(tensors))
    payload = pack(tensors, {"values": json.dumps(values, sort_keys=True), "order": order})
    return MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def decode(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and values of a checkpoint's bytes; DamagedError unless every byte is as written."""
    start = len(MAGIC) + 65
    if not content.startswith(MAGIC) or content[start - 1 : start] != b"\n":
        raise DamagedError("not a wdrun checkpoint, or its first bytes are damaged")
    payload = content[start:]
    if hashlib.sha256(payload).hexdigest().encode() != content[len(MAGIC) : start - 1]:
        raise DamagedError("its SHA-256 does not match: cut short or altered")
    size = int.from_bytes(payload[:8], "little")
    metadata = json.loads(payload[8 : 8 + size])["__metadata__"]
    tensors = safetensors.torch.load(payload)
    return {name: tensors[name] for name in json.loads(metadata["order"])}, json.loads(metadata["values"])


def save(directory: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write the checkpoint; the one it replaces stays as the previous."""
    current = directory / NAME
    content = encode(tensors, values)
    if current.exists():
        # A hard link, then a replace: at every moment at least one whole checkpoint has its name.
        previous = directory / PREVIOUS
        previous.unlink(missing_ok=True)
        try:
            os.link(current, previous)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            os.replace(current, previous)  # from here to the end of the write only the previous one has its name
    write_atomically(current, content)


def load(directory: Path) -> tuple[tuple[dict[str, Tensor], dict[str, Any]] | None, list[str]]:
    """The newest sound checkpoint (None if there is none), and a sentence for each one set aside as damaged."""
    notes: list[str] = []
    for name in (NAME, PREVIOUS):
        path = directory / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            return decode(content), notes
        except DamagedError as error:
            aside = path.with_name(f"{name}.damaged")
            os.replace(path, aside)
            notes.append(f"{path}: {error}; set aside as {aside.name}")
    return None, notes


def left(directory: Path) -> bool:
    """Whether there is a checkpoint to go on from, or what was one."""
    return any((directory / name).exists() for name in (NAME, PREVIOUS))


def remove(directory: Path, *, keep: bool = False) -> None:
    """Delete the checkpoints of a finished run; with `keep` the last one stays, under the name KEPT."""
    (directory / PREVIOUS).unlink(missing_ok=True)
    if not keep:
        (directory / NAME).unlink(missing_ok=True)
    elif (directory / NAME).exists():
        os.replace(directory / NAME, directory / KEPT)
        sync(directory)
