"""Whether a forward pass is run again inside a backward pass, as activation checkpointing does."""

from __future__ import annotations

import torch

__all__ = ["recomputing"]


def recomputing() -> bool:
    """Return whether this forward runs inside backward: it must then repeat what the first one did, and count nothing twice."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1
