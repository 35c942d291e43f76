"""Addressed draws as torch operators: one node in a compiled graph, numba on a CPU that has it, the reference elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from ohmlet_kernels.noise import reference
from ohmlet_kernels.noise.constants import COLUMN_BITS

__all__ = ["philox_normal", "philox_uniform"]


@functools.cache
def _compiled() -> Callable[..., None] | None:
    try:
        from ohmlet_kernels.noise.numba import fill
    except ImportError:
        return None
    return fill


def _check(key: Tensor, ordinals: Tensor, columns: int) -> None:
    if columns > 4 << COLUMN_BITS:
        raise ValueError(f"a crossbar has {columns} columns; addressed noise serves at most {4 << COLUMN_BITS}")
    if key.dtype != torch.int64 or ordinals.dtype != torch.int64:
        raise ValueError(f"keys and ordinals are int64, got {key.dtype} and {ordinals.dtype}")


def _draw(key: Tensor, purpose: int, ordinals: Tensor, rows: int, columns: int, gaussian: bool) -> Tensor:
    _check(key, ordinals, columns)
    fill = _compiled() if key.device.type == "cpu" else None
    if fill is None:
        word = reference.words(key, purpose, ordinals, rows, columns)
        return (reference.normals(word) if gaussian else reference.uniforms(word)).contiguous()
    out = torch.empty((len(key), len(ordinals), rows * columns), dtype=torch.float32)
    if out.numel():
        fill(out.numpy(), key.contiguous().numpy(), purpose, ordinals.contiguous().numpy(), rows, columns, gaussian)
    return out.view(len(key), len(ordinals), rows, columns)


def _normal(key: Tensor, purpose: int, ordinals: Tensor, rows: int, columns: int) -> Tensor:
    return _draw(key, purpose, ordinals, rows, columns, True)


def _uniform(key: Tensor, purpose: int, ordinals: Tensor, rows: int, columns: int) -> Tensor:
    return _draw(key, purpose, ordinals, rows, columns, False)


def _shape(key: Tensor, purpose: int, ordinals: Tensor, rows: int, columns: int) -> Tensor:
    return torch.empty((key.shape[0], ordinals.shape[0], rows, columns), dtype=torch.float32, device=key.device)


# The plain library rather than torch.library.custom_op, whose first call imports the whole compiler (seconds).
_library = torch.library.Library("ohmlet", "FRAGMENT")
for _name, _implementation in (("philox_normal", _normal), ("philox_uniform", _uniform)):
    _library.define(f"{_name}(Tensor key, int purpose, Tensor ordinals, SymInt rows, SymInt columns) -> Tensor")
    _library.impl(_name, _implementation, "CompositeExplicitAutograd")
    torch.library.register_fake(f"ohmlet::{_name}", _shape, lib=_library)

philox_normal = torch.ops.ohmlet.philox_normal.default
"""float32 standard normals [K, S, rows, columns] addressed by key [K], purpose, ordinal [S], row and column."""

philox_uniform = torch.ops.ohmlet.philox_uniform.default
"""float32 uniforms in (0, 1), shaped and addressed as `philox_normal`."""
