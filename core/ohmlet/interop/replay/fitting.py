"""Replays of fits: group J, a measured response, a table of steps made from it, and least-squares fits of devices."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohmlet.cells import build_array
from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.fitting import Fit, PulseTraces, fit
from ohmlet.interfaces.device import ArraySite, Device, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interop.aihwkit.device_cells import device
from ohmlet.interop.replay.case import Case
from ohmlet.interop.replay.compare import Verdict, compare
from ohmlet.nn.kernels import kernels_of
from ohmlet_kernels.noise import Stream

__all__ = ["fitted", "fitted_again", "histogram", "measurement", "response"]

STARTS = 2
"""Beginnings of a search; the data state one."""


def nearly(case: Case, name: str, own: Any, reference: Any, rounding: float) -> Verdict:
    """Return whether numbers are the reference's but for how these were rounded when they were stored."""
    mine, theirs = (np.asarray(each, dtype=np.float64) for each in (own, reference))
    figure = float((np.abs(mine - theirs) / (rounding * np.maximum(np.abs(theirs), 1.0))).max()) if mine.shape == theirs.shape else np.inf
    return Verdict(case.id, name, figure, f"rounding, {rounding:.2g} (1 or |ref|)", figure <= 1)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict that is furthest off."""
    return max(verdicts, key=lambda each: (not each.passed, each.figure))


def measurement(case: Case, engine: str) -> Verdict:
    """Return whether the measured response, scaled as the data say, is that which they fit."""
    low, high = float(case.data["g_min"]), float(case.data["g_max"])
    rounding = 4 * float(np.finfo(np.float32).eps)
    found = []
    for way in ("up", "down"):
        scaled = (case.arrays[f"raw_{way}"].astype(np.float64) - low) / (high - low) * 2 - 1
        windows = scaled.reshape(len(case.arrays[f"{way}_window_mean"]), -1)
        found += [
            nearly(case, way, scaled, case.arrays[way], rounding),
            nearly(case, f"{way}_window_mean", windows.mean(1), case.arrays[f"{way}_window_mean"], rounding),
        ]
    joined = np.concatenate([case.arrays["up"], case.arrays["down"]])
    return worst([*found, nearly(case, "response", joined, case.arrays["response"], rounding)])


def histogram(case: Case, engine: str) -> Verdict:
    """Return whether the table of steps, from how many reads lie in each segment, is the reference's.

    A step is what a read moves by in its segment: the width of the segment over the number of reads there.
    """
    found, count = [], int(case.data["n_segments"])
    widths: dict[str, np.ndarray[Any, Any]] = {}
    for way in ("up", "down"):
        if way not in case.arrays:
            raise ConfigError(f"{case.id} states no response: it needs that of the measurement in the same file")
        reads = np.histogram(case.arrays[way], np.linspace(-1, 1, count + 1))[0]
        widths[way] = 2 / (count * reads)
        own = widths[way] / widths[way][count // 2]
        found.append(nearly(case, f"piecewise_{way}", own, case.data["result"][f"piecewise_{way}"], 1e-9))
    sizes = widths["up"][count // 2], widths["up"][count // 2] - widths["down"][count // 2]
    found += [nearly(case, name, own, case.data["result"][name], 1e-9) for name, own in zip(("dw_min", "up_down"), sizes, strict=True)]
    return worst(found)


def fitted(case: Case, engine: str) -> Verdict:
    """Return the worse of two verdicts: the response with the reference's own settings, and how well a fit of ours does."""
    own = compare(case, {"model_response": response(case, engine)})
    found = fitted_again(case)
    # The reference counts the first read, too, which is exact.
    rms = found.figures["rmse"] * math.sqrt(found.figures["reads"] / (found.figures["reads"] + 1))
    factor = re.search(r"at most ([\d.]+) x rms_deviation", str(case.data["acceptance"]))
    if factor is None:
        raise ConfigError(f"unknown acceptance {case.data['acceptance']!r}: known is 'at most F x rms_deviation'")
    limit = float(factor[1]) * float(case.data["rms_deviation"])
    words = f"{factor[1]} x {float(case.data['rms_deviation']):.4g}"
    return worst([own, Verdict(case.id, "rms_deviation", rms / limit, words, rms <= limit)])


def response(case: Case, engine: str) -> np.ndarray[Any, Any]:
    """Return what an array with the settings of the case's result reads before each pulse, without any spread."""
    stated = dict(case.data["parameters"]["device"])
    stated |= {name: 0.0 for name, value in stated.items() if name.endswith(("_dtod", "_std")) and isinstance(value, float)}
    spec = structure(device({**stated, **case.data["result"]}, []), UnitCell)
    key = torch.tensor(0)

    def refuse(w: Tensor, x: Tensor, noise: Stream) -> Tensor:
        raise ConfigError("pulsed devices are not read by their tile")

    array = build_array(spec, ArraySite(1, 1, key, kernels_of(engine), refuse))
    array.set_weights(torch.tensor([[float(joined(case)[1][0])]]), Stream(key, path="set"))
    once, seen = PulsedUpdate(desired_bl=1, update_management=False, update_bl_management=False), []
    for number, way in enumerate(joined(case)[0].tolist()):
        seen.append(float(array.weights()))
        d = torch.tensor([[float(way)]])
        array.pulse(-torch.ones(1, 1), d, array.granularity, once, Stream(key, torch.tensor([number]), path="pulses"))
    return np.array(seen)


def joined(case: Case) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the pulses and the response that a case fits: its own, or those measured, which are case J00's."""
    arrays = case.arrays
    if "pulses" not in arrays:
        raise ConfigError(f"{case.id} states no pulses and no response: it needs those of the measurement in the same file")
    return arrays["pulses"].astype(np.float64), arrays["response"].astype(np.float64)


def fitted_again(case: Case) -> Fit:
    """Return our fit of the case's response: the same settings, starts and bounds."""
    free: dict[str, tuple[float, float, float]] = {}
    fixed: dict[str, float] = {}
    for name, given in case.data["fit_parameters"].items():
        if isinstance(given, list):
            free[name] = (float(given[0]), float(given[1]), float(given[2]))
        else:
            fixed[name] = float(given)
    spec = structure(device({**case.data["parameters"]["device"], **fixed}, []), UnitCell)
    assert isinstance(spec, Device)
    # A value of the data is read before its pulse, ours after.
    pulses, seen = joined(case)
    traces = PulseTraces.of(pulses[:-1], seen[1:], start=float(seen[0]), source=case.id)
    return fit(traces, spec, free=free, estimator="trajectory", starts=STARTS)
