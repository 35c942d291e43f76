"""What a full-scale input stands for: unscaled, abs-max, fixed and learned, and the converters behind it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.nn import AnalogLinear
from ohmlet_kernels.analog_mvm import MVM
from ohmlet_kernels.analog_mvm.reference import analog_mvm
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.adc_uniform import UniformADC
from ohmlet_tiles.converters import DAC
from ohmlet_tiles.input_range import Learned, LearnedRange
from tests.oracle import mvm as oracle


def crossbar(forward: dict[str, Any], inputs: int = 6, outputs: int = 4) -> Any:
    """Return the module of one crossbar."""
    config = {"tile": {"type": "inference", "forward": forward}, "mapping": {"scales": "none"}}
    return AnalogLinear(inputs, outputs, bias=False, config=config, seed=1).array.crossbars[0]


def stream(samples: int) -> Stream:
    return Stream(torch.tensor(1), torch.arange(samples))


@pytest.mark.parametrize(
    ("converter", "step"),
    [
        (DAC(bits=8), 2 / 254),
        (DAC(bits=2, bound=0.5), 0.5),
        (DAC(levels=126), 2 / 126),
        (UniformADC(bits=9), 24 / 510),
        (UniformADC(levels=10, bound=5.0), 1.0),
        (DAC(bound=0.7), 0.0),
    ],
)
def test_a_resolution_of_n_bits_is_two_to_the_n_minus_two_steps(converter: DAC | UniformADC, step: float) -> None:
    found = converter.step if isinstance(converter, DAC) else converter.fixed_step
    assert found == pytest.approx(step, rel=1e-15)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bits": 8, "levels": 254}, r"'bits' and 'levels' both state the resolution \(8 bits are 254 levels\): give one of them"),
        ({"rounding": "stochastic"}, "rounding 'stochastic' has no effect"),
        ({"bits": 8, "bound": float("inf")}, "needs a finite 'bound'"),
        ({"bound": float("inf")}, "has no effect: leave it out"),
    ],
)
@pytest.mark.parametrize("converter", [DAC, UniformADC])
def test_a_converter_that_makes_no_sense_is_refused(converter: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        converter(**settings)


@pytest.mark.parametrize(
    ("input_range", "scale"),
    [
        ("none", lambda x: None),
        ("abs_max", lambda x: torch.tensor([[[oracle.largest(row.numpy())] for row in sample] for sample in x], dtype=x.dtype)),
        ({"type": "fixed", "value": 2.5}, lambda x: torch.tensor(2.5, dtype=x.dtype)),
    ],
)
def test_the_tile_hands_the_kernel_the_scale_that_its_name_says(input_range: Any, scale: Any) -> None:
    forward = {"dac": {"bits": 4}, "adc": {"bits": 6, "bound": 3.0}, "input_range": input_range, "out_noise": 0.1}
    x = torch.randn(3, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    w = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    expected = analog_mvm(x, w, scale(x), MVM(2 / 14, 1.0, False, 0.1, 0.0, 6 / 62, 3.0, False), stream(3))
    assert torch.equal(crossbar(forward).mvm(x, w, stream(3)), expected)


@pytest.mark.parametrize("input_range", ["none", "abs_max", {"type": "fixed", "value": 2.5}, "learned"], ids=str)
def test_an_input_of_zeros_gives_zeros_and_no_nan(input_range: Any) -> None:
    x = torch.zeros(3, 2, 6, requires_grad=True)
    y = crossbar({"dac": {"bits": 4}, "adc": {"bits": 6, "bound": 3.0}, "input_range": input_range}).mvm(x, torch.ones(4, 6), stream(3))
    y.sum().backward()
    assert torch.equal(y, torch.zeros(3, 2, 4))
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_no_gradient_flows_through_the_abs_max_scale() -> None:
    x = torch.tensor([[[0.5, -2.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([[0.3, -0.4, 0.6]], dtype=torch.float64)
    crossbar({"input_range": "abs_max"}, 3, 1).mvm(x, w, stream(1)).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, w[None])


def learned(**settings: Any) -> LearnedRange:
    return LearnedRange(Learned(**settings))


def range_of(module: LearnedRange) -> float:
    return float((module.start + module.shift).detach().abs())


def test_a_learned_range_starts_as_the_running_mean_of_the_data() -> None:
    module = learned(init=3.0, init_batches=4, init_std=2.0)
    generator = torch.Generator().manual_seed(0)
    expected = 3.0
    for index in range(4):
        x = torch.randn(7, 1, 5, generator=generator) * (index + 1)
        clipped, r = module(x)
        expected = (expected * index + 2.0 * float(np.std(x.numpy()))) / (index + 1)
        assert float(r) == pytest.approx(expected, rel=1e-6)
        assert torch.equal(clipped, x.clamp(-r, r))
    module(torch.randn(7, 1, 5, generator=generator) * 100)
    assert range_of(module) == pytest.approx(expected, rel=1e-6)
    assert int(module.batches) == 4


@pytest.mark.parametrize("x", [torch.zeros(3, 1, 5), torch.full((3, 1, 5), 0.5), torch.zeros(0, 1, 5)], ids=["zeros", "constant", "empty"])
def test_a_batch_without_spread_does_not_count(x: Tensor) -> None:
    module = learned(init=3.0)
    module(x)
    assert range_of(module) == 3.0
    assert int(module.batches) == 0


def test_a_learned_range_follows_data_only_in_training() -> None:
    module = learned(init=3.0).eval()
    module(torch.randn(50, 1, 5))
    assert range_of(module) == 3.0
    assert int(module.batches) == 0


@pytest.mark.parametrize("init_batches", [0, 2])
def test_a_range_is_learned_only_after_it_has_followed_the_data(init_batches: int) -> None:
    module = learned(init=0.5, init_batches=init_batches, init_std=0.5)
    x = torch.randn(20, 1, 5, generator=torch.Generator().manual_seed(0))
    for batch in range(4):
        module.zero_grad()
        clipped, _ = module(x)
        clipped.sum().backward()
        gradient = module.shift.grad
        assert gradient is not None
        # The batch that completes the running mean still follows.
        assert (float(gradient) != 0.0) == (batch >= init_batches)


@pytest.mark.parametrize(
    ("r", "decay", "min_unclipped"), [(1.0, 0.001, 0.95), (2.5, 0.01, 0.95), (0.25, 0.5, 0.1), (50.0, 0.001, 0.95), (1.0, 0.0, 0.5)]
)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_gradient_of_the_range_is_that_of_the_rule(r: float, decay: float, min_unclipped: float, sign: float) -> None:
    module = learned(init=r, init_batches=0, decay=decay, min_unclipped=min_unclipped)
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(9, 2, 5, generator=generator).double()
    x[0, 0, 0], x[0, 0, 1] = r, -r
    x.requires_grad_()
    gradient = sign * torch.randn(9, 2, 5, generator=generator).double()
    clipped, scale = module(x)
    assert not scale.requires_grad
    clipped.backward(gradient)
    assert module.shift.grad is not None
    expected = oracle.range_gradient(x.detach().numpy(), gradient.numpy(), r, decay, min_unclipped)
    assert float(module.shift.grad) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert x.grad is not None
    assert torch.equal(x.grad, torch.where(x.detach().abs() > r, 0.0, gradient))


def test_descending_the_gradient_widens_a_range_that_clips_too_much_and_narrows_one_that_is_too_wide() -> None:
    x = torch.randn(200, 1, 10, generator=torch.Generator().manual_seed(5))
    found = []
    for init in (0.5, 30.0):
        module = learned(init=init, init_batches=0, decay=0.05)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
        for _ in range(60):
            optimizer.zero_grad()
            clipped, _ = module(x)
            (clipped - x).square().mean().backward()
            optimizer.step()
        found.append(range_of(module))
    assert found[0] > 0.5
    assert found[1] < 10.0


def test_a_learned_range_scales_the_product_and_is_saved() -> None:
    bar = crossbar({"dac": {"bits": 8}, "input_range": {"type": "learned", "init": 2.0, "init_batches": 0}})
    x = torch.randn(3, 1, 6, generator=torch.Generator().manual_seed(1)) * 2
    w = torch.rand(4, 6, generator=torch.Generator().manual_seed(2)) * 2 - 1
    expected = analog_mvm(x.clamp(-2, 2), w, torch.tensor(2.0), MVM(in_step=2 / 254, in_bound=1.0), stream(3))
    assert torch.allclose(bar.mvm(x, w, stream(3)), expected, atol=1e-6)
    assert {name.rpartition(".")[2] for name in bar.state_dict()} == {"start", "shift", "batches"}
    again = copy.deepcopy(bar)
    assert torch.equal(again.mvm(x, w, stream(3)), bar.mvm(x, w, stream(3)))
