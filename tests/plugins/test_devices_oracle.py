"""Each device's step against a scalar calculation in float64, pulse by pulse with noise, and against published golden vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ohmlet.cells import DeviceArray, build_array
from ohmlet.config import structure
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing.device import ONE_PULSE, exact_read
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.reference import stepper
from tests.oracle import devices as oracle

Settings = dict[str, Any]

EXP = {"a": 0.3, "b": 0.1, "A_up": 0.1, "A_down": 0.2, "gamma_up": 3.0, "gamma_down": 4.0, "dw_min_std_add": 0.02, "dw_min_std_slope": 0.1}
UP, DOWN = (1.5, 1.2, 0.3), (0.2, 0.9, 1.4)


def cell_of(array: DeviceArray, i: int, j: int, **more: float) -> dict[str, float]:
    made = {name: float(value[i, j]) for name, value in array.cell().items()}
    return {"std": array.device.parameters()["dw_min_std"], **made, **more}


def linear_cell(array: DeviceArray, i: int, j: int) -> dict[str, float]:
    """What the slopes stand for: the mean bounds, and the gammas drawn."""
    c = cell_of(array, i, j)
    device: Any = array.device
    gammas = {"gamma_up": -c["slope_up"] / c["dw_up"] * device.w_max, "gamma_down": -c["slope_down"] / c["dw_down"] * device.w_min}
    return {**c, **gammas, "ref_up": device.w_max, "ref_down": device.w_min}


CASES: dict[str, tuple[Settings, Callable[..., float], Callable[[DeviceArray, int, int], dict[str, float]]]] = {
    "constant_step": ({}, oracle.constant, cell_of),
    "linear_step": ({"gamma_up": 0.4, "gamma_down": 0.7}, oracle.linear, linear_cell),
    "soft_bounds": ({}, oracle.soft, cell_of),
    "soft_bounds additive": ({"mult_noise": False}, oracle.soft, lambda a, i, j: cell_of(a, i, j, additive=1.0)),
    "soft_bounds_pmax": ({"p_max": 200.0, "alpha": 0.01}, oracle.soft, cell_of),
    "soft_bounds_reference": (
        {"reference_std": 0.1, "slope_up_dtod": 0.1, "subtract_symmetry_point": True},
        oracle.soft_reference,
        lambda a, i, j: cell_of(a, i, j, additive=1.0),
    ),
    "exp_step": (
        EXP,
        oracle.exponential,
        lambda a, i, j: cell_of(a, i, j, a=0.3, b=0.1, A_up=0.1, A_down=0.2, g_up=3.0, g_down=4.0, add=0.02, slope=0.1),
    ),
    "pow_step": ({"pow_gamma": 1.7, "pow_up_down": 0.2}, oracle.power, lambda a, i, j: renamed(cell_of(a, i, j))),
    "pow_step_reference": ({"pow_gamma": 1.7, "reference_mean": 0.1}, oracle.power_reference, lambda a, i, j: renamed(cell_of(a, i, j))),
    "piecewise_step": (
        {"piecewise_up": UP, "piecewise_down": DOWN},
        lambda w, up, xi, c: oracle.piecewise(w, up, xi, c, UP, DOWN),
        cell_of,
    ),
}


def renamed(c: dict[str, float]) -> dict[str, float]:
    return {**c, "g_up": c["gamma_up"], "g_down": c["gamma_down"]}


def array_of(cell: Settings | str, rows: int = 3, columns: int = 4) -> Any:
    spec: UnitCell = structure(cell, UnitCell)
    return build_array(spec, ArraySite(rows, columns, torch.tensor(77), kernels_of("reference"), exact_read))


@pytest.mark.parametrize("name", CASES)
def test_step_equals_the_scalar_calculation(name: str) -> None:
    settings, expected, cell_at = CASES[name]
    dw = {} if "pmax" in name else {"dw_min": 0.02}
    array = array_of({"type": name.split()[0], "up_down_dtod": 0.1, **dw, **settings})
    run, ways = stepper(array.step), [True] * 6 + [False] * 9 + [True, False] * 3
    w, double = array.w.clone(), torch.float64
    cells = tuple(getattr(array, f"cell_{part}").to(double) for part in array.step.cell)
    w = w.to(double)
    scalar = {(i, j): float(w[i, j]) for i in range(3) for j in range(4)}
    moved = 0.0
    for number, way in enumerate(ways):
        xi = Stream(torch.tensor(5), torch.tensor([number])).normal("xi", torch.empty(1, 3, 4))[0].to(double)
        before = w
        w, _ = run(w, torch.full((3, 4), way), (xi,), cells, (), array.params, array.tables)
        moved += float((w - before).abs().max())
        for (i, j), value in scalar.items():
            scalar[i, j] = expected(value, way, float(xi[i, j]), cell_at(array, i, j))
            assert float(w[i, j]) == pytest.approx(scalar[i, j], abs=3e-7), (number, i, j)
    assert moved > 0.1


def test_three_states_equal_the_scalar_calculation() -> None:
    array = array_of({"type": "three_state_vcm", "dw_min": 0.02, "length_dtod": 0.2})
    device, run = array.device, stepper(array.step)
    shared = {name: getattr(device, name) for name in ("cooling", "heat_set", "heat_reset", "activation", "floor", "length_std")}
    shared |= {"ambient": device.t_ambient, "range": device.length_range}
    w, hidden = array.w.double(), tuple(value.double() for value in array.hidden().values())
    cells = tuple(getattr(array, f"cell_{part}").double() for part in array.step.cell)
    c = cell_of(array, 1, 2, **shared)
    scalar = (float(w[1, 2]), float(hidden[0][1, 2]), float(hidden[1][1, 2]))
    for number, way in enumerate([True] * 8 + [False] * 8):
        xi = [Stream(torch.tensor(5), torch.tensor([number])).normal(f"xi {k}", torch.empty(1, 3, 4))[0].double() for k in (0, 1)]
        w, hidden = run(w, torch.full((3, 4), way), xi, cells, hidden, array.params, array.tables)
        scalar = oracle.three_state(*scalar, way, [float(each[1, 2]) for each in xi], c)
        for mine, theirs in zip((w, *hidden), scalar, strict=True):
            assert float(mine[1, 2]) == pytest.approx(theirs, rel=2e-6, abs=2e-7)
    assert scalar[1] > device.t_ambient + 10


STILL = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0, "up_down_dtod": 0.0}
NOMINAL = {**STILL, "dw_min": 0.002, "w_max": 0.6, "w_min": -0.5}
ONE = {"up_down_form": "one_sided"}
POWER = {"pow_gamma": 2.0, "pow_gamma_dtod": 0.0}
GAMMAS = {"gamma_up": 0.5, "gamma_down": 0.7, "gamma_up_dtod": 0.0, "gamma_down_dtod": 0.0}
ES = {"a": -0.5, "b": -0.5, "gamma_up": 5.0, "gamma_down": 5.0, "A_up": -1.18445, "A_down": -0.081404}

GOLDEN: list[tuple[str, Settings, list[float]]] = [
    ("constant_step", {}, [0.002, 0.02, 0.2, 0.0, -0.4]),
    ("constant_step", {"up_down": 0.3, **ONE}, [0.002, 0.02, 0.2, 0.06, -0.219999]),
    ("constant_step", {"up_down": -0.3, **ONE}, [0.0014, 0.014, 0.14, -0.06, -0.46]),
    ("linear_step", GAMMAS, [0.002, 0.019851, 0.184363, -0.035368, -0.326786]),
    ("linear_step", {**GAMMAS, "reverse_up": True}, [0.002, 0.020177, 0.220717, -0.007904, -0.311111]),
    ("soft_bounds", {}, [0.002, 0.019703, 0.170321, -0.051031, -0.298589]),
    ("soft_bounds_reference", {"reference_mean": 0.1}, [0.001667, 0.016419, 0.141934, -0.103066, -0.377072]),
    (
        "soft_bounds_reference",
        {"up_down": 0.3, **ONE, "subtract_symmetry_point": True},
        [0.001674, 0.01649, 0.142551, -0.038481, -0.278574],
    ),
    ("exp_step", {}, [0.001967, 0.019652, 0.194077, -0.003896, -0.379844]),
    ("exp_step", ES, [0.002194, 0.02186, 0.212474, -0.195274, -0.5]),
    ("pow_step", POWER, [0.000595, 0.005898, 0.054182, 0.007641, -0.065356]),
    ("pow_step", {**POWER, "pow_up_down": 0.3, **ONE}, [0.000595, 0.005898, 0.054182, -0.015632, -0.122511]),
    ("pow_step_reference", {**POWER, "reference_mean": 0.1}, [0.000413, 0.004102, 0.038196, -0.022757, -0.115325]),
]


@pytest.mark.parametrize(("name", "settings", "expected"), GOLDEN)
def test_golden_pulse_responses(name: str, settings: Settings, expected: list[float]) -> None:
    """Weights of the established simulator after 1, 10 and 100 pulses up, then 100 and 300 down, without any variation."""
    array, seen, done = array_of({"type": name, **NOMINAL, **settings}, 1, 1), [], 0
    for sign, count in ((1, 1), (1, 9), (1, 90), (-1, 100), (-1, 200)):
        d = torch.full((count, 1), float(sign))
        array.pulse(-torch.ones(count, 1), d, 1.0, ONE_PULSE, Stream(torch.tensor(1), done + torch.arange(count)))
        done += count
        seen.append(float(array.weights()))
    assert seen == pytest.approx(expected, abs=3e-6)
