"""A run in words before it trains: what it is, what its decay does in a step, and whether λ can act."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from wdrun import conventions, schedules
from wdrun.config.axes import key_of
from wdrun.config.run import Run
from wdrun.decay import COUPLINGS, Chain, Decay, Rule, chosen_scope, holds
from wdrun.errors import ConfigError
from wdrun.training import network
from wdrun.training.trainer import Trainer
from wdrun.wording import command_line, counted, short

DECAYING = ("decay", "lambda", "budget", "tau")  # keys that say how much decay there is


def block(trainer: Trainer) -> list[str]:
    """The block printed before the first epoch: run, machine, decay, step, same λ elsewhere, budget, verdict."""
    run, machine = trainer.run, trainer.machine
    sizes = {n: w.numel() for n, w in network.trained(trainer.model).items()}
    model = f"{run.model['name']}, {counted(sum(sizes.values()), 'parameter')}"
    how = f"{run.optimizer['name']} lr={short(run.lr)} {run.schedule['name']}"
    training = f"{how}, {counted(run.epochs, 'epoch')} of {counted(trainer.steps_per_epoch, 'step')}"
    first = f"the weights of {run.init_from}"
    lines = [
        f"run      {model} on {trainer.dataset.name}; {training}, batch {run.batch_size}",
        *(
            [f"start    {first} (init_digest={run.init_digest}); optimizer and schedule begin anew"]
            * bool(run.init_from)
        ),
        *([f"data     {run.data.get('root')} (data.digest={own})"] if (own := run.data.get("digest")) else []),
        f"machine  {machine.device.type}, {machine.precision}, {counted(machine.threads, 'thread')}",
        *_loss(run),
    ]
    lines += [f"note     {note}" for note in (trainer.found.notes if trainer.found else ())]
    lines += [*rates(trainer), *averaging(trainer)]
    found = trainer.budget
    if found.verdict == "off" or not trainer.decayed:
        name = run.decay["name"]
        said = f"{name}, λ = {short(run.lam)}: {idle(trainer) if run.lam else 'none'}"
        return [*lines, f"decay    {'none' if name == 'none' else said}"]
    inside = trainer.decayed
    held = sum(sizes[n] for n in inside)
    lines.append(
        f"decay    {run.decay['name']}, {run.coupling}, λ = {short(run.lam)} on {counted(held, 'parameter')} "
        f"in {len(inside)} of {counted(len(sizes), 'tensor')}"
    )
    limits = _limits(run.optimizer) if run.coupling == "coupled" else ""
    data_alone = run.optimizer.get("clip") == "data"
    order = f"g was clipped alone, by {limits}" if data_alone else f"then {limits} (optimizer.clip=data: of g alone)"
    lines.append(f"step     {formula(trainer.rule)}" + (f"; {order}" if limits else ""))
    lines += [f"λ        {text}" for text in about(trainer.rule)]
    # Decoupled, cautious, adamc … are l2 too, a user's l2.Mine is not.
    module = run.decay["_target_"].rpartition(".")[0]
    omega = module.removeprefix("wdrun.decay.") if module.startswith("wdrun.decay.") else ""
    powers = {key: run.decay[key] for key in ("p", "depth") if key in run.decay}
    lam = run.lam * schedules.normalization(run.decay, trainer.steps)
    same = conventions.elsewhere(
        lam, regularizer=omega, coupling=run.coupling, lr=run.lr, batch_size=run.batch_size, **powers
    )
    if limits:  # torch clips before it adds λw, a framework with Ω in its loss after
        same = {where: value for where, value in same.items() if data_alone == (where == "torch weight_decay")}
    if same and run.decay["reduction"] != "mean":  # where each tensor has a λ of its own
        lines.append(f"same λ   {' · '.join(f'{where} {short(value)}' for where, value in same.items())}")
    first, *others = conventions.sentences(found, run.lam, trainer.rule.tries)
    apart = trainer.rule.steady if isinstance(trainer.rule, Decay) else frozenset()
    of = (
        f"; of the tensors with a constant λ, {len(apart)} of {len(inside)}, it is more"
        if 0 < len(apart) < len(inside)
        else ""
    )
    lines.append(f"budget   {first}{of}")
    if found.verdict == "acts":
        lines.append("verdict  decay can act")
    return lines + [f"verdict  {sentence}" for sentence in others]


def idle(trainer: Trainer) -> str:
    """What every λ > 0 of the run does, in words, where that is nothing; else empty."""
    if not trainer.decayed:
        return "acts on no parameter that moves"
    return "is multiplied by 0 in every step" if trainer.at(1.0).budget.total == 0 else ""


def rates(trainer: Trainer) -> list[str]:
    """The line on the parameters with a learning rate of their own, where there are any."""
    factors = trainer.lr_factors
    if not factors:
        return []
    parts = [
        f"× {short(factor)} on {counted(sum(own == factor for own in factors.values()), 'tensor')}"
        for factor in dict.fromkeys(factors.values())
    ]
    return [f"lr       η {', '.join(parts)} by optimizer.lr_scales"]


def averaging(trainer: Trainer) -> list[str]:
    """The line on the running average of the weights, where one is kept: how far it reaches back."""
    d, steps = trainer.run.ema, trainer.steps
    if d is None:
        return []
    back = 1 / (1 - d)
    reach = f"over about {counted(round(back), 'step')} ({back / trainer.steps_per_epoch:.3g} epochs)"
    first = 100 * d ** (steps - 1)
    still = f"; at the end the first step's weights still count {first:.2g} % in it" if first >= 1 else ""
    return [f"average  ē ← dē + (1 − d)w after each step, d = {short(d)}: {reach}, evaluated beside{still}"]


def _loss(run: Run) -> list[str]:
    """What the training loss is other than the cross-entropy of labels, which validation and test are scored by."""
    kind = run.augment.get("mix")
    given = [f"label_smoothing={short(run.label_smoothing)}"] * bool(run.label_smoothing)
    given += [f"augment={run.augment['name']} (batches mixed by {kind})"] * bool(kind)
    return [f"loss     in training with {' and '.join(given)}; val and test without"] * bool(given)


def _limits(optimizer: Mapping[str, Any]) -> str:
    """What clips the gradient, as a user types it; empty where nothing does."""
    given = [key for key in ("clip_norm", "clip_value") if optimizer[key] is not None]
    return " and ".join(f"optimizer.{key}={short(optimizer[key])}" for key in given)


def whole(trainer: Trainer, words: Sequence[str]) -> list[str]:
    """All `wdrun explain` prints of the run of these words: the block, Ω, the step in numbers, its scope, a λ range."""
    run = trainer.run
    lines = block(trainer)
    if run.decay["name"] != "none":
        lines += [f"Ω        {regularizer(run)}", f"numbers  {in_numbers(trainer)}"]
    for name, p in trainer.model.named_parameters():
        w = network.real(p.detach())
        lines.append(
            f"  {name:<24} {'×'.join(map(str, w.shape)):>14} {w.numel():>9,}  {fate(trainer, name, w.numel())}"
        )
    return lines + worth_sweeping(trainer, words)


def fate(trainer: Trainer, name: str, size: int) -> str:
    """Whether the decay acts on a parameter of so many elements, and why: `not decayed: weight of a norm`."""
    rule, spec, kind = trainer.rule, trainer.run.decay, trainer.layers.kinds[name]
    if not trainer.model.get_parameter(name).requires_grad:
        return "not trained: frozen"
    if trainer.found and name in trainer.found.idle:
        return "not decayed: no gradient"
    if not trainer.run.lam:
        return "not decayed: λ = 0"
    scope = chosen_scope(spec["scope"], spec["exclude_1d"])
    if name not in rule.scope():
        if not size:
            return "not decayed: it has no elements"
        if holds(scope, kind):
            return f"not decayed: {kind.what}, {'in no term' if isinstance(rule, Chain) else 'decay.scales'}"
        return f"not decayed: {kind.what}" + (f", decay.scope={scope}" if kind.scope != "all" else "")
    if name in trainer.frozen:
        return "not decayed: η × 0 by optimizer.lr_scales"
    why = [kind.what]
    if (factor := trainer.lr_factors.get(name, 1.0)) != 1:
        why.append(f"η × {short(factor)} by optimizer.lr_scales")
    if isinstance(rule, Decay):
        c = rule.scale[name]
        if spec["reduction"] == "mean":  # c is that of the scales divided by the tensor's size
            why += ["mean over its elements"]
        elif not isinstance(c, float):
            why.append("in part, by decay.scales")
        elif c != 1 or not holds(scope, kind):
            why.append(f"c = {short(c)} by decay.scales")
        if rule.steady:
            why.append("no normalisation follows: λ constant" if name in rule.steady else "a normalisation follows")
        why += filter(None, [rule.remark(name, trainer.decay_start)])
    return f"decayed: {', '.join(why)}"


def regularizer(run: Run) -> str:
    """First docstring line of the decay's module, else of its class: formula and source."""
    path, _, name = run.decay["_target_"].rpartition(".")
    module = importlib.import_module(path)
    return (module.__doc__ or getattr(module, name).__doc__ or name).partition("\n")[0]


def formula(rule: Rule) -> str:
    """The rule's step in one line: its own, else that of its coupling; of a chain, those of its rules in turn."""
    if isinstance(rule, Chain):
        return "; then ".join(f"{w:g}λ: {formula(link)}" for link, w in zip(rule.rules, rule.weights, strict=True))
    return rule.formula or (COUPLINGS[rule.coupling].formula if isinstance(rule, Decay) else "")


def about(rule: Rule) -> list[str]:
    """What λ is in the rule, where its formula alone does not say it; of a chain, in each of its rules."""
    if isinstance(rule, Chain):
        return list(dict.fromkeys(text for link in rule.rules for text in about(link)))
    return [rule.about] * bool(rule.about)


def in_numbers(trainer: Trainer) -> str:
    """The rule's formula with this run's λ and peak lr put in; the factors of the schedules stay as s and m.

    Of a chain, the formula of each of its rules with that rule's share of λ.
    """
    run = trainer.run
    lr = short(run.lr) + "·s" * _varies(run.schedule)

    def put_in(rule: Rule, spec: Mapping[str, Any], lam: float, scheduled: bool) -> str:
        scheduled = scheduled or spec["normalized"] or _varies(spec["schedule"])
        if isinstance(rule, Chain):
            links = zip(rule.rules, spec["terms"], rule.weights, strict=True)
            return "; then ".join(put_in(link, term, lam * weight, scheduled) for link, term, weight in links)
        text, strength = formula(rule), short(lam) + "·m" * scheduled
        for symbols, value in (("ηλ", f"{lr}·{strength}·"), ("λ", f"{strength}·"), ("ηu", f"{lr}·u"), ("η", lr)):
            text = text.replace(symbols, value)
        return text

    where = f"; then {run.optimizer['name']} with η = {lr}" if run.coupling == "coupled" else ""
    return put_in(trainer.rule, run.decay, run.lam, False) + where


def _varies(schedule: Mapping[str, Any]) -> bool:
    return bool(schedule["name"] != "constant" or schedule.get("warmup"))


def worth_sweeping(trainer: Trainer, words: Sequence[str]) -> list[str]:
    """The λ between which decay goes from hardly acting to dominating, as a sweep of the run of these words.

    Where no formula gives them, what the decay itself says is worth trying; nothing where no λ acts.
    """
    if idle(trainer):
        return []
    if axis := trainer.rule.tries:
        key = key_of(axis)
        same = {"lr": ("lr", "optimizer.lr"), "lambda": DECAYING[1:]}.get(key, (key,))
        return [f"sweep    {command_line(['-m', *(w for w in words if key_of(w) not in same), axis])}"]
    try:
        low, high = (lambda_for(trainer, total) for total in (conventions.CANNOT_ACT, conventions.DOMINATES / 2))
    except ConfigError:
        return [
            "sweep    no range can be computed for this coupling and optimizer: try three decades around the default λ"
        ]
    steps = [low * (high / low) ** (i / 4) for i in range(5)]
    values = ",".join(["0", *(short(float(f"{lam:.1g}")) for lam in steps)])
    line = command_line(["-m", *(w for w in words if key_of(w) not in DECAYING[1:]), f"lambda={values}"])
    return [f"sweep    D from {conventions.CANNOT_ACT} to 5: {line}"]


def lambda_for(trainer: Trainer, total: float) -> float:
    """The λ whose total decay D over the run is `total`: D is proportional to λ.

    ConfigError where D is not defined, and where it is 0 whatever λ is.
    """
    asked = f"a total decay of {total:.3g} is asked for, but"
    if why := idle(trainer):
        keys = "decay.scope, decay.scales, decay.schedule, schedule and optimizer.lr_scales"
        raise ConfigError(f"{asked} λ {why}: look at {keys}")
    run, per_lambda = trainer.run, trainer.at(1.0).budget.total
    if per_lambda is None:
        raise ConfigError(
            f"{asked} it is not defined for {run.decay['name']}, {run.coupling}, "
            f"under {run.optimizer['name']}; give lambda=, or take decay.coupling=decoupled"
        )
    return float(f"{total / per_lambda:.6g}")
