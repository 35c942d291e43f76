"""Programming errors of four published devices: the spread of conductances written to one value."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ohmlet.config import structure
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet_kernels.noise import Stream

DEVICES = 100_000
PCM = {"type": "state_independent", "prog_coeff": [0.28638599, 0.07585724 * 25, -0.00178767 * 25**2]}
RERAM = {"type": "reram_wan2022", "g_max_reference_uS": 39.26}
WAN = [1.0, 1.053, 0.2374 * 39.26, -1.167e-2 * 39.26**2, 1.536e-4 * 39.26**3]


def sonos(g: float) -> float:
    """Return the spread in uS of currents of 100 nA for each uS."""
    return 19.88665 / 100 * (1 - math.exp(-100 * g / 176.3115))


CASES: dict[str, tuple[dict[str, Any], ConductanceWindow, list[tuple[float, float]]]] = {
    "sonos": ({"type": "sonos"}, ConductanceWindow(0.0, 16.0), [(g, sonos(g)) for g in (2.0, 8.0, 15.0)]),
    "pcm": (PCM, ConductanceWindow(0.0, 25.0), [(5.0, 0.62098), (12.5, 0.95528), (25.0, 1.06552)]),
    "milo": ({"type": "reram_milo"}, ConductanceWindow(50.0, 225.0), [(60.0, 4.2359), (150.0, 3.41627), (220.0, 2.77878)]),
    "wan": (
        {**RERAM, "spread": [WAN]},
        ConductanceWindow(0.0, 39.26),
        [(15.0, 2.50665), (20.0, 2.36180), (35.0, 1.65185)],
    ),
}
"""A noise model with the fit of each device as CrossSim 3.2 has it, and standard deviations at some conductances, both in uS.

The built-in `pcm` and the built-in spread of `reram_wan2022` are other fits to data of the same devices.
"""


@pytest.mark.parametrize(("device", "at"), [(name, i) for name in CASES for i in range(3)])
def test_conductances_written_to_one_value_spread_as_published(device: str, at: int) -> None:
    """T10: within 2 % over 10^5 devices."""
    spec, window, published = CASES[device]
    g, sigma = published[at]
    stream = Stream(torch.tensor(7), None, torch.tensor([0]), "program")
    model, target = structure(spec, NoiseModel), torch.full((DEVICES // 500, 500), g, dtype=torch.float64)
    written = model.program(target, window, stream)
    seen = model.read(model.drift(written, model.drift_coefficients(target, window, stream), 0.0, window), written, 0.0, window, stream)
    made = seen if device == "wan" else written
    assert float(made.std()) == pytest.approx(sigma, rel=0.02)
