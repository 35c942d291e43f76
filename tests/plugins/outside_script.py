"""Composes the three plugins of ohmlet-tutorial by name and prints what it measures; test_outside_package.py runs it."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ohmlet
from ohmlet.errors import UnprogrammedWarning
from ohmlet.registry import registry
from ohmlet.testing import run_kit

CONFIG = """
tile:
  type: two_pass
  out_noise: {out_noise}
  conductance_converter: {{type: single_pair, g_max_uS: 25.0}}
  noise_model: {{type: gaussian, sigma: {sigma}, nu: 0.06}}
  drift_compensation: {{type: repeated, times: {times}}}
mapping: {{max_in: 0, max_out: 0, scales: tilewise}}
seed: 11
"""

DAY = 86400.0


def composed(size: int, *, out_noise: float = 0.0, sigma: float = 0.0, times: int = 1) -> nn.Module:
    """Return one linear layer on the hardware of a config file that names the plugins."""
    Path("hardware.yaml").write_text(CONFIG.format(out_noise=out_noise, sigma=sigma, times=times), "utf-8")
    torch.manual_seed(1)
    linear = nn.Linear(size, size, bias=False)
    nn.init.uniform_(linear.weight, -1.0, 1.0)
    return ohmlet.convert(nn.Sequential(linear), ohmlet.load_config("hardware.yaml")).model


def programming_and_drift() -> dict[str, float]:
    """Return the spread of programming errors, and the slope of ln g over ln(1 + t/t_0)."""
    layer = ohmlet.program(composed(300, sigma=0.5), instances=4).layers["0"]
    target, g = layer.crossbars[0].target[:, None], layer.crossbars[0].g
    inner = (target > 5.0).expand_as(g)  # ten sigma from zero, where nothing is cut off
    errors = (g - target)[inner]
    slope = (layer.conductances(0, DAY) / g)[inner].log() / torch.tensor(1.0 + DAY / 20.0).log()
    return {
        "devices": len(errors),
        "bias": float(errors.mean()),
        "sigma": float(errors.std()),
        "slope": float(slope.mean()),
        "slope_spread": float(slope.std()),
    }


def factors(times: int, out_noise: float) -> dict[str, float]:
    """Return mean and spread over 500 chip instances of the compensation's factor after a day."""
    view = ohmlet.program(composed(8, out_noise=out_noise, times=times), instances=500).at(DAY)
    (factor,) = view.states["0"].factors
    assert factor is not None
    return {"mean": float(factor.mean()), "spread": float(factor.std())}


def evaluated(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return outputs of the model before it is programmed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnprogrammedWarning)
        y: torch.Tensor = model.eval()(x)
    return y.detach()


def two_passes() -> dict[str, float]:
    """Return how far the product is from the exact one without noise, and the spread that noise of 0.1 a pass gives."""
    model, x = composed(50), torch.linspace(-1.0, 1.0, 400 * 50).reshape(400, 50).sin()
    weight: Any = model[0].weight  # type: ignore[index]
    exact = x @ weight.detach().T
    ideal, noisy = evaluated(model, x), evaluated(composed(50, out_noise=0.1), x)
    error, spread = (ideal - exact).abs().max(), (noisy - exact).std()
    return {"error": float(error), "spread": float(spread), "scale": float(weight.detach().abs().max())}


def listed() -> dict[str, str]:
    """Return each plugin's entry as the registry shows it."""
    names = {"noise_model": "gaussian", "drift_compensation": "repeated", "tile": "two_pass"}
    return {name: str(registry(kind).find(name)) for kind, name in names.items()}


def shortcomings() -> dict[str, list[str]]:
    """Return what the kits say against the three plugins, by the names they are registered under, and what they skip."""
    found = [("noise_model", "gaussian"), ("drift_compensation", "repeated"), ("tile", "two_pass")]
    results = [(name, result) for kind, name in found for result in run_kit(kind, registry(kind).get(name)())]
    return {
        "failures": [f"{name} {result.name}: {result.message}" for name, result in results if not result.passed],
        "skipped": [f"{name} {result.name}: {result.message}" for name, result in results if result.skipped],
    }


if __name__ == "__main__":
    measured = {
        "listed": listed(),
        **shortcomings(),
        "round_trip": ohmlet.AnalogConfig.parse(composed(4)[0].config.to_plain()) == composed(4)[0].config,  # type: ignore[index]
        "noise": programming_and_drift(),
        "noiseless": factors(3, 0.0),
        "once": factors(1, 0.2),
        "sixteen": factors(16, 0.2),
        "product": two_passes(),
    }
    json.dump(measured, sys.stdout)
