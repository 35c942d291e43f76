"""From a device's step to the source of an update loop of its own: the step's lines inside, its numbers in float32."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from ohmlet_kernels.pulsed_update.numba_blocks import STATE
from ohmlet_kernels.pulsed_update.step import Step

__all__ = ["flat_body", "insert", "loop_source"]

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


def _at(slot: int) -> str:
    """Return the index of cell i in a row of the scratch: unsigned, for which numba does not look whether it is negative."""
    return f"i + np.uint64({slot} * TILE)" if slot else "i"


class _Flat(ast.NodeTransformer):
    """Names of their own for everything a step reads, and its numbers as names of float32 constants."""

    def __init__(self, function: Any) -> None:
        self.globals = function.__globals__
        self.numbers: dict[float, str] = {}
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        self.local = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)} | {"w", "up"}

    def number(self, value: float) -> ast.expr:
        """Return the name of a float32 constant; numba would compute with a plain number in float64."""
        return ast.Name(self.numbers.setdefault(float(value), f"k_{len(self.numbers)}"), ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Replace a number."""
        return node if isinstance(node.value, bool | str) else self.number(float(node.value))  # type: ignore[arg-type]

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Replace `cell.name` and its like by plain names."""
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        return node if owner == "ops" else ast.Name(f"{owner[0]}_{node.attr}", ast.Load())

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Replace `noise[d]` by a plain name."""
        return ast.Name(f"n_{ast.literal_eval(node.slice)}", ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace the step's own names, and numbers of its module."""
        if node.id in self.local:
            return ast.Name(f"s_{node.id}", node.ctx)
        return self.number(self.globals[node.id])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Drop annotations, whose names mean nothing here."""
        assert node.value is not None
        return ast.Assign([self.visit(node.target)], self.visit(node.value))


def flat_body(step: Step) -> tuple[list[str], list[str], dict[str, float]]:
    """Return the step's lines, its results (the weight, then the hidden states that change), and its numbers by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(step.function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    flat = _Flat(step.function)
    lines = [
        ast.unparse(ast.fix_missing_locations(flat.visit(node)))
        for node in tree.body[:-1]
        if not isinstance(node, ast.Expr) and not (isinstance(node, ast.AnnAssign) and node.value is None)
    ]
    last = tree.body[-1]
    assert isinstance(last, ast.Return)
    assert isinstance(last.value, ast.Tuple)
    weight, hidden = last.value.elts
    states = hidden.elts if isinstance(hidden, ast.Tuple) else []
    results = [ast.unparse(ast.fix_missing_locations(flat.visit(node))) for node in (weight, *states)]
    return lines, results, {name: value for value, name in flat.numbers.items()}


def _draws(step: Step, words: str) -> list[str]:
    """Return the lines that draw the numbers of one pulse, their words drawn by a line of their own for every fourth."""
    kinds = ["normals"] * step.normals + ["uniforms"] * (step.draws - step.normals)
    return [DRAW.format(words=words, fill=fill, at=at, end=at + 1) for at, fill in enumerate(kinds)]


def _draws_together(step: Step) -> list[str]:
    """Return the lines that draw the numbers of one pulse for cells of several rows."""
    return [FOUR_PULSES.format(fill="normals" if step.normals else "uniforms")] if step.draws == 1 else _draws(step, ANY_ROWS)


def loop_source(step: Step) -> str:
    """Return the source of a module with the loops of this step, for arrays `w, *cell, *hidden, params, *tables`.

    `update(first_row, last_row, ...)` applies trains to some rows, one row after the other. `pulse(...)` makes trains of one word and
    applies them, in one go for all rows of at most TILE columns, one sample after the other; it returns whether it has. `plan()` is that
    for a block (`numba_blocks`).
    """
    lines, results, numbers = flat_body(step)
    arrays = [f"c_{name}" for name in step.cell] + [f"h_{name}" for name in step.hidden]
    # Slot 0 of the scratch holds the weights; the arrays follow in the order of the arguments.
    slot = {name: index for index, name in enumerate(["s_w", *arrays])}
    # A step may assign to w, and a cell that is not hit keeps the one it had.
    read = ["old = real[i]", "s_w = old", *(f"{name} = real[{_at(at)}]" for name, at in slot.items() if at)]
    read += [f"n_{at} = noise[{_at(at)}]" for at in range(step.draws)]
    changed = ["s_w", *(f"h_{name}" for name in step.hidden[: len(results) - 1])]
    write = [f"r_{at} = {result}" for at, result in enumerate(results)]
    write += [f"real[{_at(slot[name])}] = np.float32(r_{at} if hit else {name if at else 'old'})" for at, name in enumerate(changed)]
    places = {name: "w" if name == "s_w" else f"all_{name}" for name in slot}
    parts = {
        "read_params": [f"p_{name} = params[{at}]" for at, name in enumerate(step.params)],
        "gather": [f"real[{_at(at)}] = {places[name]}[row, at]" for name, at in slot.items()],
        "flatten": [f"flat_{name} = {places[name]}.reshape({places[name]}.size).view(np.int32)" for name in slot],
        "gather_at": [f"real_bits[{_at(at)}] = flat_{name}[at]" for name, at in slot.items()],
        "draw": _draws(step, ONE_ROW),
        "draw_at": _draws_together(step),
        "read": read,
        "body": lines,
        "write": write,
        "scatter": [f"{places[name]}[row, at] = real[{_at(slot[name])}]" for name in changed],
        "scatter_at": [f"flat_{name}[at] = real_bits[{_at(slot[name])}]" for name in changed],
    }
    noise_end = 4 + (4 if step.draws == 1 else step.draws)
    first = STATE + len(slot)
    text = LOOP
    for name, made in parts.items():
        text = insert(text, name, made)
    return text.format(
        numbers="\n".join(f"{name} = np.float32({value!r})" for name, value in numbers.items()),
        arrays="".join(f"all_{name}, " for name in arrays),
        tables="".join(f", p_{name}" for name in step.tables),
        table_arguments="".join(f"p_{name}, " for name in step.tables),
        size=first + 2 * len(step.tables),
        state=", ".join(f"reals(b[at.STATE + {each}], (rows, columns))" for each in slot.values()),
        params=len(step.params),
        table_arrays="".join(f"reals(b[{first + 2 * each}], b[{first + 2 * each + 1}]), " for each in range(len(step.tables))),
        reals=len(slot),
        noise_end=noise_end,
        noise_at_once=noise_end - 4,
        noise_at="noise[lane : lane + TILE]" if step.draws == 1 else "noise",
        scratch=noise_end + len(slot),
        draws=max(step.draws, 1),
    )


def insert(text: str, name: str, made: list[str]) -> str:
    """Put lines where the template names them, indented as it is there."""
    line = next(line for line in text.splitlines() if line.strip() == f"{{{name}}}")
    indent = line[: len(line) - len(line.lstrip())]
    return text.replace(line, textwrap.indent("\n".join(made).replace("{", "{{").replace("}", "}}") or "pass", indent))
