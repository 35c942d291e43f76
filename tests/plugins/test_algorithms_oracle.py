"""Update algorithms against slow float64 ones, with deterministic pulses, on crossbars of several sizes and mini-batches."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_kernels.noise import Stream, key
from ohmlet_optimizers.agad import AGAD
from ohmlet_optimizers.c_ttv2 import ChoppedTTv2
from ohmlet_optimizers.mixed_precision import MixedPrecision
from ohmlet_optimizers.tiki_taka import TikiTaka
from ohmlet_optimizers.ttv2 import TTv2
from tests.oracle import algorithms as oracle
from tests.plugins.in_memory import IMPLICIT, built, plain_step, site, train

ONE = PulsedUpdate(**{"desired_bl": 1, "update_management": False, "update_bl_management": False, **IMPLICIT})
LR = 0.1
SIZES = [(4, 5), (5, 3), (1, 1)]


def data(rows: int, columns: int, vectors: int = 60) -> tuple[Tensor, Tensor]:
    """Return inputs and errors with a mean, so that buffers fill and slow arrays move."""
    draw = Stream(torch.tensor(key("oracle", rows, columns)))
    x = 0.5 + 0.5 * draw.uniform("x", torch.empty(vectors, columns))
    sign = 1.0 - 2.0 * (torch.arange(rows) % 2)
    return x, sign * (0.2 + draw.uniform("d", torch.empty(vectors, rows))) - 0.4 * (draw.normal("s", torch.empty(vectors, rows)))


def plain(x: Tensor) -> list[list[float]]:
    """Return a matrix as lists."""
    return [[float(v) for v in row] for row in x]


def equal(own: Tensor, expected: list[list[float]]) -> None:
    """Raise unless equal to float32's digits."""
    torch.testing.assert_close(own.to(torch.float64), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize(
    ("by_columns", "every", "batch", "stages"), [(True, 1.0, 3, 1), (False, 2.0, 1, 1), (True, 0.5, 4, 2), (False, 1.0, 2, 3)]
)
def test_tiki_taka(rows: int, columns: int, by_columns: bool, every: float, batch: int, stages: int) -> None:
    """Chains of two to four arrays."""
    reads = 2 if min(rows, columns) > 1 else 1
    steps = [0.01, 0.005, 0.007, 0.004][: stages + 1]
    periods = [every * 2**k for k in range(stages)]
    cells = [plain_step(g) for g in steps]
    schedule: dict[str, Any] = {"transfer_every": every} if stages == 1 else {"transfer_every_vec": periods}
    spec = TikiTaka(
        fast=cells[0],
        between=tuple(cells[1:-1]),
        slow=cells[-1],
        transfer_lr=0.83,
        n_reads_per_transfer=reads,
        transfer_columns=by_columns,
        transfer_update=PulsedUpdate(**IMPLICIT),
        **schedule,
    )
    x, d = data(rows, columns)
    at = site(rows, columns)
    module = built(spec, at, PulsedUpdate(**IMPLICIT))
    train(module, at, x, d, LR, batch)
    expected = oracle.tiki_taka(
        plain(x), plain(d), LR, steps, 0.83, batch=batch, every=periods, reads=reads, by_columns=by_columns, in_batches=True
    )
    for array, theirs in zip(module.chain, expected, strict=True):
        equal(array.weights(), theirs.w)
    assert any(abs(v) > 0 for row in expected[1].w for v in row)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize(("by_columns", "forget", "batch"), list(itertools.product((True, False), (True, False), (1, 7))))
def test_ttv2(rows: int, columns: int, by_columns: bool, forget: bool, batch: int) -> None:
    """Transfers after every vector, with a mini-batch that reads slices more than once."""
    spec = TTv2(
        fast=plain_step(0.01),
        slow=plain_step(0.005),
        transfer_update=ONE,
        transfer_lr=0.37,
        units_in_mbatch=False,
        momentum=0.13,
        forget_buffer=forget,
        thres_scale=0.7,
        step=1.0,
        transfer_columns=by_columns,
    )
    x, d = data(rows, columns, 63)
    at = site(rows, columns)
    module = built(spec, at, PulsedUpdate(**IMPLICIT))
    train(module, at, x, d, LR, batch)
    (fast, slow), (buffer,) = oracle.ttv2(
        plain(x),
        plain(d),
        LR,
        [0.01, 0.005],
        0.37,
        0.13,
        forget,
        0.7,
        1.0,
        batch=batch,
        every=[1],
        reads=1,
        by_columns=by_columns,
        in_batches=False,
    )
    equal(module.arrays["fast"].weights(), fast.w)
    equal(module.buffer[0], buffer)
    equal(module.arrays["slow"].weights(), slow.w)
    assert any(v for row in slow.w for v in row)


def chopped_settings(by_columns: bool, forget: bool, auto: bool) -> dict[str, Any]:
    """Return what `c_ttv2` and `agad` have in common."""
    return {
        "fast": plain_step(0.01),
        "slow": plain_step(0.005),
        "transfer_update": ONE,
        "transfer_lr": 0.913,
        "in_chop_prob": 0.3,
        "in_chop_random": False,
        "momentum": 0.13,
        "forget_buffer": forget,
        "transfer_columns": by_columns,
        "fast_lr": 0.31 if auto else 0.1,
        "auto_scale": auto,
    }


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize(
    ("by_columns", "forget", "auto", "batch"),
    [(True, True, False, 7), (False, False, True, 7), (True, False, True, 1), (False, True, False, 1)],
)
def test_c_ttv2(rows: int, columns: int, by_columns: bool, forget: bool, auto: bool, batch: int) -> None:
    """Regular choppers; a visible fast array has its signs undone."""
    correct = auto and by_columns
    spec = ChoppedTTv2(gamma=0.25, correct_gradient_magnitudes=correct, **chopped_settings(by_columns, forget, auto))
    x, d = data(rows, columns, 63)
    at = site(rows, columns)
    module = built(spec, at, PulsedUpdate(**IMPLICIT))
    train(module, at, x, d, LR, batch)
    fast, slow, buffer, signs = oracle.c_ttv2(
        plain(x),
        plain(d),
        LR,
        [0.01, 0.005],
        0.25 * 0.913,
        0.13,
        forget,
        correct,
        batch=batch,
        every=1,
        by_columns=by_columns,
        period=4,
        fast_lr=spec.fast_lr,
        auto_momentum=0.99 if auto else None,
    )
    equal(module.fast.weights(), fast.w)
    equal(module.buffer, buffer)
    equal(module.slow.weights(), slow.w)
    assert module.in_signs.tolist() == signs
    seen = [[0.25 * signs[j if by_columns else i] * fast.w[i][j] + slow.w[i][j] for j in range(columns)] for i in range(rows)]
    equal(module.weights(), seen)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize(
    ("by_columns", "forget", "auto", "batch"),
    [(True, True, False, 7), (False, False, True, 7), (True, False, True, 1), (False, True, False, 1)],
)
def test_agad(rows: int, columns: int, by_columns: bool, forget: bool, auto: bool, batch: int) -> None:
    """The reference follows the running mean; nothing is written before it is known."""
    spec = AGAD(tail_weightening=2.0, **chopped_settings(by_columns, forget, auto))
    x, d = data(rows, columns, 126)
    at = site(rows, columns)
    module = built(spec, at, PulsedUpdate(**IMPLICIT))
    train(module, at, x, d, LR, batch)
    fast, slow, buffer, mean, reference = oracle.agad(
        plain(x),
        plain(d),
        LR,
        [0.01, 0.005],
        0.913,
        0.13,
        forget,
        2.0,
        4,
        batch=batch,
        every=1,
        by_columns=by_columns,
        fast_lr=spec.fast_lr,
        auto_momentum=0.99 if auto else None,
    )
    for own, expected in (
        (module.fast.weights(), fast.w),
        (module.buffer, buffer),
        (module.mean, mean),
        (module.reference, reference),
        (module.slow.weights(), slow.w),
    ):
        equal(own, expected)


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize(("every", "batch", "rows_each"), [(1, 3, None), (2, 3, None), (1, 1, 1)])
def test_mixed_precision(rows: int, columns: int, every: int, batch: int, rows_each: int | None) -> None:
    """Whole steps of the digital matrix are written when a period is over."""
    x, d = data(rows, columns, 63)
    at = site(rows, columns)
    spec = MixedPrecision(device=plain_step(0.01), transfer_every=every, n_rows_per_transfer=rows_each)
    module = built(spec, at, PulsedUpdate(**IMPLICIT))
    train(module, at, x, d, LR, batch)
    array, chi = oracle.mixed_precision(plain(x), plain(d), LR, 0.01, batch, every, rows_each or rows)
    equal(module.weights(), array.w)
    equal(module.chi, chi)
