"""Normals drawn for several rows at a time are those that lie at the rows' addresses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ohmlet_kernels.noise import reference
from ohmlet_kernels.noise.keys import purpose_word

draws = pytest.importorskip("ohmlet_kernels.analog_mvm.numba_draws")

KEYS = torch.tensor([5, -1, -(2**63), 2**63 - 1])
ORDINALS = torch.tensor([0, 7, 2**32 + 3, 2**40 + 1, 2**44 - 1])
POSITIONS = 3
ROWS = len(KEYS) * len(ORDINALS) * POSITIONS


@pytest.mark.parametrize("columns", [1, 3, 4, 10, 33, 64, 127, 260, 1025])
@pytest.mark.parametrize("many", [1, 2, 7, 41, ROWS])
def test_rows_drawn_together_equal_the_definition(columns: int, many: int) -> None:
    purpose = purpose_word("training/output")
    expected = reference.normals(reference.words(KEYS, purpose, ORDINALS, POSITIONS, columns)).reshape(ROWS, columns)
    noise, *scratch = draws.room(many, columns)
    given = (columns, KEYS.numpy(), ORDINALS.numpy(), POSITIONS, np.uint64(purpose))
    drawn = []
    for first in range(0, ROWS, many):
        last = min(first + many, ROWS)  # the last block may be a short one
        draws.normals_of_rows(noise, *scratch, first, last, *given)
        drawn.append(noise[: last - first, :columns].copy())
    assert np.array_equal(np.concatenate(drawn), expected.numpy())


@pytest.mark.parametrize("columns", [1, 10, 512, 5000])
def test_blocks_of_rows_are_small_but_never_empty(columns: int) -> None:
    rows = draws.rows_at_once(columns)
    assert rows == 1 or rows * columns <= 4 * draws.COUNTERS
    assert (rows + 1) * (columns + 3) > 4 * draws.COUNTERS
