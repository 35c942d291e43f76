"""A device's step is checked when the device is: what no engine could compile is refused with its line and what to write instead."""

from __future__ import annotations

import linecache
import textwrap
from typing import Any

import pytest
import torch

from ohmlet_kernels.pulsed_update import StepError, read_step
from ohmlet_kernels.pulsed_update.reference import stepper

HEAD = "def step(w, up, noise, cell, hidden, params):"


def defined(body: str, head: str = HEAD, name: str = "<notebook cell 1>", **names: object) -> Any:
    """Return a step as one that was typed into a notebook, whose source only linecache knows."""
    text = f"{head}\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"ops": None, **names}
    exec(compile(text, name, "exec"), namespace)
    return namespace["step"]


def check(function: Any) -> Any:
    return read_step(function, ("dw", "w_max"), ("heat",), ("sigma",), ("curve",), 1, 1)


REFUSED = [
    ("return w if up else -w, hidden", r"cell 1>:2: step cannot use 'ifexp': write ops.where\(condition, a, b\)\n    return w if up"),
    ("if up:\n    w = w + 1\nreturn w, hidden", r":2: step cannot use 'if': compute both and choose with ops.where"),
    ("for i in w:\n    w = w + i\nreturn w, hidden", "step cannot use 'for': .* write the terms out"),
    ("x = w\nx = x ** 2\nreturn x, hidden", r":3: step cannot use 'pow': write ops.pow\(a, b\), or a \* a\n    x = x \*\* 2"),
    ("return ops.where(not (w < 1), w, w), hidden", "step cannot use 'not': turn the comparison round"),
    ("return ops.where((w < 1) and up, w, w), hidden", "combine conditions with & and |"),
    ("return ops.where(0 < w < 1, w, w), hidden", r"chained comparisons do not compile: write \(a < b\) & \(b < c\)"),
    ("return w + up, hidden", r"'up' is a condition, not a number: write ops.where\(up, a, b\)"),
    ("return w + (w < 0), hidden", r"'w < 0' is a condition, not a number"),
    ("return w + max(w, 0.0), hidden", "step cannot call 'max': write ops.maximum"),
    ("return w + np.exp(w), hidden", "step cannot call 'np.exp': write ops.exp"),
    ("return ops.sin(w), hidden", "ops has no 'sin' "),
    ("return ops.where(up), hidden", "ops.where takes 3 arguments, got 1"),
    ("return ops.where(up, a=w, b=w), hidden", "ops take their arguments by position"),
    ("return w + ops.exp, hidden", "ops.exp is to be called, it is no number"),
    ("return w + cell.dz, hidden", r"cell has no 'dz' \(it has dw, w_max\)"),
    ("return w + cell, hidden", "'cell' is no number: read cell.name"),
    ("return w + noise, hidden", r"'noise' is no number: read noise\[0\]"),
    ("return w + noise[2], hidden", r"noise\[2\] is not drawn: the device states 2 draws a pulse"),
    ("return w + noise[-1], hidden", "step can index noise only, by a number"),
    ("return w + params.curve, hidden", r"params.curve is a table: write ops.interpolate\(params.curve, x\)"),
    ("return ops.interpolate(params.sigma, w), hidden", "takes a table of the device first .* got 'params.sigma'"),
    ("return w + K, hidden", "'K' is unknown here: step knows its arguments, ops, and numbers of its module"),
    ("y = x\nx = w\nreturn y, hidden", ":2: 'x' is unknown here"),
    ("x += w\nreturn x, hidden", ":2: 'x' is unknown here"),
    ("cell = w\nreturn cell, hidden", "'cell' is an argument of step, or ops; give what you assign a name of its own"),
    ("cell.dw = w\nreturn w, hidden", "step cannot assign to 'cell.dw'"),
    ("a = (w, w)\nreturn w, hidden", "a step knows no tuples"),
    ("w + 1\nreturn w, hidden", "this line has no effect"),
    ("x: float\nreturn w, hidden", "this line has no effect"),
    ("return w + 'a', hidden", "step cannot use the constant 'a'"),
    ("return w + 100000000000000000000, hidden", r"whole ones up to 2\^53"),
    ("x = w", "step ends with one return"),
    ("return w", "step returns two things"),
    ("return w, hidden.heat", r"step returns all hidden states in their order \(heat\), or `hidden` as it is; got no tuple"),
    ("return w, (hidden.heat, w)", "got 2"),
    ("return w, (hidden,)", "'hidden' is no number"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_refused_with_line_and_remedy(body: str, message: str) -> None:
    with pytest.raises(StepError, match=message):
        check(defined(body, np=torch))


@pytest.mark.parametrize("head", ["def step(self, w, up):", HEAD.replace("params", "params, k=3"), HEAD.replace("params", "*params")])
def test_other_arguments_are_refused(head: str) -> None:
    with pytest.raises(StepError, match=r"step takes \(w, up, noise, cell, hidden, params\), in this order"):
        check(defined("return w, hidden", head))


ACCEPTED = [
    ("return w + cell.dw, hidden", ("dw",)),
    ("'''What it does.'''\nreturn w, (hidden.heat,)", ()),
    ("x: float = w\nx *= 2\nreturn x + noise[0] * params.sigma, (x,)", ()),
    ("a, b = w, cell.w_max\nreturn ops.where((w < a) & up, a, b), hidden", ("w_max",)),
    ("return w * ops.interpolate(params.curve, w) + SCALE, hidden", ()),
    ("w = ops.minimum(w, 1e30)\nreturn w, hidden", ()),
]


@pytest.mark.parametrize(("body", "reads"), ACCEPTED)
def test_accepted_from_a_notebook(body: str, reads: tuple[str, ...]) -> None:
    assert check(defined(body, SCALE=2.0)).cell == reads


def test_what_is_accepted_runs() -> None:
    step = check(defined("a, b = w, cell.w_max\nreturn ops.where((w < b) & up, a + SCALE, b), (a,)", SCALE=2.0))
    w = torch.tensor([0.1, 5.0])
    after, hidden = stepper(step)(w, torch.tensor([True, True]), (), (torch.ones(2),), (w * 0,), (0.5,), ((1.0,),))
    assert after.tolist() == pytest.approx([2.1, 1.0])
    assert hidden[0].tolist() == w.tolist()


def test_variables_of_an_enclosing_function_are_refused() -> None:
    inner = 3.0

    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        return w + inner, hidden

    with pytest.raises(StepError, match=r"must not use variables of an enclosing function \(inner\); make them parameters"):
        check(step)


def test_without_source_or_def() -> None:
    namespace: dict[str, Any] = {}
    exec(f"{HEAD} return w, hidden", namespace)
    with pytest.raises(StepError, match=r"cannot be read .* put it in a file or a notebook cell"):
        check(namespace["step"])
    with pytest.raises(StepError, match="step must be a function written with def"):
        check(lambda w, up, noise, cell, hidden, params: (w, hidden))
