"""Short vectors of compiled loops against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from numba import njit

from ohmlet_kernels.crossbar_solve.numba_lanes import LANES, aligned, load, narrow, spread, store, wide


@njit
def _polynomial(x, y, scale, out):  # type: ignore[no-untyped-def]
    for i in range(0, x.size, LANES):
        a, b = load(x, i), load(y, i)
        store(out, i, (a + b) * (a - b) * spread(scale))


@njit
def _converted(x, y, out):  # type: ignore[no-untyped-def]
    for i in range(0, x.size, LANES):
        store(out, i, narrow(wide(load(x, i)) * load(y, i)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_goes_lane_by_lane(dtype: type[np.floating]) -> None:
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal(3 * LANES).astype(dtype) for _ in range(2))
    out = np.full(3 * LANES, np.nan, dtype)
    _polynomial(x, y, dtype(0.3), out)
    np.testing.assert_allclose(out, (x.astype(np.float64) ** 2 - y.astype(np.float64) ** 2) * 0.3, atol=10 * float(np.finfo(dtype).eps))


def test_a_product_of_both_types_is_rounded_once() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.standard_normal(2 * LANES).astype(np.float32), generator.standard_normal(2 * LANES)
    out = np.empty(2 * LANES, np.float32)
    _converted(x, y, out)
    assert np.array_equal(out, (x.astype(np.float64) * y).astype(np.float32))


def test_arrays_begin_with_a_cache_line() -> None:
    kept = [aligned((3, 5), dtype) for dtype in (np.float32, np.float64) for _ in range(5)]
    assert all(each.ctypes.data % 64 == 0 and each.shape == (3, 5) and each.flags.c_contiguous for each in kept)
