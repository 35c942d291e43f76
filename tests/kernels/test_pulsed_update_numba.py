import math
import pickle
from copy import deepcopy
from typing import Any

import pytest
import torch

from ohmlet_kernels.noise import reference as philox
from ohmlet_kernels.pulsed_update import Cells, Trains, reference
from ohmlet_kernels.pulsed_update import numba as compiled
from ohmlet_kernels.pulsed_update.cells import BOTH, DOWN_AS_UP, UP_ONLY
from ohmlet_kernels.pulsed_update.numba_loops import TILE
from tests.kernels.pulsed_steps import STEPS, cells_of, copied, counted_trains, random_trains

KEY = torch.tensor(-0x123456789ABCDEF)
PURPOSE = 0x89ABCDEF


def ordinals(samples: int) -> torch.Tensor:
    return torch.arange(samples) * 3 + 2**33


def as_tensors(words: tuple[int, ...]) -> Any:
    return tuple(torch.tensor(word) for word in words)


def both(cells: Cells, trains: Trains, samples: int) -> tuple[Cells, Cells]:
    """Return what the reference and the compiled update make of the same cells."""
    expected, found = copied(cells), copied(cells)
    reference.pulsed_update(expected, trains, KEY, PURPOSE, ordinals(samples))
    compiled.pulsed_update(found, trains, KEY, PURPOSE, ordinals(samples))
    return expected, found


def agree(expected: Cells, found: Cells) -> None:
    torch.testing.assert_close(found.w, expected.w, rtol=2e-6, atol=2e-7)
    for state, other in zip(found.hidden, expected.hidden, strict=True):
        torch.testing.assert_close(state, other, rtol=5e-6, atol=1e-6)
    for name in ("pulses", "touched"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None and other is None) or torch.equal(one, other)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize(("samples", "rows", "columns"), [(3, 1, 1), (2, 1, 5), (3, 7, 1), (4, 5, 33), (0, 3, 4), (2, 0, 4), (2, 4, 0)])
def test_compiled_update_equals_the_reference(name: str, samples: int, rows: int, columns: int) -> None:
    cells, trains = cells_of(name, rows, columns, counted=True), random_trains(samples, rows, columns, density=1.0)
    expected, found = both(cells, trains, samples)
    agree(expected, found)
    if samples and rows and columns:
        assert expected.pulses is not None
        assert expected.pulses.sum() > 0
        assert not torch.equal(expected.w, cells.w)


def test_more_columns_than_a_tile() -> None:
    cells = cells_of("everything", 3, TILE + 70, counted=True)
    agree(*both(cells, random_trains(2, 3, TILE + 70), 2))


@pytest.mark.slow
def test_a_whole_crossbar_of_odd_size() -> None:
    cells = cells_of("bounded", 513, 257)
    agree(*both(cells, random_trains(5, 513, 257, density=0.3), 5))


@pytest.mark.parametrize("select", [BOTH, UP_ONLY, DOWN_AS_UP])
@pytest.mark.parametrize("words", [1, 3])
def test_trains_of_any_length_and_either_direction(select: int, words: int) -> None:
    cells = cells_of("bounded", 6, 21, counted=True)
    expected, found = both(cells, random_trains(3, 6, 21, words, 0.9, select), 3)
    agree(expected, found)
    assert found.pulses is not None
    assert (found.pulses[1].sum() == 0) == (select != BOTH)


@pytest.mark.parametrize("select", [BOTH, UP_ONLY, DOWN_AS_UP])
@pytest.mark.parametrize("name", ["bounded", "everything"])
def test_pulses_given_as_counts(name: str, select: int) -> None:
    cells = cells_of(name, 6, 21, counted=True)
    agree(*both(cells, counted_trains(3, 6, 21, select=select), 3))


def test_hundreds_of_pulses_of_one_sample() -> None:
    cells = cells_of("bounded", 2, 3, counted=True)
    x, d = torch.tensor([[1.0, 0.3, 0.0]]), torch.tensor([[700.0, 2.5]])
    signs = torch.zeros((1, 3), dtype=torch.bool), torch.tensor([[True, False]])
    expected, found = both(cells, Trains(x, d, *signs, torch.ones(1)), 1)
    agree(expected, found)
    assert found.pulses is not None
    # Halves go to the even number.
    assert found.pulses.tolist() == [[[700, 210, 0], [0, 0, 0]], [[0, 0, 0], [2, 1, 0]]]


def test_every_pulse_against_a_scalar_calculation() -> None:
    """Independent of the reference's loop: pulses one by one in float64, only the random numbers shared."""
    cells, trains = cells_of("bounded", 3, 5), random_trains(2, 3, 5, density=0.9)
    found = copied(cells)
    compiled.pulsed_update(found, trains, KEY, PURPOSE, ordinals(2))
    for row in range(3):
        for column in range(5):
            w, (dw, bound) = float(cells.w[row, column]), (float(a[row, column]) for a in cells.cell)
            for sample in range(2):
                count = (int(trains.x[sample, column, 0]) & int(trains.d[sample, row, 0])).bit_count()
                up = bool(trains.x_negative[sample, column]) != bool(trains.d_negative[sample, row])
                for pulse in range(count):
                    ordinal = int(ordinals(2)[sample])
                    counter = (column | (ordinal >> 32) << 20, row | (pulse // 4) << 20, ordinal & 0xFFFFFFFF, PURPOSE)
                    words = philox.philox(as_tensors(counter), as_tensors((int(KEY) & 0xFFFFFFFF, int(KEY) % 2**64 >> 32)))
                    xi = float(philox.normals(words[pulse % 4]))
                    w = min(max(w + (dw if up else -dw) * (1 + 0.3 * xi), -bound), bound)
            assert math.isclose(float(found.w[row, column]), w, abs_tol=1e-6), (row, column)


def test_a_nan_stays_where_it_is() -> None:
    cells, trains = cells_of("everything", 4, 40), random_trains(2, 4, 40, density=1.0)
    cells.w[2, 7] = math.nan
    expected, found = both(cells, trains, 2)
    assert torch.equal(found.w.isnan(), expected.w.isnan())
    assert int(found.w.isnan().sum()) == 1
    agree(expected._replace(w=expected.w.nan_to_num()), found._replace(w=found.w.nan_to_num()))


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_are_dealt_to_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ohmlet_kernels.threads.PARALLEL_FROM", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    cells = cells_of("bounded", 9, 12, counted=True)
    agree(*both(cells, random_trains(3, 9, 12), 3))


def test_float64_cells_run_on_the_reference() -> None:
    cells = cells_of("bounded", 3, 4)
    cells = cells._replace(w=cells.w.double(), cell=tuple(a.double() for a in cells.cell))
    expected, found = both(cells, random_trains(2, 3, 4), 2)
    assert found.w.dtype == torch.float64
    assert torch.equal(found.w, expected.w)


@pytest.mark.parametrize(("samples", "lines", "words"), [(1, 1, 1), (3, 7, 1), (2, 130, 4), (0, 3, 1), (2, 0, 1)])
def test_bits_are_the_references(samples: int, lines: int, words: int) -> None:
    thresholds = torch.randint(0, 1 << 24, (samples, lines), generator=torch.Generator().manual_seed(1))
    if samples and lines:
        thresholds[0, 0], thresholds[-1, -1] = 0, 1 << 24
    lengths = torch.arange(samples) * 13 + 32 * words - 40
    given = (thresholds, lengths.clamp(0, 32 * words), words, KEY, PURPOSE, ordinals(samples))
    assert torch.equal(compiled.pulse_bits(*given), reference.pulse_bits(*given))


def test_the_kernel_pickles_and_copies_as_itself() -> None:
    assert pickle.loads(pickle.dumps(compiled.pulse_bits)) is compiled.pulse_bits
    assert deepcopy(compiled.pulse_bits) is compiled.pulse_bits
