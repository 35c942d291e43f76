"""The converter kit catches conductance converters that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

import pytest
import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import one_of
from tests.testing.faults import assert_caught, caught, untested

G_MIN, G_MAX = 5.0, 25.0

FAULTS = {
    "negative_window": ("test_window_is_a_range", r"0 <= g_min < g_max < inf, got ConductanceWindow\(g_min=-5.0, g_max=25.0\)"),
    "devices_last": ("test_shapes", r"to_conductances of \[5, 7\] with devices = 2 returned shape \(5, 7, 2\) instead of \(2, 5, 7\)"),
    "one_type": ("test_shapes", r"returned torch.float32 for torch.float64 arguments"),
    "forgets_g_min": ("test_weights_come_back", r"to_weights\(to_conductances\(w\)\) must be w for every \|w\| <= 1"),
    "below_window": ("test_conductances_are_in_the_window", r"conductances from 0 to 20 uS leave the window"),
    "clips_weights": ("test_conductances_beyond_the_window_count", r"does not follow device 0 from 0 to 50 uS: to_weights must not clip"),
    "clips_conductances": ("test_conductances_beyond_the_window_count", r"does not follow device 0"),
    "draws": ("test_draws_nothing", r"to_conductances drew from torch's generator"),
    "writes": ("test_arguments_stay_as_they_are", r"to_conductances wrote into the weights"),
}


@frozen(kw_only=True)
class Faulty(ConductanceConverter):
    """A pair of devices with one fault."""

    fault: str = one_of("none", ("none", *FAULTS), "what is wrong")

    @property
    def window(self) -> ConductanceWindow:
        return ConductanceWindow(-G_MIN, G_MAX) if self.fault == "negative_window" else ConductanceWindow(G_MIN, G_MAX)

    def to_conductances(self, w: Tensor) -> Tensor:
        if self.fault == "writes":
            w.mul_(0.5)
        offset = 0.0 if self.fault == "below_window" else G_MIN
        g = offset + (G_MAX - G_MIN) * torch.stack((w, -w), dim=-1 if self.fault == "devices_last" else 0).clamp(0.0, 1.0)
        g = g.to(torch.float32) if self.fault == "one_type" else g
        return g + 1e-3 * torch.rand_like(g) if self.fault == "draws" else g

    def to_weights(self, g: Tensor) -> Tensor:
        if self.fault == "clips_conductances":
            g = g.clamp(G_MIN, G_MAX)
        w = (g[0] - g[1]) / (G_MAX if self.fault == "forgets_g_min" else G_MAX - G_MIN)
        return w.clamp(-1.0, 1.0) if self.fault == "clips_weights" else w


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("conductance_converter", Faulty(fault=fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("conductance_converter", (test for test, _ in FAULTS.values()))


def test_without_fault_all_pass() -> None:
    assert not caught("conductance_converter", Faulty())
