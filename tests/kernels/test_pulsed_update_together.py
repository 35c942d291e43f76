"""Vectors pulsed in one call, cells of several rows together, against the reference of trains and update."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

pytest.importorskip("numba")
from ohmlet.cells import DeviceArray, build_array
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_devices.soft_bounds import SoftBounds
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.pulsed_update import reference
from ohmlet_kernels.pulsed_update.cells import Probe
from ohmlet_kernels.pulsed_update.numba_vectors import Views
from ohmlet_kernels.pulsed_update.trains import trains
from tests.kernels.pulsed_steps import STEPS, cells_of, copied
from tests.plugins.in_memory import noise, site

KEY = torch.tensor([-77])
# One cell; several rows at once, with a part of them left for the end; a row that fills all there is room for; odd sizes.
SIZES = [(1, 1, 1), (4, 70, 65), (3, 3, 512), (2, 5, 300), (6, 37, 9)]
# Learning rates for trains of one slot, of a few and of all; and one for trains of fixed length.
RATES = [(0.002, True), (0.05, True), (0.6, True), (0.05, False)]


@pytest.mark.parametrize(("samples", "rows", "columns"), SIZES)
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("by_columns", [True, False])
def test_rows_together_equal_the_reference(name: str, samples: int, rows: int, columns: int, by_columns: bool) -> None:
    draw = torch.Generator().manual_seed(rows + columns)
    x, d = (torch.randn((samples, lines), generator=draw) for lines in (columns, rows))
    x[:, ::3] = 0.0
    d[:, 1::4] = 0.0
    count = columns if by_columns else rows
    after = torch.tensor([0, samples // 2, samples])
    at = torch.tensor([0, count - 1, count // 2])
    ordinals = torch.arange(2**33, 2**33 + samples)
    told = Stream(torch.tensor(5), ordinals, None, "one")
    for rate, managed in RATES:
        pulses = PulsedUpdate(update_management=managed, update_bl_management=managed)
        cells = cells_of(name, rows, columns, counted=True)._replace(touched=None)
        expected, found = copied(cells), copied(cells)
        made = trains(x, d, rate, 0.01, pulses.numbers(), told, reference.pulse_bits)
        seen = [torch.full((3, rows if by_columns else columns), torch.nan) for _ in range(2)]
        probes = [Probe(after, at, by_columns, each) for each in seen]
        reference.pulsed_update(expected, made, KEY, purpose_word("one/pulse noise"), ordinals, probes[0])
        tensors = [found.w, *found.cell, *found.hidden, KEY, found.pulses]
        assert Views(tensors, found, KEY).pulse(x, d, rate, 0.01, pulses, told, probes[1])  # type: ignore[arg-type]
        assert expected.pulses is not None
        assert found.pulses is not None
        assert (columns == 1) or int(expected.pulses.sum()) > 0
        assert torch.equal(found.pulses, expected.pulses)
        for one, other in zip((found.w, *found.hidden, seen[1]), (expected.w, *expected.hidden, seen[0]), strict=True):
            torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6)


def test_wider_arrays_take_the_general_way() -> None:
    cells = cells_of("bounded", 2, 513)
    assert not Views([], cells, KEY).usable


@pytest.mark.parametrize("part", ["w", "cell_w_max", "key", "pulses"])
def test_views_are_of_the_tensors_that_an_array_has_now(part: str) -> None:
    """Whichever of them moves, by `data` or as another buffer, is read and written where it is."""

    def by_data(array: DeviceArray, value: Tensor) -> None:
        array.get_buffer(part).data = value

    def by_buffer(array: DeviceArray, value: Tensor) -> None:
        array._buffers[part] = value

    for move in (by_data, by_buffer):
        whole = build_array(SoftBounds(dw_min=0.01, w_max_dtod=0.3, count_pulses=True), site(4, 6, engine="numba"))
        assert isinstance(whole, DeviceArray)
        told, draw = noise(site(4, 6), 0, 3), torch.Generator().manual_seed(3)
        x, d = torch.randn((3, 6), generator=draw), torch.randn((3, 4), generator=draw)
        whole.pulse(x, d, 0.05, PulsedUpdate(), told)
        kept = whole.views
        assert kept is not None
        assert whole.seen_by_engine() is kept
        other = whole.state_dict()[part] + 1
        fresh = copy.deepcopy(whole)
        assert fresh.views is None
        fresh.get_buffer(part).copy_(other)
        move(whole, other)
        whole.pulse(x, d, 0.05, PulsedUpdate(), told)
        assert whole.views is not kept
        fresh.pulse(x, d, 0.05, PulsedUpdate(), told)
        for name, value in fresh.state_dict().items():
            assert torch.equal(whole.state_dict()[name], value), name
