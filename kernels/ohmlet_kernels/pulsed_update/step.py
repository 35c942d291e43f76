"""A device's step as every engine gets it: one source, read and checked once, its maths bound to each engine's own."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["OPS", "Step", "StepError", "bound", "read_step"]

OPS = ("where", "exp", "log", "pow", "sqrt", "tanh", "abs", "minimum", "maximum", "interpolate")
"""What `ops` has, on every engine: where(c, a, b), exp, log, pow(a, b), sqrt, tanh, abs, minimum, maximum, interpolate(table, x)."""

ARGUMENTS = ("w", "up", "noise", "cell", "hidden", "params")

ALLOWED = (
    *(
        ast.Assign,
        ast.AugAssign,
        ast.AnnAssign,
        ast.Return,
        ast.Expr,
        ast.Name,
        ast.Load,
        ast.Store,
        ast.Constant,
        ast.Tuple,
        ast.Attribute,
    ),
    *(ast.Subscript, ast.Call, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.UAdd),
    *(ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.BitAnd, ast.BitOr),
)

TAKES = {"where": 3, "pow": 2, "minimum": 2, "maximum": 2, "interpolate": 2}
"""Arguments of those ops that take more than one."""

RESERVED = ("up", "noise", "cell", "hidden", "params", "ops")

WHOLE = {
    "cell": "cell.name",
    "hidden": "hidden.name, or return it as it is",
    "params": "params.name",
    "noise": "noise[0]",
    "ops": "ops.name(...)",
}
"""Names that hold several numbers, and how to read one."""

LARGEST = 2**53
"""The largest whole number that a float64 tells from its neighbours."""

INSTEAD: dict[type[ast.AST], str] = {
    ast.If: "compute both and choose with ops.where(condition, a, b)",
    ast.IfExp: "write ops.where(condition, a, b)",
    ast.BoolOp: "combine conditions with & and |",
    ast.Not: "turn the comparison round",
    ast.For: "a step is one closed-form expression; write the terms out",
    ast.While: "a step is one closed-form expression; write the terms out",
    ast.Pow: "write ops.pow(a, b), or a * a",
    ast.Mod: "write it with ops.where",
    ast.FloorDiv: "write it with /",
    ast.Lambda: "write the expression in place",
    ast.FunctionDef: "write the expression in place",
    ast.Import: "all maths comes from ops",
    ast.ImportFrom: "all maths comes from ops",
    ast.NamedExpr: "assign on a line of its own",
}


class StepError(ValueError):
    """A step that engines cannot compile, with its line and what to write instead."""


class Step(NamedTuple):
    """A device's step and the names of what it reads, in the order in which engines pass them."""

    function: Callable[..., Any]
    cell: tuple[str, ...]
    hidden: tuple[str, ...]
    params: tuple[str, ...]
    tables: tuple[str, ...]
    normals: int
    uniforms: int

    @property
    def draws(self) -> int:
        """Random words that one pulse takes."""
        return self.normals + self.uniforms


def bound(function: Callable[..., Any], ops: Any) -> Callable[..., Any]:
    """Return the step with its module global `ops` bound to an engine's own."""
    # A step imported from elsewhere keeps the globals of the module that wrote it.
    return types.FunctionType(function.__code__, {**function.__globals__, "ops": ops}, function.__name__)


def read_step(
    function: Callable[..., Any],
    cell: tuple[str, ...],
    hidden: tuple[str, ...],
    params: tuple[str, ...],
    tables: tuple[str, ...],
    normals: int,
    uniforms: int,
) -> Step:
    """Return the step with those cell parameters that it reads; raises StepError for what no engine could compile."""
    read = _checked(function, cell, hidden, params, tables, normals + uniforms)
    return Step(function, tuple(name for name in cell if name in read), hidden, params, tables, normals, uniforms)


@functools.lru_cache(maxsize=256)
def _checked(
    function: Callable[..., Any],
    cell: tuple[str, ...],
    hidden: tuple[str, ...],
    params: tuple[str, ...],
    tables: tuple[str, ...],
    draws: int,
) -> frozenset[str]:
    """Return the cell parameters that a step reads, after checking every line of it."""
    return _Check(function, {"cell": cell, "hidden": hidden, "params": (*params, *tables), "ops": OPS}, tables, draws).read()


class _Check:
    """One reading of a step's source, line by line, values before what they are assigned to."""

    def __init__(self, function: Callable[..., Any], known: dict[str, tuple[str, ...]], tables: tuple[str, ...], draws: int) -> None:
        self.function, self.known, self.tables, self.draws = function, known, tables, draws
        try:
            self.lines, self.first = inspect.getsourcelines(function)
            self.where = f"{inspect.getsourcefile(function)}"
            tree = ast.parse(textwrap.dedent("".join(self.lines))).body[0]
        except (OSError, TypeError) as error:
            name = getattr(function, "__qualname__", function)
            raise StepError(f"the source of step {name} cannot be read ({error}); put it in a file or a notebook cell") from None
        except (SyntaxError, IndexError):  # the middle of a statement, such as a lambda in brackets
            raise StepError("step must be a function written with def, on lines of its own") from None
        if not isinstance(tree, ast.FunctionDef):
            raise StepError(f"{self.where}:{self.first}: step must be a function written with def, not {type(tree).__name__}")
        self.tree = tree
        self.local, self.cells = set(ARGUMENTS), set[str]()
        # Where a bare name or a tuple is right, which the nodes themselves do not say.
        self.fitting: set[int] = set()

    def refused(self, node: ast.AST, problem: str) -> StepError:
        line = getattr(node, "lineno", self.tree.lineno)
        return StepError(f"{self.where}:{self.first + line - 1}: {problem}\n    {self.lines[line - 1].strip()}")

    def read(self) -> frozenset[str]:
        """Return the cell parameters that are read; raises StepError with the line for whatever no engine could compile."""
        arguments, function = self.tree.args, self.function
        names = tuple(argument.arg for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs])
        if names != ARGUMENTS or arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
            wanted = f"step takes ({', '.join(ARGUMENTS)}), in this order and without defaults, and is a staticmethod"
            raise self.refused(self.tree, f"{wanted}; this one takes ({ast.unparse(arguments)})")
        if function.__closure__:
            outer = ", ".join(function.__code__.co_freevars)
            raise self.refused(self.tree, f"step must not use variables of an enclosing function ({outer}); make them parameters")
        for number, statement in enumerate(self.tree.body):
            self.statement(statement, number == 0)
        self.returns()
        return frozenset(self.cells)

    def statement(self, node: ast.stmt, first: bool) -> None:
        """Check one line."""
        self.allowed(node, node)
        if isinstance(node, ast.Expr):
            if not (first and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
                raise self.refused(node, "this line has no effect; assign it or leave it out")
            return
        if isinstance(node, ast.Return):
            self.result(node)
        elif isinstance(node, ast.Assign):
            self.assignment(node)
        elif isinstance(node, ast.AnnAssign):
            if node.value is None:
                raise self.refused(node, "this line has no effect; assign it or leave it out")
            self.expression(node.value, node)
            self.target(node.target, node)
        elif isinstance(node, ast.AugAssign):
            if isinstance(node.target, ast.Name):
                self.name(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target), node)
            self.allowed(node.op, node)
            self.expression(node.value, node)
            self.target(node.target, node)

    def assignment(self, node: ast.Assign) -> None:
        """Check names on the left of one value, or of as many values."""
        for target in node.targets:
            names = target.elts if isinstance(target, ast.Tuple) else None
            values = node.value.elts if isinstance(node.value, ast.Tuple) else None
            if (names is None) != (values is None) or (names is not None and values is not None and len(names) != len(values)):
                raise self.refused(node, "assign one value to one name, or as many values as names: a step knows no tuples")
        self.fitting.add(id(node.value))
        self.expression(node.value, node)
        for target in node.targets:
            for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                self.target(name, node)

    def target(self, node: ast.expr, line: ast.AST) -> None:
        """Check what is assigned to."""
        if not isinstance(node, ast.Name):
            raise self.refused(line, f"step cannot assign to '{ast.unparse(node)}': return the new weight and hidden states instead")
        if node.id in RESERVED:
            raise self.refused(line, f"'{node.id}' is an argument of step, or ops; give what you assign a name of its own")
        self.local.add(node.id)

    def result(self, node: ast.Return) -> None:
        """Check what is returned, but for its shape."""
        if node.value is not None:
            self.fitting.add(id(node.value))
            if isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
                self.fitting.add(id(node.value.elts[1]))
            self.expression(node.value, node)

    def expression(self, node: ast.expr, line: ast.AST) -> None:
        """Check a value and all its parts."""
        self.allowed(node, line)
        if isinstance(node, ast.Attribute):
            self.attribute(node, line)
        elif isinstance(node, ast.Call):
            self.call(node, line)
        elif isinstance(node, ast.Subscript):
            self.subscript(node, line)
        elif isinstance(node, ast.Name):
            self.name(node, line)
        elif isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, int) and value > LARGEST):
                raise self.refused(line, f"step cannot use the constant {value!r}: numbers only, whole ones up to 2^53")
        elif isinstance(node, ast.Tuple) and id(node) not in self.fitting:
            raise self.refused(line, "a step knows no tuples but the hidden states that it returns")
        elif isinstance(node, ast.Compare) and len(node.ops) > 1:
            raise self.refused(line, "chained comparisons do not compile: write (a < b) & (b < c)")
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare | ast.Tuple | ast.BoolOp):
            for part in ast.iter_child_nodes(node):
                if isinstance(part, ast.expr):
                    self.expression(part, line)
                elif not isinstance(part, ast.expr_context):
                    self.allowed(part, line)
        if isinstance(node, ast.BinOp | ast.UnaryOp):
            self.operands(node, line)

    def operands(self, node: ast.BinOp | ast.UnaryOp, line: ast.AST) -> None:
        """Check that arithmetic is done with numbers, not with conditions."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            return
        for side in (node.left, node.right) if isinstance(node, ast.BinOp) else (node.operand,):
            if isinstance(side, ast.Compare) or (isinstance(side, ast.Name) and side.id == "up"):
                raise self.refused(line, f"'{ast.unparse(side)}' is a condition, not a number: write ops.where({ast.unparse(side)}, a, b)")

    def allowed(self, node: ast.AST, line: ast.AST) -> None:
        """Refuse what is no arithmetic, with what to write instead."""
        for kind, instead in INSTEAD.items():
            if isinstance(node, kind):
                raise self.refused(line, f"step cannot use '{type(node).__name__.lower()}': {instead}")
        if not isinstance(node, ALLOWED):
            raise self.refused(line, f"step cannot use '{type(node).__name__.lower()}': it is arithmetic, comparisons and ops only")

    def attribute(self, node: ast.Attribute, line: ast.AST) -> None:
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner not in self.known:
            raise self.refused(line, f"step reads attributes of cell, hidden, params and ops only, not of '{ast.unparse(node.value)}'")
        if node.attr not in self.known[owner]:
            has = ", ".join(self.known[owner]) or "nothing"
            raise self.refused(line, f"{owner} has no '{node.attr}' (it has {has})")
        if owner == "ops":
            raise self.refused(line, f"ops.{node.attr} is to be called, it is no number")
        if owner == "params" and node.attr in self.tables and id(node) not in self.fitting:
            raise self.refused(line, f"params.{node.attr} is a table: write ops.interpolate(params.{node.attr}, x) with x from 0 to 1")
        if owner == "cell":
            self.cells.add(node.attr)

    def call(self, node: ast.Call, line: ast.AST) -> None:
        if not (isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == "ops"):
            name = ast.unparse(node.func)
            hint = f"write ops.{_ops_name(name)}" if _ops_name(name) in OPS else f"use one of ops: {', '.join(OPS)}"
            raise self.refused(line, f"step cannot call '{name}': {hint}")
        name = node.func.attr
        if name not in OPS:
            raise self.refused(line, f"ops has no '{name}' (it has {', '.join(OPS)})")
        if node.keywords:
            raise self.refused(line, "ops take their arguments by position")
        if len(node.args) != TAKES.get(name, 1):
            raise self.refused(line, f"ops.{name} takes {TAKES.get(name, 1)} arguments, got {len(node.args)}")
        if name == "interpolate":
            table = node.args[0]
            if not (isinstance(table, ast.Attribute) and ast.unparse(table.value) == "params" and table.attr in self.tables):
                has = ", ".join(f"params.{each}" for each in self.tables) or "none"
                raise self.refused(line, f"ops.interpolate takes a table of the device first (it has {has}), got '{ast.unparse(table)}'")
            self.fitting.add(id(table))
        for argument in node.args:
            self.expression(argument, line)

    def subscript(self, node: ast.Subscript, line: ast.AST) -> None:
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if not (isinstance(node.value, ast.Name) and node.value.id == "noise" and type(index) is int):
            raise self.refused(line, "step can index noise only, by a number such as noise[0]")
        if not 0 <= index < self.draws:
            raise self.refused(line, f"noise[{index}] is not drawn: the device states {self.draws} draws a pulse (normals + uniforms)")

    def name(self, node: ast.Name, line: ast.AST) -> None:
        if node.id in WHOLE and not (node.id == "hidden" and id(node) in self.fitting):
            raise self.refused(line, f"'{node.id}' is no number: read {WHOLE[node.id]}")
        if node.id not in self.local:
            value = self.function.__globals__.get(node.id)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise self.refused(line, f"'{node.id}' is unknown here: step knows its arguments, ops, and numbers of its module")

    def returns(self) -> None:
        """Check that the last line returns the weight and the hidden states."""
        hidden, last = self.known["hidden"], self.tree.body[-1]
        found = [node for node in ast.walk(self.tree) if isinstance(node, ast.Return)]
        if len(found) != 1 or last is not found[0]:
            raise self.refused(last, "step ends with one return: the new weight and the hidden states")
        value = found[0].value
        if not isinstance(value, ast.Tuple) or len(value.elts) != 2:
            raise self.refused(last, "step returns two things: the new weight, and `hidden` or a tuple of the new hidden states")
        after = value.elts[1]
        if isinstance(after, ast.Name) and after.id == "hidden":
            return
        if not isinstance(after, ast.Tuple) or len(after.elts) != len(hidden):
            count = len(after.elts) if isinstance(after, ast.Tuple) else "no tuple"
            raise self.refused(
                last, f"step returns all hidden states in their order ({', '.join(hidden) or 'none'}), or `hidden` as it is; got {count}"
            )


def _ops_name(name: str) -> str:
    last = name.rsplit(".", 1)[-1]
    return {"min": "minimum", "max": "maximum", "fabs": "abs"}.get(last, last)
