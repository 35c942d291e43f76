"""aihwkit's unit cells of several devices as Ohmlet devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.device import pulsed_device
from ohmlet.interop.aihwkit.plain import class_of, member, real
from ohmlet.interop.aihwkit.pulses import pulsed_update
from ohmlet.interop.aihwkit.report import ImportRow

__all__ = ["device"]

ONE_SIDED = ("OneSidedUnitCell", "DifferenceUnitCell", "PCMPresetUnitCell")
"""One class under three names: the second is the old name of the first, the third has other defaults."""


def vector(parameters: Mapping[str, Any], devices: list[dict[str, Any]]) -> dict[str, Any]:
    """Return VectorUnitCell; the source advances its index before the first vector."""
    policy, first = member(parameters["update_policy"]).lower(), int(real(parameters["first_update_idx"]))
    made: dict[str, Any] = {"type": "vector", "unit_cell_devices": devices, "update_policy": policy, "set_form": "same"}
    if policy == "single_sequential":
        made["first_update_idx"] = (first + 1) % len(devices)
    elif policy == "single_fixed":
        made["first_update_idx"] = first
    gammas = [real(gamma) for gamma in parameters["gamma_vec"]]
    return {**made, "gamma_vec": gammas} if gammas else made


def reference_pair(parameters: Mapping[str, Any], devices: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ReferenceUnitCell."""
    gammas = [real(gamma) for gamma in parameters.get("gamma_vec", [1, -1])]
    if gammas not in ([1.0, -1.0], []):
        raise ConfigError(f"ReferenceUnitCell with gamma_vec {gammas}: a reference pair is a difference; use VectorUnitCell, single_fixed")
    made = {"type": "reference_pair", "device": devices[0], "reference": devices[1]}
    return {**made, "granularity_form": "mean", "set_form": "same"}


def one_sided(parameters: Mapping[str, Any], devices: list[dict[str, Any]], rows: list[ImportRow]) -> dict[str, Any]:
    """Return OneSidedUnitCell; its readings go through the tile, which has the settings of refresh_forward then."""
    made: dict[str, Any] = {"type": "one_sided", "minus": devices[0]}
    if parameters["copy_inverted"]:
        if devices[1] != devices[0]:
            raise ConfigError(
                "copy_inverted with two different devices is not read: the source takes slopes of one and bounds of the other"
            )
        made["copy_inverted"] = "mirrored_slopes"
    elif devices[1] != devices[0]:
        made["plus"] = devices[1]
    every = int(real(parameters["refresh_every"]))
    if every > 0:
        made |= {"refresh_every": every, "units_in_mbatch": bool(parameters["units_in_mbatch"])}
        made |= {name: real(parameters[name]) for name in ("refresh_upper_thres", "refresh_lower_thres")}
        made["refresh_update"] = pulsed_update(parameters["refresh_update"], rows)
        rows.append(ImportRow("refresh_forward", class_of(parameters["refresh_forward"]), "the tile's read-out: give it these settings"))
    return made


def device(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return a device or a unit cell as plain data, adding a row for each setting that the source ignores or treats in a way of its own.

    Raises ConfigError for a class that is none, and for settings without a counterpart.
    """
    name = class_of(parameters)
    if name not in {"VectorUnitCell", "ReferenceUnitCell", *ONE_SIDED}:
        return pulsed_device(parameters, rows)
    if parameters.get("construction_seed"):
        rows.append(ImportRow("construction_seed", parameters["construction_seed"], "the config's seed, from which every part has its own"))
    devices = [pulsed_device(each, rows) for each in parameters["unit_cell_devices"]]
    if name == "VectorUnitCell":
        if not devices:
            raise ConfigError("VectorUnitCell without unit_cell_devices: give at least one")
        return vector(parameters, devices)
    if len(devices) == 1:
        devices = devices * 2  # the source uses a single device for both
    if len(devices) != 2:
        raise ConfigError(f"{name} takes two devices, got {len(devices)}")
    return reference_pair(parameters, devices) if name == "ReferenceUnitCell" else one_sided(parameters, devices, rows)
