"""Products of matrices on crossbars against numpy's: ideal ones are equal, and all hardware computes with the cells that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ohmlet

IDEAL: dict[str, Any] = {"tile": "ideal"}
SPLIT: dict[str, Any] = {"tile": "ideal", "mapping": {"max_in": 3, "max_out": 2}}
PROGRAMMED: dict[str, Any] = {
    "tile": {"type": "inference", "noise_model": "pcm", "conductance_converter": {"type": "single_pair", "g_max_uS": 25.0}}
}
# Devices without a spread, which hold what they are given.
IN_MEMORY: dict[str, Any] = {"tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": "ideal"}}}


def numbers(*shape: int, seed: int = 0, imaginary: bool = False) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    real = rng.uniform(-1.0, 1.0, shape)
    return real + 1j * rng.uniform(-1.0, 1.0, shape) if imaginary else real


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("config", [IDEAL, SPLIT], ids=["one crossbar", "several"])
def test_products_from_both_sides_are_numpys(config: dict[str, Any], imaginary: bool) -> None:
    m = numbers(5, 7, imaginary=imaginary)
    a = ohmlet.array(m, config)
    for shape in [(7,), (7, 4), (2, 7, 4), (3, 1, 7, 2)]:
        for kind in (False, True):
            x = numbers(*shape, seed=1, imaginary=kind)
            np.testing.assert_allclose(a @ x, m @ x, atol=1e-12)
    for shape in [(5,), (4, 5), (2, 4, 5)]:
        for kind in (False, True):
            x = numbers(*shape, seed=2, imaginary=kind)
            np.testing.assert_allclose(x @ a, x @ m, atol=1e-12)


def test_float32_is_computed_in_float32() -> None:
    m, x = numbers(5, 7).astype(np.float32), numbers(7).astype(np.float32)
    a = ohmlet.array(m, IDEAL)
    assert (a.dtype, (a @ x).dtype) == (np.dtype("float32"), np.dtype("float32"))
    np.testing.assert_allclose(a @ x, m @ x, atol=1e-6)
    assert ohmlet.array([[1, 2], [3, 4]], IDEAL).dtype == np.dtype("float64")


@pytest.mark.parametrize(
    "select",
    [
        lambda a: a[2:5, :],
        lambda a: a[:, 1:6:2],
        lambda a: a[1:4][:, [5, 0, 3]],
        lambda a: a[::-1, np.array([True, False] * 3 + [False])],
        lambda a: a.T[2:4],
        lambda a: a.T[1:5].T[:, 1:3],
        lambda a: a[torch.tensor([3, 1]), :].T,
    ],
)
@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize("config", [IDEAL, SPLIT], ids=["one crossbar", "several"])
def test_parts_and_transposes_are_numpys(config: dict[str, Any], imaginary: bool, select: Callable[[Any], Any]) -> None:
    m = numbers(5, 7, imaginary=imaginary)
    part, expected = select(ohmlet.array(m, config)), select(m)
    assert (part.shape, part.ndim, len(part)) == (expected.shape, 2, len(expected))
    np.testing.assert_array_equal(np.asarray(part), expected)
    np.testing.assert_allclose(part.read(), expected, atol=1e-12)
    x, y = numbers(expected.shape[1], 2, seed=3, imaginary=imaginary), numbers(2, expected.shape[0], seed=4, imaginary=imaginary)
    np.testing.assert_allclose(part @ x, expected @ x, atol=1e-12)
    np.testing.assert_allclose(y @ part, y @ expected, atol=1e-12)
    np.testing.assert_allclose(part.H @ y.T, expected.conj().T @ y.T, atol=1e-12)


class Noted:
    """A product of a crossbar that writes down whose it is."""

    def __init__(self, mvm: Any, read: list[int], number: int) -> None:
        self.mvm, self.read, self.number = mvm, read, number

    def __call__(self, *args: Any) -> Any:
        self.read.append(self.number)
        return self.mvm(*args)


def test_crossbars_without_a_selected_line_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    a = ohmlet.array(numbers(4, 6), SPLIT)
    read: list[int] = []
    for number, crossbar in enumerate(a._held.array.crossbars):
        monkeypatch.setattr(crossbar, "mvm", Noted(crossbar.mvm, read, number))
    _ = a[3:4, 0:2] @ np.ones(2)
    # Blocks of 2 x 3: rows 2 and 3 with columns 0 to 2 are the third.
    assert read == [2]


def test_torch_keeps_its_kind_and_its_gradient() -> None:
    m, x = torch.tensor(numbers(5, 7)), torch.tensor(numbers(7, 2), requires_grad=True)
    a = ohmlet.array(m, IDEAL)
    y = a @ x
    assert isinstance(y, torch.Tensor)
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * m.T @ m @ x.detach())
    left = torch.ones(3, 5, dtype=torch.float64)
    torch.testing.assert_close(left @ a, left @ m)
    torch.testing.assert_close(torch.matmul(left, a), left @ m)  # type: ignore[arg-type]
    assert isinstance(a.read(), torch.Tensor)
    assert isinstance(ohmlet.array(m.numpy(), IDEAL) @ x.detach(), torch.Tensor)


def test_functions_of_numpy_do_not_compute_digitally_unasked() -> None:
    m, x = numbers(5, 7), numbers(7, seed=1)
    a = ohmlet.array(m, PROGRAMMED, seed=1)
    np.testing.assert_allclose(np.dot(a, x), a.read() @ x, atol=2e-6)
    np.testing.assert_allclose(np.dot(m[:, 0], a), m[:, 0] @ a.read(), atol=2e-6)
    assert (np.shape(a), np.ndim(a), np.size(a)) == ((5, 7), 2, 35)
    with pytest.raises(TypeError, match=r"numpy\.trace cannot be computed on crossbars; give it numpy\.asarray\(A\)"):
        np.trace(a)
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(a)


@pytest.mark.parametrize("shape", [(7, 0), (0, 7, 2)])
def test_no_vectors_give_none(shape: tuple[int, ...]) -> None:
    m = numbers(5, 7)
    for config in (SPLIT, "pcm_inference"):
        y = ohmlet.array(m, config, seed=1) @ np.zeros(shape)
        assert y.shape == (m @ np.zeros(shape)).shape


def test_a_programmed_matrix_is_the_linear_layer_of_a_chip() -> None:
    """The chip's life cycle is an independent way to the same numbers: same name, seed and weights."""
    m, x = numbers(6, 8).astype(np.float32), torch.tensor(numbers(3, 8, seed=1).astype(np.float32))
    linear = torch.nn.Linear(8, 6, bias=False)
    linear.weight.data.copy_(torch.tensor(m))
    model = torch.nn.Sequential(linear)
    ohmlet.convert(model, "pcm_inference")
    chip = ohmlet.program(model.eval(), seed=5)
    instance: Any = chip.at(0).instance(0)
    a = ohmlet.array(m, "pcm_inference", seed=5, name="0")
    for t in ("0 s", "1 day"):
        torch.testing.assert_close((a.at(t) @ x.T).T, chip.at(t)(x)[0])
    torch.testing.assert_close((a @ x.T).T, instance(x))


@pytest.mark.parametrize("config", [PROGRAMMED, IN_MEMORY], ids=["programmed", "in memory"])
def test_hardware_computes_with_what_its_cells_hold(config: dict[str, Any]) -> None:
    m = 0.5 * numbers(5, 7)
    a = ohmlet.array(m, config, seed=3)
    held = a.read()
    assert (np.abs(held - m).max() > 1e-3) == (config is PROGRAMMED)
    np.testing.assert_array_equal(np.asarray(a), m)
    x, y = numbers(7, 3, seed=1), numbers(3, 5, seed=2)
    np.testing.assert_allclose(a @ x, held @ x, atol=2e-6)
    np.testing.assert_allclose(y @ a, y @ held, atol=2e-6)
    np.testing.assert_allclose(a[1:3, 2:] @ x[2:], held[1:3, 2:] @ x[2:], atol=2e-6)


def test_a_complex_product_is_the_sum_over_the_cells_of_its_block() -> None:
    m = numbers(4, 3, imaginary=True)
    a = ohmlet.array(m, PROGRAMMED, seed=3)
    cells, x = a.cells(), numbers(3, imaginary=True, seed=1)
    assert cells.shape == (8, 6)
    y = cells @ np.concatenate((x.real, x.imag))
    np.testing.assert_allclose(a @ x, y[:4] + 1j * y[4:], atol=2e-6)
    left = numbers(4, imaginary=True, seed=2)
    z = cells.T @ np.concatenate((left.real, -left.imag))
    np.testing.assert_allclose(left @ a, z[:3] - 1j * z[3:], atol=2e-6)
    np.testing.assert_allclose(a.read(), (cells[:4, :3] + cells[4:, 3:]) / 2 + 1j * (cells[4:, :3] - cells[:4, 3:]) / 2, atol=1e-12)


def test_the_transposed_read_has_the_converters_of_its_own_pass() -> None:
    """The forward pass has a coarse ADC, the backward one a coarse DAC: 1 bit less a level leaves -1, 0 and 1 of full scale."""
    tile = {"type": "inference", "forward": {"adc": {"levels": 2, "bound": 1.0}}, "backward": {"dac": {"levels": 2, "bound": 1.0}}}
    m = np.array([[1.0, -0.5], [0.25, 1.0]])
    a = ohmlet.array(m, {"tile": tile, "mapping": {"scales": "none"}})
    np.testing.assert_allclose(a @ np.array([0.9, 0.1]), [0.9, 0.0])  # 0.944 and 0.361 of full scale
    np.testing.assert_allclose(np.array([0.9, 0.1]) @ a, 0.9 * m[0])


@pytest.mark.parametrize("programmed", [False, True])
def test_a_circuit_read_from_either_side_is_one_network_by_reciprocity(programmed: bool) -> None:
    """With equal resistances at both ends of a linear network, the current at i per volt at j is that at j per volt at i."""
    wires = {"r_word": 3.0, "r_bit": 8.0, "r_source": 5.0, "r_sense": 5.0}
    tile = {"type": "circuit", "wires": wires, "conductance_converter": {"type": "single_pair", "g_max_uS": 1000.0}}
    noise = {"noise_model": {"type": "state_independent", "prog_coeff": [20.0]}} if programmed else {}
    m = numbers(4, 6)
    a = ohmlet.array(m, {"tile": {**tile, **noise}, "mapping": {"scales": "tilewise"}}, seed=1)
    forward, transposed = a @ np.eye(6), np.eye(4) @ a
    np.testing.assert_allclose(transposed, forward, rtol=1e-6, atol=1e-8)
    assert np.abs(forward - m).max() > 0.02
    part = a[1:3, 2:5] @ np.ones(3)
    np.testing.assert_allclose(part, forward[1:3, 2:5].sum(1), rtol=1e-6)


def test_noise_goes_by_the_seed_and_the_number_of_the_vector() -> None:
    m, x = numbers(4, 6), numbers(6, 5, seed=1)
    first, second, other = (ohmlet.array(m, "pcm_inference", seed=seed) for seed in (1, 1, 2))
    together = first @ x
    np.testing.assert_array_equal(np.stack([second @ column for column in x.T], axis=1), together)
    assert np.abs(first @ x - together).max() > 1e-3
    assert np.abs(other.read() - first.read()).max() > 1e-3


def test_scipy_solves_with_it() -> None:
    linalg = pytest.importorskip("scipy.sparse.linalg")
    root = numbers(12, 12)
    m, b = root @ root.T + np.eye(12), numbers(12, seed=1)
    x, info = linalg.cg(ohmlet.array(m, IDEAL), b, rtol=1e-10)
    assert info == 0
    np.testing.assert_allclose(x, np.linalg.solve(m, b), rtol=1e-6)
    tall = numbers(9, 4, imaginary=True)
    c = numbers(9, seed=2, imaginary=True)
    found = linalg.lsqr(ohmlet.array(tall, IDEAL), c, atol=1e-12, btol=1e-12)[0]
    np.testing.assert_allclose(found, np.linalg.lstsq(tall, c, rcond=None)[0], rtol=1e-6)
