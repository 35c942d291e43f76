"""Measured chips: conductances read back from real arrays in place of simulated ones."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.chip.chip import Chip, seed_of
from ohmlet.chip.programming import ProgrammedCrossbar, ProgrammedLayer, drift_coefficients, reference_read_out
from ohmlet.chip.readback import ReadBack, read_folder
from ohmlet.chip.targets import targets_of
from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError, OrderError
from ohmlet.units import spoken

__all__ = ["MeasuredChip", "attach"]


class MeasuredLayer(ProgrammedLayer):
    """One layer's crossbars as they were measured; `measured` holds [times, devices, instances, groups?, out, in] for each."""

    times: tuple[float, ...]
    measured: list[Tensor]
    drift: bool

    def conductances(self, index: int, t: float) -> Tensor:
        """Return what was measured at `t` seconds, or with `drift` what the noise model makes of the first read-out by then.

        Raises ConfigError for a time that was not measured.
        """
        if t in self.times:
            return self.measured[index][self.times.index(t)]
        if not self.drift:
            known = ", ".join(f"{time:g} s" for time in self.times)
            raise ConfigError(
                f"this chip was measured at {known} and not at {t:g} s; attach(..., drift=True) lets the config's noise model drift and "
                "read what was measured at 0 s"
            )
        return super().conductances(index, t)


class MeasuredChip(Chip):
    """One or more measured chips; `at(t)` knows the measured `times`, and any other only where drift was asked for."""

    def __init__(self, model: nn.Module, layers: dict[str, MeasuredLayer], instances: int, seed: int, times: tuple[float, ...]) -> None:
        super().__init__(model, layers, instances, seed)
        self.times = times

    def __repr__(self) -> str:
        return f"<{self.instances} measured chips of {self.size}, read at {', '.join(map(spoken, self.times))}>"


def attach(
    model: nn.Module,
    folders: str | Path | Sequence[str | Path],
    *,
    drift: bool = False,
    margin_uS: float | None = None,
    seed: int | None = None,
) -> MeasuredChip:
    """Return measured conductances as a chip: one folder per chip, laid out as `export_targets` writes it.

    Each crossbar comes as `<name>.npz` with `g_uS` [devices, groups?, out, in] (uS), or with `t_s` [times] (seconds after the first
    read-out) `g_uS` [times, devices, groups?, out, in]; or as one CSV [out, in] per device, `<name>.device0.csv` for time 0 and
    `<name>.device0@3600.csv` or `<name>.device0@1 h.csv` for others. What was read includes the read noise of that reading; the
    periphery's noise comes from the config, by `seed`. The drift compensation's reference is the first time. With `drift` other times
    are the noise model's: exponents drawn for the targets, drift of what was measured at time 0, and read noise. Values may leave the
    converter's window by `margin_uS`, half of its width unless given.

    Raises ConfigError with one line for every problem: a crossbar that is missing or unknown, a wrong shape, NaN, values that cannot be
    uS, times that differ between crossbars or chips; OrderError for a model that is a chip or has no analog layers.
    """
    if isinstance(model, Chip):
        raise OrderError("this is a chip already; attach takes the model whose targets were exported")
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    if not given:
        raise ConfigError("attach needs at least one folder")
    if margin_uS is not None and not margin_uS >= 0.0:
        raise ConfigError(f"margin_uS must be at least 0 uS, got {margin_uS!r}")
    seed = seed_of(analog_layers(model, "attach"), seed)
    snapshot = copy.deepcopy(model).eval().requires_grad_(False)
    found = analog_layers(snapshot, "attach")
    with torch.no_grad():
        targets = {name: targets_of(name, layer) for name, layer in found.items()}
        tiles: dict[str, Any] = {name: layer.config.tile for name, layer in found.items()}
        expected = {target.name: (target, tiles[name].conductance_converter.window) for name, its in targets.items() for target in its}
        problems: list[str] = []
        read: list[ReadBack] = []
        for folder in given:
            try:
                read.append(read_folder(Path(folder), expected, margin_uS))
            except ConfigError as error:
                problems.extend(error.problems)
        for folder, one in zip(given, read, strict=False) if not problems else ():
            if one.times != read[0].times:
                problems.append(f"{folder}: read at {_listed(one.times)}, and {given[0]} at {_listed(read[0].times)}")
        if problems:
            raise ConfigError(*problems)
        times = read[0].times
        if drift and times[0] != 0.0:
            raise ConfigError(f"drift=True starts from what was read at 0 s, and the first of these reads was at {times[0]:g} s")
        if drift and any(tile.noise_model is None for tile in tiles.values()):
            raise ConfigError("drift=True needs tile.noise_model in the config of every layer; retarget the model, for example to pcm")
        layers = {}
        for name, layer in found.items():
            tile, crossbars, measured = tiles[name], [], []
            for target in targets[name]:
                g = torch.stack([torch.as_tensor(chip.g[target.name]) for chip in read], dim=2).to(target.g)
                keys = target.keys(len(read), seed)
                coefficients = drift_coefficients(tile.noise_model, tile, target, keys) if drift else None
                reference = reference_read_out(tile, target, g[0], keys)
                crossbars.append(ProgrammedCrossbar(target.w, target.g, g[0], coefficients, target.scale, keys, reference, target.name))
                measured.append(g)
            layers[name] = MeasuredLayer(layer, tile, crossbars, len(read))
            layers[name].times, layers[name].measured, layers[name].drift = times, measured, drift
    return MeasuredChip(snapshot, layers, len(read), seed, times)


def _listed(times: tuple[float, ...]) -> str:
    return ", ".join(f"{time:g} s" for time in times)
