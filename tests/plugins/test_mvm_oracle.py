"""The analog matrix-vector product against a scalar one in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm import MVM
from ohmlet_kernels.analog_mvm.reference import analog_mvm, product, quantise
from ohmlet_kernels.noise import Stream
from tests.oracle import mvm as oracle

INF = float("inf")
SHAPES = [(1, 1, 1, 1), (3, 1, 5, 2), (2, 3, 4, 7), (1, 4, 17, 3)]
STEPS = [(0.0, INF), (0.0, 0.7), (0.125, 0.75), (2 / 254, 1.0)]


def case(shape: tuple[int, int, int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return inputs [S, R, in] and weights [out, in]."""
    samples, positions, ins, outs = shape
    generator = np.random.default_rng([seed, *shape])
    return torch.from_numpy(generator.normal(size=(samples, positions, ins))), torch.from_numpy(generator.uniform(-1, 1, (outs, ins)))


def stream(samples: int, key: int = 5) -> Stream:
    return Stream(torch.tensor(key), torch.arange(100, 100 + samples), path="training")


def scalar(x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream) -> dict[tuple[int, int], oracle.Product]:
    """Return the oracle's product of every sample and position, given the numbers that the stream draws."""
    s = settings
    y = product(x, w)
    rounding, w_normal, out_normal, out_rounding = (
        noise.uniform("dac", x),
        noise.normal("weight", y),
        noise.normal("output", y),
        noise.uniform("adc", y),
    )
    products = {}
    for n, r in itertools.product(range(x.shape[0]), range(x.shape[1])):
        products[n, r] = oracle.Product(
            x[n, r].detach().numpy(),
            w.detach().numpy(),
            scale=1.0 if scale is None else float(scale.expand(*x.shape[:-1], 1)[n, r, 0]),
            in_step=s.in_step,
            in_bound=s.in_bound,
            in_uniform=rounding[n, r].numpy() if s.in_stochastic else None,
            w_noise=s.w_noise,
            w_normal=w_normal[n, r].numpy(),
            out_noise=s.out_noise,
            out_normal=out_normal[n, r].numpy(),
            out_step=s.out_step,
            out_bound=s.out_bound,
            out_uniform=out_rounding[n, r].numpy() if s.out_stochastic else None,
        )
    return products


def agree(settings: MVM, shape: tuple[int, int, int, int], scaled: bool) -> None:
    x, w = case(shape)
    x.requires_grad_()
    w.requires_grad_()
    scale = x.detach().abs().amax(-1, keepdim=True) if scaled else None
    noise = stream(shape[0])
    y = analog_mvm(x, w, scale, settings, noise)
    gradient = torch.from_numpy(np.random.default_rng(1).normal(size=tuple(y.shape)))
    y.backward(gradient)
    assert x.grad is not None
    assert w.grad is not None
    dw = np.zeros(w.shape)
    for (n, r), expected in scalar(x, w, scale, settings, noise).items():
        # A tie may turn either way when sums are taken in another order; the largest input of an abs-max scale sits exactly on a step.
        assert expected.nearest_tie > 1e-9, "this case has a tie: choose another seed"
        assert np.abs(y[n, r].detach().numpy() - expected.y).max() < 1e-12
        dx, more = expected.gradients(gradient[n, r].numpy())
        assert np.abs(x.grad[n, r].numpy() - dx).max() < 1e-12
        dw += more
    assert np.abs(w.grad.numpy() - dw).max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("in_step", "in_bound"), STEPS)
@pytest.mark.parametrize(("out_step", "out_bound"), [(0.0, INF), (0.0, 0.4), (0.1, 0.8), (20 / 254, 10.0)])
def test_quantised_products_and_their_gradients_equal_the_oracle(
    in_step: float, in_bound: float, out_step: float, out_bound: float, scaled: bool, shape: tuple[int, int, int, int]
) -> None:
    agree(MVM(in_step=in_step, in_bound=in_bound, out_step=out_step, out_bound=out_bound), shape, scaled)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("w_noise", "out_noise"), [(0.0, 0.06), (0.02, 0.0), (0.02, 0.06)])
def test_noisy_products_equal_the_oracle_given_the_same_normals(
    w_noise: float, out_noise: float, scaled: bool, shape: tuple[int, int, int, int]
) -> None:
    agree(MVM(in_step=0.125, in_bound=0.75, w_noise=w_noise, out_noise=out_noise, out_step=0.1, out_bound=0.8), shape, scaled)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("inside", "outside"), [(True, False), (False, True), (True, True)])
def test_stochastic_rounding_equals_the_oracle_given_the_same_uniforms(
    inside: bool, outside: bool, shape: tuple[int, int, int, int]
) -> None:
    settings = MVM(0.125, 0.75, inside, 0.06, 0.02, 0.1, 0.8, outside)
    agree(settings, shape, False)
    agree(settings, shape, True)


def test_rounding_is_half_to_even_and_comes_before_clipping() -> None:
    value = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 0.49, 3.49, 3.51, 9.0], dtype=torch.float64)
    assert quantise(value, 1.0, INF, None).tolist() == [0, 2, 2, 0, -2, 0, 3, 4, 9]
    # The bound is no multiple of the step and can be reached all the same.
    assert quantise(value, 1.0, 3.3, None).tolist() == [0, 2, 2, 0, -2, 0, 3, 3.3, 3.3]


@pytest.mark.parametrize("value", [0.3, -0.3, 1.0, 2.75])
def test_stochastic_rounding_is_right_on_average(value: float) -> None:
    uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    rounded = quantise(torch.full((1000,), value, dtype=torch.float64), 1.0, INF, uniform)
    assert float(rounded.mean()) == pytest.approx(value, abs=1e-9)
    assert float((rounded - value).abs().max()) < 1


def test_the_gradient_passes_at_the_bound_and_not_beyond() -> None:
    x = torch.tensor([0.99, 1.0, 1.004, 1.006, -1.0, -1.2], dtype=torch.float64, requires_grad=True)
    quantise(x, 0.01, 1.0, None).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 1, 0, 1, 0]


def test_the_gradient_of_the_inputs_does_not_see_the_read_noise() -> None:
    x, w = case((2, 3, 4, 5))
    x.requires_grad_()
    analog_mvm(x, w, None, MVM(w_noise=0.5, out_noise=0.5), stream(2)).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, w.sum(0).expand_as(x))


@pytest.mark.parametrize("lead", [(4,), (4, 2)])
def test_leading_sizes_are_crossbars_of_their_own(lead: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(*lead, 3, 2, 6, generator=generator, dtype=torch.float64)
    w = torch.randn(*lead, 5, 6, generator=generator, dtype=torch.float64)
    keys = torch.arange(int(np.prod(lead))).reshape(lead)
    settings = MVM(0.125, 1.0, True, 0.1, 0.1, 0.1, 4.0, True)
    together = analog_mvm(x, w, None, settings, Stream(keys, torch.arange(3)))
    for index in itertools.product(*map(range, lead)):
        alone = analog_mvm(x[index], w[index], None, settings, Stream(keys[index], torch.arange(3)))
        assert torch.allclose(together[index], alone, atol=1e-12)


def test_inputs_shared_by_all_crossbars_broadcast() -> None:
    x, w = case((3, 1, 6, 5))
    many = torch.stack((w, 2 * w))
    y = analog_mvm(x, many, None, MVM(out_noise=0.1), Stream(torch.tensor([7, 8]), torch.arange(3)))
    assert y.shape == (2, 3, 1, 5)
    assert torch.allclose(y[1], analog_mvm(x, 2 * w, None, MVM(out_noise=0.1), Stream(torch.tensor(8), torch.arange(3))), atol=1e-12)


# 1.2.0 of an established simulator (aihwkit, IBM), noise off: DAC and ADC steps and bounds, how inputs are scaled, and results.
W = [[0.51, -0.31, 0.22, 0.13], [-0.41, 0.27, 0.63, -0.57], [0.07, 0.47, -0.16, 0.37]]
X1, X2 = [1, -0.53, 0.27, 1.93], [0.31, 0.72, -0.97, -0.2]
DEFAULT: dict[str, Any] = {"in_step": 2 / 126, "in_bound": 1.0, "out_step": 24 / 510, "out_bound": 12.0}
GOLDEN: list[tuple[str, dict[str, Any], Any, list[float], list[float]]] = [
    ("class defaults", DEFAULT, "abs_max", [0.999059, -1.453177, 0.454118], [-0.319529, -0.410824, 0.456471]),
    ("unscaled", DEFAULT, None, [0.847059, -0.941177, 0.141176], [-0.282353, -0.423529, 0.423529]),
    ("constant scale", DEFAULT, 1.5, [0.917647, -1.270588, 0.352941], [-0.282353, -0.423529, 0.423529]),
    (
        "narrow output",
        {**DEFAULT, "out_step": 0.4 / 510, "out_bound": 0.2},
        "abs_max",
        [0.386, -0.386, 0.386],
        [-0.194, -0.194, 0.194],
    ),
    (
        "254 levels in and out",
        {**DEFAULT, "in_step": 2 / 254, "out_step": 24 / 254},
        "abs_max",
        [0.911811, -1.458898, 0.547087],
        [-0.274961, -0.458268, 0.458268],
    ),
    ("no levels", {**DEFAULT, "in_step": 0.0, "out_step": 0.0}, "abs_max", [0.9846, -1.4831, 0.4918], [-0.3045, -0.4298, 0.4413]),
]


@pytest.mark.parametrize(("settings", "scaling", "first", "second"), [row[1:] for row in GOLDEN], ids=[row[0] for row in GOLDEN])
def test_results_of_an_established_simulator_come_out(
    settings: dict[str, Any], scaling: Any, first: list[float], second: list[float]
) -> None:
    x = torch.tensor([X1, X2], dtype=torch.float64)[:, None]
    scale = x.abs().amax(-1, keepdim=True) if scaling == "abs_max" else None if scaling is None else torch.tensor(scaling)
    y = analog_mvm(x, torch.tensor(W, dtype=torch.float64), scale, MVM(**settings), stream(2))
    # They are quoted to six digits from float32.
    assert torch.allclose(y[:, 0], torch.tensor([first, second], dtype=torch.float64), atol=2e-6)
