"""Replays of pulse responses, decay, diffusion, reset and drift: groups C and D."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet.cells import CellArray, DeviceArray, build_array
from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.tile import Site, Tile
from ohmlet.interop.aihwkit.device_cells import device
from ohmlet.interop.aihwkit.io import analog_pass
from ohmlet.interop.aihwkit.pulses import pulsed_update
from ohmlet.nn.kernels import kernels_of
from ohmlet_kernels.noise import Stream, key

__all__ = ["cycle_noise", "decay", "deterministic", "device_variation", "diffusion", "drift", "reset"]

Arrays = Mapping[str, np.ndarray[Any, Any]]

SIGNS = {"set": 0.0, "up": 1.0, "down": -1.0}

MOST = 4096
"""Vectors of one call."""


def read_out(stated: Mapping[str, Any], rows: int, columns: int, engine: str) -> Callable[[Tensor, Tensor, Stream], Tensor]:
    """Return the read-out that a device's refresh_forward describes; one that must not be used where it describes none."""
    if "refresh_forward" not in stated:

        def refuse(w: Tensor, x: Tensor, noise: Stream) -> Tensor:
            raise ConfigError("the case states no read-out")

        return refuse
    tile: Tile = structure({"type": "inference", "forward": analog_pass(stated["refresh_forward"], [])}, Tile)
    made: Any = tile.build(Site(out_features=rows, in_features=columns, kernel=kernels_of(engine))).eval()

    def read(w: Tensor, x: Tensor, noise: Stream) -> Tensor:
        with torch.no_grad():
            y: Tensor = made.forward_pass(x[:, None], w, noise).squeeze(1)
        return y

    return read


class Pulsing:
    """Cells [rows, columns] of a case's device, all of them pulsed together, one pulse for each vector of an update."""

    def __init__(self, case: Mapping[str, Any], rows: int, columns: int, engine: str, name: str = "cells") -> None:
        stated = case["parameters"]
        cell: UnitCell = structure(device(stated["device"], []), UnitCell)
        self.key = torch.tensor(key("replay", str(case["id"]), name))
        site = ArraySite(rows, columns, self.key, kernels_of(engine), read_out(stated["device"], rows, columns, engine))
        self.array: CellArray = build_array(cell, site)
        self.update: PulsedUpdate = structure(pulsed_update(stated["update"], []), PulsedUpdate)
        # Where cells refresh themselves, the source's calls of one vector each are what they count.
        self.most = 1 if stated["device"].get("refresh_every", 0) > 0 else MOST
        self.rows, self.columns, self.done = rows, columns, 0

    def noise(self, name: str) -> Stream:
        """Return the noise of something else than pulses."""
        return Stream(self.key, path=name)

    def set(self, w: Tensor | float) -> None:
        """Set all weights to one value, or each column to its own."""
        self.array.set_weights(torch.zeros(self.rows, self.columns) + w, self.noise("set"))

    def pulse(self, directions: Tensor) -> None:
        """Give every cell one pulse after another, +1 up and -1 down."""
        for few in directions.split(self.most):
            x, d = -torch.ones(len(few), self.columns), few[:, None].expand(-1, self.rows).to(torch.float32)
            ordinals = self.done + torch.arange(len(few))
            self.array.pulse(x, d, 1.0, self.update, Stream(self.key, ordinals, path="pulses"))
            self.done += len(few)

    def weights(self) -> Tensor:
        """Return all weights as reads see them, in float64."""
        return self.array.weights().to(torch.float64).clone()

    def held(self) -> Tensor:
        """Return all weights without write noise, in float64."""
        return self.array.w.to(torch.float64).clone() if isinstance(self.array, DeviceArray) else self.weights()


def checkpoints(case: Mapping[str, Any]) -> Iterable[Tensor]:
    """Yield the pulses from checkpoint to checkpoint; counts are those since the direction changed, and the first is the start."""
    before, last = 0, "set"
    for way, count in case["checkpoints"]:
        if way not in SIGNS:
            raise ConfigError(f"unknown checkpoint {way!r}: known are {', '.join(SIGNS)}")
        before = before if way == last else 0
        yield torch.full((count - before,), SIGNS[way])
        before, last = count, way


def segments(case: Mapping[str, Any]) -> Tensor:
    """Return all pulses of a case's segments (direction, count), direction 0 up and down by turns."""
    parts = []
    for direction, count in case["segments"]:
        turns = torch.ones(count)
        turns[1::2] = -1.0
        parts.append(turns if direction == 0 else torch.full((count,), float(direction)))
    return torch.cat(parts)


def tile_rows(case: Mapping[str, Any], cells: int) -> int:
    """Return the rows of the source's crossbars, which a refresh scales its writing by; the columns do not matter."""
    found = re.match(r"(\d+)x(\d+) tiles", str(case["protocol"]))
    rows = int(found[1]) if found else 1
    return rows if cells % rows == 0 else 1


def followed(made: list[Pulsing], case: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the weights [checkpoints, cells] of all arrays as reads see them, and as cells hold them."""
    start = re.match(r"set_weights\((-?[\d.e-]+)\)", str(case["start"]))
    if start is None:
        raise ConfigError(f"unknown start {case['start']!r}: known is set_weights(number)")
    seen, held = [], []
    for index, pulses in enumerate(checkpoints(case)):
        for array in made:
            if index == 0:
                array.set(float(start[1]))
            array.pulse(pulses)
        seen.append(torch.cat([array.weights().flatten() for array in made]))
        held.append(torch.cat([array.held().flatten() for array in made]))
    return torch.stack(seen), torch.stack(held)


def arrays_of(case: Mapping[str, Any], engine: str) -> list[Pulsing]:
    """Return as many cells as the case has: in one array, or in the source's crossbars where all cells of one share a choice."""
    n = int(case["repetitions"])
    policy = str(case["parameters"]["device"].get("update_policy", ""))
    tiles = int(case["n_tiles"]) if policy.endswith("SINGLE_RANDOM") else 1
    rows = tile_rows(case, n // tiles)
    return [Pulsing(case, rows, n // tiles // rows, engine, f"tile {index}") for index in range(tiles)]


def deterministic(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the weight after given numbers of pulses, for a cell that starts at zero and one that starts at its lower bound."""
    pulses, out = segments(case), {}
    for name, entry in case["arrays"].items():
        start = re.search(r"set_weights\((-?[\d.e-]+)\)", str(entry.get("desc", "")))
        if start is None:
            continue
        made = Pulsing(case, 1, 1, engine, name)
        made.set(float(start[1]))
        seen, before = [], 0
        for stop in arrays["pulse_index"].tolist():
            made.pulse(pulses[before:stop])
            seen.append(float(made.weights()))
            before = stop
        out[name] = np.asarray(seen)
    return out


def cycle_noise(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return mean and standard deviation over cells at the checkpoints."""
    made = arrays_of(case, engine)
    seen, held = followed(made, case)
    out = {"n": np.asarray(seen.shape[1])}
    for name, w in (("w", seen), ("w_persistent", held)):
        out |= {f"{name}_mean": w.mean(1).numpy(), f"{name}_std": w.std(1).numpy()}
    return out


HIDDEN = {
    "max_bound": ("w_max", None),
    "min_bound": ("w_min", None),
    "dwmin_up": ("dw_up", None),
    "dwmin_down": ("dw_down", None),
    "decay_scales": ("decay", 0.0),
    "diffusion_rates": ("diffusion", 0.0),
    "reset_bias": ("reset", 0.0),
    "drift_nu": ("nu", 0.0),
    "slope_up": ("slope_up", None),
    "slope_down": ("slope_down", None),
    "reference": ("reference", None),
    "gamma_up": ("gamma_up", None),
    "gamma_down": ("gamma_down", None),
}
"""The source's per-cell parameters: what they are called here, and their value in cells that do without."""


def realised(array: Any, name: str) -> Tensor:
    """Return a per-cell parameter by the source's name, whose number at the end counts the devices of a unit cell."""
    found = re.fullmatch(r"([a-z_]+?)(?:_(\d+))?", name)
    if found is None or found[1] not in HIDDEN:
        raise ConfigError(f"unknown cell parameter {name!r}; known: {', '.join(HIDDEN)}")
    (own, absent), part = HIDDEN[found[1]], found[2]
    cell = (array if part is None else list(array.arrays.values())[int(part)]).cell()
    if own not in cell and absent is None:
        raise ConfigError(f"this device has no {own}, which {name} is here (it has {', '.join(cell)})")
    value: Tensor = cell.get(own, torch.full_like(cell["w_max"], absent or 0.0)).to(torch.float64).flatten()
    return 1 - value if own == "decay" else value


def rank_correlation(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the correlation between the ranks of the rows [rows, n], zero where a row does not vary.

    Equal values are ranked as NumPy sorts them: the data do so too, which shows where a bound is zero in all but a few cells.
    """
    ranks = np.argsort(np.argsort(values, axis=1), axis=1).astype(np.float64)
    varies = values.max(1) > values.min(1)
    centred = np.where(varies[:, None], ranks - ranks.mean(1, keepdims=True), 0.0)
    length = np.maximum(np.linalg.norm(centred, axis=1), 1.0)
    made: np.ndarray[Any, Any] = centred @ centred.T / np.outer(length, length)
    return made


def device_variation(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return quantiles over cells, of the weight at the checkpoints and of each parameter, and how parameters correlate."""
    made = arrays_of(case, engine)
    seen, _ = followed(made, case)
    hidden = torch.stack([torch.cat([realised(each.array, name) for each in made]) for name in case["hidden_parameters"]])
    levels = torch.tensor(case["quantile_levels"], dtype=torch.float64)
    return {
        "n": np.asarray(seen.shape[1]),
        "w_q": torch.quantile(seen, levels, dim=1).mT.numpy(),
        "hidden_q": torch.quantile(hidden, levels, dim=1).mT.numpy(),
        "hidden_rank_corr": rank_correlation(hidden.numpy()),
    }


def decay(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the weights after given numbers of decays."""
    made, seen, before = Pulsing(case, 1, len(arrays["w0"]), engine), [], 0
    made.set(arrays["w0"])
    for calls in case["calls"]:
        for _ in range(calls - before):
            made.array.decay(float(case["alpha"]), made.noise("decay"))
        seen.append(made.weights()[0])
        before = calls
    return {"w": torch.stack(seen).numpy()}


def diffusion(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return mean and standard deviation of the change after given numbers of diffusions."""
    start, n = arrays["w0"], int(case["repetitions"])
    made, seen, before = Pulsing(case, -(-n // len(start)), len(start), engine), [], 0
    made.set(start)
    first = made.weights()
    for calls in case["calls"]:
        for _ in range(calls - before):
            made.array.diffuse(made.noise("diffusion"))
        seen.append((made.weights() - first).flatten())
        before = calls
    change = torch.stack(seen)
    return {"n": np.asarray(change.shape[1]), "dw_mean": change.mean(1).numpy(), "dw_std": change.std(1).numpy()}


def reset(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return mean and standard deviation over cells after one reset."""
    n = int(case["repetitions"])
    made = Pulsing(case, 1, n, engine)
    made.array.reset(torch.ones(1, n, dtype=torch.bool), made.noise("reset"))
    w = made.weights()
    return {"n": np.asarray(n), "w_mean": w.mean().numpy(), "w_std": w.std().numpy()}


def drift(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the weights after each of a series of drifts."""
    made, seen = Pulsing(case, 1, len(arrays["w0"]), engine), []
    made.set(arrays["w0"])
    for seconds in case["delta_t"]:
        made.array.drift(float(seconds), made.noise("drift"))
        seen.append(made.weights()[0])
    return {"w": torch.stack(seen).numpy()}
