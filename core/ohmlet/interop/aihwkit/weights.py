"""aihwkit's weight modifier, clip and remap parameters as hardware-aware training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.plain import member, real
from ohmlet.interop.aihwkit.report import ImportRow

__all__ = ["clip", "training"]


def modifier(m: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any] | None:
    """Return the modifier, or None; raises ConfigError for one that has no counterpart."""
    kind, std = member(m["type"]), real(m["std_dev"])
    a = {} if m["rel_to_actual_wmax"] else {"w_max": real(m["assumed_wmax"])}
    bins = {"step": real(m["res"]), "stochastic": bool(m["sto_round"])}
    if kind in {"NONE", "COPY", "DROP_CONNECT"}:
        if std > 0:
            rows.append(ImportRow("std_dev", std, f"nothing: the modifier is {kind}"))
        return None
    if std <= 0 and kind in {"ADD_NORMAL", "MULT_NORMAL", "DISCRETIZE_ADD_NORMAL", "POLY", "PROG_NOISE"}:
        rounds = kind == "DISCRETIZE_ADD_NORMAL"
        rows.append(ImportRow("type", kind, f"{'DISCRETIZE' if rounds else 'nothing'}: std_dev is {std:g}"))
        return {"type": "discretize", **bins, **a} if rounds else None
    if kind in {"ADD_NORMAL", "MULT_NORMAL"}:
        return {"type": kind.lower(), "std": std, **a}
    if kind == "DISCRETIZE":
        return {"type": "discretize", **bins, **a}
    if kind == "DISCRETIZE_ADD_NORMAL":
        return {"type": "discretize_add_normal", "std": std, **bins, **a}
    if kind == "DOREFA":
        return {"type": "dorefa", "step": real(m["res"]), "clip": real(m["dorefa_clip"]), **a}
    if kind == "POLY":
        return {"type": "poly", "std": std, "coefficients": [real(c) for c in m["coeffs"]], **a}
    if kind == "PROG_NOISE":
        g_max = real(m["g_max"])
        return {"type": "prog_noise", "std": std, "coefficients": [real(c) / g_max for c in m["coeffs"]], **a}
    if kind == "PCM_NOISE":
        failures = {f"prob_at_{name.replace('gmax', 'g_max')}": real(m[f"pcm_prob_at_{name}"]) for name in ("reset", "gmax", "random")}
        times = {"t_inference": real(m["pcm_t_inference"]), "t_0": real(m["pcm_t0"])}
        made = {"type": "pcm_noise", "std": std, "g_max_uS": real(m["g_max"]), "zero_threshold": real(m["pcm_zero_thres"])}
        return {**made, **failures, **times, **a}
    raise ConfigError(f"weight modifier {kind!r} is not read here; known: those of aihwkit 1.2.0's WeightModifierType")


def clip(c: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the clip, or None."""
    kind, fixed = member(c["type"]), real(c["fixed_value"])
    at_most = {"at_most": fixed} if fixed > 0 else {}
    if kind == "NONE" or (kind == "FIXED_VALUE" and fixed <= 0):
        return None
    if kind == "FIXED_VALUE":
        return {"type": "fixed_value", "value": fixed}
    if kind == "LAYER_GAUSSIAN":
        return {"type": "layer_gaussian", "sigma": real(c["sigma"]), **at_most}
    if kind == "AVERAGE_CHANNEL_MAX":
        return {"type": "average_channel_max", **at_most}
    raise ConfigError(f"unknown weight clip {kind!r}; known: NONE, FIXED_VALUE, LAYER_GAUSSIAN, AVERAGE_CHANNEL_MAX")


def training(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return the settings of hardware-aware training from a mapping with `modifier` and `clip`, each may be absent."""
    made: dict[str, Any] = {}
    if "modifier" in parameters:
        m = parameters["modifier"]
        made["modifier"] = modifier(m, rows)
        made["drop_connect"] = real(m["pdrop"])
        if made["modifier"] is not None or made["drop_connect"] > 0:
            made["keep_last_column"], made["in_evaluation"] = bool(m["copy_last_column"]), bool(m["enable_during_test"])
        if m.get("per_batch_sample"):
            part = made["modifier"] or {"type": "discretize"}
            if made["drop_connect"] > 0 or part.get("stochastic") or part["type"] not in {"discretize", "dorefa"}:
                made["per_sample"] = True
            else:
                rows.append(ImportRow("per_batch_sample", True, "nothing: the modifier draws nothing"))
    if "clip" in parameters:
        made["clip"] = clip(parameters["clip"])
    return made
