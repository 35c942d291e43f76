"""aihwkit's RPU configs for in-memory training as whole configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.algorithm import update_algorithm
from ohmlet.interop.aihwkit.io import analog_pass, is_ideal
from ohmlet.interop.aihwkit.plain import class_of, member, real
from ohmlet.interop.aihwkit.pulses import pulsed_update
from ohmlet.interop.aihwkit.report import ImportRow

__all__ = ["training_config"]

CLASSES = ("SingleRPUConfig", "UnitCellRPUConfig", "DigitalRankUpdateRPUConfig", "FloatingPointRPUConfig")

Rows = list[ImportRow]


def optional_pass(io: Mapping[str, Any], rows: Rows, *, transposed: bool = False) -> dict[str, Any] | None:
    """Return a pass, or None for an exact one."""
    exact = is_ideal(io) and real(io["out_scale"]) == 1
    return None if exact else analog_pass(io, rows, transposed=transposed)


def read_out(device: Mapping[str, Any], rows: Rows) -> dict[str, Any] | None:
    """Return the read-out of transfers or refreshes, or None for an exact one; the source forces its managements off."""
    if "transfer_forward" in device:
        io = dict(device["transfer_forward"])
        for name, off in (("noise_management", "NoiseManagementType.NONE"), ("bound_management", "BoundManagementType.NONE")):
            if member(io[name]) != "NONE" and not is_ideal(io):
                rows.append(ImportRow(f"transfer_forward.{name}", io[name], "none: the source forces it off"))
            io[name] = off
        return optional_pass(io, rows)
    if "refresh_forward" in device and int(real(device["refresh_every"])) > 0:
        return optional_pass(device["refresh_forward"], rows)
    # Mixed precision names the cell that it writes to.
    return read_out(device["device"], rows) if isinstance(device.get("device"), Mapping) else None


def mapping(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return MappingParameter."""
    omega = real(parameters["weight_scaling_omega"])
    made: dict[str, Any] = {"max_in": int(parameters["max_input_size"]), "max_out": int(parameters["max_output_size"])}
    made["bias"] = "digital" if parameters["digital_bias"] else "analog"
    if parameters["weight_scaling_lr_compensation"]:
        raise ConfigError("weight_scaling_lr_compensation is not read here: scale the learning rate instead")
    if parameters["learn_out_scaling"]:
        made["learned_scales"] = "columnwise" if parameters["out_scaling_columnwise"] else "tilewise"
        made["learned_form"] = "linear"
    if omega <= 0:
        return {**made, "scales": "none"}
    return {**made, "omega": omega, "scales": "columnwise" if parameters["weight_scaling_columnwise"] else "tilewise"}


def training_config(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return an RPU config as the plain data of an AnalogConfig with tile `in_memory`; adds a row for each setting without effect there.

    Raises ConfigError for other classes and for settings without a counterpart.
    """
    if class_of(parameters) not in CLASSES:
        raise ConfigError(f"no config for in-memory training: {class_of(parameters)!r}; known: {', '.join(CLASSES)}")
    if parameters.get("pre_post", {}).get("input_range", {}).get("enable"):
        raise ConfigError("pre_post.input_range is not read here: set enable to false, or write tile.forward.input_range")
    device = parameters["device"]
    tile: dict[str, Any] = {
        "type": "in_memory",
        "update_algorithm": update_algorithm(device, rows),
        "forward": analog_pass(parameters["forward"], rows),
        "backward": optional_pass(parameters["backward"], rows, transposed=True),
        "update": pulsed_update(parameters["update"], rows) if "update" in parameters else {"pulse_type": "none"},
        "read": read_out(device, rows),
    }
    return {"tile": {name: value for name, value in tile.items() if value is not None}, "mapping": mapping(parameters["mapping"])}
