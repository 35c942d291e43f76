"""The pulsed update compiled for the CPU, each device's step in a loop of its own; equals the reference sample by sample."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.network_step.numba import Network
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.pulsed_update import reference
from ohmlet_kernels.pulsed_update.cells import SLOTS, Cells, Probe, Trains
from ohmlet_kernels.pulsed_update.numba_cache import update_loop
from ohmlet_kernels.pulsed_update.numba_gathered import gathered
from ohmlet_kernels.pulsed_update.numba_learning import Learning
from ohmlet_kernels.pulsed_update.numba_loops import slots
from ohmlet_kernels.pulsed_update.numba_trains import thresholds_of
from ohmlet_kernels.pulsed_update.numba_transfer import transfer
from ohmlet_kernels.pulsed_update.numba_vectors import Rows, Views
from ohmlet_kernels.threads import PARALLEL_FROM, over_rows

__all__ = ["pulse_bits", "pulsed_update"]

PIECES = 8
"""Parts of the rows that each thread works on: errors differ from row to row, and so do the pulses."""
ALONE = PARALLEL_FROM // SLOTS
"""Words of trains up to which one thread makes them."""
NO_BITS = np.zeros((0, 0, 0), np.int64)
NO_WORDS = np.zeros((0, 0, 0), np.int32)
NO_REALS = np.zeros((0, 0), np.float32)
NO_PERIOD = np.zeros(0, np.float32)
NO_LOOKS = np.zeros(0, np.int64)
NO_MARKS = np.zeros((0, 0), np.bool_)


@functools.lru_cache(maxsize=256)
def _float32(values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32)


@functools.lru_cache(maxsize=256)
def _word(path: str, purpose: str) -> np.uint64:
    return np.uint64(purpose_word(f"{path}/{purpose}"))


def _key(key: Tensor) -> np.uint64:
    return np.uint64(int(key) & (2**64 - 1))


class PulseBits:
    """The kernel `pulse_bits`, together with a compiled version of everything that comes before it."""

    def __call__(self, thresholds: Tensor, lengths: Tensor, words: int, key: Tensor, purpose: int, ordinals: Tensor) -> Tensor:
        """Return the trains int64 [S, n, words], as `reference.pulse_bits` does."""
        made = _filled(
            thresholds.contiguous().numpy(),
            lengths.contiguous().numpy(),
            words,
            ordinals.contiguous().numpy(),
            _key(key),
            np.uint64(purpose),
        )
        return torch.from_numpy(made)

    def trains(self, x: Tensor, d: Tensor, lr: float | Tensor, granularity: float, pulses: Any, noise: Stream) -> Trains | None:
        """Return what `trains.trains` does for random trains of unquantised probabilities of float32 on a CPU, else None."""
        plain = x.dtype == d.dtype == torch.float32 and x.is_cpu and d.is_cpu and noise.ordinals is not None
        if not plain or not pulses.pulse_type.startswith("stochastic") or pulses.resolution or not x.numel() or not d.numel():
            return None
        assert noise.ordinals is not None
        rates = np.empty(len(x), np.float64)
        rates[:] = lr.numpy() if isinstance(lr, Tensor) else lr
        lengths = np.empty(len(x), np.int64)
        lines = [np.empty(v.shape, np.int64) for v in (x, d)]
        signs = [np.empty(v.shape, np.bool_) for v in (x, d)]
        longest = thresholds_of(
            x.detach().contiguous().numpy(), d.detach().contiguous().numpy(), rates, float(granularity), pulses.desired_bl, pulses.fixed_bl,
            pulses.update_management, pulses.update_bl_management, float(pulses.um_grad_scale), lengths, *lines, *signs,
        )  # fmt: skip
        words = -(-max(longest, 1) // SLOTS)
        key, ordinals = _key(noise.key), noise.ordinals.contiguous().numpy()
        x_bits, d_bits = (
            torch.from_numpy(_filled(thresholds, lengths, words, ordinals, key, _word(noise.path, f"{pulses.pulse_type} {line}")))
            for line, thresholds in zip("xd", lines, strict=True)
        )
        return Trains(x_bits, d_bits, torch.from_numpy(signs[0]), torch.from_numpy(signs[1]))

    def __reduce__(self) -> str:
        """Pickle and copy as what it is, one function."""
        return "pulse_bits"


def _filled(thresholds: Any, lengths: Any, words: int, ordinals: Any, key: np.uint64, purpose: np.uint64) -> Any:
    out = np.empty((*thresholds.shape, words), np.int64)
    if out.size < ALONE:
        slots(0, len(out), out, thresholds, lengths, ordinals, key, purpose)
        return out
    over_rows(len(out), out.size * SLOTS, lambda first, last: slots(first, last, out, thresholds, lengths, ordinals, key, purpose))
    return out


pulse_bits = PulseBits()


def fits(cells: Cells, trains: Trains) -> bool:
    """Whether the compiled loops know these tensors; float64 and other devices run on the reference."""
    for a in (cells.w, *cells.cell, *cells.hidden):
        if not (a.dtype == torch.float32 and a.is_cpu and a.is_contiguous()):
            return False
    return trains.x.is_cpu


def pulsed_update(cells: Cells, trains: Trains, key: Tensor, purpose: int, ordinals: Tensor, probe: Probe | None = None) -> None:
    """Apply the pulses of S samples in order, each pulse one step of each cell that gets it; changes `cells` in place."""
    if not fits(cells, trains):
        return reference.pulsed_update(cells, trains, key, purpose, ordinals, probe)
    rows, columns = cells.w.shape
    samples = len(ordinals)
    if not rows or not columns:
        return None
    if not samples:
        return reference.look(cells.w, probe, 0, 0)
    looks = (
        (NO_LOOKS, NO_LOOKS, False, NO_REALS)
        if probe is None
        else (probe.after.numpy(), probe.at.numpy(), probe.columns, probe.seen.numpy())
    )
    x_negative = trains.x_negative.contiguous().numpy()
    d_negative = np.ascontiguousarray(trains.d_negative.numpy().T)
    if trains.period is None:
        words = trains.x.shape[2]
        x, d = np.empty((samples, words, columns), np.int32), np.empty((rows, samples, words), np.int64)
        x[:], d[:] = trains.x.numpy().transpose(0, 2, 1), trains.d.numpy().transpose(1, 0, 2)
        coded = (x, d, NO_REALS, NO_REALS, NO_PERIOD)
        most = SLOTS * words
    else:
        x_real, d_real = trains.x.contiguous().numpy(), trains.d.mT.contiguous().numpy()
        period = trains.period.contiguous().numpy()
        coded = (NO_WORDS, NO_BITS, x_real, d_real, period)
        most = int(np.rint(np.abs(x_real).max() * np.abs(d_real).max() / period.min())) + 1
    pulses = NO_BITS if cells.pulses is None else cells.pulses.numpy()
    given = (
        cells.w.numpy(), *(a.numpy() for a in cells.cell), *(a.numpy() for a in cells.hidden), _float32(cells.params),
        *(_float32(table) for table in cells.tables), *coded, x_negative, d_negative, ordinals.contiguous().numpy(),
        _key(key), np.uint64(purpose), trains.select, most, pulses,
        NO_MARKS if cells.touched is None else cells.touched.numpy(),
        *looks,
    )  # fmt: skip
    update = update_loop(cells.step)
    if samples * cells.w.numel() < PARALLEL_FROM:
        update(0, rows, *given)
        return None
    over_rows(rows, samples * rows * columns, lambda first, last: update(first, last, *given), PIECES)
    return None


# As attributes of the kernel, so that arrays and algorithms find them wherever this engine is the one chosen.
pulsed_update.views = Views  # type: ignore[attr-defined]
pulsed_update.transfer = transfer  # type: ignore[attr-defined]
pulsed_update.rows = Rows  # type: ignore[attr-defined]
pulsed_update.gathered = gathered  # type: ignore[attr-defined]
pulsed_update.learning = Learning  # type: ignore[attr-defined]
pulsed_update.network = Network  # type: ignore[attr-defined]
