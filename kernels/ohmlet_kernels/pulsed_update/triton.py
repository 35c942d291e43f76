"""The pulsed update for GPUs, each device's step in a kernel of its own; equals the reference sample by sample."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import torch
import triton
from torch import Tensor

from ohmlet_kernels.pulsed_update import reference
from ohmlet_kernels.pulsed_update.cells import Cells, Probe, Trains
from ohmlet_kernels.pulsed_update.triton_loops import slots
from ohmlet_kernels.pulsed_update.triton_source import update_kernel

__all__ = ["BLOCK_M", "BLOCK_N", "OPTIONS", "pulse_bits", "pulsed_update"]

BLOCK_M, BLOCK_N = 2, 32
"""Cells of a program: one warp, in which a thread holds a column of four; it takes as many steps as its busiest cell."""

LINES = 128
"""Lines of a program that draws trains."""

OPTIONS: dict[str, Any] = {"num_warps": 1, "enable_fp_fusion": False}
"""One rounding after each operation: normals have the reference's bits."""


def _on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _signed(purpose: int) -> int:
    """Return a 32-bit word as the integer of one type that all launches take."""
    return purpose - (1 << 32) if purpose >= 1 << 31 else purpose


@functools.lru_cache(maxsize=256)
def _table(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


def pulse_bits(thresholds: Tensor, lengths: Tensor, words: int, key: Tensor, purpose: int, ordinals: Tensor) -> Tensor:
    """Return the trains int64 [S, n, words], as `reference.pulse_bits` does."""
    samples, lines = thresholds.shape
    out = torch.empty((samples, lines, words), dtype=torch.int64, device=thresholds.device)
    if out.numel():
        given = (thresholds.contiguous(), lengths.contiguous(), ordinals.contiguous(), key.to(out.device))
        with _on(out.device):
            slots[(samples * words * triton.cdiv(lines, LINES),)](out, *given, _signed(purpose), lines, words, LINES, **OPTIONS)
    return out


def fits(cells: Cells, trains: Trains) -> bool:
    """Whether the kernels know these tensors; other float types run on the reference."""
    arrays = (cells.w, *cells.cell, *cells.hidden)
    return all(a.dtype == torch.float32 and a.is_contiguous() for a in arrays) and trains.x.device == cells.w.device


def pulsed_update(cells: Cells, trains: Trains, key: Tensor, purpose: int, ordinals: Tensor, probe: Probe | None = None) -> None:
    """Apply the pulses of S samples in order, each pulse one step of each cell that gets it; changes `cells` in place."""
    if not fits(cells, trains) or (probe is not None and not probe.seen.is_contiguous()):
        return reference.pulsed_update(cells, trains, key, purpose, ordinals, probe)
    rows, columns = cells.w.shape
    samples, device = len(ordinals), cells.w.device
    if not rows or not columns:
        return None
    if not samples:
        return reference.look(cells.w, probe, 0, 0)
    ordinals = ordinals.contiguous()
    # Where nothing is to be read or written, any address of the type will do.
    nothing = ordinals
    looks = (nothing, nothing, cells.w) if probe is None else (probe.after.contiguous(), probe.at.contiguous(), probe.seen)
    given = (
        cells.w, *cells.cell, *cells.hidden, *map(float, cells.params), *(_table(table, device) for table in cells.tables),
        trains.x.contiguous(), trains.d.contiguous(), cells.w if trains.period is None else trains.period.contiguous(),
        trains.x_negative.contiguous(), trains.d_negative.contiguous(), ordinals, key.to(device),
        nothing if cells.pulses is None else cells.pulses, trains.d_negative if cells.touched is None else cells.touched, *looks,
        _signed(purpose), samples, rows, columns, 0 if probe is None else len(probe.after),
        *(len(table) - 1 for table in cells.tables), 0 if trains.period is not None else trains.x.shape[-1], trains.select,
        cells.pulses is not None, cells.touched is not None, probe is not None and probe.columns, BLOCK_M, BLOCK_N,
    )  # fmt: skip
    with _on(device):
        update_kernel(cells.step)[(triton.cdiv(rows, BLOCK_M) * triton.cdiv(columns, BLOCK_N),)](*given, **OPTIONS)
    return None
