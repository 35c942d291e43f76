"""Replays of single updates coded in pulses: group E."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet.cells import CellArray, PulsedArray, build_array
from ohmlet.config.structure import structure
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interop.aihwkit.device_cells import device
from ohmlet.interop.aihwkit.pulses import pulsed_update
from ohmlet.nn.kernels import kernels_of
from ohmlet_kernels.noise import Stream, key
from ohmlet_kernels.pulsed_update.trains import trains

__all__ = ["outer_product"]

Arrays = Mapping[str, np.ndarray[Any, Any]]


def exact(w: Tensor, x: Tensor, noise: Stream) -> Tensor:
    """Return w x, since updates of single devices read nothing."""
    return x @ w.mT


def repeated(array: CellArray, arrays: Mapping[str, Tensor], lr: float, pulses: PulsedUpdate, at: Stream, repetitions: range) -> Tensor:
    """Return the weight changes [n, out, in] of repetitions of one update, each from zero and with ordinals of its own."""
    x, d, n = arrays["x"], arrays["d"], len(repetitions)
    size = len(x)
    zero, changes = torch.zeros((d.shape[1], x.shape[1])), []
    noise = at.at(repetitions.start * size + torch.arange(n * size))
    coded = array if isinstance(array, PulsedArray) and not pulses.pulse_type.startswith("none") else None
    if coded is not None:
        all_x, all_d, kernel = x.repeat(n, 1), d.repeat(n, 1), coded.kernel("pulse_bits", x.device.type)
        made = trains(all_x, all_d, lr, array.granularity, pulses.numbers(), noise, kernel)
    for index in range(n):
        chosen = slice(index * size, (index + 1) * size)
        assert noise.ordinals is not None
        own = noise.at(noise.ordinals[chosen])
        array.set_weights(zero, own.shared())
        if coded is not None:
            coded.pulse_trains(made.part(chosen.start, chosen.stop), own)
        else:
            array.pulse(x, d, lr, pulses, own)
        changes.append(array.weights().clone())
    return torch.stack(changes)


def outer_product(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return mean, standard deviation and covariance of the change over as many repetitions and fresh devices as the reference has."""
    stated, n, tiles = case["parameters"], int(case["repetitions"]), int(case["n_tiles"])
    cell: UnitCell = structure(device(stated["device"], []), UnitCell)
    pulses = structure(pulsed_update(stated["update"], []), PulsedUpdate)
    each, changes = -(-n // tiles), []
    for tile in range(tiles):
        where = torch.tensor(key("replay", str(case["id"]), tile))
        site = ArraySite(arrays["d"].shape[1], arrays["x"].shape[1], where, kernels_of(engine), exact)
        chosen = range(tile * each, min((tile + 1) * each, n))
        changes.append(repeated(build_array(cell, site), arrays, float(case["learning_rate"]), pulses, Stream(where), chosen))
    dw = torch.cat(changes).to(torch.float64).flatten(1)
    shape, mean = changes[0].shape[1:], dw.mean(0)
    std = dw.std(0) if n > 1 else torch.zeros_like(mean)
    cov = (dw - mean).mT @ (dw - mean) / max(n - 1, 1)
    return {"n": np.asarray(n), "dw_mean": mean.reshape(shape).numpy(), "dw_std": std.reshape(shape).numpy(), "dw_cov": cov.numpy()}
