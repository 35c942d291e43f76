"""What is compiled between crossbars, against torch: to the last bit, whatever the sizes are."""

from __future__ import annotations

import platform

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("numba")

from ohmlet_kernels.network_step.numba_activations import CODES, MOST, activate, block, derive, known_activation
from ohmlet_kernels.network_step.numba_sums import lanes_of, orders, sums, total
from ohmlet_kernels.network_step.torch_activations import TORCH, activated, derived

# Where torch's vectors and orders of sums are others, the compiled loops find out and are not used, or differ in the last bit.
exactly = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="torch's vectors are known for this processor family")


def spread(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 5


@exactly
@pytest.mark.parametrize("name", ["Sigmoid", "ReLU"])
def test_compiled_activations_and_their_derivatives_are_those_of_torch(name: str) -> None:
    function = getattr(nn, name)()
    for count in (1, 2, 15, 16, 17, 31, 33, 50, 1000, 4099):
        x = spread(count, seed=count).requires_grad_()
        y = x.detach().clone()
        activate(CODES[name], y.numpy(), block())
        expected = function(x)
        assert torch.equal(y, expected)
        g = spread(count, seed=count + 1)
        (gradient,) = torch.autograd.grad(expected, x, g)
        derive(CODES[name], g.numpy(), y.numpy())
        assert torch.equal(g, gradient)


@exactly
def test_limits_of_the_sigmoid() -> None:
    y = torch.tensor([-torch.inf, -200.0, -104.5, -88.0, -0.0, 0.0, 88.0, 104.5, 200.0, torch.inf, torch.nan] * 7)
    x = y.clone()
    activate(CODES["Sigmoid"], y.numpy(), block())
    torch.testing.assert_close(y, torch.sigmoid(x), rtol=0, atol=0, equal_nan=True)


@exactly
def test_which_activations_are_known() -> None:
    assert known_activation("", 10)
    assert known_activation("Sigmoid", MOST)
    assert not known_activation("Sigmoid", MOST + 1)
    assert not known_activation("Softsign", 10)


@pytest.mark.parametrize("name", TORCH)
def test_activations_left_to_torch(name: str) -> None:
    function = nn.Tanh() if name == "Tanh" else nn.GELU(name.split()[1])
    x, g, y = spread(7, 9).requires_grad_(), spread(7, 9, seed=1), torch.empty(7, 9)
    activated(name, x.detach(), y)
    expected = function(x)
    assert torch.equal(y, expected)
    (gradient,) = torch.autograd.grad(expected, x, g)
    derived(name, g, x.detach(), y)
    assert torch.equal(g, gradient)


@exactly
@pytest.mark.parametrize("rows", [1, 2, 5, 16, 33, 100, 255])
def test_sums_are_those_of_torch(rows: int) -> None:
    for columns in (*range(1, 12), 17, 32, 33, 63, 64, 65, 128, 130):
        order = orders(rows, columns)
        assert all(order), columns
        for seed in range(20):
            g, out = spread(rows, columns, seed=seed), np.empty(columns, np.float32)
            sums(g.numpy(), *order, out)
            assert np.array_equal(out, g.sum(0).numpy()), columns


@exactly
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 64, 100, 512, 1000, 4095])
def test_totals_are_those_of_torch(count: int) -> None:
    lanes = lanes_of(count)
    for seed in range(20):
        x = spread(count, seed=seed)
        assert lanes
        assert total(x.numpy(), lanes) == float(x.sum())


@pytest.mark.parametrize(("group", "lanes"), [(64, 8), (4, 16), (3, 5)])
def test_sums_in_any_order_are_right_to_rounding(group: int, lanes: int) -> None:
    g, out = spread(300, 11), np.empty(11, np.float32)
    sums(g.numpy(), group, lanes, out)
    np.testing.assert_allclose(out, g.double().sum(0).numpy(), rtol=1e-4)
    assert total(g.reshape(-1).numpy(), lanes) == pytest.approx(float(g.double().sum()), rel=1e-4)


def test_more_numbers_than_are_known() -> None:
    assert orders(256, 10) == (0, 0)
    assert lanes_of(4096) == 0
