"""The tile kit catches tiles that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import Errors, Pending, ProgrammableTile, Site
from ohmlet.spec import one_of
from ohmlet_kernels.noise import Stream
from tests.testing.faults import assert_caught, caught, untested

FAULTS = {
    "no_module": ("test_shapes", r"build must return a torch.nn.Module, got 'a crossbar'"),
    "no_mvm": ("test_shapes", r"Identity, which build returned, has no method mvm"),
    "positions_lost": ("test_shapes", r"returned shape \(6, 5\) instead of \(6, 2, 5\)"),
    "one_type": ("test_shapes", r"returned torch.float32 for torch.float64 arguments"),
    "divides_by_zero": ("test_edges", r"mvm of zero inputs, training=False: 60 of 60 numbers are NaN"),
    "scaled_inputs": ("test_is_a_product_in_model_units", r"the slope against it is 0.0\d+: undo the input scaling"),
    "swapped_outputs": ("test_is_a_product_in_model_units", r"must be in the units of w x"),
    "torch_generator": ("test_draws_from_the_stream_only", r"mvm, training=False, drew from torch's generator"),
    "dropout": ("test_draws_from_the_stream_only", r"mvm, training=True, drew from torch's generator"),
    "drawn_start": ("test_draws_from_the_stream_only", r"build drew from torch's generator"),
    "fixed_seed": ("test_without_noise_equal_samples_stay_equal", r"equal samples gave different outputs though the stream gave no noise"),
    "one_purpose": ("test_each_draw_has_a_purpose_of_its_own", r"drew for the purpose 'output' more than once"),
    "by_batch_row": ("test_batches_may_be_split", r"samples 1 to 3 differ alone and among 6, training=False: address noise by sample"),
    "batch_norm": ("test_batches_may_be_split", r"samples 0 to 0 differ alone and among 6"),
    "chip_norm": ("test_instances_are_addressed", r"crossbar 0 alone differs from crossbar 0 among three"),
    "raw_conductances": ("test_conductances_stand_for_weights", r"conductance_mvm of the targets differs from mvm of their weights"),
    "rounds": ("test_gradients", r"no gradient reaches x, training=False: rounding needs a straight-through gradient"),
    "detaches": ("test_gradients", r"outputs carry no gradient, training=False"),
    "nan_gradient": ("test_gradients", r"the gradient of x, training=False: \d+ of \d+ numbers are NaN"),
    "nothing_pending": ("test_learning", r"a backward pass left 0 entries in `pending`, not one"),
    "summed_errors": ("test_learning", r"the errors left in `pending` returned shape \(6, 1, 5\) instead of \(6, 2, 5\)"),
    "learns_backwards": ("test_learning", r"the update does not move the weights against the gradient"),
    "never_learns": ("test_learning", r"the update does not move the weights against the gradient"),
    "writes": ("test_arguments_stay_as_they_are", r"mvm wrote into its inputs"),
    "cuts": ("test_constrain_keeps_the_shape", r"constrain returned shape \(4, 7\) instead of \(5, 7\)"),
    "freezes": ("test_constrain_keeps_the_shape", r"constrain lets no gradient through"),
    "hidden_state": ("test_module_travels", r"a fresh module with the state_dict computes something else"),
    "extra_state": ("test_module_travels", r"must hold tensors only, it has \{'_extra_state': 'list'\}"),
    "unpicklable": ("test_module_travels", r"pickle"),
    "frozen_weights": ("test_model_trains", r"left \d.weight as it was: no gradient comes through the tile"),
    "hidden_counter": ("test_model_is_addressed", r"a batch of 4 and batches of 1 and 3 give different outputs"),
    "hidden_scale": ("test_model_loads", r"a loaded model computes something else than the saved one"),
    "instances_mixed": ("test_becomes_a_chip", r"instance \d alone differs from instance \d among two"),
}


@frozen(kw_only=True)
class Faulty(ProgrammableTile):
    """A crossbar with output noise and one fault."""

    fault: str = one_of("none", ("none", "learns", *FAULTS), "what is wrong, or for `learns` nothing")
    conductance_converter: ConductanceConverter = part(ConductanceConverter, "weights to conductances", "single_pair")
    noise_model: NoiseModel | None = part(NoiseModel | None, "programming and drift", None)
    drift_compensation: DriftCompensation = part(DriftCompensation, "undoing of drift", "none")

    def build(self, site: Site) -> nn.Module:
        if self.fault == "no_module":
            return "a crossbar"  # type: ignore[return-value]
        if self.fault == "learns" or FAULTS.get(self.fault, ("",))[0] == "test_learning":
            return LearningCrossbar(self.fault, site)
        if self.fault == "raw_conductances":
            return ConductanceCrossbar(self.fault)
        return nn.Identity() if self.fault == "no_mvm" else FaultyCrossbar(self.fault)


class FaultyCrossbar(nn.Module):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.seen, self.largest = fault, 0, 1.0
        if fault == "drawn_start":
            self.register_buffer("offset", torch.randn(()))
        if fault == "unpicklable":
            self.rule = lambda x: x

    def constrain(self, weight: Tensor) -> Tensor:
        if self.fault == "freezes":
            return weight.detach()
        return weight[..., :4, :] if self.fault == "cuts" else weight

    def get_extra_state(self) -> object:
        return [1, 2] if self.fault == "extra_state" else torch.zeros(0)

    def set_extra_state(self, state: object) -> None: ...

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        if self.fault == "frozen_weights":
            w = w.detach()
        elif self.fault == "writes":
            x.mul_(1.0)
            x.clamp_(-0.5, 0.5)
        y = self.faulty(self.product(x, w), noise)
        y = y + 0.1 * noise.normal("output", y)
        return y[..., 0, :] if self.fault == "positions_lost" else y

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        if self.fault == "divides_by_zero":
            largest = x.abs().amax(-1, keepdim=True)
            return self.exact(x / largest, w) * largest
        if self.fault == "scaled_inputs":
            return self.exact(x / 20.0, w)
        if self.fault == "rounds":
            return self.exact((x * 127).round() / 127, w)
        if self.fault == "nan_gradient":
            return self.exact(x + 0.0 * (x - x).abs().sqrt(), w)
        return self.exact(x, w)

    def exact(self, x: Tensor, w: Tensor) -> Tensor:
        y = torch.matmul(x.flatten(-3, -2), w.mT)
        return y.reshape(*y.shape[:-2], *x.shape[-3:-1], y.shape[-1])

    def faulty(self, y: Tensor, noise: Stream) -> Tensor:
        match self.fault:
            case "one_type":
                return y.to(torch.float32)
            case "swapped_outputs":
                return y.flip(-1)
            case "torch_generator":
                return y + 0.1 * torch.randn_like(y)
            case "dropout":
                return nn.functional.dropout(y, 0.1, self.training)
            case "fixed_seed":
                return y + 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
            case "one_purpose":
                return y + 0.1 * noise.normal("output", y)
            case "by_batch_row":
                rows = y.flatten(-3, -2)
                return y + 0.1 * noise.shared().normal("rows", rows).reshape(y.shape)
            case "batch_norm":
                return y - y.mean((-3, -2), keepdim=True)
            case "chip_norm":
                return y * (1.0 + 0.1 * y.detach().abs().amax() if y.numel() else 1.0)
            case "instances_mixed":
                return y * (1.0 + 0.1 * y.detach().abs().mean(0, keepdim=True)) if y.ndim > 3 else y
            case "detaches":
                return y.detach()
            case "hidden_state" | "hidden_scale" if self.training and y.numel():
                self.largest = float(y.detach().abs().max())
            case "hidden_counter" if not self.training:
                self.seen += 1
        return y * (1.0 + 0.01 * self.seen) * self.largest


class ConductanceCrossbar(FaultyCrossbar):
    """Reads conductances as if they were weights."""

    def conductance_mvm(self, x: Tensor, g: Tensor, noise: Stream) -> Tensor:
        return self.mvm(x, g[0] - g[1], noise)


class LearningCrossbar(FaultyCrossbar):
    """Owns its weights and moves them by -lr d x^T."""

    def __init__(self, fault: str, site: Site) -> None:
        super().__init__(fault)
        groups = len(site.keys)
        shape = (site.out_features, site.in_features)
        self.held: Tensor
        self.register_buffer("held", torch.zeros(shape if groups == 1 else (groups, *shape)))
        self.pending = Pending()

    def weights(self) -> Tensor:
        return self.held.clone()

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        self.held.copy_(w)

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        sign = {"learns_backwards": -1.0, "never_learns": 0.0}.get(self.fault, 1.0)
        self.held -= sign * lr * d.mT @ x

    def mvm(self, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
        y = super().mvm(x, w, noise)
        if not (self.training and torch.is_grad_enabled()):
            return y
        if self.fault == "nothing_pending":
            return y + 0.0 * self.pending.anchor
        routed: Tensor = _Left.apply(x, self.pending.anchor, y, self)  # type: ignore[no-untyped-call]
        return routed


class _Left(torch.autograd.Function):
    """Passes the output on; the backward pass leaves inputs and errors behind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, y: Tensor, crossbar: LearningCrossbar) -> Tensor:
        ctx.save_for_backward(x)
        ctx.crossbar = crossbar
        return y.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        d, pending = grads[0], ctx.crossbar.pending
        kept = d.sum(-2, keepdim=True) if ctx.crossbar.fault == "summed_errors" else d
        pending.append(Errors(len(pending), ctx.saved_tensors[0], kept))
        return None, pending.mark(d), d, None


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("tile", Faulty(fault=fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("tile", (test for test, _ in FAULTS.values()))


@pytest.mark.parametrize("fault", ["none", "learns"])
def test_without_fault_all_pass(fault: str) -> None:
    assert not caught("tile", Faulty(fault=fault))
