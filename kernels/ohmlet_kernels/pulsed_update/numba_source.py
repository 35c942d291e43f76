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

from ohmlet_kernels.addresses import counts, doubles, reals
from ohmlet_kernels.pulsed_update import numba_blocks as at
from ohmlet_kernels.pulsed_update import ops_numba as ops
from ohmlet_kernels.pulsed_update.numba_loops import BLOCK, TILE, count, draw, look, normals, order, tally, uniforms
from ohmlet_kernels.pulsed_update.numba_together import collect, compare, draw_for, look_at_all, sort, take
from ohmlet_kernels.pulsed_update.numba_trains import short_trains

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
    grad_scale, ordinals, given_key, for_x, for_d, keys, purpose, look_after, look_at, look_columns, seen,
):
    (rows, columns), samples, key = w.shape, len(ordinals), keys[0]
    x, d = np.empty((samples, 1, columns), np.int32), np.empty((rows, samples, 1), np.int64)
    x_negative, d_negative = np.empty((samples, columns), np.bool_), np.empty((samples, rows), np.bool_)
    if not short_trains(
        x_real, d_real, rates, granularity, desired, fixed, management, length_management, grad_scale, ordinals, given_key, for_x,
        for_d, x, d, x_negative, d_negative,
    ):
        return False
    {flatten}
    n, by = np.empty(TILE + 1, np.int32), np.empty(TILE + 1, np.int32)
    held_row, held_column = np.empty(TILE + 1, np.uint32), np.empty(TILE + 1, np.uint32)
    at_row, at_column, up = np.empty(TILE, np.uint32), np.empty(TILE, np.uint32), np.zeros(TILE, np.int32)
    active, place = np.empty(34, np.int32), np.empty(34, np.int32)
    words, noise, real = np.zeros(4 * TILE, np.uint32), np.zeros({draws} * TILE, np.float32), np.zeros({reals} * TILE, np.float32)
    looked, width = 0, np.uint64(columns)
    for sample in range(samples):
        looked = look_at_all(w, sample, looked, look_after, look_at, look_columns, seen)
        ordinal, held = np.uint64(ordinals[sample]), 0
        for row in range(rows):
            bits = np.int32(d[row, sample, 0])
            if bits != 0:
                held = collect(bits, x[sample, 0], row, held, n, held_row, held_column)
            # Cells of other rows join these while there is room for all of the next row.
            if held == 0 or (row < rows - 1 and held + columns <= TILE):
                continue
            most = sort(n, held, active, place, by)
            take(held, by, held_row, held_column, at_row, at_column)
            compare(held, x_negative[sample], d_negative[sample], at_row, at_column, up)
            for number in range(held):
                i = np.uint64(number)
                at = np.uint64(at_row[i]) * width + np.uint64(at_column[i])
                {gather_at}
            drawn = 0
            for pulse in range(most):
                hits = np.int64(active[pulse])
                full = (hits + BLOCK - 1) // BLOCK * BLOCK
                {draw_at}
                step(real, up, noise, hits, full, params{tables})
            for number in range(held):
                i = np.uint64(number)
                at = np.uint64(at_row[i]) * width + np.uint64(at_column[i])
                {scatter_at}
            if pulses.shape[0]:
                for number in range(held):
                    pulses[0 if up[number] else 1, at_row[number], at_column[number]] += np.int64(n[by[number]])
            held = 0
    look_at_all(w, np.int64(1) << 62, looked, look_after, look_at, look_columns, seen)
    return True


def planned(address):
    b = counts(address, {size})
    rows, columns, samples, looks, numbers = b[at.ROWS], b[at.COLUMNS], b[at.SAMPLES], b[at.LOOKS], doubles(b[at.NUMBERS], 2)
    pulse(
        {state}, reals(b[at.PARAMS], {params}), {table_arrays}counts(b[at.COUNTED], (2 if b[at.COUNTED] else 0, rows, columns)),
        reals(b[at.X], (samples, columns)), reals(b[at.D], (samples, rows)), doubles(b[at.RATES], samples), numbers[0], b[at.DESIRED],
        b[at.FIXED] != 0, b[at.MANAGED] != 0, b[at.LENGTHS] != 0, numbers[1], counts(b[at.ORDINALS], samples),
        np.uint64(counts(b[at.KEY], 1)[0]), np.uint64(b[at.FOR_X]), np.uint64(b[at.FOR_D]), counts(b[at.OWN_KEY], 1).view(np.uint64),
        np.uint64(b[at.PURPOSE]), counts(b[at.AFTER], looks), counts(b[at.AT], looks), b[at.BY_COLUMNS] != 0,
        reals(b[at.SEEN], (looks, b[at.WIDTH])),
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
        "flatten": [f"flat_{name} = {places[name]}.reshape({places[name]}.size)" for name in slot],
        "gather_at": [f"real[{_at(at)}] = flat_{name}[at]" for name, at in slot.items()],
        "draw": _draws(step, ONE_ROW),
        "draw_at": _draws(step, ANY_ROWS),
        "read": read,
        "body": lines,
        "write": write,
        "scatter": [f"{places[name]}[row, at] = real[{_at(slot[name])}]" for name in changed],
        "scatter_at": [f"flat_{name}[at] = real[{_at(slot[name])}]" for name in changed],
    }
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
        draws=max(step.draws, 1),
    )


def insert(text: str, name: str, made: list[str]) -> str:
    """Put lines where the template names them, indented as it is there."""
    line = next(line for line in text.splitlines() if line.strip() == f"{{{name}}}")
    indent = line[: len(line) - len(line.lstrip())]
    return text.replace(line, textwrap.indent("\n".join(made).replace("{", "{{").replace("}", "}}") or "pass", indent))
