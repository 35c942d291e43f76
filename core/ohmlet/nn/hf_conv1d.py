"""AnalogHFConv1D: the linear layer of Hugging Face's GPT-2, which is called Conv1D there, on crossbars."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, ClassVar

from torch import Tensor, nn

from ohmlet.nn.layer import AnalogLayer

__all__ = ["AnalogHFConv1D"]


class _Digital:
    """Finds `transformers.pytorch_utils.Conv1D` when it is asked for: Ohmlet does not depend on transformers."""

    def __get__(self, instance: Any, owner: Any) -> type[nn.Module]:
        found: type[nn.Module] = import_module("transformers.pytorch_utils").Conv1D
        return found


class AnalogHFConv1D(AnalogLayer):
    """y = x W + b with the product on crossbars; x [..., in], W [in, out], b [out], y [..., out].

    Takes the arguments of transformers.pytorch_utils.Conv1D, (outputs, inputs). Noise is drawn per sample, as in AnalogLinear.
    """

    digital: ClassVar[type[nn.Module]] = _Digital()  # type: ignore[assignment]
    settings: ClassVar[tuple[str, ...]] = ("nf", "nx")
    nf: int
    nx: int

    @staticmethod
    def stands_for(cls: type) -> bool:
        """Whether a class is Conv1D, without importing it."""
        module = sys.modules.get("transformers.pytorch_utils")
        return module is not None and cls is module.Conv1D

    def flat_weight(self) -> Tensor:
        """Return the weight as the matrix [out, in]."""
        return self.weight.T

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make the digital module."""
        return {"nf": self.nf, "nx": self.nx}

    def forward(self, x: Tensor) -> Tensor:
        """Return y [..., out] for x [..., in]."""
        if x.ndim == 0 or x.shape[-1] != self.nx:
            raise ValueError(f"expected inputs [..., {self.nx}], got {tuple(x.shape)}")
        return self.product(x)
