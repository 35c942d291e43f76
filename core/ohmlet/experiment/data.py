"""Data sets by name, or by a function of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen

from ohmlet.errors import ConfigError
from ohmlet.experiment.imports import Imports, imported
from ohmlet.spec import integer, number

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DataSet", "Digits", "ImportedData", "Split"]


@frozen
class Split:
    """Samples for training, for testing and, if wanted, for choosing settings: inputs float [n, ...], labels int64 [n] from 0 on."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    validation_x: Tensor | None = None
    validation_y: Tensor | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return max(int(y.max()) for y in (self.train_y, self.test_y, self.validation_y) if y is not None) + 1

    def evaluated(self, on: str) -> tuple[Tensor, Tensor]:
        """Return inputs and labels of the `test` or the `validation` samples; raises ConfigError when the data have none of these."""
        if on == "test":
            return self.test_x, self.test_y
        if self.validation_x is None or self.validation_y is None:
            raise ConfigError(
                "evaluation.on is 'validation', but the data keep no samples for it: set data.validation_fraction, "
                "or let your data function return validation_x and validation_y as well"
            )
        return self.validation_x, self.validation_y


@frozen(kw_only=True)
class Digits:
    """Handwritten digits: 1797 real images of 8x8 pixels in [0, 1] that ship with scikit-learn.

    References: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI (1998), doi:10.24432/C50P49.
    """

    type_name: ClassVar[str] = "digits"
    test_fraction: float = number(0.2, "part of the images kept for testing", gt=0.0, lt=1.0)
    validation_fraction: float = number(
        0.0, "part of the images kept for choosing settings, taken from the training images", ge=0.0, lt=1.0
    )
    split_seed: int = integer(0, "of the split into training, validation and test images", ge=0)

    def __attrs_post_init__(self) -> None:
        if self.test_fraction + self.validation_fraction >= 1.0:
            raise ValueError(
                f"'test_fraction' {self.test_fraction} and 'validation_fraction' {self.validation_fraction} leave nothing to train on"
            )

    def load(self, imports: Imports) -> Split:
        """Return the images [n, 1, 8, 8]; raises ConfigError when scikit-learn is not installed."""
        import torch

        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise ConfigError("data 'digits' ships with scikit-learn, which is not installed: pip install 'ohmlet[examples]'") from None
        raw = load_digits()
        x = torch.tensor(raw.images / 16.0, dtype=torch.float32)[:, None]
        y = torch.tensor(raw.target, dtype=torch.int64)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.split_seed))
        # The test images come first, so that they are the same ones whatever else is kept.
        cuts = (round(len(x) * self.test_fraction), round(len(x) * (self.test_fraction + self.validation_fraction)))
        test, validation, train = order.tensor_split(cuts)
        if not len(validation):
            return Split(x[train], y[train], x[test], y[test])
        return Split(x[train], y[train], x[test], y[test], x[validation], y[validation])


@frozen(kw_only=True)
class ImportedData:
    """Data from a function of your own, `package.module:function`.

    It returns the tensors (train_x, train_y, test_x, test_y), and validation_x and validation_y as well where there are any.
    """

    type_name: ClassVar[str] = "import"
    function: str = field(metadata={"doc": "package.module:function"})
    arguments: dict[str, Any] = field(factory=dict, metadata={"doc": "passed to the function by name"}, hash=False)

    def load(self, imports: Imports) -> Split:
        """Return what the function gives; raises ConfigError unless imports are allowed and it gives 4 or 6 tensors of matching sizes."""
        import torch

        found = imported(self.function, imports)(**self.arguments)
        if not (isinstance(found, tuple | list) and len(found) in {4, 6} and all(isinstance(each, torch.Tensor) for each in found)):
            raise ConfigError(
                f"{self.function} must return the tensors (train_x, train_y, test_x, test_y) or these and (validation_x, validation_y), "
                f"got {type(found).__name__}"
            )
        split = Split(*found)
        for x, y, words in zip(found[::2], found[1::2], ("train", "test", "validation"), strict=False):
            if len(x) != len(y) or not len(x) or y.ndim != 1 or y.dtype != torch.int64:
                raise ConfigError(
                    f"{self.function}: {words}_x {tuple(x.shape)} needs as many labels, int64 [n], got {y.dtype} {tuple(y.shape)}"
                )
        return split


DataSet = Digits | ImportedData
