"""Update algorithms: how inputs and errors become pulses on one or several arrays of devices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ohmlet.interfaces.device import Device
from ohmlet.spec import Spec

if TYPE_CHECKING:
    from torch import nn

    from ohmlet.interfaces.tile import Site

__all__ = ["UpdateAlgorithm"]


class UpdateAlgorithm(Spec):
    """A rule of in-memory training: which arrays it needs, how an update pulses them, when it transfers between them.

    Subclass it as a frozen attrs class. `build` returns an `nn.Module` whose buffers are the digital state (accumulators, choppers,
    counters, schedules), so that a checkpoint holds them, with

        update(x, d, lr, noise)    x [S, in] inputs, d [S, out] errors of the samples of one mini-batch, in order; lr learning rate
        weights() -> w             [out, in] the normalised weights that the forward pass reads

    The arrays are handed in built and fabricated, one per name that `arrays` declares; pulses go through their own `update`.
    """

    kind: ClassVar[str] = "update_algorithm"

    @abstractmethod
    def arrays(self) -> Mapping[str, Device]:
        """Return the device of each array that the rule keeps, such as {"fast": ..., "slow": ...}."""

    @abstractmethod
    def build(self, site: Site, arrays: Mapping[str, nn.Module]) -> nn.Module:
        """Return the module that holds the rule's digital state and applies its updates to the arrays."""
