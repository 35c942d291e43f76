from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, ConversionError
from ohmlet.nn import AnalogLinear

IDEAL = {"tile": "ideal"}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
MAPPINGS: list[dict[str, Any]] = [
    {},
    {"scales": "none"},
    {"scales": "tilewise", "omega": 0.3},
    {"scales": "columnwise", "omega": 0.7},
    {"max_in": 3, "max_out": 2},
    {"max_in": 4, "max_out": 3, "scales": "tilewise", "bias": "analog"},
    {"max_in": 1, "max_out": 1, "bias": "analog"},
    {"max_in": 0, "max_out": 0},
]


def made(module: nn.Linear, **mapping: Any) -> Any:
    return AnalogLinear.from_digital(module, ohmlet.AnalogConfig.parse({**IDEAL, "mapping": mapping}))


def same(digital: nn.Module, analog: nn.Module, x: Tensor) -> None:
    """Compare outputs and all gradients; both modules hold the same parameters."""
    tolerance = TOLERANCE[x.dtype]
    results = []
    for module in (digital, analog):
        module.zero_grad()
        leaf = x.clone().requires_grad_()
        y = module(leaf)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape))
        results.append([y.detach(), leaf.grad, *(p.grad for p in module.parameters())])
    for expected, found in zip(*results, strict=True):
        assert expected is not None
        assert found is not None
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert torch.allclose(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_on_ideal_crossbars_it_equals_the_digital_layer(mapping: dict[str, Any], bias: bool, dtype: torch.dtype) -> None:
    digital = nn.Linear(7, 5, bias, dtype=dtype)
    same(digital, made(digital, **mapping), torch.randn(4, 7, dtype=dtype))


@pytest.mark.parametrize("shape", [(7,), (1, 7), (4, 7), (2, 3, 7), (2, 3, 4, 7), (0, 7), (2, 0, 7), (0, 3, 7)], ids=str)
@pytest.mark.parametrize("mapping", [{}, {"max_in": 3, "max_out": 2, "bias": "analog"}], ids=str)
def test_it_takes_inputs_of_any_shape(mapping: dict[str, Any], shape: tuple[int, ...]) -> None:
    digital = nn.Linear(7, 5)
    same(digital, made(digital, **mapping), torch.randn(shape))


@pytest.mark.parametrize(("ins", "outs"), [(1, 1), (1, 9), (9, 1), (512, 3), (513, 3), (1025, 2)])
def test_it_takes_matrices_of_any_size(ins: int, outs: int) -> None:
    digital = nn.Linear(ins, outs)
    same(digital, made(digital), torch.randn(3, ins))


def test_strided_inputs_and_weights_are_taken_as_they_are() -> None:
    digital = nn.Linear(7, 5)
    digital.weight = nn.Parameter(torch.randn(7, 5).T)
    same(digital, made(digital, max_in=3), torch.randn(7, 4).T)


@pytest.mark.parametrize("shape", [(), (6,), (4, 8), (7, 6)], ids=str)
def test_inputs_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=rf"expected inputs \[..., 7\], got {torch.Size(shape)!s}".replace("torch.Size([", r"\(").replace("])", ".*")
    ):
        made(nn.Linear(7, 5))(torch.zeros(shape))


def test_it_is_built_like_a_linear_layer() -> None:
    layer = AnalogLinear(7, 5, False, config=IDEAL, dtype=torch.float64)
    assert layer.bias is None
    assert layer.weight.dtype == torch.float64
    assert "in_features=7, out_features=5, bias=False" in repr(layer)
    torch.manual_seed(3)
    analog = AnalogLinear(7, 5, config=IDEAL)
    torch.manual_seed(3)
    assert torch.equal(analog.weight, nn.Linear(7, 5).weight)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(("ins", "outs"), [(0, 3), (3, 0), (0, 0)])
def test_a_layer_without_inputs_or_outputs_is_refused(ins: int, outs: int) -> None:
    with pytest.raises(ConfigError, match=f"a crossbar needs at least one input and one output, layer 'x' is {outs} x {ins}"):
        AnalogLinear(ins, outs, config=IDEAL, name="x")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("which", ["weight", "bias"])
def test_weights_that_are_not_finite_are_refused(which: str, value: float) -> None:
    digital = nn.Linear(3, 2)
    getattr(digital, which).data.view(-1)[1] = value
    with pytest.raises(ConversionError, match=f"1 of . values of its {which} are not finite"):
        made(digital)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int8, torch.complex64])
def test_weights_that_are_no_real_numbers_are_refused(dtype: torch.dtype) -> None:
    digital = nn.Linear(3, 2)
    digital.weight = nn.Parameter(torch.ones(2, 3).to(dtype), requires_grad=False)
    with pytest.raises(ConversionError, match=f"weights are {dtype}, and crossbars hold real numbers"):
        made(digital)


@pytest.mark.parametrize("config", [3, "no_such_preset", {"tyle": "ideal"}, {"tile": "ideal", "mapping": {"max_in": -1}}], ids=str)
def test_a_config_that_makes_no_sense_is_refused(config: Any) -> None:
    with pytest.raises(ConfigError):
        AnalogLinear(3, 2, config=config)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_with_noise(dtype: torch.dtype) -> None:
    layer = AnalogLinear(7, 5, config="pcm_inference", dtype=dtype)
    y = layer(torch.randn(3, 7, dtype=dtype))
    assert y.dtype == dtype
    y.sum().backward()
    assert layer.weight.grad is not None
    assert bool(layer.weight.grad.isfinite().all())


def test_autocast_runs_forward_and_backward() -> None:
    layer = AnalogLinear(7, 5, config="pcm_inference")
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(torch.randn(3, 7))
    y.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
