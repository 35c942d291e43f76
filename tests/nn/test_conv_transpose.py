from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.errors import ConversionError
from ohmlet.nn import AnalogConvTranspose2d
from tests.nn.agreement import IDEAL, SPLIT, agree, analog

LAYERS: list[Any] = [(nn.ConvTranspose1d, (9,)), (nn.ConvTranspose2d, (5, 4)), (nn.ConvTranspose3d, (3, 4, 2))]
GEOMETRIES: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"stride": 2},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": 3, "padding": 2, "groups": 2},
    {"dilation": 2},
    {"dilation": 3, "output_padding": 2, "padding": 1},
    {"groups": 4, "out_channels": 12, "bias": False},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 4, "stride": 2, "padding": 3},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("mapping", [{}, {**SPLIT, "bias": "digital"}], ids=str)
@pytest.mark.parametrize(("cls", "sizes"), LAYERS, ids=["1d", "2d", "3d"])
def test_on_ideal_crossbars_it_equals_the_digital_layer(cls: Any, sizes: Any, mapping: dict[str, Any], geometry: dict[str, Any]) -> None:
    digital = cls(**{"in_channels": 4, "out_channels": 8, "kernel_size": 3, **geometry})
    agree(digital, analog(digital, **mapping), torch.randn(2, 4, *sizes))


@pytest.mark.parametrize(("cls", "sizes"), LAYERS, ids=["1d", "2d", "3d"])
def test_a_single_sample_and_a_wanted_output_size_are_taken(cls: Any, sizes: tuple[int, ...]) -> None:
    digital = cls(4, 6, 3, stride=2, padding=1)
    agree(digital, analog(digital), torch.randn(4, *sizes))
    agree(digital, analog(digital), torch.randn(2, 4, *sizes), output_size=[2 * size for size in sizes])
    agree(digital, analog(digital), torch.randn(2, 4, *sizes), output_size=(2, 6, *[2 * size - 1 for size in sizes]))


def test_different_geometry_along_each_size() -> None:
    digital = nn.ConvTranspose2d(4, 6, (1, 4), stride=(3, 2), padding=(0, 1), output_padding=(2, 0), dilation=(1, 2), groups=2)
    agree(digital, analog(digital, max_in=1, max_out=5), torch.randn(2, 4, 3, 5))


def test_each_group_has_crossbars_that_hold_out_times_kernel_outputs() -> None:
    layer = AnalogConvTranspose2d(4, 6, 3, groups=2, config=IDEAL)
    assert (layer.array.groups, layer.array.out_features, layer.array.in_features) == (2, 27, 2)
    assert layer.weight.shape == (4, 3, 3, 3)
    assert torch.equal(layer.flat_weight()[27 + 9 + 5], layer.weight[2:, 1, 1, 2])


def test_an_analog_bias_is_refused_with_the_rule_that_helps() -> None:
    config = {**IDEAL, "mapping": {"bias": "analog"}}
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 3, bias=True))
    with pytest.raises(
        ConversionError, match=r"layer '1': mapping.bias is analog, .* rules=\{\"type:ConvTranspose2d\": \{\"mapping.bias\": "
    ):
        ohmlet.convert(model, config)
    report = ohmlet.convert(model, config, {"type:ConvTranspose2d": {"mapping.bias": "digital"}})
    assert len(report.of("analog")) == 2
    assert len(ohmlet.convert(nn.Sequential(nn.ConvTranspose2d(3, 2, 3, bias=False)), config).of("analog")) == 1


@pytest.mark.parametrize("shape", [(2, 3, 5, 5), (5, 5), (1, 2, 4, 5, 5)], ids=str)
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected images \[N, 4, H, W\] or \[4, H, W\], got"):
        analog(nn.ConvTranspose2d(4, 6, 3))(torch.zeros(shape))
