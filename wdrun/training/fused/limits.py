"""Which runs can train together, whether a structure can at all, and how many fit into memory."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Hashable
from copy import copy
from math import ceil
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from wdrun import optim
from wdrun.config.run import Run
from wdrun.training import network
from wdrun.training.fused.lift import Lift
from wdrun.training.state import unflatten
from wdrun.training.trainer import Trainer
from wdrun.wording import named

PROBED = 4  # examples with which the lift is tried
USED = 0.6  # share of the free memory that may be planned with: libraries take workspaces of their own


def family(run: Run) -> Hashable:
    """Equal for runs of one training step: structural knobs, of the optimizer's numbers only which are 0."""
    optimizer = optim.build(run.optimizer)
    numbers = [f.name for f in dataclasses.fields(optimizer) if f.type is float]  # type: ignore[arg-type]
    knobs = run.structural | {f"optimizer.{n}": bool(getattr(optimizer, n)) for n in numbers}
    return json.dumps(knobs, sort_keys=True)


def group_key(trainer: Trainer) -> Hashable:
    """Equal for runs that can train together: their family, and what only a trainer knows of it."""
    return family(trainer.run), trainer.machine, trainer.steps_per_epoch, trainer.dataset.input_shape


def fusable(trainer: Trainer) -> str | None:
    """None, or why runs of this structure train one after another."""
    if trainer.found is not None and trainer.found.alone:
        return trainer.found.alone
    for name, module in trainer.model.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p:
            return f"{name} is a dropout, whose draws belong to one run"
    try:
        if trainer.machine.precision == "bf16":
            _probe(trainer)
        return _probe(_exact(trainer))
    except Exception as error:  # whatever a user's model or decay does that cannot be lifted
        return f"its step cannot be lifted over runs ({named(error)})"


def _exact(trainer: Trainer) -> Trainer:
    """The trainer as it is, but without bf16: there, four examples at a kink can turn a gradient."""
    exact = copy(trainer)
    precision = "fp64" if trainer.machine.precision == "fp64" else "fp32"
    exact.machine = dataclasses.replace(trainer.machine, precision=precision)
    exact.step = dataclasses.replace(trainer.step, machine=exact.machine)
    return exact


def _probe(trainer: Trainer) -> str | None:
    """Step two equal runs on a few examples: None, or what is not as it is in one run alone."""
    x, y = trainer.sample(PROBED)
    x = x.to(trainer.step.input_dtype)
    now, buffers = unflatten(trainer.initial().tensors)
    twice, beside = tree_map(lambda w: torch.stack([w, w]), (now, buffers))
    trainer.model.train()
    lift = Lift([trainer, trainer], "vmap")
    grads, loss, _ = lift.gradients(twice.params, beside, x, y, True)
    moved = lift.update(twice, grads, trainer.knobs(1))
    if not all(moved.params[n].dtype == w.dtype for n, w in now.params.items()):
        return "lifted over runs, its weights change their type"
    if trainer.machine.precision == "bf16":
        return None
    alone, loss_alone, _ = trainer.step.gradients(now.params, buffers, x, y)
    for name, w in {"data loss": loss_alone, **alone}.items():
        found = grads.get(name, loss)
        if not (_agree(found[0], w) and _agree(found[1], w)):
            return f"lifted over runs, its {name} is another: the model is no function of its parameters alone"
    return None


def _agree(a: Tensor, b: Tensor) -> bool:
    tolerance = 1e-9 if b.dtype == torch.float64 else 0.02  # another function is far off
    return bool(torch.linalg.vector_norm(a - b) <= tolerance * (torch.linalg.vector_norm(b) + 1e-3))


def chunk(n: int, trainer: Trainer) -> int:
    """How many of n runs to train at a time so that they fit into the free memory, in groups of about equal size."""
    most = max(1, int(USED * _free(trainer.machine.device) / bytes_per_run(trainer)))
    return ceil(n / ceil(n / most))


def bytes_per_run(trainer: Trainer) -> int:
    """Memory of one run more in a stack: its tensors, and the activations of a batch, forward and backward.

    Of each parameter: itself, new, gradient, its bf16 copy, the best, the state handed out and the one before, and the
    optimizer's slots and the running average, in two of these. Of each activation: itself, its gradient and a copy in
    another layout.
    """
    params = network.trained(trainer.model)
    weights = sum(w.numel() * w.element_size() for w in params.values())
    slots = sum(m.numel() * m.element_size() for ms in trainer.optimizer.init(params).values() for m in ms.values())
    values = 0

    def count(module: nn.Module, given: object, output: object) -> None:
        nonlocal values
        if isinstance(output, Tensor):
            values += output.numel()

    leaves = [module for module in trainer.model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(count) for module in leaves]
    try:
        x, _ = trainer.sample(PROBED)
        trainer.model.eval()
        with torch.no_grad(), trainer.machine.autocast():
            trainer.model(x)
    finally:
        for handle in handles:
            handle.remove()
    per_example = values / PROBED * x.element_size()
    # max-pooling keeps indices of 8 bytes for a quarter of its inputs; a grouped convolution lays its input out anew
    layout = 8 if any(isinstance(module, nn.Conv2d) for module in leaves) else 4
    kept = slots + (0 if trainer.run.ema is None else weights)
    return int(8 * weights + 4 * kept + layout * per_example * trainer.run.batch_size)


def _free(device: torch.device, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that may be taken: of the device, or of memory, what its caches would give back counted too."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    told = meminfo.read_text(encoding="ascii") if meminfo.exists() else ""
    if available := re.search(r"^MemAvailable: +(\d+) kB$", told, re.MULTILINE):
        return int(available[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # macOS says only how much there is
