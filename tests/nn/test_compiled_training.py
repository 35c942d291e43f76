"""Training under torch.compile, forward and backward in one graph each, against eager training step by step."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

import ohmlet

# The compiler's own imports and objects.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]
CONFIG: dict[str, Any] = {
    "tile": {
        "type": "inference",
        "forward": {
            "dac": {"bits": 7, "rounding": "stochastic"},
            "adc": {"bits": 9, "bound": 8.0},
            # Within the five steps a range stops to follow the data and is learned.
            "input_range": {"type": "learned", "init_batches": 2},
            "out_noise": 0.05,
            "weight_noise": {"type": "additive_constant", "std": 0.02},
        },
        "training": {"modifier": {"type": "add_normal", "std": 0.05}, "clip": {"type": "layer_gaussian", "sigma": 2.5}},
    },
    "mapping": {"max_in": 9},
    "seed": 1,
}
STEPS = 5


def compiler() -> str | None:
    return next((name for name in ("g++", "clang++") if shutil.which(name)), None)


@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor",
            marks=[pytest.mark.slow, pytest.mark.skipif(compiler() is None, reason="inductor generates C++, and no compiler was found")],
        ),
    ],
)
def test_compiled_training_follows_eager_training_without_compiling_anew(backend: str) -> None:
    torch.compiler.reset()
    counters.clear()
    torch.manual_seed(0)
    eager: Any = ohmlet.convert(nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 3)), CONFIG).model
    other = copy.deepcopy(eager)
    compiled: Any = torch.compile(other, backend=backend, fullgraph=True)
    optimizers = [torch.optim.SGD(model.parameters(), 0.1, momentum=0.9) for model in (eager, other)]
    for step in range(STEPS):
        x = torch.randn(8, 12, generator=torch.Generator().manual_seed(step))
        outputs = expected, found = eager(x), compiled(x)
        assert torch.equal(expected, found) if backend == "aot_eager" else torch.allclose(expected, found, atol=1e-5)
        for optimizer, y in zip(optimizers, outputs, strict=True):
            optimizer.zero_grad()
            y.square().sum().backward()
        for (name, p), q in zip(eager.named_parameters(), other.parameters(), strict=True):
            assert p.grad is not None
            assert torch.allclose(p.grad, q.grad, atol=1e-5, rtol=1e-4), name
        for optimizer in optimizers:
            optimizer.step()
    assert counters["stats"]["unique_graphs"] == 1
    states = eager.state_dict(), other.state_dict()
    for name, value in states[0].items():
        assert torch.allclose(value, states[1][name], atol=1e-5) if value.is_floating_point() else torch.equal(value, states[1][name]), name
    assert int(other[0].array.steps) == STEPS
    assert int(other[0].array.trained_samples) == STEPS * 8
    assert all(value.abs() > 0 for name, value in states[1].items() if name.endswith("shift"))
