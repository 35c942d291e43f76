"""Stuck devices: how many, where, at what conductance, for how long, and what write-verify makes of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.chip import FaultMap, Faults, WriteVerify
from ohmlet.errors import ConfigError
from tests.chip.test_program import X, network

NAN = float("nan")


def layer(config: Any = "pcm_inference", size: int = 200) -> nn.Module:
    torch.manual_seed(0)
    return ohmlet.convert(nn.Sequential(nn.Linear(size, size, bias=False)), config).model


@pytest.mark.parametrize("write", [None, WriteVerify(max_iterations=3, read_noise_uS=0.1)], ids=["open", "closed"])
def test_as_many_devices_are_stuck_as_asked_and_where_asked(write: WriteVerify | None) -> None:
    faults = Faults(stuck_on=0.02, stuck_off=0.03, stuck_random=0.05, on_uS=31.0, off_uS=0.125)
    chip = ohmlet.program(layer(), 2, seed=1, faults=faults, write=write)
    crossbar = chip.layers["0"].crossbars[0]
    assert crossbar.stuck is not None
    count = crossbar.stuck.numel()
    found = {"on": crossbar.stuck == 31.0, "off": crossbar.stuck == 0.125}
    found["random"] = ~crossbar.stuck.isnan() & ~found["on"] & ~found["off"]
    for name, share in (("on", 0.02), ("off", 0.03), ("random", 0.05)):
        assert float(found[name].double().mean()) == pytest.approx(share, abs=4.5 * math.sqrt(share / count))
    anywhere = crossbar.stuck[found["random"]]
    assert float(anywhere.mean()) == pytest.approx(12.5, abs=0.3)
    assert float(anywhere.std()) == pytest.approx(25 / math.sqrt(12), abs=0.2)
    # Every device, plus or minus, in every instance has its own.
    assert float((found["on"][0] & found["on"][1]).double().mean()) == pytest.approx(0.0004, abs=0.0004)
    assert not torch.equal(found["on"][:, 0], found["on"][:, 1])
    stuck = ~crossbar.stuck.isnan()
    assert torch.equal(crossbar.g[stuck], crossbar.stuck[stuck])
    for t in (0.0, 3600.0, 3e8):
        read = chip.layers["0"].conductances(0, t)
        assert torch.equal(read[stuck], crossbar.stuck[stuck])
        assert not torch.equal(read[~stuck], crossbar.g[~stuck])


def test_healthy_devices_are_as_without_faults() -> None:
    model = layer()
    chips = [ohmlet.program(model, 2, seed=1, faults=faults).layers["0"] for faults in (None, {"stuck_on": 0.01})]
    stuck = chips[1].crossbars[0].stuck
    assert stuck is not None
    plain, faulty = (chip.conductances(0, 60.0) for chip in chips)
    assert torch.equal(plain[stuck.isnan()], faulty[stuck.isnan()])


def test_stuck_devices_are_those_of_a_lower_probability_and_more() -> None:
    model = layer()
    few, many = (ohmlet.program(model, seed=1, faults=Faults(stuck_on=p)).layers["0"].crossbars[0].stuck for p in (0.01, 0.05))
    assert few is not None
    assert many is not None
    assert bool((few.isnan() | ~many.isnan()).all())
    assert int((~many.isnan()).sum()) > 3 * int((~few.isnan()).sum())


def test_no_write_frees_a_stuck_device() -> None:
    write = WriteVerify(tolerance_uS=0.5, read_noise_uS=0.1, max_iterations=40)
    chip = ohmlet.program(layer(), 2, seed=1, write=write, faults={"stuck_on": 0.01, "stuck_off": 0.02})
    crossbar = chip.layers["0"].crossbars[0]
    assert chip.report is not None
    assert crossbar.stuck is not None
    (row,) = chip.report.rows
    stuck = ~crossbar.stuck.isnan()
    beyond = stuck & ((crossbar.stuck - crossbar.target[:, None]).abs() > 1.0)  # far outside for this read noise
    assert row.stuck == pytest.approx(float(stuck.double().mean()))
    assert row.never >= float(beyond.double().mean()) > 0.01
    assert row.never < float(stuck.double().mean()) + 0.001
    assert row.iterations == 40
    assert row.error_max_uS == pytest.approx(float((crossbar.g - crossbar.target[:, None]).abs().max()))


def test_a_map_drawn_saved_and_loaded_is_what_the_probabilities_make(tmp_path: Path) -> None:
    model, faults = network(), Faults(stuck_on=0.05, stuck_random=0.05)
    drawn = FaultMap.draw(model, faults, 3, seed=9)
    drawn.save(tmp_path / "map.faults")
    loaded = FaultMap.load(tmp_path / "map.faults")
    assert repr(loaded) == repr(drawn)
    by_map = ohmlet.program(model, 3, seed=9, faults=loaded)
    by_chance = ohmlet.program(model, 3, seed=9, faults=faults)
    assert torch.equal(by_map.at("1 h")(X), by_chance.at("1 h")(X))
    assert not torch.equal(by_map.at("1 h")(X), ohmlet.program(model, 3, seed=9).at("1 h")(X))


def test_an_explicit_map_is_met_device_by_device() -> None:
    model = network()
    same = np.full((2, 3, 8), NAN)
    same[1, 2, 5] = 7.5
    each = torch.full((2, 3, 2, 2, 9), NAN)
    each[0, 1, 1, 0, 8] = 3.0
    chip = ohmlet.program(model, 3, seed=1, faults=FaultMap({"3.block1": same, "0.block0": each}))
    healthy, mapped = chip.layers["3"].crossbars
    assert healthy.stuck is None
    assert mapped.g[1, :, 2, 5].tolist() == [7.5] * 3
    grouped = chip.layers["0"].crossbars[0]
    assert float(grouped.g[0, 1, 1, 0, 8]) == 3.0
    assert grouped.stuck is not None
    assert int((~grouped.stuck.isnan()).sum()) == 1
    assert repr(FaultMap({"3.block1": same})) == "<fault map of 1 crossbars: 1 of 48 devices stuck>"


def test_a_stuck_device_changes_the_product_by_its_conductance() -> None:
    noiseless = {"type": "pcm", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}
    tile = {"type": "inference", "forward": {"input_range": "none"}, "noise_model": noiseless, "drift_compensation": "none"}
    linear: Any = nn.Linear(4, 2, bias=False)
    linear.weight.data = torch.tensor([[0.5, -0.25, 0.0, 1.0], [0.1, 0.2, 0.3, 0.4]])
    model = ohmlet.convert(nn.Sequential(linear), {"tile": tile, "mapping": {"scales": "none"}}).model
    stuck = np.full((2, 2, 4), NAN)
    stuck[0, 0, 3] = 0.0  # the weight of 1 is gone
    stuck[1, 1, 2] = 25.0  # 0.3 - 1
    y = ohmlet.program(model, faults=FaultMap({"0.block0": stuck})).at("1 year")(torch.eye(4))
    assert torch.allclose(y[0].T, torch.tensor([[0.5, -0.25, 0.0, 0.0], [0.1, 0.2, -0.7, 0.4]]), atol=1e-6)


def test_a_map_of_another_model_is_refused_with_every_problem() -> None:
    wrong = FaultMap({"3.block1": np.full((2, 3, 7), NAN), "3.blok0": np.full((2, 3, 8), NAN), "0.block0": np.full((2, 4, 2, 2, 9), NAN)})
    with pytest.raises(ConfigError) as caught:
        ohmlet.program(network(), 3, faults=wrong)
    assert len(caught.value.problems) == 3
    text = str(caught.value)
    assert "fault map, crossbar '3.block1': shape (2, 3, 7), expected (2, 3, 8) for all chip instances or (2, 3, 3, 8) for each" in text
    assert "no crossbar '3.blok0' in this model; did you mean '3.block0'" in text
    assert "fault map, crossbar '0.block0': shape (2, 4, 2, 2, 9)" in text


@pytest.mark.parametrize("value", [-1.0, float("inf")])
def test_what_is_no_conductance_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=f"fault map, crossbar 'a': {value:g} uS is no conductance; write NaN for a healthy device"):
        FaultMap({"a": [[NAN, value]]})


def test_a_file_that_is_no_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "map.npz").write_text("stuck", encoding="utf-8")
    for name in ("map.npz", "none.npz"):
        with pytest.raises(ConfigError, match=rf"{name}: no fault map in NPZ format"):
            FaultMap.load(tmp_path / name)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({}, "no device is ever stuck"),
        ({"stuck_on": 0.6, "stuck_off": 0.5}, "sum to 1.1, which is more than 1"),
        ({"stuck_on": 1.5}, "'stuck_on' must be <= 1"),
        ({"stuck_on": 0.1, "off_uS": 3.0}, "'off_uS' is 3 and 'stuck_off' is 0"),
        ({"stuck_off": 0.1, "on_uS": 3.0}, "'on_uS' is 3 and 'stuck_on' is 0"),
        ({"stuck": 0.1}, "unknown key 'stuck'"),
    ],
    ids=str,
)
def test_faults_that_make_no_sense_are_refused(faults: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ohmlet.program(network(), faults=faults)


@pytest.mark.slow
def test_accuracy_falls_with_the_share_of_stuck_devices() -> None:
    # Half a per mille stuck anywhere is felt, per cents ruin a product: users report both for large networks.
    model = layer()
    x = torch.rand(50, 200)
    exact = model.train()(x).detach()
    off = [
        float((ohmlet.program(model, 3, seed=1, faults={"stuck_random": p}).at(1)(x) - exact).norm() / exact.norm())
        for p in (1e-5, 5e-4, 1e-2, 0.1)
    ]
    assert off == sorted(off)
    assert off[3] > 3 * off[0]
