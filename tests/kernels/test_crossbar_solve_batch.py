"""Crossbars solved for many inputs at once against dense nodal analysis and against one input after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("numba")

from ohmlet_kernels.crossbar_solve import ConvergenceError, Wires, crossbar_solve, numba_drops, op
from ohmlet_kernels.crossbar_solve.numba_batch_lines import factor_both
from ohmlet_kernels.crossbar_solve.numba_solve import solve
from tests.oracle.crossbar import Crossbar

MODES = (("single", "single"), ("double", "single"), ("double", "double"), ("single", "double"))


def crossbar(rows: int, columns: int, inputs: int, seed: int = 0, idle: float = 0.2) -> tuple[Tensor, Tensor, Tensor]:
    """Return conductances, a share of them zero, voltages of both signs and bit-line voltages."""
    generator = torch.Generator().manual_seed(seed)
    g = 1e-4 * torch.rand((rows, columns), generator=generator, dtype=torch.float64)
    g[torch.rand((rows, columns), generator=generator) < idle] = 0.0
    v = torch.rand((inputs, rows), generator=generator, dtype=torch.float64) - 0.3
    return g, v, 0.1 * torch.rand((inputs, columns), generator=generator, dtype=torch.float64)


def nodal(g: Tensor, v: Tensor, v_bit: Tensor | None, wires: Wires, name: str) -> np.ndarray:
    """Return what the oracle finds, input by input."""
    ohm = (float(wires.r_word), float(wires.r_bit), float(wires.r_source), float(wires.r_sense))
    ground = torch.zeros(len(v), g.shape[1]) if v_bit is None else v_bit
    solved = [Crossbar(g.numpy(), v[p].numpy(), ground[p].numpy(), *ohm, wires.drive, wires.sense, 0.0).solve() for p in range(len(v))]
    return np.stack([each[name] for each in solved])


def refined(g: Tensor, v: Tensor, wires: Wires) -> np.ndarray:
    """Return the outputs from the dense matrix of resistances that cells share, refined in long double where float64 has no digits left."""
    rows, columns = g.shape
    word, bit = float(wires.r_source) + wires.r_word * np.arange(columns), float(wires.r_sense) + wires.r_bit * np.arange(rows)[::-1]
    z = np.kron(np.eye(rows), np.minimum.outer(word, word)) + np.kron(np.minimum.outer(bit, bit), np.eye(columns))
    own, e = g.numpy().reshape(-1), np.repeat(v.numpy(), columns, axis=1).T
    matrix = (np.eye(own.size) + z * own).astype(np.longdouble)
    d = np.zeros(e.shape, np.longdouble)
    for _ in range(6):
        d += np.linalg.solve(matrix.astype(np.float64), (e - matrix @ d).astype(np.float64))
    return np.asarray((own[:, None] * d).reshape(rows, columns, -1).sum(0).T, np.float64)


def alone(g: Tensor, v: Tensor, wires: Wires, v_bit: Tensor | None = None, **settings: Any) -> Tensor:
    """Return the outputs of inputs that are solved in calls of their own."""
    each = [crossbar_solve(g, v[p : p + 1], wires, v_bit=None if v_bit is None else v_bit[p : p + 1], **settings) for p in range(len(v))]
    return torch.cat([found.output for found in each])


@pytest.fixture
def singles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each input that is solved by itself."""
    seen: list[int] = []

    def counted(*arguments: Any) -> None:
        seen.append(1)
        solve(*arguments)

    monkeypatch.setattr(numba_drops, "solve", counted)
    return seen


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 9), (7, 1), (37, 53), (64, 64)])
@pytest.mark.parametrize(("inputs", "by_themselves"), [(1, 1), (3, 3), (4, 0), (8, 0), (9, 1), (33, 1)])
def test_a_batch_is_its_inputs_one_by_one(rows: int, columns: int, inputs: int, by_themselves: int, singles: list[int]) -> None:
    g, v, v_bit = crossbar(rows, columns, inputs)
    g[0, 0] = 5e-5
    wires = Wires(60.0, 50.0, 20.0, 30.0)
    for ground in (None, v_bit):
        singles.clear()
        found = crossbar_solve(g, v, wires, v_bit=ground, kernel="numba")
        assert len(singles) == by_themselves
        expected = alone(g, v, wires, ground, rtol=1e-11)
        error = (found.output - expected).norm(dim=-1) / found.output.norm(dim=-1)
        assert bool((error <= found.error_bound + 1e-11).all())
        assert bool((found.error_bound <= 1e-8).all())
        assert bool((found.iterations <= 20).all())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "ohm",
    [
        (30.0, 50.0, 200.0, 70.0),
        (3e3, 5e3, 1e3, 2e3),
        (0.0, 300.0, 100.0, 0.0),
        (300.0, 0.0, 0.0, 100.0),
        (0.0, 3e4, 0.0, 100.0),
        (3e4, 0.0, 100.0, 0.0),
        (5e3, 5e3, 0.0, 0.0),
        (0.0, 0.0, 3e4, 4e4),
        (0.0, 0.0, 0.0, 0.0),
    ],
)
def test_every_voltage_is_that_of_nodal_analysis(ohm: tuple[float, float, float, float], mode: tuple[str, str]) -> None:
    g, v, v_bit = crossbar(6, 9, 5, seed=3)
    wires = Wires(*ohm, *mode)
    found = crossbar_solve(g, v, wires, v_bit=v_bit, kernel="numba", rtol=1e-11)
    for name in ("output", "cell_voltage", "word_voltage", "bit_voltage"):
        expected = nodal(g, v, v_bit, wires, name)
        np.testing.assert_allclose(getattr(found, name).numpy(), expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max(), err_msg=name)


def test_the_bound_holds_at_any_tolerance() -> None:
    g, v, v_bit = crossbar(20, 15, 9, seed=7)
    wires = Wires(900.0, 700.0, 100.0, 100.0)
    exact = nodal(g, v, v_bit, wires, "output")
    for rtol in (0.1, 1e-2, 1e-3, 1e-5, 1e-7, 1e-10, 1e-12):
        found = crossbar_solve(g, v, wires, v_bit=v_bit, rtol=rtol, kernel="numba")
        error = np.linalg.norm(found.output.numpy() - exact, axis=1)
        norm = np.linalg.norm(found.output.numpy(), axis=1)
        # The oracle has 13 digits itself.
        assert (error <= (found.error_bound.numpy() + 2e-13) * norm).all()
        assert bool((found.error_bound <= rtol).all())


def test_inputs_that_are_zero_alike_or_dependent() -> None:
    g, v, _ = crossbar(20, 30, 16)
    v[3] = 0
    v[5] = v[4]
    v[6] = 1e-9 * v[4]
    v[7] = v[0] + v[1]
    wires = Wires(90.0, 70.0, 10.0, 10.0)
    found = crossbar_solve(g, v, wires, kernel="numba")
    assert not found.output[3].any()
    assert not found.cell_voltage[3].any()
    assert float(found.error_bound[3]) == int(found.iterations[3]) == 0
    assert torch.equal(found.output[5], found.output[4])
    assert torch.allclose(found.output[6], 1e-9 * found.output[4], rtol=1e-7, atol=0)
    assert torch.allclose(found.output[7], found.output[0] + found.output[1], rtol=1e-7, atol=0)


def test_what_an_input_comes_to_does_not_depend_on_the_others() -> None:
    g, v, _ = crossbar(20, 30, 8)
    wires = Wires(900.0, 700.0, 10.0, 10.0)
    found = crossbar_solve(g, v, wires, kernel="numba")
    order = torch.tensor([6, 0, 7, 3, 2])
    for others in (v[order], torch.cat([v[order], 1e6 * torch.eye(20, dtype=torch.float64)])):
        again = crossbar_solve(g, others, wires, kernel="numba")
        assert torch.equal(again.output[:5], found.output[order])
        assert torch.equal(again.iterations[:5], found.iterations[order])


def test_several_crossbars_with_several_inputs_each() -> None:
    g, v, v_bit = crossbar(12, 10, 11)
    arrays = torch.stack([g, 10 * g.flip(0), 0 * g, g.flip(1)])
    volts = torch.stack([v, -v, v, 1e-3 * v])
    wires = Wires(300.0, 200.0, 10.0, 10.0)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found = crossbar_solve(arrays, volts, wires, v_bit=v_bit, kernel="numba")
            for a in range(4):
                expected = nodal(arrays[a], volts[a], v_bit, wires, "output")
                np.testing.assert_allclose(found.output[a].numpy(), expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())
            if threads == 1:
                first = found
            assert torch.equal(found.output, first.output)
            assert torch.equal(found.cell_voltage, first.cell_voltage)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("load", [1.0, 1e3, 1e5, 1e7])
def test_heavy_wires(load: float) -> None:
    """The wires' share r g n^2, up to a drop of all but a millionth of the voltage."""
    g, v, _ = crossbar(14, 14, 9, idle=0.0)
    r = load / (1e-4 * 14 * 14)
    for wires in (Wires(r, r, r, r), Wires(r, r, 0.0, r), Wires(0.0, r, 0.0, r)):
        found = crossbar_solve(g, v, wires, kernel="numba")
        reference = crossbar_solve(g, v, wires, kernel="reference", rtol=1e-10)
        error = (found.output - reference.output).norm(dim=-1) / found.output.norm(dim=-1)
        assert bool((error <= found.error_bound + 1e-10).all())


@pytest.mark.parametrize(("word", "sense"), [(1e-3, 1e2), (1.0, 1.0)])
def test_what_float32_cannot_correct_float64_does(word: float, sense: float, singles: list[int]) -> None:
    g, v, _ = crossbar(14, 14, 8, seed=3, idle=0.0)
    r = 1e7 / (1e-4 * 14 * 14)
    wires = Wires(word * r, word * r, 0.0, sense * r)
    found = crossbar_solve(g, v, wires, kernel="numba")
    assert len(singles) == 8
    assert bool((found.error_bound <= 1e-8).all())
    error = np.linalg.norm(found.output.numpy() - refined(g, v, wires), axis=1) / found.output.norm(dim=-1).numpy()
    assert (error <= found.error_bound.numpy() + 1e-9).all()


def test_a_guess_saves_iterations() -> None:
    g, v, _ = crossbar(40, 30, 9)
    wires = Wires(100.0, 100.0, 10.0, 10.0)
    first = crossbar_solve(g, v, wires, kernel="numba")
    same = crossbar_solve(g, v, wires, guess=first, kernel="numba")
    assert not same.iterations.any()
    assert torch.equal(same.cell_voltage[:, g > 0], first.cell_voltage[:, g > 0])
    near = crossbar_solve(1.001 * g, v, wires, guess=first, kernel="numba")
    fresh = crossbar_solve(1.001 * g, v, wires, kernel="numba")
    assert bool((near.iterations < fresh.iterations).all())
    assert torch.allclose(near.output, fresh.output, rtol=1e-7, atol=1e-8 * float(fresh.output.abs().max()))
    # However bad it is.
    wild = crossbar_solve(g, 1e6 * v.flip(0), wires, kernel="numba")
    far = crossbar_solve(g, v, wires, guess=wild, kernel="numba")
    assert bool((far.error_bound <= 1e-8).all())
    assert torch.allclose(far.output, first.output, rtol=1e-7, atol=1e-8 * float(first.output.abs().max()))


def test_not_to_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    g, v, _ = crossbar(32, 32, 9)
    monkeypatch.setattr(op, "_most", lambda *_: 1)
    with pytest.raises(ConvergenceError, match=r"9 of 9 inputs did not reach rtol 1e-12 in \d iterations \(bound on the error .*residual"):
        crossbar_solve(g, v, Wires(300.0, 300.0, 30.0, 30.0), rtol=1e-12, kernel="numba")


@pytest.mark.parametrize("sense", [False, True])
@pytest.mark.parametrize("ohm", [(2e3, 3e3), (0.0, 3e3), (2e3, 0.0)])
def test_the_power_of_bit_lines_is_known_when_they_have_been_eliminated(ohm: tuple[float, float], sense: bool) -> None:
    """<x, g (g + Z^-1)^-1 g x> of a dense resistance matrix Z, with and without the second sense node."""
    n, (r_sense, r_bit) = 6, ohm
    generator = np.random.default_rng(1)
    g, x = 1e-4 * generator.random((n, 1)), generator.random(n)
    light, exact = np.empty((7, n, 1), np.float32), np.empty((2, n, 1))
    factor_both(g, np.array([1.0, 1.0, r_sense, r_bit]), False, sense, light, exact)
    place = r_sense + r_bit * np.arange(n)[::-1]
    z = np.minimum.outer(place, place)
    if sense:
        z = z - np.outer(place, place) / (place[0] + r_sense)
    # (g + Z^-1)^-1 = Z (1 + g Z)^-1 also where Z has no inverse.
    current = g[:, 0] * x
    expected = current @ (z @ np.linalg.solve(np.eye(n) + g * z, current))
    e, power = 0.0, 0.0
    for i in range(n - 1, -1, -1):
        e += exact[0, i, 0] * (x[i] - e)
        power += (exact[1, i, 0] * e) ** 2
    assert power == pytest.approx(expected, rel=1e-12)
