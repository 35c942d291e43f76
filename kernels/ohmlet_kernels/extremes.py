"""The largest magnitude along the rows of a tensor, without a copy of it where numba is there."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ohmlet_kernels.threads import over_rows

__all__ = ["largest_of_rows"]


@functools.cache
def _compiled() -> Callable[..., None] | None:
    try:
        from ohmlet_kernels.analog_mvm.numba_weights import largest_of_rows as loop
    except ImportError:
        return None
    return loop


def largest_of_rows(x: Tensor) -> Tensor:
    """Return max_j |x_j| [..., 1] of rows [..., columns], detached; NaN for a row with a NaN in it."""
    x = x.detach()
    plain = not torch.compiler.is_compiling() and type(x) is Tensor and x.device.type == "cpu" and x.dtype == torch.float32
    if not plain or x.numel() == 0 or not x.is_contiguous() or (loop := _compiled()) is None:
        return x.abs().amax(-1, keepdim=True)
    rows = x.view(-1, x.shape[-1])
    out = torch.empty(len(rows), dtype=torch.float32)
    given = (rows.view(torch.int32).numpy(), out.view(torch.int32).numpy())
    over_rows(len(rows), x.numel(), lambda first, last: loop(first, last, *given))
    return out.view(*x.shape[:-1], 1)
