"""How tile `circuit` finds currents: by solving the circuit for each input, or once, for a matrix that stands for it."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ohmlet.spec import boolean, integer, number

__all__ = ["Exact", "Solve", "Surrogate"]


@frozen(kw_only=True)
class Exact:
    """Every input is solved for; where cells are linear and inputs outnumber lines, by way of a unit input on each line."""

    type_name: ClassVar[str] = "exact"


@frozen(kw_only=True)
class Surrogate:
    """The circuit is solved once for the effective conductances that its outputs amount to, which then multiply all inputs.

    Exact for linear cells. Cells of a nonlinear law become resistors, fitted to their currents at the voltages that random inputs,
    uniform up to full scale, put over them; inputs go through the curve of a typical device. It is fitted anew when conductances change.
    """

    type_name: ClassVar[str] = "surrogate"
    positive: bool = boolean(False, "random inputs from 0 to full scale, as behind a ReLU, instead of both signs")
    samples: int = integer(8, "random inputs that it is fitted to, and as many others that measure its error", ge=1)
    tolerance: float = number(0.02, "error on the others, relative to their outputs' norm, above which it warns", gt=0.0)


Solve = Exact | Surrogate
