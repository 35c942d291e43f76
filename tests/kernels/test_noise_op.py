from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ohmlet_kernels.noise import Stream, op

OPS = [op.philox_normal, op.philox_uniform]


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "ohmlet_kernels.noise.numba", None)
    op._compiled.cache_clear()
    yield
    monkeypatch.undo()
    op._compiled.cache_clear()


@pytest.mark.parametrize("draw", OPS)
def test_without_numba_the_same_numbers_come_out(draw: Any, request: pytest.FixtureRequest) -> None:
    arguments = (torch.tensor([1, -2]), 3, torch.tensor([0, 2**40]), 5, 7)
    assert op._compiled() is not None
    compiled = draw(*arguments)
    request.getfixturevalue("without_numba")
    assert op._compiled() is None
    plain = draw(*arguments)
    assert plain.is_contiguous()
    assert torch.equal(compiled, plain)


@pytest.mark.parametrize("draw", OPS)
@pytest.mark.parametrize("sizes", [(2, 3, 5, 7), (1, 1, 1, 1), (2, 3, 0, 7), (1, 0, 5, 7)])
def test_the_operators_keep_what_they_promise_to_torch(draw: Any, sizes: tuple[int, int, int, int]) -> None:
    lanes, samples, rows, columns = sizes
    torch.library.opcheck(draw, (torch.arange(lanes), 3, torch.arange(samples), rows, columns))


@pytest.mark.parametrize("draw", OPS)
def test_fake_tensors_get_the_right_shape(draw: Any) -> None:
    with FakeTensorMode():
        drawn = draw(torch.empty(2, dtype=torch.int64), 3, torch.empty(4, dtype=torch.int64), 5, 7)
    assert drawn.shape == (2, 4, 5, 7)
    assert drawn.dtype == torch.float32


def test_a_stream_is_one_graph_with_the_same_numbers() -> None:
    def noisy(y: torch.Tensor, ordinals: torch.Tensor) -> torch.Tensor:
        stream = Stream(torch.tensor(3), ordinals, torch.zeros(1, dtype=torch.int64), "training")
        return y + stream.normal("output", y) + stream.shared().uniform("modifier", y[0]) + stream.child("more").normal("output", y)

    compiled = torch.compile(noisy, backend="aot_eager", fullgraph=True)
    for samples in (2, 5):
        y, ordinals = torch.zeros(samples, 3, 4), torch.arange(samples) + 2**33
        assert torch.equal(compiled(y, ordinals), noisy(y, ordinals))


@pytest.mark.parametrize("draw", OPS)
@pytest.mark.parametrize(
    ("keys", "ordinals"),
    [(torch.zeros(1), torch.zeros(1, dtype=torch.int64)), (torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int32))],
)
def test_other_types_of_keys_and_ordinals_are_refused(draw: Any, keys: torch.Tensor, ordinals: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=f"keys and ordinals are int64, got {keys.dtype} and {ordinals.dtype}"):
        draw(keys, 3, ordinals, 2, 2)


def test_threads_draw_the_same_numbers_as_one() -> None:
    def draw(ordinal: int) -> torch.Tensor:
        z: torch.Tensor = op.philox_normal(torch.tensor([1]), 3, torch.tensor([ordinal]), 64, 64)
        return z

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(16)))
    assert all(torch.equal(a, draw(ordinal)) for ordinal, a in enumerate(together))


def test_drawing_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    op.philox_normal(torch.tensor([1]), 3, torch.tensor([0]), 64, 64)
    assert torch.equal(before, torch.get_rng_state())
