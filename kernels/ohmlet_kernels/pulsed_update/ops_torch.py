"""`ops` in torch: what a step means, with exact derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["abs", "exp", "interpolate", "log", "maximum", "minimum", "pow", "sqrt", "tanh", "where"]

exp, log, sqrt, tanh, abs = torch.exp, torch.log, torch.sqrt, torch.tanh, torch.abs  # noqa: A001 - the names of `ops`


def _tensor(value: Any, like: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=like.dtype, device=like.device)


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """Return a where the condition holds, else b."""
    return torch.where(condition, a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """Return the smaller of two; numbers and tensors mix."""
    return torch.minimum(_tensor(a, b), _tensor(b, a))


def maximum(a: Any, b: Any) -> Tensor:
    """Return the larger of two; numbers and tensors mix."""
    return torch.maximum(_tensor(a, b), _tensor(b, a))


def pow(a: Any, b: Any) -> Tensor:  # noqa: A001
    """Return a^b for a >= 0."""
    return torch.pow(a, b)


def interpolate(table: Any, x: Tensor) -> Tensor:
    """Return the table, nodes at equal distances over [0, 1], interpolated linearly at x, held beyond its ends."""
    nodes = torch.as_tensor(table, dtype=x.dtype, device=x.device)
    if len(nodes) == 1:
        return nodes[0] + 0 * x
    at = x.clamp(0, 1) * (len(nodes) - 1)
    # NaN is no index, but comes through in the factor.
    left = at.detach().nan_to_num(0.0).floor().clamp(max=len(nodes) - 2)
    index = left.to(torch.int64)
    return nodes[index] + (at - left) * (nodes[index + 1] - nodes[index])
