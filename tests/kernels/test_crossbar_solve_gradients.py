"""T16, gradients of crossbars with resistive wires: implicit differentiation against finite differences and closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ohmlet_kernels.crossbar_solve import Cubic, Wires, crossbar_solve, power
from ohmlet_kernels.crossbar_solve.op import crossbar_drops

KERNELS = ("reference", "numba")
OHM = (300.0, 500.0, 200.0, 100.0)


def crossbar(*lead: int, rows: int = 3, columns: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Return conductances in mS, one of them zero, voltages and bit-line voltages, all of which are differentiated."""
    generator = torch.Generator().manual_seed(1)
    g = 0.1 + torch.rand((*lead, rows, columns), generator=generator, dtype=torch.float64)
    v = torch.rand((2, rows), generator=generator, dtype=torch.float64) - 0.3
    v_bit = 0.1 * torch.rand((2, columns), generator=generator, dtype=torch.float64)
    return g.requires_grad_(), v.requires_grad_(), v_bit.requires_grad_()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mode", [("single", "single"), ("double", "single"), ("double", "double")])
def test_outputs_and_all_voltages_in_all_arguments(mode: tuple[str, str], kernel: str) -> None:
    ohm = torch.tensor([*OHM, 150.0], dtype=torch.float64, requires_grad=True)

    def solved(g: Tensor, v: Tensor, v_bit: Tensor, ohm: Tensor) -> tuple[Tensor, ...]:
        # Resistances in kilo-ohm and conductances in mS bring all derivatives to one scale.
        r_word, r_bit, r_source, r_sense, access = ohm.unbind()
        wires = Wires(r_word, r_bit, r_source, r_sense, *mode, access)
        found = crossbar_solve(1e-3 * g, v, wires, v_bit=v_bit, rtol=1e-12, kernel=kernel)
        return 1e3 * found.output, found.cell_voltage, found.word_voltage, power(found).word_lines * 1e3

    def scaled(g: Tensor, v: Tensor, v_bit: Tensor, kilo: Tensor) -> tuple[Tensor, ...]:
        return solved(g, v, v_bit, 1e3 * kilo)

    kilo = (ohm.detach() / 1e3).requires_grad_()
    assert torch.autograd.gradcheck(scaled, (*crossbar(), kilo), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_batches_share_conductances_or_not(kernel: str) -> None:
    def output(g: Tensor, v: Tensor) -> Tensor:
        return 1e3 * crossbar_solve(1e-3 * g, v, Wires(*OHM), rtol=1e-12, kernel=kernel).output

    for lead in ((), (2,), (2, 1)):
        g, v, _ = crossbar(*lead, rows=2, columns=3)
        assert torch.autograd.gradcheck(output, (g, v), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_cells_of_zero_conductance(kernel: str) -> None:
    """The derivative in a conductance of zero is one-sided, and is not zero: voltage lies over the cell."""
    g, v, _ = crossbar()
    with torch.no_grad():
        g[1, 2] = 0.0

    def output(g: Tensor) -> Tensor:
        return crossbar_solve(1e-3 * g, v.detach(), Wires(*OHM), rtol=1e-12, kernel=kernel).output.square().sum() * 1e6

    (slope,) = torch.autograd.grad(output(g), g)
    step = torch.zeros_like(g)
    step[1, 2] = 1e-6
    with torch.no_grad():
        quotient = (-3 * output(g) + 4 * output(g + step) - output(g + 2 * step)) / 2e-6
    assert float(slope[1, 2]) == pytest.approx(float(quotient), rel=1e-5)
    assert float(slope[1, 2].abs()) > 1e-3


@pytest.mark.parametrize("kernel", KERNELS)
def test_nonlinear_cells(kernel: str) -> None:
    def solved(g: Tensor, v: Tensor, v_bit: Tensor, third: Tensor, kilo: Tensor) -> tuple[Tensor, ...]:
        r_word, r_bit, r_source, r_sense, access = (1e3 * kilo).unbind()
        wires = Wires(r_word, r_bit, r_source, r_sense, r_access=access)
        found = crossbar_solve(1e-3 * g, v, wires, v_bit=v_bit, iv=Cubic(1e-3 * third), rtol=1e-12, kernel=kernel)
        return 1e3 * found.output, found.cell_voltage, found.bit_voltage

    third = torch.rand((3, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    kilo = torch.tensor([*OHM, 150.0], dtype=torch.float64).div(1e3).requires_grad_()
    assert torch.autograd.gradcheck(solved, (*crossbar(), third, kilo), rtol=1e-6, atol=1e-6)


def test_without_wires_they_are_those_of_the_product() -> None:
    g, v, _ = crossbar()
    weight = torch.arange(8.0, dtype=torch.float64).view(2, 4)
    own = torch.autograd.grad((crossbar_solve(g, v, Wires()).output * weight).sum(), (g, v))
    plain = torch.autograd.grad(((v @ g) * weight).sum(), (g, v))
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(own, plain, strict=True))


def test_reciprocity() -> None:
    """The transfer conductance from source i to sense node j is the same in both directions: the gradient in v_bit equals that in v."""
    g, v, v_bit = crossbar(rows=5, columns=6)
    wires = Wires(*OHM)
    rows = [torch.autograd.grad(crossbar_solve(g, v, wires, v_bit=v_bit, rtol=1e-11).output[0, j], v)[0][0] for j in range(6)]
    unit = torch.eye(5, dtype=torch.float64)
    assert torch.allclose(torch.stack(rows).T, crossbar_solve(g, unit, wires, rtol=1e-11).output, rtol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "rule",
    ["test_schema", "test_autograd_registration", "test_faketensor", pytest.param("test_aot_dispatch_dynamic", marks=pytest.mark.slow)],
)
def test_the_operator_keeps_the_rules_of_torch(rule: str, kernel: str) -> None:
    g, v, _ = crossbar(1)
    e = v[None, :, :, None].expand(1, 2, 3, 4).detach().contiguous().requires_grad_()
    ohm = torch.tensor([0.2, 0.3, 0.1, 0.5], dtype=torch.float64, requires_grad=True)
    arguments = (g, e, ohm, True, False, 1e-12, None, kernel)
    torch.library.opcheck(crossbar_drops, arguments, test_utils=rule, rtol=1e-7, atol=1e-9)


def test_it_is_one_node_of_a_compiled_graph() -> None:
    g, v, _ = crossbar()

    def output(g: Tensor, v: Tensor) -> Tensor:
        return crossbar_solve(g, v, Wires(0.3, 0.5, 0.2, 0.1)).output

    compiled = torch.compile(output, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(g, v), output(g, v))
