"""The text that a device's step is put into: its update loops, with what differs from device to device in braces."""

from __future__ import annotations

__all__ = ["ANY_ROWS", "DRAW", "FOUR_PULSES", "LOOP", "ONE_ROW"]

LOOP = '''\
"""The update of one device, written by Ohmlet from the device's step; safe to delete."""

import functools

import numpy as np
from numba import cfunc, njit

from ohmlet_kernels.addresses import counts, doubles, flags, reals
from ohmlet_kernels.pulsed_update import numba_blocks as at
from ohmlet_kernels.pulsed_update import ops_numba as ops
from ohmlet_kernels.pulsed_update.cells import SLOTS
from ohmlet_kernels.pulsed_update.numba_lanes import LANES
from ohmlet_kernels.pulsed_update.numba_loops import BLOCK, TILE, count, draw, look, normals, order, tally, uniforms
from ohmlet_kernels.pulsed_update.numba_together import collect, draw_first, draw_for, look_at_all, parted, place, sort
from ohmlet_kernels.pulsed_update.numba_trains import lines_of, managed, spoken

{numbers}


@njit(nogil=True, cache=True, error_model="numpy", fastmath={{"contract"}}, forceinline=True)
def step(real, up, noise, hits, full, params{tables}):
    {read_params}
    for number in range(full):
        i = np.uint64(number)
        hit = number < hits
        s_up = up[i] != 0
        {read}
        {body}
        {write}


@njit(nogil=True, cache=True, error_model="numpy")
def update(
    first_row, last_row, w, {arrays}params, {table_arguments}x, d, x_real, d_real, period, x_negative, d_negative,
    ordinals, key, purpose, select, limit, pulses, touched, look_after, look_at, look_columns, seen,
):
    columns, samples = w.shape[1], len(ordinals)
    n, by = np.zeros(TILE, np.int32), np.zeros(TILE + 1, np.int32)
    active, place = np.zeros(limit + 2, np.int32), np.zeros(limit + 2, np.int32)
    up, real = np.zeros(TILE, np.int32), np.zeros({reals} * TILE, np.float32)
    words, noise = np.zeros(4 * TILE, np.uint32), np.zeros({draws} * TILE, np.float32)
    short, looking = d.shape[2] == 1, len(look_after) > 0
    for row in range(first_row, last_row):
        for first in range(0, columns, TILE):
            width = min(TILE, columns - first)
            looked = 0
            for sample in range(samples):
                # Most rows of a mini-batch that has nearly been learned are silent, and the calls below cost more than this.
                if short and d[row, sample, 0] == 0:
                    continue
                if looking:
                    looked = look(w, row, first, width, sample, looked, look_after, look_at, look_columns, seen)
                most = count(n, sample, row, first, width, x, d, x_real, d_real, period, x_negative, d_negative, select)
                if most == 0:
                    continue
                cells = order(n, width, most, active, place, by)
                negative = d_negative[row, sample]
                for number in range((cells + 7) // 8 * 8):
                    i = np.uint64(number)
                    at = np.uint64(first + by[i])
                    up[i] = np.int32(select != 0 or x_negative[sample, at] != negative)
                    {gather}
                ordinal = np.uint64(ordinals[sample])
                drawn = 0
                for pulse in range(most):
                    hits = np.int64(active[pulse])
                    full = (hits + BLOCK - 1) // BLOCK * BLOCK
                    {draw}
                    step(real, up, noise, hits, full, params{tables})
                for number in range(cells):
                    i = np.uint64(number)
                    at = np.uint64(first + by[i])
                    {scatter}
                if touched.shape[0]:
                    for number in range(cells):
                        touched[row, first + by[number]] = True
                if pulses.shape[0]:
                    tally(pulses, row, first, width, n, x_negative[sample], negative, select)
            if looking:
                look(w, row, first, width, np.int64(1) << 62, looked, look_after, look_at, look_columns, seen)


@njit(nogil=True, cache=True, error_model="numpy")
def pulse(
    w, {arrays}params, {table_arguments}pulses, x_real, d_real, rates, granularity, desired, fixed, management, length_management,
    grad_scale, ordinals, given_key, for_x, for_d, keys, purpose, look_after, look_at, look_columns, seen, marks,
):
    (rows, columns), samples, key = w.shape, len(ordinals), keys[0]
    lengths, factors = np.empty(samples, np.int64), np.empty((2, samples))
    for sample in range(samples):
        lengths[sample], factors[0, sample], factors[1, sample] = managed(
            x_real[sample], d_real[sample], rates[sample], granularity, desired, fixed, management, length_management, grad_scale
        )
        if lengths[sample] > SLOTS:
            return False
    {flatten}
    # Parts of one array by their addresses, since views of it would be counted wherever one is made.
    lines, cells = max(rows, columns) + LANES, TILE + LANES
    memory = np.empty({scratch} * TILE + 8 * cells + 7 * lines, np.int32)
    start = np.int64(memory.ctypes.data)
    words, noise = reals(start, 4 * TILE).view(np.uint32), reals(start + 16 * TILE, {noise_at_once} * TILE)
    real = reals(start + {noise_end} * 4 * TILE, {reals} * TILE)
    of_cell = reals(start + {scratch} * 4 * TILE, (8, cells)).view(np.int32)
    of_line = reals(start + {scratch} * 4 * TILE + 32 * cells, (7, lines)).view(np.int32)
    thresholds, levels, negative, x_words, x_codes = of_line[0], of_line[1], of_line[2], of_line[3], of_line[4]
    d_words, d_codes, once, often, ordered = of_line[5], of_line[6], of_cell[0], of_cell[1], of_cell[2]
    at_row, at_column, up, places, active = of_cell[3].view(np.uint32), of_cell[4].view(np.uint32), of_cell[5], of_cell[6], of_cell[7]
    real_bits = real.view(np.int32)
    # Cells up to whole blocks are stepped, and nobody looks at them; what memory held before may be slow to compute with.
    real[:] = 0
    looked, shift = 0, np.int32(0)
    while 1 << shift < columns:
        shift = np.int32(shift + 1)
    for sample in range(samples):
        looked = look_at_all(w, sample, looked, look_after, look_at, look_columns, seen)
        ordinal, length = np.uint64(ordinals[sample]), lengths[sample]
        if length == 0:
            continue
        lines_of(x_real[sample], factors[0, sample], thresholds, negative, False)
        ins = spoken(thresholds, negative, columns, length, ordinal, given_key, for_x, np.int32(1), x_words, x_codes, levels)
        lines_of(d_real[sample], factors[1, sample], thresholds, negative, rates[sample] < 0)
        outs = spoken(thresholds, negative, rows, length, ordinal, given_key, for_d, np.int32(shift + 1), d_words, d_codes, levels)
        ends = np.uint64(0)
        for row in range(outs):
            ends = collect(d_words[row], d_codes[row], x_words, x_codes, ins, ends, once, often)
            single, several = parted(ends)
            held = single + several
            # Cells of other rows join these while there is room for all of the next row.
            if held == 0 or (row < outs - 1 and held + ins <= TILE):
                continue
            most = sort(often, several, single, active, ordered)
            place(ordered, several, 0, shift, columns, at_row, at_column, up, places)
            place(once, single, several, shift, columns, at_row, at_column, up, places)
            for number in range(held):
                i = np.uint64(number)
                at = np.uint64(places[i])
                {gather_at}
            drawn = 0
            for pulse in range(most):
                hits = np.int64(active[pulse])
                full = (hits + BLOCK - 1) // BLOCK * BLOCK
                {draw_at}
                step(real, up, {noise_at}, hits, full, params{tables})
            for number in range(held):
                i = np.uint64(number)
                at = np.uint64(places[i])
                {scatter_at}
            if len(marks):
                for number in range(held):
                    marks[np.uint64(places[np.uint64(number)])] = True
            if pulses.shape[0]:
                for pulse in range(most):
                    for number in range(active[pulse]):
                        pulses[0 if up[number] else 1, at_row[number], at_column[number]] += 1
            ends = np.uint64(0)
    look_at_all(w, np.int64(1) << 62, looked, look_after, look_at, look_columns, seen)
    # Until here it must not be given back.
    memory[0] = 0
    return True


def planned(address):
    b = counts(address, {size})
    rows, columns, samples, looks, numbers = b[at.ROWS], b[at.COLUMNS], b[at.SAMPLES], b[at.LOOKS], doubles(b[at.NUMBERS], 2)
    # Not in the call, where numba allows no conditions beside many arguments.
    both, marked = 2 if b[at.COUNTED] else 0, rows * columns if b[at.MARKS] else 0
    pulse(
        {state}, reals(b[at.PARAMS], {params}), {table_arrays}counts(b[at.COUNTED], (both, rows, columns)),
        reals(b[at.X], (samples, columns)), reals(b[at.D], (samples, rows)), doubles(b[at.RATES], samples), numbers[0], b[at.DESIRED],
        b[at.FIXED] != 0, b[at.MANAGED] != 0, b[at.LENGTHS] != 0, numbers[1], counts(b[at.ORDINALS], samples),
        np.uint64(counts(b[at.KEY], 1)[0]), np.uint64(b[at.FOR_X]), np.uint64(b[at.FOR_D]), counts(b[at.OWN_KEY], 1).view(np.uint64),
        np.uint64(b[at.PURPOSE]), counts(b[at.AFTER], looks), counts(b[at.AT], looks), b[at.BY_COLUMNS] != 0,
        reals(b[at.SEEN], (looks, b[at.WIDTH])), flags(b[at.MARKS], marked),
    )
    return np.int64(1)


@functools.cache
def plan():
    return cfunc("int64(int64)", cache=True)(planned)
'''

DRAW = """\
if drawn & 3 == 0:
    {words}
lane = (drawn & 3) * TILE
{fill}(words[lane : lane + TILE], noise[{at} * TILE : {end} * TILE], full)
drawn += 1"""


ONE_ROW = "draw(words, by, first, (hits + 7) // 8 * 8, row, drawn >> 2, ordinal, key, purpose)"
ANY_ROWS = "draw_for(words, at_row, at_column, (hits + 7) // 8 * 8, drawn >> 2, ordinal, key, purpose)"

# A call for the numbers of four pulses, and words only for as many as a cell gets: most cells of a small crossbar get one.
FOUR_PULSES = """\
if pulse & 3 == 0:
    if pulse == 0:
        more = (several + 7) // 8 * 8
        draw_for(words, at_row, at_column, more, 0, ordinal, key, purpose)
        draw_first(words, at_row, at_column, more, (hits + 7) // 8 * 8, 0, ordinal, key, purpose)
    else:
        draw_for(words, at_row, at_column, (hits + 7) // 8 * 8, pulse >> 2, ordinal, key, purpose)
    for each in range(pulse, min(pulse + 4, most)):
        lane = (each & 3) * TILE
        {fill}(words[lane : lane + TILE], noise[lane : lane + TILE], np.int64(active[each]))
lane = (pulse & 3) * TILE"""
