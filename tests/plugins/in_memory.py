"""What tests of update algorithms share: devices without variation, arrays with an exact read-out, and a loop over vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet.cells import build_array
from ohmlet.cells.build import keyed
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.nn.kernels import kernels_of
from ohmlet_devices.constant_step import ConstantStep
from ohmlet_kernels.noise import Stream

IMPLICIT: dict[str, Any] = {"pulse_type": "deterministic_implicit"}


def plain_step(dw_min: float, bound: float = 1.0, **changes: Any) -> ConstantStep:
    """Return a device without any variation."""
    none = dict.fromkeys(("dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down_dtod"), 0.0)
    return ConstantStep(**{"dw_min": dw_min, "w_max": bound, "w_min": -bound, **none, **changes})


def site(rows: int, columns: int, seed: int = 1, engine: str = "auto", read: Any = None) -> ArraySite:
    """Return a place for arrays whose read-out is exact unless given."""
    exact = (lambda w, x, noise: x @ w.mT) if read is None else read
    return ArraySite(rows, columns, torch.tensor(seed), kernels_of(engine), exact)


def built(algorithm: UpdateAlgorithm, at: ArraySite, pulses: PulsedUpdate) -> Any:
    """Return an algorithm's module with its arrays."""
    arrays: Mapping[str, UnitCell] = algorithm.arrays()
    made = {name: build_array(cell, keyed(at, name), name) for name, cell in arrays.items()}
    return algorithm.build(at, made, pulses)


def noise(at: ArraySite, first: int, count: int) -> Stream:
    """Return the stream of the vectors first to first + count - 1."""
    return Stream(at.key, torch.arange(first, first + count))


def train(module: Any, at: ArraySite, xs: Tensor, ds: Tensor, lr: float, batch: int = 1) -> None:
    """Update with vectors xs [S, in] and ds [S, out], `batch` at a time."""
    for first in range(0, len(xs), batch):
        module.update(xs[first : first + batch], ds[first : first + batch], lr, noise(at, first, batch))


def vectors() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the inputs and errors of the golden vectors: 12 of both, then 40."""
    rng = np.random.RandomState(0)
    drawn = [rng.uniform(-1, 1, (12, 3)), rng.uniform(-1, 1, (12, 2)), rng.uniform(-1, 1, (40, 3)), rng.uniform(-1, 1, (40, 2))]
    a, b, c, d = (torch.tensor(each, dtype=torch.float32) for each in drawn)
    return a, b, c, d
