"""The noise model kit catches noise models that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import one_of
from ohmlet_kernels.noise import Stream
from tests.testing.faults import assert_caught, caught, untested

PRIVATE = torch.Generator().manual_seed(0)
LAST_LOOK = {"t": 0.0}

FAULTS = {
    "negative": ("test_conductances_are_possible", r"reaches -[\d.]+ uS, no device has that: end with .clamp_min\(0\)"),
    "one_type": ("test_conductances_are_possible", r"program returned torch.float32 for torch.float64 arguments"),
    "one_row": ("test_conductances_are_possible", r"program returned shape \(1, 7\) instead of \(5, 7\)"),
    "no_zero": ("test_zero_and_full_conductance", r"of the target 0 uS at 0 s: 105 of 105 numbers are NaN"),
    "one_window": ("test_every_window", r"in ConductanceWindow\(g_min=0.1, g_max=100.0\): \d+ of \d+ numbers are NaN"),
    "late_start": ("test_drift_starts_from_what_was_programmed", r"drift at t = 0 must return what was programmed"),
    "unchecked_limits": ("test_refuses_what_it_does_not_describe", r"g_max=40.0\), beyond the limits .*call self.check\(window, t\) first"),
    "unchecked_times": ("test_refuses_what_it_does_not_describe", r"served 1800 s, which is none of \(0.0, 3600.0, 7200.0\)"),
    "writes_targets": ("test_arguments_stay_as_they_are", r"wrote into the targets"),
    "writes_drifted": ("test_arguments_stay_as_they_are", r"read wrote into the drifted conductances"),
    "torch_generator": (
        "test_draws_from_the_stream_only",
        r"program drew from torch's generator.*noise.normal\(\"purpose\", like\)",
    ),
    "numpy_generator": ("test_draws_from_the_stream_only", r"read drew from NumPy's global generator"),
    "python_generator": ("test_draws_from_the_stream_only", r"drift_coefficients drew from Python's random module"),
    "private_generator": ("test_draws_from_the_stream_only", r"program gave other numbers when called again with the same stream"),
    "fixed_seed": (
        "test_without_noise_equal_targets_stay_equal",
        r"programmed: devices of one target differ though the stream gave no noise",
    ),
    "one_purpose": ("test_each_draw_has_a_purpose_of_its_own", r"drew for the purpose 'noise' more than once"),
    "centred": ("test_instances_are_addressed", r"programmed: instance 0 alone differs from instance 0 among three"),
    "one_key": ("test_instances_are_addressed", r"programmed: two chip instances got the same noise"),
    "remembers": ("test_times_in_any_order", r"differs from an earlier look at the same time: keep no state"),
}


@frozen(kw_only=True)
class Faulty(NoiseModel):
    """A noise model with one fault."""

    fault: str = one_of("none", ("none", *FAULTS), "what is wrong")

    @property
    def limits(self) -> ConductanceWindow:
        return ConductanceWindow(0.0, 20.0) if self.fault == "unchecked_limits" else super().limits

    @property
    def times(self) -> tuple[float, ...]:
        return (0.0, 3600.0, 7200.0) if self.fault == "unchecked_times" else ()

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        if self.fault == "writes_targets":
            g_target.clamp_(min=10.0)
        if self.fault == "one_key":
            noise = noise._replace(key=torch.zeros_like(noise.key))
        xi = noise.normal("noise", g_target)
        if self.fault == "centred":
            xi = xi - xi.mean()
        elif self.fault == "torch_generator":
            xi = torch.randn_like(xi)
        elif self.fault == "private_generator":
            xi = torch.randn(xi.shape, generator=PRIVATE)
        elif self.fault == "fixed_seed":
            xi = torch.randn(xi.shape, generator=torch.Generator().manual_seed(0))
        g = (g_target + xi)[..., :1, :] if self.fault == "one_row" else g_target + xi
        if self.fault == "no_zero":
            g = g * (g_target / g_target)
        elif self.fault == "one_window":
            g = g * (1.0001 - g_target / 25.0).sqrt()
        g = g.to(torch.float32) if self.fault == "one_type" else g
        return g if self.fault == "negative" else g.clamp_min(0.0)

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        nu = noise.normal("noise" if self.fault == "one_purpose" else "exponent", g_target).abs() * 0.05
        return nu * random.random() if self.fault == "python_generator" else nu

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        assert coefficients is not None
        since = t + 1.0 if self.fault == "late_start" else t
        if self.fault == "remembers":
            since, LAST_LOOK["t"] = max(t, LAST_LOOK["t"]), t
        return g_programmed * (1.0 + since / self.t_0) ** -coefficients

    def read(self, g_drifted: Tensor, g_programmed: Tensor, t: float, window: ConductanceWindow, noise: Stream) -> Tensor:
        if self.fault == "writes_drifted":
            g_drifted.clamp_(max=10.0)
        if self.fault == "numpy_generator":
            return g_drifted * float(np.random.rand())  # noqa: NPY002 - the fault
        return (g_drifted * (1.0 + 0.01 * noise.normal("read", g_drifted))).clamp_min(0.0)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("noise_model", Faulty(fault=fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("noise_model", (test for test, _ in FAULTS.values()))


def test_without_fault_all_pass() -> None:
    assert not caught("noise_model", Faulty())
