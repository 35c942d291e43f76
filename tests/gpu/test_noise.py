"""Words, uniforms and normals on Triton have the reference's bits."""

from __future__ import annotations

from typing import Any

from tests.gpu.where import DEVICE, INTERPRETED, MARKS  # isort: skip - skips without Triton

import pytest
import torch
import triton
import triton.language as tl

from ohmlet_kernels.noise import reference
from ohmlet_kernels.noise.triton import address, normals, philox, uniforms

pytestmark = MARKS

OPTIONS: dict[str, Any] = {"enable_fp_fusion": False}
PURPOSE = 0x89ABCDEF
# A number depends on a word's upper 23 or 24 bits alone; the interpreter looks at one in 61 of them.
EVERY = 61 if INTERPRETED else 1


@triton.jit  # type: ignore[untyped-decorator]
def drawn(key_at, ordinals, out, purpose, rows, quads, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Fill out int64 [S, rows, quads, 4]."""
    at = tl.arange(0, BLOCK)
    inside = at < rows * quads
    ordinal = tl.load(ordinals + tl.program_id(0))
    c0, c1, c2, c3 = address(at % quads, at // quads, ordinal, purpose)
    key = tl.load(key_at)
    words = philox(c0, c1, c2, c3, key.to(tl.uint32), (key >> 32).to(tl.uint32))
    place = out + (tl.program_id(0) * rows * quads + at) * 4
    for lane in tl.static_range(4):
        tl.store(place + lane, words[lane].to(tl.int64), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def numbers(words, normal, uniform, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    word = tl.load(words + at, mask=at < count, other=0).to(tl.uint32)
    tl.store(normal + at, normals(word), mask=at < count)
    tl.store(uniform + at, uniforms(word), mask=at < count)


@pytest.mark.parametrize("key", [0, -1, -(2**63), 0x123456789ABCDEF])
def test_words_lie_at_their_addresses(key: int) -> None:
    ordinals = torch.tensor([0, 1, 2**32 - 1, 2**32, 2**40 + 12345, 2**44 - 1])
    expected = reference.words(torch.tensor([key]), PURPOSE, ordinals, 5, 12)[0]
    out = torch.full((6, 5, 3, 4), -1, device=DEVICE)
    drawn[(6,)](torch.tensor([key], device=DEVICE), ordinals.to(DEVICE), out, PURPOSE - 2**32, 5, 3, 16, **OPTIONS)
    assert torch.equal(out.cpu().flatten(-2), expected)


def test_every_possible_word_gives_the_references_number() -> None:
    words = torch.cat([torch.arange(0, 2**24, EVERY), torch.tensor([0, 2**24 - 1])]) << 8
    count, block = len(words), 2**19 if INTERPRETED else 1024
    normal, uniform = (torch.full((count,), torch.nan, device=DEVICE) for _ in range(2))
    numbers[(triton.cdiv(count, block),)](words.to(DEVICE), normal, uniform, count, block, **OPTIONS)
    assert torch.equal(normal.cpu().view(torch.int32), reference.normals(words).view(torch.int32))
    assert torch.equal(uniform.cpu().view(torch.int32), reference.uniforms(words).view(torch.int32))
