"""Randomness as a function of (seed, stream, epoch), so that a resumed run needs no generator state."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


def stream_seed(seed: int, stream: str, epoch: int = 0) -> int:
    """Return a 63-bit seed, SHA-256 of "seed/stream/epoch": independent streams for neighbouring seeds."""
    digest = hashlib.sha256(f"{seed}/{stream}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, stream: str, epoch: int = 0) -> torch.Generator:
    """Return a CPU generator of the stream; draws are moved to the device, so every device sees the same ones."""
    return torch.Generator().manual_seed(stream_seed(seed, stream, epoch))


@contextmanager
def seeded(seed: int, device: torch.device | None = None, own: bool = False) -> Iterator[None]:
    """torch's global generators, of the CPU and of the device, start from `seed`, and are as before afterwards.

    `own`: so are those of `random` and numpy, which code of a user's may draw from.
    """
    with ExitStack() as after:
        on_gpu = device is not None and device.type == "cuda"
        after.enter_context(torch.random.fork_rng(devices=[device] if on_gpu else []))
        torch.manual_seed(seed)
        if own:
            after.callback(random.setstate, random.getstate())
            after.callback(np.random.set_state, np.random.get_state())
            random.seed(seed)
            np.random.seed(seed % 2**32)
        yield
