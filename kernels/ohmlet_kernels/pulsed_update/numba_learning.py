"""What an optimizer's step does to one crossbar, compiled: errors scaled, the update, its vectors counted, and the weights shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from torch import Tensor

from ohmlet_kernels.addresses import called, counts, doubles, reals
from ohmlet_kernels.pulsed_update import numba_blocks as blocks
from ohmlet_kernels.pulsed_update.numba_blocks import Plan, at

__all__ = ["FACTOR", "SIZE", "D", "Learning", "X", "learned"]

X, D, SCALED, SAMPLES, OUTS, SQUARE, SQUARES, FACTOR, ORDINALS, VECTORS, FUNCTION, BLOCK, KEY, SHOWN, W, INS, SCALE, SCALES = range(18)
SIZE = 18


@njit(nogil=True, cache=True, error_model="numpy")
def _scaled(d, factor, square, out):  # type: ignore[no-untyped-def]
    """Fill out [S, out] with factor d / square [out or 1]; return whether all of it is finite."""
    finite, by = True, np.float32(factor)
    for i in range(len(d)):
        for j in range(d.shape[1]):
            e = d[i, j] * by
            out[i, j] = e / square[j if len(square) > 1 else 0]
            finite &= np.isfinite(out[i, j])
    return finite


@njit("boolean(int64)", nogil=True, cache=True, error_model="numpy")
def learned(address):  # type: ignore[no-untyped-def]
    """Make the step that the block at an address tells; return whether it was made: not where errors are not finite."""
    b = counts(address, SIZE)
    samples, outs, ins = b[SAMPLES], b[OUTS], b[INS]
    d, scaled = reals(b[D], (samples, outs)), reals(b[SCALED], (samples, outs))
    if not _scaled(d, doubles(b[FACTOR], 1)[0], reals(b[SQUARE], b[SQUARES]), scaled):
        return False
    vectors, ordinals = counts(b[VECTORS], 1), counts(b[ORDINALS], samples)
    for i in range(samples):
        ordinals[i] = vectors[0] + i
    # All of it each time: vectors may have been given to the same plan by another way.
    given = counts(b[BLOCK], blocks.HEAD)
    given[blocks.X], given[blocks.D], given[blocks.ORDINALS], given[blocks.KEY] = b[X], b[SCALED], b[ORDINALS], b[KEY]
    called(b[FUNCTION], b[BLOCK])
    vectors[0] += samples
    if b[SHOWN] != 0:
        shown, w, scale = reals(b[SHOWN], (outs, ins)), reals(b[W], (outs, ins)), reals(b[SCALE], b[SCALES])
        for i in range(outs):
            by = scale[i if len(scale) > 1 else 0]
            for j in range(ins):
                shown[i, j] = w[i, j] * by
    return True


class Learning:
    """The update of one crossbar by a plan, for x [S, in] and factor d / square with d [S, out] and square [1, out or 1].

    `key` and `vectors`, int64 [1], are those of the noise and of its ordinals, which move on; `shown` are weights w [out, in], the matrix
    that becomes scale w, and the scale [out or 1, 1], or nothing. All are float32 on the CPU, in order, and in places that stay.
    """

    def __init__(self, plan: Plan, square: Tensor, key: Tensor, vectors: Tensor, shown: tuple[Tensor, Tensor, Tensor] | None) -> None:
        outs, ins, samples = (int(each) for each in plan.block[: blocks.SAMPLES + 1])
        scaled, ordinals, self.factor = np.empty((samples, outs), np.float32), np.empty(samples, np.int64), np.ones(1)
        self.block: Any = np.zeros(SIZE, np.int64)
        self.block[SCALED:SHOWN] = (
            at(scaled), samples, outs, square.data_ptr(), square.numel(), at(self.factor), at(ordinals), vectors.data_ptr(),
            plan.function, plan.address, key.data_ptr(),
        )  # fmt: skip
        if shown is not None:
            w, matrix, scale = shown
            self.block[SHOWN:] = matrix.data_ptr(), w.data_ptr(), ins, scale.data_ptr(), scale.numel()
        self.address, self.kept = at(self.block), (plan, scaled, ordinals, square, key, vectors, shown)

    def __reduce__(self) -> Any:
        """Pickle and copy as nothing: a copy has its memory elsewhere."""
        return type(None), ()

    def __call__(self, x: int, d: int, factor: float) -> bool:
        """Make the update for vectors at two addresses; return whether it was made: it is not, and nothing changes, unless d is finite."""
        block = self.block
        block[X], block[D], self.factor[0] = x, d, factor
        made: bool = learned(self.address)
        return made
