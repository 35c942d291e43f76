"""Conductance converters: how one normalised weight is held by one or several devices."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ConductanceConverter"]


class ConductanceConverter(Spec):
    """Maps weights in [-1, 1] to the conductances (uS) of `devices` devices per weight and back.

    Subclass it as a frozen attrs class with pure methods. `to_weights(to_conductances(w))` equals w for every |w| <= 1, and
    `to_weights` is defined for any conductances, since programmed and drifted ones leave the window.
    """

    kind: ClassVar[str] = "conductance_converter"
    devices: ClassVar[int] = 2

    @property
    @abstractmethod
    def window(self) -> ConductanceWindow:
        """The range [uS] of conductances that this converter asks for."""

    @abstractmethod
    def to_conductances(self, w: Tensor) -> Tensor:
        """Return target conductances [devices, ..., out, in] (uS) of weights [..., out, in] in [-1, 1]."""

    @abstractmethod
    def to_weights(self, g: Tensor) -> Tensor:
        """Return weights [..., out, in] that conductances [devices, ..., out, in] (uS) amount to."""
