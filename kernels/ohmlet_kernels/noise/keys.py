"""Keys of the random streams: 64 bits hashed from what a stream belongs to, so that no order of construction matters."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["key", "purpose_word"]


def key(*parts: object) -> int:
    """Return the 64-bit key, as a signed integer, of a stream named by parts such as (seed, "layer1.0", "crossbar", 3)."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def purpose_word(purpose: str) -> int:
    """Return the 32-bit word (FNV-1a) that separates the draws of one stream by what they are for, such as "output noise"."""
    word = 0x811C9DC5
    # Plain arithmetic, which a compiler that traces the forward pass can follow.
    for character in purpose:
        word = ((word ^ ord(character)) * 0x01000193) & 0xFFFFFFFF
    return word
