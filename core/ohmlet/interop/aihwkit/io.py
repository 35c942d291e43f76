"""aihwkit's IOParameters as the analog pass of a tile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.plain import member, real
from ohmlet.interop.aihwkit.report import ImportRow

__all__ = ["analog_pass", "is_ideal"]

ASSUMED_W_MAX = 0.6
"""The source's `nm_assumed_wmax`, which it gives no field."""
DECAY = 1e-3
"""The source's `nm_decay`, which it gives no field."""


def is_ideal(io: Mapping[str, Any]) -> bool:
    """Whether a pass is exact but for its output scale."""
    return bool(io["is_perfect"]) or member(io["mv_type"]) == "IDEAL"


def levels(resolution: float) -> float | None:
    """Return the steps over a converter's range: the source writes steps above one, parts of the range below, none at zero."""
    if resolution <= 0:
        return None
    return resolution if resolution > 1 else 1.0 / resolution


def converter(resolution: float, bound: float, stochastic: bool, name: str, rows: list[ImportRow]) -> dict[str, Any] | None:
    """Return a converter's settings, or None for none."""
    steps = levels(resolution)
    if bound <= 0:
        if steps is not None:
            rows.append(ImportRow(f"{name}_res", resolution, "nothing: the source divides the range, and an unbounded one has none"))
        return None
    made: dict[str, Any] = {"bound": bound}
    if steps is not None:
        made["levels"] = steps
        made["rounding"] = "stochastic" if stochastic else "nearest"
    elif stochastic:
        rows.append(ImportRow(f"{name}_sto_round", stochastic, "nothing: there is no resolution to round to"))
    return made


def scaling(io: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return the input range that a noise management stands for."""
    kind, threshold = member(io["noise_management"]), real(io["nm_thres"])
    limit = {"limit": threshold} if threshold > 0 else {}
    if kind == "NONE":
        if threshold > 0:
            rows.append(ImportRow("nm_thres", threshold, "nothing: there is no noise management"))
        return {"type": "none"}
    if kind == "CONSTANT":
        return {"type": "fixed", "value": threshold if threshold > 0 else 1.0}
    if kind == "AVERAGE_ABS_MAX":
        return {"type": "average_abs_max", "decay": DECAY}
    if kind == "ABS_MAX_NP_SUM":
        return {"type": "abs_max_sum", "assumed_w_max": ASSUMED_W_MAX, "max_in_resolution": real(io["max_bm_res"]), **limit}
    names = {"ABS_MAX": "abs_max", "MAX": "max"}
    if kind not in names:
        raise ConfigError(f"unknown noise management {kind!r}; known: NONE, CONSTANT, AVERAGE_ABS_MAX, ABS_MAX_NP_SUM, {', '.join(names)}")
    return {"type": names[kind], **limit}


def management(io: Mapping[str, Any], bounded: bool, rows: list[ImportRow]) -> dict[str, Any] | None:
    """Return the bound management, or None."""
    kind = member(io["bound_management"])
    if kind == "NONE":
        return None
    if kind not in {"ITERATIVE", "ITERATIVE_WORST_CASE"}:
        raise ConfigError(f"bound management {kind!r} exists in the source's list only, not in its engine")
    if not bounded:
        rows.append(ImportRow("bound_management", kind, "nothing: the outputs have no bound"))
        return None
    made: dict[str, Any] = {
        "type": kind.lower(),
        "max_reduction": real(io["max_bm_factor"]),
        "max_in_resolution": real(io["max_bm_res"]),
        "test_negative": bool(io["bm_test_negative_bound"]),
    }
    return {**made, "assumed_w_max": ASSUMED_W_MAX} if kind == "ITERATIVE_WORST_CASE" else made


def weight_noise(io: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any] | None:
    """Return the read noise of the weights, or None."""
    kind, std = member(io["w_noise_type"]), real(io["w_noise"])
    names = {"ADDITIVE_CONSTANT": "additive_constant", "PCM_READ": "pcm_read"}
    if kind == "NONE" or std <= 0:
        if std > 0 or kind != "NONE":
            rows.append(ImportRow("w_noise", std, f"nothing: w_noise_type is {kind}"))
        return None
    if kind not in names:
        raise ConfigError(f"unknown weight noise {kind!r}; known: NONE, {', '.join(names)}")
    return {"type": names[kind], "std": std}


def voltage_drop(io: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return offset and series resistance, or None."""
    offset, resistance = max(real(io["v_offset_std"]), 0.0), max(real(io["r_series"]), 0.0)
    if offset == 0 and resistance == 0:
        return None
    return {"offset_std": offset, "r_series": resistance, "reference_w": real(io["v_offset_w_min"])}


def passes(io: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any] | None:
    """Return separate passes, or None for one."""
    kind, asymmetry = member(io["mv_type"]), real(io["w_read_asymmetry_dtod"])
    sums = {"POS_NEG_SEPARATE": "analog", "POS_NEG_SEPARATE_DIGITAL_SUM": "digital"}
    if kind in sums:
        return {"type": "separate", "sum": sums[kind], "w_asymmetry": max(asymmetry, 0.0)}
    if kind in {"SPLIT_MODE", "BIT_WISE"} and "ir_drop_segments" in io:
        # The shift is a constant of the source's class, not a field.
        return {"type": "split", "bit_shift": 3} if kind == "SPLIT_MODE" else {"type": "bit_wise"}
    if kind != "ONE_PASS":
        raise ConfigError(f"mv_type {kind!r} is not read here; known: IDEAL, ONE_PASS, {', '.join(sums)}")
    if asymmetry > 0:
        rows.append(ImportRow("w_read_asymmetry_dtod", asymmetry, "nothing: there is one pass for both polarities"))
    return None


def time_dependent(io: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return the time-dependent IR drop of IOParametersIRDropT; its wire resistance is already multiplied by the scale."""
    scale = real(io["ir_drop_time_step_resolution_scale"])
    if scale != 1.0:
        rows.append(ImportRow("ir_drop_time_step_resolution_scale", scale, "1: it only refines a sum that is exact here"))
    if io["apply_xdep_pcm_read_noise"]:
        raise ConfigError("apply_xdep_pcm_read_noise is not read here; set it to false and use weight_noise pcm_read")
    return {
        "type": "time_dependent",
        "segments": io["ir_drop_segments"],
        "r_wire": real(io["ir_drop"]) * real(io["ir_drop_rs"]),
        "v_read": real(io["ir_drop_v_read"]),
        "integration": "sum" if io["ir_drop_integration_sum"] else "trapezoid",
        "adc_frequency": real(io["adc_frequency"]) if io["adc_quantization"] else 0.0,
    }


def analog_pass(io: Mapping[str, Any], rows: list[ImportRow], *, transposed: bool = False) -> dict[str, Any]:
    """Return the settings of an analog pass as plain data, adding a row for each setting that the source would have ignored.

    Raises ConfigError for members that the source's engine does not have.
    """
    if is_ideal(io):
        return {"input_range": {"type": "none"}, "out_scale": real(io["out_scale"])}
    adc = converter(real(io["out_res"]), real(io["out_bound"]), bool(io["out_sto_round"]), "out", rows)
    made: dict[str, Any] = {
        "dac": converter(real(io["inp_res"]), real(io["inp_bound"]), bool(io["inp_sto_round"]), "inp", rows),
        "adc": adc,
        "input_range": scaling(io, rows),
        "in_noise": max(real(io["inp_noise"]), 0.0),
        "in_asymmetry": real(io["inp_asymmetry"]),
        "out_noise": max(real(io["out_noise"]), 0.0),
        "out_noise_spread": max(real(io["out_noise_std"]), 0.0),
        "out_scale": real(io["out_scale"]),
        "out_asymmetry": max(real(io["out_asymmetry"]), 0.0),
        "weight_noise": weight_noise(io, rows),
        "voltage_drop": voltage_drop(io),
        "passes": passes(io, rows),
    }
    if made["out_noise"] == 0 and made["out_noise_spread"] > 0:
        rows.append(ImportRow("out_noise_std", made["out_noise_spread"], "nothing: out_noise is 0"))
        made["out_noise_spread"] = 0.0
    if real(io["out_asymmetry"]) < 0:
        rows.append(ImportRow("out_asymmetry", io["out_asymmetry"], "nothing: the source ignores a negative one"))
    if transposed:
        made["bound_management"] = None
    else:
        made["bound_management"] = management(io, adc is not None, rows)
    if "ir_drop_segments" in io:
        made["ir_drop"] = time_dependent(io, rows)
    elif real(io["ir_drop"]) > 0:
        made["ir_drop"] = {"type": "quadratic", "scale": real(io["ir_drop"]), "g_ratio": real(io["ir_drop_g_ratio"])}
    strength, resistance = max(real(io["out_nonlinearity"]), 0.0), max(real(io["r_series"]), 0.0)
    if strength > 0 or (resistance > 0 and real(io["slope_calibration"]) > 0):
        made["nonlinearity"] = {
            "strength": strength,
            "spread": max(real(io["out_nonlinearity_std"]), 0.0),
            "slope_calibration": max(real(io["slope_calibration"]), 0.0),
        }
    elif real(io["slope_calibration"]) > 0:
        rows.append(ImportRow("slope_calibration", io["slope_calibration"], "nothing: there is no nonlinearity to calibrate"))
    return made
