"""Optimizers for layers that learn in memory: AnalogSGD, `attach` for any other of torch's, and TrainingStep for all of a step."""

from ohmlet.optim.attach import attach
from ohmlet.optim.sgd import AnalogSGD
from ohmlet.optim.training_step import TrainingStep

__all__ = ["AnalogSGD", "TrainingStep", "attach"]
