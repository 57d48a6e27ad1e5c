"""wdrun's words beside the class and keys of another package that must end at the same weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SHAPES = {"conv.weight": (4, 2, 2, 2), "fc.weight": (8, 4), "fc.bias": (8,), "norm.weight": (4,)}
EVERY, MATRICES = tuple(SHAPES), ("conv.weight", "fc.weight")
LAM = 0.125  # a power of two, which CPR's float32 holds
RISES_AND_FALLS, STEADY = "schedule=cosine schedule.warmup=2 schedule.final=0.1", "schedule=constant"


@dataclass(frozen=True)
class Row:
    """One comparison: the words of wdrun, and the import path and keys of what must end at the same weights."""

    optimizer: str
    decay: str
    peer: str
    keys: dict[str, Any]
    wrong: str  # another decay, with which the weights end elsewhere
    group: dict[str, Any] = field(default_factory=dict)  # what the peer wants in its parameter group
    tensors: tuple[str, ...] = EVERY
    schedule: str = RISES_AND_FALLS
    steps: int = 40
    note: str = ""

    @property
    def package(self) -> str:
        """What must be installed."""
        return self.peer.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.peer} {self.optimizer} {self.decay}".replace(" ", ",")


WD = {"weight_decay": LAM}
BETAS = {"betas": (0.9, 0.999)}
MOMENTUM = {"momentum": 0.9}
OWN_MUON = {"nesterov": True, "ns_coefficients": "original"}
HEAVY = {"storage_dtype": "float64"}

SGD, ADAM, ADAMW, LION, NADAM = (f"optimizer={name}" for name in ("sgd", "adam", "adamw", "lion", "nadam"))
ADAGRAD, ADADELTA, RMSPROP, MUON = (f"optimizer={name}" for name in ("adagrad", "adadelta", "rmsprop", "muon"))
NESTEROV = f"{SGD} optimizer.nesterov=true"
CENTERED = f"{RMSPROP} optimizer.centered=true optimizer.momentum=0.9"
NO_EPS = f"{ADAMW} optimizer.eps=0"
AMSGRAD, DAMPED = "optimizer.amsgrad=true", f"{SGD} optimizer.dampening=0.5"
EXACT_MUON = f"{MUON} optimizer.ns_dtype=float64"

L2, DECOUPLED, INDEPENDENT, ADAMC = (f"decay={name}" for name in ("l2", "decoupled", "independent", "adamc"))
CAUTIOUS, SWD = "decay=cautious", "decay=swd"
COUPLED = f"{L2} decay.coupling=coupled"

BFLOAT16 = "one matrix; both orthogonalise it in bfloat16"
FLOAT64 = "matrices alone; its orthogonalisation, which takes a dtype, in float64"
EPS = "ε = 0: it adds its own in another place"
CONSTANT = "constant lr: its decay does not follow the schedule"
WIDENED = "its memory is float32, in which the first step is exact; widened after that"

TORCH = [
    Row(SGD, L2, "torch.optim.SGD", {**MOMENTUM, **WD}, DECOUPLED),
    Row(NESTEROV, L2, "torch.optim.SGD", {**MOMENTUM, "nesterov": True, **WD}, DECOUPLED),
    Row(ADAM, L2, "torch.optim.Adam", WD, DECOUPLED),
    Row(ADAMW, L2, "torch.optim.AdamW", WD, COUPLED),
    Row(NADAM, L2, "torch.optim.NAdam", {**BETAS, **WD}, DECOUPLED),
    Row(NADAM, DECOUPLED, "torch.optim.NAdam", {**BETAS, "decoupled_weight_decay": True, **WD}, COUPLED),
    Row(ADAGRAD, L2, "torch.optim.Adagrad", WD, DECOUPLED),
    Row(f"{ADADELTA} optimizer.lr=10", L2, "torch.optim.Adadelta", WD, DECOUPLED),
    Row(RMSPROP, L2, "torch.optim.RMSprop", WD, DECOUPLED),
    Row(CENTERED, L2, "torch.optim.RMSprop", {"centered": True, **MOMENTUM, **WD}, DECOUPLED),
    Row(
        MUON, L2, "torch.optim.Muon", {"adjust_lr_fn": "match_rms_adamw", **WD}, COUPLED,
        tensors=("fc.weight",), note=BFLOAT16,
    ),
    Row(f"{ADAM} {AMSGRAD}", L2, "torch.optim.Adam", {"amsgrad": True, **WD}, DECOUPLED),
    Row(f"{ADAMW} {AMSGRAD}", L2, "torch.optim.AdamW", {"amsgrad": True, **WD}, COUPLED),
    Row(DAMPED, L2, "torch.optim.SGD", {**MOMENTUM, "dampening": 0.5, **WD}, DECOUPLED),
]  # fmt: skip

TIMM = [
    Row(SGD, DECOUPLED, "timm.optim.SGDW", {**MOMENTUM, **WD}, COUPLED),
    Row(NESTEROV, DECOUPLED, "timm.optim.SGDW", {**MOMENTUM, "nesterov": True, **WD}, COUPLED),
    Row(ADAMW, L2, "timm.optim.AdamWLegacy", WD, COUPLED),
    Row(LION, L2, "timm.optim.Lion", WD, COUPLED),
    Row(EXACT_MUON, L2, "timm.optim.Muon", {**OWN_MUON, **WD}, COUPLED, tensors=MATRICES, note=FLOAT64),
    Row(NESTEROV, ADAMC, "timm.optim.create_optimizer_v2", {"opt": "sgdc", **WD}, DECOUPLED),
    Row(ADAMW, ADAMC, "timm.optim.create_optimizer_v2", {"opt": "adamc", **WD}, DECOUPLED),
    Row(LION, ADAMC, "timm.optim.create_optimizer_v2", {"opt": "lionc", **WD}, DECOUPLED),
    Row(f"{ADAMW} {AMSGRAD}", L2, "timm.optim.AdamWLegacy", {"amsgrad": True, **WD}, COUPLED),
    Row(DAMPED, DECOUPLED, "timm.optim.SGDW", {**MOMENTUM, "dampening": 0.5, **WD}, COUPLED),
]

LION_PYTORCH = [
    Row(LION, L2, "lion_pytorch.Lion", WD, COUPLED),
    Row(LION, INDEPENDENT, "lion_pytorch.Lion", {"decoupled_weight_decay": True, **WD}, DECOUPLED),
]

FIXED = {"fixed_decay": True, **WD}
PYTORCH_OPTIMIZER = [
    Row(NO_EPS, ADAMC, "pytorch_optimizer.AdamC", {"eps": 0.0, **WD}, DECOUPLED, {"normalized": True}, note=EPS),
    Row(NO_EPS, SWD, "pytorch_optimizer.AdamS", {"eps": 0.0, **WD}, DECOUPLED, note=EPS),
    Row(SGD, DECOUPLED, "pytorch_optimizer.SGDW", {**MOMENTUM, **WD}, COUPLED),
    Row(
        NO_EPS, INDEPENDENT, "pytorch_optimizer.AdamC", {"eps": 0.0, **FIXED}, DECOUPLED, schedule=STEADY, note=CONSTANT
    ),
    Row(LION, INDEPENDENT, "pytorch_optimizer.Lion", FIXED, DECOUPLED, schedule=STEADY, note=CONSTANT),
]

CWD = {"cautious_weight_decay": True, **HEAVY, **WD}
HEAVYBALL = [
    Row(NO_EPS, CAUTIOUS, "heavyball.AdamW", {**BETAS, **CWD}, DECOUPLED, note=EPS),
    Row(SGD, CAUTIOUS, "heavyball.SGD", {"beta": 0.9, **CWD}, DECOUPLED),
    Row(
        f"{ADAM} optimizer.beta1=0 optimizer.eps=0", "decay=hyperball lambda=1", "heavyball.HyperBallAdamW",
        {**BETAS, **HEAVY}, "decay=rescale lambda=1", tensors=MATRICES, note=EPS,
    ),
]  # fmt: skip


def cpr(kappa: str, key: str, method: str, value: float, optimizer: str = ADAM, **changes: Any) -> Row:
    """A kind of bound of CPR beside the authors' own optimizer."""
    keys = {"kappa_init_method": method, "kappa_init_param": value, "kappa_update": LAM, "reg_ema_decay": 0.99}
    of_decay = f"decay=cpr decay.kappa={kappa} decay.{key}={value:g}"
    peer = ("pytorch_cpr.AdamCPR", {**keys, "foreach": True})
    return Row(optimizer, of_decay, *peer, L2, {"regularize": True}, note=WIDENED, **changes)


CPR = [
    cpr("uniform", "kappa_value", "uniform", 0.5),
    cpr("init", "kappa_value", "dependent", 0.75),
    cpr("warm_up", "kappa_after", "warm_start", 12),
    cpr("inflection", "kappa_after", "inflection_point", 1, f"{ADAM} optimizer.lr=0.001", steps=1400, schedule=STEADY),
]

ROWS = [*TORCH, *TIMM, *LION_PYTORCH, *PYTORCH_OPTIMIZER, *HEAVYBALL, *CPR]
