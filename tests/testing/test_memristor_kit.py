"""The memristor kit passes the interface's own example and catches memristors that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.memristor import Memristor, WritePulse
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number, one_of
from ohmlet.testing import DeviceTests, MemristorTests, kit_tests
from ohmlet_kernels.noise import Stream
from tests.testing.faults import assert_caught, caught

ops: Any = None  # bound by each engine

FAULTS = {
    "open_window": ("test_weights_and_conductances_correspond", r"the window is 10 to inf uS"),
    "offset": ("test_current_rises_with_the_voltage", r"current at 0 V is not 0"),
    "turns": ("test_current_rises_with_the_voltage", r"does not rise with the voltage in \d+ places up to 1 V"),
    "half_slope": ("test_slope_is_the_derivative_of_the_current", r"slope differs from the derivative of current by 0\.5"),
    "other_cubic": ("test_cubic_is_the_current", r"differs from current by 0\.1 of the largest"),
    "jumps": ("test_programming_current_continues_the_law", r"write_current jumps at v_read_max"),
    "two_physics": ("test_one_step_is_the_pulse_held", r"a pulse up differs by 0\.02 in weight from 1 V held"),
    "backwards": ("test_set_raises_and_reset_lowers", r"the set pulse of -1 V does not fit polarity 1"),
    "leaks": ("test_nothing_moves_without_a_voltage", r"cells at 0 V moved by"),
    "together": ("test_voltages_are_whole_arrays", r"a cell's answer depends on what others see"),
    "torch_generator": ("test_answers_draw_from_the_stream_only", r"applied differs between two calls with the same stream"),
    "lets_pass": ("test_what_is_not_covered_is_refused", r"was applied"),
}


@frozen(kw_only=True)
class Ohmic(Memristor):
    """A resistor whose conductance moves at constant rate beyond a threshold."""

    rate: float = number(200.0, "speed at 1 V", unit="1/s", gt=0)
    set_voltage: float = number(1.0, "of a pulse up", unit="V")
    set_width: float = number(1e-4, "of a pulse up", unit="s", gt=0)
    reset_voltage: float = number(-1.0, "of a pulse down", unit="V", lt=0)
    reset_width: float = number(1e-4, "of a pulse down", unit="s", gt=0)
    fault: str = one_of("none", ("none", *FAULTS), "what is wrong")

    @property
    def granularity(self) -> float:
        """The step at the middle of the window."""
        return self.rate * self.set_width

    @property
    def window(self) -> ConductanceWindow:
        """The conductances of weights -1 and 1."""
        return ConductanceWindow(10.0, float("inf") if self.fault == "open_window" else 100.0)

    @property
    def v_read_max(self) -> float:
        """The largest voltage of the law."""
        return 0.5 if self.fault == "jumps" else super().v_read_max

    @property
    def v_write_range(self) -> tuple[float, float]:
        """What is covered."""
        return -1.5, 1.5

    @property
    def set_pulse(self) -> WritePulse:
        """A pulse up."""
        return WritePulse(-1.0 if self.fault == "backwards" else 1.0, self.set_width)

    def current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return g V."""
        return g * v + (1e-9 if self.fault == "offset" else 0.0) - (g * v**3 if self.fault == "turns" else 0.0)

    def slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return g."""
        return (g + 0 * v) * (0.5 if self.fault == "half_slope" else 1.0)

    def cubic(self, g: Tensor, cell: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return g and nothing more."""
        return g, 0.1 * g if self.fault == "other_cubic" else 0 * g

    def write_current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the current at any voltage."""
        return torch.where(v.abs() > 0.5, 1.2, 1.0) * g * v if self.fault == "jumps" else super().write_current(v, g, cell)

    def conditions(self, set_volts: Tensor, set_seconds: Tensor, reset_volts: Tensor, reset_seconds: Tensor) -> Mapping[str, Any]:
        """Return how far pulses go."""
        return {"up": self.rate * set_volts * set_seconds, "down": self.rate * reset_volts * reset_seconds}

    def stepped(self, w: Tensor, v: Tensor, seconds: Tensor | float, cell: Mapping[str, Tensor], noise: Stream | None = None) -> Tensor:
        """Return the weights after voltages were held."""
        after = super().stepped(w, v, seconds, cell, noise)
        if self.fault == "torch_generator":
            return after + 0.001 * torch.rand_like(after)
        if self.fault == "together":
            return after + 0.01 * v.mean()
        if self.fault == "leaks":
            return after + 0.01
        return after + 0.02 * (v > 0) if self.fault == "two_physics" else after

    def check_write(self, v: Tensor, seconds: Tensor | float) -> None:
        """Raise ConfigError for what is not covered."""
        if self.fault != "lets_pass":
            super().check_write(v, seconds)

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        moved = w + ops.where(up, params.up, params.down)
        return ops.minimum(ops.maximum(moved, cell.w_min), cell.w_max), hidden


def test_the_example_of_the_interface_passes() -> None:
    failed = caught("device", Ohmic())
    assert not failed, failed


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    test, message = FAULTS[fault]
    assert_caught("device", Ohmic(fault=fault), test, message)


def test_every_test_of_the_kit_has_a_fault() -> None:
    own = set(kit_tests("device", Ohmic())) - {name for cls in DeviceTests.__mro__ for name in vars(cls)}
    assert own == {test for test, _ in FAULTS.values()}
    assert own == {name for name in vars(MemristorTests) if name.startswith("test_")}
