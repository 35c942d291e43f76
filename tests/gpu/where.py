"""Where Triton's kernels run: on a GPU, or interpreted on CPU tensors with TRITON_INTERPRET=1."""

from __future__ import annotations

import warnings

import pytest
import torch

from ohmlet_tiles.engine_triton import interpreted

__all__ = ["DEVICE", "INTERPRETED", "MARKS", "OLD_INTERPRETER"]

triton = pytest.importorskip("triton", reason="triton is not installed")
tl = pytest.importorskip("triton.language")
INTERPRETED = interpreted()
DEVICE = "cpu" if INTERPRETED else "cuda"
OLD_INTERPRETER = "this Triton's interpreter needs an older numpy for loops of variable length"


@triton.jit
def counted(out, count):  # type: ignore[no-untyped-def]
    for at in range(count):
        tl.store(out + at, at)


def reason() -> str:
    """Return why Triton's kernels do not run here, if they do not."""
    if not INTERPRETED:
        return "" if torch.cuda.is_available() else "no GPU; TRITON_INTERPRET=1 runs these tests on Triton's interpreter"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            counted[(1,)](torch.zeros(3), 3)
    except triton.runtime.errors.InterpreterError as error:
        if "0-dimensional" in str(error):
            return OLD_INTERPRETER
        raise
    return ""


MARKS = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(reason()), reason=reason() or "none"),
    # Interpreted with numpy, which warns of what a `where` does not choose, and of how an older Triton asks for a number.
    pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning"),
]
