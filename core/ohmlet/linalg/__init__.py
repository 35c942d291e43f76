"""Matrices on crossbars that behave like numpy's: products from both sides, sub-blocks, complex numbers, programming of parts."""

from ohmlet.linalg.matrix import AnalogMatrix
from ohmlet.linalg.placing import array

__all__ = ["AnalogMatrix", "array"]
