"""Chips: models as programmed conductances that drift and are read."""

from ohmlet.chip.chip import Chip, program
from ohmlet.chip.view import ChipView

__all__ = ["Chip", "ChipView", "program"]
