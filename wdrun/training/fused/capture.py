"""A function recorded once as a CUDA graph and replayed: one launch, not one a kernel. Elsewhere: the function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from wdrun.terminal.progress import say
from wdrun.wording import first_line

T = TypeVar("T")
REHEARSALS = 3  # calls before recording, in which libraries choose their kernels and take their workspaces


def captured(function: Callable[[], T], kept: Sequence[Tensor], device: torch.device) -> Callable[[], T]:
    """`function` reads and writes tensors that stay where they are, among them `kept`: all that it changes.

    On a CUDA device: recorded, so what it returns are the same tensors at every call, overwritten by the next.
    """
    if device.type != "cuda":
        return function
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        rehearse(function, kept)
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            result = function()
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:  # something in a user's model that a graph cannot hold; recording changes nothing
        torch.cuda.synchronize(device)
        say(f"note: the step cannot be recorded as a CUDA graph, so it goes kernel by kernel ({first_line(error)})")
        return function

    def replay() -> T:
        graph.replay()
        return result

    return replay


def rehearse(function: Callable[[], object], kept: Sequence[Tensor]) -> None:
    """Call the function some times and put back what it changed."""
    before = [w.clone() for w in kept]
    for _ in range(REHEARSALS):
        function()
    for w, was in zip(kept, before, strict=True):
        w.copy_(was)
