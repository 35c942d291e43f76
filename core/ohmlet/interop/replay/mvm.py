"""Replays of analog matrix-vector products: groups A and B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ohmlet.config.structure import structure
from ohmlet.interfaces.tile import Site, Tile
from ohmlet.interop.aihwkit.io import analog_pass
from ohmlet.nn.kernels import kernels_of
from ohmlet_kernels.analog_mvm import Variation
from ohmlet_kernels.noise import Stream, key

__all__ = ["deterministic", "stochastic", "time_coded"]

Arrays = Mapping[str, np.ndarray[Any, Any]]


def crossbar(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> nn.Module:
    """Return the crossbar that a case's parameters describe, with the per-output and per-cell values that it states."""
    io = case["parameters"]
    forward, backward = analog_pass(io["forward"], []), analog_pass(io["backward"], [], transposed=True)
    tile: Tile = structure({"type": "inference", "forward": forward, "backward": backward}, Tile)
    made: Any = tile.build(Site(out_features=arrays["W"].shape[0], in_features=arrays["W"].shape[1], kernel=kernels_of(engine)))
    for which, name in ((made.forward_pass, "fwd"), (made.backward_pass, "bwd")):
        cells = arrays.get("fwd_w_asymmetry")
        if cells is not None and name == "bwd":
            cells = cells.mT  # the same cells, read from the other side
        offset, noise, shape = (arrays.get(f"{name}_{word}") for word in ("v_offset", "out_noise_values", "out_nonlinearity"))
        given = Variation(noise, shape, offset, cells)
        if any(value is not None for value in given):
            drawn = which.settings.variation(arrays["W"].mT if name == "bwd" else arrays["W"], torch.tensor(0), name, name == "bwd")
            which.variation = Variation(*(mine if value is None else value for mine, value in zip(drawn, given, strict=True)))
    return made.eval()  # type: ignore[no-any-return]


def product(which: Any, w: Tensor, x: Tensor, name: str) -> Tensor:
    """Return one pass over inputs [S, in], each a sample."""
    noise = Stream(torch.tensor(key("replay", name))).at(torch.arange(len(x)))
    with torch.no_grad():
        y: Tensor = which(x[:, None], w, noise).squeeze(1)
    return y


def deterministic(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the forward products of X and the transposed ones of D."""
    made: Any = crossbar(case, arrays, engine)
    w = arrays["W"]
    forward = product(made.forward_pass, w, arrays["X"], str(case["id"]))
    if made.forward_pass.running is not None:
        # The source keeps one running average for both directions.
        made.backward_pass.running.average.copy_(made.forward_pass.running.average)
    backward = product(made.backward_pass, w.mT, arrays["D"], f"{case['id']} transposed")
    return {"Y_fwd": forward.numpy(), "Y_bwd": backward.numpy()}


def stochastic(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return means, standard deviations and covariances over as many repetitions as the reference has."""
    made: Any = crossbar(case, arrays, engine)
    n, w = int(case["repetitions"]), arrays["W"]
    out: dict[str, np.ndarray[Any, Any]] = {"n": np.asarray(n)}
    for which, inputs, matrix, name in ((made.forward_pass, "X", w, "fwd"), (made.backward_pass, "D", w.mT, "bwd")):
        x = arrays[inputs]
        drawn = product(which, matrix, x.repeat_interleave(n, 0), f"{case['id']} {name}").unflatten(0, (len(x), n)).to(torch.float64)
        out[f"Y_{name}_mean"] = drawn.mean(1).numpy()
        out[f"Y_{name}_std"] = drawn.std(1).numpy()
        centred = drawn - drawn.mean(1, keepdim=True)
        out[f"Y_{name}_cov"] = (centred.mT @ centred / (n - 1)).numpy()
    return out


def time_coded(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the forward products of X; the source spreads the weights over the whole conductance window first."""
    io, w = case["parameters"]["forward"], arrays["W"]
    tile: Tile = structure({"type": "inference", "forward": analog_pass(io, [])}, Tile)
    made: Any = tile.build(Site(out_features=w.shape[0], in_features=w.shape[1], kernel=kernels_of(engine)))
    largest = w.abs().max()
    return {"Y_fwd": (product(made.eval().forward_pass, w / largest, arrays["X"], str(case["id"])) * largest).numpy()}
