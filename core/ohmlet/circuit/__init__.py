"""Crossbars of memristors at circuit level: voltages on lines, what they do to every cell, and tuning cells to conductances."""

from ohmlet.circuit.bias import SCHEMES, Bias, biased
from ohmlet.circuit.lines import Lines, OnLines
from ohmlet.circuit.loops import open_loop, tune
from ohmlet.circuit.pulsing import Written, hold
from ohmlet.circuit.tuning import Progress, Tuned, Tuning

__all__ = ["SCHEMES", "Bias", "Lines", "OnLines", "Progress", "Tuned", "Tuning", "Written", "biased", "hold", "open_loop", "tune"]
