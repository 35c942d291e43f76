"""Activations between crossbars that torch computes, forwards and backwards, into memory that is there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["TORCH", "activated", "derived", "gradient"]

TORCH = ("Tanh", "GELU none", "GELU tanh")
"""By the names of torch's modules, and how GELU is approximated."""

aten: Any = torch.ops.aten


def activated(name: str, z: Tensor, y: Tensor) -> None:
    """Fill y with what an activation makes of z."""
    if name == "Tanh":
        torch.tanh(z, out=y)
    else:
        aten.gelu.out(z, approximate=name.split()[1], out=y)


def derived(name: str, g: Tensor, z: Tensor, y: Tensor) -> None:
    """Make the gradient g of an activation's outputs y that of its inputs z, in place."""
    if name == "Tanh":
        aten.tanh_backward.grad_input(g, y, grad_input=g)
    else:
        aten.gelu_backward.grad_input(g, z, approximate=name.split()[1], grad_input=g)


def gradient(name: str, g: Tensor, z: Tensor, y: Tensor) -> Tensor:
    """Return the gradient of any activation's inputs z, or of no activation's, laid out as torch lays it out for one of its outputs y."""
    made: Tensor
    if name == "Sigmoid":
        made = aten.sigmoid_backward.default(g, y)
    elif name == "ReLU":
        made = aten.threshold_backward.default(g, y, 0)
    elif name == "Tanh":
        made = aten.tanh_backward.default(g, y)
    elif name:
        made = aten.gelu_backward.default(g, z, approximate=name.split()[1])
    else:
        made = g
    return made
