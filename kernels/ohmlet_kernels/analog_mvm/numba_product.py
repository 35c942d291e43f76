"""The product itself on a CPU, by the fastest of torch's own libraries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["times"]

LARGE = 1 << 20
"""Multiplications from which oneDNN's preparation is worth it."""

_linear: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def times(a: Tensor, b: Tensor) -> Tensor:
    """Return a b^T [..., rows, out] of a [..., rows, in] and b [..., out, in], float32.

    Matrices go to oneDNN, whose loops suit the processor whoever made it; torch's own choice, MKL, holds back on some of them.
    """
    if b.ndim > 2:
        return torch.matmul(a, b.mT)
    if _linear is None or a.numel() * b.shape[0] < LARGE or not torch.backends.mkldnn.enabled:
        return torch.nn.functional.linear(a, b)
    out: Tensor = _linear(a, b, None, "none", [], "")
    return out
