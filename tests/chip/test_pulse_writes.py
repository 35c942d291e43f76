"""Write-verify by pulses: closed forms of deterministic devices, engines that agree, and what devices cannot reach."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import ohmlet
from ohmlet.chip import Pulses, WriteVerify, pulse_writes
from ohmlet.errors import ConfigError
from ohmlet.nn.kernels import kernels_of
from tests.chip.test_write_verify import converted, held, plain_model

EXACT = {"dw_min_std": 0.0, "dw_min_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0, "up_down_dtod": 0.0}
SPAN = 88.2 - 9.0
"""uS, of the converter `single_device`."""


def programmed(device: Any, instances: int = 1, size: int = 12, noise_model: Any = None, **settings: Any) -> ohmlet.Chip:
    """Return a chip written by pulses, read without noise within 0.5 uS unless told otherwise."""
    loop = {"tolerance_uS": 0.5, "read_noise_uS": 0.0, "max_iterations": 400, "faults": None} | {
        key: settings.pop(key) for key in ("tolerance_uS", "read_noise_uS", "max_iterations", "faults") if key in settings
    }
    faults = loop.pop("faults")
    write = WriteVerify(model={"type": "pulses", "device": device, **settings}, **loop)  # type: ignore[arg-type]
    return ohmlet.program(converted(noise_model or plain_model(), size, size), instances, seed=1, write=write, faults=faults)


@pytest.mark.parametrize("start", ["g_min", "g_max"])
@pytest.mark.parametrize("max_pulses", [1, 64, 1000])
def test_equal_steps_lead_to_the_nearest_level(start: str, max_pulses: int) -> None:
    dw = 0.0075
    step = dw * SPAN / 1.2
    tolerance = 0.55 * step
    chip = programmed({"type": "constant_step", "dw_min": dw, **EXACT}, start=start, max_pulses=max_pulses, tolerance_uS=tolerance)
    g, target = held(chip)
    first, sign = (9.0, 1) if start == "g_min" else (88.2, -1)
    wanted = sign * (target - first) / step
    assert torch.allclose(sign * (g - first) / step, ((g - first).abs() / step).round(), atol=1e-3)  # on the grid of pulses
    assert float((g - target).abs().max()) <= tolerance + 1e-4
    assert chip.report is not None
    (row,) = chip.report.rows
    assert row.accepted == 1.0
    # A device at the far side of two levels within tolerance may stop at the first.
    assert row.pulses_max == pytest.approx(float(wanted.max()), abs=1)
    assert row.pulses_mean == pytest.approx(float(wanted.mean()), abs=0.5)
    assert row.iterations == (row.pulses_max if max_pulses == 1 else 1 if max_pulses == 1000 else -(-row.pulses_max // 64))


def test_soft_bounds_approach_exponentially() -> None:
    # w_n = w_max - (w_max - w_0) (1 - dw / w_max)^n from below, one pulse at a time.
    dw, bound = 0.02, 0.6
    chip = programmed({"type": "soft_bounds", "dw_min": dw, **EXACT}, max_pulses=1, tolerance_uS=1.0)
    g, target = held(chip)
    n = torch.arange(401, dtype=torch.float64)
    levels = 9.0 + SPAN * (bound - 2 * bound * (1 - dw / bound) ** n + bound) / (2 * bound)
    inside = (levels[:, None] - target.flatten()).abs() <= 1.0
    expected = levels[inside.double().argmax(0)]
    reached = inside.any(0)
    assert torch.allclose(g.flatten()[reached], expected[reached], atol=2e-3)
    # Far from a bound one pulse may step across the tolerance; such a device comes back by pulses down.
    assert float(reached.double().mean()) > 0.8
    assert float((g - target).abs().max()) <= 1.0 + 1e-4


def test_compiled_and_reference_pulses_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for engine in ("numba", "reference"):
        monkeypatch.setattr(pulse_writes, "kernels_of", lambda name, engine=engine: kernels_of(engine))
        chip = programmed({"type": "soft_bounds", "dw_min": 0.01}, 2, 6, max_pulses=8, max_iterations=6, read_noise_uS=0.2)
        made.append(held(chip)[0])
    compiled, reference = made
    assert torch.allclose(compiled, reference, atol=1e-3)
    assert not torch.equal(made[0][:, 0], made[0][:, 1])


def test_each_device_of_a_pair_is_a_device_of_its_own() -> None:
    network = converted(plain_model(), 20, 20, converter="single_pair")
    write = {"model": {"type": "pulses", "device": {"type": "constant_step", "dw_min": 0.01}, "w_min": -0.3, "w_max": 0.3}}
    few, many = (ohmlet.program(network, n, seed=1, write={**write, "max_iterations": 3}) for n in (2, 4))
    g = held(many)[0]
    assert torch.equal(held(few)[0], g[:, :2])
    assert not torch.equal(g[0], g[1])


def test_devices_whose_bounds_fall_short_never_converge() -> None:
    device = {"type": "constant_step", "dw_min": 0.01, "w_max_dtod": 0.3, "w_min_dtod": 0.0}
    chip = programmed(device, 1, 60, max_iterations=60)
    g, target = held(chip)
    assert chip.report is not None
    (row,) = chip.report.rows
    short = (target - g) > 0.5
    assert row.never == pytest.approx(float(short.double().mean()), abs=0.01)
    # Of devices in a window as wide as the mean of theirs, P(w < w_target) of targets spread evenly: half a spread over twice the bound.
    assert row.never == pytest.approx(0.3 * 0.6 * 0.399 / 1.2, abs=0.02)
    inside = programmed(device, 1, 60, max_iterations=60, w_min=-0.2, w_max=0.2).report
    assert inside is not None
    assert inside.rows[0].never < 0.02


def test_reads_see_what_a_device_with_write_noise_shows() -> None:
    device = {"type": "constant_step", "dw_min": 0.01, **EXACT, "write_noise_std": 0.02}
    chip = programmed(device, 1, 40, max_iterations=1, max_pulses=1000, tolerance_uS=0.1)
    g, target = held(chip)
    far = (target - 9.0) > 2.0
    # Written once, to the nearest level; what shows differs by the write noise.
    spread = 0.02 * SPAN / 1.2
    uniform = 0.01 * SPAN / 1.2 / 12**0.5
    assert float((g - target)[far].std()) == pytest.approx((spread**2 + uniform**2) ** 0.5, rel=0.1)
    verified = programmed(device, 1, 40, max_iterations=50, tolerance_uS=0.5).report
    assert verified is not None
    assert verified.rows[0].within > 0.99


def test_stuck_devices_take_pulses_in_vain() -> None:
    chip = programmed({"type": "constant_step", "dw_min": 0.01, **EXACT}, max_iterations=5, max_pulses=100, faults={"stuck_off": 0.2})
    crossbar = chip.layers["0"].crossbars[0]
    assert chip.report is not None
    (row,) = chip.report.rows
    assert crossbar.stuck is not None
    assert row.never == pytest.approx(float((~crossbar.stuck.isnan()).double().mean()), abs=0.02)
    assert row.iterations == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "ideal"}, "Ideal is no single device, and a write pulses one"),
        ({"device": "constant_step", "w_min": 0.7}, "'w_min' must be below 'w_max': 0.7 >= 0.6"),
        ({"device": "constant_step", "max_pulses": 0}, "'max_pulses' must be >= 1"),
        ({"device": "konstant_step"}, "unknown device 'konstant_step'"),
        ({"device": "constant_step", "start": "middle"}, "'start' must be one of g_min, g_max, programmed"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(settings: Any, message: str) -> None:
    model: Any = {"type": "pulses", **settings}
    with pytest.raises(ConfigError, match=message):
        WriteVerify(model=model)


def test_a_device_without_bounds_needs_them_stated() -> None:
    class Unbounded(type(Pulses(device="constant_step").device)):  # type: ignore[misc]
        def cells(self) -> Any:
            return {name: value for name, value in super().cells().items() if name != "w_max"}

    with pytest.raises(ConfigError, match="Unbounded states no w_max: set 'w_max', the weight at the end of the window"):
        Pulses(device=Unbounded())
    assert Pulses(device=Unbounded(), w_max=0.5).bounds == (-0.6, 0.5)
