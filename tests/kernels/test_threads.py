"""Compiled loops on several threads: the same numbers as on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from ohmlet_kernels.analog_mvm import MVM
from ohmlet_kernels.analog_mvm.numba import analog_mvm
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.threads import PARALLEL_FROM, over_rows


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("pieces", [1, 4])
@pytest.mark.parametrize(
    ("rows", "numbers"), [(40, PARALLEL_FROM), (7, PARALLEL_FROM), (2, PARALLEL_FROM), (1, PARALLEL_FROM), (7, 5), (0, 0)]
)
def test_every_row_is_done_once(rows: int, numbers: int, pieces: int, three_threads: None) -> None:
    done: list[int] = []
    over_rows(rows, numbers, lambda first, last: done.extend(range(first, last)), pieces)
    assert sorted(done) == list(range(rows))


def test_a_thread_takes_several_pieces(three_threads: None) -> None:
    parts: list[tuple[int, int]] = []
    over_rows(40, PARALLEL_FROM, lambda first, last: parts.append((first, last)), 4)
    assert len(parts) == 12


def test_an_error_on_a_thread_reaches_the_caller(three_threads: None) -> None:
    def run(first: int, last: int) -> None:
        raise ArithmeticError(f"{first} to {last}")

    with pytest.raises(ArithmeticError, match="0 to"):
        over_rows(10, PARALLEL_FROM, run)


def test_large_draws_do_not_depend_on_the_number_of_threads(three_threads: None) -> None:
    like = torch.empty(700, 900)
    assert like.numel() >= PARALLEL_FROM
    several = Stream(torch.tensor([3, 4])).normal("x", like)
    torch.set_num_threads(1)
    assert torch.equal(several, Stream(torch.tensor([3, 4])).normal("x", like))


def test_a_large_product_does_not_depend_on_the_number_of_threads(three_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(1100, 1, 40, generator=generator), torch.randn(500, 40, generator=generator)
    settings = MVM(in_step=2 / 254, in_bound=1.0, out_noise=0.04, out_step=20 / 254, out_bound=10.0)

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        inputs = x.clone().requires_grad_()
        noise = Stream(torch.tensor(5)).at(torch.arange(len(x)))
        y = analog_mvm(inputs, w, inputs.detach().abs().amax(-1, keepdim=True), settings, noise)
        y.sum().backward()
        assert inputs.grad is not None
        return y.detach(), inputs.grad

    several = run()

    # Only the loops on one thread: torch's own product may round differently on another number of threads.
    def alone(rows: int, numbers: int, loop: Callable[[int, int], None]) -> None:
        loop(0, rows)

    monkeypatch.setattr("ohmlet_kernels.analog_mvm.numba.over_rows", alone)
    single = run()
    for one, other in zip(several, single, strict=True):
        assert torch.equal(one, other)
