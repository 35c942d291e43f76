"""Target conductances as files, for a programmer of real arrays: one NPZ and a CSV per device for every crossbar, and a manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from torch import nn

from ohmlet.chip.targets import Target, targets_of
from ohmlet.config.structure import plain
from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError
from ohmlet.nn import AnalogLayer

__all__ = ["MANIFEST", "SCHEMA", "csv_names", "export_targets", "stem", "write_targets"]

MANIFEST = "manifest.json"
SCHEMA = 1


def stem(name: str) -> str:
    """Return the name of a crossbar as that of its files."""
    return quote(name, safe="")


def csv_names(target: Target) -> list[tuple[tuple[int, ...], str]]:
    """Return (index into [devices, groups?], name without ending) of each CSV of a crossbar."""
    groups = target.g.shape[1:-2]
    return [
        ((device, *group), f"{stem(target.name)}.device{device}" + "".join(f".group{each}" for each in group))
        for device in range(len(target.g))
        for group in np.ndindex(*groups)
    ]


def export_targets(model: nn.Module, folder: str | Path) -> None:
    """Write the target conductances of a converted model to a folder, in uS.

    Each crossbar, named by its layer and block, becomes `<name>.npz` with the array `g_uS` [devices, groups?, out, in], and the same as
    one CSV [out, in] per device, `<name>.device0.csv` (with groups `<name>.device0.group0.csv`). `manifest.json` says for each where it
    belongs: layer, block, rows and columns of the layer's matrix, devices, shape, window, converter and the scale from a crossbar's
    weights in [-1, 1] back to the layer's. Files of the same names with what was read back are what `ohmlet.attach` takes.

    Raises OrderError for a model without analog layers, ConfigError for a folder that holds files already.
    """
    write_targets(analog_layers(model, "export_targets"), Path(folder))


def write_targets(layers: Mapping[str, AnalogLayer], folder: Path) -> None:
    """Write the targets of layers to a folder."""

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder; targets are several files, exported to a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"{folder}: not empty; targets are exported to a new or empty folder, so that no other chip's files stay in it")
    rows: list[dict[str, Any]] = []
    for name, layer in layers.items():
        tile: Any = layer.config.tile
        for target in targets_of(name, layer):
            g = target.g.cpu().numpy()
            np.savez_compressed(folder / f"{stem(target.name)}.npz", g_uS=g)
            files = csv_names(target)
            for index, file in files:
                np.savetxt(folder / f"{file}.csv", g[index], fmt="%.9g", delimiter=",")
            window, block = tile.conductance_converter.window, target.block
            rows.append(
                {
                    "crossbar": target.name,
                    "npz": f"{stem(target.name)}.npz",
                    "csv": [f"{file}.csv" for _, file in files],
                    "layer": name,
                    "matrix": target.path,
                    "block": target.number,
                    "outputs": [block.first_out, block.last_out],
                    "inputs": [block.first_in, block.last_in],
                    "devices": len(g),
                    "shape": list(g.shape),
                    "window_uS": [window.g_min, window.g_max],
                    "mean_target_uS": float(g.mean(dtype=np.float64)),
                    "conductance_converter": plain(tile.conductance_converter),
                    "scale": target.scale.cpu().tolist(),
                }
            )
    manifest = {"schema": SCHEMA, "unit": "uS", "crossbars": rows}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
