"""The pulsed update: trains of pulses on rows and columns whose coincidences step the devices, sample by sample in order."""

from ohmlet_kernels.pulsed_update.cells import Cells, Trains
from ohmlet_kernels.pulsed_update.step import OPS, Step, StepError, bound, read_step

__all__ = ["OPS", "Cells", "Step", "StepError", "Trains", "bound", "read_step"]
