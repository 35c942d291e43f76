"""The pulsed update on Triton equals the reference on the CPU, sample by sample."""

from __future__ import annotations

import math
from typing import Any

from tests.gpu.where import DEVICE, INTERPRETED, MARKS  # isort: skip - skips without Triton

import pytest
import torch

from ohmlet.cells import build_array
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.nn.kernels import kernels_of
from ohmlet.registry import registry
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import Cells, Trains, read_step, reference
from ohmlet_kernels.pulsed_update import triton as compiled
from ohmlet_kernels.pulsed_update.cells import BOTH, DOWN_AS_UP, UP_ONLY, Probe
from tests.kernels.pulsed_steps import STEPS, cells_of, copied, counted_trains, random_trains

pytestmark = MARKS

KEY = torch.tensor(-0x123456789ABCDEF)
PURPOSE = 0x89ABCDEF
DEVICES = [name for name, entries in registry("device").entries().items() for entry in entries if entry.dist == "ohmlet"]

ops: Any = None


def stress(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
    """Three hidden states, two normals and three uniforms, so that a pulse's numbers straddle counters; divides and assigns in place."""
    a: float = hidden.a / (1 + hidden.b) + noise[0] * params.sigma
    a /= 2.0
    b = ops.where((noise[2] < 0.5) | up, hidden.b + noise[3], hidden.b / 3)
    gain = ops.maximum(1e-3, ops.minimum(1.0, noise[4]))
    return w + ops.where(up, cell.dw, -cell.dw) * gain + 1e-3 * noise[1] * a, (a, b, hidden.c + 1)


STRESS = read_step(stress, ("dw",), ("a", "b", "c"), ("sigma",), (), 2, 3)


@pytest.fixture(autouse=True)
def fewer_programs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes as long for a small block as for a large one."""
    if INTERPRETED and "own_blocks" not in request.keywords:
        monkeypatch.setattr(compiled, "BLOCK_M", 32)
        monkeypatch.setattr(compiled, "BLOCK_N", 64)


def there(value: Any) -> Any:
    """Return tensors, and named tuples of them, on the device."""
    if isinstance(value, torch.Tensor):
        # A copy also where they are there already: an update changes them.
        return value.to(DEVICE, copy=True)
    if isinstance(value, Cells | Trains | Probe):
        return type(value)(*(there(part) for part in value))
    if isinstance(value, tuple) and value and isinstance(value[0], torch.Tensor):
        return tuple(there(part) for part in value)
    return value


def ordinals(samples: int) -> torch.Tensor:
    return torch.arange(samples) * 3 + 2**33


def both(cells: Cells, trains: Trains, samples: int, probe: Probe | None = None) -> tuple[Cells, Cells]:
    """Return what the reference and the compiled update make of the same cells, both on the CPU."""
    expected, found = copied(cells), there(cells)
    reference.pulsed_update(expected, trains, KEY, PURPOSE, ordinals(samples), probe)
    seen = there(probe)
    compiled.pulsed_update(found, there(trains), there(KEY), PURPOSE, there(ordinals(samples)), seen)
    if probe is not None:
        torch.testing.assert_close(seen.seen.cpu(), probe.seen, rtol=2e-6, atol=2e-7)
    counters = {name: None if value is None else value.cpu() for name, value in (("pulses", found.pulses), ("touched", found.touched))}
    return expected, found._replace(w=found.w.cpu(), cell=cells.cell, hidden=tuple(state.cpu() for state in found.hidden), **counters)


def agree(expected: Cells, found: Cells, exactly: bool = False) -> None:
    if exactly:
        assert torch.equal(found.w, expected.w)
    torch.testing.assert_close(found.w, expected.w, rtol=2e-6, atol=2e-7)
    for state, other in zip(found.hidden, expected.hidden, strict=True):
        torch.testing.assert_close(state, other, rtol=5e-6, atol=1e-6)
    for name in ("pulses", "touched"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None and other is None) or torch.equal(one, other)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize(("samples", "rows", "columns"), [(2, 1, 1), (1, 1, 70), (2, 33, 1), (2, 17, 33), (0, 3, 4), (2, 0, 4), (2, 4, 0)])
def test_update_equals_the_reference(name: str, samples: int, rows: int, columns: int) -> None:
    cells, trains = cells_of(name, rows, columns, counted=True), random_trains(samples, rows, columns, density=0.6)
    expected, found = both(cells, trains, samples)
    agree(expected, found, exactly=name != "everything")
    if samples and rows and columns:
        assert expected.pulses is not None
        assert expected.pulses.sum() > 0
        assert not torch.equal(expected.w, cells.w)


@pytest.mark.own_blocks
def test_cells_are_dealt_to_programs() -> None:
    assert compiled.BLOCK_N < 41
    cells = cells_of("bounded", 3, 41, counted=True)
    agree(*both(cells, random_trains(2, 3, 41, density=0.4), 2), exactly=True)


@pytest.mark.skipif(INTERPRETED, reason="too much for the interpreter")
@pytest.mark.parametrize("name", STEPS)
def test_whole_crossbars_of_odd_size(name: str) -> None:
    cells = cells_of(name, 513, 257, counted=True)
    agree(*both(cells, random_trains(20, 513, 257, density=0.5), 20), exactly=name != "everything")


def test_hidden_states_and_many_draws() -> None:
    cells = cells_of("everything", 6, 35)
    cells = cells._replace(step=STRESS, cell=cells.cell[:1], hidden=(*cells.hidden, cells.w + 1), params=(0.3,), tables=())
    expected, found = both(cells, random_trains(2, 6, 35, density=0.7), 2)
    agree(expected, found)
    assert all(not torch.equal(after, before) for after, before in zip(found.hidden, cells.hidden, strict=True))


@pytest.mark.parametrize("select", [BOTH, UP_ONLY, DOWN_AS_UP])
@pytest.mark.parametrize("words", [1, 3])
def test_trains_of_any_length_and_either_direction(select: int, words: int) -> None:
    cells = cells_of("bounded", 3, 21, counted=True)
    expected, found = both(cells, random_trains(2, 3, 21, words, 0.5, select), 2)
    agree(expected, found, exactly=True)
    assert found.pulses is not None
    assert (found.pulses[1].sum() == 0) == (select != BOTH)


@pytest.mark.parametrize("select", [BOTH, UP_ONLY, DOWN_AS_UP])
def test_pulses_given_as_counts(select: int) -> None:
    cells = cells_of("bounded", 6, 21, counted=True)
    agree(*both(cells, counted_trains(2, 6, 21, most=12.0, select=select), 2), exactly=True)


def test_halves_go_to_the_even_number() -> None:
    cells = cells_of("silent", 2, 3, counted=True)
    x, d = torch.tensor([[1.0, 0.3, 0.0]]), torch.tensor([[700.0, 2.5]])
    signs = torch.zeros((1, 3), dtype=torch.bool), torch.tensor([[True, False]])
    expected, found = both(cells, Trains(x, d, *signs, torch.ones(1)), 1)
    agree(expected, found, exactly=True)
    assert found.pulses is not None
    assert found.pulses.tolist() == [[[700, 210, 0], [0, 0, 0]], [[0, 0, 0], [2, 1, 0]]]


@pytest.mark.parametrize("columns", [True, False])
def test_looks_on_the_way(columns: bool) -> None:
    cells = cells_of("bounded", 5, 7)
    after, at = torch.tensor([0, 2, 2, 3, 9]), torch.tensor([1, 0, 4, 3, 2])
    probe = Probe(after, at, columns, torch.full((5, 5 if columns else 7), math.nan))
    agree(*both(cells, random_trains(3, 5, 7, density=0.9), 3, probe), exactly=True)
    assert not probe.seen.isnan().any()


def test_a_nan_stays_where_it_is() -> None:
    cells, trains = cells_of("everything", 4, 40), random_trains(1, 4, 40, density=0.7)
    cells.w[2, 7] = math.nan
    expected, found = both(cells, trains, 1)
    assert torch.equal(found.w.isnan(), expected.w.isnan())
    assert int(found.w.isnan().sum()) == 1
    agree(expected._replace(w=expected.w.nan_to_num()), found._replace(w=found.w.nan_to_num()))


def test_two_halves_of_a_batch_are_the_whole() -> None:
    cells, trains = cells_of("bounded", 6, 21), random_trains(4, 6, 21, density=0.5)
    whole, parts = there(cells), there(cells)
    compiled.pulsed_update(whole, there(trains), there(KEY), PURPOSE, there(ordinals(4)))
    for part in (slice(0, 1), slice(1, 4)):
        mine = Trains(trains.x[part], trains.d[part], trains.x_negative[part], trains.d_negative[part])
        compiled.pulsed_update(parts, there(mine), there(KEY), PURPOSE, there(ordinals(4)[part]))
    assert torch.equal(whole.w, parts.w)


def test_float64_cells_run_on_the_reference() -> None:
    cells = cells_of("bounded", 3, 4)
    cells = cells._replace(w=cells.w.double(), cell=tuple(a.double() for a in cells.cell))
    expected, found = both(cells, random_trains(2, 3, 4), 2)
    assert found.w.dtype == torch.float64
    torch.testing.assert_close(found.w, expected.w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("samples", "lines", "words"), [(1, 1, 1), (3, 7, 1), (2, 130, 3), (0, 3, 1), (2, 0, 1)])
def test_bits_are_the_references(samples: int, lines: int, words: int) -> None:
    thresholds = torch.randint(0, 1 << 24, (samples, lines), generator=torch.Generator().manual_seed(1))
    if samples and lines:
        thresholds[0, 0], thresholds[-1, -1] = 0, 1 << 24
    lengths = (torch.arange(samples) * 13 + 32 * words - 40).clamp(0, 32 * words)
    expected = reference.pulse_bits(thresholds, lengths, words, KEY, PURPOSE, ordinals(samples))
    found = compiled.pulse_bits(there(thresholds), there(lengths), words, there(KEY), PURPOSE, there(ordinals(samples)))
    assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("name", DEVICES)
def test_built_in_devices(name: str) -> None:
    draw = torch.Generator().manual_seed(5)
    x, d = torch.randn((2, 9), generator=draw), torch.randn((2, 5), generator=draw)
    made = []
    for engine, device in (("reference", "cpu"), ("triton", DEVICE)):
        site = ArraySite(5, 9, torch.tensor(77), kernels_of(engine), lambda w, x, noise: x @ w.mT)
        array = build_array(registry("device").get(name)(), site).to(device)
        fresh = array.weights().cpu().clone()
        noise = Stream(torch.tensor(77, device=device), torch.arange(2, device=device))
        # At least a pulse or so for each cell: devices of two states have large steps.
        array.pulse(x.to(device), d.to(device), max(0.001, array.granularity), PulsedUpdate(), noise)
        assert not torch.equal(array.weights().cpu(), fresh)
        made.append({part: value.cpu() for part, value in array.state_dict().items()})
    for part, value in made[0].items():
        torch.testing.assert_close(made[1][part], value, rtol=1e-5, atol=1e-6)
