"""The analog product with scaled and modified weights for GPUs."""

from __future__ import annotations

from torch import Tensor

from ohmlet_kernels.analog_mvm.reference import PLAIN
from ohmlet_kernels.analog_mvm.settings import MVM, Variation
from ohmlet_kernels.analog_mvm.triton import analog_mvm
from ohmlet_kernels.mapped_mvm.reference import mapped_mvm as reference
from ohmlet_kernels.mapped_mvm.settings import Mapping
from ohmlet_kernels.noise import Stream

__all__ = ["mapped_mvm"]


def mapped_mvm(
    x: Tensor, weight: Tensor, mapping: Mapping, scale: Tensor | None, settings: MVM, noise: Stream, variation: Variation = PLAIN
) -> Tensor:
    """Return the product as `mapped_mvm.reference` defines it, over this engine's `analog_mvm`."""
    return reference(x, weight, mapping, scale, settings, noise, variation, analog_mvm)
