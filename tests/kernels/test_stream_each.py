"""A crossbar for each sample: keys that are hashed from a crossbar's key and a sample's number."""

from __future__ import annotations

import pytest
import torch

from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise.stream import STEP_BITS

MASK = 2**64 - 1


def mixed(word: int) -> int:
    """SplitMix64's finaliser in whole numbers without bound."""
    word &= MASK
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


def test_splitmix_gives_its_published_numbers() -> None:
    # The first outputs of the generator seeded with 1234567, whose state grows by the golden ratio: https://prng.di.unimi.it.
    golden = 0x9E3779B97F4A7C15
    assert [mixed(1234567 + n * golden) for n in (1, 2)] == [6457827717110365317, 3203168211198807973]


@pytest.mark.parametrize("key", [0, 1, -1, 2**62 + 5, -(2**63)])
def test_keys_are_those_of_whole_number_arithmetic(key: int) -> None:
    ordinals = torch.tensor([0, 1, 2**39, 2**40 - 1])
    found = Stream(torch.tensor([key, 7]), ordinals).each().key
    golden = 0x9E3779B97F4A7C15
    assert found.tolist() == [[signed(mixed(mixed(n + golden) + k)) for n in ordinals.tolist()] for k in (key, 7)]


def test_samples_draw_matrices_of_their_own_which_time_steps_share() -> None:
    ordinals, like = torch.arange(6) + 10, torch.zeros(3, 4)
    stream = Stream(torch.tensor(5), ordinals, torch.tensor([3]), "training")
    first, later = stream.each(), stream.at(ordinals + (2 << STEP_BITS)).each()
    drawn = first.shared().normal("modifier", like)
    assert drawn.shape == (6, 3, 4)
    assert len(drawn.flatten(1).unique(dim=0)) == 6
    assert torch.equal(later.shared().normal("modifier", like), drawn)
    vectors = torch.zeros(6, 1, 2, 4)
    assert not torch.equal(first.normal("output", vectors), later.normal("output", vectors))
    assert torch.equal(stream.at(torch.tensor([12])).each().shared().normal("modifier", like), drawn[2:3])


def test_a_stream_without_samples_has_none() -> None:
    for ordinals in (None, torch.arange(0)):
        with pytest.raises(ValueError, match="no samples"):
            Stream(torch.tensor(1), ordinals).each()
