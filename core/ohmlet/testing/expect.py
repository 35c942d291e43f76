"""How the kits compare, and how they say what is wrong: values quoted, the fix in the text."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["TOLERANCES", "close", "expect", "finite", "identical", "shaped"]

TOLERANCES = {torch.float32: (1e-5, 1e-5), torch.float64: (1e-10, 1e-10)}
"""(rtol, atol) for numbers that are the same in exact arithmetic: about a hundred roundings of a float.

Not zero, because a tensor's shape decides where a vectorised exp or pow ends and its scalar tail begins, and in which order a product is
summed. Conductances reach 25 uS and the kits' outputs about 10, so the absolute part is a millionth of the range.
"""


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def close(actual: Tensor, expected: Tensor, message: str) -> None:
    """Raise AssertionError with the message and the largest difference unless two tensors agree within `TOLERANCES`."""
    rtol, atol = TOLERANCES[expected.dtype]
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol, msg=lambda found: f"{message}\n{found}")


def identical(actual: Tensor, expected: Tensor, message: str) -> None:
    """Raise AssertionError with the message unless two tensors are equal bit by bit (NaN equals NaN)."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True, msg=lambda found: f"{message}\n{found}")


def finite(value: Tensor, words: str) -> None:
    """Raise AssertionError unless every number is finite."""
    bad = int((~torch.isfinite(value)).sum())
    expect(bad == 0, f"{words}: {bad} of {value.numel()} numbers are NaN or infinite")


def shaped(value: object, shape: tuple[int, ...], dtype: torch.dtype, words: str, *, expandable: bool = False) -> Tensor:
    """Return `value` when it is a tensor of this shape and dtype; raise AssertionError otherwise.

    With `expandable`, leading sizes may be missing or one.
    """
    if not isinstance(value, Tensor):
        raise AssertionError(f"{words} returned {type(value).__name__}, not a tensor")
    expect(value.dtype == dtype, f"{words} returned {value.dtype} for {dtype} arguments: make constants with `like.new_tensor(...)`")
    if expandable:
        missing = len(shape) - value.ndim
        fits = missing >= 0 and all(size in {1, full} for size, full in zip(value.shape[:-2], shape[missing:-2], strict=True))
        expect(fits and value.shape[-2:] == shape[-2:], f"{words} returned shape {tuple(value.shape)} instead of {shape}")
        return value.expand(shape)
    expect(tuple(value.shape) == shape, f"{words} returned shape {tuple(value.shape)} instead of {shape}")
    return value
