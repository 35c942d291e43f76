"""One- and three-dimensional convolutions; the two-dimensional one has tests of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.nn.agreement import MAPPINGS, agree, analog

# torch says once that its own layer copies here.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

GEOMETRIES: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"stride": 2},
    {"stride": 3, "padding": 2},
    {"dilation": 2},
    {"dilation": 2, "padding": 1, "stride": 2},
    {"groups": 2},
    {"groups": 4, "out_channels": 12, "bias": False},
    {"padding": "valid"},
    {"padding": "same"},
    {"padding": "same", "kernel_size": 2, "dilation": 2},
    {"kernel_size": 1},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_conv1d_on_ideal_crossbars_equals_the_digital_layer(mapping: dict[str, Any], geometry: dict[str, Any]) -> None:
    digital = nn.Conv1d(**{"in_channels": 4, "out_channels": 8, "kernel_size": 3, **geometry})
    agree(digital, analog(digital, **mapping), torch.randn(3, 4, 11))


@pytest.mark.parametrize("geometry", [*GEOMETRIES, {"kernel_size": (1, 3, 2), "stride": (2, 1, 1), "padding": (0, 1, 2)}], ids=str)
@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_conv3d_on_ideal_crossbars_equals_the_digital_layer(mapping: dict[str, Any], geometry: dict[str, Any]) -> None:
    digital = nn.Conv3d(**{"in_channels": 4, "out_channels": 8, "kernel_size": 3, **geometry})
    agree(digital, analog(digital, **mapping), torch.randn(2, 4, 6, 5, 7))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, 2, "same"])
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize(("cls", "sizes"), [(nn.Conv1d, (7,)), (nn.Conv3d, (4, 5, 6))], ids=["1d", "3d"])
def test_every_padding_mode_equals_the_digital_one(cls: Any, sizes: tuple[int, ...], kernel: int, padding: Any, mode: str) -> None:
    digital = cls(3, 2, kernel, padding=padding, padding_mode=mode)
    agree(digital, analog(digital), torch.randn(2, 3, *sizes))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("cls", "sizes"), [(nn.Conv1d, (5,)), (nn.Conv3d, (4, 3, 5))], ids=["1d", "3d"])
def test_a_single_sample_and_an_empty_batch_are_taken(cls: Any, sizes: tuple[int, ...], groups: int) -> None:
    digital = cls(4, 6, 3, groups=groups)
    agree(digital, analog(digital), torch.randn(4, *sizes))
    assert analog(digital)(torch.randn(0, 4, *sizes)).shape == digital(torch.randn(0, 4, *sizes)).shape


@pytest.mark.parametrize(
    ("cls", "shape", "words"),
    [
        (nn.Conv1d, (2, 3, 7), r"expected inputs \[N, 4, L\] or \[4, L\], got \(2, 3, 7\)"),
        (nn.Conv1d, (2, 4, 7, 7), r"expected inputs \[N, 4, L\]"),
        (nn.Conv1d, (2, 4, 2), r"inputs \(2, 4, 2\), padding included, are smaller than the kernel \(3,\)"),
        (nn.Conv3d, (3, 7, 7, 7), r"expected inputs \[N, 4, D, H, W\] or \[4, D, H, W\], got"),
        (nn.Conv3d, (2, 4, 5, 2, 5), "are smaller than the kernel"),
    ],
    ids=str,
)
def test_inputs_of_another_shape_are_refused(cls: Any, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        analog(cls(4, 6, 3))(torch.zeros(shape))
