"""Replays of in-memory training: group G, a linear regression that many crossbars learn side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet.cells import build_array
from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Site
from ohmlet.interop.aihwkit.algorithm_config import training_config
from ohmlet.nn.kernels import kernels_of
from ohmlet_kernels.noise import Stream, key

__all__ = ["training"]

Arrays = Mapping[str, np.ndarray[Any, Any]]


def crossbars(case: Mapping[str, Any], rows: int, columns: int, keys: Tensor, engine: str) -> Any:
    """Return as many crossbars as there are keys, parallel in one module, as the case's RPU config describes them."""
    config = AnalogConfig.parse(training_config(case["parameters"]["rpu_config"], []))
    if config.mapping.scales != "none" or config.mapping.learned_scales != "none":
        raise ConfigError("this replay trains crossbars without scales; the case's mapping asks for some")
    site = Site(out_features=rows, in_features=columns, kernel=kernels_of(engine), keys=keys, cells=build_array)
    return config.tile.build(site).train()


@torch.no_grad()
def training(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return losses and final weights over as many runs as the reference has: rows in order, gradients of the mean squared error."""
    for name in ("momentum", "weight_decay"):
        if case[name]:
            raise ConfigError(f"{name} {case[name]} is not replayed")
    runs, steps, batch, every = (int(case[name]) for name in ("repetitions", "steps", "batch", "record_every"))
    x, y = arrays["X"], arrays["X"] @ arrays["W_target"].mT
    rows, columns = arrays["W_target"].shape
    keys = torch.tensor([key("replay", str(case["id"]), run) for run in range(runs)])
    made = crossbars(case, rows, columns, keys, engine)
    made.set_weights(torch.zeros((runs, rows, columns)), Stream(keys, None, torch.zeros(1, dtype=torch.int64), "set weights"))
    exact, losses = [], []
    for step in range(steps + 1):
        w = made.weights()
        if step % every == 0:
            exact.append((x @ w.mT - y).square().mean((-2, -1)))
        if step == steps:
            break
        chosen = (batch * step + torch.arange(batch)) % len(x)
        ordinals = batch * step + torch.arange(batch)
        seen = x[chosen].expand(runs, batch, columns)
        out = made.forward_pass(seen[:, :, None], w, Stream(keys, ordinals, path="forward")).squeeze(-2)
        off = out - y[chosen]
        losses.append(off.square().mean((-2, -1)))
        made.update(seen, 2 * off / (batch * rows), float(case["learning_rate"]), Stream(keys, ordinals, path="update"))
    recorded = {"mse_exact": torch.stack(exact), "mse_train": torch.stack(losses).unflatten(0, (-1, every)).mean(1)}
    out_arrays: dict[str, np.ndarray[Any, Any]] = {"n": np.asarray(runs)}
    for name, values in recorded.items():
        values = values.to(torch.float64)
        out_arrays |= {f"{name}_mean": values.mean(-1).numpy(), f"{name}_std": values.std(-1).numpy()}
    # The median of an even number of runs lies between the middle two.
    final = made.weights().to(torch.float64).numpy()
    return {**out_arrays, "w_median": np.median(final, axis=0)}
