"""Analog layers: torch's own layers with their products on crossbars."""

from ohmlet.nn.conv import AnalogConv2d
from ohmlet.nn.layer import AnalogLayer
from ohmlet.nn.linear import AnalogLinear

__all__ = ["LAYERS", "AnalogConv2d", "AnalogLayer", "AnalogLinear"]

LAYERS: dict[type, type[AnalogLayer]] = {layer.digital: layer for layer in (AnalogLinear, AnalogConv2d)}
"""Digital module class -> the analog layer that stands for it; add a layer of your own here to have `convert` use it."""
