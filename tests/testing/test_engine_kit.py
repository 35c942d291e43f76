"""The engine kit catches engines that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.engine import Engine
from ohmlet.spec import one_of
from ohmlet.testing import run_kit
from ohmlet_kernels.analog_mvm import MVM, reference
from ohmlet_kernels.noise import Stream
from tests.testing.faults import assert_caught, caught, untested

FAULTS = {
    "unknown_operation": ("test_operations_are_known", r"no operation is called 'analog_mwm'"),
    "empty": ("test_operations_are_known", r"kernels\(\) is empty"),
    "prefers_true": ("test_says_where_it_runs", r"preference\('cpu'\) must return a whole number or None, got True"),
    "no_weight_noise": (
        "test_analog_mvm_equals_the_reference",
        r"noisy, x \[1, 1, 1\], w \[1, 1\], no scale: 1 of 1 outputs differ",
    ),
    "own_purpose": ("test_analog_mvm_equals_the_reference", r"analog_mvm, noisy"),
    "shifted_rounding": ("test_analog_mvm_equals_the_reference", r"analog_mvm, rounding, .*; at most 1 may, by one ADC step"),
    "no_clip": ("test_analog_mvm_equals_the_reference", r"analog_mvm, clipping"),
    "half_up": ("test_analog_mvm_rounds_half_to_even", r"must round half to even"),
    "no_gradient": ("test_analog_mvm_gradients_equal_the_reference", r"the gradient of x differs from the reference's, clipping"),
    "torch_generator": ("test_analog_mvm_draws_from_the_stream_only", r"analog_mvm, noisy, drew from torch's generator"),
}


def product(x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream, fault: str) -> Tensor:
    if fault == "no_weight_noise":
        settings = settings._replace(w_noise=0.0)
    elif fault == "own_purpose":
        noise = noise.child("mine")
    elif fault == "no_clip":
        settings = settings._replace(out_bound=float("inf"))
    y = reference.analog_mvm(x, w, scale, settings, noise)
    if fault == "shifted_rounding" and settings.out_step > 0:
        y = y + settings.out_step * 0.5
    elif fault == "half_up" and settings.out_step == 1.0:
        y = torch.floor(x @ w.mT + 0.5)
    elif fault == "torch_generator" and settings.out_noise > 0:
        y = y + 1e-9 * torch.randn_like(y)
    elif fault == "no_gradient" and settings.in_bound == 0.5:
        y = y + x.sum() * 0.0 + (x.sum(-1, keepdim=True) - x.detach().sum(-1, keepdim=True))
    return y


@frozen
class Kernel:
    fault: str

    def __call__(self, x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream) -> Tensor:
        return product(x, w, scale, settings, noise, self.fault)


@frozen(kw_only=True)
class Faulty(Engine):
    """The reference with one fault."""

    fault: str = one_of("none", ("none", "absent", "elsewhere", *FAULTS), "what is wrong")

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        if self.fault == "empty":
            return {}
        return {"analog_mwm" if self.fault == "unknown_operation" else "analog_mvm": Kernel(self.fault)}

    def preference(self, device_type: str) -> int | None:
        if self.fault == "prefers_true":
            return True
        return None if self.fault == "elsewhere" else 1

    def unavailable(self) -> str | None:
        return "install frobnicator" if self.fault == "absent" else None


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("engine", Faulty(fault=fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("engine", (test for test, _ in FAULTS.values()))


def test_without_fault_all_pass() -> None:
    assert not caught("engine", Faulty())


@pytest.mark.parametrize(("fault", "reason"), [("absent", "install frobnicator"), ("elsewhere", "no device that the engine runs on")])
def test_engine_that_cannot_run_here_is_skipped_with_its_reason(fault: str, reason: str) -> None:
    results = {result.name: result for result in run_kit("engine", Faulty(fault=fault))}
    skipped = results["test_analog_mvm_equals_the_reference"]
    assert skipped.passed
    assert skipped.skipped
    assert reason in skipped.message
