"""Whether a call is a plain one, whose many steps may be taken as one: nothing but numbers, and nobody who watches."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_int64
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["advance", "hooked", "plain"]

_hooked_everywhere: Callable[[], bool] = nn.modules.module._has_any_global_hook


def plain(x: Tensor) -> bool:
    """Whether a tensor is nothing but float32 numbers on the CPU."""
    return type(x) in (Tensor, nn.Parameter) and x.dtype is torch.float32 and x.is_cpu


def hooked(*modules: dict[str, Any]) -> bool:
    """Whether somebody wants to know of the calls of modules with these attributes, their `__dict__`."""
    for own in modules:
        if own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]:
            return True
    return bool(_hooked_everywhere())


def advance(counter: Tensor, by: int) -> int:
    """Add to a counter int64 [1] in its place, and return what it was."""
    if type(counter) is Tensor and counter.is_cpu and counter.dtype is torch.int64:
        # Past torch, which takes as long as a small layer's product does.
        count = c_int64.from_address(counter.data_ptr())
        before = count.value
        count.value = before + by
        return before
    before = int(counter.item())
    counter.add_(by)
    return before
