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

    Subclass it as a frozen attrs class with pure methods. `recover(to_conductances(w), w)` equals w for every |w| <= 1, and
    `to_weights` is defined for any conductances, since programmed and drifted ones leave the window.
    """

    kind: ClassVar[str] = "conductance_converter"

    @property
    def devices(self) -> int:
        """Devices per weight; write `devices = 1` in the class, or override the property, for another number than two."""
        return 2

    def __attrs_post_init__(self) -> None:
        # An empty window is refused where the config is read.
        self.window  # noqa: B018

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

    def recover(self, g: Tensor, w: Tensor) -> Tensor:
        """Return weights that conductances amount to, beside what is kept digitally of the weights w [..., out, in] asked for.

        The default keeps nothing: it is `to_weights(g)`. A converter that stores signs digitally overrides it.
        """
        return self.to_weights(g)
