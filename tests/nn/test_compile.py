"""The forward pass under a compiler that sees one graph: the numbers and counters of eager mode."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.nn import AnalogLinear
from tests.nn.test_state import CONFIG

# The compiler itself makes such an object.
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch.compiler.reset()


@pytest.mark.parametrize("config", [{"tile": "ideal"}, "pcm_inference", CONFIG], ids=["ideal", "pcm_inference", "all of inference"])
def test_a_compiled_model_is_one_graph_and_draws_the_same_numbers(config: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    eager = ohmlet.convert(model, config).model
    other = copy.deepcopy(eager)
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    x = torch.randn(4, 2, 4, 4)
    for _ in range(2):
        expected, found = eager(x), compiled(x)
        assert torch.equal(expected, found)
        for m, y in ((eager, expected), (other, found)):
            m.zero_grad()
            y.square().sum().backward()
        for p, q in zip(eager.parameters(), other.parameters(), strict=True):
            assert p.grad is not None
            assert q.grad is not None
            assert torch.allclose(p.grad, q.grad, atol=1e-5)
    states = eager.state_dict(), other.state_dict()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_new_step_does_not_compile_anew() -> None:
    graphs: list[Any] = []

    def count(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    layer = AnalogLinear(6, 4, config=CONFIG)
    compiled = torch.compile(layer, backend=count, fullgraph=True)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(4):
        compiled(torch.randn(3, 6)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert int(layer.array.steps) == 4
    assert int(layer.array.trained_samples) == 12
    assert len(graphs) == 1
