from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.nn import AnalogConv2d
from tests.nn.test_linear import IDEAL, same

# torch says once that its own layer copies here.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def made(module: nn.Conv2d, **mapping: Any) -> Any:
    return AnalogConv2d.from_digital(module, ohmlet.AnalogConfig.parse({**IDEAL, "mapping": mapping}))


GEOMETRIES: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"kernel_size": (1, 3)},
    {"stride": 2},
    {"stride": (1, 3), "padding": (2, 0)},
    {"dilation": 2},
    {"dilation": (1, 2), "padding": 1, "stride": 2},
    {"groups": 2},
    {"groups": 4},
    {"groups": 4, "out_channels": 12, "bias": False},
    {"padding": "valid"},
    {"padding": "same"},
    {"padding": "same", "kernel_size": 2},
    {"padding": "same", "kernel_size": (4, 3), "dilation": (1, 2)},
    {"padding": "same", "kernel_size": 2, "padding_mode": "reflect"},
    {"kernel_size": 1},
    {"kernel_size": (6, 5)},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("mapping", [{}, {"max_in": 5, "max_out": 1, "bias": "analog", "scales": "tilewise", "omega": 0.4}], ids=str)
def test_on_ideal_crossbars_it_equals_the_digital_layer(mapping: dict[str, Any], geometry: dict[str, Any]) -> None:
    digital = nn.Conv2d(**{"in_channels": 4, "out_channels": 8, "kernel_size": 3, **geometry})
    same(digital, made(digital, **mapping), torch.randn(2, 4, 6, 5))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, (2, 0), "same", "valid"])
@pytest.mark.parametrize("kernel", [2, 3, (4, 3)])
def test_every_padding_mode_equals_the_digital_one(kernel: Any, padding: Any, mode: Any) -> None:
    digital = nn.Conv2d(3, 2, kernel, padding=padding, padding_mode=mode)
    same(digital, made(digital), torch.randn(2, 3, 6, 7))


@pytest.mark.parametrize("shape", [(4, 6, 5), (1, 4, 6, 5), (0, 4, 6, 5), (3, 4, 3, 3)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_it_takes_single_images_and_empty_batches(groups: int, shape: tuple[int, ...]) -> None:
    digital = nn.Conv2d(4, 6, 3, groups=groups)
    same(digital, made(digital), torch.randn(shape))


def test_it_equals_the_digital_layer_in_double_precision() -> None:
    digital = nn.Conv2d(4, 6, 3, groups=2, dtype=torch.float64)
    same(digital, made(digital, max_in=7), torch.randn(2, 4, 6, 5, dtype=torch.float64))


def test_channels_last_images_give_the_same() -> None:
    digital = nn.Conv2d(4, 6, 3)
    same(digital, made(digital), torch.randn(2, 4, 6, 5).to(memory_format=torch.channels_last))


@pytest.mark.parametrize("shape", [(6, 5), (3, 6, 5), (2, 3, 6, 5), (1, 2, 4, 6, 5)], ids=str)
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected images \[N, 4, H, W\] or \[4, H, W\], got"):
        made(nn.Conv2d(4, 6, 3))(torch.zeros(shape))


def test_images_smaller_than_the_kernel_are_refused() -> None:
    with pytest.raises(RuntimeError):
        made(nn.Conv2d(4, 6, 3))(torch.zeros(1, 4, 2, 5))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_back_to_digital_is_the_same_layer(geometry: dict[str, Any]) -> None:
    digital = nn.Conv2d(**{"in_channels": 4, "out_channels": 8, "kernel_size": 3, **geometry})
    back = made(digital).to_digital()
    assert repr(back) == repr(digital)
    assert back.weight is digital.weight
    assert back.bias is digital.bias
    x = torch.randn(2, 4, 6, 5)
    assert torch.equal(back(x), digital(x))


def test_it_is_built_like_a_convolution() -> None:
    layer = AnalogConv2d(4, 6, 3, stride=2, padding="valid", groups=2, bias=False, config=IDEAL)
    assert layer.bias is None
    assert "in_channels=4, out_channels=6, kernel_size=(3, 3), stride=(2, 2), padding=valid" in repr(layer)
    assert "groups=2" in repr(layer)


def test_noise_is_drawn_per_image_and_position_and_group() -> None:
    config = {"tile": {"type": "inference", "forward": {"input_range": "none", "out_noise": 1.0}}, "mapping": {"scales": "none"}}
    layer = AnalogConv2d(4, 4, 1, groups=4, bias=False, config=config)
    layer.weight.data.zero_()
    noise = layer(torch.zeros(8, 4, 16, 16)).detach()
    assert float(noise.std()) == pytest.approx(1.0, abs=0.05)  # 8192 normals: five standard errors are 0.04
    assert len(noise.flatten().unique()) > 0.999 * noise.numel()
