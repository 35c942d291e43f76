"""Clipping the stored weights after an optimizer step, for who wants that instead of clipping in the forward pass alone."""

from __future__ import annotations

import torch
from torch import nn

from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError
from ohmlet.nn.layer import AnalogLayer
from ohmlet.nn.writing import write_matrices

__all__ = ["clip_stored"]


@torch.no_grad()
def clip_stored(model: nn.Module) -> None:
    """Write each layer's weights back clipped as its `training.clip` says, in place: to be called after `optimizer.step()`.

        optimizer.register_step_post_hook(lambda *_: ohmlet.clip_stored(model))

    The forward pass clips in any case; this one also forgets how far beyond the bound a step has gone. docs/training.md says where the
    two ways part. Sharded parameters must be gathered first. Raises OrderError for a model without analog layers, ConfigError when no
    layer has a clip.
    """
    layers = analog_layers(model, "clip_stored")
    clipped = [_clip(layer) for layer in layers.values()]
    if not any(clipped):
        raise ConfigError("clip_stored has no effect: no layer has a clip; set tile.training.clip, for example to layer_gaussian")


def _clip(layer: AnalogLayer) -> bool:
    """Clip one layer's weights; returns whether it has a clip."""
    arrays, wanted, clips = layer.arrays(), {}, False
    for which, matrix in layer.matrices().items():
        array = arrays[which]
        clipped = array.matrix(matrix.weight, matrix.bias).clone()
        for block, crossbar in zip(array.blocks, array.crossbars, strict=True):
            constrain = getattr(crossbar, "constrain", None)
            if constrain is not None:
                part = clipped[..., block.first_out : block.last_out, block.first_in : block.last_in]
                inside = constrain(part)
                clips = clips or inside is not part
                part.copy_(inside)
        wanted[which] = array.parted(clipped)
    if clips:
        write_matrices(layer, wanted)
    return clips
