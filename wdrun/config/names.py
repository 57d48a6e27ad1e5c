"""The names that other tools have for our keys and options, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence

from wdrun.config.axes import is_axis, key_of, override
from wdrun.config.commands import COMMANDS
from wdrun.config.keys import KEYS, spelled
from wdrun.config.options import GROUPS, option_names
from wdrun.errors import ConfigError
from wdrun.wording import listed, nearest

# What to write, {} being the value that was typed -> the names it is brought by; hyphens and letter case do not count.
_KEYS = {
    "lambda={} (with decay=l2)": "weight_decay wd l2_reg l2_lambda l2_regularization l2_penalty"
    " optimizer.weight_decay optimizer.wd decay.weight_decay",
    "lambda={} (with decay=l1)": "l1_reg l1_lambda l1_regularization l1_penalty",
    "lambda={}": "lam reg_lambda reg_strength decay_rate decay_strength strength alpha",
    "lr={}": "learning_rate learningrate optimizer.learning_rate eta base_lr init_lr initial_lr max_lr lr0 step_size",
    "batch_size={}": "bs batch batchsize mini_batch minibatch mini_batch_size train_batch_size",
    "epochs={}": "num_epochs n_epochs nepochs nb_epoch nb_epochs max_epochs num_train_epochs",
    "seed={}": "random_seed manual_seed random_state rng rng_seed",
    "'seed=range(0,{})' after -m": "seeds n_seeds num_seeds trials repeats",
    "optimizer={}": "opt optim optimiser",
    "model={}": "arch architecture net network backbone",
    "data={}": "dataset data_set ds",
    "decay={}": "reg regularizer regularisation regularization regulariser penalty",
    "schedule={}": "scheduler sched lr_scheduler lr_schedule",
    "augment={}": "aug augmentation augmentations data_augmentation transform transforms",
    "augment=mixup augment.alpha={}": "mixup mixup_alpha",
    "augment=cutmix augment.alpha={}": "cutmix cutmix_alpha",
    "label_smoothing={}": "smoothing label_smooth labels_smoothing",
    "optimizer.momentum={}": "momentum mom",
    "optimizer.nesterov={}": "nesterov",
    "optimizer.dampening={}": "dampening",
    "optimizer.amsgrad={}": "amsgrad ams_bound",
    "optimizer.lr_scales={}": "lr_scales lr_mult lr_multipliers param_groups",
    "ema={}": "ema_decay model_ema model_ema_decay",
    "optimizer.beta1={}": "beta1 b1 adam_beta1",
    "optimizer.beta2={}": "beta2 b2 adam_beta2",
    "optimizer.beta1=… optimizer.beta2=…": "betas adam_betas optimizer.betas",
    "optimizer.eps={}": "eps epsilon adam_epsilon",
    "optimizer.clip_norm={}": "clip clip_norm clip_grad grad_clip max_grad_norm clip_grad_norm gradient_clip_val",
    "schedule.warmup={}": "warmup warmup_epochs",
    "early_stopping.patience={}": "patience early_stopping_patience",
    "model.hidden=[{}]": "hidden hidden_dim hidden_size hidden_sizes hidden_units",
    "model.dropout={}": "dropout dropout_rate drop_rate",
    "precision={}": "amp dtype fp16",
    "device={}": "gpu gpus accelerator",
    "parallel={}": "workers num_workers n_jobs jobs nproc",
    "folds={} after -m": "k_folds kfold kfolds n_folds num_folds nfolds n_splits cv",
    "data.test_size={}": "test_size test_split test_fraction",
    "data.val_size={}": "val_size val_split validation_split val_fraction",
    "data.train_size={}": "train_size subset",
    "data.label_noise={}": "label_noise",
    "data.root={}": "root data_dir data_path data_root datadir dataset_dir dataset_path",
    "name={}": "exp exp_name experiment_name run_name",
    "output_dir={}": "out out_dir output outdir output_path save_dir log_dir logdir results_dir",
}
GONE = {"halving": "wdrun tune decay=l2, which searches λ and lr"}  # keys of former versions
_OPTIONS = {
    "decay=l2": "weight_decay wd ridge tikhonov l2_reg",
    "decay=l1": "lasso l1_reg",
    "decay=elastic_net": "elastic l1_l2 l1l2",
    "decay=decoupled": "adamw sgdw decoupled_weight_decay",
    "decay=none": "no off false zero",
    "decay=lp": "bridge lq",
    "decay=pwd": "padam p_norm",
    "decay=dwf": "deep_weight_factorization",
    "decay=nuclear": "schatten trace_norm",
    "decay=spd": "selective_projection adamspd",
    "optimizer=sgd": "momentum sgdm sgd_momentum nesterov gd",
    "optimizer=adamw": "adam_w",
    "schedule=cosine": "cos cosine_annealing cosineannealinglr",
    "schedule=constant": "none no off const fixed flat",
    "schedule=step": "steplr multistep multisteplr piecewise",
    "schedule=linear": "linearlr",
    "schedule=one_cycle": "onecyclelr 1cycle",
    "schedule=warm_restarts": "sgdr cosine_restarts cosineannealingwarmrestarts",
    "model=linear": "logistic logistic_regression softmax",
    "model=mlp": "fc dense fully_connected",
    "model=cnn": "conv convnet lenet",
    "data=cifar10": "cifar cifar_10",
    "data=cifar100": "cifar_100",
    "data=arrays": "npz npy numpy array tensors parquet mat",
    "data=folder": "image_folder imagefolder images directory dir folders",
    "data=torchvision": "tv custom",
    "data=torchvision data._target_=torchvision.datasets.SVHN": "svhn",
    "data=torchvision data._target_=torchvision.datasets.MNIST": "mnist",
    "data=torchvision data._target_=torchvision.datasets.FashionMNIST": "fashion_mnist fashionmnist",
    "data=torchvision data._target_=torchvision.datasets.STL10": "stl10 stl_10",
    "data=synthetic": "fake toy random",
    "augment=none": "no off false",
    "augment=mixup": "mix mix_up",
    "augment=cutmix": "cut_mix",
}


def _by_name(table: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for written, names in table.items():
        for name in names.split():
            found.setdefault(name, []).append(written)
    return found


KEY_NAMES = {name: written[0] for name, written in _by_name(_KEYS).items()}
OPTION_NAMES = _by_name(_OPTIONS)
# The settings of each command that takes a run's words too.
SETTINGS = {name: command.defaults for name, command in COMMANDS.items() if command.takes_knobs}


def key_advice(key: str, value: str = "", config_dir: str | None = None) -> str | None:
    """What to write for a key that another tool or a former version has, lambda=0.1 for weight_decay=0.1; else None."""
    name = key.casefold().replace("-", "_")
    if name in GONE:
        return GONE[name]
    if key in KEYS or key in GROUPS or name not in KEY_NAMES:
        return None
    written = KEY_NAMES[name]
    group = written.removesuffix("={}")
    if group in GROUPS:
        options = option_names(group, config_dir)
        if right := next((o for o in options if o.casefold() == value.casefold()), None) or option_advice(group, value):
            return f"{group}={right}"
        return f"{group}=… with one of {', '.join(options)}"
    if (ours := written.removesuffix("={}")) in KEYS:
        return _word(ours, value)
    return written.replace("[{}]", value if value[:1] == "[" else f"[{value}]").replace("{}", value or "…")


def _word(key: str, value: str) -> str:
    """The word that gives one of our keys this value, what the key accepts instead where it does not accept that."""
    word, accepts = f"{key}={value or '…'}", KEYS[key]
    try:
        fits = not value or is_axis(word) or accepts.fits(spelled(key, override(word).value()))
    except ConfigError:
        fits = False
    return word if fits else f"{key}=…, which must be {accepts.words}"


def option_advice(group: str, option: str) -> str | None:
    """Our name of an option that is known by another, such as l2 for decay=ridge; None where there is none."""
    name = option.casefold().replace("-", "_")
    found = (written.partition("=") for written in OPTION_NAMES.get(name, ()))
    return next((right for of, _, right in found if of == group), None)


def flag_advice(flag: str, value: str = "") -> str | None:
    """What to write for a setting that is typed as a flag, as lr=0.1 for `--lr 0.1`; None where it is no setting."""
    key = flag.lstrip("-").replace("-", "_")
    value = "" if value.startswith("-") or "=" in value else value
    if key in KEYS:
        return _word(key, value)
    return f"{key}={value or '…'}" if key in (*GROUPS, "experiment") else key_advice(key, value)


def check(words: Sequence[str], config_dir: str | None = None) -> None:
    """ConfigError for the first word with a key of another tool's, with the line to type."""
    for word in words:
        key, _, value = word.partition("=")
        for part in key_of(key).split("+"):
            refuse(part, value if "+" not in key.lstrip("+") else "", config_dir)


def refuse(key: str, value: str = "", config_dir: str | None = None) -> None:
    """ConfigError with what to write where the key is another tool's."""
    if advice := key_advice(key, value, config_dir):
        raise ConfigError(f"{key}: unknown key; write {advice}")
    if key not in KEYS and (takers := [name for name, takes in SETTINGS.items() if key in takes]):
        raise ConfigError(f"{key}: unknown key; it is a setting of {listed([f'wdrun {name}' for name in takers])}")


def check_settings(words: Sequence[str], command: str) -> None:
    """ConfigError for the first word whose key is none of a run's, and most like a setting of the command."""
    settings = COMMANDS[command].defaults
    for word in words:
        key = key_of(word)
        if key not in (known := {*KEYS, *GROUPS, "experiment", *settings, *KEY_NAMES}):
            near = nearest(key, known)
            if any(near == nearest(setting, [setting]) for setting in settings):
                raise ConfigError(f"{key}: unknown key{near}")
