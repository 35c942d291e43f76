"""The compensation kit catches drift compensations that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.spec import one_of
from tests.testing.faults import assert_caught, caught, untested

FAULTS = {
    "offset": ("test_nothing_drifted", r"nothing drifted, and the factor is not 1"),
    "one_size": ("test_nothing_drifted", r"read_out returned shape \(5,\) instead of \(1, 5\)"),
    "ignores_crossbar": ("test_nothing_drifted", r"read_out never called mvm"),
    "one_type": ("test_nothing_drifted", r"mvm takes inputs \[S, 7\] in torch.float64, as `like` states"),
    "squared": ("test_uniform_drift_is_undone", r"all weights fell to 0.8 of their value, so the factor must be 1.25"),
    "upside_down": ("test_uniform_drift_is_undone", r"the factor must be 1.25"),
    "sometimes": ("test_uniform_drift_is_undone", r"returned None for one crossbar and a tensor for another"),
    "average_chip": ("test_each_crossbar_has_its_own_factor", r"average over outputs, never over leading sizes"),
    "average_output": ("test_each_output_has_its_own_factor", r"outputs drifted by different factors"),
    "divides_by_zero": ("test_an_empty_crossbar", r"weights are all zero, and the factor is \[nan, nan, nan\]: .*clamp_min"),
    "spread_only": ("test_a_crossbar_of_one_device", r"the factor must be 2"),
    "random_inputs": ("test_draws_nothing", r"read_out drew from torch's generator"),
    "writes": ("test_arguments_stay_as_they_are", r"factor wrote into the read-out"),
}


@frozen(kw_only=True)
class Faulty(DriftCompensation):
    """A compensation by the mean absolute output, with one fault."""

    fault: str = one_of("none", ("none", *FAULTS), "what is wrong")

    def read_out(self, mvm: Callable[[Tensor], Tensor], in_features: int, like: Tensor) -> Tensor | None:
        if self.fault == "ignores_crossbar":
            return like.new_ones((*like.shape[:-2], 1, 1))
        inputs = torch.eye(in_features, dtype=torch.float32 if self.fault == "one_type" else like.dtype)
        y = mvm(torch.rand_like(inputs) if self.fault == "random_inputs" else inputs)
        if self.fault == "sometimes" and float(y.abs().max()) < 0.9:
            return None
        if self.fault == "one_size":
            return y.abs().mean(-2)
        if self.fault == "average_output":
            return y.abs().mean(-2, keepdim=True).clamp_min(1e-4)
        if self.fault == "average_chip":
            return y.abs().mean().expand(*y.shape[:-2], 1, 1)
        if self.fault == "spread_only":
            return y.flatten(-2).std(-1, correction=0)[..., None, None].clamp_min(1e-4)
        measured = y.abs().mean((-2, -1), keepdim=True)
        return measured if self.fault == "divides_by_zero" else measured.clamp_min(1e-4)

    def factor(self, reference: Tensor, now: Tensor) -> Tensor:
        if self.fault == "offset":
            return reference / now + 0.01
        if self.fault == "squared":
            return (reference / now) ** 2
        if self.fault == "upside_down":
            return now / reference
        if self.fault == "average_output":
            return (reference.mean(-1, keepdim=True) / now.mean(-1, keepdim=True)).expand(reference.shape)
        return reference / (now.clamp_(0.5) if self.fault == "writes" else now)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("drift_compensation", Faulty(fault=fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("drift_compensation", (test for test, _ in FAULTS.values()))


def test_without_fault_all_pass() -> None:
    assert not caught("drift_compensation", Faulty())
