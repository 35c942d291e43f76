"""The device kit catches devices that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.cells import CellArray
from ohmlet.interfaces.device import ArraySite, CellParameter, CompositeCell, Device, HiddenState, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.spec import number, one_of
from ohmlet_kernels.noise import Stream
from tests.testing.faults import assert_caught, caught, untested

ops: Any = None

FAULTS = {
    "branches": ("test_step_compiles", r"step cannot use 'ifexp': write ops.where\(condition, a, b\)"),
    "steps_of_its_own": ("test_granularity", r"and granularity says 0.5: pulse probabilities are worked out with it"),
    "crossed": ("test_cells_are_fabricated", r"w_min is above w_max in some cells"),
    "one_row": ("test_cells_are_fabricated", r"derive, for 'dw', returned shape \(1, 25\)"),
    "all_alike": ("test_spreads_are_as_declared", r"'dw' is the same in two arrays of different keys"),
    "engines": ("test_engines_agree", r"w on numba"),
    "down": ("test_up_is_up", r"turn the sign of the step"),
    "unbounded": ("test_pulses_do_not_run_away", r"weights are beyond w_min and w_max after pulses: clip at the end of step"),
    "sets_nan": ("test_weights_can_be_set", r"weights after 0 was set: 35 of 35 numbers are NaN"),
    "halves": ("test_weights_can_be_set", r"placed\(placed\(w\)\) differs"),
    "torch_generator": ("test_draws_from_the_stream_only", r"drew from torch's generator"),
    "one_purpose": ("test_each_draw_has_a_purpose_of_its_own", r"drew for the purpose 'more' more than once"),
    "resets_to_nan": ("test_between_updates", r"weights after a reset: \d+ of 35 numbers are NaN"),
    "counts_calls": ("test_resumes", r"after loading a state_dict the devices go another way"),
    "writes_cells": ("test_step_leaves_its_arguments", r"wrote into the cells"),
    "sharp": ("test_step_has_exact_gradients", r"the derivative of the new weight with respect to .* of a pulse up is wrong or not finite"),
}


@frozen(kw_only=True)
class Faulty(Device):
    """A device with one fault."""

    fault: str = one_of("none", ("none", *FAULTS), "what is wrong")
    dw_min: float = number(0.01, "step", gt=0)

    @property
    def granularity(self) -> float:
        return 0.5 if self.fault == "steps_of_its_own" else self.dw_min

    def cells(self) -> Mapping[str, CellParameter]:
        return {
            "dw": CellParameter(mean=self.dw_min, spread=0.3),
            "w_max": CellParameter(mean=0.6, spread=0.1),
            "w_min": CellParameter(mean=-0.6, spread=0.1),
        }

    def hidden(self) -> Mapping[str, HiddenState]:
        return {"heat": HiddenState(initial=1.0, spread=0.1)}

    def parameters(self) -> Mapping[str, float]:
        sign = -1.0 if self.fault == "down" else 1.0
        return {"sign": sign, "bound": 1.0 if self.fault == "unbounded" else 0.0}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        if self.fault == "torch_generator":
            drawn["dw"] = drawn["dw"] * torch.rand(())
        elif self.fault == "one_purpose":
            drawn["dw"] = drawn["dw"] + 0 * (noise.normal("more", drawn["dw"]) + noise.normal("more", drawn["dw"]))
        elif self.fault == "crossed":
            drawn["w_min"] = -drawn["w_min"] + 0.05
        elif self.fault == "one_row":
            drawn["dw"] = drawn["dw"][:1]
        elif self.fault == "all_alike":
            drawn["dw"] = drawn["dw"] * 0 + self.dw_min
        return drawn

    def decayed(self, w: Tensor, cell: Mapping[str, Tensor], alpha: float) -> Tensor:
        if self.fault == "writes_cells":
            cell["dw"].mul_(0.5)
        return w

    def reset_to(self, w: Tensor, cell: Mapping[str, Tensor], noise: Stream) -> Tensor:
        return w * float("nan") if self.fault == "resets_to_nan" else super().reset_to(w, cell, noise)

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        size = params.sign * ops.where(up, cell.dw, -cell.dw) * (1 + 0.1 * noise[0])
        after = w + size
        held = ops.minimum(ops.maximum(after, cell.w_min), cell.w_max)
        return held + params.bound * (after - held), (hidden.heat * 0.5,)


@frozen(kw_only=True)
class Branching(Faulty):
    """A device whose step decides like a program."""

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        return w + (cell.dw if up else -cell.dw), hidden


@frozen(kw_only=True)
class Sharp(Faulty):
    """A device whose step has a value everywhere and a derivative nowhere."""

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        after = w + ops.where(up, cell.dw, -cell.dw) + 0.001 * ops.sqrt(w * 0)
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max), hidden


@frozen(kw_only=True)
class Placing(Faulty):
    """A device that decides what can be set."""

    def placed(self, w: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        if self.fault == "sets_nan":
            return w * float("nan")
        if self.fault == "halves":
            return w / 2
        return super().placed(w, cell)


@frozen(kw_only=True)
class FaultyCell(CompositeCell):
    """A cell of several devices with one fault."""

    fault: str = one_of("none", ("none", *FAULTS), "what is wrong")

    @property
    def granularity(self) -> float:
        return 0.01

    def parts(self) -> Mapping[str, UnitCell]:
        return {}

    def compose(self, site: ArraySite, arrays: Mapping[str, nn.Module]) -> nn.Module:
        return FaultyArray(self.fault, site)


class FaultyArray(CellArray):
    def __init__(self, fault: str, site: ArraySite) -> None:
        super().__init__()
        engine: Any = site.kernel
        self.fault, self.granularity, self.updates = fault, 0.01, 0
        self.stretch = 1.1 if fault == "engines" and engine.engine != "reference" else 1.0
        self.w: Tensor
        self.register_buffer("w", torch.zeros(site.rows, site.columns))

    def weights(self) -> Tensor:
        return self.w

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        self.w.copy_(w)

    def pulse(self, x: Tensor, d: Tensor, lr: float, pulses: PulsedUpdate, noise: Stream, granularity: float | None = None) -> None:
        slower = 1 + self.updates if self.fault == "counts_calls" else 1
        self.w.sub_(lr * self.stretch / slower * d.mT @ x)
        self.updates += 1

    def reset(self, mask: Tensor, noise: Stream) -> None:
        self.w.masked_fill_(mask, 0.0)


def faulty(fault: str) -> UnitCell:
    if fault in {"engines", "counts_calls"}:
        return FaultyCell(fault=fault)
    special = {"branches": Branching, "sharp": Sharp, "sets_nan": Placing, "halves": Placing}
    return special.get(fault, Faulty)(fault=fault)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("device", faulty(fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("device", (test for test, _ in FAULTS.values()))


@pytest.mark.parametrize("spec", [Faulty(), FaultyCell()])
def test_without_fault_all_pass(spec: UnitCell) -> None:
    assert not caught("device", spec)
