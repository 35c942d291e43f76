"""Crossbars with resistive wires come out the same on a GPU."""

from __future__ import annotations

import pytest
import torch

from ohmlet_kernels.crossbar_solve import Cubic, Wires, crossbar_solve

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("cubic", [False, True])
def test_outputs_voltages_and_gradients(cubic: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    g = 1e-4 * torch.rand((2, 30, 20), generator=generator, dtype=torch.float64)
    v = torch.rand((5, 30), generator=generator, dtype=torch.float64)
    wires = Wires(20.0, 20.0, 10.0, 10.0, "double", "double", 500.0)
    results = []
    for device in ("cpu", "cuda"):
        own, volts = g.to(device).requires_grad_(), v.to(device).requires_grad_()
        found = crossbar_solve(own, volts, wires, iv=Cubic(6e3 * g.to(device)[:, None].square()) if cubic else None, rtol=1e-10)
        gradients = torch.autograd.grad(found.output.square().sum(), (own, volts))
        assert found.output.device.type == device
        results.append([each.cpu() for each in (found.output, found.cell_voltage, found.bit_voltage, *gradients)])
    for cpu, gpu in zip(*results, strict=True):
        assert torch.allclose(gpu, cpu, rtol=1e-7, atol=1e-9 * float(cpu.abs().max()))
