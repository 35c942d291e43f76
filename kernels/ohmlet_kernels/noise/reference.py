"""Philox 4x32-10 words, uniforms and normals in plain torch: the definition that the other engines equal bit by bit."""

from __future__ import annotations

import torch
from torch import Tensor

from ohmlet_kernels.noise import constants as c

__all__ = ["normals", "philox", "uniforms", "words"]

MASK = 0xFFFFFFFF


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four 32-bit words for each 128-bit counter under a 64-bit key.

    Arguments are int64 tensors that hold 32-bit words and broadcast; int64 products wrap, so their bits are those of the unsigned ones.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(c.ROUNDS):
        p0, p1 = c0 * c.MULTIPLIER_0, c2 * c.MULTIPLIER_1
        c0, c1, c2, c3 = ((p1 >> 32) & MASK) ^ c1 ^ k0, p1 & MASK, ((p0 >> 32) & MASK) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + c.KEY_0) & MASK, (k1 + c.KEY_1) & MASK
    return c0, c1, c2, c3


def words(key: Tensor, purpose: int, ordinals: Tensor, rows: int, columns: int) -> Tensor:
    """Return the 32-bit words [K, S, rows, columns] (as int64) at the addresses (key, purpose, ordinal, row, column).

    `key` int64 [K], `ordinals` int64 [S] in [0, 2^44), `purpose` a 32-bit word. Column j is word j % 4 of the counter
    (j // 4 | ordinal's upper bits << 20, row, ordinal's lower 32 bits, purpose).
    """
    device = key.device
    quads = (columns + 3) // 4
    column = torch.arange(quads, device=device)
    row = torch.arange(rows, device=device)[:, None]
    ordinal = ordinals[:, None, None]
    counter = (column | ((ordinal >> 32) << c.COLUMN_BITS), row, ordinal & MASK, torch.tensor(purpose, device=device))
    lanes = key[:, None, None, None]
    out = torch.stack(torch.broadcast_tensors(*philox(counter, (lanes & MASK, (lanes >> 32) & MASK))), dim=-1)
    return out.expand(len(key), len(ordinals), rows, quads, 4).flatten(-2)[..., :columns]


def uniforms(word: Tensor) -> Tensor:
    """Return float32 uniforms in (0, 1), (2 (word >> 9) + 1) / 2^24: 2^23 values, symmetric about one half, never 0 or 1."""
    return ((word >> 9) * 2 + 1).to(torch.float32) * 2.0**-24


def normals(word: Tensor) -> Tensor:
    """Return float32 standard normals sqrt(2) erfinv(x), x = (2 (word >> 8) + 1) / 2^24 - 1 in (-1, 1), the largest being 5.42."""
    x = ((word >> 8) * 2 + 1 - (1 << 24)).to(torch.float32) * 2.0**-24
    t = (1.0 - x) * (1.0 + x)
    bits = t.view(torch.int32) - c.SQRT_HALF_BITS
    f = ((bits & 0x7FFFFF) + c.SQRT_HALF_BITS).view(torch.float32) - 1.0
    p = torch.full_like(f, c.LOG[-1])
    for coefficient in reversed(c.LOG[:-1]):
        p = p * f + coefficient
    w = -((bits >> 23).to(torch.float32) * c.LN2 + p * f)
    # torch's own float32 root is not correctly rounded on every CPU; through float64 it is, as the other engines' is.
    a, b = w - 2.5, torch.sqrt(w.to(torch.float64)).to(torch.float32) - 3.0
    centre, tail = torch.full_like(w, c.ERFINV_CENTRE[0]), torch.full_like(w, c.ERFINV_TAIL[0])
    for near, far in zip(c.ERFINV_CENTRE[1:], c.ERFINV_TAIL[1:], strict=True):
        centre, tail = centre * a + near, tail * b + far
    return x * c.SQRT2 * torch.where(w < 5.0, centre, tail)
