"""Biasing schemes: the voltages of all lines that write cells of one word line and spare the others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.errors import ConfigError

__all__ = ["SCHEMES", "Bias", "biased"]

SCHEMES = ("v_half", "v_third", "one_transistor")


class Bias(NamedTuple):
    """Voltages [V] at the ends of the lines of a crossbar, and which cells conduct."""

    word: Tensor
    """[..., rows]"""
    bit: Tensor
    """[..., columns]"""
    conducting: Tensor | None = None
    """Cells [..., rows, columns] whose transistor is on; None for crossbars without."""


def biased(scheme: str, rows: int, row: int | Tensor, volts: Tensor) -> Bias:
    """Return the bias that puts `volts` [..., columns] across the cells of word line `row`; 0 for the columns that are not selected.

    Several word lines, row [R] and volts [..., R, columns], give a bias for each, one after the other on the chip.

    With V the largest of them in size, of either sign, cells see, but for the drop on the wires:

        v_half          selected V; others on a selected line V/2; all others 0
        v_third         selected V; others on the selected lines V/3; all others -V/3
        one_transistor  selected V; all others 0: gates along the other word lines are off

    A column that is to get less than V has its own voltage, which changes what the other cells on it see by as much. Raises ConfigError
    for an unknown scheme, a row that does not exist, or voltages of both signs in one bias.
    """
    if scheme not in SCHEMES:
        raise ConfigError(f"there is no biasing scheme {scheme!r}: take one of {', '.join(SCHEMES)}")
    which = torch.as_tensor(row, device=volts.device)
    if bool(((which < 0) | (which >= rows)).any()):
        raise ConfigError(f"there is no word line {int(which.flatten()[0])} in a crossbar of {rows}: they are numbered from 0")
    if bool((volts > 0).any(-1).logical_and((volts < 0).any(-1)).any()):
        raise ConfigError("voltages of both signs in one bias: one word line can serve one sign at a time, so write set and reset in turns")
    peak = volts.gather(-1, volts.abs().argmax(-1, keepdim=True))
    chosen = volts != 0
    on_word, off_word, off_bit = {"v_half": (0.5, 0.0, 0.0), "v_third": (1.0, 1 / 3, 2 / 3), "one_transistor": (1.0, 0.0, 1.0)}[scheme]
    at = torch.arange(rows, device=volts.device) == which[..., None]
    word = torch.where(at, on_word * peak, off_word * peak)
    bit = torch.where(chosen, on_word * peak - volts, off_bit * peak)
    gates = at[..., None].expand(*at.shape, volts.shape[-1]) if scheme == "one_transistor" else None
    return Bias(word, bit, gates)
