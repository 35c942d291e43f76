"""aihwkit's pulsed devices as Ohmlet devices: classes and preset classes by name, its conventions as named options."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.plain import class_of, real
from ohmlet.interop.aihwkit.report import ImportRow

__all__ = ["PRESETS", "chosen", "pulsed_device"]

PRESETS = {
    "ReRamESPresetDevice": "ExpStepDevice",
    "ReRamSBPresetDevice": "SoftBoundsReferenceDevice",
    "ReRamArrayOMPresetDevice": "SoftBoundsReferenceDevice",
    "ReRamArrayHfO2PresetDevice": "SoftBoundsReferenceDevice",
    "CapacitorPresetDevice": "LinearStepDevice",
    "EcRamPresetDevice": "LinearStepDevice",
    "EcRamMOPresetDevice": "LinearStepDevice",
    "IdealizedPresetDevice": "ConstantStepDevice",
    "GokmenVlasovPresetDevice": "ConstantStepDevice",
    "PCMPresetDevice": "ExpStepDevice",
}
"""Device classes that only have other defaults, by the class that they are."""

STEPS = ("dw_min", "w_max", "w_min", "up_down")
SPREADS = ("dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down_dtod")
SWITCHES = ("enforce_consistency", "perfect_bias", "count_pulses")
DRIFT = ("t_0", "reset_tol", "nu", "nu_dtod", "nu_std", "wg_ratio", "g_offset", "w_offset", "nu_k", "log_g0", "w_noise_std")

Rows = list[ImportRow]


def chosen(parameters: Mapping[str, Any], *names: str) -> dict[str, float]:
    """Return numbers that are called the same in Ohmlet; raises ConfigError for one that is missing."""
    missing = [name for name in names if name not in parameters]
    if missing:
        raise ConfigError(f"{class_of(parameters)} is without {', '.join(missing)}: give all fields, as its dataclass dumps them")
    return {name: real(parameters[name]) for name in names}


def idle(parameters: Mapping[str, Any], name: str, needs: str, rows: Rows) -> dict[str, float]:
    """Return a setting that works with another one only; a row says so where that one is zero."""
    value = real(parameters[name])
    if real(parameters[needs]) > 0:
        return {name: value}
    if value:
        rows.append(ImportRow(name, value, f"nothing: {needs} is 0"))
    return {}


def drift(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any] | None:
    """Return DriftParameter, or None for no drift."""
    made = chosen(parameters, *DRIFT)
    if not (made["nu"] or made["nu_k"] or made["w_noise_std"]):
        return None
    for name, needs in (("log_g0", "nu_k"), ("nu_dtod", "nu"), ("nu_std", "nu")):
        if made[name] and not made[needs]:
            rows.append(ImportRow(f"drift.{name}", made.pop(name), f"nothing: {needs} is 0"))
    return made


def common(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return what all pulsed devices share but nominal steps and bounds, with the source's conventions."""
    made: dict[str, Any] = {**chosen(parameters, *SPREADS), **{name: bool(parameters[name]) for name in SWITCHES}}
    made["up_down_form"] = "one_sided"
    if parameters["dw_min_dtod_log_normal"]:
        made |= {"dw_min_dtod_log_normal": True, "log_normal_center": "median"}
    if real(parameters["corrupt_devices_prob"]) > 0:
        made |= chosen(parameters, "corrupt_devices_prob", "corrupt_devices_range")
        made["corrupt_devices_range"] = abs(made["corrupt_devices_range"])
    elif real(parameters["corrupt_devices_range"]) != 0.1:
        rows.append(ImportRow("corrupt_devices_range", parameters["corrupt_devices_range"], "nothing: corrupt_devices_prob is 0"))
    for name in ("diffusion", "lifetime"):
        made[name] = max(real(parameters[name]), 0.0)
        made |= idle(parameters, f"{name}_dtod", name, rows)
    made |= chosen(parameters, "reset", "reset_dtod", "reset_std")
    made |= {"reset_dtod_form": "absolute", "drift": drift(parameters["drift"], rows)}
    if "write_noise_std" in parameters and real(parameters["write_noise_std"]) > 0:
        made |= {"write_noise_std": real(parameters["write_noise_std"]), "write_noise_unit": "dw_min"}
        made["apply_write_noise_on_set"] = bool(parameters["apply_write_noise_on_set"])
    if parameters.get("construction_seed"):
        rows.append(ImportRow("construction_seed", parameters["construction_seed"], "the config's seed, from which every part has its own"))
    return made


def nominal(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return what all pulsed devices share, nominal steps and bounds included."""
    return {**common(parameters, rows), **chosen(parameters, *STEPS)}


def reversing(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether and how steps are reversed."""
    made: dict[str, Any] = {name: bool(parameters[name]) for name in ("mult_noise", "reverse_up", "reverse_down")}
    return {**made, **chosen(parameters, "reverse_offset")} if made["reverse_up"] or made["reverse_down"] else made


def constant_step(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return ConstantStepDevice."""
    return {"type": "constant_step", **nominal(parameters, rows)}


def linear_step(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return LinearStepDevice."""
    gammas = chosen(parameters, "gamma_up", "gamma_down", "gamma_up_dtod", "gamma_down_dtod")
    switches = {name: bool(parameters[name]) for name in ("allow_increasing", "mean_bound_reference")}
    for name in ("gamma_up", "gamma_down"):
        if gammas[name] < 0 and not switches["allow_increasing"]:
            rows.append(ImportRow(name, gammas[name], f"{-gammas[name]:g}: without allow_increasing the source takes the absolute value"))
            gammas[name] = -gammas[name]
    return {"type": "linear_step", **nominal(parameters, rows), **reversing(parameters), **gammas, **switches}


def soft_bounds(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return SoftBoundsDevice."""
    return {"type": "soft_bounds", **nominal(parameters, rows), **reversing(parameters)}


def soft_bounds_pmax(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return SoftBoundsPmaxDevice as the soft bounds that the source makes of it."""
    p = chosen(parameters, "p_max", "alpha", "range_min", "range_max")
    stated = [name for name in STEPS if parameters.get(name) is not None]
    if stated:
        raise ConfigError(f"SoftBoundsPmaxDevice works out {', '.join(stated)} itself: leave them None")
    b = (p["range_max"] - p["range_min"]) / -math.expm1(-p["p_max"] * p["alpha"])
    steps = {"dw_min": b * p["alpha"], "w_max": p["range_min"] + b, "w_min": p["range_min"], "up_down": 1 + 2 * p["range_min"] / b}
    rows.append(
        ImportRow(
            "p_max",
            p["p_max"],
            "soft_bounds with the source's steps, whose one-sided up_down does not cover the range in p_max pulses; soft_bounds_pmax does",
        )
    )
    return {"type": "soft_bounds", **common(parameters, rows), **steps, **reversing(parameters)}


def referenced(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a device is read against its reference."""
    made: dict[str, Any] = chosen(parameters, "reference_mean", "reference_std")
    point = {"subtract_symmetry_point": bool(parameters["subtract_symmetry_point"])}
    return {**made, **point, "set_bounds": "raw", "reset_form": "plus_symmetry_point"}


def soft_bounds_reference(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return SoftBoundsReferenceDevice."""
    slopes = chosen(parameters, "slope_up_dtod", "slope_down_dtod")
    made = {"type": "soft_bounds_reference", **nominal(parameters, rows), **referenced(parameters), **slopes}
    return {**made, "mult_noise": bool(parameters["mult_noise"])}


def exp_step(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return ExpStepDevice."""
    made: dict[str, Any] = chosen(parameters, "A_up", "A_down", "gamma_up", "gamma_down", "a", "b")
    for name in ("dw_min_std_add", "dw_min_std_slope"):
        made |= idle(parameters, name, "dw_min_std", rows)
    return {"type": "exp_step", **nominal(parameters, rows), **made, "granularity_form": "down"}


POWERS = ("pow_gamma", "pow_gamma_dtod", "pow_up_down", "pow_up_down_dtod")


def pow_step(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return PowStepDevice."""
    return {"type": "pow_step", **nominal(parameters, rows), **chosen(parameters, *POWERS), "granularity_form": "centre"}


def pow_step_reference(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return PowStepReferenceDevice; as many estimation steps as the source chooses lead to the exact symmetry point."""
    made = {"type": "pow_step_reference", **nominal(parameters, rows), **referenced(parameters), **chosen(parameters, *POWERS)}
    steps = int(real(parameters["n_estimation_steps"]))
    if steps > 0 and made["subtract_symmetry_point"]:
        made["n_estimation_steps"] = steps
    elif steps > 0:
        rows.append(ImportRow("n_estimation_steps", steps, "nothing: no symmetry point is subtracted"))
    return {**made, "granularity_form": "centre"}


def piecewise_step(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return PiecewiseStepDevice."""
    nodes = {name: [real(node) for node in parameters[name]] for name in ("piecewise_up", "piecewise_down")}
    return {"type": "piecewise_step", **nominal(parameters, rows), **nodes, "granularity_form": "middle_node"}


def ideal(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return FloatingPointDevice or IdealDevice; raises ConfigError for drift, which a weight in floating point does not have here."""
    if "drift" in parameters and real(parameters["drift"]["nu"]):
        raise ConfigError(f"{class_of(parameters)} with drift has no counterpart: use constant_step with pulse_type none_with_device")
    return {"type": "ideal", **chosen(parameters, "lifetime", "diffusion")}


READERS: dict[str, Callable[[Mapping[str, Any], Rows], dict[str, Any]]] = {
    "ConstantStepDevice": constant_step,
    "LinearStepDevice": linear_step,
    "SoftBoundsDevice": soft_bounds,
    "SoftBoundsPmaxDevice": soft_bounds_pmax,
    "SoftBoundsReferenceDevice": soft_bounds_reference,
    "ExpStepDevice": exp_step,
    "PowStepDevice": pow_step,
    "PowStepReferenceDevice": pow_step_reference,
    "PiecewiseStepDevice": piecewise_step,
    "FloatingPointDevice": ideal,
    "IdealDevice": ideal,
}


def pulsed_device(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return one device as plain data, adding a row for each setting that the source ignores or treats in a way of its own.

    Raises ConfigError for a class that is none, and for settings without a counterpart.
    """
    name = class_of(parameters)
    name = PRESETS.get(name, name)
    if name not in READERS:
        raise ConfigError(f"no device of this name is read: {name!r}; known: {', '.join([*READERS, *PRESETS])}")
    return READERS[name](parameters, rows)
