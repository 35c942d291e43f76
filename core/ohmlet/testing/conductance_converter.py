"""What every conductance converter promises: weights come back, and conductances fit the devices."""

from __future__ import annotations

import torch
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import close, expect, finite, identical, shaped
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.streams import spread

__all__ = ["ConductanceConverterTests"]

SLACK = 1e-5
"""Of the window, what float32 may round a conductance beyond its end."""


def weights(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return weights over [-1, 1], both ends and zero among them."""
    w = spread(*shape, dtype=dtype)
    w[..., 0, :3] = torch.tensor([-1.0, 0.0, 1.0], dtype=dtype)
    return w


class ConductanceConverterTests(SpecTests):
    """Inherit it with a fixture `spec` that returns a conductance converter."""

    def test_window_is_a_range(self, spec: ConductanceConverter) -> None:
        """The window holds two finite conductances, 0 <= g_min < g_max, and there is at least one device."""
        window = spec.window
        expect(isinstance(window, ConductanceWindow), f"window must return a ConductanceWindow, got {window!r}")
        expect(0.0 <= window.g_min < window.g_max < float("inf"), f"a window needs 0 <= g_min < g_max < inf, got {window}")
        expect(isinstance(spec.devices, int) and spec.devices >= 1, f"devices must be a number of at least 1, got {spec.devices!r}")

    def test_shapes(self, spec: ConductanceConverter) -> None:
        """Weights [..., out, in] become conductances [devices, ..., out, in] and come back, in the weights' type."""
        for dtype in (torch.float32, torch.float64):
            for shape in ((5, 7), (1, 3), (3, 5, 7), (3, 2, 5, 7)):
                w = weights(*shape, dtype=dtype)
                g = shaped(
                    spec.to_conductances(w),
                    (spec.devices, *shape),
                    dtype,
                    f"to_conductances of {list(shape)} with devices = {spec.devices}",
                )
                shaped(spec.to_weights(g), shape, dtype, f"to_weights of {list(g.shape)}")

    def test_weights_come_back(self, spec: ConductanceConverter) -> None:
        """recover(to_conductances(w), w) is w for every |w| <= 1; without something kept digitally it is to_weights."""
        for dtype in (torch.float32, torch.float64):
            w = weights(3, 20, 30, dtype=dtype)
            close(spec.recover(spec.to_conductances(w), w), w, "to_weights(to_conductances(w)) must be w for every |w| <= 1")

    def test_conductances_are_in_the_window(self, spec: ConductanceConverter) -> None:
        """No target lies outside the window that the converter states, not even for weights that rounding brought just beyond 1."""
        window = spec.window
        slack = SLACK * (window.g_max - window.g_min)
        g = spec.to_conductances(weights(20, 30) * (1.0 + 1e-6))
        finite(g, "to_conductances")
        inside = window.g_min - slack <= float(g.min()) and float(g.max()) <= window.g_max + slack
        expect(inside, f"conductances from {float(g.min()):.6g} to {float(g.max()):.6g} uS leave the window {window}")

    def test_conductances_beyond_the_window_count(self, spec: ConductanceConverter) -> None:
        """Each device moves the weight in one direction, also beyond the window, where programming errors and drift take it."""
        window = spec.window
        middle = torch.full((spec.devices, 1, 41), (window.g_min + window.g_max) / 2, dtype=torch.float64)
        for device in range(spec.devices):
            g = middle.clone()
            g[device, 0] = torch.linspace(0.0, 2.0 * window.g_max, 41, dtype=torch.float64)
            w = spec.to_weights(g)
            finite(w, f"to_weights with device {device} from 0 to twice g_max")
            steps = w.diff()
            expect(
                bool((steps > 0).all() or (steps < 0).all()),
                f"the weight does not follow device {device} from 0 to {2 * window.g_max:g} uS: to_weights must not clip, "
                "since programmed and drifted conductances leave the window",
            )

    def test_arguments_stay_as_they_are(self, spec: ConductanceConverter) -> None:
        """Neither weights nor conductances are written into."""
        w = weights(5, 7)
        g = spec.to_conductances(w).clone()
        identical(w, weights(5, 7), "to_conductances wrote into the weights: use out-of-place operations")
        kept = g.clone()
        spec.to_weights(g)
        identical(g, kept, "to_weights wrote into the conductances: use out-of-place operations")

    def test_draws_nothing(self, spec: ConductanceConverter) -> None:
        """The same weights give the same conductances, and these the same weights; noise is the noise model's business."""
        g = addressed(lambda: spec.to_conductances(weights(5, 7)), "to_conductances")
        addressed(lambda: spec.to_weights(g.clone()), "to_weights")
