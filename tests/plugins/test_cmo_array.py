"""The CMO/HfOx array as a pulse measurement sees it, and the device that is stated by such measurements."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from ohmlet.cells import DeviceArray, build_array
from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing.device import ONE_PULSE, exact_read
from ohmlet_devices.cmo_statistics import Statistic
from ohmlet_devices.generalized_soft_bounds import GeneralizedSoftBounds
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.reference import stepper
from tests.oracle import devices as oracle

ARRAYS = 30


def array_of(spec: Any, rows: int, columns: int) -> DeviceArray:
    cell = structure(spec, UnitCell) if not isinstance(spec, UnitCell) else spec
    made = build_array(cell, ArraySite(rows, columns, torch.tensor(4), kernels_of("reference"), exact_read))
    assert isinstance(made, DeviceArray)
    return made


class Bench:
    """Arrays of 8x4 cells, pulsed all alike, weights read as conductances."""

    def __init__(self, name: str) -> None:
        self.array, self.given = array_of(name, 8 * ARRAYS, 4), 0
        self.device: Any = self.array.device

    def conductances(self) -> Tensor:
        low, high = self.device.g_min_uS, self.device.g_max_uS
        found: Tensor = (low + (high - low) * (self.array.w.double() + 1) / 2).flatten()
        return found

    def pulse(self, way: float, count: int = 1) -> Tensor:
        x, d = -torch.ones(count, 4), torch.full((count, 8 * ARRAYS), way)
        self.array.pulse(x, d, 1.0, ONE_PULSE, Stream(torch.tensor(2), self.given + torch.arange(count)))
        self.given += count
        return self.conductances()


class Measured(NamedTuple):
    """What the protocol tells of each device, conductances in uS."""

    g_max: Tensor
    g_min: Tensor
    g_sp: Tensor
    states: Tensor
    nsr: Tensor
    plain_states: Tensor
    plain_nsr: Tensor


def measured(name: str) -> Measured:
    """400 up and 400 down, twice, then 500 in turn, of which the last 400 count.

    With soft bounds a step up is a_up (g_max - g) on average, so that a_up is the ratio of what was gone to what was left, likewise down;
    symmetry point and step there follow. The plain numbers are mean and spread of the steps as they come.
    """
    bench = Bench(name)
    ends = [bench.pulse(way, 400) for way in (1.0, -1.0, 1.0, -1.0)]
    g_max, g_min = (ends[0] + ends[2]) / 2, (ends[1] + ends[3]) / 2
    trace = torch.stack([ends[3], *(bench.pulse(1.0 - 2.0 * (number % 2)) for number in range(500))])[100:]
    before, step = trace[:-1], trace.diff(dim=0)
    up, down = step[0::2], -step[1::2]
    left_up, left_down = g_max - before[0::2], before[1::2] - g_min
    a_up, a_down = up.sum(0) / left_up.sum(0), down.sum(0) / left_down.sum(0)
    mean, off = torch.cat((a_up * left_up, a_down * left_down)), torch.cat((up - a_up * left_up, down - a_down * left_down))
    return Measured(
        g_max,
        g_min,
        (a_up * g_max + a_down * g_min) / (a_up + a_down),
        (a_up + a_down) / (a_up * a_down),
        (off.square().sum(0) / mean.square().sum(0)).sqrt(),
        (g_max - g_min) / ((up.mean(0) + down.mean(0)) / 2),
        (up.std(0) / up.mean(0) + down.std(0) / down.mean(0)) / 2,
    )


def error(values: Tensor) -> float:
    """Return four standard errors of a mean."""
    return 4 * float(values.std()) / math.sqrt(len(values))


@pytest.fixture(scope="module")
def array() -> Measured:
    return measured("reram_cmo_array")


def test_the_array_has_the_published_statistics(array: Measured) -> None:
    # Ratios of measured steps are off by the square of their error, 0.9 / sqrt(200) for either way: 0.2 % of the states.
    assert float(array.states.mean()) == pytest.approx(22.0, abs=error(array.states) + 22 * 0.9**2 / 400)
    assert float(array.nsr.mean()) == pytest.approx(0.9, abs=error(array.nsr) + 0.9 / 400)
    assert float(array.g_min.mean()) == pytest.approx(12.5, abs=error(array.g_min))
    assert float(array.g_max.mean()) == pytest.approx(95.0, abs=error(array.g_max))
    # Skew 61 % of the upper end, (95 - 37) / 95; beside its error the ratio of two measured steps is off by 0.2 uS.
    assert float(array.g_sp.mean()) == pytest.approx(37.0, abs=error(array.g_sp) + 0.2)


def test_devices_span_the_published_ranges(array: Measured) -> None:
    assert 10.0 <= float(array.g_min.min()) < 10.2
    assert 14.8 < float(array.g_min.max()) <= 15.0
    assert 90.0 <= float(array.g_max.min()) < 90.4
    assert 99.6 < float(array.g_max.max()) <= 100.0
    # A device's number of states is measured to about 5 %, its symmetry point to about 1.5 uS, so ends are blurred by that.
    assert float(((array.states > 16 * 0.9) & (array.states < 33 * 1.1)).double().mean()) > 0.98
    assert float(((array.g_sp > 20) & (array.g_sp < 40 + 4)).double().mean()) > 0.98
    lowest, highest = (getattr(array.states.view(ARRAYS, 32), way)(1).values.mean() for way in ("min", "max"))
    assert float(lowest) == pytest.approx(16.0, abs=1.0)
    assert float(highest) == pytest.approx(33.0, abs=3.0)


def test_steps_as_they_come_say_five_percent_less(array: Measured) -> None:
    """Pulses in turn start from beyond the symmetry point and the weight wanders, so plain means and spreads are larger than at it."""
    assert float(array.plain_states.mean()) == pytest.approx(22.0 * 0.95, rel=0.03)
    assert float(array.plain_nsr.mean()) == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "states", "nsr", "g_sp"),
    [("cmo_lownoise", 22.0, 0.2, 37.0), ("cmo_100states", 100.0, 0.9, 37.0), ("cmo_symmetric", 22.0, 0.9, 53.75)],
)
def test_ablations_change_one_thing(name: str, states: float, nsr: float, g_sp: float) -> None:
    found = measured(name)
    assert float(found.states.mean()) == pytest.approx(states, abs=error(found.states) + states * nsr**2 / 400)
    assert float(found.nsr.mean()) == pytest.approx(nsr, abs=error(found.nsr) + nsr / 400)
    assert float(found.g_sp.mean()) == pytest.approx(g_sp, abs=error(found.g_sp) + 0.2)


def test_the_recommended_row_of_steps() -> None:
    """Window 12 to 95 uS, symmetry point 37 uS, 22 states: steps of 0.0649 (1 - w) up and 0.1515 (1 + w) down meet at w = -0.4."""
    device = GeneralizedSoftBounds(n_states=22.0, n_states_dtod=0.0, g_min_uS=12.0, g_max_uS=95.0, g_sp_uS=36.9)
    cell = array_of(device, 1, 1).cell()
    assert float(cell["dw_up"]) / 2 == pytest.approx(0.0649, abs=5e-5)
    assert float(cell["dw_down"]) / 2 == pytest.approx(0.1515, abs=5e-5)
    assert device.weight(36.9) == pytest.approx(-0.4)


@pytest.mark.parametrize("exponents", [(1.0, 1.0), (1.7, 0.6), (0.0, 2.0)])
def test_steps_are_those_of_the_states_at_the_symmetry_point(exponents: tuple[float, float]) -> None:
    spreads: dict[str, Any] = {"n_states_dtod": 0.3, "g_min_dtod_uS": 1.0, "g_max_dtod_uS": 2.0, "g_sp_dtod_uS": 4.0}
    device = GeneralizedSoftBounds(n_states=30.0, g_sp_uS=40.0, p_up=exponents[0], p_down=exponents[1], nsr=0.5, **spreads)
    xi = torch.randn(20, generator=torch.Generator().manual_seed(1)).double()
    drawn = {name: each.values(xi) for name, each in device.cells().items()}
    cell = device.derive(drawn, Stream(torch.tensor(1)))
    for number in range(20):
        c = {name: float(value[number]) for name, value in cell.items()}
        c |= {"g_up": c["p_up"], "g_down": c["p_down"], "std": c["nsr"]}
        at, size = float(drawn["w_sp"][number]), (c["w_max"] - c["w_min"]) / float(drawn["n_states"][number])
        assert oracle.power(at, True, 0.0, c) - at == pytest.approx(size)
        assert at - oracle.power(at, False, 0.0, c) == pytest.approx(size)
        assert oracle.power(at, True, 1.0, c) - at == pytest.approx(1.5 * size)


def test_step_equals_the_scalar_calculation() -> None:
    array = array_of({"type": "reram_cmo_array", "p_up": 1.4, "p_down_dtod": 0.3, "nsr_dtod": 0.3}, 3, 4)
    run, w = stepper(array.step), array.w.double()
    cells = tuple(getattr(array, f"cell_{part}").double() for part in array.step.cell)
    scalar = w.tolist()
    for number, up in enumerate([True] * 9 + [False] * 12 + [True, False] * 3):
        xi = Stream(torch.tensor(5), torch.tensor([number])).normal("xi", torch.empty(1, 3, 4))[0].double()
        w, _ = run(w, torch.full((3, 4), up), (xi,), cells, (), array.params, array.tables)
        for i in range(3):
            for j in range(4):
                c = {name: float(value[i, j]) for name, value in array.cell().items()}
                c |= {"g_up": c["p_up"], "g_down": c["p_down"], "std": c["nsr"]}
                scalar[i][j] = oracle.power(scalar[i][j], up, float(xi[i, j]), c)
                assert float(w[i, j]) == pytest.approx(scalar[i][j], abs=3e-7)


@pytest.mark.parametrize(
    ("mean", "std", "ends", "log"),
    [(22.0, 0.2, (16.0, 33.0), True), (37.0, 4.8, (20.0, 40.0), False), (12.5, 1.2, (10.0, 15.0), False), (5.0, 0.5, None, True)],
)
def test_statistics_keep_their_mean_within_their_range(mean: float, std: float, ends: Any, log: bool) -> None:
    statistic = Statistic("x", mean, std, ends, log)
    # Quantiles instead of draws: the mean is exact up to the grid.
    xi = torch.special.ndtri((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)
    values = statistic.within(statistic.cell().values(xi))
    assert float(values.mean()) == pytest.approx(mean, rel=1e-4)
    if ends:
        assert ends[0] <= float(values.min())
        assert float(values.max()) <= ends[1]
    assert bool((values.diff() >= 0).all())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"g_sp_uS": 5.0}, "the symmetry point g_sp_uS = 5 must lie between g_min_uS = 10 and g_max_uS = 90"),
        (
            {"g_sp_dtod_uS": 2.0, "g_sp_range_uS": [60.0, 70.0]},
            r"the range of g_sp_uS must be two numbers around its mean 50: \[60.0, 70.0\]",
        ),
        ({"n_states_range": [50.0, 100.0, 200.0]}, "the range of n_states must be two numbers"),
        ({"g_min_range_uS": [9.0, 11.0]}, r"the range \[9.0, 11.0\] of g_min_uS has no effect without a spread"),
        (
            {"g_sp_dtod_uS": 20.0, "g_sp_range_uS": [20.0, 50.5]},
            r"g_sp_uS cannot have the mean 50 within \[20.0, 50.5\] .* lower the spread",
        ),
        ({"nsr": 0.0, "nsr_dtod": 0.1}, "nsr_dtod = 0.1 has no effect without nsr"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        structure({"type": "generalized_soft_bounds", **settings}, UnitCell)


def test_a_mirror_image_does_down_what_the_device_does_up() -> None:
    array = array_of({"type": "reram_cmo_array", "p_up": 1.3}, 2, 3)
    turned = array.device.inverted(array.cell())
    run, names = stepper(array.step), array.step.cell
    w, still = torch.linspace(-0.5, 0.5, 6).view(2, 3), (torch.zeros(2, 3),)
    up, _ = run(w, torch.ones(2, 3, dtype=torch.bool), still, tuple(array.cell()[name] for name in names), (), array.params, array.tables)
    down, _ = run(-w, torch.zeros(2, 3, dtype=torch.bool), still, tuple(turned[name] for name in names), (), array.params, array.tables)
    torch.testing.assert_close(down, -up)
