"""The converter kit catches converters that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.adc import ADC, output_range
from ohmlet.spec import integer, number, one_of
from ohmlet_kernels.noise import Stream
from tests.testing.faults import assert_caught, caught, untested

FAULTS = {
    "fixed_step": ("test_has_a_range", r"the step of twice the range must be twice the step"),
    "one_type": ("test_shapes", r"float32"),
    "one_crossbar": ("test_shapes", r"shape|size"),
    "never_clips": ("test_stays_in_its_range", r"with the range -4 to 4"),
    "loses_half": ("test_stays_in_its_range", r"half the range, 2, is read as 0.99\d* on average"),
    "random": ("test_draws_from_the_stream_only", r"drew from torch's generator"),
    "one_purpose": ("test_draws_from_the_stream_only", r"drew for the purpose .* more than once"),
    "same_for_all": ("test_each_crossbar_has_its_own", r"crossbar 0 alone differs from crossbar 0 among three"),
    "batch_mean": ("test_each_crossbar_has_its_own", r"samples 7 and 8 differ alone and among others"),
    "no_gradient": ("test_gradient_is_straight_through", r"the gradient must be 1 where|does not require grad"),
    "gradient_beyond": ("test_gradient_is_straight_through", r"and 0 beyond"),
    "writes": ("test_arguments_stay_as_they_are", r"convert wrote into its outputs"),
}


@frozen(kw_only=True)
class Faulty(ADC):
    """An ideal quantiser behind a comparator with an offset for each column, with one fault."""

    bits: int = integer(8, "resolution", unit="bit", ge=2, le=16)
    bound: float | str = output_range(12.0, "largest output")
    sigma: float = number(0.5, "offset in steps", ge=0.0)
    fault: str = one_of("none", ("none", *FAULTS), "what is wrong")

    def step(self, bound: Any, signed: bool) -> Any:
        return 0.1 if self.fault == "fixed_step" else bound / (2.0 ** (self.bits - 1) - 1 if signed else 2.0**self.bits - 1)

    def fabricate(self, columns: int, like: Tensor, noise: Stream) -> Any:
        row = like.new_empty((1, columns))
        if self.fault == "random":
            return self.sigma * torch.randn(*noise.key.shape, columns, dtype=like.dtype)
        drawn = noise.normal("offset", row)
        if self.fault == "one_purpose":
            drawn = drawn + noise.normal("offset", row)
        if self.fault == "one_crossbar":
            drawn = drawn.reshape(-1, columns)[0]
        if self.fault == "same_for_all":
            drawn = drawn.mean(tuple(range(drawn.ndim - 2)), keepdim=True).expand(drawn.shape) if drawn.ndim > 2 else drawn
        return self.sigma * (drawn if self.fault == "one_crossbar" else drawn.squeeze(-2))

    def convert(self, y: Tensor, bound: Any, signed: bool, made: Any, noise: Stream) -> Tensor:
        step, low = self.step(bound, signed), -bound if signed else 0.0 * bound
        offset: Tensor = made[..., None, None, :]
        if self.fault == "one_crossbar":
            offset = made[None, :, None, None, None, None]
        if self.fault == "batch_mean":
            y = y - y.detach().mean((-3, -2), keepdim=True)
        if self.fault == "writes":
            y = y.detach().clamp_(low, bound) if not y.requires_grad else y
        z: Tensor = torch.round(y / step + offset) * step
        z = z if self.fault == "never_clips" else z.clamp(low, bound)
        z = z / 2 if self.fault == "loses_half" else z
        if self.fault == "no_gradient":
            return z.detach() + 0.5 * (y - y.detach())
        inside = y if self.fault == "gradient_beyond" else y.clamp(low, bound)
        z = inside + (z - inside).detach()
        return z.to(torch.float32) if self.fault == "one_type" else z


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("adc", Faulty(fault=fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("adc", (test for test, _ in FAULTS.values()))


def test_without_fault_all_pass() -> None:
    assert not {name: words for name, words in caught("adc", Faulty()).items() if "registered" not in words}
