"""The engine kit catches engines that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.engine import Engine
from ohmlet.spec import one_of
from ohmlet.testing import run_kit
from ohmlet_kernels.analog_mvm import MVM, Variation, reference
from ohmlet_kernels.crossbar_solve import Solution, Wires
from ohmlet_kernels.crossbar_solve.reference import crossbar_solve as solve_reference
from ohmlet_kernels.mapped_mvm import Mapping as Mapped
from ohmlet_kernels.mapped_mvm.reference import mapped_mvm as mapped_reference
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import Cells, Trains
from ohmlet_kernels.pulsed_update import reference as updates
from ohmlet_kernels.pulsed_update.cells import BOTH, Probe
from ohmlet_kernels.pulsed_update.trains import trains
from tests.testing.faults import assert_caught, caught, untested

FAULTS = {
    "unknown_operation": ("test_operations_are_known", r"no operation is called 'analog_mwm'"),
    "empty": ("test_operations_are_known", r"kernels\(\) is empty"),
    "prefers_true": ("test_says_where_it_runs", r"preference\('cpu'\) must return a whole number or None, got True"),
    "no_weight_noise": (
        "test_analog_mvm_equals_the_reference",
        r"noisy, x \[1, 1, 1\], w \[1, 1\], no scale: 1 of 1 outputs differ",
    ),
    "own_purpose": ("test_analog_mvm_equals_the_reference", r"analog_mvm, noisy"),
    "shifted_rounding": ("test_analog_mvm_equals_the_reference", r"analog_mvm, rounding, .*; at most 1 may, by one ADC step"),
    "no_clip": ("test_analog_mvm_equals_the_reference", r"analog_mvm, clipping"),
    "half_up": ("test_analog_mvm_rounds_half_to_even", r"must round half to even"),
    "no_gradient": ("test_analog_mvm_gradients_equal_the_reference", r"the gradient of x differs from the reference's, clipping"),
    "unwritten": ("test_analog_mvm_equals_the_reference", r"analog_mvm, ideal, .* outputs differ"),
    "torch_generator": ("test_analog_mvm_draws_from_the_stream_only", r"analog_mvm, noisy, drew from torch's generator"),
    "all_alike": ("test_analog_mvm_takes_variations", r"analog_mvm, output noise varied: \d+ of 170 outputs differ"),
    "undivided": (
        "test_mapped_mvm_equals_the_reference",
        r"mapped_mvm, ideal, crossbars \[\], std 0 of the largest: \d+ of 170 outputs differ",
    ),
    "always_the_largest": ("test_mapped_mvm_equals_the_reference", r"std 0.1 of 0.7: \d+ of 170 outputs differ"),
    "modified_gradient": ("test_mapped_mvm_equals_the_reference", r"the gradient of the weights differs from the reference's"),
    "ignores_lengths": ("test_pulse_bits_equal_the_reference", r"pulse_bits of 3 samples and 5 lines, 1 words: other slots fire"),
    "other_slots": ("test_pulse_bits_equal_the_reference", r"other slots fire"),
    "half_a_word": ("test_pulse_bits_equal_the_reference", r"returned torch.int32 for torch.int64 arguments"),
    "managed_wrongly": ("test_pulse_trains_equal_the_reference", r"trains, managed, learning rate -3: d_negative differs"),
    "lost_sample": ("test_pulsed_update_equals_the_reference", r"remembering cells, \d samples, .* trains: weights differ"),
    "forgets": ("test_pulsed_update_equals_the_reference", r"hidden state 'heat' differs from the reference's"),
    "uncounted": ("test_pulsed_update_equals_the_reference", r"counts of pulses differ from the reference's"),
    "untouched": ("test_pulsed_update_equals_the_reference", r"touched cells differ from the reference's"),
    "all_pulses": ("test_pulsed_update_equals_the_reference", r"3 samples, 5 rows, 9 columns, pulses up alone: weights differ"),
    "looks_late": ("test_pulsed_update_equals_the_reference", r"looks at columns: a probe sees other weights than the reference's"),
    "writes_beyond": ("test_pulsed_update_stays_in_its_tensors", r"of 1 rows and 1 columns writes beyond the tensors"),
    "ground": ("test_crossbar_solve_equals_the_reference", r"at one end, 1 inputs, 1 rows, 1 columns: output differs"),
    "unbound": ("test_crossbar_solve_equals_the_reference", r"1 columns: error_bound is above rtol 1e-11"),
    "no_cubic": ("test_crossbar_solve_equals_the_reference", r"1 columns, cubic cells: output differs"),
    "reads_beyond": ("test_pulsed_update_stays_in_its_tensors", r"of 1 rows and 1 columns reads beyond the tensors"),
}


def product(
    x: Tensor, w: Tensor, scale: Tensor | None, settings: MVM, noise: Stream, variation: Variation = reference.PLAIN, fault: str = "none"
) -> Tensor:
    if fault == "no_weight_noise":
        settings = settings._replace(w_noise=0.0)
    elif fault == "own_purpose":
        noise = noise.child("mine")
    elif fault == "no_clip":
        settings = settings._replace(out_bound=float("inf"))
    varied = reference.PLAIN if fault == "all_alike" else variation
    y = reference.analog_mvm(x, w, scale, settings, noise, varied)
    if fault == "shifted_rounding" and settings.out_step > 0:
        y = y + settings.out_step * 0.5
    elif fault == "half_up" and settings.out_step == 1.0:
        y = torch.floor(x @ w.mT + 0.5)
    elif fault == "torch_generator" and settings.out_noise > 0:
        y = y + 1e-9 * torch.randn_like(y)
    elif fault == "unwritten" and not y.requires_grad:
        whole, y = y, torch.empty_like(y)
        y[..., :-1] = whole[..., :-1]
    elif fault == "no_gradient" and settings.in_bound == 0.5:
        y = y + x.sum() * 0.0 + (x.sum(-1, keepdim=True) - x.detach().sum(-1, keepdim=True))
    return y


def mapped(x: Tensor, weight: Tensor, mapping: Mapped, scale: Tensor | None, settings: MVM, noise: Stream, fault: str) -> Tensor:
    if fault == "undivided":
        mapping = mapping._replace(divisor=torch.ones_like(mapping.divisor))
    elif fault == "always_the_largest":
        mapping = mapping._replace(w_max=None)
    y = mapped_reference(x, weight, mapping, scale, settings, noise)
    if fault == "modified_gradient":
        y = y + 0.01 * (y - mapped_reference(x, weight.detach(), mapping, scale, settings, noise))
    return y


def circuit(g: Tensor, v: Tensor, wires: Wires, fault: str, **settings: Any) -> Solution:
    if fault == "ground":
        wires = wires._replace(r_source=0.0)
    elif fault == "no_cubic":
        settings["iv"] = None
    found = solve_reference(g, v, wires, **settings)
    return replace(found, error_bound=found.error_bound + 1e-3) if fault == "unbound" else found


class Bits:
    """`pulse_bits`, with trains of its own where they are what is wrong."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        if fault == "managed_wrongly":
            self.trains = self.without_signs

    def __call__(self, thresholds: Tensor, lengths: Tensor, words: int, key: Tensor, purpose: int, ordinals: Tensor) -> Tensor:
        if self.fault == "ignores_lengths":
            lengths = torch.full_like(lengths, 32 * words)
        bits = updates.pulse_bits(thresholds, lengths, words, key, purpose ^ (self.fault == "other_slots"), ordinals)
        return bits.to(torch.int32) if self.fault == "half_a_word" else bits

    def without_signs(self, x: Tensor, d: Tensor, lr: float, granularity: float, pulses: Any, noise: Stream) -> Trains:
        return trains(x, d, abs(lr), granularity, pulses, noise, updates.pulse_bits)


def beyond(w: Tensor) -> Tensor:
    """Return the number that lies behind a matrix."""
    return torch.as_strided(w, (1,), (1,), w.storage_offset() + w.numel())


@frozen
class Update:
    fault: str

    def __call__(self, cells: Cells, trains: Trains, key: Tensor, purpose: int, ordinals: Tensor, probe: Probe | None = None) -> None:
        hidden = tuple(state.clone() for state in cells.hidden)
        if self.fault == "lost_sample":
            ordinals = ordinals[:-1]
        elif self.fault == "all_pulses":
            trains = trains._replace(select=BOTH)
        elif self.fault == "uncounted":
            cells = cells._replace(pulses=None)
        elif self.fault == "untouched":
            cells = cells._replace(touched=None)
        if self.fault == "reads_beyond" and cells.w.numel():
            cells.w[-1, -1] += 0.0 * beyond(cells.w)[0]
        updates.pulsed_update(cells, trains, key, purpose, ordinals, probe)
        if self.fault == "looks_late" and probe is not None:
            probe.seen.copy_((cells.w.mT if probe.columns else cells.w)[probe.at])
        elif self.fault == "forgets":
            for state, before in zip(cells.hidden, hidden, strict=True):
                state.copy_(before)
        elif self.fault == "writes_beyond" and cells.w.numel():
            beyond(cells.w).fill_(1.0)


@frozen(kw_only=True)
class Faulty(Engine):
    """The reference with one fault."""

    fault: str = one_of("none", ("none", "absent", "elsewhere", *FAULTS), "what is wrong")

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        if self.fault == "empty":
            return {}
        return {
            "analog_mwm" if self.fault == "unknown_operation" else "analog_mvm": partial(product, fault=self.fault),
            "crossbar_solve": partial(circuit, fault=self.fault),
            "mapped_mvm": partial(mapped, fault=self.fault),
            "pulse_bits": Bits(self.fault),
            "pulsed_update": Update(self.fault),
        }

    def preference(self, device_type: str) -> int | None:
        if self.fault == "prefers_true":
            return True
        return None if self.fault == "elsewhere" else 1

    def unavailable(self) -> str | None:
        return "install frobnicator" if self.fault == "absent" else None


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("engine", Faulty(fault=fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("engine", (test for test, _ in FAULTS.values()))


def test_without_fault_all_pass() -> None:
    assert not caught("engine", Faulty())


@pytest.mark.parametrize(("fault", "reason"), [("absent", "install frobnicator"), ("elsewhere", "no device that the engine runs on")])
def test_engine_that_cannot_run_here_is_skipped_with_its_reason(fault: str, reason: str) -> None:
    results = {result.name: result for result in run_kit("engine", Faulty(fault=fault))}
    skipped = results["test_analog_mvm_equals_the_reference"]
    assert skipped.passed
    assert skipped.skipped
    assert reason in skipped.message
