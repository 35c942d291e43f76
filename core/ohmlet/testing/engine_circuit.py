"""What an engine's solution of crossbars with wires promises: the reference's currents, voltages and gradients within its tolerance."""

from __future__ import annotations

from unittest import SkipTest

import torch

from ohmlet.interfaces.engine import Engine
from ohmlet.testing.buffers import poisoned
from ohmlet.testing.engine_parts import device_of, reference
from ohmlet.testing.expect import close, expect, shaped
from ohmlet.testing.streams import spread
from ohmlet_kernels.crossbar_solve import Cubic, Wires

__all__ = ["EngineCircuitTests"]

WIRES = {
    "ideal wires": Wires(),
    "wires driven and sensed at one end": Wires(r_word=30.0, r_bit=20.0, r_source=5.0, r_sense=8.0),
    "wires driven and sensed at both ends": Wires(30.0, 20.0, 5.0, 8.0, "double", "double", 2e3),
}
SHAPES = ((1, 1, 1), (3, 5, 9), (2, 17, 1), (0, 3, 4), (2, 33, 12))
"""(inputs, rows, columns)."""


class EngineCircuitTests:
    """Part of `EngineTests`."""

    def test_crossbar_solve_equals_the_reference(self, spec: Engine) -> None:
        """Solved to 1e-11, outputs, cell voltages and gradients are the reference's, for resistors and for cubic cells."""
        device = device_of(spec)
        if "crossbar_solve" not in spec.kernels():
            raise SkipTest("the engine has no crossbar_solve")
        kernel, rtol = spec.kernels()["crossbar_solve"], 1e-11
        for words, wires in WIRES.items():
            for inputs, rows, columns in SHAPES:
                for cubic in (False, True):
                    label = f"crossbar_solve, {words}, {inputs} inputs, {rows} rows, {columns} columns{', cubic cells' if cubic else ''}"
                    found = []
                    for solve in (kernel, reference("crossbar_solve")):
                        g = (1e-4 * spread(2, rows, columns, seed=1).abs().double()).to(device).requires_grad_()
                        v = spread(inputs, rows, seed=2).double().to(device).requires_grad_()
                        iv = Cubic(1e-5 * torch.ones((), dtype=torch.float64, device=device)) if cubic else None
                        with poisoned():
                            solved = solve(g, v, wires, iv=iv, rtol=rtol)
                            gradients = torch.autograd.grad(solved.output.square().sum() * 1e6, (g, v))
                        found.append((solved.output.detach(), solved.cell_voltage.detach(), *gradients))
                        expect(bool((solved.error_bound <= rtol).all()), f"{label}: error_bound is above rtol {rtol}")
                    shaped(found[0][0], (2, inputs, columns), torch.float64, label)
                    for name, own, expected in zip(("output", "cell_voltage", "gradient of g", "gradient of v"), *found, strict=True):
                        scale = (float(expected.abs().amax()) if expected.numel() else 0.0) or 1.0
                        close(own / scale, expected / scale, f"{label}: {name} differs from the reference's")
