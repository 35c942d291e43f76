"""Cells and lines that are put one behind the other, sixteen at once and one by one, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
import torch
from numba import njit

from ohmlet_kernels.pulsed_update import numba_lanes as lanes
from ohmlet_kernels.pulsed_update import reference
from ohmlet_kernels.pulsed_update.cells import LEVELS
from ohmlet_kernels.pulsed_update.numba_lanes import COUNT_AT, LANES
from ohmlet_kernels.pulsed_update.numba_together import collect, parted, place, sort
from ohmlet_kernels.pulsed_update.numba_trains import spoken

PLACE = (1 << COUNT_AT) - 1


def both_ways(at_once: Any, one_by_one: Any) -> list[Any]:
    """Return a call of what the compiler makes of it here, and of what it makes of it for other processors."""
    other = njit(one_by_one)
    return [njit(lambda *given: at_once(*given)), njit(lambda *given: other(*given))]


def trains(lines: int, length: int, seed: int) -> Any:
    """Return trains int32 of different densities, silent and full ones among them, and zeros behind."""
    rng = np.random.default_rng(seed)
    fires = rng.random((lines, length)) < rng.random((lines, 1)) ** 2
    words = (fires.astype(np.uint64) << np.arange(length, dtype=np.uint64)).sum(1).astype(np.uint32).view(np.int32)
    words[0], words[-1] = 0, np.array([(1 << length) - 1], np.uint32).view(np.int32)[0]
    return np.concatenate([words, np.zeros(LANES, np.int32)])


def ones(words: Any) -> Any:
    return np.bitwise_count(words.view(np.uint32)).astype(np.int64)


@pytest.mark.parametrize("way", [0, 1])
@pytest.mark.parametrize("length", [1, 3, 32])
def test_cells_of_a_row_are_joined_by_whether_they_get_one_pulse_or_more(way: int, length: int) -> None:
    call = both_ways(lanes.joined, lanes.one_by_one_joined)[way]
    words, codes = trains(LANES, length, length)[:LANES], np.arange(100, 100 + LANES, dtype=np.int32)
    for bits in (0, 1, 5, -1, -(2**31)):
        once, often = np.full(3 + 2 * LANES, -7, np.int32), np.full(5 + 2 * LANES, -7, np.int32)
        ends = int(call(words, codes, np.uint64(0), np.int32(bits), np.int32(1 << 20), np.uint64(3 | 5 << 32), once, often))
        n, keys = ones(words & np.int32(bits)), codes | 1 << 20
        assert ends & 0xFFFFFFFF == 3 + (n == 1).sum()
        assert ends >> 32 == 5 + (n > 1).sum()
        assert (once[:3] == -7).all()
        assert (often[:5] == -7).all()
        assert once[3 : ends & 0xFFFFFFFF].tolist() == keys[n == 1].tolist()
        assert often[5 : ends >> 32].tolist() == (keys | (n - 1) << COUNT_AT)[n > 1].tolist()


@pytest.mark.parametrize("way", [0, 1])
def test_numbers_are_picked_by_count_and_kept_by_others_or_themselves(way: int) -> None:
    pick, keep = (
        both_ways(lanes.picked, lanes.one_by_one_picked)[way],
        both_ways(lanes.kept, lanes.one_by_one_kept)[way],
    )
    rng = np.random.default_rng(2)
    counts = rng.choice([0, 2, 31], 3 * LANES)
    keys = (counts << COUNT_AT | np.arange(3 * LANES)).astype(np.int32)
    for count in (0, 2, 31, 5):
        out, end = np.zeros(4 * LANES, np.int32), np.uint64(1)
        for first in range(0, len(keys), LANES):
            end = pick(keys, np.uint64(first), np.int32(count), out, np.uint64(end))
        assert out[1 : int(end)].tolist() == keys[counts == count].tolist()
    wanted, codes = (counts * (rng.random(len(counts)) < 0.5)).astype(np.int32), keys.copy()
    expected, end = (keys[wanted != 0].tolist(), wanted[wanted != 0].tolist()), np.uint64(0)
    for first in range(0, len(keys), LANES):
        keep(codes, wanted, np.uint64(first), codes, np.uint64(end))
        end = keep(wanted, wanted, np.uint64(first), wanted, np.uint64(end))
    assert codes[: int(end)].tolist() == expected[0]
    assert wanted[: int(end)].tolist() == expected[1]


@pytest.mark.parametrize(("row", "columns", "length"), [(0, 1, 1), (511, 512, 31), (16383, 512, 32), (3, 37, 7), (9, 64, 1)])
def test_cells_in_the_order_of_their_pulses(row: int, columns: int, length: int) -> None:
    """Up to all columns there may be, the last row there may be, and trains that fire in each slot."""
    shift = max(columns - 1, 0).bit_length()
    words, rng = trains(columns, length, columns), np.random.default_rng(columns)
    negative = rng.random(columns) < 0.5
    codes = np.concatenate([np.arange(columns) << 1 | negative, np.zeros(LANES, int)]).astype(np.int32)
    once, often, ordered = (np.zeros(columns + 2 * LANES, np.int32) for _ in range(3))
    bits = np.array([(1 << length) - 1], np.uint32).view(np.int32)[0]
    ends = collect(bits, np.int32(row << (shift + 1) | 1), words, codes, columns, np.uint64(0), once, often)
    single, several = parted(np.uint64(ends))
    active = np.zeros(40, np.int32)
    most = sort(often, several, single, active, ordered)
    n = ones(words[:columns])
    assert single + several == (n > 0).sum()
    assert most == n.max() == length
    assert active[:most].tolist() == [(n > k).sum() for k in range(most)]
    at = [np.zeros(columns, kind) for kind in (np.uint32, np.uint32, np.int32, np.int32)]
    place(ordered, several, 0, np.int32(shift), columns, *at)
    place(once, single, several, np.int32(shift), columns, *at)
    rows, column, up, places = (each[: single + several].astype(np.int64) for each in at)
    assert sorted(column) == np.flatnonzero(n > 0).tolist()
    assert (np.diff(n[column]) <= 0).all()
    assert (rows == row).all()
    assert (up == ~negative[column]).all()
    assert (places == row * columns + column).all()


@pytest.mark.parametrize(("lines", "length"), [(1, 5), (16, 1), (17, 4), (64, 13), (512, 32)])
@pytest.mark.parametrize("levels", ["any", "all fire"])
def test_lines_that_fire_have_the_trains_of_the_reference(lines: int, length: int, levels: str) -> None:
    rng = np.random.default_rng(lines)
    thresholds = np.rint(rng.random(lines) ** 4 * LEVELS).astype(np.int64)
    thresholds[rng.random(lines) < 0.3] = 0
    thresholds[rng.random(lines) < 0.3] = LEVELS
    if levels == "all fire":
        thresholds[thresholds > 0] = LEVELS
    negative = rng.random(lines) < 0.5
    key, ordinal, purpose = -(2**40) - 3, 2**33 + 5, 77
    expected = reference.pulse_bits(
        torch.from_numpy(thresholds)[None], torch.tensor([length]), 1, torch.tensor([key]), purpose, torch.tensor([ordinal])
    )[0, :, 0].numpy()
    scratch = np.full((5, lines + LANES), -1, np.int32)
    scratch[0, :lines], scratch[1, :lines] = thresholds, negative
    found = spoken(
        scratch[0], scratch[1], lines, length, np.uint64(ordinal), np.uint64(key & (2**64 - 1)), np.uint64(purpose), np.int32(3),
        scratch[2], scratch[3], scratch[4],
    )  # fmt: skip
    fire = np.flatnonzero(expected)
    assert scratch[3, :found].tolist() == (fire << 3 | negative[fire]).tolist()
    assert scratch[2, :found].view(np.uint32).tolist() == expected[fire].tolist()
    assert not scratch[2, found : found + LANES].any()
