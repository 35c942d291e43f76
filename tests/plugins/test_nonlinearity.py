"""Labels, shapes and linear steps: published numbers, rails met to the last digits, and pulse trains against the published curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmlet.cells import build_array
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing.device import exact_read, pulsed
from ohmlet_devices.label_step import LabelStep
from ohmlet_devices.nonlinearity import LARGEST_LABEL, LinearSteps, label_of_shape, labels_of_steps, linear_steps, shape_of_label
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.reference import stepper
from tests.plugins.test_devices_oracle import array_of

PUBLISHED = [(0.01, 126.269), (1.0, 1.251653), (1.46, 0.848677), (1.75, 0.702081), (9.0, 0.02281)]

TABLE = {
    "Ag:a-Si": ((2.4, -4.88, 97), (0.02682, 0.762, 0.05085, 0.9865)),
    "TaOx/TiO2": ((1.85, -1.79, 102), (0.02303, 0.638, 0.02280, 0.623)),
    "TaOx/HfOx": ((0.04, -0.63, 128), (0.01562, 0.0158, 0.01592, 0.245)),
    "PCMO": ((3.68, -6.76, 50), (0.06916, 0.931, 0.18088, 0.9999)),
    "AlOx/HfO2": ((1.94, -0.61, 40), (0.05893, 0.661, 0.05067, 0.238)),
    "GST": ((0.105, 2.4, 100), (0.02000, 0.0416, 0.02655, -0.762)),
    "EpiRAM": ((0.5, -0.5, 64), (0.03156, 0.196, 0.03156, 0.196)),
    "HZO FeFET": ((1.75, 1.46, 32), (0.07113, 0.612, 0.07087, -0.529)),
}


@pytest.mark.parametrize(("label", "shape"), PUBLISHED)
def test_shapes_are_those_of_the_published_table(label: float, shape: float) -> None:
    """T13."""
    assert shape_of_label(label) == pytest.approx(shape, rel=1e-4)
    assert shape_of_label(-label) == shape_of_label(label)


@pytest.mark.parametrize("shape", [0.01, 0.05, 0.3, 1.0, 7.0, 90.0])
def test_a_label_is_the_largest_deviation_from_a_straight_line(shape: float) -> None:
    x = np.linspace(0, 1, 2_000_001)
    deviation = float((np.expm1(-x / shape) / math.expm1(-1 / shape) - x).max())
    assert label_of_shape(shape) == pytest.approx(10.10152 * deviation, rel=1e-6)


@given(st.floats(1e-4, LARGEST_LABEL))
@settings(max_examples=60, deadline=None)
def test_label_to_shape_and_back(label: float) -> None:
    assert label_of_shape(shape_of_label(label)) == pytest.approx(label, rel=1e-7)


@pytest.mark.parametrize("name", TABLE)
def test_linear_steps_are_those_derived_by_hand(name: str) -> None:
    (up, down, pulses), expected = TABLE[name]
    assert linear_steps(up, down, pulses, pulses) == pytest.approx(expected, rel=3e-3)


@given(st.floats(0.0, 9.0), st.floats(-9.0, 5.0), st.integers(2, 300), st.integers(2, 300))
@settings(max_examples=60, deadline=None)
def test_trains_lead_from_one_end_to_the_other(nl_up: float, nl_down: float, up: int, down: int) -> None:
    steps, w = linear_steps(nl_up, nl_down, up, down), -1.0
    for _ in range(up):
        w += steps.dw_up * (1 - steps.gamma_up * w)
    assert w == pytest.approx(1.0, abs=1e-12)
    w = 1.0
    for _ in range(down):
        w -= steps.dw_down * (1 + steps.gamma_down * w)
    assert w == pytest.approx(-1.0, abs=1e-12)


@given(st.floats(0.01, 6.0), st.floats(0.01, 6.0), st.booleans(), st.floats(2.0, 300.0), st.floats(2.0, 300.0))
@settings(max_examples=60, deadline=None)
def test_steps_to_labels_and_back(nl_up: float, nl_down: float, retraces: bool, up: float, down: float) -> None:
    given = (nl_up, nl_down if retraces else -nl_down, up, down)
    assert labels_of_steps(linear_steps(*given)) == pytest.approx(given, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shape_of_label(10.0), r"label 10.0 is none of a pulse response: they lie within \+-9.5"),
        (lambda: label_of_shape(0.0), "shape = 0.0 of a pulse response must be positive"),
        (lambda: linear_steps(-1.0, 1.0, 10, 10), "nl_up = -1 is negative"),
        (lambda: linear_steps(1.0, 1.0, 10, 0.5), "pulses_down = 0.5 must be at least 1"),
        (lambda: labels_of_steps(LinearSteps(0.1, 1.0, 0.1, 0.1)), "gamma = 1.0: steps that vanish within the range"),
        (lambda: labels_of_steps(LinearSteps(0.1, -0.1, 0.1, 0.1)), "steps up that grow have no label"),
        (lambda: labels_of_steps(LinearSteps(0.0, 0.1, 0.1, 0.1)), "a step of 0.0 at w = 0 leads nowhere"),
        (lambda: LabelStep(cycle_to_cycle=0.01).linear_step(), "cycle_to_cycle and nl_dtod have no counterpart"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def published_curve(label: float, pulses: int, count: int) -> np.ndarray[Any, Any]:
    """The published response up from g = 0: g(P) = B (1 - exp(-P / (A P_max)))."""
    a, p = shape_of_label(label), np.arange(count + 1)
    return np.asarray((1 - np.exp(-p / (a * pulses))) / (1 - math.exp(-1 / a)))


@pytest.mark.parametrize(("nl_up", "nl_down"), [(2.4, -4.88), (1.75, 1.46), (0.0, 0.0), (0.0, -3.0)])
def test_a_train_follows_the_published_curve(nl_up: float, nl_down: float) -> None:
    array = array_of({"type": "label_step", "nl_up": nl_up, "nl_down": nl_down, "pulses_up": 40.0, "pulses_down": 25.0}, 1, 1)
    array.set_weights(torch.full((1, 1), -1.0), Stream(torch.tensor(1), None))
    up = published_curve(nl_up, 40, 40) if nl_up else np.arange(41) / 40
    seen = [(float(pulsed(array, "u" if i else "").weights()) + 1) / 2 for i in range(41)]
    assert seen == pytest.approx(up.tolist(), abs=2e-6)
    fall = published_curve(nl_down, 25, 25) if nl_down else np.arange(26) / 25
    expected = fall[::-1] if nl_down > 0 else 1 - fall
    seen = [(float(pulsed(array, "d" if i else "").weights()) + 1) / 2 for i in range(26)]
    assert seen == pytest.approx(expected.tolist(), abs=2e-5)


def test_it_is_the_linear_step_that_it_says() -> None:
    spec = LabelStep(nl_up=1.75, nl_down=1.46, pulses_up=32.0, pulses_down=20.0, dw_min_std=0.2)
    site = ArraySite(3, 4, torch.tensor(5), kernels_of("reference"), exact_read)
    one, other = build_array(spec, site), build_array(spec.linear_step(), site)
    for ways in ("u" * 7, "d" * 3, "ud" * 4):
        assert torch.allclose(pulsed(one, ways).weights(), pulsed(other, ways).weights(), atol=1e-6)


@pytest.mark.parametrize(("up", "w", "xi"), [(True, -0.3, 1.2), (False, -0.3, 1.2), (True, 0.6, -0.7), (False, 0.6, -2.0)])
def test_noise_is_that_of_the_range_and_of_the_step(up: bool, w: float, xi: float) -> None:
    array = array_of({"type": "label_step", "cycle_to_cycle": 0.03, "dw_min_std": 0.5}, 1, 1)
    steps = linear_steps(1.0, -1.0, 100.0, 100.0)
    size = steps.dw_up * (1 - steps.gamma_up * w) if up else steps.dw_down * (1 + steps.gamma_down * w)
    expected = w + (1 if up else -1) * (size * (1 + 0.5 * xi) + 0.03 * 2 * xi)
    cells = tuple(getattr(array, f"cell_{part}") for part in array.step.cell)
    noise = (torch.tensor([[xi]]),)
    after, _ = stepper(array.step)(torch.tensor([[w]]), torch.tensor([[up]]), noise, cells, (), array.params, array.tables)
    assert float(after) == pytest.approx(expected, rel=1e-5)


def test_labels_of_devices_shift_together() -> None:
    cells = array_of(
        {"type": "label_step", "nl_up": 3.0, "nl_down": -3.0, "nl_dtod": 0.4, "pulses_up": 50.0, "pulses_down": 50.0}, 60, 60
    ).cell()
    assert torch.allclose(cells["dw_up"], cells["dw_down"])
    found = [labels_of_steps(LinearSteps(float(dw), float(-slope / dw), 0.1, 0.1))[0] for dw, slope in zip(
        cells["dw_up"].flatten()[:400].double(), cells["slope_up"].flatten()[:400].double(), strict=True
    )]  # fmt: skip
    assert np.mean(found) == pytest.approx(3.0, abs=0.08)
    assert np.std(found) == pytest.approx(0.4, rel=0.12)
