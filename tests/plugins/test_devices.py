"""The conventions, spreads and events of pulsed devices, and cells of several."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from ohmlet.cells import DeviceArray, build_array, pulse_report
from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing.device import exact_read
from ohmlet_kernels.noise import Stream
from tests.plugins.test_devices_oracle import NOMINAL, STILL, array_of

STILL_SOFT = {"type": "soft_bounds", **NOMINAL}


def spec_of(cell: Any) -> Any:
    return structure(cell, UnitCell)


def many(cell: Any) -> Any:
    return build_array(spec_of(cell), ArraySite(200, 100, torch.tensor(9), kernels_of("reference"), exact_read))


def noise(event: int = 0, ordinals: torch.Tensor | None = None) -> Stream:
    return Stream(torch.tensor(3), ordinals, torch.tensor([event]))


def pulse(array: Any, signs: list[float]) -> Any:
    rows, columns = array.weights().shape
    d = torch.tensor(signs)[:, None].expand(-1, rows).contiguous()
    one = PulsedUpdate(desired_bl=1, update_management=False, update_bl_management=False)
    array.pulse(-torch.ones(len(signs), columns), d, 1.0, one, noise(ordinals=torch.arange(len(signs))))
    return array


class TestConventions:
    @pytest.mark.parametrize(
        ("form", "up_down", "expected"),
        [("symmetric", 0.2, (1.2, 0.8)), ("symmetric", -0.2, (0.8, 1.2)), ("one_sided", 0.2, (1.0, 0.8)), ("one_sided", -0.2, (0.8, 1.0))],
    )
    def test_up_down(self, form: str, up_down: float, expected: tuple[float, float]) -> None:
        cell = array_of({"type": "constant_step", **STILL, "dw_min": 0.01, "up_down": up_down, "up_down_form": form}).cell()
        assert (float(cell["dw_up"][0, 0]), float(cell["dw_down"][0, 0])) == pytest.approx(tuple(0.01 * part for part in expected))

    def test_lognormal_steps_keep_their_mean_or_their_median(self) -> None:
        settings = {"type": "constant_step", "dw_min_dtod": 0.6, "dw_min_dtod_log_normal": True, "up_down_dtod": 0.0}
        mean = many({**settings})
        median = many({**settings, "log_normal_center": "median"})
        assert float(mean.cell()["dw_up"].mean()) == pytest.approx(0.001, rel=0.02)
        assert float(median.cell()["dw_up"].median()) == pytest.approx(0.001, rel=0.02)
        assert float(median.cell()["dw_up"].mean()) == pytest.approx(0.001 * math.exp(0.18), rel=0.02)

    def test_write_noise_units(self) -> None:
        assert spec_of({"type": "soft_bounds", "write_noise_std": 0.02}).write_noise == 0.02
        assert spec_of({"type": "soft_bounds", "write_noise_std": 2.0, "write_noise_unit": "dw_min"}).write_noise == pytest.approx(0.002)
        with pytest.raises(ConfigError, match=r"write_noise_std = 1.4113 in units of weight is more .* say write_noise_unit: dw_min"):
            spec_of({"type": "soft_bounds", "write_noise_std": 1.4113})

    def test_steps_and_spreads_in_other_units_are_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"dw_min = 20 is a step of more than the range of weights \[-0\.6, 0\.6\]"):
            spec_of({"type": "constant_step", "dw_min": 20.0})
        with pytest.raises(ConfigError, match=r"lifetime = 0\.5 mini-batches loses every weight after each"):
            spec_of({"type": "constant_step", "lifetime": 0.5})
        for name in ("dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod"):
            with pytest.raises(ConfigError, match=rf"{name} = 30 is a spread of 3000%: spreads are fractions of the mean, 0\.3 for 30 %"):
                spec_of({"type": "constant_step", name: 30.0})

    def test_pmax_covers_its_range_in_p_max_pulses_both_ways(self) -> None:
        array = array_of({"type": "soft_bounds_pmax", **STILL, "p_max": 50.0, "alpha": 0.02, "range_min": -0.5, "range_max": 0.8}, 1, 1)
        array.set_weights(torch.tensor([[-0.5]]), noise())
        assert float(pulse(array, [1.0] * 50).weights()) == pytest.approx(0.8, abs=1e-5)
        assert float(pulse(array, [-1.0] * 50).weights()) == pytest.approx(-0.5, abs=1e-5)

    def test_symmetry_point_is_where_alternating_pulses_settle(self) -> None:
        for name, extra in (("soft_bounds_reference", {}), ("pow_step_reference", {"pow_gamma": 1.5})):
            settings = {"type": name, "dw_min": 0.02, "dw_min_std": 0.0, "up_down": 0.2, "subtract_symmetry_point": True, **extra}
            array = array_of(settings)
            middle = (pulse(array, [1.0, -1.0] * 400).weights().clone() + pulse(array, [1.0]).weights()) / 2
            assert float(middle.abs().max()) < 0.01

    def test_reference_shifts_what_can_be_set(self) -> None:
        settings = {"type": "soft_bounds_reference", **NOMINAL, "reference_mean": 0.2}
        for form, expected in (("shifted", (0.4, -0.7)), ("raw", (0.6, -0.5))):
            array = array_of({**settings, "set_bounds": form}, 1, 1)
            for wanted, found in zip((2.0, -2.0), expected, strict=True):
                array.set_weights(torch.tensor([[wanted]]), noise())
                assert float(array.weights()) == pytest.approx(found)

    @pytest.mark.parametrize(
        ("cell", "form", "expected"),
        [
            ({"type": "exp_step"}, "both", None),
            ({"type": "pow_step", "w_max": 0.9, "w_min": -0.3, "pow_gamma": 2.0}, "zero", 0.001 * (0.75**2 + 0.25**2) / 2),
            ({"type": "pow_step", "w_max": 0.9, "w_min": -0.3, "pow_gamma": 2.0}, "centre", 0.00025),
            ({"type": "piecewise_step", "piecewise_up": [2.0, 1.0], "piecewise_down": [1.0, 1.0]}, "zero", 0.00125),
            ({"type": "piecewise_step", "piecewise_up": [2.0, 1.0], "piecewise_down": [1.0, 1.0]}, "middle_node", 0.001),
        ],
    )
    def test_granularity(self, cell: dict[str, Any], form: str, expected: float | None) -> None:
        found = spec_of({**cell, "granularity_form": form}).granularity
        if expected is None:
            up, down = 1 - 0.00081 * math.exp(12.44625 * 0.2425), 1 - 0.36833 * math.exp(-12.78785 * 0.2425)
            expected = 0.001 * (up + down) / 2
        assert found == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"type": "constant_step", "lifetime_dtod": 0.1}, "lifetime_dtod = 0.1 has no effect without lifetime"),
            ({"type": "constant_step", "reset_dtod": 0.1}, "reset_dtod = 0.1 has no effect without reset"),
            ({"type": "constant_step", "corrupt_devices_range": 0.2}, "no effect without corrupt_devices_prob"),
            ({"type": "constant_step", "drift": {"nu_dtod": 0.1}}, "nu_dtod = 0.1 has no effect without nu"),
            ({"type": "exp_step", "dw_min_std": 0.0, "dw_min_std_add": 0.1}, "no effect without dw_min_std"),
            ({"type": "linear_step", "gamma_up": -0.1}, "gamma_up = -0.1 makes steps grow"),
            ({"type": "soft_bounds", "reverse_up": True, "mult_noise": False}, "reverse_up and reverse_down need mult_noise"),
            ({"type": "piecewise_step", "piecewise_up": [1.0, 2.0]}, "piecewise_up has 2 nodes and piecewise_down 1"),
            ({"type": "vector", "gamma_vec": [1.0]}, "gamma_vec has 1 entries for 2 devices"),
            ({"type": "vector", "gamma_vec": [1.0, -1.0]}, "lets no weight be set"),
            ({"type": "vector", "first_update_idx": 1}, "no effect with update_policy all"),
            ({"type": "one_sided", "refresh_upper_thres": 0.5}, "no effect without refresh_every"),
            ({"type": "one_sided", "minus": "vector"}, "one_sided needs plain devices"),
            ({"type": "soft_bounds", "w_max": -0.1}, "'w_max' must be >= 0"),
        ],
    )
    def test_settings_without_effect_or_sense_are_refused(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            spec_of(settings)

    def test_no_mirror_image_of_a_device_whose_ways_differ_by_parameters(self) -> None:
        with pytest.raises(ConfigError, match="ExpStep has no mirror image"):
            array_of({"type": "one_sided", "minus": "exp_step", "copy_inverted": "mirrored"})

    def test_no_ideal_part_of_a_cell_that_is_pulsed(self) -> None:
        with pytest.raises(ConfigError, match="pulses all of them, and 1 takes no pulses"):
            array_of({"type": "vector", "unit_cell_devices": ["soft_bounds", "ideal"]})


class TestSpreads:
    def test_steps_and_bounds_spread_as_declared(self) -> None:
        cell = many({"type": "constant_step", "dw_min_dtod": 0.1, "w_max_dtod": 0.05, "w_min_dtod": 0.2, "up_down_dtod": 0.02}).cell()
        assert float(cell["w_max"].std()) == pytest.approx(0.6 * 0.05, rel=0.03)
        assert float(cell["w_min"].std()) == pytest.approx(0.6 * 0.2, rel=0.03)
        assert float((cell["dw_up"] + cell["dw_down"]).std()) == pytest.approx(0.002 * 0.1, rel=0.03)
        assert float((cell["dw_up"] - cell["dw_down"]).std()) == pytest.approx(0.002 * 0.02, rel=0.03)

    def test_stuck_devices(self) -> None:
        array = many({"type": "soft_bounds", "corrupt_devices_prob": 0.1, "corrupt_devices_range": 0.05})
        cell = array.cell()
        stuck = cell["dw_up"] == 0
        assert float(stuck.float().mean()) == pytest.approx(0.1, abs=0.01)
        assert float(array.w[stuck].abs().max()) <= 0.05
        before = array.w.clone()
        pulse(array, [1.0] * 3)
        assert torch.equal(array.w[stuck], before[stuck])
        assert bool((array.w[~stuck] != before[~stuck]).all())

    def test_perfect_bias_column(self) -> None:
        cell = many({"type": "soft_bounds", "perfect_bias": True}).cell()
        assert torch.equal(cell["dw_up"][:, -1], torch.full((200,), 0.001))
        assert torch.equal(cell["w_min"][:, -1], torch.full((200,), -60.0))
        assert float(cell["dw_up"][:, :-1].std()) > 1e-4

    def test_noise_from_pulse_to_pulse(self) -> None:
        array = many({"type": "constant_step", **STILL, "dw_min_std": 0.4})
        w = pulse(array, [1.0] * 4).weights()
        assert float(w.mean()) == pytest.approx(0.004, rel=0.02)
        assert float(w.std()) == pytest.approx(0.001 * 0.4 * 2, rel=0.03)


class TestBetweenUpdates:
    def test_decay_leads_to_the_reset_level(self) -> None:
        array = array_of({"type": "constant_step", **STILL, "lifetime": 10.0, "reset": 0.1}, 1, 1)
        array.set_weights(torch.tensor([[0.5]]), noise())
        array.decay()
        assert float(array.weights()) == pytest.approx(0.46)
        array.decay(0.5)
        assert float(array.weights()) == pytest.approx(0.442)

    def test_diffusion_grows_with_the_root_of_time(self) -> None:
        array = many({"type": "constant_step", **STILL, "diffusion": 0.01})
        for _ in range(9):
            array.diffuse(noise())
        assert float(array.weights().std()) == pytest.approx(0.03, rel=0.03)

    def test_reset_in_both_forms(self) -> None:
        for form, spread in (("relative", 0.2 * 0.1), ("absolute", 0.1)):
            array = many({"type": "constant_step", **STILL, "reset": 0.2, "reset_dtod": 0.1, "reset_dtod_form": form, "reset_std": 0.02})
            array.reset(torch.ones(200, 100, dtype=torch.bool), noise())
            assert float(array.weights().mean()) == pytest.approx(0.2, abs=0.003)
            assert float(array.weights().std()) == pytest.approx(math.hypot(spread, 0.02), rel=0.03)

    def test_drift_counts_from_the_last_write(self) -> None:
        array = array_of({"type": "constant_step", **STILL, "drift": {"nu": 0.1}}, 1, 2)
        array.set_weights(torch.tensor([[0.4, 0.2]]), noise())
        for seconds, factor in ((1.0, 1.0), (9.0, 10**-0.1), (90.0, 100**-0.1)):
            array.drift(seconds, noise())
            assert array.weights()[0].tolist() == pytest.approx([0.4 * factor, 0.2 * factor], rel=1e-5)
        array.set_weights(torch.tensor([[0.3, float(array.w[0, 1])]]), noise())
        array.drift(10.0, noise())
        assert array.weights()[0].tolist() == pytest.approx([0.3 * 10**-0.1, 0.2 * 110**-0.1], rel=1e-5)

    def test_write_noise_lies_between_what_is_held_and_what_is_seen(self) -> None:
        array = many({"type": "constant_step", **STILL, "write_noise_std": 0.02})
        array.set_weights(torch.full((200, 100), 0.3), noise())
        assert torch.equal(array.w, torch.full((200, 100), 0.3))
        assert float(array.weights().std()) == pytest.approx(0.02, rel=0.03)
        seen = array.weights().clone()
        x, d = torch.zeros(1, 100), torch.full((1, 200), 1.0)
        x[0, 7] = -1.0
        one = PulsedUpdate(desired_bl=1, update_management=False, update_bl_management=False)
        array.pulse(x, d, 1.0, one, noise(ordinals=torch.arange(1)))
        changed = (array.weights() != seen).any(0)
        assert changed.nonzero().flatten().tolist() == [7]
        quiet = many({"type": "constant_step", **STILL, "write_noise_std": 0.02, "apply_write_noise_on_set": False})
        quiet.set_weights(torch.full((200, 100), 0.3), noise())
        assert torch.equal(quiet.weights(), torch.full((200, 100), 0.3))

    def test_pulses_are_counted(self) -> None:
        for engine in ("reference", "numba"):
            spec = spec_of({"type": "vector", "unit_cell_devices": [{"type": "constant_step", "count_pulses": True}, "constant_step"]})
            array: Any = build_array(spec, ArraySite(4, 3, torch.tensor(9), kernels_of(engine), exact_read))
            pulse(array, [1.0] * 5 + [-1.0] * 2)
            (name, report), *others = pulse_report(array, endurance=10.0).items()
            assert (name, others) == ("arrays.0", [])
            assert (report.mean, report.largest, report.quantiles[0.5]) == (7.0, 7, 7.0)
            assert report.used == pytest.approx(0.7)
            assert array.part("0").get_buffer("pulses")[:, 0, 0].tolist() == [5, 2]
        with pytest.raises(ConfigError, match="no device here counts its pulses: set count_pulses"):
            pulse_report(array_of("constant_step"))


XS = np.random.RandomState(0)
X = torch.tensor(XS.uniform(-1, 1, (12, 3)), dtype=torch.float32)
D = torch.tensor(XS.uniform(-1, 1, (12, 2)), dtype=torch.float32)


def learned(cell: dict[str, Any], pulses: dict[str, Any]) -> Any:
    """Return the array after the twelve golden vectors, each an update of its own."""
    array = array_of(cell, 2, 3)
    update = PulsedUpdate(pulse_type="deterministic_implicit", **pulses)
    for index in range(12):
        one = slice(index, index + 1)
        array.pulse(X[one], D[one], 0.1, update, noise(ordinals=torch.tensor([index])))
    return array


def wide(dw_min: float) -> dict[str, Any]:
    return {"type": "constant_step", **STILL, "dw_min": dw_min, "w_max": 1.0, "w_min": -1.0}


class TestUnitCells:
    """Golden vectors: the established simulator's weights after twelve deterministic updates."""

    THREE = (wide(0.01), wide(0.02), wide(0.03))

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"update_policy": "all"}, [[0.14, -0.08, 0.16], [-0.08, -0.04, 0.02]]),
            ({"update_policy": "single_sequential", "first_update_idx": 1}, [[0.04333, -0.02, 0.03333], [-0.01, 0.00333, 0.00333]]),
            ({"update_policy": "single_fixed", "first_update_idx": 0}, [[0.02333, -0.01333, 0.02667], [-0.01333, -0.00667, 0.00333]]),
        ],
    )
    def test_vector(self, settings: dict[str, Any], expected: list[list[float]]) -> None:
        array = learned({"type": "vector", "unit_cell_devices": list(self.THREE), **settings}, {})
        assert torch.allclose(array.weights(), torch.tensor(expected), atol=2e-5), array.weights()

    def test_one_sided(self) -> None:
        minus = {"type": "soft_bounds", **STILL, "dw_min": 0.02, "w_max": 1.0, "w_min": 0.0}
        array = learned({"type": "one_sided", "minus": minus}, {})
        for name, expected in (
            ("minus", [[0.0396, 0.13187, 0.02], [0.14924, 0.14924, 0.09608]]),
            ("plus", [[0.16625, 0.05881, 0.16625], [0.07763, 0.11416, 0.11416]]),
        ):
            assert torch.allclose(array.part(name).weights(), torch.tensor(expected), atol=2e-5)

    def test_random_choice_spreads_over_devices_and_goes_by_ordinals(self) -> None:
        cell = {"type": "vector", "unit_cell_devices": list(self.THREE), "update_policy": "single_random"}
        array, x, d = array_of(cell, 2, 2), -torch.ones(300, 2), torch.ones(300, 2)
        one = PulsedUpdate(desired_bl=1, update_management=False, update_bl_management=False)
        choice = array.chosen(300, noise(ordinals=torch.arange(300)))
        assert torch.bincount(choice, minlength=3).tolist() == pytest.approx([100, 100, 100], abs=35)
        array.pulse(x[:30], d[:30], 1.0, one, noise(ordinals=torch.arange(30)))
        for index, dw in enumerate((0.01, 0.02, 0.03)):
            count = int((choice[:30] == index).sum())
            assert float(array.part(str(index)).w[0, 0]) == pytest.approx(count * dw, abs=1e-5)

    def test_weights_that_are_set_are_shared_out(self) -> None:
        w = torch.tensor([[0.3, -0.2]])
        for cell in (
            {"type": "vector", "unit_cell_devices": [wide(0.01), wide(0.02)], "gamma_vec": [2.0, -0.5]},
            {"type": "vector", "unit_cell_devices": [wide(0.01), wide(0.02)], "update_policy": "single_fixed", "first_update_idx": 1},
            {"type": "one_sided", "minus": {"type": "soft_bounds", **NOMINAL}},
            {"type": "reference_pair", "device": wide(0.01)},
        ):
            array = array_of(cell, 1, 2)
            if cell["type"] == "reference_pair":
                array.set_reference(torch.tensor([[0.1, -0.3]]), noise())
            array.set_weights(w, noise())
            assert torch.allclose(array.weights(), w, atol=1e-6)

    def test_mirrored_copy_goes_down_as_the_other_goes_up(self) -> None:
        minus = {"type": "linear_step", "gamma_up": 0.4, "gamma_down": 0.2, "dw_min_std": 0.0, "up_down": 0.1}
        array = array_of({"type": "one_sided", "minus": minus, "copy_inverted": "mirrored"})
        lone = array_of({"type": "one_sided", "minus": minus}).part("minus")
        pulse(array, [1.0] * 9)
        pulse(lone, [-1.0] * 9)
        assert isinstance(lone, DeviceArray)
        assert torch.allclose(array.part("plus").w, -lone.w, atol=1e-7)

    def test_refresh_keeps_the_weight_and_frees_the_devices(self) -> None:
        minus = {"type": "constant_step", **STILL, "dw_min": 0.02, "w_max": 1.0, "w_min": 0.0, "reset_std": 0.0}
        cell = {"type": "one_sided", "minus": minus, "refresh_every": 2, "units_in_mbatch": False}
        array = array_of(cell, 2, 3)
        for name, value in (("plus", 0.9), ("minus", 0.6)):
            array.part(name).set_weights(torch.full((2, 3), value), noise())
        array.part("minus").w[0, 0] = 0.1
        pulse(array, [1.0, 1.0])
        assert int(array.refreshes) == 1
        assert array.weights()[1].tolist() == pytest.approx([0.34] * 3, abs=0.021)
        assert float(array.weights()[0, 0]) == pytest.approx(0.84)
        assert array.part("minus").w[1].tolist() == [0.0] * 3
        pulse(array, [1.0])
        assert (int(array.refreshes), int(array.since)) == (1, 1)
