"""Matrix-vector products of 64x64 crossbars of CMO/HfOx over time, against the errors added up by hand and the published ones."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

import ohmlet

YEARS = 10 * 365 * 86400.0
SPAN = (88.2 - 9.0) / 2
"""Conductance [uS] of a weight of 1."""


def error(t: Any, **changes: Any) -> tuple[float, float]:
    """Return the RMSE of products of weights and inputs uniform over [-1, 1], and how far off outputs are on average per sum of inputs."""
    torch.manual_seed(1)
    model: Any = nn.Sequential(nn.Linear(64, 64, bias=False))
    nn.init.uniform_(model[0].weight, -1, 1)
    x = torch.rand(400, 64) * 2 - 1
    exact = model(x).detach()
    config = ohmlet.load_config("cmo_inference").override({path.replace("__", "."): value for path, value in changes.items()})
    ohmlet.convert(model, config)
    off = ohmlet.program(model.eval(), instances=20, seed=1).at(t)(x) - exact
    slope = float((off.mean(-1) * x.sum(-1)).mean() / x.sum(-1).square().mean())
    return float(off.square().mean().sqrt()), slope


def by_hand(t: float) -> float:
    """Return the RMSE without converters: 64 products of an input of variance 1/3 and a weight off by drift, spread and read noise."""
    log_t = math.log(t)
    mean, spread = -0.08900206 * log_t, 0.41183342 + 0.04201137 * log_t
    read = 0.0277316483 * math.log10(48.6) * math.sqrt(math.log((t + 1e-6) / 2e-6))
    programming = 0.00081107 + 0.00106879 * 48.6
    return math.sqrt(64 / 3 * (mean**2 + spread**2 + read**2 + programming**2)) / SPAN


BARE = {"tile__forward__dac": None, "tile__forward__adc": None, "tile__forward__ir_drop": None}


@pytest.mark.parametrize("t", [1.0, 3600.0, YEARS])
def test_errors_of_the_devices_add_up(t: float) -> None:
    # Up to 4 %: mapping and reading noise depend a little on the conductance, and the ends of the window cut devices off.
    assert error(t, **BARE)[0] == pytest.approx(by_hand(t), rel=0.04)


def test_converters_and_wires_add_what_they_do_without_devices() -> None:
    """6 bits at the input, 8 at the output with bound 15: steps of 2/62 and 30/254 on each of 64 inputs and on the output."""
    rounding = math.sqrt(64 / 3 * (2 / 62) ** 2 / 12 + (30 / 254) ** 2 / 12)
    ideal = {f"tile__noise_model__{name}": 0.0 for name in ("prog_noise_scale", "read_noise_scale", "drift_scale")}
    assert error(1.0, tile__forward__ir_drop=None, **ideal)[0] == pytest.approx(rounding, rel=0.03)
    with_wires = error(1.0, **ideal)[0]
    assert rounding * 1.05 < with_wires < rounding * 1.4


def test_the_published_order_of_magnitude() -> None:
    """Published (first version of the preprint): 0.06 at 1 s, 0.2 after ten years; the whole preset comes to 0.08 and 0.25."""
    early, late = error("1 s"), error("10 years")
    assert early[0] == pytest.approx(0.080, abs=0.004)
    assert late[0] == pytest.approx(0.25, abs=0.01)
    assert 2.5 < late[0] / early[0] < 3.7
    # What is common to all devices, -1.74 uS, is the larger part of it.
    assert late[1] == pytest.approx(-1.74 / SPAN, rel=0.06)


def test_a_pair_cancels_the_common_part() -> None:
    pair = {"type": "single_pair", "g_min_uS": 9.0, "g_max_uS": 88.2}
    assert error("10 years", tile__conductance_converter=pair)[0] == pytest.approx(0.153, abs=0.008)


def test_a_reference_device_cancels_it_too_and_adds_its_own_spread() -> None:
    reference = {"type": "custom_pair", "g_min_uS": 9.0, "g_max_uS": 88.2, "conductances": [[9.0, 88.2], [48.6, 48.6]]}
    found, slope = error("10 years", tile__conductance_converter=reference, **BARE)
    assert slope == pytest.approx(0.0, abs=2e-3)
    assert found == pytest.approx(math.sqrt(64 / 3 * 2 * (1.23**2 + 0.27**2)) / SPAN, rel=0.05)
