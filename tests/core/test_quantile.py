"""Quantiles of magnitudes: against sorting, at rank boundaries, in one pass and in two."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ohmlet.quantile import Magnitudes


def sorted_quantile(values: np.ndarray, q: float) -> float:
    """Return the smallest of the magnitudes that at least q of them are not above."""
    magnitudes = np.sort(np.abs(values.astype(np.float32)))
    return float(magnitudes[max(1, math.ceil(Fraction(str(q)) * len(magnitudes))) - 1])


def seen(parts: list[torch.Tensor], q: float | None = None) -> Magnitudes:
    found = Magnitudes()
    for part in parts:
        found.see(part)
    if q is not None:
        found.narrow(q)
        for part in reversed(parts):
            found.see_again(part)
    return found


@pytest.mark.parametrize("q", [1e-9, 0.3, 0.5, 0.7, 0.999, 0.9999, 1.0])
@pytest.mark.parametrize("shape", ["normal", "heavy", "relu", "tiny"])
def test_one_pass_is_within_a_bin_above_and_two_are_exact(q: float, shape: str) -> None:
    x = torch.randn(3, 4001, generator=torch.Generator().manual_seed(1))
    x = {"normal": x, "heavy": x**7 * 1e6, "relu": x.clamp_min(0), "tiny": x * 1e-30}[shape]
    exact = sorted_quantile(x.numpy().ravel(), q)
    once = seen(list(x)).quantile(q)
    assert exact <= once <= exact * (1 + 2**-8)
    twice = seen(list(x), q)
    assert twice.quantile(q) == exact
    assert twice.beyond(q) == float((x.abs() > exact).double().mean())
    assert seen(list(x)).beyond(q) == float((x.abs() > once).double().mean())


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False), min_size=1, max_size=40), st.integers(1, 1000))
def test_any_list_of_numbers(values: list[float], per_mille: int) -> None:
    q = per_mille / 1000
    x = torch.tensor(values, dtype=torch.float32)
    assert seen([x[::2], x[1::2]], q).quantile(q) == sorted_quantile(x.numpy(), q)


def test_a_rank_is_counted_in_decimal() -> None:
    # 0.7 * 10 is 7.000000000000001 in binary, which would be the eighth number.
    assert seen([torch.arange(1.0, 11.0)], 0.7).quantile(0.7) == 7.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_counted_in_float32(dtype: torch.dtype) -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(2)).to(dtype)
    assert seen([x], 0.9).quantile(0.9) == sorted_quantile(x.float().numpy(), 0.9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"1 of 3 values are not finite"):
        Magnitudes().see(torch.tensor([1.0, bad, 2.0]))


def test_nothing_is_kept_but_two_histograms() -> None:
    found = seen([torch.randn(100_000) for _ in range(3)], 0.99)
    kept = [value.numel() for value in vars(found).values() if isinstance(value, torch.Tensor)]
    assert sorted(kept) == [2**15, 2**16]
