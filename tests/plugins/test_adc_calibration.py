"""Converters whose ranges `ohmlet.calibrate` measures: each its own, from what its crossbar really puts out."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, OrderError

RANGE = {"type": "fixed", "value": 1.0}


def converted(tile: dict[str, Any], *sizes: int) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))).eval()
    config = {"tile": tile, "mapping": {"scales": "none"}, "seed": 0}
    return ohmlet.convert(model, ohmlet.AnalogConfig.parse(config)).model


def batches(count: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(64, 20, generator=generator) * 2 - 1 for _ in range(count)]


def inference(**adc: Any) -> dict[str, Any]:
    return {"type": "inference", "forward": {"adc": {"bound": "calibrated", **adc}, "input_range": RANGE}}


def readouts(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if getattr(module, "calibrates_outputs", False)]


def test_a_quantile_of_the_outputs_becomes_the_range() -> None:
    model = converted(inference(bits=8), 20, 6)
    weight = model[0].weight.detach().clone()
    report = ohmlet.calibrate(model, batches(), output_quantile=0.95)
    outputs = torch.cat([x @ weight.mT for x in batches()]).abs().flatten().sort().values
    exact = float(outputs[math.ceil(0.95 * len(outputs)) - 1])
    assert exact * (1 - 1e-6) <= float(readouts(model)[0].bound) <= exact * (1 + 2**-7)
    (row,) = report.rows
    assert (row.crossbar, row.before, row.values) == ("0.block0 forward", None, len(outputs))
    assert row.clipped == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("bits", [3, 5, 8])
@pytest.mark.parametrize("name", ["uniform", "sar"])
def test_left_to_itself_the_range_has_the_smallest_error(name: str, bits: int) -> None:
    """No other of a thousand ranges has an error that is more than 5 % smaller."""
    model = converted(inference(type=name, bits=bits), 20, 6)
    y = torch.cat([x @ model[0].weight.detach().mT for x in batches()]).double().numpy()
    ohmlet.calibrate(model, batches())

    def error(bound: float) -> float:
        step = 2 * bound / (2**bits - 2)
        return float(((np.clip(np.round(y / step) * step, -bound, bound) - y) ** 2).mean())

    best = min(error(bound) for bound in np.linspace(0.1, 1.2, 1000) * np.abs(y).max())
    assert error(float(readouts(model)[0].bound)) <= 1.05 * best


def test_each_slice_gets_a_range_whose_step_is_a_power_of_two() -> None:
    """Steps are 2^n of the smallest difference, so that codes shift and add: what comes out is a whole number of units."""
    inputs = {"type": "bit_serial", "bits": 6}
    parts = {
        "weight_bits": 6,
        "slice_bits": [2],
        "inputs": inputs,
        "input_range": RANGE,
        "adc": {"type": "sar", "bits": 4, "bound": "calibrated"},
    }
    model = converted({"type": "bit_sliced", **parts}, 20, 6)
    ohmlet.calibrate(model, batches())
    slices = readouts(model)
    assert len(slices) == 3
    shifts = [math.log2(float(each.bound) / 7 / each.unit) for each in slices]
    assert shifts == pytest.approx([round(shift) for shift in shifts], abs=1e-6)
    # Weights up to 0.22 of the range have codes up to 7 of 31: the highest slice holds nothing, and its step is the unit.
    assert shifts[2] == pytest.approx(0.0, abs=1e-6)
    assert shifts[0] > shifts[2]
    whole = model(batches(1)[0]).detach() * 31 * 31
    torch.testing.assert_close(whole, whole.round(), rtol=0, atol=2e-3)


def test_inputs_and_outputs_are_measured_one_after_the_other_and_nothing_else_changes() -> None:
    forward = {"adc": {"type": "ramp", "bits": 7, "bound": "calibrated"}, "input_range": "fixed", "dac": {"bits": 6}, "out_noise": 0.02}
    model = converted({"type": "inference", "forward": forward}, 20, 6, 3)
    before = copy.deepcopy(model.state_dict())
    report = ohmlet.calibrate(model, batches(), quantile=1.0)
    assert [row.crossbar for row in report.rows] == ["0.block0", "1.block0", "0.block0 forward", "1.block0 forward"]
    assert report.rows[0].after == pytest.approx(float(torch.cat(batches()).abs().max()), rel=1e-2)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{i}.array.crossbars.0.forward_pass.{part}" for i in (0, 1) for part in ("calibrated.value", "readout.bound")}
    fresh = converted({"type": "inference", "forward": forward}, 20, 6, 3)
    fresh.load_state_dict(model.state_dict())
    x = batches(1)[0]
    assert torch.equal(fresh(x), model(x))
    with pytest.raises(ConfigError, match="converters go through the batches once more"):
        ohmlet.calibrate(model, iter(batches()))


def test_what_cannot_be_measured_is_told() -> None:
    model = converted(inference(bits=8), 20, 6)
    with pytest.raises(ConfigError, match=r"the outputs that 0\.block0 forward converts are zero"):
        ohmlet.calibrate(model, [torch.zeros(4, 20)])
    with pytest.raises(OrderError, match=r"no batch reached 0\.block0 forward"):
        ohmlet.calibrate(model, [])
    with pytest.raises(ConfigError, match="output_quantile must be above 0"):
        ohmlet.calibrate(model, batches(), output_quantile=1.5)
    with pytest.raises(OrderError, match="was not calibrated"):
        model(batches()[0])
    plain = converted({"type": "inference", "forward": {"input_range": "fixed"}}, 20, 6)
    with pytest.raises(ConfigError, match="output_quantile has no effect"):
        ohmlet.calibrate(plain, batches(), output_quantile=0.9)
