"""Layers that learn in memory: with ideal cells and floating-point updates they follow torch's SGD, whatever the layer and its mapping."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.optim import AnalogSGD

IDEAL = {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": "ideal"}, "update": {"pulse_type": "none"}}


class Twice(nn.Module):
    """One matrix used twice in a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(torch.tanh(self.layer(x)))
        return y


class First(nn.Module):
    """A module that returns several things, the first of them counts."""

    def __init__(self, inner: nn.Module, inputs: int = 1) -> None:
        super().__init__()
        self.inner, self.inputs = inner, inputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(*[x] * self.inputs)[0]
        return y


LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 5), (4, 6)),
    "linear with positions, no bias": (lambda: nn.Linear(6, 5, bias=False), (4, 3, 6)),
    "used twice": (Twice, (4, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2), (3, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1), (3, 4, 5, 5)),
    "conv2d in groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (3, 4, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 3, 3, 3)),
    "transposed conv2d": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (3, 4, 5, 5)),
    "lstm": (lambda: First(nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)), (3, 4, 6)),
    "gru": (lambda: First(nn.GRU(6, 5, batch_first=True)), (3, 4, 6)),
    "rnn": (lambda: First(nn.RNN(6, 5)), (4, 3, 6)),
    "attention": (lambda: First(nn.MultiheadAttention(6, 2, batch_first=True), 3), (3, 4, 6)),
}


@pytest.mark.parametrize(
    ("scales", "bias", "largest"), [("none", "digital", 0), ("columnwise", "analog", 4), ("tilewise", "digital", 3), ("none", "analog", 0)]
)
@pytest.mark.parametrize("name", LAYERS)
def test_ideal_cells_follow_sgd(name: str, scales: str, bias: str, largest: int) -> None:
    make, shape = LAYERS[name]
    if bias == "analog" and (name.startswith("transposed") or "no bias" in name):
        pytest.skip("has no bias in its matrix")
    torch.manual_seed(1)
    digital = nn.Sequential(make())
    analog = copy.deepcopy(digital)
    ohmlet.convert(analog, {"tile": IDEAL, "mapping": {"scales": scales, "bias": bias, "max_in": largest, "omega": 1.0}})
    assert not any(parameter.requires_grad for label, parameter in analog.named_parameters() if "weight" in label)
    optimizers = torch.optim.SGD(digital.parameters(), 0.1), AnalogSGD(analog.parameters(), 0.1)
    for _ in range(3):
        for model, optimizer in zip((digital, analog), optimizers, strict=True):
            optimizer.zero_grad()
            torch.manual_seed(2)
            for _ in range(2):  # two micro-batches a step
                model(torch.randn(shape)).square().mean().backward()
            optimizer.step()
    trained = ohmlet.to_digital(analog)
    for expected, found in zip(digital.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_inputs_get_the_gradient_of_the_weights_that_were_read() -> None:
    torch.manual_seed(0)
    digital = nn.Linear(6, 5)
    analog = copy.deepcopy(digital)
    model = nn.Sequential(analog)
    ohmlet.convert(model, {"tile": IDEAL, "mapping": {"scales": "columnwise"}})
    x = torch.randn(4, 6)
    gradients = []
    for layer in (digital, model):
        given = x.clone().requires_grad_()
        layer(given).square().sum().backward()
        gradients.append(given.grad)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("scales", "factor", "remedy"),
    [("columnwise", 1.0, "lower mapping.omega"), ("none", 6.0, "give smaller initial weights, or set mapping.scales to columnwise")],
)
def test_weights_that_devices_cannot_hold_are_told(scales: str, factor: float, remedy: str) -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(40, 30))
    with torch.no_grad():
        model[0].weight.mul_(factor)
    with pytest.warns(UserWarning, match=rf"hold [78].% of the weights.*{remedy}"):
        ohmlet.convert(
            model,
            {
                "tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": "constant_step"}},
                "mapping": {"scales": scales},
            },
        )


def test_noise_of_reading_is_no_reason_for_that_warning() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32))
    ohmlet.convert(model, ohmlet.build(algorithm="sgd", device="reram_es"))
