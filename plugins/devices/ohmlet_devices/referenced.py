"""Devices whose weight is read against a reference conductance of each cell's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.device import CellParameter
from ohmlet.spec import boolean, number, one_of
from ohmlet_devices.pulsed import Pulsed

__all__ = ["Referenced"]


@frozen(kw_only=True)
class Referenced(Pulsed):
    """What devices with a reference share: pulses work on u = w + reference, which the bounds hold, and reads see w.

    reference = reference_mean + reference_std xi, plus the point where steps up and down are equal with `subtract_symmetry_point`
    """

    reference_mean: float = number(0.0, "mean reference")
    reference_std: float = number(0.0, "spread of the reference over devices, absolute", ge=0)
    subtract_symmetry_point: bool = boolean(False, "the reference includes each device's symmetry point, so that it lies at w = 0")
    set_bounds: str = one_of(
        "shifted",
        ("shifted", "raw"),
        "what weights are clipped to when they are set: shifted: the bounds minus the reference, which pulses reach; raw: the bounds",
    )
    reset_form: str = one_of(
        "weight",
        ("weight", "plus_symmetry_point"),
        "where a reset leads: weight: to the weight `reset` as reads see it; plus_symmetry_point: that far beyond the symmetry point",
    )

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices."""
        reference = CellParameter(mean=self.reference_mean, spread=self.reference_std, distribution="normal_absolute")
        return {**super().cells(), "reference": reference}

    @abstractmethod
    def symmetry_point(self, cell: Mapping[str, Tensor]) -> Tensor:
        """Return where steps up and down of each device are equal, before the reference is subtracted."""

    def referenced(self, cell: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the cells with their symmetry points in the reference."""
        if not self.subtract_symmetry_point:
            return cell
        point = self.symmetry_point(cell)
        made = {**cell, "reference": cell["reference"] + point}
        return {**made, "reset": cell.get("reset", 0.0) + point} if self.reset_form == "plus_symmetry_point" else made

    def placed(self, w: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the weights that cells take when `w` is to be set."""
        shift = cell["reference"] if self.set_bounds == "shifted" else 0.0
        return w.clamp(cell["w_min"] - shift, cell["w_max"] - shift)
