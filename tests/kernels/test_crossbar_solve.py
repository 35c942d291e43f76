"""Crossbars with resistive wires against dense nodal analysis, published numbers and limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve import ConvergenceError, Wires, crossbar_solve, op, power
from tests.oracle.crossbar import Crossbar

KERNELS = ("reference", "numba")
FIELDS = ("output", "cell_voltage", "cell_current", "word_voltage", "bit_voltage")
SINGLE = ("single", "single")
MODES = (SINGLE, ("double", "single"), ("double", "double"), ("single", "double"))
CHEN = {
    ("single", "single"): (
        (20, 20, 10, 10, 23.933092, 43.706302, 63.380325),
        (2, 2, 2, 2, 23.988002, 43.957366, 63.913454),
        (100, 50, 10, 30, 23.873093, 43.093883, 61.992485),
    ),
    ("double", "double"): (
        (20, 20, 10, 10, 23.971286, 43.896467, 63.832022),
        (2, 2, 2, 2, 23.994578, 43.982986, 63.970565),
        (100, 50, 10, 30, 23.944173, 43.718966, 63.615995),
    ),
    ("double", "single"): (
        (20, 20, 10, 10, 23.95266, 43.811918, 63.634408),
        (2, 2, 2, 2, 23.991792, 43.971012, 63.943021),
        (100, 50, 10, 30, 23.893338, 43.493606, 63.093016),
    ),
}
"""T1: a resistance set and output currents in uA of an independent nodal solver (crossbar model of Chen, TED 2013), printed digits."""
JOB = {64: (0.01608013, 0.210), 128: (0.04433563, 0.490), 256: (0.07025574, 0.774), 512: (0.08959837, 0.925)}
"""T3: sum of outputs in A and mean drop of badcrossbar's solution of `job`."""


def job(n: int) -> tuple[Tensor, Tensor]:
    """Return conductances and voltages of the job that solvers are compared on."""
    generator = np.random.default_rng(0)
    resistance = generator.uniform(1e3, 1e5, (n, n))
    return torch.from_numpy(1 / resistance), torch.from_numpy(generator.uniform(0, 0.2, (n, 1))).T


TWO_OHM = Wires(r_word=2.0, r_bit=2.0, r_source=2.0, r_sense=2.0)


def wires_of(ohm: Sequence[float], mode: tuple[str, str] = SINGLE, access: float = 0.0) -> Wires:
    """Return wires of r_word, r_bit, r_source and r_sense."""
    return Wires(ohm[0], ohm[1], ohm[2], ohm[3], mode[0], mode[1], access)


def nodal(
    g: Tensor, v: Tensor, v_bit: Tensor | None, ohm: Sequence[float], mode: tuple[str, str] = SINGLE, access: float = 0.0
) -> Crossbar:
    """Return the oracle of one input."""
    ground = np.zeros(g.shape[1]) if v_bit is None else v_bit.numpy()
    return Crossbar(g.numpy(), v.numpy(), ground, ohm[0], ohm[1], ohm[2], ohm[3], mode[0], mode[1], access)


def crossbar(rows: int, columns: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return conductances, some of them zero, voltages of both signs and bit-line voltages."""
    generator = torch.Generator().manual_seed(seed)
    g = 1e-4 * torch.rand((rows, columns), generator=generator, dtype=torch.float64)
    g[torch.rand((rows, columns), generator=generator) < 0.2] = 0.0
    v = torch.rand((2, rows), generator=generator, dtype=torch.float64) - 0.3
    return g, v, 0.1 * torch.rand((2, columns), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mode", CHEN)
def test_published_outputs_of_all_source_modes(mode: tuple[str, str], kernel: str) -> None:
    j, i = torch.meshgrid(torch.arange(4.0), torch.arange(3.0), indexing="ij")
    g = ((10 + 20 * i + 7 * j) * 1e-6).double()
    v = torch.tensor([[0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
    for r_word, r_bit, r_source, r_sense, *expected in CHEN[mode]:
        wires = wires_of((r_word, r_bit, r_source, r_sense), mode)
        output = crossbar_solve(g, v, wires, kernel=kernel).output
        assert output[0].tolist() == pytest.approx([1e-6 * each for each in expected], abs=1e-9, rel=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_badcrossbars_own_example(kernel: str) -> None:
    """T2: the currents of its README at 0.5 ohm, and that of the first row's fourth device with the third of four inputs."""
    resistance = torch.tensor([[345, 903, 755, 257, 646], [652, 401, 508, 166, 454], [442, 874, 190, 244, 635]], dtype=torch.float64)
    inputs = torch.tensor([[1.5, 2.3, 1.7], [4.1, 4.5, 4.0], [2.6, 1.1, 3.3], [2.1, 0.8, 1.1]], dtype=torch.float64)
    found = crossbar_solve(1 / resistance, inputs, wires_of((0.5,) * 4), kernel=kernel)
    published = [0.01158503, 0.00919064, 0.01511568, 0.02583321, 0.00981179]
    assert found.output[0].tolist() == pytest.approx(published, abs=1e-8, rel=0)
    assert float(found.cell_current[2, 0, 3]) == pytest.approx(0.009856197822795886, abs=1e-8, rel=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_badcrossbars_job(kernel: str) -> None:
    for n in (64, 128, 256) if kernel == "numba" else (64, 128):
        g, v = job(n)
        output = crossbar_solve(g, v, TWO_OHM, kernel=kernel).output
        total, drop = JOB[n]
        assert float(output.sum()) == pytest.approx(total, rel=1e-7, abs=5e-9)
        assert float((1 - output / (v @ g)).mean()) == pytest.approx(drop, abs=6e-4)


@pytest.mark.slow
def test_badcrossbars_largest_job_and_its_proven_error() -> None:
    g, v = job(512)
    exact = crossbar_solve(g, v, TWO_OHM, rtol=1e-12).output
    for rtol in (1e-4, 1e-6, 1e-8):
        for kernel in KERNELS:
            found = crossbar_solve(g, v, TWO_OHM, rtol=rtol, kernel=kernel)
            error = float((found.output - exact).norm() / exact.norm())
            assert error <= float(found.error_bound) <= rtol
    assert float(exact.sum()) == pytest.approx(JOB[512][0], rel=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("rows", "columns", "ohm"),
    [
        (5, 9, (30.0, 50.0, 200.0, 70.0)),
        (11, 4, (3e3, 5e3, 1e3, 2e3)),
        (1, 6, (40.0, 20.0, 10.0, 30.0)),
        (7, 1, (40.0, 20.0, 10.0, 30.0)),
        (1, 1, (40.0, 20.0, 10.0, 30.0)),
        (6, 5, (0.0, 300.0, 100.0, 0.0)),
        (6, 5, (300.0, 0.0, 0.0, 100.0)),
        (6, 5, (0.0, 3e4, 0.0, 100.0)),
        (6, 5, (3e4, 0.0, 100.0, 0.0)),
        (4, 6, (0.0, 0.0, 0.0, 0.0)),
        (4, 3, (500.0, 500.0, 0.0, 0.0)),
        (3, 9, (0.0, 0.0, 300.0, 400.0)),
    ],
)
def test_every_voltage_and_current_is_that_of_nodal_analysis(
    rows: int, columns: int, ohm: tuple[float, ...], mode: tuple[str, str], kernel: str
) -> None:
    g, v, v_bit = crossbar(rows, columns, rows + columns)
    for access in (0.0, 4e3):
        found = crossbar_solve(g, v, wires_of(ohm, mode, access), v_bit=v_bit, kernel=kernel, rtol=1e-11)
        for p in range(2):
            expected = nodal(g, v[p], v_bit[p], ohm, mode, access).solve()
            for name in FIELDS:
                own = getattr(found, name)[p].numpy()
                np.testing.assert_allclose(own, expected[name], rtol=1e-8, atol=1e-10 * np.abs(expected[name]).max() + 1e-16, err_msg=name)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mode", MODES)
def test_energy_is_conserved(mode: tuple[str, str], kernel: str) -> None:
    g, v, v_bit = crossbar(13, 17, 3)
    found = crossbar_solve(g, v, Wires(200.0, 300.0, 50.0, 80.0, *mode, 1e3), v_bit=v_bit, kernel=kernel)
    parts = power(found)
    assert torch.allclose(parts.delivered, parts.cells + parts.access + parts.word_lines + parts.bit_lines, rtol=1e-7, atol=0)
    assert all(bool((part > 0).all()) for part in parts[1:])
    # A line of its own: the power in the wires from the differences of the node voltages.
    segments = found.word_voltage.diff(dim=-1).square().sum((-1, -2)) / 200
    ends = (v - found.word_voltage[..., 0]).square().sum(-1) / 50
    if mode[0] == "double":
        ends = ends + (v - found.word_voltage[..., -1]).square().sum(-1) / 50
    assert torch.allclose(parts.word_lines, segments + ends, rtol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kirchhoffs_current_law_holds_at_every_node(kernel: str) -> None:
    g, v, v_bit = crossbar(70, 90, 9)
    found = crossbar_solve(g, v, wires_of((20.0, 30.0, 40.0, 50.0)), v_bit=v_bit, kernel=kernel, rtol=1e-11)
    word, bit, cell = found.word_voltage, found.bit_voltage, found.cell_current
    assert torch.allclose(cell, g * (word - bit), rtol=1e-6, atol=1e-14)
    into = torch.cat([(v - word[..., 0])[..., None] / 40, -word.diff(dim=-1) / 20, torch.zeros(2, 70, 1)], -1)
    assert float((-into.diff(dim=-1) - cell).abs().max() / cell.abs().max()) < 1e-8
    down = torch.cat([torch.zeros(2, 1, 90), -bit.diff(dim=-2) / 30, (bit[..., -1, :] - v_bit)[..., None, :] / 50], -2)
    assert float((down.diff(dim=-2) - cell).abs().max() / cell.abs().max()) < 1e-8
    assert torch.allclose(down[..., -1, :], found.output, rtol=1e-8)


def test_power_of_one_cell() -> None:
    found = crossbar_solve(torch.tensor([[1e-3]]), torch.tensor([[2.0]]), Wires(r_source=250.0, r_sense=500.0, r_access=250.0))
    # 2 V over 2 kilo-ohm: 1 mA.
    assert float(found.output) == pytest.approx(1e-3)
    assert [float(part) for part in power(found)] == pytest.approx([2e-3, 1e-3, 0.25e-3, 0.25e-3, 0.5e-3])


@pytest.mark.parametrize("kernel", KERNELS)
def test_without_wires_it_is_the_product(kernel: str) -> None:
    g, v, _ = crossbar(9, 14, 1)
    found = crossbar_solve(g, v, Wires(), kernel=kernel)
    assert torch.allclose(found.output, v @ g, rtol=1e-13)
    assert torch.equal(found.cell_voltage, v[..., None].expand(2, 9, 14))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("load", [1.0, 30.0, 1000.0, 1e5])
def test_heavy_wires_converge(load: float, kernel: str) -> None:
    """T17: the wires' share r g n^2 at which fixed-point solvers need a step of 1e-3 and less, and further."""
    n = 14
    generator = torch.Generator().manual_seed(5)
    g = 1e-4 * (0.5 + torch.rand((n, n), generator=generator, dtype=torch.float64))
    v = torch.rand((1, n), generator=generator, dtype=torch.float64)
    r = load / (1e-4 * n * n)
    found = crossbar_solve(g, v, Wires(r, r, r, r), kernel=kernel)
    expected = nodal(g, v[0], None, (r, r, r, r)).solve()["output"]
    error = float(np.linalg.norm(found.output[0].numpy() - expected) / np.linalg.norm(expected))
    assert error < 1e-8
    assert error <= float(found.error_bound) + 1e-11


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_bound_holds_at_any_tolerance(kernel: str) -> None:
    g, v, v_bit = crossbar(20, 15, 7)
    ohm = (900.0, 700.0, 100.0, 100.0)
    wires = wires_of(ohm)
    exact = [nodal(g, v[p], v_bit[p], ohm).solve()["output"] for p in range(2)]
    for rtol in (0.1, 1e-2, 1e-3, 1e-5, 1e-7):
        found = crossbar_solve(g, v, wires, v_bit=v_bit, rtol=rtol, kernel=kernel)
        for p in range(2):
            error = np.linalg.norm(found.output[p].numpy() - exact[p]) / np.linalg.norm(exact[p])
            assert error <= float(found.error_bound[p]) <= rtol


@pytest.mark.parametrize("kernel", KERNELS)
def test_batches_are_the_single_solutions(kernel: str) -> None:
    generator = torch.Generator().manual_seed(2)
    g = 1e-4 * torch.rand((3, 1, 6, 10), generator=generator, dtype=torch.float64)
    v = torch.rand((4, 5, 6), generator=generator, dtype=torch.float64)
    wires = Wires(100.0, 100.0, 10.0, 10.0)
    found = crossbar_solve(g, v, wires, v_bit=torch.full((10,), 0.05), kernel=kernel)
    assert found.output.shape == (3, 4, 5, 10)
    assert found.cell_voltage.shape == (3, 4, 5, 6, 10)
    assert found.iterations.shape == found.error_bound.shape == found.residual.shape == (3, 4, 5)
    for a in range(3):
        for b in range(4):
            alone = crossbar_solve(g[a, 0], v[b], wires, v_bit=torch.full((5, 10), 0.05), kernel=kernel)
            assert torch.allclose(found.output[a, b], alone.output, rtol=1e-7)
            assert torch.allclose(found.bit_voltage[a, b], alone.bit_voltage, rtol=1e-6)


def test_batches_on_two_threads_are_the_same_bits() -> None:
    g, _ = job(64)
    v = torch.rand((7, 64), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    arrays = torch.stack([g, g.flip(0), g.flip(1)])
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append((crossbar_solve(g, v, TWO_OHM).output, crossbar_solve(arrays, v, TWO_OHM).output))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty(shape: tuple[int, int, int], kernel: str) -> None:
    inputs, rows, columns = shape
    found = crossbar_solve(torch.ones(rows, columns), torch.ones(inputs, rows), Wires(r_word=1.0), kernel=kernel)
    assert found.output.shape == (inputs, columns)
    assert not found.output.any()
    assert found.cell_voltage.shape == (inputs, rows, columns)


@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_flows_without_voltage_or_conductance(kernel: str) -> None:
    g, v, _ = crossbar(6, 7, 4)
    wires = Wires(100.0, 100.0, 10.0, 10.0, "double", "double")
    level = torch.full_like(v, 0.3)
    for found in (
        crossbar_solve(g, 0 * v, wires, kernel=kernel),
        crossbar_solve(0 * g, v, wires, kernel=kernel),
        crossbar_solve(g, level, wires, v_bit=level[:, :1].expand(2, 7), kernel=kernel),
    ):
        assert not found.output.any()
        assert not found.error_bound.any()
    assert torch.allclose(crossbar_solve(0 * g, v, wires, kernel=kernel).cell_voltage, v[..., None].expand(2, 6, 7))


@pytest.mark.parametrize("kernel", KERNELS)
def test_outputs_that_cancel_are_reported_as_such(kernel: str) -> None:
    """Two rows of opposite voltages: the columns' currents are nothing but rounding, and no tolerance relative to them can be met."""
    g = torch.full((2, 3), 1e-4, dtype=torch.float64)
    found = crossbar_solve(g, torch.tensor([[0.5, -0.5]], dtype=torch.float64), Wires(r_word=7.0, r_source=3.0), kernel=kernel)
    assert float(found.output.abs().max()) < 1e-18
    assert float(found.residual) < 3e-14


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_guess_saves_iterations(kernel: str) -> None:
    g, v = job(64)
    first = crossbar_solve(g, v, TWO_OHM, kernel=kernel)
    assert int(crossbar_solve(g, v, TWO_OHM, guess=first, kernel=kernel).iterations) == 0
    near = crossbar_solve(1.001 * g, v, TWO_OHM, guess=first, kernel=kernel)
    fresh = crossbar_solve(1.001 * g, v, TWO_OHM, kernel=kernel)
    assert int(near.iterations) < int(fresh.iterations)
    assert torch.allclose(near.output, fresh.output, rtol=1e-7)
    with pytest.raises(ValueError, match=r"cell voltages \(1, 64, 64\), this one has \(1, 64, 32\)"):
        crossbar_solve(g[:, :32], v, TWO_OHM, guess=first)


@pytest.mark.parametrize("kernel", KERNELS)
def test_float32_is_computed_in_float64(kernel: str) -> None:
    g, v = (each.float() for each in job(32))
    found = crossbar_solve(g, v, TWO_OHM, kernel=kernel)
    exact = crossbar_solve(g.double(), v.double(), TWO_OHM)
    assert found.output.dtype == found.cell_voltage.dtype == found.word_voltage.dtype == torch.float32
    assert torch.allclose(found.output.double(), exact.output, rtol=2e-7)


def test_it_takes_no_more_iterations_than_its_wires_ask_for() -> None:
    """Exact lines and cumulative sums alone: the measured numbers of conjugate gradients for 1e-8, with room for two more."""
    g, v = job(128)
    assert int(crossbar_solve(g, v, TWO_OHM, kernel="numba").iterations) <= 7
    assert int(crossbar_solve(g, v, TWO_OHM, kernel="reference").iterations) <= 16


GOOD: dict[str, Any] = {"g": torch.ones(2, 3), "v": torch.ones(1, 2), "wires": Wires(r_word=1.0)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g": torch.tensor([[1.0, -2e-6, 1.0]] * 2)}, "finite and zero or more; these run from -2e-06 to 1"),
        ({"g": torch.tensor([[1.0, math.nan, 1.0]] * 2)}, "these run from nan"),
        ({"g": torch.tensor([[1.0, math.inf, 1.0]] * 2)}, "to inf"),
        ({"v": torch.tensor([[1.0, math.nan]])}, "voltages are finite, got nan"),
        ({"wires": Wires(r_word=-2.0)}, "r_word is a resistance in ohm, zero or more, got -2.0"),
        ({"wires": Wires(r_sense=math.nan)}, "r_sense is a resistance in ohm, zero or more, got nan"),
        ({"wires": Wires(r_sense=math.inf)}, "r_sense is infinite: the lines float"),
        ({"wires": Wires(r_bit=torch.ones(3))}, r"r_bit is one number for the whole crossbar, got a tensor of shape \(3,\)"),
        ({"wires": Wires(drive="both")}, "drive is 'single' or 'double', got 'both'"),
        ({"wires": Wires(sense="none")}, "sense is 'single' or 'double', got 'none'"),
        ({"v": torch.ones(1, 3)}, r"g is \[..., rows, columns\] and v is \[..., P, rows\], got \(2, 3\) and \(1, 3\)"),
        ({"v": torch.ones(2)}, r"got \(2, 3\) and \(2,\)"),
        ({"v_bit": torch.ones(2)}, r"v_bit is \[..., P, columns\] with 3 columns, got \(2,\)"),
        ({"rtol": 0.0}, "rtol is between 1e-12 and 0.1, got 0.0"),
        ({"kernel": "cuda"}, "kernel is 'auto', 'numba' or 'reference', got 'cuda'"),
        ({"g": torch.ones(2, 3, dtype=torch.int64)}, "real floating-point numbers, got torch.int64"),
    ],
)
def test_what_makes_no_circuit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crossbar_solve(**{**GOOD, **change})


@pytest.mark.parametrize("kernel", KERNELS)
def test_not_to_converge_is_an_error(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    g, v = job(32)
    monkeypatch.setattr(op, "_most", lambda *_: 2)
    with pytest.raises(ConvergenceError, match=r"1 of 1 inputs did not reach rtol 1e-10 in \d iterations \(bound on the error .*residual"):
        crossbar_solve(g, v, TWO_OHM, rtol=1e-10, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_float64_cannot_resolve_is_an_error_or_right(kernel: str) -> None:
    g = torch.logspace(-9, 3, 36, dtype=torch.float64).view(6, 6)
    v = torch.ones(1, 6, dtype=torch.float64)
    ohm = (1e9, 1e9, 1e9, 1e9)
    try:
        found = crossbar_solve(g, v, wires_of(ohm), kernel=kernel).output[0]
    except ConvergenceError as error:
        assert "are further apart than float64 resolves" in str(error)  # noqa: PT017 -- either outcome is right
    else:
        np.testing.assert_allclose(found.numpy(), nodal(g, v[0], None, ohm).solve()["output"], rtol=1e-3)
