"""The maths of a device's step on Triton, beside float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.gpu.where import DEVICE, INTERPRETED, MARKS  # isort: skip - skips without Triton

import pytest
import torch
import triton
import triton.language as tl

from ohmlet_kernels.pulsed_update import OPS, ops_torch, ops_triton

pytestmark = MARKS

COUNT = 2**15
BLOCK = COUNT if INTERPRETED else 256
RANGES = {"exp": (-87.0, 88.0), "log": (1e-30, 1e30), "sqrt": (0.0, 100.0), "tanh": (-12.0, 12.0), "abs": (-3.0, 3.0)}
SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 89.0, -105.0, 88.7, 1e-37, 3e38]


@triton.jit  # type: ignore[untyped-decorator]
def of_one(x, y, NAME: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at)
    if NAME == "exp":
        v = ops_triton.exp(v)
    elif NAME == "log":
        v = ops_triton.log(v)
    elif NAME == "sqrt":
        v = ops_triton.sqrt(v)
    elif NAME == "tanh":
        v = ops_triton.tanh(v)
    else:
        v = ops_triton.abs(v)
    tl.store(y + at, v)


@triton.jit  # type: ignore[untyped-decorator]
def of_two(x, z, y, NAME: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a, b = tl.load(x + at), tl.load(z + at)
    if NAME == "pow":
        a = ops_triton.pow(a, b)
    elif NAME == "divide":
        a = ops_triton.divide(a, b)
    elif NAME == "minimum":
        a = ops_triton.minimum(a, b)
    else:
        a = ops_triton.maximum(a, b)
    tl.store(y + at, a)


@triton.jit  # type: ignore[untyped-decorator]
def looked_up(table, x, y, LAST: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, ops_triton.interpolate(table, LAST, tl.load(x + at)))


def computed(kernel: Any, *given: np.ndarray, what: Any) -> np.ndarray:
    """Return what a kernel makes of float32 arrays of any length."""
    padded = [torch.from_numpy(np.resize(each, COUNT)).to(DEVICE) for each in given]
    y = torch.full((COUNT,), torch.nan, device=DEVICE)
    kernel[(COUNT // BLOCK,)](*padded, y, what, BLOCK, enable_fp_fusion=False)
    made: np.ndarray = y.cpu().numpy()[: len(given[0])]
    return made


def test_there_is_every_function() -> None:
    assert sorted(ops_triton.__all__) == sorted({*OPS, "divide"})


@pytest.mark.parametrize("name", RANGES)
def test_functions_of_one_number(name: str) -> None:
    low, high = RANGES[name]
    x = np.geomspace(low, high, COUNT - 12) if name == "log" else np.linspace(low, high, COUNT - 12)
    if name in ("log", "tanh"):
        x[::2] = np.linspace(0.5, 2.0, len(x) // 2) if name == "log" else np.geomspace(1e-30, 1.0, len(x) // 2)
    x = np.concatenate([x, SPECIAL]).astype(np.float32)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x.astype(np.float64)).astype(np.float32)
        np.testing.assert_allclose(computed(of_one, x, what=name), expected, rtol=2.4e-7, atol=0)


def test_pow() -> None:
    draw = np.random.default_rng(1)
    a, b = draw.uniform(0, 3, COUNT).astype(np.float32), draw.uniform(-20, 20, COUNT).astype(np.float32)
    a[:7], b[:7] = [0.0, 0.0, 0.0, math.inf, math.inf, math.nan, -1.0], [2.0, 0.0, -1.0, 2.0, -2.0, 1.0, 0.5]
    with np.errstate(all="ignore"):
        expected = (a.astype(np.float64) ** b).astype(np.float32)
        found = computed(of_two, a, b, what="pow")
    # Smaller results are denormal numbers, which are rounded more coarsely.
    np.testing.assert_allclose(found, expected, rtol=1.2e-7, atol=1e-44)


def test_divisions_are_rounded_correctly() -> None:
    draw = np.random.default_rng(2)
    a, b = (draw.uniform(-3, 3, COUNT).astype(np.float32) for _ in range(2))
    np.testing.assert_array_equal(computed(of_two, a, b, what="divide"), a / b)


@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_a_nan_on_either_side_comes_through(name: str) -> None:
    one, two, nan = 1.0, 2.0, math.nan
    found = computed(of_two, np.array([one, nan, one, two], np.float32), np.array([nan, one, two, one], np.float32), what=name)
    np.testing.assert_array_equal(found, [nan, nan, *([1.0, 1.0] if name == "minimum" else [2.0, 2.0])])


@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_interpolate_holds_beyond_its_ends(nodes: int) -> None:
    table = torch.linspace(0.3, 2.0, nodes) ** 2
    x = torch.linspace(-0.5, 1.5, COUNT)
    y = torch.full((COUNT,), torch.nan, device=DEVICE)
    looked_up[(COUNT // BLOCK,)](table.to(DEVICE), x.to(DEVICE), y, nodes - 1, BLOCK, enable_fp_fusion=False)
    torch.testing.assert_close(y.cpu(), ops_torch.interpolate(tuple(table.tolist()), x), rtol=1e-6, atol=1e-7)
