"""Crossbars of given cells and wires: currents for any inputs, and the matrix that a linear one multiplies by."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ohmlet.errors import ConfigError
from ohmlet_kernels.crossbar_solve import Solution, Wires
from ohmlet_tiles.circuit_cells import Cells
from ohmlet_tiles.circuit_wires import turned

__all__ = ["Network", "available"]

AT_ONCE = 2**25
"""Numbers of one batch of solutions that are held at a time, 256 MiB; results do not depend on it."""
HELD = {True: 8, False: 20}
"""Numbers per cell and input that a solution of linear or nonlinear cells holds at its peak."""


def available(device: torch.device) -> float:
    """Return the memory in bytes that can still be had."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            return next(1024.0 * float(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else float("inf")


class Network(NamedTuple):
    """Crossbars of cells [..., rows, columns] with one kind of wires; `kernel` is the engine's `crossbar_solve`."""

    cells: Cells
    wires: Wires
    kernel: Callable[..., Solution]
    rtol: float

    def turned(self) -> Network:
        """Return the same crossbars driven from their sense nodes; lines are counted from there, so both sizes are reversed."""
        return Network(self.cells.turned(), turned(self.wires), self.kernel, self.rtol)

    @property
    def ideal(self) -> bool:
        """Whether voltages reach the cells whole."""
        w = self.wires
        return not any(float(ohm) for ohm in (w.r_word, w.r_bit, w.r_source, w.r_sense, w.r_access))

    def currents(self, v: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the bit lines' currents [..., P, columns] in A for voltages [..., P, rows], and their variance where devices are noisy.

        Linear cells superpose: more inputs than lines cost no more than a unit input on each line.
        """
        self.cells.check(v)
        conductance, law = self.cells.law()
        if law is None:
            noise = self.cells.variance(torch.zeros_like(conductance).unsqueeze(-3))
            if self.ideal or v.shape[-2] > min(conductance.shape[-2:]):
                return v @ self.transfer(), noise
        else:
            noise = None
        size, at_once = v.shape[-2], self._at_once(v)
        if size <= at_once:
            current, spread = self._part(v)
            return current, spread if law is not None else noise
        kept = torch.is_grad_enabled() and (v.requires_grad or conductance.requires_grad)
        # What a solution holds for its gradient would not fit for all inputs together.
        again: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
        found: list[Any] = [checkpoint(self._part, some, **again) if kept else self._part(some) for some in v.split(at_once, -2)]
        current = torch.cat([each for each, _ in found], -2)
        return current, noise if law is None or found[0][1] is None else torch.cat([each for _, each in found], -2)

    def solution(self, v: Tensor) -> Solution:
        """Return the whole solution for voltages [..., P, rows], all at once."""
        self._held(v, v.shape[-2])
        conductance, law = self.cells.law()
        found = self.kernel(conductance, v, self.wires, iv=law, rtol=self.rtol)
        if law is not None:
            self.cells.check(found.cell_voltage)
        return found

    def transfer(self) -> Tensor:
        """Return the matrix [..., rows, columns] in S by which crossbars of linear cells multiply voltages into currents.

        It comes from a unit input on each word line or, by reciprocity, on each bit line, whichever are fewer.
        """
        conductance, law = self.cells.law()
        if law is not None:
            raise ConfigError("cells of a nonlinear law have no transfer matrix")
        if self.ideal:
            return conductance
        rows, columns = conductance.shape[-2:]
        if columns < rows:
            back = Network(Cells(conductance, None, {}, None), self.wires, self.kernel, self.rtol).turned()
            return back.transfer().mT.flip(-1, -2)
        units = torch.eye(rows, dtype=conductance.dtype, device=conductance.device)
        parts = [self.kernel(conductance, some, self.wires, rtol=self.rtol).output for some in units.split(self._at_once(units))]
        return torch.cat(parts, -2)

    def _part(self, v: Tensor) -> tuple[Tensor, Tensor | None]:
        found = self.solution(v)
        return found.output, self.cells.variance(found.cell_voltage.detach()) if found.iv is not None else None

    def _at_once(self, v: Tensor) -> int:
        """Return how many inputs are solved at a time; raises ConfigError where the memory does not suffice for one."""
        return max(1, AT_ONCE // max(1, self._held(v, 1)))

    def _held(self, v: Tensor, inputs: int) -> int:
        """Return the numbers that a solution for so many inputs holds; raises ConfigError, before any is there, where they do not fit."""
        g = self.cells.g
        arrays = torch.broadcast_shapes(g.shape[:-2], v.shape[:-2]).numel()
        held = int(arrays * g.shape[-2] * g.shape[-1] * HELD[self.cells.device is None]) * inputs
        if held > AT_ONCE and 8.0 * held > available(g.device):
            raise ConfigError(
                f"{arrays} crossbars of {g.shape[-2]} x {g.shape[-1]} cells do not fit: the solution for {inputs} "
                f"input{'s' * (inputs > 1)} takes {8e-9 * held:.1f} GB, and {1e-9 * available(g.device):.1f} GB are available; lower "
                f"mapping.max_in and max_out, or {'tile.solve.samples' if inputs > 1 else 'evaluate fewer chip instances'}"
            )
        return held
