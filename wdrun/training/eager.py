"""The training step of a user's own module: plain autograd on its own parameters, as a loop in torch has it.

Whatever autograd and modules can do in such a loop they do here: hooks, checkpoints, buffers assigned in forward,
weights changed in forward. Decay and optimizer are those of `step.py`. Shapes: B batch, C H W image, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from wdrun import optim
from wdrun.decay import Knobs
from wdrun.tensors import Tensors, axpy
from wdrun.training import network
from wdrun.training.step import Step, Training, data_loss

LATE = "steps"  # the optimizer's slot with the steps taken by each parameter that was without gradient in some


def backward(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    autocast: AbstractContextManager[object],
    loss_of: Callable[[Tensor, Tensor], Tensor] = data_loss,
) -> tuple[Tensor, Tensor, Tensors]:
    """Outputs, data loss, and the gradient of each parameter that learns and got one; a sparse one as a dense one."""
    model.zero_grad(set_to_none=True)
    with autocast:
        outputs: Tensor = model(x)
        loss = loss_of(outputs, y)
    loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    grads = {n: network.real(g.to_dense() if g.is_sparse else g) for n, g in found.items() if g is not None}
    model.zero_grad(set_to_none=True)  # the gradients are ours now
    return outputs.detach(), loss.detach(), grads


@dataclass(frozen=True)
class EagerStep(Step):
    """As `Step`, but the module is trained in place: it is given the tensors of the call, and asked for them after it.

    A parameter that gets no gradient in a step stays as it is in that step, without decay, as in torch. `grads` holds
    those that got one.
    """

    channels_last: bool = False
    no_function: str | None = None  # why the module's loss is no function of its tensors alone

    @property
    def input_dtype(self) -> torch.dtype:
        return self.machine.dtype  # as under torch's autocast, which casts what it wants in bf16

    def outputs(self, params: Tensors, buffers: Tensors, x: Tensor) -> Tensor:
        network.write(self.model, params, buffers)
        with self.machine.autocast():
            outputs: Tensor = self.model(self._laid_out(x))
        return outputs

    def gradients(self, params: Tensors, buffers: Tensors, x: Tensor, y: Tensor) -> tuple[Tensors, Tensor, Tensor]:
        network.write(self.model, params, buffers)
        outputs, loss, grads = backward(self.model, self._laid_out(x), y, self.machine.autocast(), self.data_loss)
        network.check_learns(self.model, params.keys(), f"model={type(self.model).__name__}")
        after = network.kept(self.model)
        buffers |= {name: after[name].clone() for name in buffers}
        return grads, loss, self.hits(outputs, y)

    def __call__(
        self, now: Training, buffers: Tensors, x: Tensor, y: Tensor, knobs: Knobs
    ) -> tuple[Training, Tensors, Tensor, Tensor]:
        grads, loss, right = self.gradients(now.params, buffers, x, y)
        return self.averaged(self.update(self.begun(now), grads, knobs), buffers, knobs.t), grads, loss, right

    def begun(self, now: Training) -> Training:
        return now._replace(params={name: w.clone() for name, w in network.trained(self.model).items()})

    def update(self, now: Training, grads: Tensors, knobs: Knobs) -> Training:
        idle = now.params.keys() - grads.keys()
        if not idle and LATE not in now.optimizer:
            return super().update(now, grads, knobs)
        context = self.context(now, knobs)
        given = {n: grads[n] if n in grads else torch.zeros_like(w) for n, w in now.params.items()}
        seen = self.seen({n: g for n, g in self.coupled(given, context).items() if n not in idle})
        moves, memory = _directions(self.optimizer, seen, now, knobs.t)
        updates, seen = ({n: of.get(n, given[n]) for n in given} for of in (moves, seen))
        stepped = {n: axpy(-context.lr(n), updates[n], w) for n, w in now.params.items()}
        params, remembered = self.rule.after(stepped, replace(context, grads=seen, updates=updates))
        rest = {n: now.params[n] for n in idle}
        still = {key: m for key, m in now.decay.items() if self.rule.holder(key) in idle}
        params = self.held(now.params, {n: rest.get(n, w) for n, w in params.items()})
        return now._replace(params=params, optimizer=memory, decay=remembered | still)

    def _laid_out(self, x: Tensor) -> Tensor:
        images = self.channels_last and x.ndim == 4
        return x.contiguous(memory_format=torch.channels_last if images else torch.contiguous_format)


def _directions(
    optimizer: optim.Optimizer, grads: Tensors, now: Training, t: int
) -> tuple[Tensors, dict[str, Tensors]]:
    """The optimizer's update of the parameters with a gradient, and its memory after it.

    As in torch each parameter counts its own steps: those that were ever without a gradient are stepped one by one,
    with their own count, and with their own copy of what the optimizer keeps once for all (NAdam's product).
    """
    memory = {slot: dict(tensors) for slot, tensors in now.optimizer.items()}
    late = memory.setdefault(LATE, {})
    for name in (n for n in now.params if n not in grads and n not in late):
        late[name] = torch.tensor(t - 1, device=now.params[name].device)
        for tensors in memory.values():
            if "" in tensors:
                tensors[name] = tensors[""]
    updates: Tensors = {}
    for step, names, key in _alike(grads, late, t):
        state = {slot: {n: of[n] for n in names if n in of} for slot, of in memory.items() if slot != LATE}
        state = {slot: of | ({"": memory[slot][key]} if "" in memory[slot] else {}) for slot, of in state.items()}
        moves, new = optimizer.direction({n: grads[n] for n in names}, state, step, {n: now.params[n] for n in names})
        updates |= moves
        for slot, tensors in new.items():
            memory[slot] |= {name or key: m for name, m in tensors.items()}
        for name in names if key else ():
            late[name] = late[name] + 1
    return updates, memory


def _alike(grads: Tensors, late: Tensors, t: int) -> Iterator[tuple[int, list[str], str]]:
    """The step's number, names, and whose copy of the common memory: first of all that are on time, then one by one."""
    if on_time := [name for name in grads if name not in late]:
        yield t, on_time, ""
    for name in grads:
        if name in late:
            yield int(late[name]) + 1, [name], name
