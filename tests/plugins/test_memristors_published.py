"""Published numbers of the metal-oxide crossbar: where they come out, and with what."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ohmlet.cells.array import fabricated
from ohmlet.circuit import Bias, hold
from ohmlet_devices.metal_oxide import MetalOxide
from ohmlet_kernels.crossbar_solve import Power, Wires
from ohmlet_kernels.noise import Stream

STUCK_SHARE = (6.38, 14.58, 20.83, 26.82, 31.38, 33.59)
"""T5: percent of 48 x 16 devices after each cycle of 40 resets of 0.5 ms and 15 sets of 0.25 ms, from the authors' notebook."""


def milliwatts(power: Power) -> list[float]:
    """Return the power of all, cells, word lines and bit lines."""
    return [1e3 * float(each) for each in (power.delivered, power.cells, power.word_lines, power.bit_lines)]


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


def test_power_of_a_crossbar_is_the_published_one_with_the_authors_temperature() -> None:
    """T6: milliwatts of the first and the last of 40 reset pulses and of a read after them, as the authors' notebook prints them.

    48 x 16 devices of 65 uS, 20 and 10 ohm, lines driven from one end. The notebook puts 313 K into a law that takes degrees Celsius.
    """
    device = MetalOxide(static_dtod=0.0, dynamic_dtod=0.0, extrapolate=True)
    object.__setattr__(device, "temperature", 313.0 + 273.15)
    g, cell = torch.full((16, 48), 65e-6, dtype=torch.float64), device.typical()
    up, wires = torch.linspace(1.0, 1.2, 16, dtype=torch.float64), Wires(20.0, 20.0, 10.0, 10.0)
    reset = Bias(torch.zeros(16, dtype=torch.float64), 1.5 * torch.cat((up, torch.full_like(up, 1.2), up.flip(0))))
    found, solution = [], None
    for _ in range(40):
        written = hold(device, g, cell, reset, 5e-4, wires, guess=solution)
        g, solution = written.g, written.solution
        found.append(milliwatts(written.power))
    high = torch.tensor([int(each) for each in "1011001110101000"], dtype=torch.float64)
    read = Bias(0.1 + 0.3 * high, torch.zeros(48, dtype=torch.float64))
    found.append(milliwatts(hold(device, g, cell, read, 1e-12, wires).power))
    published = [[97.159, 44.999, 43.778, 8.382], [88.815, 40.093, 41.977, 6.744], [2.5504, 1.2502, 1.1388, 0.1613]]
    np.testing.assert_allclose([found[0], found[39], found[40]], published, rtol=0.05)
    np.testing.assert_allclose(found[0][0], published[0][0], rtol=1e-3)
    # At 313 K as the law means them, the same pulse takes less.
    right = MetalOxide(static_dtod=0.0, dynamic_dtod=0.0, extrapolate=True, temperature=313.0)
    assert milliwatts(hold(right, torch.full_like(g, 65e-6), cell, reset, 5e-4, wires).power)[0] < 0.9 * 97.159
