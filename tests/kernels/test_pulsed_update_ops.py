import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit

from ohmlet_kernels.pulsed_update import OPS, ops_numba, ops_torch

RANGES = {
    "exp": (-87.0, 88.0),
    "log": (1e-30, 1e30),
    "sqrt": (0.0, 100.0),
    "tanh": (-12.0, 12.0),
    "abs": (-3.0, 3.0),
}
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 89.0, -105.0, 88.7, -100.0, 1e-44, 3e38], np.float32)


def looped(function: Callable[..., Any]) -> Callable[[np.ndarray], np.ndarray]:
    @njit(error_model="numpy", fastmath={"contract"})
    def run(x: Any, y: Any) -> None:
        for i in range(len(x)):
            y[i] = function(x[i])

    def call(x: np.ndarray) -> np.ndarray:
        y = np.full_like(x, np.nan)
        run(x, y)
        return y

    return call


def test_both_have_every_function() -> None:
    assert sorted(ops_numba.__all__) == sorted(ops_torch.__all__) == sorted(OPS)


@pytest.mark.parametrize("name", RANGES)
def test_functions_of_one_number(name: str) -> None:
    low, high = RANGES[name]
    x = np.linspace(low, high, 100_001).astype(np.float32)
    if name == "log":
        x = np.concatenate([np.geomspace(low, high, 50_001), np.linspace(0.5, 2.0, 50_000)]).astype(np.float32)
    if name == "tanh":
        x = np.concatenate([x, np.geomspace(1e-30, 1.0, 50_001)]).astype(np.float32)
    call, exact = looped(getattr(ops_numba, name)), getattr(np, name)
    expected = exact(x.astype(np.float64))
    np.testing.assert_allclose(call(x), expected, rtol=2e-7, atol=0)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(call(SPECIAL), exact(SPECIAL.astype(np.float64)).astype(np.float32), rtol=2e-7, atol=0)


def test_pow() -> None:
    @njit(error_model="numpy", fastmath={"contract"})
    def run(a: Any, b: Any, y: Any) -> None:
        for i in range(len(a)):
            y[i] = ops_numba.pow(a[i], b[i])

    draw = np.random.default_rng(1)
    a, b = draw.uniform(0, 3, 100_000).astype(np.float32), draw.uniform(-20, 20, 100_000).astype(np.float32)
    a[:6], b[:6] = [0.0, 0.0, 0.0, math.inf, math.inf, math.nan], [2.0, 0.0, -1.0, 2.0, -2.0, 1.0]
    y = np.empty_like(a)
    run(a, b, y)
    with np.errstate(all="ignore"):
        expected = (a.astype(np.float64) ** b).astype(np.float32)
    # Smaller results are denormal numbers, which are rounded more coarsely.
    np.testing.assert_allclose(y, expected, rtol=1.2e-7, atol=1e-44)


@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_interpolate_holds_beyond_its_ends(nodes: int) -> None:
    table = np.linspace(0.3, 2.0, nodes).astype(np.float32) ** 2

    @njit(error_model="numpy")
    def run(x: Any, y: Any) -> None:
        for i in range(len(x)):
            y[i] = ops_numba.interpolate(table, x[i])

    x = np.linspace(-0.5, 1.5, 1001).astype(np.float32)
    y = np.empty_like(x)
    run(x, y)
    np.testing.assert_allclose(y, np.interp(x.astype(np.float64), np.linspace(0, 1, nodes) if nodes > 1 else [0.5], table), rtol=1e-6)
    np.testing.assert_allclose(y, ops_torch.interpolate(tuple(table.tolist()), torch.from_numpy(x)).numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_a_nan_on_either_side_comes_through(name: str) -> None:
    function = getattr(ops_numba, name)
    one, nan = np.float32(1), np.float32(math.nan)
    assert math.isnan(function(one, nan))
    assert math.isnan(function(nan, one))
    assert function(one, np.float32(2)) == (1 if name == "minimum" else 2)
