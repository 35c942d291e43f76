"""Automatic mixed precision: products in the lower precision, noise and scales in the weights', and a scaler that may skip a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet

TYPES = [torch.bfloat16, torch.float16]
NOISY: dict[str, Any] = {
    "tile": {
        "type": "inference",
        "forward": {
            "dac": {"bits": 8},
            "adc": {"bits": 8, "bound": 10.0},
            "input_range": {"type": "learned", "init_batches": 1},
            "out_noise": 0.05,
            "weight_noise": {"type": "pcm_read", "std": 0.02},
        },
        "training": {"modifier": {"type": "add_normal", "std": 0.05}},
    },
    "mapping": {"max_in": 7},
    "seed": 4,
}
X, Y = torch.randn(24, 12, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3


def network(config: Any = NOISY) -> Any:
    torch.manual_seed(0)
    return ohmlet.convert(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3)), config).model


def gradients(model: nn.Module, dtype: torch.dtype | None) -> tuple[Tensor, dict[str, Tensor]]:
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        y = model(X)
        loss = nn.functional.cross_entropy(y, Y)
    loss.backward()
    return y.detach(), {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_outputs_are_of_the_lower_precision_and_gradients_of_the_weights(dtype: torch.dtype) -> None:
    # Without converters: one step of an ADC more or less would hide what the precision does.
    plain = {**NOISY, "tile": {**NOISY["tile"], "forward": {k: v for k, v in NOISY["tile"]["forward"].items() if k not in ("dac", "adc")}}}
    exact, expected = gradients(network(plain), None)
    y, found = gradients(network(plain), dtype)
    assert y.dtype == dtype
    assert found.keys() == expected.keys()
    places = 2.0 ** -(8 if dtype == torch.bfloat16 else 11)
    assert torch.allclose(y.float(), exact, atol=8 * places)
    assert not torch.equal(y.float(), exact)
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, expected[name], atol=8 * places * float(expected[name].abs().max()) + 1e-6), name


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_noise_and_scales_are_those_of_full_precision(dtype: torch.dtype) -> None:
    config = {"tile": {"type": "inference", "forward": {"input_range": "none", "out_noise": 0.1}}, "seed": 4}
    models = [network(config)[:1], network(config)[:1]]
    for model in models:
        # Multiples of 1/8 with a largest of 1/2: products are exact in every precision, so noise is all that is left.
        model[0].weight.data = (torch.arange(16 * 12).view(16, 12) % 9 - 4) / 8
        model[0].bias.data.zero_()
    x = (torch.arange(24 * 12).view(24, 12) % 5 - 2) / 4
    expected = models[0](x)
    with torch.autocast("cpu", dtype=dtype):
        found = models[1](x)
        (mapped,) = models[1][0].array.mapped_blocks(models[1][0].weight, None)
    assert torch.equal(found, expected.to(dtype))
    assert torch.equal(mapped.scale, torch.full((16, 1), 0.5))
    assert mapped.scale.dtype == mapped.w.dtype == torch.float32


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_training_in_mixed_precision_learns_and_keeps_the_state_in_full_precision(dtype: torch.dtype) -> None:
    model = network()
    # Other gradients of the loss, through the whole of the mixed-precision pass.
    optimizer, scaler = torch.optim.Adam(model.parameters(), 0.02), torch.amp.GradScaler("cpu", enabled=dtype == torch.float16)
    losses = []
    for _ in range(40):
        with torch.autocast("cpu", dtype=dtype):
            loss = nn.functional.cross_entropy(model(X), Y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32, torch.int64}
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    shifts = [value for name, value in model.state_dict().items() if name.endswith("shift")]
    assert all(shift.abs() > 0 for shift in shifts)


def test_a_step_that_the_scaler_skips_does_not_count() -> None:
    model = network()
    optimizer, scaler = torch.optim.SGD(model.parameters(), 0.01), torch.amp.GradScaler("cpu", init_scale=2.0)
    for factor in (1.0, float("inf"), 1.0):
        with torch.autocast("cpu", dtype=torch.float16):
            loss = nn.functional.cross_entropy(model(X), Y)
        optimizer.zero_grad()
        scaler.scale(loss * factor).backward()
        scaler.step(optimizer)
        scaler.update()
    assert int(model[0].array.steps) == 2
    assert int(model[0].array.trained_samples) == 3 * len(X)
