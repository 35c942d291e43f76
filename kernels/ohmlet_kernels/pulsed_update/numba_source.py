"""From a device's step to the source of an update loop of its own: the step's lines inside, its numbers in float32."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from ohmlet_kernels.pulsed_update.step import Step

__all__ = ["flat_body", "insert", "loop_source"]

LOOP = '''\
"""The update of one device, written by Ohmlet from the device's step; safe to delete."""

import numpy as np
from numba import njit

from ohmlet_kernels.pulsed_update import ops_numba as ops
from ohmlet_kernels.pulsed_update.numba_loops import BLOCK, TILE, count, draw, look, normals, order, tally, uniforms

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
    n, by = np.zeros(TILE, np.int32), np.zeros(TILE, np.int32)
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
'''

DRAW = """\
if drawn & 3 == 0:
    draw(words, by, first, (hits + 7) // 8 * 8, row, drawn >> 2, ordinal, key, purpose)
lane = (drawn & 3) * TILE
{fill}(words[lane : lane + TILE], noise[{at} * TILE : {end} * TILE], full)
drawn += 1"""


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


def loop_source(step: Step) -> str:
    """Return the source of a module with `update(first_row, last_row, w, *cell, *hidden, params, *tables, ...)` for this step."""
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
    draws = [DRAW.format(fill="normals" if at < step.normals else "uniforms", at=at, end=at + 1) for at in range(step.draws)]
    parts = {
        "read_params": [f"p_{name} = params[{at}]" for at, name in enumerate(step.params)],
        "gather": [f"real[{_at(at)}] = {'w' if name == 's_w' else 'all_' + name}[row, at]" for name, at in slot.items()],
        "draw": draws,
        "read": read,
        "body": lines,
        "write": write,
        "scatter": [f"{'w' if name == 's_w' else 'all_' + name}[row, at] = real[{_at(slot[name])}]" for name in changed],
    }
    text = LOOP
    for name, made in parts.items():
        text = insert(text, name, made)
    return text.format(
        numbers="\n".join(f"{name} = np.float32({value!r})" for name, value in numbers.items()),
        arrays="".join(f"all_{name}, " for name in arrays),
        tables="".join(f", p_{name}" for name in step.tables),
        table_arguments="".join(f"p_{name}, " for name in step.tables),
        reals=len(slot),
        draws=max(step.draws, 1),
    )


def insert(text: str, name: str, made: list[str]) -> str:
    """Put lines where the template names them, indented as it is there."""
    line = next(line for line in text.splitlines() if line.strip() == f"{{{name}}}")
    indent = line[: len(line) - len(line.lstrip())]
    return text.replace(line, textwrap.indent("\n".join(made).replace("{", "{{").replace("}", "}}") or "pass", indent))
