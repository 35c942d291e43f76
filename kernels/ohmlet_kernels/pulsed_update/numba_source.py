"""From a device's step to the source of an update loop of its own: the step's lines inside, its numbers in float32."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from ohmlet_kernels.pulsed_update.numba_blocks import STATE
from ohmlet_kernels.pulsed_update.numba_template import ANY_ROWS, DRAW, FOUR_PULSES, LOOP, ONE_ROW
from ohmlet_kernels.pulsed_update.step import Step

__all__ = ["flat_body", "insert", "loop_source"]


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
