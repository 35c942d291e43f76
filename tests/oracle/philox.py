"""Philox 4x32-10 on Python integers, after Salmon et al., SC11 (2011), and the addresses that Ohmlet gives its counters."""

from __future__ import annotations

MASK = 2**32 - 1


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the four output words of ten rounds."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def word(key: int, purpose: int, ordinal: int, row: int, column: int) -> int:
    """Return the word at an address: column j is word j % 4 of counter (j // 4 | ordinal >> 32 << 20, row, ordinal % 2^32, purpose)."""
    unsigned = key % 2**64
    counter = (column // 4 + (ordinal >> 32) * 2**20, row, ordinal & MASK, purpose)
    return philox(counter, (unsigned & MASK, unsigned >> 32))[column % 4]
