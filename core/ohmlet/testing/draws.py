"""Whether a plugin draws from the stream it is handed and from nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ohmlet.testing.expect import expect

__all__ = ["addressed"]

T = TypeVar("T")

REMEDY = 'Draw from the stream that Ohmlet hands over: noise.normal("purpose", like) or noise.uniform("purpose", like).'


def _states() -> dict[str, bytes]:
    """Return the state of every generator that a plugin might draw from instead."""
    name, numbers, *rest = np.random.get_state()  # noqa: NPY002 - the legacy generator is one that plugins reach for
    return {
        "torch's generator": torch.get_rng_state().numpy().tobytes(),
        "Python's random module": repr(random.getstate()).encode(),
        "NumPy's global generator": repr((name, np.asarray(numbers).tolist(), rest)).encode(),
    }


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed all of them, and give them back afterwards as they were."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    # The generator itself, since torch.manual_seed would reseed every GPU, too.
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])  # noqa: NPY002


def _alike(first: object, second: object) -> bool:
    one, two = pytree.tree_leaves(first), pytree.tree_leaves(second)
    return len(one) == len(two) and all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
        for a, b in zip(one, two, strict=True)
    )


def addressed(call: Callable[[], T], words: str) -> T:
    """Return call()'s tensors when all its random numbers are addressed; raise AssertionError when some come from elsewhere.

    The call is made twice, under different seeds of torch, Python and NumPy: it must leave their states alone and return the same.
    """
    results = []
    for seed in (20250101, 7):
        with _seeded(seed):
            before = _states()
            results.append(call())
            touched = [name for name, state in _states().items() if state != before[name]]
            expect(not touched, f"{words} drew from {' and '.join(touched)}, so its numbers depend on the order of calls. {REMEDY}")
    expect(
        _alike(*results),
        f"{words} gave other numbers when called again with the same stream: it keeps a generator, a counter or a cache. {REMEDY}",
    )
    return results[0]
