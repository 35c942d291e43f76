"""One layer as an exact product, with the quadratic IR drop of tile `inference`, and as a circuit: when does which approximation hold?"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import plain
from ohmlet.config.analog import AnalogConfig
from ohmlet.conversion import convert
from ohmlet.errors import ConfigError, SurrogateWarning, UnprogrammedWarning
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.nn.array import AnalogArray
from ohmlet.registry import registry
from ohmlet_kernels.noise import Stream

__all__ = ["CircuitComparison", "CircuitRow", "compare_circuit"]

Numbers = np.ndarray[Any, np.dtype[np.float64]]
SETTINGS = ("dac", "adc", "input_range", "bound_management", "in_noise", "out_noise", "out_noise_spread")
"""Of the forward pass: what the approximation shares with the circuit."""


@frozen(kw_only=True)
class CircuitRow:
    """One size of crossbar with one resistance; errors are relative L2 norms over all inputs and outputs."""

    size: int
    """Largest number of inputs and of outputs of one crossbar."""
    ohm: float
    """Of a segment of word and bit line."""
    crossbars: int
    circuit: float
    """Circuit against the exact product."""
    quadratic: float
    """Quadratic IR drop against the exact product."""
    quadratic_off: float
    """Quadratic IR drop against the circuit."""
    surrogate_off: float
    """Surrogate against the circuit."""
    seconds: tuple[float, float, float, float]
    """Of the exact product, the quadratic IR drop, the circuit and the fitted surrogate, for all inputs."""


@frozen(kw_only=True, eq=False)
class CircuitComparison:
    """What `compare_circuit` found; the outputs and the map are those of the largest crossbar with the largest resistance."""

    rows: tuple[CircuitRow, ...]
    inputs: int
    exact: Numbers
    quadratic: Numbers
    circuit: Numbers
    surrogate: Numbers
    lost: Numbers
    """Part of the read voltage that each cell of the first crossbar misses when all inputs are full scale, [rows, columns]."""

    def holds(self, within: float = 0.01) -> list[str]:
        """Return, for each resistance, up to which size the quadratic IR drop is `within` of the circuit's outputs."""
        lines = []
        for ohm in dict.fromkeys(row.ohm for row in self.rows):
            sizes: list[int] = []
            for row in sorted((row for row in self.rows if row.ohm == ohm), key=lambda row: row.size):
                if not row.quadratic_off <= within:
                    break
                sizes.append(row.size)
            words = f"holds up to crossbars of {sizes[-1]} x {sizes[-1]}" if sizes else "holds for none of these sizes"
            lines.append(f"{ohm:g} ohm: quadratic IR drop within {within:.2g} of the circuit {words}")
        return lines


def compare_circuit(
    config: Any,
    weight: Tensor | None = None,
    *,
    shape: tuple[int, int] = (128, 128),
    sizes: Sequence[int] = (32, 64, 128),
    ohms: Sequence[float] = (0.5, 2.0, 8.0),
    inputs: int = 32,
    positive: bool = False,
    seed: int = 0,
    said: Callable[[CircuitRow], object] | None = None,
) -> CircuitComparison:
    """Compute one layer in three ways for each size of crossbar and each resistance of a wire segment.

    `config` has tile `circuit`; its other settings stay: source and sense resistances, device, converters. `weight` [out, in] is split over
    crossbars of at most `size` inputs and outputs, unless given uniform random numbers of `shape`; the inputs are uniform in +-1, or
    with `positive` in 0 to 1. The quadratic IR drop gets the same bit-line resistance and knows nothing of word lines and devices. `said`
    is called with each row. Raises ConfigError for another tile, and sizes or resistances that are none.
    """
    config = AnalogConfig.parse(config)
    tile: Any = config.tile
    if registry("tile").name_of(type(tile)).rpartition(":")[2] != "circuit":
        raise ConfigError(f"compare is for tile circuit, and this config has tile {registry('tile').name_of(type(tile))}")
    if not sizes or min(sizes) < 1 or not ohms or not min(ohms) >= 0.0 or inputs < 1:
        raise ConfigError(f"sizes and inputs are at least 1 and resistances at least 0 ohm: {list(sizes)}, {list(ohms)}, {inputs}")
    generator = torch.Generator().manual_seed(seed)
    if weight is None:
        weight = 2.0 * torch.rand(shape, generator=generator) - 1.0
    if weight.ndim != 2:
        raise ConfigError(f"the weight of a layer is a matrix [out, in], this one is {tuple(weight.shape)}: flatten it first")
    weight = weight.detach().float()
    x = torch.rand((inputs, weight.shape[1]), generator=generator)
    x = x if positive else 2.0 * x - 1.0
    config = config.override({"seed": seed} if config.seed is None else {})
    rows: list[CircuitRow] = []
    for size in sorted(sizes):
        for ohm in sorted(ohms):
            cut = {"mapping.max_in": size, "mapping.max_out": size}
            at = config.override({**cut, "tile.wires.r_word": ohm, "tile.wires.r_bit": ohm})
            began = time.perf_counter()
            exact = x @ weight.mT
            ideal = time.perf_counter() - began
            quadratic, _, fast = _computed(_approximate(at, ohm), weight, x)
            circuit, array, slow = _computed(at.override({"tile.solve": "exact"}), weight, x)
            solve = plain(tile.solve) if tile.solve.type_name == "surrogate" else {"type": "surrogate", "positive": positive}
            surrogate, _, fitted = _computed(at.override({"tile.solve": solve}), weight, x)
            row = CircuitRow(
                size=size,
                ohm=float(ohm),
                crossbars=len(array.blocks),
                circuit=_off(circuit, exact),
                quadratic=_off(quadratic, exact),
                quadratic_off=_off(quadratic, circuit),
                surrogate_off=_off(surrogate, circuit),
                seconds=(ideal, fast, slow, fitted),
            )
            rows.append(row)
            if said is not None:
                said(row)
    mapped = next(array.mapped_blocks(weight, None))
    crossbar: Any = array.crossbars[0]
    lost = crossbar.lost(mapped.w, Stream(array.keys[0, 0]))
    pictured = {
        "exact": exact,
        "quadratic": quadratic,
        "circuit": circuit,
        "surrogate": surrogate,
        "lost": lost.reshape(-1, *lost.shape[-2:])[0],
    }
    return CircuitComparison(rows=tuple(rows), inputs=inputs, **{name: value.double().numpy() for name, value in pictured.items()})


def _off(found: Tensor, wanted: Tensor) -> float:
    size = float(wanted.norm())
    return float((found - wanted).norm()) / size if size else float((found - wanted).norm())


def _approximate(config: AnalogConfig, ohm: float) -> AnalogConfig:
    """Return the config with tile `inference` and its quadratic IR drop in the place of the circuit."""
    tile: Any = config.tile
    converter: ConductanceConverter = tile.conductance_converter
    every = plain(tile.forward)
    forward = {name: every[name] for name in SETTINGS}
    if ohm > 0.0:
        forward["ir_drop"] = {"type": "quadratic", "g_ratio": 1e6 / (ohm * converter.window.g_max)}
    inference = {"type": "inference", "forward": forward, "conductance_converter": plain(converter)}
    return config.override({"tile": inference})


@torch.no_grad()
def _computed(config: AnalogConfig, weight: Tensor, x: Tensor) -> tuple[Tensor, AnalogArray, float]:
    """Return a layer's outputs, its array, and the seconds that one pass took."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.copy_(weight)
    model = convert(nn.Sequential(layer), config).model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnprogrammedWarning)
        warnings.simplefilter("ignore", SurrogateWarning)  # its error is what is being measured
        model(x[:1])  # fits a surrogate, and compiles what is not yet
        began = time.perf_counter()
        y: Tensor = model(x)
        took = time.perf_counter() - began
    found: Any = model[0]  # type: ignore[index]
    return y, found.array, took
