from __future__ import annotations

import numpy as np
import pytest
import torch

from ohmlet_kernels.noise import Stream, key, reference
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.noise.op import philox_normal, philox_uniform
from tests.oracle import philox as oracle

# Random123's kat_vectors for philox4x32 with 10 rounds: counter, key, result.
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
SHAPES = [(1, 1), (1, 5), (3, 4), (7, 3), (0, 6), (6, 0), (513, 257), (1, 2049), (2049, 1)]


@pytest.mark.parametrize(("counter", "keys", "words"), PUBLISHED)
def test_the_published_vectors_come_out(
    counter: tuple[int, int, int, int], keys: tuple[int, int], words: tuple[int, int, int, int]
) -> None:
    compiled = pytest.importorskip("ohmlet_kernels.noise.numba")
    assert oracle.philox(counter, keys) == words
    c0, c1, c2, c3 = (torch.tensor(word) for word in counter)
    assert tuple(int(word) for word in reference.philox((c0, c1, c2, c3), (torch.tensor(keys[0]), torch.tensor(keys[1])))) == words
    assert tuple(int(word) for word in compiled.philox(*map(np.uint64, (*counter, *keys)))) == words


@pytest.mark.parametrize("stream", [0, 1, -1, 2**63 - 1, -(2**63), 0x123456789ABCDEF])
@pytest.mark.parametrize("ordinal", [0, 1, 2**32 - 1, 2**32, 2**40 + 12345, 2**44 - 1])
def test_words_lie_at_the_addresses_that_the_layout_states(stream: int, ordinal: int) -> None:
    words = reference.words(torch.tensor([stream]), 0xDEADBEEF, torch.tensor([ordinal]), 3, 7)
    assert words.shape == (1, 1, 3, 7)
    for row in range(3):
        for column in range(7):
            assert int(words[0, 0, row, column]) == oracle.word(stream, 0xDEADBEEF, ordinal, row, column)


def test_the_last_column_that_fits_has_an_address_of_its_own() -> None:
    columns = 4 << 20
    words = reference.words(torch.tensor([5]), 9, torch.tensor([1]), 1, columns)
    assert int(words[0, 0, 0, -1]) == oracle.word(5, 9, 1, 0, columns - 1)
    with pytest.raises(ValueError, match=f"a crossbar has {columns + 1} columns; addressed noise serves at most {columns}"):
        philox_normal(torch.tensor([5]), 9, torch.tensor([1]), 1, columns + 1)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("gaussian", [True, False])
def test_numba_equals_the_reference_bit_for_bit(rows: int, columns: int, gaussian: bool) -> None:
    pytest.importorskip("numba")
    keys = torch.tensor([key("a"), key("b"), -1])
    ordinals = torch.tensor([0, 7, 2**32 + 3, 2**44 - 1])
    drawn = (philox_normal if gaussian else philox_uniform)(keys, purpose_word("odd shapes"), ordinals, rows, columns)
    words = reference.words(keys, purpose_word("odd shapes"), ordinals, rows, columns)
    expected = (reference.normals if gaussian else reference.uniforms)(words)
    assert drawn.dtype == torch.float32
    assert drawn.shape == (3, 4, rows, columns)
    assert torch.equal(drawn.view(torch.int32), expected.view(torch.int32))


@pytest.mark.parametrize("gaussian", [True, False])
def test_numba_equals_the_reference_at_random_addresses(gaussian: bool) -> None:
    pytest.importorskip("numba")
    generator = torch.Generator().manual_seed(11)
    keys = torch.empty(5, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    ordinals = torch.randint(2**44, (6,), generator=generator)
    purpose = int(torch.randint(2**32, (), generator=generator))
    drawn = (philox_normal if gaussian else philox_uniform)(keys, purpose, ordinals, 97, 101)
    expected = (reference.normals if gaussian else reference.uniforms)(reference.words(keys, purpose, ordinals, 97, 101))
    assert torch.equal(drawn.view(torch.int32), expected.view(torch.int32))


def test_numba_takes_strided_keys_and_ordinals() -> None:
    keys, ordinals = torch.arange(8)[::2], torch.arange(9)[::3]
    assert torch.equal(philox_normal(keys, 1, ordinals, 2, 3), philox_normal(keys.clone(), 1, ordinals.clone(), 2, 3))


@pytest.mark.parametrize("gaussian", [True, False])
def test_every_possible_word_gives_the_same_number_on_both_engines(gaussian: bool) -> None:
    numba = pytest.importorskip("ohmlet_kernels.noise.numba")
    # A number depends on a word's upper 23 or 24 bits alone, so this is all of them.
    words = torch.arange(2**24) << 8
    expected = (reference.normals if gaussian else reference.uniforms)(words)
    z = words.to(torch.uint32).numpy()
    y = np.empty(z.shape, np.float32)
    (numba._normals if gaussian else numba._uniforms)(z, y, len(z))
    assert np.array_equal(y.view(np.int32), expected.numpy().view(np.int32))


def test_streams_of_one_model_address_by_key_path_purpose_and_event() -> None:
    like = torch.zeros(6, 5)
    stream = Stream(torch.tensor(3))
    same = stream.normal("a", like)
    others = [
        Stream(torch.tensor(4)).normal("a", like),
        stream.normal("b", like),
        stream.child("c").normal("a", like),
        stream._replace(event=torch.tensor([1])).normal("a", like),
    ]
    assert torch.equal(same, Stream(torch.tensor(3), event=torch.tensor([0])).normal("a", like))
    assert all(not torch.equal(same, other) for other in others)
    assert torch.equal(stream.child("c").child("d").normal("a", like), stream.child("c/d").normal("a", like))


@pytest.mark.parametrize("leading", [(), (4,), (4, 2)])
@pytest.mark.parametrize("samples", [None, 3])
def test_a_stream_returns_one_matrix_per_key_and_sample(leading: tuple[int, ...], samples: int | None) -> None:
    keys = torch.arange(int(np.prod(leading)) if leading else 1).reshape(leading)
    stream = Stream(keys, None if samples is None else torch.arange(samples))
    like = torch.zeros(*(() if samples is None else (samples,)), 6, 5, dtype=torch.float64)
    drawn = stream.uniform("x", like)
    assert drawn.shape == (*leading, *like.shape)
    assert drawn.dtype == torch.float64


def test_asking_a_stream_for_other_samples_than_its_own_says_so() -> None:
    stream = Stream(torch.tensor(3), torch.arange(4))
    with pytest.raises(ValueError, match=r"noise for 4 samples asked with a tensor of shape \(3, 2, 2\)"):
        stream.normal("x", torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match="noise for 4 samples"):
        stream.normal("x", torch.zeros(4, 2))
    assert stream.shared().normal("x", torch.zeros(2, 2)).shape == (2, 2)


def test_numbers_do_not_depend_on_batch_instances_rows_or_columns() -> None:
    keys, ordinals = torch.arange(10, 16), torch.arange(40, 60)
    whole = philox_normal(keys, 5, ordinals, 9, 11)
    assert torch.equal(whole, torch.cat([philox_normal(keys, 5, part, 9, 11) for part in ordinals.split([1, 7, 12])], dim=1))
    assert torch.equal(whole[2:5], philox_normal(keys[2:5], 5, ordinals, 9, 11))
    assert torch.equal(whole[:, :, :4], philox_normal(keys, 5, ordinals, 4, 11))
    for columns in range(1, 11):
        assert torch.equal(whole[..., :columns], philox_normal(keys, 5, ordinals, 9, columns))


def test_keys_are_hashed_from_every_part_of_a_name() -> None:
    names = [(1, "a", 0), (1, "a", 1), (2, "a", 0), (1, "b", 0), ("1", "a", 0), (1, "a0"), (1, "a", 0, 0)]
    assert len({key(*name) for name in names}) == len(names)
    assert key(1, "a", 0) == key(1, "a", 0)
    assert all(-(2**63) <= key(*name) < 2**63 for name in names)


def test_purposes_get_words_of_their_own() -> None:
    paths = [
        "training",
        "evaluation",
        "program",
        *(f"chip {float(t).hex()}" for t in range(300)),
        *(f"read {float(t).hex()}" for t in range(300)),
    ]
    purposes = [
        f"{path}/{what}"
        for path in paths
        for what in ("dac", "weight", "output", "adc", "modifier", "programming", "drift exponent", "read")
    ]
    assert len({purpose_word(purpose) for purpose in purposes}) == len(purposes)
    assert all(0 <= purpose_word(purpose) < 2**32 for purpose in purposes)


def test_keys_and_purposes_do_not_change_between_versions() -> None:
    # Published results hang on these; the purposes are published vectors of FNV-1a.
    assert key(1, "layer1.0", 2, 3) == 7677383722646077853
    assert [purpose_word(purpose) for purpose in ("", "a", "foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]
