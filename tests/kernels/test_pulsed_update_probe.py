"""Looks at slices on the way through a mini-batch see what stopping there would see, on every engine."""

from __future__ import annotations

import pytest
import torch

from ohmlet.cells import DeviceArray, build_array
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_devices.soft_bounds import SoftBounds
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.cells import Probe
from ohmlet_kernels.pulsed_update.trains import trains
from tests.plugins.in_memory import noise, site


@pytest.mark.parametrize("engine", ["reference", "auto"])
@pytest.mark.parametrize("columns", [True, False])
@pytest.mark.parametrize(("rows", "width"), [(3, 5), (1, 1), (2, 700)])
def test_looks(engine: str, columns: bool, rows: int, width: int) -> None:
    at = site(rows, width, engine=engine)
    draw = Stream(torch.tensor(9))
    x, d = draw.normal("x", torch.empty(6, width)), draw.normal("d", torch.empty(6, rows))
    x[2] = 0.0
    count = width if columns else rows
    after, slices = [0, 1, 1, 3, 6, 6], [0, count - 1, 0, count // 2, count - 1, 0]
    whole, stopped = (build_array(SoftBounds(dw_min=0.01), at) for _ in range(2))
    assert isinstance(whole, DeviceArray)
    made = trains(x, d, 0.05, whole.granularity, PulsedUpdate().numbers(), noise(at, 0, 6), whole.kernel("pulse_bits", "cpu"))
    seen = torch.full((len(after), rows if columns else width), torch.nan)
    whole.pulse_trains(made, noise(at, 0, 6), Probe(torch.tensor(after), torch.tensor(slices), columns, seen))
    expected = []
    for done, which in zip(after, slices, strict=True):
        fresh = build_array(SoftBounds(dw_min=0.01), at)
        fresh.pulse(x[:done], d[:done], 0.05, PulsedUpdate(), noise(at, 0, done))
        expected.append((fresh.weights()[:, which] if columns else fresh.weights()[which]).clone())
    torch.testing.assert_close(seen, torch.stack(expected), rtol=0, atol=0)
    stopped.pulse(x, d, 0.05, PulsedUpdate(), noise(at, 0, 6))
    torch.testing.assert_close(whole.weights(), stopped.weights(), rtol=0, atol=0)


def test_looks_without_vectors() -> None:
    """An empty mini-batch shows the weights as they are."""
    at = site(2, 3)
    array = build_array(SoftBounds(dw_min=0.01), at)
    assert isinstance(array, DeviceArray)
    array.set_weights(0.1 * torch.ones(2, 3), noise(at, 0, 1).shared())
    seen = torch.full((1, 2), torch.nan)
    empty = noise(at, 0, 0)
    made = trains(torch.empty(0, 3), torch.empty(0, 2), 0.1, 0.01, PulsedUpdate().numbers(), empty, array.kernel("pulse_bits", "cpu"))
    array.pulse_trains(made, empty, Probe(torch.tensor([0]), torch.tensor([1]), True, seen))
    torch.testing.assert_close(seen, 0.1 * torch.ones(1, 2))
