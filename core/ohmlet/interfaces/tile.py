"""Tiles: a crossbar with its periphery, as the module that computes its products."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.spec import Spec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ProgrammableTile", "Site", "Tile"]


@frozen(kw_only=True)
class Site:
    """Where a crossbar is built: its size, and the kernels of the config's engine."""

    out_features: int
    in_features: int
    kernel: Any
    """`kernel(operation, device_type)` returns the engine's function for an operation on a torch device type."""


class Tile(Spec):
    """Parameters of a crossbar and its periphery; builds the module that owns its state.

    Subclass it as a frozen attrs class and return from `build` an `nn.Module` with one method beside the usual ones,

        mvm(x, w, noise) -> y    x [..., S, R, in]   w [..., out, in]   y [..., S, R, out]

    S samples, R positions that share a sample (image patches, time steps), leading sizes for parallel crossbars (chip instances,
    convolution groups). x is in model units, w is normalised to the crossbar's range, y is w x with everything the hardware does to
    it, in the same units as w x. `noise` is addressed by sample: `noise.normal("output", y)`. Mapping, splitting over crossbars,
    scales, bias and counters are the layer's business. A tile that reads positive and negative inputs in two passes:

        class TwoPassCrossbar(nn.Module):
            def __init__(self, tile, site):
                super().__init__()
                self.tile, self.site = tile, site

            def mvm(self, x, w, noise):
                sigma = self.tile.out_noise
                plus = torch.matmul(x.clamp_min(0).flatten(-3, -2), w.mT).unflatten(-2, x.shape[-3:-1])
                minus = torch.matmul(x.clamp_max(0).flatten(-3, -2), w.mT).unflatten(-2, x.shape[-3:-1])
                return (plus + sigma * noise.normal("plus", plus)) + (minus + sigma * noise.normal("minus", minus))

    The module may also define `full_scale() -> number`, the input that is full scale (1 unless defined), which read-outs of known inputs
    drive; and `constrain(weight) -> weight`, applied to the layer's own weights [..., out, in] before they are
    mapped (clipping, for example); hardware-aware weight noise belongs into `mvm` when `self.training`, drawn from
    `noise.shared()`, which all samples of an optimizer step see alike.
    """

    kind: ClassVar[str] = "tile"
    engine: ClassVar[str | None] = None
    """The engine that this tile pins, if it pins one."""

    @abstractmethod
    def build(self, site: Site) -> nn.Module:
        """Return the module of one crossbar, with the method `mvm`."""


class ProgrammableTile(Tile):
    """A tile whose weights are conductances that can be programmed, drift and be read: what `ohmlet.program` asks for.

    Declare the three parts as fields: `noise_model: NoiseModel | None = part(NoiseModel | None, "...", None)`.
    """

    if TYPE_CHECKING:
        conductance_converter: ConductanceConverter
        noise_model: NoiseModel | None
        drift_compensation: DriftCompensation
