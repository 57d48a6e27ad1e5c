"""Optimizers against their torch.optim twins (Lion: its paper's algorithm), and laws of a pure direction."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from wdrun import optim
from wdrun.errors import ConfigError
from wdrun.optim import Optimizer, State, Tensors

CONF = Path(__file__).parents[2] / "conf" / "optimizer"
CATALOGUE = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in sorted(CONF.glob("*.yaml"))}
VARIANTS = {name: (name, {}) for name in CATALOGUE} | {
    "sgd plain": ("sgd", {"momentum": 0.0}),
    "sgd nesterov": ("sgd", {"nesterov": True}),
    "sgd dampening": ("sgd", {"dampening": 0.4}),
    "sgd dampening plain": ("sgd", {"dampening": 0.4, "momentum": 0.0}),
    "adagrad accumulator": ("adagrad", {"initial_accumulator": 0.1}),
    "adadelta 0.95": ("adadelta", {"rho": 0.95}),
    "rmsprop momentum": ("rmsprop", {"momentum": 0.9}),
    "rmsprop centered": ("rmsprop", {"centered": True}),
    "rmsprop centered momentum": ("rmsprop", {"centered": True, "momentum": 0.9, "alpha": 0.9}),
    "adam 0.8": ("adam", {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3}),
    "adam no momentum": ("adam", {"beta1": 0.0}),
    "adam amsgrad": ("adam", {"amsgrad": True, "beta2": 0.9}),
    "adamw amsgrad": ("adamw", {"amsgrad": True, "beta2": 0.5}),
    "nadam slow": ("nadam", {"momentum_decay": 0.1}),
    "muon plain": ("muon", {"nesterov": False, "momentum": 0.9}),
}


def spec(variant: str, **changes: object) -> dict[str, object]:
    name, own = VARIANTS[variant]
    return CATALOGUE[name] | own | changes


def exact(variant: str) -> Optimizer:
    """The variant with all products in float64; in bfloat16 a batched kernel rounds differently."""
    return optim.build(spec(variant, ns_dtype="float64") if "muon" in variant else spec(variant))


@pytest.fixture(autouse=True)
def _float64_on_one_thread() -> Iterator[None]:
    # The default dtype, since torch keeps NAdam's momentum product in it; one thread, since on a busy machine
    # threads waiting for each other make these small products a hundred times slower.
    before = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(before[0])
    torch.set_num_threads(before[1])


SHAPES = {
    "conv": (4, 3, 3, 3),
    "norm": (4,),
    "hidden": (6, 16),
    "bias": (6,),
    "out": (3, 6),
    "tall": (9, 2),
    "gain": (),
}

DATA = [torch.linspace(-1.0, 1.0, 240, dtype=torch.float64).sin().reshape(5, 3, 4, 4)]
DATA += [torch.arange(15, dtype=torch.float64).cos().reshape(5, 3), torch.tensor([1.0, 2.0])]


def parameters(seed: int = 0, runs: tuple[int, ...] = ()) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(runs + shape, generator=generator) * 0.5 for k, shape in SHAPES.items()}


def loss(w: Tensors) -> Tensor:
    """A small CNN on 5 fixed images plus a quadratic of "tall": every shape of parameter has a gradient."""
    images, target, scale = (x.to(w["conv"].dtype) for x in DATA)
    h = torch.tanh(torch.nn.functional.conv2d(images, w["conv"])) * w["norm"][:, None, None]
    h = torch.tanh(h.flatten(1) @ w["hidden"].T + w["bias"])
    return ((h @ w["out"].T * w["gain"] - target) ** 2).mean() + (w["tall"] ** 2 @ scale**2).mean()


gradient = torch.func.grad(loss)


def train(
    optimizer: Optimizer, w: Tensors, lr: float, steps: int, state: State | None = None, done: int = 0
) -> tuple[Tensors, State]:
    state = optimizer.init(w) if state is None else state
    for t in range(done + 1, done + steps + 1):
        u, state = optimizer.direction(gradient(w), state, t, w)
        w = {k: x - lr * u[k] for k, x in w.items()}
    return w, state


def assert_same(ours: Tensors, theirs: Tensors, tolerance: float = 1e-12) -> None:
    assert list(ours) == list(theirs)
    for k in ours:
        torch.testing.assert_close(ours[k], theirs[k], rtol=0, atol=tolerance)


def assert_equal(ours: State, theirs: State) -> None:
    assert ours.keys() == theirs.keys()
    for slot in ours:
        assert_same(ours[slot], theirs[slot], 0)


class LionOfThePaper(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2, line by line, with λ = 0."""

    def step(self) -> None:
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                memory = self.state[p].setdefault("m", torch.zeros_like(p))
                c = beta1 * memory + (1 - beta1) * p.grad
                p.data = p.data - group["lr"] * torch.sign(c)
                self.state[p]["m"] = beta2 * memory + (1 - beta2) * p.grad


def twins(s: dict[str, object], leaves: Tensors) -> list[torch.optim.Optimizer]:
    """The optimizers of torch that do what spec s says; Muon needs a second one for vectors."""
    lr, w = s["lr"], list(leaves.values())
    adam = {"betas": (s.get("beta1"), s.get("beta2")), "eps": s.get("eps"), "weight_decay": 0.0}
    makers: dict[object, Callable[[], list[torch.optim.Optimizer]]] = {
        "sgd": lambda: [
            torch.optim.SGD(w, lr, momentum=s["momentum"], dampening=s["dampening"], nesterov=s["nesterov"])
        ],
        "adagrad": lambda: [
            torch.optim.Adagrad(w, lr, initial_accumulator_value=s["initial_accumulator"], eps=s["eps"])
        ],
        "adadelta": lambda: [torch.optim.Adadelta(w, lr, rho=s["rho"], eps=s["eps"])],
        "rmsprop": lambda: [
            torch.optim.RMSprop(w, lr, alpha=s["alpha"], eps=s["eps"], momentum=s["momentum"], centered=s["centered"])
        ],
        "adam": lambda: [
            (torch.optim.AdamW if s["name"] == "adamw" else torch.optim.Adam)(w, lr, amsgrad=s["amsgrad"], **adam)
        ],
        "nadam": lambda: [torch.optim.NAdam(w, lr, momentum_decay=s["momentum_decay"], **adam)],
        "lion": lambda: [LionOfThePaper(w, {"lr": lr, "betas": (s["beta1"], s["beta2"])})],
        "muon": lambda: [
            torch.optim.Muon(
                [x for x in w if x.ndim == 2],
                lr,
                weight_decay=0.0,
                momentum=s["momentum"],
                nesterov=s["nesterov"],
                ns_steps=s["ns_steps"],
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.Adam([x for x in w if x.ndim < 2], lr, **adam),
        ],
    }
    return makers[s["rule"]]()


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_its_twin_over_50_steps(variant: str) -> None:
    s = spec(variant)
    ours, _ = train(optim.build(s), parameters(), s["lr"], 50)

    # torch.optim.Muon takes matrices only: the twin's leaf of a convolution is its (out, rest) matrix.
    leaves = {k: (w.flatten(1) if w.ndim > 2 else w.clone()) for k, w in parameters().items()}
    leaves = {k: w.requires_grad_() for k, w in leaves.items()}
    optimizers = twins(s, leaves)
    for _ in range(50):
        for k, g in gradient({k: w.detach().reshape(SHAPES[k]) for k, w in leaves.items()}).items():
            leaves[k].grad = g.reshape(leaves[k].shape)
        for optimizer in optimizers:
            optimizer.step()
    theirs = {k: w.detach().reshape(SHAPES[k]) for k, w in leaves.items()}
    assert_same(ours, theirs)
    moved = {k: (ours[k] - w).abs().max().item() for k, w in parameters().items()}
    assert min(moved.values()) > 1e-4, moved


def test_amsgrad_remembers_the_largest_second_moment() -> None:
    """Where g falls, v does, and the step of plain Adam stays as large as before; that of AMSGrad falls with g."""
    w = {"w": torch.zeros(1)}
    plain, ams = (optim.build(spec("adam", beta1=0.0, beta2=0.5, amsgrad=on)) for on in (False, True))
    small, large = plain.init(w), ams.init(w)
    for t in range(1, 31):
        g = {"w": torch.tensor([1.0 if t == 1 else 0.01])}
        u, small = plain.direction(g, small, t, w)
        of_ams, large = ams.direction(g, large, t, w)
    assert u["w"].item() == pytest.approx(1, rel=1e-4)
    assert of_ams["w"].item() == pytest.approx(0.01 / math.sqrt(0.5), rel=1e-4)
    assert large["largest"]["w"].item() == 0.5


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_gain_is_what_a_constant_gradient_becomes(momentum: float) -> None:
    optimizer = optim.build(spec("sgd", momentum=momentum, dampening=0.3))
    w, g = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    state = optimizer.init(w)
    for t in range(1, 400):
        u, state = optimizer.direction(g, state, t, w)
    assert u["w"].item() == pytest.approx(optimizer.gain(), rel=1e-12)


def test_keys_that_came_later_may_be_missing() -> None:
    for name, key in (("sgd", "dampening"), ("adam", "amsgrad"), ("adam", "lr_scales")):
        assert optim.build({k: v for k, v in spec(name).items() if k != key}) == optim.build(spec(name))


def test_dampening_and_nesterov_are_refused_together() -> None:
    with pytest.raises(ConfigError, match=r"^optimizer.dampening=0.1: must be 0 with optimizer.nesterov=true"):
        optim.build(spec("sgd", nesterov=True, dampening=0.1))


def test_of_a_parameter_the_first_factor_that_matches_counts() -> None:
    names = ["conv1.weight", "conv1.bias", "fc.weight"]
    assert optim.lr_factors([("*.bias", 64), ("conv*", 0)], names) == {"conv1.bias": 64.0, "conv1.weight": 0.0}
    assert optim.lr_factors([], names) == {}
    with pytest.raises(ConfigError, match=r"'fc1\*' matches no parameter; there are conv1.weight, conv1.bias, fc.w"):
        optim.lr_factors([("conv*", 2), ("fc1*", 2)], names)


def test_catalogue_is_complete_and_explained() -> None:
    assert {s["rule"] for s in CATALOGUE.values()} == set(optim.OPTIMIZERS)
    for name, s in CATALOGUE.items():
        first, *rest = (CONF / f"{name}.yaml").read_text().splitlines()
        assert s["name"] == name
        assert first.startswith(("# w ← w − ", "# W ← W − "))
        assert [line for line in rest[1:] if " # " not in line] == []
        assert isinstance(s["lr"], float)
        assert s["prefers"] == ("decoupled" if name in ("adamw", "lion", "muon") else "coupled")
        assert (s["clip_norm"], s["clip_value"], s["lr_scales"]) == (None, None, [])


@pytest.mark.parametrize("variant", VARIANTS)
def test_direction_is_pure_and_deterministic(variant: str) -> None:
    optimizer = optim.build(spec(variant))
    w, state = train(optimizer, parameters(), 1e-2, 3)
    g = gradient(w)
    inputs = {"g": g, "w": w, **state}
    copies = {slot: {k: x.clone() for k, x in tensors.items()} for slot, tensors in inputs.items()}
    first, second = (optimizer.direction(g, state, 4, w) for _ in range(2))
    assert_equal(inputs, copies)
    assert_same(first[0], second[0], 0)
    assert_equal(first[1], second[1])
    assert list(first[0]) == list(w)
    assert {k: u.shape for k, u in first[0].items()} == {k: x.shape for k, x in w.items()}
    assert {slot: list(tensors) for slot, tensors in first[1].items()} == {s: list(x) for s, x in state.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_vmap_equals_a_loop(variant: str) -> None:
    optimizer, runs = exact(variant), 3
    w = parameters(runs=(runs,))
    state = torch.func.vmap(optimizer.init)(w)
    step = torch.func.vmap(optimizer.direction, in_dims=(0, 0, None, 0))
    singles = [{k: x[r] for k, x in w.items()} for r in range(runs)]
    states = [optimizer.init(x) for x in singles]
    for t in range(1, 6):
        u, state = step(torch.func.vmap(gradient)(w), state, t, w)
        w = {k: x - 0.01 * u[k] for k, x in w.items()}
        for r in range(runs):
            own, states[r] = optimizer.direction(gradient(singles[r]), states[r], t, singles[r])
            singles[r] = {k: x - 0.01 * own[k] for k, x in singles[r].items()}
    for r in range(runs):
        assert_same({k: x[r] for k, x in w.items()}, singles[r], 1e-11)
        for slot in state:
            assert_same({k: x[r] for k, x in state[slot].items()}, states[r][slot], 1e-11)


@pytest.mark.parametrize("variant", VARIANTS)
def test_step_number_may_be_a_tensor(variant: str) -> None:
    optimizer, w = optim.build(spec(variant)), parameters()
    g, state = gradient(w), optimizer.init(w)
    number, _ = optimizer.direction(g, state, 7, w)
    tensor, _ = optimizer.direction(g, state, torch.tensor(7.0), w)  # type: ignore[arg-type]
    assert_same(tensor, number)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resume_from_copied_state_is_exact(variant: str, dtype: torch.dtype) -> None:
    optimizer = optim.build(spec(variant))
    start = {k: w.to(dtype) for k, w in parameters().items()}
    whole, whole_state = train(optimizer, start, 1e-2, 9)
    half, state = train(optimizer, start, 1e-2, 4)
    flat = {f"{slot}/{k}": x.clone() for slot, tensors in state.items() for k, x in tensors.items()}
    assert all(isinstance(x, Tensor) and x.dtype == dtype for x in flat.values())
    restored: State = {}
    for path, x in flat.items():
        slot, k = path.split("/")
        restored.setdefault(slot, {})[k] = x
    again, again_state = train(optimizer, half, 1e-2, 5, restored, 4)
    assert_same(again, whole, 0)
    assert_equal(again_state, whole_state)


# Peak learning rates (0.05 where none is given); they fall linearly to 0, so that sign methods settle too.
PEAKS = {"sgd": 0.05, "adagrad": 1.0, "adadelta": 50.0, "lion": 0.02, "muon": 0.05}


@pytest.mark.parametrize("variant", VARIANTS)
def test_converges_on_a_convex_quadratic(variant: str) -> None:
    """½Σ h(w − w*)², curvatures h from 0.5 to 5."""
    optimizer, goal = optim.build(spec(variant)), parameters(2)
    h = {k: torch.linspace(0.5, 5.0, max(w.numel(), 1)).reshape(w.shape) for k, w in goal.items()}
    w, steps = parameters(3), 500
    state = optimizer.init(w)
    far = {k: (w[k] - goal[k]).norm() for k in w}
    for t in range(1, steps + 1):
        g = {k: h[k] * (w[k] - goal[k]) for k in w}
        u, state = optimizer.direction(g, state, t, w)
        lr = PEAKS.get(VARIANTS[variant][0], 0.05) * (1 - (t - 1) / steps)
        w = {k: x - lr * u[k] for k, x in w.items()}
    near = {k: ((w[k] - goal[k]).norm() / far[k]).item() for k in w}
    assert max(near.values()) < 0.03, near


@pytest.mark.parametrize("variant", VARIANTS)
def test_gain_is_the_limit_of_a_constant_term(variant: str) -> None:
    optimizer, w = optim.build(spec(variant)), parameters()
    gain = optimizer.gain()
    if "sgd" not in variant:
        assert gain is None
        return
    constant, state = {k: torch.ones_like(x) for k, x in w.items()}, optimizer.init(w)
    for t in range(1, 400):
        u, state = optimizer.direction(constant, state, t, w)
    assert_same(u, {k: x * gain for k, x in constant.items()})


@pytest.mark.parametrize("share", [0.99, 1.01])
@pytest.mark.parametrize("changes", [{}, {"nesterov": True}, {"dampening": 0.3}, {"momentum": 0.0}], ids=str)
def test_a_decay_through_momentum_swings_ever_further_from_the_limit_on(changes: dict, share: float) -> None:
    """w ← w − u with g = λw, η = 1: stable up to λ = 2 without momentum, 3.8 with μ = 0.9, 1.36 with a look-ahead."""
    optimizer = optim.build(spec("sgd") | {"momentum": 0.9} | changes)
    lam, w = share * optimizer.limit(), {"w": torch.ones(1, dtype=torch.float64)}
    state = optimizer.init(w)
    for t in range(1, 3001):
        u, state = optimizer.direction({"w": lam * w["w"]}, state, t, w)
        w = {"w": w["w"] - u["w"]}
    assert (w["w"].abs().item() < 1) == (share < 1)


def test_centered_rmsprop_survives_a_settled_gradient() -> None:
    """Means that fell onto a constant stop a few ulps above it: v − m² rounds below 0, its root must not be nan."""
    optimizer = optim.build(spec("rmsprop centered"))
    w = {"w": torch.zeros(1000, dtype=torch.float32)}
    g, state = {"w": torch.linspace(-3, 3, 1000, dtype=torch.float32)}, optimizer.init(w)
    for t in range(1, 3000):
        u, state = optimizer.direction({"w": g["w"] * (2 if t < 100 else 1)}, state, t, w)
    assert torch.isfinite(u["w"]).all()


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5), (1, 7), (7, 1)])
def test_orthogonalize_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, singular, v = torch.linalg.svd(matrix, full_matrices=False)
    matrix = u @ torch.diag(torch.linspace(1, 0.05, len(singular))) @ v  # all above 1 % of the norm
    values = torch.linalg.svdvals(optim.orthogonalize(matrix, 5, torch.float64))
    assert values.min().item() > 0.65
    assert values.max().item() < 1.25
    assert torch.isfinite(optim.orthogonalize(torch.zeros(shape), 5, torch.bfloat16)).all()


def test_muon_without_vectors_has_no_slot_for_them() -> None:
    optimizer, w = optim.build(spec("muon")), {"w": torch.randn(3, 4)}
    state = optimizer.init(w)
    assert list(state) == ["m"]
    assert list(optimizer.direction(w, state, 1, w)[1]) == ["m"]


@pytest.mark.parametrize("limit", [1e-3, 0.5, 1e3, 0.0])
def test_clip_norm_is_torchs(limit: float) -> None:
    g = gradient(parameters())
    leaves = [torch.nn.Parameter(torch.zeros_like(x)) for x in g.values()]
    for leaf, x in zip(leaves, g.values(), strict=True):
        leaf.grad = x.clone()
    torch.nn.utils.clip_grad_norm_(leaves, limit)
    assert_same(optim.clip(g, limit, None), dict(zip(g, [leaf.grad for leaf in leaves], strict=True)), 1e-15)


def test_clip_value_clamps_and_both_limits_hold() -> None:
    g = {k: 10 * x for k, x in gradient(parameters()).items()}
    assert_same(optim.clip(g, None, 0.1), {k: x.clamp(-0.1, 0.1) for k, x in g.items()}, 0)
    both = optim.clip(g, 0.3, 0.1)
    assert max(x.abs().max().item() for x in both.values()) <= 0.1
    assert torch.cat([x.flatten() for x in both.values()]).norm().item() == pytest.approx(0.3, rel=1e-4)
    assert optim.clip(g, None, None) is g


def test_clip_keeps_runs_apart_under_vmap() -> None:
    w = parameters(runs=(4,))
    g = torch.func.vmap(gradient)(w)
    lifted = torch.func.vmap(lambda x: optim.clip(x, 0.5, 0.2))(g)
    for r in range(4):
        assert_same({k: x[r] for k, x in lifted.items()}, optim.clip({k: x[r] for k, x in g.items()}, 0.5, 0.2))


def test_clip_lets_divergence_show() -> None:
    g = {"a": torch.tensor([math.nan, 1.0]), "b": torch.tensor(2.0)}
    assert torch.isnan(optim.clip(g, 1.0, None)["b"])
    assert torch.isnan(optim.clip(g, None, 1.0)["a"][0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rule": "adamm"},
            "optimizer.rule=adamm: must be one of sgd, adagrad, adadelta, rmsprop, adam, nadam",
        ),
        ({"rule": None}, "optimizer.rule=null: must be one of"),
        ({"beta1": 1.0}, "optimizer.beta1=1.0: must be a number in [0, 1)"),
        ({"beta2": -0.1}, "optimizer.beta2=-0.1: must be a number in [0, 1)"),
        ({"beta1": True}, "optimizer.beta1=true: must be a number"),
        ({"beta1": "abc"}, "optimizer.beta1=abc: must be a number"),
        ({"eps": math.nan}, "optimizer.eps=nan: must be a number ≥ 0"),
        ({"eps": math.inf}, "optimizer.eps=inf: must be a number ≥ 0"),
        ({"eps": None}, "optimizer.eps=null: must be a number ≥ 0"),
        ({"nesterov": 1}, "optimizer.nesterov=1: must be true or false"),
        ({"ns_steps": 0}, "optimizer.ns_steps=0: must be a whole number ≥ 1"),
        ({"ns_steps": 2.5}, "optimizer.ns_steps=2.5: must be a whole number ≥ 1"),
        ({"ns_dtype": "float16"}, "optimizer.ns_dtype=float16: must be one of bfloat16, float32, float64"),
        ({"beta3": 0.9}, "optimizer.beta3: unknown key; did you mean optimizer.beta2?"),
    ],
)
def test_a_wrong_value_is_one_sentence(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optim.build(spec("muon") | changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["adam", "adamw"])
def test_a_missing_hyperparameter_is_named(option: str) -> None:
    with pytest.raises(ConfigError, match=rf"^optimizer\.eps: missing; {option} takes beta1, beta2, eps, amsgrad$"):
        optim.build({k: v for k, v in spec(option).items() if k != "eps"})
