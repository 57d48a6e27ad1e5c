"""What a loaded data set is: tables held once, and splits that are rows of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Split:
    """The rows of one split; `inputs` and `targets` are whole tables that several splits share."""

    inputs: Tensor  # uint8 (N, H, W, C) images, or float (N, F) features
    targets: Tensor  # int64 (N,) class labels, or float (N, 1) of a regression
    rows: Tensor  # int64 (n,), rising

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Dataset:
    """Splits "train", "val", "test" of one data set and what the model must know of it."""

    name: str
    splits: Mapping[str, Split]
    classes: int  # 1 for a regression
    mean: tuple[float, ...]  # per channel, of inputs / 255
    std: tuple[float, ...]  # per channel, of inputs / 255
    digest: str  # SHA-256 (hex) of the bytes that were loaded, before splitting, and of label noise put in since
    input_shape: tuple[int, ...]  # (C, H, W), or (F,), as the model sees it
    names: tuple[str, ...] = ()  # of the classes by label, where the source has some


@dataclass(frozen=True, eq=False)
class Pool:
    """A data set before splitting: train-and-validation examples, and test examples."""

    train_images: Tensor  # uint8 (N, H, W, C), or float (N, F) features
    train_labels: Tensor  # int64 (N,), or float (N, 1) of a regression
    test_images: Tensor
    test_labels: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str
    names: tuple[str, ...] = ()  # of the classes by label, where the source has some
    own_val: int = 0  # how many of the train examples, the last ones, the source has as its own validation part
