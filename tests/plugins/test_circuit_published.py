"""Published numbers of crossbars with resistive wires, through tile `circuit`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ohmlet

POINTS, INPUTS = 256, 400
PUBLISHED = {(256, 0.005): 0.0723, (256, 0.01): 0.1357, (256, 0.05): 0.4501, (64, 0.05): 0.0475}
"""CrossSim 3.2, relative L2 error of a 256-point transform by largest array and ohm per cell; 1 kohm, on/off 1000, one unknown input.

In tiles of 128 it gave 0.1477, where white noise gives 0.163 +- 0.004 and smooth signals scatter by 0.025: no number to test against.
"""


def errors(size: int, ohm: float) -> Tensor:
    """Return the relative L2 error of each of INPUTS random signals, real parts of the transform."""
    at = np.arange(POINTS)
    matrix = torch.tensor(np.cos(2 * np.pi * np.outer(at, at) / POINTS))
    layer = nn.Linear(POINTS, POINTS, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(matrix)
    x = torch.randn(INPUTS, POINTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = x @ matrix.mT
    config = {
        "tile": {
            "type": "circuit",
            "wires": {"r_word": ohm, "r_bit": ohm, "r_source": ohm, "r_sense": ohm},
            "conductance_converter": {"type": "single_pair", "g_max_uS": 1000.0, "g_min_uS": 1.0},
            "rtol": 1e-6,
        },
        "mapping": {"max_in": size, "max_out": size, "scales": "tilewise"},
    }
    with torch.no_grad():
        found = ohmlet.convert(nn.Sequential(layer), config).model.eval()(x)
    off: Tensor = (found - exact).norm(dim=-1) / exact.norm(dim=-1)
    return off


@pytest.mark.slow
@pytest.mark.parametrize(("size", "ohm"), PUBLISHED)
def test_a_fourier_transform_on_resistive_wires(size: int, ohm: float) -> None:
    """The known error is one that white noise gives."""
    found = errors(size, ohm)
    assert abs(float(found.mean()) - PUBLISHED[size, ohm]) < 3 * float(found.std())
    assert float(found.std()) < 0.05 * float(found.mean())
