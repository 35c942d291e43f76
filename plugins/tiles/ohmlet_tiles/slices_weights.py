"""Weights as whole codes cut into slices: which digits lie on which crossbar, and what each of them counts."""

from __future__ import annotations

from typing import Any

import torch
from attrs import Attribute, field, frozen
from torch import Tensor

from ohmlet.errors import ConfigError, shortened

__all__ = ["SIGNS", "UNIPOLAR", "WeightSlices", "slice_widths", "widths"]

SIGNS = ("balanced", "balanced_digital", "offset", "unit_column", "twos_complement", "unsigned")
UNIPOLAR = frozenset(SIGNS) - {"balanced"}
"""Ways of holding signs whose cells hold digits from zero up."""


def slice_widths(default: tuple[int, ...] | None, doc: str) -> Any:
    """Return an attrs field for the widths of slices in bits, lowest slice first; lists become tuples, and None makes it optional."""

    def plain(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and default is None:
            return
        whole = isinstance(value, tuple) and bool(value) and all(type(each) is int for each in value)
        if not whole or not all(1 <= each <= 16 for each in value):  # type: ignore[attr-defined]
            raise ValueError(f"'{attribute.name}' must be a list of whole numbers from 1 to 16 [bit]: {shortened(value)}")

    return field(default=default, converter=plain, validator=check, metadata={"unit": "bit", "doc": doc})


def widths(stated: tuple[int, ...], bits: int, words: str) -> tuple[int, ...]:
    """Return the widths of the slices of `bits` bits: as stated, or one stated width for all, the highest slice taking what is left.

    Raises ConfigError for widths that do not add up.
    """
    if len(stated) == 1 and stated[0] < bits:
        full, rest = divmod(bits, stated[0])
        return stated * full + ((rest,) if rest else ())
    if sum(stated) != bits:
        raise ConfigError(
            f"slice_bits {list(stated)} are {sum(stated)} bits, and {words} {bits}: let them add up, or state one width for all"
        )
    return stated


@frozen(kw_only=True)
class WeightSlices:
    """How weights in [-1, 1] become digits on crossbars.

    With Q = 2^(bits - 1) - 1 (2^bits - 1 unsigned) and the code q = round(Q w),

        balanced            q = sum_k 2^s_k d_k        d_k = sign(q) times a digit of |q|: a cell holds either sign
        balanced_digital    q = sum_k 2^s_k (d_k+ - d_k-)   digits of max(+-q, 0) on crossbars of their own
        offset              q = sum_k 2^s_k d_k - Q    digits of q + Q; Q times the sum of the inputs is subtracted digitally
        unit_column         as offset, the subtracted part being read from one more column that holds the digits of Q
        twos_complement     q = sum_k 2^s_k d_k - 2^(bits - 1) d_sign    the sign's bit on a crossbar of its own
        unsigned            q = sum_k 2^s_k d_k        for weights that are never negative

    A cell of a slice of b bits holds d / (2^b - 1). Without `bits` weights are not rounded and there is one slice.
    """

    bits: int | None
    slice_bits: tuple[int, ...] | None
    signs: str

    def __attrs_post_init__(self) -> None:
        if self.bits is None and self.signs == "twos_complement":
            raise ConfigError("signs twos_complement needs weight_bits")
        if self.bits is None and self.slice_bits is not None:
            raise ConfigError(f"slice_bits {list(self.slice_bits)} has no effect without weight_bits, which it divides")
        self.layout()

    @property
    def levels(self) -> float:
        """Q, the code of a weight of 1; 1 where weights are not rounded."""
        return 1.0 if self.bits is None else 2.0 ** (self.bits if self.signs == "unsigned" else self.bits - 1) - 1.0

    @property
    def offset(self) -> bool:
        """Whether codes are held with Q added."""
        return self.signs in {"offset", "unit_column"}

    @property
    def unit_rows(self) -> int:
        """Further columns of a crossbar (rows of its matrix)."""
        return int(self.signs == "unit_column")

    def layout(self) -> list[tuple[int, int]]:
        """Return (shift, width) of the digits of a code, lowest first, the sign's bit of two's complement left out."""
        if self.bits is None:
            return [(0, 1)]
        magnitude = self.bits if self.signs in {"offset", "unit_column", "unsigned"} else self.bits - 1
        if self.slice_bits is None:
            return [(0, magnitude)]
        words = f"codes of {self.bits} bits with signs {self.signs} have"
        found, shift = [], 0
        for width in widths(self.slice_bits, magnitude, words):
            found.append((shift, width))
            shift += width
        return found

    def factors(self) -> list[float]:
        """Return what the product of each crossbar counts, in codes."""
        if self.bits is None:
            own = [2.0 if self.offset else 1.0]
        else:
            own = [2.0**shift * (2.0**width - 1.0) for shift, width in self.layout()]
        if self.signs == "balanced_digital":
            return own + [-each for each in own]
        return [*own, -(2.0 ** (self.bits - 1))] if self.signs == "twos_complement" and self.bits is not None else own

    def units(self) -> list[float | None]:
        """Return the smallest difference of two digits on each crossbar, None where they are not whole."""
        if self.bits is None:
            return [None] * len(self.factors())
        own: list[float | None] = [1.0 / (2.0**width - 1.0) for _, width in self.layout()]
        return own * 2 if self.signs == "balanced_digital" else [*own, 1.0][: len(self.factors())]

    def __call__(self, w: Tensor) -> list[Tensor]:
        """Return what each crossbar holds, [..., out + unit_rows, in] in [0, 1] (balanced: [-1, 1]).

        The gradient is shared by the crossbars in proportion to what they count, so that that of sum_p factor_p plane_p is that of Q w.
        Raises ConfigError for negative weights where none can be held.
        """
        if self.signs == "unsigned" and not torch.compiler.is_compiling() and bool((w < 0).any()):
            raise ConfigError(f"signs unsigned holds no negative weights, and {int((w < 0).sum())} of {w.numel()} are")
        exact = w.clamp(-1.0, 1.0) * self.levels
        q = torch.round(exact.detach()) if self.bits is not None else exact.detach()
        factors = self.factors()
        norm = sum(factor**2 for factor in factors)
        change = exact - exact.detach()
        planes = self._digits(q)
        if w.requires_grad:
            planes = [plane + factor / norm * change for plane, factor in zip(planes, factors, strict=True)]
        if self.unit_rows:
            zeros = self._digits(torch.zeros_like(q[..., :1, :]))
            planes = [torch.cat((plane, unit), -2) for plane, unit in zip(planes, zeros, strict=True)]
        return planes

    def _digits(self, q: Tensor) -> list[Tensor]:
        """Return the digits of codes on each crossbar, in [0, 1] or [-1, 1]."""
        if self.signs == "balanced_digital":
            return [digit for part in (q, -q) for digit in self._cut(part.clamp_min(0.0))]
        if self.signs == "balanced":
            return [q.sign() * digit for digit in self._cut(q.abs())]
        if self.offset:
            return self._cut(q + self.levels)
        if self.signs == "twos_complement" and self.bits is not None:
            negative = (q < 0).to(q.dtype)
            return [*self._cut(q + negative * 2.0 ** (self.bits - 1)), negative]
        return self._cut(q)

    def _cut(self, code: Tensor) -> list[Tensor]:
        if self.bits is None:
            return [code / 2.0 if self.offset else code]
        return [torch.remainder(torch.floor(code / 2.0**shift), 2.0**width) / (2.0**width - 1.0) for shift, width in self.layout()]
