"""aihwkit's UpdateParameters as pulse coding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.plain import member, real
from ohmlet.interop.aihwkit.report import ImportRow

__all__ = ["pulsed_update"]


def pulsed_update(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return UpdateParameters as plain data; raises ConfigError for resolutions above one, with which the source makes no pulses."""
    kind = member(parameters["pulse_type"]).lower()
    made: dict[str, Any] = {"pulse_type": kind, "desired_bl": int(real(parameters["desired_bl"]))}
    made |= {name: bool(parameters[name]) for name in ("fixed_bl", "update_management", "update_bl_management")}
    made["um_grad_scale"] = real(parameters["um_grad_scale"])
    used = {"deterministic_implicit": ("x_res_implicit", "d_res_implicit"), "none": (), "none_with_device": ()}.get(kind, ("res",))
    names = {"res": "resolution", "x_res_implicit": "x_resolution", "d_res_implicit": "d_resolution"}
    for name in names:
        value = real(parameters[name])
        if value > 0 and name not in used:
            rows.append(ImportRow(name, value, f"nothing: pulse_type is {kind}"))
        elif value > 1:
            raise ConfigError(
                f"{name} = {value:g}: the source takes this for a step, not for a number of steps, and makes no pulses; write 1/{value:g}"
            )
        elif value > 0:
            made[names[name]] = value
    rounding = bool(parameters["sto_round"])
    if rounding and any(name in made for name in names.values()):
        made["stochastic_rounding"] = True
    elif rounding:
        rows.append(ImportRow("sto_round", rounding, "nothing: there is no resolution to round to"))
    return made
