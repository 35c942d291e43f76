"""How tests compare an analog layer on ideal crossbars with the digital one."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import ohmlet

IDEAL: dict[str, Any] = {"tile": "ideal"}
SPLIT: dict[str, Any] = {"max_in": 5, "max_out": 4, "bias": "analog", "scales": "tilewise", "omega": 0.4}
MAPPINGS: list[dict[str, Any]] = [{}, SPLIT]


def analog(digital: nn.Module, rules: Any = None, **mapping: Any) -> Any:
    """Return a converted copy."""
    return ohmlet.convert(copy.deepcopy(digital), {**IDEAL, "mapping": mapping}, rules, strict=True).model


def agree(digital: nn.Module, other: nn.Module, *inputs: Any, **options: Any) -> None:
    """Compare outputs to 1e-5 and the gradients of inputs and parameters to 1e-4."""
    found = [_run(module, *inputs, **options) for module in (digital, other)]
    outputs, gradients = zip(*found, strict=True)
    assert len(outputs[0]) == len(outputs[1]) > 0
    for expected, y in zip(*outputs, strict=True):
        assert y.shape == expected.shape
        assert y.dtype == expected.dtype
        assert torch.allclose(y, expected, atol=1e-5, rtol=1e-5)
    assert gradients[0].keys() <= gradients[1].keys()
    for name, expected in gradients[0].items():
        assert torch.allclose(gradients[1][name], expected, atol=1e-4, rtol=1e-4), name


def _run(module: nn.Module, *inputs: Any, **options: Any) -> tuple[list[Tensor], dict[str, Tensor]]:
    module.zero_grad()
    leaves = pytree.tree_map(lambda x: x.clone().requires_grad_(x.is_floating_point()) if isinstance(x, Tensor) else x, inputs)
    out = pytree.tree_leaves(module(*leaves, **options))
    outputs = [y for y in (getattr(y, "data", y) if not isinstance(y, Tensor) else y for y in out) if isinstance(y, Tensor)]
    torch.autograd.backward(outputs, [torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape) for y in outputs])
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    gradients |= {f"input {i}": x.grad for i, x in enumerate(pytree.tree_leaves(leaves)) if isinstance(x, Tensor) and x.grad is not None}
    return [y.detach() for y in outputs], gradients
