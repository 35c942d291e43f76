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
    """Training and test samples: inputs float [n, ...], labels int64 [n] from 0 to classes - 1."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(max(self.train_y.max(), self.test_y.max())) + 1


@frozen(kw_only=True)
class Digits:
    """Handwritten digits: 1797 real images of 8x8 pixels in [0, 1] that ship with scikit-learn.

    References: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI (1998), doi:10.24432/C50P49.
    """

    type_name: ClassVar[str] = "digits"
    test_fraction: float = number(0.2, "part of the images kept for testing", gt=0.0, lt=1.0)
    split_seed: int = integer(0, "of the split into training and test images", ge=0)

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
        test = round(len(x) * self.test_fraction)
        return Split(x[order[test:]], y[order[test:]], x[order[:test]], y[order[:test]])


@frozen(kw_only=True)
class ImportedData:
    """Data from a function of your own, `package.module:function`, which returns (train_x, train_y, test_x, test_y) as tensors."""

    type_name: ClassVar[str] = "import"
    function: str = field(metadata={"doc": "package.module:function"})
    arguments: dict[str, Any] = field(factory=dict, metadata={"doc": "passed to the function by name"}, hash=False)

    def load(self, imports: Imports) -> Split:
        """Return what the function gives; raises ConfigError unless imports are allowed and it gives four tensors of matching sizes."""
        import torch

        found = imported(self.function, imports)(**self.arguments)
        if not (isinstance(found, tuple | list) and len(found) == 4 and all(isinstance(each, torch.Tensor) for each in found)):
            raise ConfigError(f"{self.function} must return the tensors (train_x, train_y, test_x, test_y), got {type(found).__name__}")
        split = Split(*found)
        for x, y, words in ((split.train_x, split.train_y, "train"), (split.test_x, split.test_y, "test")):
            if len(x) != len(y) or not len(x) or y.ndim != 1 or y.dtype != torch.int64:
                raise ConfigError(
                    f"{self.function}: {words}_x {tuple(x.shape)} needs as many labels, int64 [n], got {y.dtype} {tuple(y.shape)}"
                )
        return split


DataSet = Digits | ImportedData
