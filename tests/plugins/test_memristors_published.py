"""Published numbers of the metal-oxide crossbar: where they come out, and with what."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ohmlet.cells.array import fabricated
from ohmlet.circuit import Bias, hold
from ohmlet_devices.metal_oxide import MetalOxide
from ohmlet_kernels.crossbar_solve import Wires
from ohmlet_kernels.noise import Stream

STUCK_SHARE = (6.38, 14.58, 20.83, 26.82, 31.38, 33.59)
"""Percent of 48 x 16 devices after each cycle of 40 resets of 0.5 ms and 15 sets of 0.25 ms, from the authors' notebook."""


@pytest.mark.slow
def test_stuck_devices_add_up_over_cycles_as_published() -> None:
    # The notebook's reset voltage is 1.5 V; its set voltage is not on record, and 0.84 V is the one parameter that is chosen here.
    device = MetalOxide(range_policy="stuck")
    share = []
    for seed in range(4):
        like = torch.full((16, 48), 65e-6, dtype=torch.float64)
        cell, _ = fabricated(device, 16, 48, Stream(torch.tensor(seed)), like)
        g, found = like, []
        for _ in range(6):
            for volts, seconds, count in ((-1.5, 5e-4, 40), (0.84, 2.5e-4, 15)):
                for _ in range(count):
                    g = device.applied(g, torch.full_like(g, volts), seconds, cell)
            found.append(100 * float(device.stuck(g).double().mean()))
        share.append(found)
    np.testing.assert_allclose(np.mean(share, axis=0), STUCK_SHARE, atol=5.0)


def test_power_of_a_crossbar_is_the_published_one_with_the_authors_temperature_and_drive() -> None:
    # 97.16 mW in the first of 40 reset pulses and 88.8 mW in the last, 48 x 16 devices of 65 uS, 20 and 10 ohm. They come out with word
    # lines driven from one end, and with 358 K put into a law that takes degrees Celsius: half as much conductance again.
    device = MetalOxide(static_dtod=0.0, dynamic_dtod=0.0, extrapolate=True)
    object.__setattr__(device, "temperature", 358.0 + 273.15)
    g, cell = torch.full((16, 48), 65e-6, dtype=torch.float64), device.typical()
    taper = 1 + 0.2 * (1 - (torch.arange(48, dtype=torch.float64) - 23.5).abs() / 23.5)
    bias, wires, found = Bias(torch.zeros(16, dtype=torch.float64), 1.5 * taper), Wires(20.0, 20.0, 10.0, 10.0), []
    solution = None
    for _ in range(40):
        written = hold(device, g, cell, bias, 5e-4, wires, guess=solution)
        g, solution = written.g, written.solution
        found.append(1e3 * float(written.power.delivered))
    np.testing.assert_allclose([found[0], found[-1]], [97.16, 88.8], rtol=0.05)
    # At 85 degrees as the law means them, the same pulse takes less.
    warm = MetalOxide(static_dtod=0.0, dynamic_dtod=0.0, extrapolate=True, temperature=358.0)
    assert 1e3 * float(hold(warm, torch.full_like(g, 65e-6), cell, bias, 5e-4, wires).power.delivered) < 0.9 * 97.16
