"""Device `reference_pair`: a device that is trained, read against one that is not."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.interfaces.device import ArraySite, CompositeCell, UnitCell
from ohmlet.spec import one_of
from ohmlet_devices.joined import JoinedArray, mean_granularity
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import Trains

__all__ = ["ReferencePair", "ReferencePairArray"]


@frozen(kw_only=True)
class ReferencePair(CompositeCell):
    """A device and its reference at each crosspoint: w = w_device - w_reference; pulses reach the device only.

    The reference starts fresh, as set to zero; `array.set_reference` programs it, to the device's symmetry point for instance. Pulse
    probabilities are worked out with the mean step of the two, or with that of the device (`granularity_form`).
    Source: Kim et al., arXiv:1907.10228 (2019); Gokmen and Haensch, Front. Neurosci. 14, 103 (2020), doi:10.3389/fnins.2020.00103.
    """

    device: UnitCell = part(UnitCell, "the device that is pulsed", "soft_bounds")
    reference: UnitCell | None = part(UnitCell | None, "the device that it is read against; as `device` unless given", None)
    granularity_form: str = one_of("device", ("device", "mean"), "whose step pulse probabilities are worked out with")
    set_form: str = one_of(
        "difference", ("difference", "same"), "weights that are set: difference: so that w comes out; same: the device is set to w"
    )

    @property
    def granularity(self) -> float:
        """The step of the device, or the mean of the two."""
        return self.device.granularity if self.granularity_form == "device" else mean_granularity(list(self.parts().values()))

    def parts(self) -> Mapping[str, UnitCell]:
        """Return the two."""
        return {"device": self.device, "reference": self.device if self.reference is None else self.reference}

    def compose(self, site: ArraySite, arrays: Mapping[str, nn.Module]) -> nn.Module:
        """Return the array that joins them."""
        return ReferencePairArray(self, site, arrays)

    def equations(self) -> tuple[str, ...]:
        """Return the difference."""
        return ("w = w_device - w_reference",)


class ReferencePairArray(JoinedArray):
    """The two devices of a `reference_pair`."""

    def __init__(self, cell: ReferencePair, site: ArraySite, arrays: Mapping[str, nn.Module]) -> None:
        super().__init__(cell.granularity, site, arrays)
        self.cell = cell

    def weights(self) -> Tensor:
        """Return the difference [out, in]."""
        return self.part("device").weights() - self.part("reference").weights()

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Set the device."""
        shift = self.part("reference").weights() if self.cell.set_form == "difference" else 0.0
        self.part("device").set_weights(w + shift, noise.child("device"))

    def set_reference(self, w: Tensor, noise: Stream) -> None:
        """Set the reference to w [out, in], as far as its bounds allow; the device stays."""
        self.part("reference").set_weights(w, noise.child("reference"))

    def pulse_trains(self, made: Trains, noise: Stream) -> None:
        """Apply pulse trains to the device."""
        self.part("device").pulse_trains(made, noise.child("device"))

    def add(self, x: Tensor, d: Tensor, lr: float, *, bounded: bool, noise: Stream) -> None:
        """Subtract lr d x^T from the device."""
        self.part("device").add(x, d, lr, bounded=bounded, noise=noise.child("device"))
