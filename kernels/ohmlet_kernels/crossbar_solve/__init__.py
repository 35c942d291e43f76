"""Currents and voltages of crossbars with resistive wires, exact, batched and differentiable."""

from ohmlet_kernels.crossbar_solve.iv import IV, Cubic
from ohmlet_kernels.crossbar_solve.op import ConvergenceError
from ohmlet_kernels.crossbar_solve.power import Power, power
from ohmlet_kernels.crossbar_solve.solution import Solution
from ohmlet_kernels.crossbar_solve.solve import crossbar_solve
from ohmlet_kernels.crossbar_solve.wires import Wires

__all__ = ["IV", "ConvergenceError", "Cubic", "Power", "Solution", "Wires", "crossbar_solve", "power"]
