"""The product with scaled and modified weights: the compiled one equals the definition, and the definition its parts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm import MVM, Variation
from ohmlet_kernels.analog_mvm.numba_product import times
from ohmlet_kernels.extremes import largest_of_rows
from ohmlet_kernels.mapped_mvm import Mapping
from ohmlet_kernels.mapped_mvm.numba import mapped_mvm
from ohmlet_kernels.mapped_mvm.reference import mapped_mvm as reference
from ohmlet_kernels.noise import Stream

QUANTISED = {"in_step": 1 / 31.3, "in_bound": 0.8, "out_step": 0.1, "out_bound": 1.3, "out_noise": 0.1}
SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "quantised": QUANTISED,
    "outputs clip": {"out_bound": 0.3, "out_scale": 1.3},
    "codes of two bytes": {"in_step": 1 / 1000, "in_bound": 0.7},
    "inputs clip without codes": {"in_bound": 0.5},
    "additive noise": {**QUANTISED, "w_noise": 0.02},
    "pcm noise and wires": {**QUANTISED, "w_noise": 0.02, "w_noise_kind": "pcm", "ir_drop": 1.0, "ir_drop_g_ratio": 200.0},
    "relative noise and wires": {"w_noise": 0.02, "w_noise_kind": "relative", "ir_drop": 1.0, "ir_drop_g_ratio": 200.0},
    "wires": {"ir_drop": 1.0, "ir_drop_g_ratio": 200.0},
    "relative noise": {**QUANTISED, "w_noise": 0.02, "w_noise_kind": "relative"},
    "settings without a loop": {**QUANTISED, "in_noise": 0.1},
}
SHAPES = [((), (), (3, 1, 7, 9)), ((2,), (2,), (5, 3, 17, 33)), ((), (3,), (4, 2, 64, 65))]


def case(x_lead: tuple[int, ...], lead: tuple[int, ...], shape: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, Tensor, Stream]:
    """Return inputs, one vector of them empty, weights, divisors and noise."""
    generator = torch.Generator().manual_seed(1)
    samples, positions, out, inputs = shape
    x = torch.randn(*x_lead, samples, positions, inputs, generator=generator)
    x[..., 0, 0, :] = 0.0
    w = 0.2 * torch.randn(*lead, out, inputs, generator=generator)
    keys = torch.arange(5, 5 + math.prod(lead)).reshape(lead)
    noise = Stream(keys, torch.arange(samples) + 7, torch.tensor([3]), "training")
    return x, w, torch.rand(*lead, out, 1, generator=generator) + 0.5, noise


def gradients(function: Any, x: Tensor, w: Tensor, *rest: Any) -> list[Tensor]:
    """Return the output and the gradients of inputs and weights."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = function(x, w, *rest)
    back = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    return [y.detach(), *torch.autograd.grad(y, (x, w), back)]


@pytest.mark.parametrize(("x_lead", "lead", "shape"), SHAPES)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(("std", "w_max"), [(0.0, None), (0.1, None), (0.1, 0.4)])
def test_the_compiled_product_equals_the_definition(
    std: float, w_max: float | None, settings: dict[str, Any], x_lead: tuple[int, ...], lead: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    x, w, divisor, noise = case(x_lead, lead, shape)  # type: ignore[arg-type]
    for scale in (None, 0.9 * x.abs().amax(-1, keepdim=True)):
        rest = (Mapping(divisor, std, w_max), scale, MVM(**settings), noise)
        for found, expected in zip(gradients(mapped_mvm, x, w, *rest), gradients(reference, x, w, *rest), strict=True):
            assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_definition_is_its_equation() -> None:
    x, w, divisor, noise = case((), (), (4, 2, 5, 6))
    x, w, divisor = x.double(), w.double(), divisor.double()
    y = reference(x, w, Mapping(divisor, 0.1), None, MVM(), noise)
    held = w / divisor
    held = held + 0.1 * held.abs().max() * Stream(noise.key, event=torch.tensor([3]), path="training").normal("modifier", w)
    assert torch.allclose(y, torch.einsum("oi,sri->sro", held, x), atol=1e-12)


def test_the_step_of_the_forward_pass_holds_in_backward() -> None:
    x, w, divisor, noise = case((), (), (4, 1, 8, 6))
    step = torch.tensor([3])
    inputs = x.requires_grad_()
    y = mapped_mvm(inputs, w, Mapping(divisor, 0.1), None, MVM(), noise._replace(event=step))
    expected = gradients(reference, x.detach(), w, Mapping(divisor, 0.1), None, MVM(), noise)[1]
    step += 1
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(2)))
    assert inputs.grad is not None
    assert torch.allclose(inputs.grad, expected, atol=1e-5)


def test_a_variation_and_a_crossbar_of_zeros_come_out_as_defined() -> None:
    x, w, divisor, noise = case((), (), (4, 1, 8, 6))
    varied = Variation(out_noise=torch.linspace(0, 1, 8))
    for rest in ((MVM(), noise, varied), (MVM(), noise)):
        for weights in (w, 0 * w):
            found = mapped_mvm(x, weights, Mapping(divisor, 0.1), None, *rest)
            assert torch.allclose(found, reference(x, weights, Mapping(divisor, 0.1), None, *rest), atol=1e-5)


def test_crossbars_that_share_stored_weights_draw_noise_of_their_own() -> None:
    x, _, _, noise = case((2,), (2,), (4, 1, 8, 6))
    _, w, divisor, _ = case((), (), (4, 1, 8, 6))
    rest = (Mapping(divisor, 0.1), None, MVM(), noise)
    for found, expected in zip(gradients(mapped_mvm, x, w, *rest), gradients(reference, x, w, *rest), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 5), (128, 64), (2, 128, 64)])
def test_products_of_any_size_are_products(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(shape, generator=generator), torch.randn(256, shape[-1], generator=generator)
    exact = a.double() @ b.double().T
    assert torch.allclose(times(a, b).double(), exact, atol=1e-4)
    assert torch.allclose(times(b.T.contiguous().T, a).double(), exact.mT, atol=1e-4)


@pytest.mark.parametrize("x", [torch.tensor([[1.0, -3.0], [0.0, 0.0], [float("inf"), 1.0]]), torch.zeros(0, 3), torch.rand(4, 3).T])
def test_the_largest_of_rows_is_that_of_their_magnitudes(x: Tensor) -> None:
    assert torch.equal(largest_of_rows(x), x.abs().amax(-1, keepdim=True))
    assert torch.equal(largest_of_rows(x.double()), x.double().abs().amax(-1, keepdim=True))


def test_the_largest_of_a_row_with_a_nan_is_nan() -> None:
    assert largest_of_rows(torch.tensor([[1.0, float("nan")], [-2.0, 1.0]]))[:, 0].isnan().tolist() == [True, False]
