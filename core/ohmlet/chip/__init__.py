"""Chips: models as programmed conductances that drift and are read."""

from ohmlet.chip.chip import Chip, program
from ohmlet.chip.convergence import Convergence, ConvergenceRow
from ohmlet.chip.export import export_targets
from ohmlet.chip.fault_map import FaultMap
from ohmlet.chip.faults import Faults
from ohmlet.chip.measured import MeasuredChip, attach
from ohmlet.chip.pulse_writes import Pulses
from ohmlet.chip.view import ChipView
from ohmlet.chip.weight_programming import WeightProgramming, optimize_weight_programming
from ohmlet.chip.write_verify import WriteVerify
from ohmlet.chip.writes import Increment, Placement

__all__ = [
    "Chip",
    "ChipView",
    "Convergence",
    "ConvergenceRow",
    "FaultMap",
    "Faults",
    "Increment",
    "MeasuredChip",
    "Placement",
    "Pulses",
    "WeightProgramming",
    "WriteVerify",
    "attach",
    "export_targets",
    "optimize_weight_programming",
    "program",
]
