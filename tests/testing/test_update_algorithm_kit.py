"""The kit of update algorithms catches rules that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.spec import one_of
from ohmlet_kernels.noise import Stream, key
from tests.testing.faults import assert_caught, caught, untested

FAULTS = {
    "no_arrays": ("test_weights_can_be_set", r"arrays must return the unit cell of each array by name, got \{\}"),
    "no_module": ("test_weights_can_be_set", r"build must return a torch.nn.Module, got 'a rule'"),
    "no_update": ("test_weights_can_be_set", r"Identity, which build returned, has no method update"),
    "no_shape": ("test_weights_can_be_set", r"shapes must return a size for each of device, got \{\}"),
    "other_passes": ("test_passes_read_the_weights", r"product of perfect passes is .* from x @ weights\(\)\.mT"),
    "transposed": ("test_weights_can_be_set", r"weights\(\) returned shape \(5, 4\) instead of \(4, 5\)"),
    "sets_nothing": ("test_weights_can_be_set", r"weights set to 0.2 are not above those set to -0.2"),
    "ascends": ("test_weights_follow_the_gradient", r"only 0% of the weights moved against a constant gradient"),
    "torch_generator": ("test_draws_from_the_stream_only", r"an update algorithm drew from torch's generator"),
    "one_seed": ("test_keys_decide", r"two crossbars with different keys and streams are alike"),
    "parameter": ("test_state_is_buffers", r"memory: state belongs into buffers"),
    "hidden_counter": ("test_resumes", r"resumed after 1 mini-batches, the state_dict misses something"),
    "shared_state": ("test_travels", r"a deep copy: "),
    "counts_nothing": ("test_nothing_to_do", r"without a learning rate or without vectors changed buffer 'count'"),
    "remembers": ("test_setting_weights_starts_anew", r"set_weights leaves 'count' as training made it"),
    "writes": ("test_arguments_stay_as_they_are", r"the inputs were written into"),
}

_seen = [0]


@frozen(kw_only=True)
class Faulty(UpdateAlgorithm):
    """Plain descent with a counter and one fault."""

    fault: str = one_of("none", ("none", *FAULTS), "what is wrong")
    device: UnitCell = part(UnitCell, "the cells", "constant_step")

    def arrays(self) -> Mapping[str, UnitCell]:
        return {} if self.fault == "no_arrays" else {"device": self.device}

    def shapes(self, rows: int, columns: int) -> Mapping[str, tuple[int, int]]:
        return {} if self.fault == "no_shape" else super().shapes(rows, columns)

    @property
    def operands(self) -> tuple[str, ...]:
        return ("device",) if self.fault == "other_passes" else ()

    def product(self, x: Tensor, w: Mapping[str, Tensor], mvm: Callable[[str, Tensor, Tensor], Tensor]) -> Tensor:
        return 2 * mvm("device", x, w["device"])

    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        if self.fault == "no_module":
            return "a rule"  # type: ignore[return-value]
        return nn.Identity() if self.fault == "no_update" else FaultyModule(self.fault, arrays, pulses)


class FaultyModule(nn.Module):
    def __init__(self, fault: str, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> None:
        super().__init__()
        self.fault, self.pulses, self.updates = fault, pulses, 0
        self.arrays = nn.ModuleDict(arrays)
        self.array: Any = arrays["device"]
        self.count: Tensor
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))
        if fault == "parameter":
            self.memory = nn.Parameter(torch.zeros(1))
        if fault == "one_seed":
            for cells in self.array.buffers():
                cells.zero_()
        _seen[0] = 0

    def weights(self) -> Tensor:
        w: Tensor = self.array.weights()
        return w.mT if self.fault == "transposed" else w

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        if self.fault != "sets_nothing":
            self.array.set_weights(w, noise)
        if self.fault != "remembers":
            self.count.zero_()

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        if self.fault == "counts_nothing":
            self.count.add_(1)
        if lr == 0 or not len(x):
            return
        self.count.add_(self.fault != "counts_nothing")
        self.updates += 1
        _seen[0] += 1
        if self.fault == "hidden_counter" and self.updates % 3:
            lr = lr / 2
        if self.fault == "shared_state" and _seen[0] % 2:
            lr = lr / 2
        if self.fault == "torch_generator":
            d = d * (1 + 0.1 * torch.rand_like(d))
        if self.fault == "writes":
            x.mul_(0.5)
        if self.fault == "one_seed":
            x, d, noise = torch.ones_like(x), torch.ones_like(d), noise._replace(key=noise.key.new_tensor(key("one")))
            self.array.add(x, d, 0.001, bounded=False, noise=noise)
            return
        self.array.pulse(x, d, -lr if self.fault == "ascends" else lr, self.pulses, noise)


def test_the_rule_without_a_fault_passes() -> None:
    assert not caught("update_algorithm", Faulty())


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str) -> None:
    assert_caught("update_algorithm", Faulty(fault=fault), *FAULTS[fault])


def test_every_test_can_fail() -> None:
    assert not untested("update_algorithm", {test for test, _ in FAULTS.values()})
