"""FusedTrainer: `Trainer.train` of many runs at once. Each run gets the epochs it would have got alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from wdrun.errors import ConfigError
from wdrun.tensors import Tensors
from wdrun.training.diagnostics.layers import tabulate
from wdrun.training.divergence import in_validation
from wdrun.training.fused import measure
from wdrun.training.fused.forward import ways
from wdrun.training.fused.limits import fusable, group_key
from wdrun.training.fused.stack import Stack
from wdrun.training.state import Epoch, Standing, State
from wdrun.training.step import Training
from wdrun.training.trainer import Trainer, penalised

RESTACK = 0.75  # share of a stack's runs still training below which the others leave it: a new stack costs a recording


class FusedTrainer:
    """Trains runs of equal `group_key` together. `way`: one of `ways(model)`; None = the first on a GPU, else vmap.

    ConfigError, one line, when they cannot; `fusable` says it beforehand.
    """

    def __init__(self, trainers: Sequence[Trainer], way: str | None = None) -> None:
        if len({group_key(t) for t in trainers}) != 1:
            raise ConfigError("fused runs must agree in all but lambda, lr, seed, fold and the optimizer's numbers")
        if reason := fusable(trainers[0]):
            raise ConfigError(f"these runs train one after another, not as one: {reason}")
        self.trainers, self.first = list(trainers), trainers[0]
        able = ways(self.first.model)
        if way is not None and way not in able:
            raise ConfigError(f"way={way}: this model can go {', '.join(able)}")
        self.way = way or (able[0] if self.first.machine.device.type == "cuda" else "vmap")

    def train(
        self, states: Sequence[State | None] | None = None, tick: Callable[[int], None] = lambda step: None
    ) -> Iterator[tuple[int, Epoch]]:
        """Train from these states (None: from scratch), all after the same epoch; (index of the run, its epoch).

        An epoch's results come run by run once all of them are there. A run that diverges or stops early ends alone.
        """
        given = states if states is not None else [None] * len(self.trainers)
        standings = [t.standing(s) for t, s in zip(self.trainers, given, strict=True)]
        done = {standing.epochs_done for standing in standings}
        if len(done) != 1:
            raise ConfigError(f"fused runs must start after the same epoch; these have done {sorted(done)}")
        alive = members = list(range(len(standings)))
        stack = self._stack(standings, members)
        for number in range(done.pop() + 1, self.first.run.epochs + 1):
            if len(alive) < RESTACK * len(members):
                members = alive
                stack = self._stack(standings, members)
            left = []
            places = {members.index(i): standings[i] for i in alive}
            for place, epoch in self._epoch(number, stack, places, tick):
                yield members[place], epoch
                left += [members[place]] if epoch.status == "running" else []
            if not (alive := left):
                return

    def _stack(self, standings: Sequence[Standing], members: Sequence[int]) -> Stack:
        return Stack([self.trainers[i] for i in members], [standings[i].state for i in members], self.way)

    def _epoch(
        self, number: int, stack: Stack, standings: dict[int, Standing], tick: Callable[[int], None]
    ) -> Iterator[tuple[int, Epoch]]:
        """Train an epoch: (place in the stack, epoch) of the runs in `standings`; the others there are over."""
        started = time.perf_counter()
        before, grads = stack.epoch(number, tick)
        training, buffers = stack.copy()
        causes = measure.causes(stack, self.first.bounded(training.params | buffers), number)
        running = measure.running(stack)
        trained = time.perf_counter()
        tables = measure.tables(stack.lift, before, training, grads, number)
        val = measure.evaluated(stack.lift, "val", number, training.params, buffers)
        runs = {r: _of(r, training, buffers) for r in standings}
        lasts: dict[int, bool] = {}
        for r, standing in standings.items():
            causes[r] = causes[r] or in_validation(val[r], number)
            if causes[r] is None:
                lasts[r] = standing.advance(number, *runs[r], val[r])
        tested = measure.tested(stack.lift, number, {r: standings[r].to_test() for r, last in lasts.items() if last})
        # A run's share of the time: those of a group sum to what the group took.
        shares = (trained - started) / len(standings), (time.perf_counter() - trained) / len(standings)
        for r, standing in standings.items():
            trainer, (mine, beside) = stack.lift.trainers[r], runs[r]
            if r not in lasts:
                yield r, trainer.diverged(number, str(causes[r]), standing)
                continue
            train = penalised(trainer.running(number, *running[r]), val[r]["penalty"])
            rows = [train, val[r], *tested.get(r, [])]
            layers = tabulate(trainer.step, mine.params, tables[r], trainer.knobs(number * trainer.steps_per_epoch))
            measured = trainer.inspector.beside(layers, mine.params, beside)
            yield r, trainer.completed(standing, lasts[r], rows, measured, trainer.timing(number, *shares))


def _of(r: int, training: Training, buffers: Tensors) -> tuple[Training, Tensors]:
    """Run r's part, without a copy."""
    flat = training.params, training.decay, training.average, buffers
    params, decay, average, beside = ({n: w[r] for n, w in of.items()} for of in flat)
    optimizer = {slot: {n: m[r] for n, m in ms.items()} for slot, ms in training.optimizer.items()}
    return Training(params, optimizer, decay, average), beside
