"""Analog layers: torch's own layers with their products on crossbars."""

from ohmlet.nn import steps as _steps  # noqa: F401 -- counts optimizer steps from now on
from ohmlet.nn.attention import AnalogMultiheadAttention
from ohmlet.nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from ohmlet.nn.conv_transpose import AnalogConvTranspose1d, AnalogConvTranspose2d, AnalogConvTranspose3d
from ohmlet.nn.embedding import AnalogEmbedding
from ohmlet.nn.hf_conv1d import AnalogHFConv1D
from ohmlet.nn.layer import AnalogLayer
from ohmlet.nn.linear import AnalogLinear, AnalogOutProjection
from ohmlet.nn.recurrent import AnalogGRU, AnalogLSTM, AnalogRNN

__all__ = [
    "LAYERS",
    "AnalogConv1d",
    "AnalogConv2d",
    "AnalogConv3d",
    "AnalogConvTranspose1d",
    "AnalogConvTranspose2d",
    "AnalogConvTranspose3d",
    "AnalogEmbedding",
    "AnalogGRU",
    "AnalogHFConv1D",
    "AnalogLSTM",
    "AnalogLayer",
    "AnalogLinear",
    "AnalogMultiheadAttention",
    "AnalogRNN",
    "layer_for",
]

LAYERS: dict[type, type[AnalogLayer]] = {
    layer.digital: layer
    for layer in (
        AnalogLinear,
        AnalogOutProjection,
        AnalogConv1d,
        AnalogConv2d,
        AnalogConv3d,
        AnalogConvTranspose1d,
        AnalogConvTranspose2d,
        AnalogConvTranspose3d,
        AnalogRNN,
        AnalogLSTM,
        AnalogGRU,
        AnalogMultiheadAttention,
        AnalogEmbedding,
    )
}
"""Digital module class -> the analog layer that stands for it; add a layer of your own here to have `convert` use it."""


def layer_for(cls: type) -> type[AnalogLayer] | None:
    """Return the analog layer that stands for a digital module class, if there is one."""
    return LAYERS.get(cls) or (AnalogHFConv1D if AnalogHFConv1D.stands_for(cls) else None)
