"""Replays of weight modifiers, clips and remaps: group I."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet.config.structure import structure
from ohmlet.interfaces.tile import Tile
from ohmlet.interop.aihwkit.plain import member, real
from ohmlet.interop.aihwkit.weights import training
from ohmlet.nn.mapping import weight_scales
from ohmlet_kernels.noise import Stream, key

__all__ = ["clip", "modifier", "remap"]

Arrays = Mapping[str, np.ndarray[Any, Any]]


def settings(case: Mapping[str, Any]) -> Any:
    """Return the hardware-aware training that a case's parameters describe."""
    tile: Any = structure({"type": "inference", "training": training(case["parameters"], [])}, Tile)
    return tile.training


def modifier(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return mean and standard deviation of the modified weights over as many draws as the reference has, and one draw."""
    del engine  # weights are prepared in plain torch
    n, made = int(case["repetitions"]), settings(case)
    keys = torch.tensor([key("replay", case["id"], index) for index in range(n)])
    drawn = made.modified(arrays["W"].expand(n, -1, -1), Stream(keys), True).to(torch.float64)
    return {"n": np.asarray(n), "W_mod_mean": drawn.mean(0).numpy(), "W_mod_std": drawn.std(0).numpy(), "W_mod": drawn[0].numpy()}


def clip(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the clipped weights."""
    del engine
    return {"W_out": settings(case).constrain(arrays["W"]).numpy()}


def remap(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return weights and scales after remapping; what the weights stand for, weight times scale, stays."""
    del engine
    p, scales = case["parameters"]["remap"], arrays["scales"][:, None]
    kinds = {"LAYERWISE_SYMMETRIC": "tilewise", "CHANNELWISE_SYMMETRIC": "columnwise"}
    meant = arrays["W"] * scales
    if kinds[member(p["type"])] == "tilewise":
        # The source takes the largest weight of the crossbar, whatever the outputs' scales are.
        new = scales * weight_scales(arrays["W"], "tilewise", real(p["remapped_wmax"]))
    else:
        # The source limits the new scales by the smallest of the old ones, or by a reference.
        least = max(float(scales.min()), 0.0, real(p["max_scale_ref"]))
        new = weight_scales(meant, "columnwise", real(p["remapped_wmax"]), real(p["max_scale_range"]) or math.inf, least)
    return {"W_out": (meant / new).numpy(), "scales_out": new[:, 0].numpy()}
