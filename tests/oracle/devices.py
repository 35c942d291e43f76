"""Single-pulse equations of the devices, one cell at a time in float64, written from the published equations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Cell = dict[str, float]


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def constant(w: float, up: bool, xi: float, c: Cell) -> float:
    step = c["dw_up"] if up else -c["dw_down"]
    return clip(w + step * (1 + c["std"] * xi), c["w_min"], c["w_max"])


def linear(w: float, up: bool, xi: float, c: Cell) -> float:
    """Slopes are given by the fall of the step from w = 0 to a bound: gamma_up over ref_up, gamma_down over ref_down."""
    step = c["dw_up"] if up else c["dw_down"]
    fall = c["gamma_up"] / c["ref_up"] if up else c["gamma_down"] / c["ref_down"]
    size = step * (1 - fall * w) + step * c["std"] * xi if c.get("additive") else step * (1 - fall * w) * (1 + c["std"] * xi)
    return clip(w + size if up else w - size, c["w_min"], c["w_max"])


def soft(w: float, up: bool, xi: float, c: Cell) -> float:
    return linear(w, up, xi, {**c, "gamma_up": 1.0, "gamma_down": 1.0, "ref_up": c["w_max"], "ref_down": c["w_min"]})


def referenced(inner: Callable[[float, bool, float, Cell], float], w: float, up: bool, xi: float, c: Cell) -> float:
    return inner(w + c["reference"], up, xi, c) - c["reference"]


def soft_reference(w: float, up: bool, xi: float, c: Cell) -> float:
    return referenced(soft, w, up, xi, c)


def exponential(w: float, up: bool, xi: float, c: Cell) -> float:
    z = 2 * w / (c["w_max"] - c["w_min"]) * c["a"] + c["b"]
    if up:
        dw = c["dw_up"] * max(1 - c["A_up"] * math.exp(c["g_up"] * z), 0.0)
    else:
        dw = -c["dw_down"] * max(1 - c["A_down"] * math.exp(-c["g_down"] * z), 0.0)
    return clip(w + dw + c["std"] * (abs(dw) + c["add"] + c["slope"] * abs(w)) * xi, c["w_min"], c["w_max"])


def power(w: float, up: bool, xi: float, c: Cell) -> float:
    width = c["w_max"] - c["w_min"]
    dw = c["dw_up"] * ((c["w_max"] - w) / width) ** c["g_up"] if up else -c["dw_down"] * ((w - c["w_min"]) / width) ** c["g_down"]
    return clip(w + dw * (1 + c["std"] * xi), c["w_min"], c["w_max"])


def power_reference(w: float, up: bool, xi: float, c: Cell) -> float:
    return referenced(power, w, up, xi, c)


def piecewise(w: float, up: bool, xi: float, c: Cell, up_nodes: Sequence[float], down_nodes: Sequence[float]) -> float:
    nodes = up_nodes if up else down_nodes
    spacing = (c["w_max"] - c["w_min"]) / (len(nodes) - 1)
    left = min(int((w - c["w_min"]) / spacing), len(nodes) - 2)
    rest = (w - c["w_min"]) / spacing - left
    factor = nodes[left] * (1 - rest) + nodes[left + 1] * rest
    step = c["dw_up"] if up else -c["dw_down"]
    return clip(w + step * factor * (1 + c["std"] * xi), c["w_min"], c["w_max"])


def three_state(w: float, temperature: float, length: float, up: bool, xi: Sequence[float], c: Cell) -> tuple[float, float, float]:
    """Return weight, temperature and length after a pulse of the thermally activated device."""
    concentration = c["floor"] + (1 - c["floor"]) * (w - c["w_min"]) / (c["w_max"] - c["w_min"])
    heating = c["heat_set"] if up else c["heat_reset"]
    temperature = c["ambient"] + c["cooling"] * (temperature - c["ambient"]) + heating * concentration / length
    cold = c["ambient"] + heating / 2
    rate = math.exp(c["activation"] * (1 / cold - 1 / temperature))
    window = 1 - concentration**10 if up else 1 - (c["floor"] / concentration) ** 10
    size = (c["dw_up"] if up else -c["dw_down"]) * rate * window / length * (1 + c["std"] * xi[0])
    return clip(w + size, c["w_min"], c["w_max"]), temperature, clip(length + c["length_std"] * xi[1], 1 - c["range"], 1 + c["range"])
