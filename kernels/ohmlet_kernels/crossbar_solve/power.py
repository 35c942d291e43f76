"""Where the power of a crossbar goes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve.solution import Solution
from ohmlet_kernels.crossbar_solve.wires import far_share, positions, resistances

__all__ = ["Power", "power"]


class Power(NamedTuple):
    """Power in W for each input, [..., P]. What the sources deliver is the sum of the others."""

    delivered: Tensor
    """By the sources of word lines and sense nodes together; sense nodes at ground deliver nothing."""
    cells: Tensor
    """In the devices."""
    access: Tensor
    """In the access transistors."""
    word_lines: Tensor
    """In segments and source resistances."""
    bit_lines: Tensor
    """In segments and sense resistances."""


def power(solution: Solution) -> Power:
    """Return the power that the sources deliver and where it is dissipated, from the currents in every part."""
    current = solution.cell_current.to(torch.float64)
    ohm, access = resistances(solution.wires)
    ohm, access = ohm.to(current.device), access.to(current.device)
    delivered = (solution.v.to(torch.float64) * current.sum(-1)).sum(-1)
    if solution.v_bit is not None:
        delivered = delivered - (solution.v_bit.to(torch.float64) * current.sum(-2)).sum(-1)
    return Power(
        delivered,
        (current * solution.cell_voltage.to(torch.float64)).sum((-1, -2)),
        access * current.square().sum((-1, -2)),
        _line(current, ohm[0], ohm[1], solution.wires.drive == "double"),
        _line(current.flip(-2).transpose(-1, -2), ohm[2], ohm[3], solution.wires.sense == "double"),
    )


def _line(current: Tensor, near: Tensor, segment: Tensor, double: bool) -> Tensor:
    """Return the power in lines along the last dimension with their near ends first."""
    far = torch.zeros_like(current[..., :1])
    if double:
        far = far_share(current, positions(near, segment, current.shape[-1], current.device), near)
    flow = current.flip(-1).cumsum(-1).flip(-1) - far
    ends = near * (flow[..., :1].square() + far.square())
    return (segment * flow[..., 1:].square()).sum((-1, -2)) + ends.sum((-1, -2))
