"""How a matrix is laid onto crossbars: splitting, scales, and what each crossbar's converters see."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ohmlet.nn import AnalogConv2d, AnalogLinear
from ohmlet.nn.array import parts
from ohmlet_kernels.noise import Stream, key
from tests.oracle import mvm as oracle


def layer(outs: int, ins: int, mapping: dict[str, Any], forward: dict[str, Any] | None = None, **more: Any) -> AnalogLinear:
    tile = {"type": "inference", "forward": forward} if forward is not None else "ideal"
    return AnalogLinear(ins, outs, config={"tile": tile, "mapping": mapping}, seed=3, name="layer", **more)


@given(st.integers(1, 10_000), st.integers(0, 600))
def test_parts_are_even_and_no_larger_than_allowed(size: int, largest: int) -> None:
    sizes = np.diff(parts(size, largest))
    assert sizes.sum() == size
    assert len(sizes) == (1 if largest == 0 else -(-size // largest))
    assert sizes.max() - sizes.min() <= 1
    assert list(sizes) == sorted(sizes, reverse=True)
    assert largest == 0 or sizes.max() <= largest


def test_blocks_tile_the_matrix() -> None:
    array = layer(5, 7, {"max_in": 3, "max_out": 2, "bias": "analog"}).array
    held = torch.zeros(5, 8, dtype=torch.int64)
    for block, crossbar in zip(array.blocks, array.crossbars, strict=True):
        held[block.first_out : block.last_out, block.first_in : block.last_in] += 1
        assert isinstance(crossbar, torch.nn.Module)
    assert bool((held == 1).all())
    assert len(array.blocks) == 3 * 3


@pytest.mark.parametrize(("scales", "omega"), [("none", 1.0), *itertools.product(("tilewise", "columnwise"), (1.0, 0.4))])
def test_a_crossbar_holds_the_weights_divided_by_their_scale(scales: str, omega: float) -> None:
    analog = layer(5, 7, {"max_in": 3, "max_out": 2, "scales": scales, "omega": omega}, dtype=torch.float64)
    analog.weight.data[1] = 0
    weight = analog.weight.detach().numpy()
    for block, mapped in zip(analog.array.blocks, analog.array.mapped_blocks(analog.flat_weight(), analog.bias), strict=True):
        part = weight[block.first_out : block.last_out, block.first_in : block.last_in]
        if scales == "none":
            expected = np.ones((1, 1))
        else:
            largest = np.abs(part).max(1, keepdims=True) if scales == "columnwise" else np.abs(part).max(keepdims=True)
            expected = np.where(largest > 0, largest / omega, 1.0)
        assert np.allclose(mapped.scale.numpy(), expected, rtol=1e-15)
        assert np.allclose(mapped.w.detach().numpy() * expected, part, rtol=1e-15)
        assert not mapped.scale.requires_grad
        if scales == "tilewise":
            assert float(mapped.w.detach().abs().max()) == pytest.approx(omega)


def test_analog_bias_is_a_further_column_and_shares_the_scale() -> None:
    analog = layer(2, 3, {"bias": "analog", "scales": "columnwise"})
    analog.bias.data[:] = torch.tensor([100.0, 0.01])  # type: ignore[union-attr]
    (mapped,) = analog.array.mapped_blocks(analog.flat_weight(), analog.bias)
    assert mapped.w.shape == (2, 4)
    assert float(mapped.scale[0]) == pytest.approx(100.0)
    assert float(mapped.w[0, 3].detach()) == pytest.approx(1.0)


FORWARD = {
    "dac": {"bits": 5},
    "adc": {"bits": 6, "bound": 2.0},
    "input_range": "abs_max",
    "out_noise": 0.05,
    "weight_noise": {"type": "additive_constant", "std": 0.02},
}


def oracle_layer(analog: AnalogLinear, x: Tensor, path: str) -> np.ndarray:
    """Return outputs [S, out] of the layer as the sum of the oracle's crossbars, each digitised on its own."""
    array, weight = analog.array, analog.weight.detach().numpy()
    y = np.zeros((len(x), weight.shape[0]))
    for index, block in enumerate(array.blocks):
        part = weight[block.first_out : block.last_out, block.first_in : block.last_in]
        scale = np.abs(part).max(1)
        noise = Stream(torch.tensor(key(3, "layer", index, 0)), torch.arange(len(x)), path=path)
        like = torch.zeros(len(x), 1, part.shape[0], dtype=torch.float64)
        w_normal, out_normal = noise.normal("weight", like), noise.normal("output", like)
        for n in range(len(x)):
            inputs = x[n, block.first_in : block.last_in].numpy()
            product = oracle.Product(
                inputs,
                part / scale[:, None],
                scale=oracle.largest(inputs),
                in_step=2 / 30,
                in_bound=1.0,
                w_noise=0.02,
                w_normal=w_normal[n, 0].numpy(),
                out_noise=0.05,
                out_normal=out_normal[n, 0].numpy(),
                out_step=4 / 62,
                out_bound=2.0,
            )
            assert product.nearest_tie > 1e-9
            y[n, block.first_out : block.last_out] += scale * product.y
    return y if analog.bias is None else y + analog.bias.detach().numpy()


@pytest.mark.parametrize(("max_in", "max_out"), [(0, 0), (3, 0), (0, 2), (3, 2), (1, 1), (7, 5), (6, 4)])
@pytest.mark.parametrize("training", [True, False])
def test_each_crossbar_digitises_its_own_partial_sum(max_in: int, max_out: int, training: bool) -> None:
    torch.manual_seed(max_in + 10 * max_out)
    analog = layer(5, 7, {"max_in": max_in, "max_out": max_out}, FORWARD, dtype=torch.float64).train(training)
    x = torch.randn(4, 7, dtype=torch.float64)
    found = analog(x).detach().numpy()
    assert np.abs(found - oracle_layer(analog, x, "training" if training else "evaluation")).max() < 1e-12


def test_a_coarse_adc_makes_splitting_matter() -> None:
    torch.manual_seed(0)
    forward = {"adc": {"bits": 3, "bound": 4.0}}
    x = torch.randn(4, 8)
    whole = layer(3, 8, {}, forward)
    split = layer(3, 8, {"max_in": 2}, forward)
    split.load_state_dict({**split.state_dict(), "weight": whole.weight, "bias": whole.bias})
    assert not torch.allclose(whole(x), split(x))


def test_every_crossbar_of_every_group_draws_its_own_noise() -> None:
    config = {"tile": {"type": "inference"}, "mapping": {"max_in": 4, "max_out": 1}}
    array = AnalogConv2d(4, 4, 2, groups=2, config=config, seed=1, name="conv").array
    assert array.keys.shape == (4, 2)
    assert len(array.keys.unique()) == 8
    assert int(array.keys[2, 1]) == key(1, "conv", 2, 1)


def test_the_gradient_of_a_weight_does_not_flow_through_its_scale() -> None:
    analog = layer(3, 4, {"scales": "columnwise"}, {"input_range": "none"})
    x = torch.randn(5, 4)
    analog(x).sum().backward()
    assert analog.weight.grad is not None
    assert torch.allclose(analog.weight.grad, x.sum(0).expand(3, 4), atol=1e-5)
