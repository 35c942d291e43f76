"""Devices and noise models fitted to measurements."""

from __future__ import annotations

from ohmlet.fitting.api import fit, ranking
from ohmlet.fitting.measurements import DriftTraces, Measurements, ProgrammingErrors, PulseTraces, Trace, read
from ohmlet.fitting.result import Curve, Estimate, Fit

__all__ = [
    "Curve",
    "DriftTraces",
    "Estimate",
    "Fit",
    "Measurements",
    "ProgrammingErrors",
    "PulseTraces",
    "Trace",
    "fit",
    "ranking",
    "read",
]
