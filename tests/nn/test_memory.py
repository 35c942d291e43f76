"""What a layer keeps for its backward pass: codes instead of inputs, and no noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ohmlet

CONVERTERS: dict[str, Any] = {"dac": {"bits": 8}, "adc": {"bits": 8, "bound": 10.0}, "out_noise": 0.04}
PCM = {"weight_noise": "pcm_read", "ir_drop": "quadratic"}
MODIFIED = {"modifier": {"type": "add_normal", "std": 0.08}}


def kept_bytes(layer: nn.Module, x: torch.Tensor) -> int:
    """Return the bytes of memory that a forward pass keeps for backward, the parameters and buffers left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*layer.parameters(), *layer.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    assert y.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("batch", [32, 512])
@pytest.mark.parametrize(
    "tile",
    [
        {"forward": CONVERTERS},
        {"forward": CONVERTERS, "training": MODIFIED},
        {"forward": {**CONVERTERS, **PCM}, "training": MODIFIED},
        {"forward": {**CONVERTERS, **PCM, "input_range": "learned"}, "training": MODIFIED},
    ],
    ids=["converters", "weight noise", "read noise and IR drop", "learned range"],
)
def test_no_more_is_kept_than_a_quarter_above_a_digital_layer(tile: dict[str, Any], batch: int) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(256, 256)
    x = torch.randn(batch, 256, requires_grad=True)
    digital = kept_bytes(linear, x)
    assert digital == x.numel() * 4
    analog = ohmlet.convert(linear, {"tile": {"type": "inference", **tile}, "engine": "numba"}).model.train()
    kept = kept_bytes(analog, x)
    # At least the codes of the inputs.
    assert x.numel() <= kept <= 1.25 * digital


@pytest.mark.parametrize("groups", [1, 4])
def test_an_ideal_layer_keeps_its_inputs_and_scales_and_no_scaled_weights(groups: int) -> None:
    torch.manual_seed(0)
    digital = nn.Conv1d(256, 128, 1, groups=groups).double()
    x = torch.randn(8, 256, 2, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(digital(x).square().sum(), (x, *digital.parameters()))
    made = ohmlet.convert(digital, {"tile": "ideal", "mapping": {"omega": 0.7, "max_in": 0, "max_out": 0}}).model.train()
    kept = kept_bytes(made, x)
    found = torch.autograd.grad(made(x).square().sum(), (x, *made.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    # Inputs as patches, outputs, and a number for each output: the weights have 32768 / groups numbers.
    assert kept <= 8 * (2 * x.numel() + 2 * 8 * 128 * 2 + 4 * 128)
