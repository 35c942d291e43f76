"""What every engine promises: kernels that equal the reference sample by sample, noise and rounding on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from ohmlet.interfaces.engine import Engine
from ohmlet.testing.buffers import poisoned
from ohmlet.testing.draws import addressed
from ohmlet.testing.engine_circuit import EngineCircuitTests
from ohmlet.testing.engine_parts import OPERATIONS, device_of, reference, stream_on
from ohmlet.testing.engine_updates import EngineUpdateTests
from ohmlet.testing.expect import close, expect, finite, identical, shaped
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.streams import spread
from ohmlet_kernels.analog_mvm import MVM, Variation
from ohmlet_kernels.mapped_mvm import Mapping

__all__ = ["EngineTests"]

FLIPS = 1e-4
"""Fraction of outputs (at least one) that may differ by one ADC step: summation order decides values that lie on a tie to rounding."""

SHAPES = ((1, 1, 1, 1), (3, 1, 1, 40), (2, 2, 33, 17), (5, 3, 17, 33), (0, 1, 4, 6), (4, 1, 64, 65))
"""(samples, positions, out, in): single devices, one output, nothing round, nothing at all."""

SETTINGS = {
    "ideal": MVM(),
    "noisy": MVM(out_noise=0.05, w_noise=0.02),
    "rounding": MVM(in_step=1 / 127, in_bound=1.0, out_step=10 / 127, out_bound=10.0),
    "rounding stochastically": MVM(
        in_step=1 / 127,
        in_bound=1.0,
        in_stochastic=True,
        out_noise=0.05,
        w_noise=0.02,
        out_step=10 / 127,
        out_bound=10.0,
        out_stochastic=True,
    ),
    "clipping": MVM(in_bound=0.5, out_noise=0.1, out_bound=0.7),
}


def agree(y: Tensor, expected: Tensor, step: Tensor | float, label: str) -> None:
    """Raise AssertionError unless all outputs agree, but for a few that an ADC step separates."""
    difference = (y - expected).abs()
    off = ~(difference <= 1e-5 + 1e-5 * expected.abs())
    a_step = (difference - step).abs() <= 1e-4 * step + 1e-5
    count, most = int(off.sum()), max(1, int(FLIPS * y.numel()))
    if count > most or bool((off & ~a_step).any()):
        close(y, expected, f"{label}: {count} of {y.numel()} outputs differ from the reference's; at most {most} may, by one ADC step")


class EngineTests(EngineUpdateTests, EngineCircuitTests, SpecTests):
    """Inherit it with a fixture `spec` that returns an engine."""

    def test_operations_are_known(self, spec: Engine) -> None:
        """There is at least one kernel, and each belongs to an operation that a reference defines."""
        device_of(spec)
        kernels = spec.kernels()
        expect(len(kernels) > 0, "kernels() is empty: an engine without kernels has no use")
        for operation, function in kernels.items():
            expect(operation in OPERATIONS, f"no operation is called {operation!r}: there are {', '.join(OPERATIONS)}")
            expect(callable(function), f"the kernel of {operation} is not callable: {function!r}")

    def test_says_where_it_runs(self, spec: Engine) -> None:
        """`preference` returns a whole number or None for any device, `unavailable` a reason or None."""
        for device_type in ("cpu", "cuda", "mps", "xpu", "meta", "a device of the future"):
            value = spec.preference(device_type)
            expect(value is None or type(value) is int, f"preference({device_type!r}) must return a whole number or None, got {value!r}")
        reason = spec.unavailable()
        expect(
            reason is None or (isinstance(reason, str) and bool(reason.strip())),
            f"unavailable() must return a reason or None, got {reason!r}",
        )

    def test_analog_mvm_equals_the_reference(self, spec: Engine) -> None:
        """Every output equals the reference's, for odd shapes and leading sizes, with and without scale, with noise and rounding on."""
        device, kernel = self._kernel(spec, "analog_mvm")
        for words, settings in SETTINGS.items():
            for samples, positions, out, inputs in SHAPES:
                for lead in ((), (2,)):
                    x = spread(*lead, samples, positions, inputs, seed=1).to(device)
                    w = spread(*lead, out, inputs, seed=2).to(device)
                    noise = stream_on(device, *lead, samples=samples)
                    for how, scale in (("no", None), ("one", x.new_tensor(1.5)), ("each its", x.abs().amax(-1, keepdim=True) + 0.1)):
                        expected = reference("analog_mvm")(x, w, scale, settings, noise)
                        label = f"analog_mvm, {words}, x {list(x.shape)}, w {list(w.shape)}, {how} scale"
                        with poisoned():
                            y = kernel(x, w, scale, settings, noise)
                        shaped(y, tuple(expected.shape), expected.dtype, label)
                        agree(y, expected, settings.out_step * (1.0 if scale is None else scale), label)

    def test_analog_mvm_rounds_half_to_even(self, spec: Engine) -> None:
        """Values exactly between two steps go to the even one, in the DAC and in the ADC."""
        device, kernel = self._kernel(spec, "analog_mvm")
        halves = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], device=device)
        one, noise = torch.ones((1, 1), device=device), stream_on(device, samples=6)
        for settings in (MVM(in_step=1.0, in_bound=4.0), MVM(out_step=1.0, out_bound=4.0)):
            y = kernel(halves[:, None, None], one, None, settings, noise)
            identical(y.flatten(), halves.round(), f"analog_mvm with {settings} must round half to even")

    def test_analog_mvm_gradients_equal_the_reference(self, spec: Engine) -> None:
        """Gradients of inputs and weights are the reference's: through rounding unchanged, zero where a value clips."""
        device, kernel = self._kernel(spec, "analog_mvm")
        for words, settings in SETTINGS.items():
            noise = stream_on(device, samples=5)
            grads = []
            for function in (kernel, reference("analog_mvm")):
                x, w = spread(5, 2, 33, seed=1).to(device).requires_grad_(), spread(17, 33, seed=2).to(device).requires_grad_()
                y = function(x, w, None, settings, noise)
                grads.append(torch.autograd.grad(y, (x, w), spread(*y.shape, seed=3).to(device)))
            for name, found, expected in zip(("x", "w"), *grads, strict=True):
                finite(found, f"the gradient of {name}, {words}")
                close(found, expected, f"the gradient of {name} differs from the reference's, {words}")

    def test_analog_mvm_takes_variations(self, spec: Engine) -> None:
        """What differs between outputs and cells, the sixth argument, counts as in the reference; tiles always hand it over."""
        device, kernel = self._kernel(spec, "analog_mvm")
        x, w, noise = spread(5, 2, 33, seed=1).to(device), spread(17, 33, seed=2).to(device), stream_on(device, samples=5)
        of_outputs, of_cells = spread(17, low=0.1, high=0.4, seed=3).to(device), spread(17, 33, low=0.9, high=1.1, seed=4).to(device)
        settings = SETTINGS["noisy"]
        for words, variation, changed in (
            ("nothing", Variation(), settings),
            ("output noise", Variation(out_noise=of_outputs), settings),
            ("S shapes", Variation(nonlinearity=of_outputs), settings._replace(nonlinear=True)),
            ("offsets", Variation(v_offset=of_outputs), settings),
            ("cells that see the input's sign", Variation(w_asymmetry=of_cells), settings._replace(passes="analog_sum")),
        ):
            found, expected = (each(x, w, None, changed, noise, variation) for each in (kernel, reference("analog_mvm")))
            agree(found, expected, 0.0, f"analog_mvm, {words} varied")

    def test_analog_mvm_draws_from_the_stream_only(self, spec: Engine) -> None:
        """All randomness comes from `noise`."""
        device, kernel = self._kernel(spec, "analog_mvm")
        noise = stream_on(device, samples=5)
        x, w = spread(5, 2, 33, seed=1).to(device), spread(17, 33, seed=2).to(device)
        for words, settings in SETTINGS.items():
            addressed(lambda settings=settings: kernel(x, w, None, settings, noise), f"analog_mvm, {words},")  # type: ignore[misc]

    def test_mapped_mvm_equals_the_reference(self, spec: Engine) -> None:
        """Outputs and gradients with weights scaled and modified on the way are the reference's, for one crossbar and for several."""
        device, kernel = self._kernel(spec, "mapped_mvm")
        for words, settings in SETTINGS.items():
            for lead in ((), (2,)):
                for std, w_max in ((0.0, None), (0.1, None), (0.1, 0.7)):
                    noise = stream_on(device, *lead, samples=5)
                    label = f"mapped_mvm, {words}, crossbars {list(lead)}, std {std:g} of {w_max or 'the largest'}"
                    outputs, grads = [], []
                    for function in (kernel, reference("mapped_mvm")):
                        x = spread(*lead, 5, 2, 33, seed=1).to(device).requires_grad_()
                        weight = (3.0 * spread(*lead, 17, 33, seed=2)).to(device).requires_grad_()
                        mapping = Mapping(weight.detach().abs().amax(-1, keepdim=True), std, w_max)
                        with poisoned():
                            y = function(x, weight, mapping, x.new_tensor(1.5), settings, noise)
                            grads.append(torch.autograd.grad(y, (x, weight), spread(*y.shape, seed=3).to(device)))
                        outputs.append(y.detach())
                    shaped(outputs[0], tuple(outputs[1].shape), outputs[1].dtype, label)
                    agree(outputs[0], outputs[1], settings.out_step * 1.5, label)
                    for name, found, expected in zip(("x", "the weights"), *grads, strict=True):
                        close(found, expected, f"{label}: the gradient of {name} differs from the reference's")

    def _kernel(self, spec: Engine, operation: str) -> tuple[str, Callable[..., Any]]:
        device = device_of(spec)
        if operation not in spec.kernels():
            raise SkipTest(f"the engine has no {operation}")
        return device, spec.kernels()[operation]
