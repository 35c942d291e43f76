"""What every analog-to-digital converter promises: codes within its range, monotone, addressed, with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ohmlet.interfaces.adc import ADC
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import close, expect, finite, identical, shaped
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.streams import own_purposes, recording, silent, spread, stream
from ohmlet_kernels.noise import Stream

__all__ = ["ADCTests"]

S, R, OUT, BOUND = 40, 3, 11, 4.0


def outputs(*lead: int, dtype: torch.dtype = torch.float32, signed: bool = True) -> Tensor:
    """Return outputs [*lead, S, R, out], one in five beyond the range."""
    return spread(*lead, S, R, OUT, low=-5.0 if signed else -1.0, high=5.0, dtype=dtype, seed=1)


def read(spec: ADC, y: Tensor, noise: Stream, signed: bool = True) -> Tensor:
    """Return what a converter with its parts as made for this crossbar reads."""
    made = spec.fabricate(y.shape[-1], y, noise._replace(ordinals=None, event=None, path="fabrication adc"))
    z = spec.convert(y, BOUND, signed, made, noise)
    return shaped(z, tuple(y.shape), y.dtype, f"convert of y {list(y.shape)}")


class ADCTests(SpecTests):
    """Inherit it with a fixture `spec` that returns a converter."""

    def test_has_a_range(self, spec: ADC) -> None:
        """The converter has a field `bound`, and its step grows in proportion to it."""
        bound: Any = getattr(spec, "bound", None)
        expect(isinstance(bound, float | str), f"a converter has a field `bound`, declared with output_range, got {bound!r}")
        for signed in (True, False):
            step, twice = float(spec.step(1.0, signed)), float(spec.step(2.0, signed))
            expect(step >= 0.0, f"step must not be negative, got {step!r}")
            expect(abs(twice - 2 * step) <= 1e-12, f"the step of twice the range must be twice the step, got {step!r} and {twice!r}")

    def test_shapes(self, spec: ADC) -> None:
        """Outputs of one crossbar and of many are read in their own type."""
        for dtype in (torch.float32, torch.float64):
            for lead in ((), (3,), (3, 2)):
                finite(read(spec, outputs(*lead, dtype=dtype), stream(*lead, samples=S)), f"convert with leading sizes {list(lead)}")
        read(spec, outputs()[:0], stream(samples=0))

    def test_stays_in_its_range(self, spec: ADC) -> None:
        """What is read lies within the range, give or take a step, whatever the output; half the range comes out as about that."""
        for signed in (True, False):
            slack, low = 1.5 * float(spec.step(BOUND, signed)), -BOUND if signed else 0.0
            z = read(spec, 3.0 * outputs(signed=signed), stream(samples=S), signed)
            expect(
                low - slack <= float(z.min()) and float(z.max()) <= BOUND + slack,
                f"read {float(z.min()):.4g} to {float(z.max()):.4g} with the range {low:g} to {BOUND:g}",
            )
            middle = read(spec, torch.full((S, R, OUT), BOUND / 2), stream(samples=S), signed).mean()
            expect(abs(float(middle) - BOUND / 2) < BOUND / 4, f"half the range, {BOUND / 2:g}, is read as {float(middle):.4g} on average")

    def test_draws_from_the_stream_only(self, spec: ADC) -> None:
        """All randomness comes from `noise`, no purpose is drawn twice, and the same addresses give the same numbers."""
        addressed(lambda: read(spec, outputs(3), stream(3, samples=S)), "convert")
        noise, purposes = recording(stream(samples=S))
        read(spec, outputs(), noise)
        own_purposes(purposes, "fabricate and convert")

    def test_each_crossbar_has_its_own(self, spec: ADC) -> None:
        """Crossbar i of several reads what it reads alone, whatever the batch; with a silent stream all crossbars read the same."""
        noise, y = stream(3, samples=S), outputs(3)
        together = read(spec, y, noise)
        for i in range(3):
            alone = read(spec, y[i], noise._replace(key=noise.key[i]))
            identical(alone, together[i], f"crossbar {i} alone differs from crossbar {i} among three")
        some = read(spec, y[:, 7:9], noise.at(torch.arange(7, 9)))
        identical(some, together[:, 7:9], "samples 7 and 8 differ alone and among others: address noise by sample")
        same = read(spec, outputs().expand(3, S, R, OUT), silent(noise))
        identical(same, same[:1].expand(same.shape), "crossbars differ though the stream gave no noise: draw only from `noise`")

    def test_gradient_is_straight_through(self, spec: ADC) -> None:
        """The gradient is 1 inside the range and 0 beyond it; within a step of its end it may be either."""
        y = torch.linspace(-5.0, 5.0, S)[:, None, None].expand(S, R, OUT).clone().requires_grad_()
        (grad,) = torch.autograd.grad(read(spec, y, stream(samples=S)).sum(), y)
        inside = (y.detach().abs() < BOUND).to(y.dtype)
        grad = torch.where((y.detach().abs() - BOUND).abs() <= float(spec.step(BOUND, True)), inside, grad)
        close(grad, inside, "the gradient must be 1 where the output is within the range and 0 beyond")

    def test_arguments_stay_as_they_are(self, spec: ADC) -> None:
        """Outputs are not written into."""
        y = outputs()
        read(spec, y, stream(samples=S))
        identical(y, outputs(), "convert wrote into its outputs: use out-of-place operations")
