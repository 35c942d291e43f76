"""The analog product with scaled and modified weights, compiled for the CPU: the weights' noise is drawn again in backward, not kept."""

from __future__ import annotations

from torch import Tensor

from ohmlet_kernels.analog_mvm.numba import analog_mvm, compiled, fits
from ohmlet_kernels.analog_mvm.reference import PLAIN
from ohmlet_kernels.analog_mvm.settings import MVM, Variation
from ohmlet_kernels.mapped_mvm.numba_layer import Layer
from ohmlet_kernels.mapped_mvm.reference import mapped_mvm as reference
from ohmlet_kernels.mapped_mvm.settings import Mapping
from ohmlet_kernels.noise import Stream

__all__ = ["mapped_mvm"]


def mapped_mvm(
    x: Tensor, weight: Tensor, mapping: Mapping, scale: Tensor | None, settings: MVM, noise: Stream, variation: Variation = PLAIN
) -> Tensor:
    """Return the product as `mapped_mvm.reference` defines it; settings without a compiled loop run on the reference itself."""
    # Inputs of several crossbars may share weights, but not what is made of them.
    if weight.shape[:-2] != noise.key.shape or not fits(x, weight, settings, noise, variation):
        return reference(x, weight, mapping, scale, settings, noise, variation, analog_mvm)
    return compiled(x, weight, scale, settings, noise, mapping.divisor, mapping.std, mapping.w_max)


# As a method of the kernel, so that tiles find it wherever this engine is the one chosen.
mapped_mvm.layer = Layer  # type: ignore[attr-defined]
