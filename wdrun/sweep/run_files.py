"""What a run's folder has beside its tables: the config, the words that were typed, the weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from wdrun.config.run import Job
from wdrun.storage import make, write_atomically, write_together
from wdrun.sweep import checkpoint
from wdrun.training.measurement import with_average
from wdrun.training.state import State, unflatten
from wdrun.wording import command_line, printable


def write_config(job: Job) -> None:
    """config.yaml: every knob as it was used; .hydra/overrides.yaml: what was typed."""
    import yaml

    directory = job.directory
    knobs = yaml.safe_dump(job.run.nested, sort_keys=False, allow_unicode=True)
    write_atomically(directory / "config.yaml", f"# {printable(command_line(job.words))}\n{knobs}".encode())
    make(directory / ".hydra")
    write_atomically(directory / ".hydra" / "overrides.yaml", yaml.safe_dump(list(job.words)).encode())


def write_weights(directory: Path, state: State) -> dict[str, str]:
    """Parameters and buffers by the model's own names: last.safetensors, best, and ema where an average is kept.

    The SHA-256 of each by name.
    """
    training, buffers = unflatten(state.tensors)
    files = {
        "last": training.params | buffers,
        "best": {k.removeprefix("best/"): w for k, w in state.tensors.items() if k.startswith("best/")},
    }
    if training.average:
        params, beside = with_average(training, buffers)
        files["ema"] = params | beside
    packed = {name: checkpoint.pack(weights) for name, weights in files.items()}
    write_together({directory / f"{name}.safetensors": content for name, content in packed.items()})
    return {name: hashlib.sha256(content).hexdigest() for name, content in packed.items()}
