"""Tile `bit_sliced`: weights and inputs as whole numbers, read digit by digit on crossbars of another tile and added digitally."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve, frozen
from torch import nn

from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.adc import ADC
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import ProgrammableTile, Site, Tile
from ohmlet.spec import integer, one_of
from ohmlet_tiles.bit_sliced_converter import SlicedConverter
from ohmlet_tiles.bit_sliced_crossbar import BitSlicedCrossbar
from ohmlet_tiles.input_range import AbsMaxSum, InputRange, Unscaled
from ohmlet_tiles.slices_inputs import InputEncoding
from ohmlet_tiles.slices_weights import SIGNS, WeightSlices, slice_widths

__all__ = ["BitSliced"]


@frozen(kw_only=True)
class BitSliced(ProgrammableTile):
    """Products of whole numbers: digits of weights on crossbars of their own, digits of inputs one after another, shifted and added.

    With the code q = round(Q w) of a weight cut into digits d_p that count f_p (`WeightSlices`) and the input v = x / r cut into digits
    u_b that count c_b (`inputs`), each crossbar p, a tile `crossbar`, computes the current of each digit of the inputs:

        I_pb = sum_j d_p,ij u_b,j          as the crossbar's devices, wires and noise have it
        y_i  = r / Q sum_p f_p sum_b c_b ADC_p(I_pb)          or sum_p f_p ADC_p(sum_b c_b I_pb), slices added before the ADC

    With ideal cells and converters fine enough y is the product of the codes exactly, for every choice of widths and signs. An output is
    signed where weights or inputs are. Every crossbar has an ADC of its own with a range of its own. Gradients are those of w and x
    through the crossbars; they pass rounding unchanged and are zero where inputs or outputs clip. A chip's devices are those of all
    slices, each programmed and drifting for itself.

    References: Shafiee et al., ISCA (2016), doi:10.1109/ISCA.2016.12; Xiao et al., IEEE Circuits Syst. Mag. 22 (2022),
    doi:10.1109/MCAS.2022.3214409.
    """

    weight_bits: int | None = integer(None, "resolution of the weights; not rounded and in one slice if left out", unit="bit", ge=2, le=16)
    slice_bits: tuple[int, ...] | None = slice_widths(
        None,
        "width of every slice, or of each, lowest first, the sign's bit not counted in balanced, balanced_digital and twos_complement; "
        "one slice if left out",
    )
    signs: str = one_of("balanced", SIGNS, "how negative weights are held")
    inputs: InputEncoding = part(InputEncoding, "how inputs drive the rows", "amplitude")
    input_range: InputRange = part(InputRange, "what a full-scale input stands for", "abs_max")
    adc: ADC | None = part(ADC | None, "converter of each crossbar's outputs, in units of one full input times one full cell", None)
    crossbar: Tile = part(Tile, "what holds and multiplies a slice", {"type": "inference", "forward": {"input_range": "none"}})

    if not TYPE_CHECKING:
        noise_model = property(lambda self: getattr(self.crossbar, "noise_model", None), doc="That of the crossbar.")
        drift_compensation = property(lambda self: self._programmable("drift_compensation"), doc="That of the crossbar.")

        @property
        def conductance_converter(self):
            """Return that of all slices; raises ConfigError for a crossbar without conductances."""
            return SlicedConverter(cell=self._programmable("conductance_converter"), slices=self.slices)

    def _programmable(self, name: str) -> Any:
        if not isinstance(self.crossbar, ProgrammableTile):
            raise ConfigError(
                f"{type(self.crossbar).__name__} holds no conductances that could be programmed: set tile.crossbar to inference"
            )
        return getattr(self.crossbar, name)

    @property
    def slices(self) -> WeightSlices:
        """How weights become digits."""
        return WeightSlices(bits=self.weight_bits, slice_bits=self.slice_bits, signs=self.signs)

    @property
    def cell_converter(self) -> ConductanceConverter | None:
        """What holds a digit, None in a crossbar without conductances."""
        return self.crossbar.conductance_converter if isinstance(self.crossbar, ProgrammableTile) else None

    def __attrs_post_init__(self) -> None:
        self.slices  # noqa: B018 - refuses widths that do not add up
        crossbar: Any = self.crossbar
        if isinstance(crossbar, BitSliced) or hasattr(crossbar, "update_algorithm"):
            raise ConfigError(
                f"crossbar must hold weights that it is given, such as inference, circuit or ideal, not {type(crossbar).__name__}"
            )
        if crossbar.engine is not None:
            raise ConfigError(f"crossbar {type(crossbar).__name__} pins an engine: name its plain form, and the engine beside the tile")
        if isinstance(self.input_range, AbsMaxSum):
            raise ConfigError("input_range abs_max_sum counts on the ADC of one whole product: take another one")
        cell = self.cell_converter
        if self.signs == "balanced" and cell is not None and float(cell.to_weights(cell.to_conductances(torch.tensor([[-1.0]])))) > -0.99:
            raise ConfigError(
                f"signs balanced needs cells that hold either sign, and {type(cell).__name__} does not: set signs to balanced_digital"
            )
        inner = getattr(crossbar, "forward", None)
        if inner is not None and not isinstance(inner.input_range, Unscaled):
            raise ConfigError("crossbar.forward.input_range must be none: inputs are scaled by input_range of tile bit_sliced")
        if inner is not None and inner.adc is not None:
            raise ConfigError("crossbar.forward.adc must be left out: adc of tile bit_sliced reads the crossbar")
        if self.adc is not None and self.adc.bound == "granular" and (self.weight_bits is None or self.inputs.unit is None):
            raise ConfigError("adc.bound granular needs whole digits: give weight_bits and inputs.bits, or state a number")

    def with_noise_model(self, noise_model: NoiseModel) -> BitSliced:
        """Return this tile with devices that another model describes."""
        self._programmable("noise_model")
        return evolve(self, crossbar=self.crossbar.with_noise_model(noise_model))  # type: ignore[attr-defined]

    def build(self, site: Site) -> nn.Module:
        """Return the module of one crossbar, which is one for each slice."""
        return BitSlicedCrossbar(self, site)

    def equations(self) -> tuple[str, ...]:
        """Return the product with its values."""
        slices, inputs = self.slices, self.inputs
        cut = ", ".join(f"bits {shift} to {shift + width - 1}" for shift, width in slices.layout()) if self.weight_bits else "not rounded"
        factors = ", ".join(f"{factor:g}" for factor in slices.factors())
        converted = "ADC_p(sum_b c_b I_pb)" if inputs.accumulation == "analog" else "sum_b c_b ADC_p(I_pb)"
        offset = f" - {slices.levels:g} sum_j v_j" if self.signs == "offset" else ""
        return (
            f"q = round({slices.levels:g} w): {cut}; {self.signs}; f = {factors}"
            if self.weight_bits
            else f"q = w: {self.signs}; f = {factors}",
            f"v = x / r as {inputs.type_name}" + (f" of {inputs.bits} bits" if inputs.bits else ", not rounded"),
            "I_pb = sum_j d_p u_b,j",
            f"y = r / {slices.levels:g} (sum_p f_p {converted}{offset})",
        )
