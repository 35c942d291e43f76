"""Least squares where some parameters are shared by all devices and the others are each device's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["Normal", "Solution", "covariances", "log_determinant", "minimise"]

Array = NDArray[np.float64]

SETTLED = 1e-7
"""Relative decrease of the sum of squares below which a search has ended."""

STUCK = 1e8
"""Damping at which no step that is worth taking leads downhill."""


@frozen(eq=False)
class Normal:
    """Half sums of squares [B] at some parameters, and normal equations of each device: gradients [B, p] and matrices [B, p, p]."""

    cost: Array
    gradient: Array
    matrix: Array


@frozen(eq=False)
class Solution:
    """Parameters [B, p], shared ones equal in all rows, and the normal equations there."""

    at: Array
    normal: Normal
    interrupted: bool = False


def _step(normal: Normal, shared: NDArray[np.bool_], free: NDArray[np.bool_], damping: Array) -> Array:
    """Return the damped Gauss-Newton step [B, p], by elimination of the devices' own parameters; what is not free stays."""
    matrix, gradient = normal.matrix.copy(), np.where(free, normal.gradient, 0.0)
    both = free[:, :, None] & free[:, None, :]
    matrix = np.where(both, matrix, 0.0)
    diagonal = np.einsum("bii->bi", matrix)
    diagonal *= 1 + damping[:, None]
    diagonal[~free] = 1.0
    diagonal[diagonal == 0] = 1.0
    step: Array
    if not shared.any():
        step = -np.asarray(np.linalg.solve(matrix, gradient[..., None]), dtype=np.float64)[..., 0]
        return step
    own = ~shared
    ss, so, oo = matrix[:, shared][:, :, shared], matrix[:, shared][:, :, own], matrix[:, own][:, :, own]
    half = np.linalg.solve(oo, so.transpose(0, 2, 1))
    gs, go = gradient[:, shared], gradient[:, own]
    schur = (ss - so @ half).sum(0)
    right = (gs - np.einsum("bso,bo->bs", so, np.linalg.solve(oo, go[..., None])[..., 0])).sum(0)
    common = -np.linalg.lstsq(schur, right, rcond=None)[0]
    step = np.empty(gradient.shape, dtype=np.float64)
    step[:, shared] = common
    step[:, own] = -np.linalg.solve(oo, (go + np.einsum("bso,s->bo", so, common))[..., None])[..., 0]
    return step


def minimise(
    evaluate: Callable[[Array], Normal],
    start: Array,
    shared: NDArray[np.bool_],
    box: tuple[Array, Array],
    iterations: int = 60,
) -> Solution:
    """Return where Levenberg and Marquardt's search ends that starts at parameters [B, p], within a box of [p] lower and upper ends.

    Devices that share nothing are searched each by itself. An impossible place is one whose cost is infinite. Ctrl-C ends the search with
    the best place so far.
    Source: Marquardt, J. Soc. Ind. Appl. Math. 11, 431 (1963), doi:10.1137/0111030.
    """
    low, high = box
    at = np.clip(start, low, high)
    normal, damping = evaluate(at), np.full(len(start), 1e-3)
    active = np.isfinite(normal.cost)
    try:
        for _ in range(iterations):
            if not active.any():
                break
            total = np.where(shared, normal.gradient.sum(0), normal.gradient)
            free = ~(((at <= low) & (total > 0)) | ((at >= high) & (total < 0)))
            before, waiting = normal.cost, active.copy()
            while waiting.any():
                # A step of more than a factor of e^2 trusts the straight line too far.
                new = np.clip(at + np.clip(_step(normal, shared, free, damping), -2.0, 2.0), low, high)
                new = np.where(waiting[:, None], new, at)
                found = evaluate(new)
                better = found.cost < normal.cost
                if shared.any():
                    better = np.full(len(at), bool(found.cost.sum() < normal.cost.sum()))
                better &= waiting
                at = np.where(better[:, None], new, at)
                normal = _joined(better, found, normal)
                damping = np.where(better, np.maximum(damping / 10, 1e-12), np.where(waiting, damping * 10, damping))
                waiting &= ~better & (damping < STUCK)
            gone = np.where(active, before - normal.cost, 0.0)
            if shared.any():
                active &= bool(gone.sum() > SETTLED * before.sum())
            else:
                active &= gone > SETTLED * np.where(active, before, 1.0)
    except KeyboardInterrupt:
        return Solution(at, normal, True)
    return Solution(at, normal)


def _joined(mask: NDArray[np.bool_], new: Normal, old: Normal) -> Normal:
    """Return the new normal equations of the devices in the mask, the old ones of the others."""
    return Normal(
        np.where(mask, new.cost, old.cost),
        np.where(mask[:, None], new.gradient, old.gradient),
        np.where(mask[:, None, None], new.matrix, old.matrix),
    )


def covariances(matrix: Array, shared: NDArray[np.bool_]) -> Array:
    """Return the covariances [B, p, p] of parameters whose normal equations have these matrices; infinite where nothing is known."""
    matrix = matrix.copy()
    diagonal = np.einsum("bii->bi", matrix)
    size = np.where(shared, diagonal.sum(0), diagonal)
    largest = size.max(initial=0.0)
    scale = 1 / np.sqrt(np.where(size > 0, size, 1.0))
    matrix *= scale[:, :, None] * scale[:, None, :]
    if not shared.any():
        inner = np.stack([_inverse(each) for each in matrix])
    else:
        inner = np.empty_like(matrix)
        own = ~shared
        oo = np.stack([_inverse(each) for each in matrix[:, own][:, :, own]])
        so = matrix[:, shared][:, :, own]
        # With the scale of the whole, each device adds its share to what is known of the shared ones.
        common = _inverse((matrix[:, shared][:, :, shared] - so @ oo @ so.transpose(0, 2, 1)).sum(0))
        cross = -common @ so @ oo
        where_s, where_o = np.flatnonzero(shared), np.flatnonzero(own)
        inner[:, where_s[:, None], where_s] = common
        inner[:, where_s[:, None], where_o] = cross
        inner[:, where_o[:, None], where_s] = cross.transpose(0, 2, 1)
        inner[:, where_o[:, None], where_o] = oo + oo @ so.transpose(0, 2, 1) @ common @ so @ oo
    out = inner * scale[:, :, None] * scale[:, None, :]
    flat = size <= 1e-12 * max(largest, 1e-300)
    out[flat[:, :, None] | flat[:, None, :]] = 0.0
    np.einsum("bii->bi", out)[flat] = np.inf
    return out


def log_determinant(matrix: Array, shared: NDArray[np.bool_]) -> float:
    """Return the logarithm of the determinant of the normal equations of all devices together."""
    own = ~shared
    total, common = 0.0, np.zeros((int(shared.sum()), int(shared.sum())))
    for each in matrix:
        ss, so, oo = each[np.ix_(shared, shared)], each[np.ix_(shared, own)], each[np.ix_(own, own)]
        if own.any():
            total += _log_determinant(oo)
            ss = ss - so @ np.linalg.pinv(oo, hermitian=True) @ so.T
        common += ss
    return total + (_log_determinant(common) if shared.any() else 0.0)


def _log_determinant(matrix: Array) -> float:
    """Return that of one matrix; directions in which nothing is known count as known a little, whatever the noise."""
    scale = np.sqrt(np.maximum(matrix.diagonal(), 1e-300))
    values = np.linalg.eigvalsh(matrix / scale[:, None] / scale[None])
    return float(np.log(np.maximum(values, 1e-10)).sum() + 2 * np.log(scale).sum())


def _inverse(matrix: Array) -> Array:
    """Return the inverse of a matrix of unit scale, in which a direction that is not determined has a variance of 1e14."""
    values, vectors = np.linalg.eigh(matrix)
    out: Array = (vectors / np.maximum(values, 1e-14)) @ vectors.T
    return out
