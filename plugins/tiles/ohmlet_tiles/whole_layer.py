"""Hardware-aware training of one crossbar as a single step of autograd, where the engine has one for its settings."""

from __future__ import annotations

from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Site
from ohmlet_tiles.input_range import AbsMax
from ohmlet_tiles.modifiers import AddNormal
from ohmlet_tiles.pass_module import PassModule
from ohmlet_tiles.training import Training

__all__ = ["whole_layer"]


def whole_layer(module: PassModule, training: Training, site: Site) -> Any:
    """Return what computes a layer in training from inputs to outputs in model units, or None where the engine has nothing for it.

    Inputs are scaled by their largest; the weights' noise is none or `add_normal`, and nothing else is done to the weights.
    """
    scaling, modifier = module.settings.input_range, training.modifier
    if type(scaling) is not AbsMax or module.coded is not None or module.readout is not None or module.settings.varies:
        return None
    others = training.drop_connect or training.keep_last_column or training.per_sample or training.ramp or training.clip
    if others or not (modifier is None or type(modifier) is AddNormal):
        return None
    try:
        layer = getattr(site.kernel("mapped_mvm", "cpu"), "layer", None)
    except ConfigError:
        return None
    if layer is None or not layer.fits(module.numbers):
        return None
    return layer(module.numbers, scaling.limit, modifier.std if modifier else 0.0, modifier.w_max if modifier else None)
