"""Arrays of cells: the state of the devices at the crosspoints of one crossbar, and what can be done to it."""

from ohmlet.cells.array import CellArray, DeviceArray, PulsedArray
from ohmlet.cells.build import build_array
from ohmlet.cells.endurance import PulseReport, pulse_report
from ohmlet.cells.transfer_report import TransferReport, transfer_report

__all__ = [
    "CellArray",
    "DeviceArray",
    "PulseReport",
    "PulsedArray",
    "TransferReport",
    "build_array",
    "pulse_report",
    "transfer_report",
]
