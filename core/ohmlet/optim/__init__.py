"""Optimizers for layers that learn in memory: AnalogSGD, and `attach` for any other of torch's."""

from ohmlet.optim.attach import attach
from ohmlet.optim.sgd import AnalogSGD

__all__ = ["AnalogSGD", "attach"]
