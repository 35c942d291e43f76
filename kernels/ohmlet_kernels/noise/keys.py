"""Keys of the random streams: 64 bits hashed from what a stream belongs to, so that no order of construction matters."""

from __future__ import annotations

import functools
from hashlib import blake2b

__all__ = ["key", "purpose_word"]


def key(*parts: object) -> int:
    """Return the 64-bit key, as a signed integer, of a stream named by parts such as (seed, "layer1.0", "crossbar", 3)."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@functools.lru_cache(maxsize=4096)
def purpose_word(purpose: str) -> int:
    """Return the 32-bit word that separates the draws of one stream by what they are for, such as "output noise"."""
    return int.from_bytes(blake2b(purpose.encode(), digest_size=4).digest(), "little")
