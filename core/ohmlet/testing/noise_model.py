"""What every noise model promises: pure methods, conductances that exist, and randomness that is addressed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import attrs
import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import close, expect, finite, identical, shaped
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.streams import own_purposes, recording, silent, spread, stream
from ohmlet_kernels.noise import Stream

__all__ = ["NoiseModelTests"]

WINDOW = ConductanceWindow(0.0, 25.0)
TEN_YEARS = 10 * 365 * 86400.0
TIMES = (0.0, 1.0, 3600.0, TEN_YEARS)


def window_of(spec: NoiseModel, wanted: ConductanceWindow = WINDOW) -> ConductanceWindow:
    """Return the part of a window that lies within the model's limits, or the limits where nothing does."""
    low, high = max(wanted.g_min, spec.limits.g_min), min(wanted.g_max, spec.limits.g_max)
    return ConductanceWindow(low, high) if low < high else spec.limits


def times_of(spec: NoiseModel) -> tuple[float, ...]:
    """Return times that the model describes, 0 first."""
    return spec.times or TIMES


def later(spec: NoiseModel) -> float:
    """Return one time after the first read-out."""
    return times_of(spec)[-2]


class Life(NamedTuple):
    """One device array from its programming to one read-out."""

    programmed: Tensor
    coefficients: Tensor | None
    drifted: Tensor
    read: Tensor


def live(model: NoiseModel, target: Tensor, noise: Stream, t: float, window: ConductanceWindow | None = None) -> Life:
    """Return what a chip sees of targets [..., out, in] after `t` seconds, the shapes checked on the way."""
    window = window or window_of(model)
    shape = (*noise.key.shape, *target.shape[-2:])
    programmed = shaped(model.program(target, window, noise), shape, target.dtype, "program", expandable=True)
    coefficients = model.drift_coefficients(target, window, noise)
    if coefficients is not None:
        coefficients = shaped(coefficients, shape, target.dtype, "drift_coefficients", expandable=True)
    drifted = shaped(model.drift(programmed, coefficients, t, window), shape, target.dtype, "drift")
    read = shaped(model.read(drifted, programmed, t, window, noise.child(f"read {t.hex()}")), shape, target.dtype, "read")
    return Life(programmed, coefficients, drifted, read)


def possible(life: Life, words: str) -> None:
    """Raise AssertionError unless all numbers are finite and no conductance is negative."""
    for stage, value in life._asdict().items():
        if value is not None:
            finite(value, f"{stage} {words}")
            if stage != "coefficients":
                expect(
                    float(value.min()) >= 0.0,
                    f"{stage} {words} reaches {float(value.min()):.4g} uS, no device has that: end with .clamp_min(0)",
                )


def targets(spec: NoiseModel, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return targets over the whole window."""
    window = window_of(spec)
    return spread(*shape, low=window.g_min, high=window.g_max, dtype=dtype)


def refused(call: Callable[[], object], words: str) -> None:
    """Raise AssertionError unless the call raises ConfigError."""
    try:
        call()
    except ConfigError:
        return
    raise AssertionError(f"{words}: call self.check(window, t) first")


class NoiseModelTests(SpecTests):
    """Inherit it with a fixture `spec` that returns a noise model."""

    def test_conductances_are_possible(self, spec: NoiseModel) -> None:
        """All stages return finite conductances of the right shape and type, never negative ones, for one crossbar and for many."""
        for dtype in (torch.float32, torch.float64):
            for keys, shape in (((), (5, 7)), ((3,), (5, 7)), ((3, 2), (2, 5, 7))):
                for t in times_of(spec):
                    possible(
                        live(spec, targets(spec, *shape, dtype=dtype), stream(*keys), t), f"with {dtype} and keys {list(keys)} at {t:g} s"
                    )

    def test_zero_and_full_conductance(self, spec: NoiseModel) -> None:
        """Targets at both ends of the window are devices like any other."""
        for value in attrs.astuple(window_of(spec)):
            for t in times_of(spec):
                possible(live(spec, torch.full((5, 7), value), stream(3), t), f"of the target {value:g} uS at {t:g} s")

    def test_every_window(self, spec: NoiseModel) -> None:
        """The model serves any window within its limits, not only the one it was measured in."""
        for window in (window_of(spec, ConductanceWindow(1.0, 5.0)), window_of(spec, ConductanceWindow(0.1, 100.0))):
            target = spread(5, 7, low=window.g_min, high=window.g_max)
            possible(live(spec, target, stream(3), later(spec), window), f"in {window}")

    def test_drift_starts_from_what_was_programmed(self, spec: NoiseModel) -> None:
        """At t = 0, the first read-out, nothing has drifted."""
        life = live(spec, targets(spec, 5, 7), stream(3), 0.0)
        close(
            life.drifted,
            life.programmed,
            f"drift at t = 0 must return what was programmed: count t from the first read-out, t_0 = {spec.t_0:g} s",
        )

    def test_refuses_what_it_does_not_describe(self, spec: NoiseModel) -> None:
        """A window beyond `limits`, and a time that is none of `times`, raise ConfigError instead of giving numbers nobody measured."""
        limits, noise = spec.limits, stream(3)
        if limits.g_max < math.inf:
            wide = ConductanceWindow(limits.g_min, 2.0 * limits.g_max)
            refused(lambda: spec.program(targets(spec, 5, 7), wide, noise), f"program served {wide}, beyond the limits {limits}")
        if spec.times:
            t = sum(spec.times[:2]) / 2
            refused(lambda: live(spec, targets(spec, 5, 7), noise, t), f"drift and read served {t:g} s, which is none of {spec.times}")

    def test_arguments_stay_as_they_are(self, spec: NoiseModel) -> None:
        """No method writes into the tensors it is given."""
        noise, target = stream(3), targets(spec, 5, 7)
        programmed = spec.program(target, window_of(spec), noise).expand(3, 5, 7).clone()
        coefficients = spec.drift_coefficients(target, window_of(spec), noise)
        identical(target, targets(spec, 5, 7), "program or drift_coefficients wrote into the targets: use out-of-place operations")
        kept = programmed.clone(), None if coefficients is None else coefficients.clone()
        drifted = spec.drift(programmed, coefficients, later(spec), window_of(spec)).clone()
        before = drifted.clone()
        spec.read(drifted, programmed, later(spec), window_of(spec), noise)
        identical(drifted, before, "read wrote into the drifted conductances: use out-of-place operations")
        identical(programmed, kept[0], "drift or read wrote into the programmed conductances: use out-of-place operations")
        if coefficients is not None and kept[1] is not None:
            identical(coefficients, kept[1], "drift wrote into the exponents: use out-of-place operations")

    def test_draws_from_the_stream_only(self, spec: NoiseModel) -> None:
        """All randomness comes from `noise`; torch's, Python's and NumPy's generators are neither used nor moved."""
        noise, target = stream(3), targets(spec, 5, 7)
        life = live(spec, target, silent(noise), later(spec))
        addressed(lambda: spec.program(target, window_of(spec), noise), "program")
        addressed(lambda: spec.drift_coefficients(target, window_of(spec), noise), "drift_coefficients")
        addressed(lambda: spec.drift(life.programmed, life.coefficients, later(spec), window_of(spec)), "drift")
        addressed(lambda: spec.read(life.drifted, life.programmed, later(spec), window_of(spec), noise), "read")

    def test_without_noise_equal_targets_stay_equal(self, spec: NoiseModel) -> None:
        """With a stream of zeros, devices of one target are alike on every chip, so no spread comes from elsewhere (a fixed seed, say)."""
        life = live(spec, torch.full((5, 7), sum(attrs.astuple(window_of(spec))) / 2), silent(stream(3)), later(spec))
        for stage, value in life._asdict().items():
            if value is not None:
                message = f"{stage}: devices of one target differ though the stream gave no noise: draw only from `noise`"
                close(value, value.reshape(-1)[0].expand(value.shape), message)

    def test_each_draw_has_a_purpose_of_its_own(self, spec: NoiseModel) -> None:
        """No purpose is drawn twice: programming errors and drift exponents share a stream and must not share numbers."""
        noise, purposes = recording(stream(3))
        live(spec, targets(spec, 5, 7), noise, later(spec))
        own_purposes(purposes, "the model")

    def test_instances_are_addressed(self, spec: NoiseModel) -> None:
        """Chip instance i is the same alone and among others, and unlike instance j."""
        noise, target = stream(3), targets(spec, 20, 30)
        together, without = live(spec, target, noise, later(spec)), live(spec, target, silent(noise), later(spec))
        for i in range(3):
            alone = live(spec, target, noise._replace(key=noise.key[i]), later(spec))
            for stage, value, one in zip(Life._fields, together, alone, strict=True):
                if value is not None and one is not None:
                    close(
                        one,
                        value[i],
                        f"{stage}: instance {i} alone differs from instance {i} among three: its numbers must not depend on the others",
                    )
        for stage, value, still in zip(Life._fields, together, without, strict=True):
            noisy = value is not None and still is not None and not torch.allclose(value, still)
            if noisy and value is not None:
                expect(
                    not torch.equal(value[0], value[1]),
                    f"{stage}: two chip instances got the same noise: draw it with `like` of the target's shape",
                )

    def test_times_in_any_order(self, spec: NoiseModel) -> None:
        """Looking at one time leaves no trace on what another shows."""
        noise, target = stream(3), targets(spec, 5, 7)
        first = {t: live(spec, target, noise, t) for t in times_of(spec)}
        for t in (*reversed(times_of(spec)), *times_of(spec)):
            again = live(spec, target, noise, t)
            for stage, value, before in zip(Life._fields, again, first[t], strict=True):
                if value is not None and before is not None:
                    identical(value, before, f"{stage} at {t:g} s differs from an earlier look at the same time: keep no state")
