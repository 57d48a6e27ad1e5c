"""Where the search for λ starts: at a λ that the trainer itself says can act, or one that a probe says does."""

import math
from dataclasses import replace

import pytest

from tests.runs import TINY, changed
from wdrun.config.options import conf_dir, option_names
from wdrun.errors import ConfigError
from wdrun.sweep.one_run import ready
from wdrun.sweep.strength import strength_of, with_strength
from wdrun.training.trainer import Trainer
from wdrun.tuning import asking

BASE = ("model=mlp", "model.hidden=[8]")


def asked(*words):
    return asking.asked(changed(TINY, *BASE, *words))


def strong(*words):
    """The first facet's space, a trainer of it, and the lines said."""
    found = asked(*words)
    question, lines = with_strength(found.question, (ready(job.run) for job in found.jobs))
    return question.facets[0].space, ready(found.jobs[0].run), lines


def at(trainer, lam, **knobs):
    """The total decay D that a trainer of its own has with these knobs."""
    return Trainer(replace(trainer.run, lam=lam, **knobs), trainer.dataset, trainer.machine).budget.total


@pytest.mark.parametrize("words", [
    ("decay=l2",), ("decay=decoupled",), ("decay=proximal",), ("decay=independent",), ("decay=adamc",),
    ("decay=l1", "schedule=one_cycle"), ("decay=decoupled", "optimizer=adam", "decay.schedule=linear"),
], ids=" ".join)  # fmt: skip
def test_where_d_has_a_formula_the_first_lambda_has_what_is_useful_of_it_at_any_lr(words):
    space, trainer, lines = strong(*words)
    assert lines == []
    for lr in (trainer.run.lr, 10 * trainer.run.lr, trainer.run.lr / 7):
        assert at(trainer, space.middle((1.0, lr)), lr=lr) == pytest.approx(0.5)
        edge = 0.05 / at(trainer, 1.0, lr=lr)
        assert space.acts((edge * 1.01, lr))
        assert not space.acts((edge * 0.99, lr))
    assert at(trainer, 10**space.zero) == pytest.approx(0.02)
    assert space.axes[0].start == float(f"{space.middle((0.0, trainer.run.lr)):.2g}")


def test_d_follows_the_other_keys_that_are_tuned():
    space, trainer, _ = strong("decay=l2", "optimizer.momentum=interval(0,0.8)", "batch_size=interval(16,32)")
    assert [axis.key for axis in space.axes] == ["lambda", "lr", "optimizer.momentum", "batch_size"]
    lr = trainer.run.lr
    for momentum, batch_size in ((0.0, 32), (0.8, 16), (0.4, 24)):
        optimizer = {**trainer.run.optimizer, "momentum": momentum}
        lam = space.middle((1.0, lr, momentum, float(batch_size)))
        assert at(trainer, lam, optimizer=optimizer, batch_size=batch_size) == pytest.approx(0.5)


def test_a_bound_that_the_optimizer_refuses_is_refused_before_any_run():
    with pytest.raises(ConfigError, match=r"optimizer.momentum=1: must be a number in \[0, 1\)"):
        strong("optimizer.momentum=interval(0,1)")


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("decay", [name for name in option_names("decay") if name != "none"])
def test_every_decay_has_a_start(decay, optimizer):
    terms = ["decay.terms=[{decay:l2},{decay:l1,weight:0.1}]"] * (decay == "chain")
    space, trainer, lines = strong(f"decay={decay}", f"optimizer={optimizer}", *terms)
    start = space.axes[0].start
    assert 1e-8 < start < 1e4
    assert math.isfinite(space.zero)
    assert space.acts((start, trainer.run.lr))
    assert all(line.startswith("decay=") and "\n" not in line for line in lines)
    if not any("cannot be told" in line for line in lines):
        radius = trainer.run.coupling == "projected"
        assert (10**space.zero > start) if radius else (10**space.zero < start)
    assert len(space.beside((0.0, trainer.run.lr))) >= 2


@pytest.mark.parametrize("decay", ["l2", "l1", "elastic_net", "huber"])
def test_where_d_has_no_formula_a_larger_lr_takes_less_lambda(decay):
    space, trainer, lines = strong(f"decay={decay}", "optimizer=adam", "epochs=150")
    assert len(lines) == 1
    assert "has no formula; measured on a few steps" in lines[0]
    lr = trainer.run.lr
    order = [space.middle((1.0, lr * 2**k)) for k in range(-3, 4)]
    assert order == sorted(order, reverse=True)  # the larger lr, the less λ does it take
    assert not space.acts((space.axes[0].start / 100, lr))
    assert space.acts((space.axes[0].start * 100, lr))


def test_what_has_to_be_measured_is_measured_alike_every_time():
    one, other = (strong("decay=l2", "optimizer=adam")[0] for _ in range(2))
    assert one.axes == other.axes
    assert one.zero == other.zero
    assert one.middle((1, 0.01)) == other.middle((1, 0.01))


def test_a_radius_that_binds_at_the_start_may_be_far_exceeded_and_still_bind_later():
    space, trainer, (line,) = strong("decay=l2_ball")
    assert "is a radius; measured on a few steps: it binds below" in line
    weights = sum(p.detach().square().sum().item() / 2 for n, p in trainer.model.named_parameters() if p.ndim > 1)
    assert space.axes[0].start < 2 * weights
    assert space.acts((space.axes[0].start * 50, 0.1))
    assert not space.acts((space.axes[0].start * 500, 0.1))


def test_where_nothing_can_be_measured_lambda_starts_at_its_default():
    space, trainer, (line,) = strong("decay=unit_norm")
    assert space.axes[0].start == trainer.run.lam == 1.0
    assert "cannot be told from a few steps; it starts at 1" in line


def test_a_norm_that_is_kept_is_told_as_such_and_every_lambda_acts():
    space, _, (line,) = strong("decay=hyperball")
    assert "cannot be told from a few steps (λ is the norm that is kept, in initial norms; tune lr" in line
    assert line.endswith("; it starts at 1")
    assert space.axes[0].start == 1.0
    assert all(space.acts((lam, 0.1)) for lam in (1e-3, 1.0, 1e3))


def test_bounds_that_are_given_hold_and_are_said_to_be_in_vain():
    space, _, lines = strong("lambda=interval(1e-9,1e-8)")
    assert lines == ["decay=l2: no λ of the interval can act (D < 0.05)"]
    assert space.axes[0].start == 1e-8
    assert space.acts((1e-9, 0.02))
    space, _, lines = strong("lambda=interval(1e-9,10)")
    assert lines == []
    assert not space.acts((1e-9, 0.02))


def test_a_facet_without_decay_is_left_as_it_is():
    found = asked("decay=none", "optimizer=sgd,adam")
    question, lines = with_strength(found.question, (ready(job.run) for job in found.jobs))
    assert question == found.question
    assert lines == []


def test_a_cautious_decay_does_less_than_its_formula_says():
    cautious, plain = (
        strength_of(ready(asked(f"decay={d}", "optimizer=adam").jobs[0].run)) for d in ("cautious", "l2")
    )
    decoupled = strong("decay=decoupled", "optimizer=adam")[0]
    assert cautious[0].at(0.5, (1.0, 0.001)) > decoupled.middle((1.0, 0.001))
    assert "is at most what its formula says" in cautious[1]
    assert plain[1]


def test_a_decay_of_the_users_own_may_have_a_key_that_is_tuned(here):
    (here / "own" / "decay").mkdir(parents=True)
    text = (conf_dir() / "decay" / "huber.yaml").read_text(encoding="utf-8")
    (here / "own" / "decay" / "mine.yaml").write_text(text.replace("name: huber", "name: mine"), encoding="utf-8")
    words = changed(TINY, *BASE, "decay=mine", "decay.delta=interval(0.01,1)")
    found = asking.asked(words, "own")
    question, _ = with_strength(found.question, map(ready, [job.run for job in found.jobs]), "own")
    assert [axis.key for axis in question.facets[0].space.axes] == ["lambda", "lr", "decay.delta"]
