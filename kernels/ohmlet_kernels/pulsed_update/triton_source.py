"""From a device's step to a Triton kernel of its own: a program keeps a block of cells on chip and goes through all samples and pulses."""

from __future__ import annotations

import ast
import functools
import linecache
import math
import types
from hashlib import blake2b
from typing import Any

from ohmlet_kernels.pulsed_update.numba_source import flat_body, insert
from ohmlet_kernels.pulsed_update.step import Step

__all__ = ["kernel_source", "update_kernel"]

KERNEL = """\
import triton
import triton.language as tl

from ohmlet_kernels.noise.triton import normals, philox, uniforms
from ohmlet_kernels.pulsed_update import ops_triton as ops
from ohmlet_kernels.pulsed_update.triton_loops import column_counter, count, halves, row_counter


@triton.jit(do_not_specialize=["purpose", "samples", "rows", "columns", "looks"])
def update(
    w_all, {arguments}x_all, d_all, period_all, x_signs, d_signs, ordinals, key_at, pulses_all, touched_all, looks_after, looks_at, seen,
    purpose, samples, rows, columns, looks,
    {lasts}WORDS: tl.constexpr, SELECT: tl.constexpr, COUNTED: tl.constexpr, TOUCHED: tl.constexpr, BY_COLUMNS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):
    across = tl.cdiv(columns, BLOCK_N)
    row = (tl.program_id(0) // across * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    column = (tl.program_id(0) % across * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    inside = (row < rows) & (column < columns)
    place = row * columns + column
    {gather}
    k0, k1 = halves(key_at)
    c3 = purpose.to(tl.uint32)
    ups, downs = tl.zeros((BLOCK_M, BLOCK_N), tl.int64), tl.zeros((BLOCK_M, BLOCK_N), tl.int64)
    hit_ever = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
    # Looks part the samples into stretches; without a look there is one.
    for looked in range(0, looks + 1):
        begin = tl.load(looks_after + looked - 1, mask=looked > 0, other=0)
        end = tl.load(looks_after + looked, mask=looked < looks, other=samples)
        for sample in range(tl.minimum(begin, samples).to(tl.int32), tl.minimum(end, samples).to(tl.int32)):
            n, up = count(x_all, d_all, period_all, x_signs, d_signs, sample, row, column, rows, columns, WORDS, SELECT)
            s_up = up
            ordinal = tl.load(ordinals + sample)
            c0, c2 = column_counter(column, ordinal), ordinal.to(tl.uint32)
            {unread}
            for pulse in range(0, tl.max(tl.max(n, 1), 0)):
                {draw}
                hit = pulse < n
                s_w = old_w
                {body}
                {write}
            if COUNTED:
                ups += tl.where(up, n, 0)
                downs += tl.where(up, 0, n)
            if TOUCHED:
                hit_ever |= n
        if looked < looks:
            which = tl.load(looks_at + looked)
            start = seen + tl.cast(looked, tl.int64) * (rows if BY_COLUMNS else columns)
            if BY_COLUMNS:
                tl.store(start + row + 0 * column, old_w, mask=inside & (column == which))
            else:
                tl.store(start + column + 0 * row, old_w, mask=inside & (row == which))
    {scatter}
    if COUNTED:
        area = tl.cast(rows, tl.int64) * columns
        tl.store(pulses_all + place, tl.load(pulses_all + place, mask=inside, other=0) + ups, mask=inside)
        tl.store(pulses_all + area + place, tl.load(pulses_all + area + place, mask=inside, other=0) + downs, mask=inside)
    if TOUCHED:
        tl.store(touched_all + place, hit_ever > 0, mask=inside & (hit_ever > 0))
"""


class _Triton(ast.NodeTransformer):
    """Numbers in place of their names, correctly rounded division, and tables with the number of their last node."""

    def __init__(self, numbers: dict[str, float]) -> None:
        self.numbers = numbers

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Write a number in place."""
        return ast.Constant(self.numbers[node.id]) if node.id in self.numbers else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Replace a division."""
        self.generic_visit(node)
        return _call("divide", node.left, node.right) if isinstance(node.op, ast.Div) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        """Write out an assignment that divides."""
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        assert isinstance(node.target, ast.Name)
        return ast.Assign([node.target], _call("divide", ast.Name(node.target.id, ast.Load()), node.value))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Hand `interpolate` the number of its table's last node."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "interpolate":
            table = node.args[0]
            assert isinstance(table, ast.Name)
            node.args.insert(1, ast.Name(f"LAST_{table.id}", ast.Load()))
        return node


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(ast.Name("ops", ast.Load()), name, ast.Load()), list(arguments), [])


def _rewritten(line: str, numbers: dict[str, float]) -> str:
    return ast.unparse(ast.fix_missing_locations(_Triton(numbers).visit(ast.parse(line))))


def _draws(step: Step) -> list[str]:
    """Return the lines that draw a pulse's numbers: four words from a counter, kept until they are used up."""
    if not step.draws:
        return []
    lines = [f"drawn = pulse * {step.draws}"]
    aligned = math.gcd(step.draws, 4)
    for at in range(step.draws):
        # The other numbers of a pulse never are the first of four.
        if at % aligned == 0:
            lines += [
                f"if (drawn + {at}) & 3 == 0:",
                f"    r0, r1, r2, r3 = philox(c0, row_counter(row, (drawn + {at}) >> 2), c2, c3, k0, k1)",
            ]
        lines += [f"n_{at} = {'normals' if at < step.normals else 'uniforms'}(r0)", "r0, r1, r2, r3 = r1, r2, r3, r0"]
    return lines


def kernel_source(step: Step) -> str:
    """Return the source of a module with the kernel `update` for this step."""
    lines, results, numbers = flat_body(step)
    arrays = [f"c_{name}" for name in step.cell] + [f"h_{name}" for name in step.hidden]
    load = "tl.load({} + place, mask=inside, other=0.0)"
    changed = ["old_w", *(f"h_{name}" for name in step.hidden[: len(results) - 1])]
    write = [f"r_{at} = {_rewritten(result, numbers)}" for at, result in enumerate(results)]
    write += [f"{name} = tl.where(hit, r_{at}, {name}).to(tl.float32)" for at, name in enumerate(changed)]
    parts = {
        "gather": [f"old_w = {load.format('w_all')}", *(f"{name} = {load.format('all_' + name)}" for name in arrays)],
        "unread": [f"r{at} = tl.zeros((BLOCK_M, BLOCK_N), tl.uint32)" for at in range(4)] if step.draws else [],
        "draw": _draws(step),
        "body": [_rewritten(line, numbers) for line in lines],
        "write": write,
        "scatter": [f"tl.store({'w_all' if name == 'old_w' else 'all_' + name} + place, {name}, mask=inside)" for name in changed],
    }
    text = KERNEL
    for name, made in parts.items():
        text = insert(text, name, made)
    names = [*(f"all_{name}" for name in arrays), *(f"p_{name}" for name in (*step.params, *step.tables))]
    return text.format(
        arguments="".join(f"{name}, " for name in names),
        lasts="".join(f"LAST_p_{name}: tl.constexpr, " for name in step.tables),
    )


@functools.lru_cache(maxsize=256)
def update_kernel(step: Step) -> Any:
    """Return the kernel of a device's step, which Triton compiles, and keeps for later processes, at its first launch."""
    source = kernel_source(step)
    name = f"ohmlet_step_{blake2b(source.encode(), digest_size=12).hexdigest()}"
    path = f"<{name}>"
    # Triton reads a kernel's source where tracebacks do.
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    module: Any = types.ModuleType(name)
    exec(compile(source, path, "exec"), module.__dict__)  # the step's own lines, checked when the device was built
    return module.update
