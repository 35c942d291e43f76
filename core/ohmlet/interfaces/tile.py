"""Tiles: a crossbar with its periphery, as the module that computes its products."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from attrs import evolve, frozen

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Errors", "Pending", "ProgrammableTile", "Site", "Tile"]


@frozen(kw_only=True)
class Site:
    """Where a crossbar is built: its size, and the kernels of the config's engine."""

    out_features: int
    in_features: int
    kernel: Any
    """`kernel(operation, device_type)` returns the engine's function for an operation on a torch device type."""
    keys: Any = None
    """int64 [groups]: of the noise of each parallel crossbar; what tiles need whose cells differ from the day they are made."""
    cells: Any = None
    """`cells(unit_cell, site)` returns the array of a unit cell (`ohmlet.cells`), for tiles that learn in memory."""


class Errors(NamedTuple):
    """What a backward pass leaves with a crossbar that learns in memory."""

    order: int
    """Number of the forward call: updates are made in the order of calls."""
    x: Tensor
    """Inputs [..., S, R, in] in model units; or [S, in], of one position."""
    d: Tensor
    """Gradient [..., S, R, out] with respect to w x; or [S, out]."""


class Pending(list[Errors]):
    """What a crossbar that learns has been left with since the last step, and an `anchor`, which a layer replaces by a parameter.

    An input of each training forward, the anchor lets the backward pass happen where no other input needs a gradient.
    """

    UNIT: ClassVar[float] = 1e-20
    """Gradient that each backward pass leaves at the anchor: too small to count in a norm, exact enough to show what scaled it since."""

    def __init__(self) -> None:
        super().__init__()
        import torch

        self.anchor = torch.zeros(1, requires_grad=True)

    def mark(self, d: Tensor) -> Tensor:
        """Return the anchor's gradient of a backward pass with errors d: `UNIT`, or NaN for errors that are not finite."""
        import torch

        # Where the sum of numbers is finite, so are they, which is the quicker to see.
        if type(d) is torch.Tensor and d.is_cpu and math.isfinite(d.sum()):
            return self.anchor.new_full((1,), self.UNIT)
        return torch.where(torch.isfinite(d).all(), self.UNIT, math.nan).to(self.anchor.dtype).reshape(1)


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
    `noise.shared()`, which all samples of an optimizer step see alike, or for each sample from `noise.each().shared()`. A module whose
    full scale is a number of its own says so by `adjustable = True` and sets it in `set_full_scale(number)`: `ohmlet.calibrate` does.

    A module with `mapped_mvm(x, weight, divisor, noise) -> y` gets its weights in model units and does what `mvm` does for w = weight /
    divisor [..., out or 1, 1], so that scaling and weight noise can be one operation. Beside it, `mapped_affine()` may return a function,
    or None where there is none for the settings: for vectors in training f(x, weight, divisor, largest, bias, (key, first, step, path)) is
    bias + divisor (w x), [S, out] of x [S, in], with the numbers of `mapped_mvm`, where `largest` [out, 1] is max_j |weight_ij|, `first`
    the ordinal of the first sample and `step` that of the optimizer. A module with `conductance_mvm(x, g, noise) -> y`
    gets from a chip the conductances g [devices, ..., out, in] in uS instead of the weights that they amount to. A module that is driven
    at its outputs otherwise than an array of w^T would be at its inputs has `transposed_mvm(x, w, noise)`, w^T x [..., S, R, in] of inputs
    [..., S, R, out], and beside `conductance_mvm` also `transposed_conductance_mvm(x, g, noise)`: `ohmlet.array` reads x @ A with them.
    Devices that can be pulsed from the lines that they lie on have the methods of `ohmlet.circuit.OnLines`.

    A tile that learns in memory owns its weights. Its module has four things more: `weights() -> w [groups?, out, in]`, normalised;
    `set_weights(w, noise)`; `pending`, a `Pending` to which each backward pass of a training forward adds an `Errors`; and
    `update(x, d, lr, noise)` with x [groups?, V, in] and d [groups?, V, out], vectors in order, numbered by `noise.ordinals`.
    Where its attribute `composed` is true, its own weights are several arrays, which `composed_mvm(x, noise)` reads one by one; `mvm`
    then serves weights that are handed over, such as a chip's. Where `affine(scale, bias)` is defined too and does not return None, it
    returns what computes bias + scale (w x) in one step of autograd, with the numbers of `mvm`: f(x, (key, first, path)) is [S, out] of x
    [S, in] in training, `first` the ordinal of the first sample, and `f.stands(inputs, scale, bias)` tells whether it still is what was
    asked for. For training steps of whole networks f has the engine's passes forwards and backwards and w, `f.link()`, the last as `f.w`
    too, counts calls, `f.begin()`, and leaves errors, `f.leave(call, x, d)`; `network` is then what the engine makes of such links.
    Where `plan(samples, lr)` is defined and does not return None, it is
    what the engine makes of `update` for so many vectors, and `learning(plan, square, key, vectors, shown)` what it makes of a whole step:
    called with the addresses of x [S, in] and d [S, out] and a factor, it updates with errors factor d / square [1, out or 1], advances
    `vectors` and, if `shown` is the weights, the parameter that shows them and the scale between both, writes that. It returns False,
    with nothing changed, for errors that are not finite.
    """

    kind: ClassVar[str] = "tile"
    engine: ClassVar[str | None] = None
    """The engine that this tile pins, if it pins one."""
    scales: ClassVar[str] = "columnwise"
    """What `mapping.scales` is unless a config states it."""

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

    def with_noise_model(self, noise_model: NoiseModel) -> Self:
        """Return this tile with another noise model; a tile whose devices are a part's overrides it."""
        return evolve(self, noise_model=noise_model)  # type: ignore[call-arg]
