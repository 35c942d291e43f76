"""Presets of device families: what they state, and one published figure of each family as the simulated devices show it."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve

import ohmlet
from ohmlet.config.analog import AnalogConfig
from ohmlet.interfaces.preset import FAMILIES, STATUSES, Preset
from ohmlet.registry import registry
from ohmlet.response import Response, measure
from ohmlet.response_plot import draw
from ohmlet.status import rows
from ohmlet_kernels.noise import Stream

NAMES = [name for name, entries in registry("preset").entries().items() for entry in entries if entry.dist == "ohmlet"]
ILLUSTRATIVE_ONLY = {"FTJ"}
"""Families without a preset from a measurement, a fit or a table; docs/presets.md names them."""


def preset(name: str) -> Any:
    return registry("preset").get(name)()


DEVICES = [name for name in NAMES if preset(name).gives == "device"]


def simulated(name: str, devices: int = 8, **changes: Any) -> Response:
    return measure(evolve(preset(name).build(), **changes), devices=devices)


def conductances(name: str, response: Response) -> tuple[float, float]:
    """Return the conductances (uS) that devices come to at both ends, by the preset's window for weights from -1 to 1."""
    of: type[Preset] = registry("preset").get(name)
    assert of.g_min_uS is not None
    assert of.g_max_uS is not None
    low, high = (of.g_min_uS + (float(end.mean()) + 1) / 2 * (of.g_max_uS - of.g_min_uS) for end in response.window)
    return low, high


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_states_its_device(name: str) -> None:
    of: type[Preset] = registry("preset").get(name)
    assert of.family in FAMILIES
    assert of.status in STATUSES
    assert (of.g_min_uS is None) == (of.g_max_uS is None)
    if of.g_min_uS is not None and of.g_max_uS is not None:
        assert 0 <= of.g_min_uS < of.g_max_uS


def test_what_is_listed_without_running_is_what_the_classes_state() -> None:
    """`ohmlet list` reads the sources."""
    for row in rows("preset"):
        if row.name not in NAMES:
            continue
        of: type[Preset] = registry("preset").get(row.name)
        base: type[Preset] = registry("preset").get(of.based_on) if of.based_on else of
        assert row.facts["gives"] == of.gives
        assert row.facts["status"] == of.status
        assert row.facts["source"] == of.source
        assert row.facts["family"] == (of.family if of.family != "generic" else base.family)
        assert row.facts["write"] == str(of.write or base.write or "not known")
        assert row.facts["read"] == str(of.read or base.read or "not known")
        ends = (of.g_min_uS, of.g_max_uS) if of.g_max_uS is not None else (base.g_min_uS, base.g_max_uS)
        assert row.facts["window"] == ("not known" if ends[1] is None else f"{ends[0]:.4g} to {ends[1]:.4g} uS")


def test_every_family_has_numbers_that_somebody_published() -> None:
    found = defaultdict(set)
    for row in rows("preset"):
        found[row.facts["family"]].add(row.facts["status"])
    assert set(found) == set(FAMILIES)
    only = {family for family, statuses in found.items() if not statuses & {"measured", "fitted", "table"}}
    assert only == ILLUSTRATIVE_ONLY


@pytest.mark.parametrize("name", DEVICES)
def test_any_device_can_be_measured(name: str) -> None:
    """With trains too short to saturate most, so that all take little time; `ohmlet plot` gives as many as they need."""
    summary = measure(preset(name).build(), devices=4, pulses=16).summary()
    assert summary["devices"] == "4"
    assert all(summary.values())


@pytest.mark.parametrize(
    "name", [name if name in {"stt_mram", "racetrack_five"} else pytest.param(name, marks=pytest.mark.slow) for name in DEVICES]
)
def test_any_device_can_be_plotted(name: str, tmp_path: Path) -> None:
    draw(measure(preset(name).build(), devices=4, pulses=16), name, tmp_path / "response.png")
    assert (tmp_path / "response.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["stt_mram", "fefet_single_domain", "racetrack_five", "pcmo", "reram_array_hfo2"])
def test_trains_as_long_as_devices_need_end(name: str) -> None:
    response = measure(preset(name).build(), devices=12)
    assert response.saturates
    assert response.levels == {"stt_mram": 2, "fefet_single_domain": 2, "racetrack_five": 5}.get(name)


class TestPCM:
    def test_gst_has_an_on_off_ratio_of_19_8_in_100_pulses(self) -> None:
        response = simulated("gst_pcm", cycle_to_cycle=0.0)
        low, high = conductances("gst_pcm", response)
        assert high / low == pytest.approx(19.8, rel=0.005)
        assert int(np.argmax(response.up[:, 0] > 1 - 1e-5)) == 100
        middle = float(response.up[50, 0])
        assert abs(middle) < 0.03  # almost linear on the way up
        assert float(response.down[50, 0]) > 0.3  # and slow at the top on the way down

    def test_programming_error_is_that_of_joshi(self) -> None:
        """sigma of a device at 15 uS, 27 s after programming: 1.022 uS on the published parabola."""
        tile: Any = AnalogConfig.parse("pcm_joshi_inference").tile
        target = torch.full((300, 300), 15.0, dtype=torch.float64)
        g = tile.noise_model.program(target, tile.conductance_converter.window, Stream(torch.tensor(2), None))
        assert float(g.std()) == pytest.approx(-0.00178767 * 225 + 0.07585724 * 15 + 0.28638599, rel=0.015)


class TestRRAM:
    @pytest.mark.parametrize(("name", "point"), [("ag_asi", -0.34), ("alox_hfo2", 0.16)])
    def test_symmetry_points_are_those_published(self, name: str, point: float) -> None:
        found = simulated(name, cycle_to_cycle=0.0).symmetry_point
        assert found is not None
        assert float(found.mean()) == pytest.approx(point, abs=0.012)

    @pytest.mark.parametrize(
        ("name", "pulses", "ratio"),
        [
            ("ag_asi", 97, 12.5),
            ("taox_tio2", 102, 2.0),
            ("taox_hfox", 128, 10.0),
            ("pcmo", 50, 6.84),
            ("alox_hfo2", 40, 4.43),
            ("epiram", 64, 50.2),
        ],
    )
    def test_pulses_and_on_off_ratios_are_those_published(self, name: str, pulses: int, ratio: float) -> None:
        response = simulated(name, cycle_to_cycle=0.0)
        low, high = conductances(name, response)
        assert high / low == pytest.approx(ratio, rel=0.005)
        assert int(np.argmax(response.up[:, 0] > 1 - 1e-5)) == pulses

    def test_noise_of_a_pulse_is_that_published(self) -> None:
        """3.5 % of the range for Ag:a-Si, in the middle of the window where no bound cuts it."""
        response = simulated("ag_asi", devices=60)
        steps = response.steps("up", bins=9)
        assert float(steps.cycle_to_cycle[4]) / 2 == pytest.approx(0.035, rel=0.1)

    @pytest.mark.parametrize(("g", "published"), [(60.0, 4.2359), (220.0, 2.77878)])
    def test_error_of_multilevel_programming_is_that_of_milo(self, g: float, published: float) -> None:
        tile: Any = AnalogConfig.parse("reram_milo_inference").tile
        target = torch.full((300, 300), g, dtype=torch.float64)
        made = tile.noise_model.program(target, tile.conductance_converter.window, Stream(torch.tensor(2), None))
        assert float(made.std()) == pytest.approx(published, rel=0.015)


class TestECRAM:
    def test_lithium_ecram_has_a_thousand_states_around_its_symmetry_point(self) -> None:
        response = simulated("ecram", devices=24)
        low, high = response.window
        assert float((high - low).mean() / response.granularity) == pytest.approx(1000, rel=0.05)
        assert response.symmetry_point is not None
        assert float(response.symmetry_point.mean()) == pytest.approx(0.0, abs=0.06)

    def test_array_ecram_is_linear_and_symmetric_over_100_pulses(self) -> None:
        response = simulated("ecram_array")
        low, high = conductances("ecram_array", response)
        assert (low, high) == pytest.approx((60.0, 100.0))
        assert response.up[:101, 0] == pytest.approx(np.linspace(-1, 1, 101), abs=1e-5)
        assert response.down[:101, 0] == pytest.approx(np.linspace(1, -1, 101), abs=1e-5)


class TestCMOS:
    def test_a_capacitor_cell_has_four_hundred_states(self) -> None:
        response = simulated("capacitor", devices=40)
        low, high = response.window
        assert float((high - low).mean() / response.granularity) == pytest.approx(400, rel=0.04)

    def test_a_3t1c_cell_has_32_states_a_factor_of_five_apart(self) -> None:
        response = simulated("capacitor_3t1c", cycle_to_cycle=0.0)
        low, high = conductances("capacitor_3t1c", response)
        assert high / low == pytest.approx(5.0, rel=0.005)
        assert int(np.argmax(response.up[:, 0] > 1 - 1e-5)) == 32

    def test_a_6t1c_cell_steps_up_and_down_alike(self) -> None:
        """Currents that grow with the weight: pulses up and down at the same weight differ by a few per cent only."""
        response = simulated("capacitor_6t1c", devices=24)
        up, down = response.steps("up", bins=9), response.steps("down", bins=9)
        at = [float(np.interp(0.6, each.w, np.abs(each.mean))) / float(np.interp(0.0, each.w, np.abs(each.mean))) for each in (up, down)]
        assert at == pytest.approx([1 + 0.1678 * 0.6, 1 + 0.1410 * 0.6], abs=0.05)


class TestMRAM:
    def test_a_junction_has_two_states_a_factor_of_2_3_apart(self) -> None:
        response = simulated("stt_mram", devices=24)
        assert response.levels == 2
        low, high = conductances("stt_mram", response)
        assert high / low == pytest.approx(2.3, rel=0.005)
        assert response.switching("up") > 0.999

    def test_weak_pulses_switch_one_device_in_two(self) -> None:
        """What the pulse's voltage says, within the spread of devices and four standard errors of the count."""
        response = simulated("stt_mram_stochastic", devices=2000)
        expected = 1 - math.exp(-10 * math.exp(-60 * (1 - 0.4775 / 0.5)))
        assert expected == pytest.approx(0.5, abs=0.02)
        assert response.levels == 2
        assert response.switching("up") == pytest.approx(expected, abs=0.04)
        assert response.summary()["states (distinct weights)"] == "2"

    def test_a_racetrack_has_five_positions(self) -> None:
        response = simulated("racetrack_five", devices=200)
        assert response.levels == 5
        assert np.unique(np.round(response.up, 5)).tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
        first = response.up[1] > response.up[0]
        assert float(first.mean()) == pytest.approx(0.9, abs=0.09)


class TestFerroelectric:
    def test_hzo_fefet_has_32_states_a_factor_of_45_apart(self) -> None:
        response = simulated("fefet_hzo", cycle_to_cycle=0.0)
        low, high = conductances("fefet_hzo", response)
        assert high / low == pytest.approx(45.0, rel=0.005)
        assert int(np.argmax(response.up[:, 0] > 1 - 1e-5)) == 32

    def test_a_single_domain_waits_for_its_pulse(self) -> None:
        """Waiting times of an element that switches with a probability of 0.1 a pulse: 0.9^7 still wait after seven."""
        response = simulated("fefet_single_domain", devices=1000, p_dtod=0.0)
        assert response.levels == 2
        from_low = response.up[:, response.up[0] < 0]
        assert float((from_low[7] < 0).mean()) == pytest.approx(0.9**7, abs=0.06)

    def test_tunnel_junctions_spread_as_measured(self) -> None:
        response = simulated("ftj", devices=400)
        middle = response.at_middle("up")
        assert float(middle.std(ddof=1) / middle.mean()) == pytest.approx(0.032, rel=0.2)
        # One pulse of many devices at almost the same weight shows both spreads.
        step = response.up[5] - response.up[4]
        assert float(step.std(ddof=1) / step.mean()) == pytest.approx(math.hypot(0.032, 0.036), rel=0.15)


class TestPhotonic:
    def test_sixteen_levels_with_a_contrast_of_158_5_per_cent(self) -> None:
        response = simulated("photonic_pcm")
        assert response.levels == 16
        low, high = (1 + (float(end.mean()) + 1) / 2 * 1.585 for end in response.window)
        assert high / low - 1 == pytest.approx(1.585)

    def test_products_have_the_published_standard_deviation_and_do_not_drift(self) -> None:
        torch.manual_seed(0)
        layer = torch.nn.Linear(1, 2000, bias=False)
        torch.nn.init.constant_(layer.weight, 1.0)
        model = torch.nn.Sequential(layer)
        config = AnalogConfig.parse("photonic_inference").override({"tile.forward.adc": None, "tile.forward.dac": None})
        ohmlet.convert(model, config)
        chip = ohmlet.program(model.eval(), instances=2)
        at_once, later = (chip.at(t)(torch.ones(1, 1)) for t in ("0 s", "1 year"))
        # Two devices for each weight, one of them at its lower end, where half of its errors are cut off.
        assert float((at_once - 1).std()) == pytest.approx(0.007 * math.sqrt(1 + (1 / 2 - 1 / (2 * math.pi))), rel=0.05)
        assert torch.equal(at_once, later)


class TestFlash:
    @pytest.mark.parametrize(("current", "published"), [(200.0, 13.49), (800.0, 19.67)])
    def test_error_of_sonos_currents_is_that_published(self, current: float, published: float) -> None:
        """19.88665 (1 - exp(-I / 176.3115)) nA right after programming."""
        tile: Any = AnalogConfig.parse("sonos_inference").tile
        target = torch.full((300, 300), current / 100, dtype=torch.float64)
        g = tile.noise_model.program(target, tile.conductance_converter.window, Stream(torch.tensor(2), None))
        assert float(g.std()) * 100 == pytest.approx(published, rel=0.015)

    def test_a_chip_can_be_seen_on_five_days(self) -> None:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(20, 10))
        ohmlet.convert(model, "sonos_inference")
        chip = ohmlet.program(model.eval(), instances=2)
        assert chip.at("5 d")(torch.ones(3, 20)).shape == (2, 3, 10)
