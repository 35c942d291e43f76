"""The wires of a crossbar, and the voltage that currents drop on them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Wires", "bit_drop", "far_share", "positions", "resistances", "word_drop"]

_ENDS = ("single", "double")


class Wires(NamedTuple):
    """Resistances in ohm along word lines (rows, driven) and bit lines (columns, sensed); zero is an ideal wire.

    Word lines are driven at their first column, with `drive: double` at both ends; bit lines are sensed at their last row, with
    `sense: double` at both ends, through the same resistance at either end. A resistance may be a tensor of one element, which
    is differentiated.

    The topologies of the literature: `r_source = r_word` and `r_sense = r_bit` is a line that begins with one segment (badcrossbar);
    drive and sense single, double and single, or both double are the modes "single side", "three quarter side" and "double side" of
    A. Chen, IEEE Trans. Electron Devices 60 (2013), doi:10.1109/TED.2013.2246791.
    """

    r_word: float | Tensor = 0.0
    """One segment of a word line, between neighbouring cells."""
    r_bit: float | Tensor = 0.0
    """One segment of a bit line, between neighbouring cells."""
    r_source: float | Tensor = 0.0
    """Between a voltage source and the first cell of its word line."""
    r_sense: float | Tensor = 0.0
    """Between the last cell of a bit line and the node that it is sensed at."""
    drive: str = "single"
    """Ends of a word line that are driven: "single" or "double"."""
    sense: str = "single"
    """Ends of a bit line that are sensed: "single" or "double"."""
    r_access: float | Tensor = 0.0
    """In series with each cell: the channel of the transistor in a 1T1R cell."""


def resistances(wires: Wires) -> tuple[Tensor, Tensor]:
    """Return r_source, r_word, r_sense, r_bit as float64 [4], and r_access as a number; ValueError where one makes no circuit."""
    for name in ("drive", "sense"):
        if getattr(wires, name) not in _ENDS:
            raise ValueError(f"{name} is 'single' or 'double', got {getattr(wires, name)!r}")
    numbers = []
    for name in ("r_source", "r_word", "r_sense", "r_bit", "r_access"):
        value = getattr(wires, name)
        if torch.is_tensor(value):
            if value.numel() != 1:
                raise ValueError(f"{name} is one number for the whole crossbar, got a tensor of shape {tuple(value.shape)}")
            numbers.append(value.reshape(()).to("cpu", torch.float64))
            continue
        if math.isinf(value) and value > 0:
            raise ValueError(f"{name} is infinite: the lines float and carry no current; leave such a crossbar out")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is a resistance in ohm, zero or more, got {value}")
        numbers.append(torch.tensor(float(value), dtype=torch.float64))
    return torch.stack(numbers[:4]), numbers[4]


def positions(near: Tensor, segment: Tensor, cells: int, device: torch.device) -> Tensor:
    """Return the resistance between the near end of a line and each of its cells, in the order of distance."""
    return near.to(device) + segment.to(device) * torch.arange(cells, dtype=torch.float64, device=device)


def _drop(current: Tensor, near: Tensor, segment: Tensor, double: bool) -> Tensor:
    """Return the voltage between the near end and each cell of lines along the last dimension, which the cells' currents drop.

    Z_kk' = min(a_k, a_k') with a_k the resistance from the near end, less a_k a_k' / R where the far end is held at the same voltage,
    R being the resistance between both ends.
    """
    beyond = current.flip(-1).cumsum(-1).flip(-1)
    near, segment = near.to(current.device), segment.to(current.device)
    drop = near * beyond[..., :1] + segment * (beyond.cumsum(-1) - beyond[..., :1])
    if double:
        along = positions(near, segment, current.shape[-1], current.device)
        drop = drop - along * far_share(current, along, near)
    return drop


def far_share(current: Tensor, along: Tensor, near: Tensor) -> Tensor:
    """Return what flows through the far end of a line that is held at both, [..., 1]; ideal wires leave it open, and take none there."""
    whole = along[-1] + near
    return (current * along).sum(-1, keepdim=True) / torch.where(whole > 0, whole, 1.0)


def word_drop(current: Tensor, r: Tensor, double: bool) -> Tensor:
    """Return how far word lines lie below their sources, [..., rows, columns] V, for cell currents of that shape in A."""
    return _drop(current, r[0], r[1], double)


def bit_drop(current: Tensor, r: Tensor, double: bool) -> Tensor:
    """Return how far bit lines lie above their sense nodes, [..., rows, columns] V, for cell currents of that shape in A."""
    return _drop(current.flip(-2).transpose(-1, -2), r[2], r[3], double).transpose(-1, -2).flip(-2)
