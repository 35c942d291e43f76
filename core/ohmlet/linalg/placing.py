"""Putting a matrix on crossbars."""

from __future__ import annotations

from typing import Any

import torch

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError
from ohmlet.linalg.crossbars import Crossbars
from ohmlet.linalg.matrix import AnalogMatrix
from ohmlet.linalg.numbers import as_block, finite, tensor_of

__all__ = ["array"]


def array(
    matrix: Any, config: Any, *, largest: float | None = None, seed: int | None = None, name: str = "", dtype: torch.dtype | None = None
) -> AnalogMatrix:
    """Put a matrix [m, n] on crossbars and return it as an object that computes with them: `array(matrix, config) @ x`.

    `matrix` is a numpy array, a torch tensor or nested lists, real or complex; `config` is what `ohmlet.convert` takes. A tile with a
    noise model is programmed at once. The crossbars' scales follow the matrix as it is now; `largest` says how large values become that
    are written later. `seed` is that of all noise: unless given it is the config's, or else drawn from torch's generator; arrays of one
    seed draw the same noise unless they differ in `name`. `dtype` is what is computed in, float32 or float64, the matrix's own unless
    given (float64 for whole numbers).

    Raises ConfigError (a ValueError) for a matrix without two sizes, a config that does not make sense or a setting without effect;
    ValueError for values that are not finite.
    """
    config, (given, is_tensor) = AnalogConfig.parse(config), tensor_of(matrix, "the matrix")
    if given.ndim != 2 or not given.numel():
        raise ConfigError(f"ohmlet.array takes a matrix of two sizes, at least 1 each, not {tuple(given.shape)}")
    if config.mapping.learned_scales != "none":
        raise ConfigError(f"mapping.learned_scales {config.mapping.learned_scales} has no effect: nothing is learned here; leave it out")
    if config.mapping.bias != "digital":
        raise ConfigError(f"mapping.bias {config.mapping.bias} has no effect: a matrix has no bias; leave it out")
    if largest is not None and not (isinstance(largest, int | float) and 0 < largest < float("inf")):
        raise ConfigError(f"largest must be a positive number, got {largest!r}")
    given, is_complex = finite(given.detach(), "the matrix"), given.is_complex()
    own = given.real.dtype if is_complex else given.dtype
    real = dtype if dtype is not None else own if own in {torch.float32, torch.float64} else torch.float64
    if real not in {torch.float32, torch.float64}:
        raise ConfigError(f"dtype must be torch.float32 or torch.float64, got {dtype!r}")
    block = as_block(given) if is_complex else given
    held = Crossbars(block.to(real), config, name, seed, largest)
    rows, columns = (torch.arange(size, device=given.device) for size in given.shape)
    return AnalogMatrix(held, rows, columns, is_complex=is_complex, is_tensor=is_tensor)
