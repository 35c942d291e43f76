"""The module of tile `bit_sliced`: a crossbar for each slice, its converters, and the digital sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Site
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.adc_readout import Readout
from ohmlet_tiles.analog_pass import AnalogPass
from ohmlet_tiles.bit_sliced_converter import held, lowest_weight
from ohmlet_tiles.pass_module import PassModule
from ohmlet_tiles.slices_inputs import Digit
from ohmlet_tiles.slices_weights import UNIPOLAR

if TYPE_CHECKING:
    from ohmlet_tiles.bit_sliced import BitSliced

__all__ = ["BitSlicedCrossbar"]


def own_key(key: Tensor, index: int) -> Tensor:
    """Return keys [*L] of one of several crossbars that share the keys [*L] of a layer's."""
    own: Tensor = Stream(key, torch.tensor([index], device=key.device)).each().key[..., 0]
    return own


class BitSlicedCrossbar(nn.Module):
    """One crossbar of a layer on tile `bit_sliced`: a crossbar of the inner tile for each slice, and the state of the input's scale."""

    def __init__(self, tile: BitSliced, site: Site) -> None:
        super().__init__()
        self.tile, self.slices = tile, tile.slices
        self.factors = self.slices.factors()
        keys = range(len(self.factors))
        self.crossbars = nn.ModuleList(
            tile.crossbar.build(
                Site(
                    out_features=site.out_features + self.slices.unit_rows,
                    in_features=site.in_features,
                    kernel=site.kernel,
                    keys=None if site.keys is None else own_key(site.keys, index),
                    cells=site.cells,
                )
            )
            for index in keys
        )
        converter = tile.cell_converter
        self.lowest = 0.0 if converter is None else lowest_weight(converter, tile.signs)
        inputs = tile.inputs
        # Two's complement counts the sign's digit negatively, which shows before the ADC only where slices are added there.
        negative_inputs = inputs.sign == "magnitude" or (inputs.sign == "twos_complement" and inputs.accumulation == "analog")
        signed = tile.signs not in UNIPOLAR or negative_inputs
        units = [None if each is None or inputs.unit is None else each * inputs.unit for each in self.slices.units()]
        self.readouts = nn.ModuleList(
            []
            if tile.adc is None
            else [Readout(tile.adc, f"slice {index}", site.in_features, unit, signed) for index, unit in enumerate(units)]
        )
        self.scaling = PassModule(AnalogPass(input_range=tile.input_range), site, "forward")

    def constrain(self, weight: Tensor) -> Tensor:
        """Return the layer's weights [..., out, in] as the inner tile constrains them."""
        constrain = getattr(self.crossbars[0], "constrain", None)
        return weight if constrain is None else constrain(weight)

    def full_scale(self) -> Tensor | float:
        """Return the input that is full scale."""
        return self.scaling.full_scale()

    @property
    def adjustable(self) -> bool:
        """Whether the full scale is a number of this crossbar, which `set_full_scale` can set."""
        return self.scaling.range is not None or self.scaling.calibrated is not None

    def set_full_scale(self, r: float) -> None:
        """Set the range of the inputs; a learned one is learned from there."""
        (self.scaling.range or self.scaling.calibrated).set(r)  # type: ignore[union-attr]

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        """Return w x [..., S, R, out] for inputs [..., S, R, in] and normalised weights [..., out, in]."""
        return self._product(x, [(held(plane, self.lowest), None) for plane in self.slices(w)], noise)

    def conductance_mvm(self, x: Tensor, g: Tensor, noise: Stream) -> Tensor:
        """Return the product for the conductances [slices devices, ..., out + unit_rows, in] (uS) that a chip holds."""
        if g.shape[-1] != x.shape[-1]:
            raise ConfigError("signs unit_column: the unit column is no output, so its crossbars cannot be driven at their outputs")
        converter: Any = self.tile.conductance_converter
        return self._product(x, [(converter.cell.to_weights(each), each) for each in converter.of_slices(g)], noise)

    def _product(self, x: Tensor, planes: list[tuple[Tensor, Tensor | None]], noise: Stream) -> Tensor:
        """Return the sum over the slices, each given by its cells' weights and, on a chip, its conductances."""
        x, scale = self.scaling.scaled(x)
        unit = None if scale is None else torch.where(scale > 0, scale, 1.0)
        digits = self.tile.inputs.digits(x if unit is None else x / unit)
        total: Any = 0.0
        for index, (plane, factor) in enumerate(zip(planes, self.factors, strict=True)):
            own = noise._replace(key=own_key(noise.key, index)).child(f"slice {index}")
            total = total + factor * self._read(index, digits, *plane, own)
        if self.tile.signs == "offset":
            total = total - self.slices.levels * sum(digit.factor * digit.drive.sum(-1, keepdim=True) for digit in digits)
        y: Tensor = total / self.slices.levels
        if unit is None or scale is None:
            return y
        return (y * unit).masked_fill(scale <= 0, 0.0)

    def _read(self, index: int, digits: list[Digit], w: Tensor, g: Tensor | None, noise: Stream) -> Tensor:
        """Return one crossbar's product with all digits of the inputs, as it is read and without the unit column."""
        analog, crossbar = self.tile.inputs.accumulation == "analog", self.crossbars[index]
        solved = getattr(crossbar, "conductance_mvm", None) if g is not None else None
        made = self.readouts[index].fabricated(w.shape[-2], digits[0].drive, noise) if self.readouts else None  # type: ignore[operator]
        sums: Any = 0.0
        for number, (drive, factor) in enumerate(digits):
            here = noise.child(f"digit {number}")
            current = crossbar.mvm(drive, w, here) if solved is None else solved(drive, g, here)  # type: ignore[operator]
            if self.lowest != 0.0:
                # Devices at g_min conduct, too: the column's whole current is what is converted.
                current = (current - self.lowest * drive.sum(-1, keepdim=True)) / (1.0 - self.lowest)
            if self.readouts and not analog:
                current = self.readouts[index](current, here, made)
            sums = sums + factor * current
        if self.readouts and analog:
            sums = self.readouts[index](sums, noise, made)
        return sums[..., :-1] - sums[..., -1:] if self.slices.unit_rows else sums  # type: ignore[no-any-return]
