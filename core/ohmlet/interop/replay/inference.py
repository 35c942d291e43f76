"""Replays of programming, drift and read noise, of converters and of drift compensations: group F."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.chip import Chip
from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interop.aihwkit.io import analog_pass
from ohmlet.interop.aihwkit.noise import conductance_converter, drift_compensation, noise_model
from ohmlet_kernels.noise import Stream, key

__all__ = ["replay"]

Arrays = dict[str, np.ndarray[Any, Any]]


class Devices:
    """Devices of a noise model behind a converter; every life of theirs has a name, which its random numbers go by."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        stated = case["parameters"]["noise_model"]
        self.key = torch.tensor(key("replay", str(case["id"])))
        self.model: NoiseModel = structure(noise_model(stated)[0], NoiseModel)
        self.converter: ConductanceConverter = structure(conductance_converter(stated["g_converter"])[0], ConductanceConverter)

    def stream(self, device: int, life: str) -> Stream:
        """Return the numbers of one of a weight's devices in one life."""
        return Stream(self.key, None, torch.tensor([device]), life)

    def program(self, target: Tensor, life: str, device: int = 0) -> tuple[Tensor, Tensor | None]:
        """Return programmed conductances and drift coefficients."""
        noise, window = self.stream(device, life), self.converter.window
        return self.model.program(target, window, noise), self.model.drift_coefficients(target, window, noise)

    def at(self, programmed: tuple[Tensor, Tensor | None], t: float, life: str, device: int = 0) -> Tensor:
        """Return conductances as one read-out sees them."""
        (g, coefficients), window = programmed, self.converter.window
        drifted = self.model.drift(g, coefficients, t, window)
        return self.model.read(drifted, g, t, window, self.stream(device, f"{life} read {t.hex()}"))


def moments(name: str, drawn: Tensor) -> Arrays:
    """Return mean and standard deviation over the repetitions [..., n, targets]."""
    return {f"{name}_mean": drawn.mean(-2).numpy(), f"{name}_std": drawn.std(-2).numpy()}


class Scaled:
    """Weights as a converter takes them, within [-1, 1], and the way back.

    A converter of one device has a digital offset, by which the source uses the whole window; signed magnitudes are scaled by rows.
    """

    def __init__(self, converter: Mapping[str, Any], w: Tensor) -> None:
        self.offset = torch.zeros((), dtype=w.dtype)
        if converter["type"] == "single_device":
            self.offset = (w.max() + w.min()) / 2
        least = 1e-7
        if converter["type"] == "sign_magnitude":
            self.scale = w.abs().amax(-1, keepdim=True).clamp_min(least)
        else:
            self.scale = (w - self.offset).abs().max().clamp_min(least)

    def down(self, w: Tensor) -> Tensor:
        """Return weights within [-1, 1]."""
        return (w - self.offset) / self.scale

    def up(self, w: Tensor) -> Tensor:
        """Return weights as they were."""
        return w * self.scale + self.offset


def devices_alone(devices: Devices, case: Mapping[str, Any], targets: Tensor, n: int) -> Arrays:
    """Return the statistics of single conductances: one life, looked at at all times."""
    target = targets.to(torch.float64).expand(n, -1)
    programmed = devices.program(target, "alone")
    out = moments("g_prog", programmed[0])
    out |= moments("g_drift", torch.stack([devices.at(programmed, float(t), "alone") for t in case["times"]]))
    if "nu_mean" in case["arrays"]:
        exponents = programmed[1]
        assert exponents is not None
        out |= moments("nu", exponents)
        levels = torch.tensor(case["quantile_levels"], dtype=torch.float64)
        out["nu_q"] = torch.quantile(exponents, levels, dim=0).mT.numpy()
    return out


def weights(devices: Devices, case: Mapping[str, Any], targets: Tensor, n: int) -> Arrays:
    """Return the statistics of weights: a new life for each time."""
    w = targets.to(torch.float64)
    scaled = Scaled(conductance_converter(case["parameters"]["noise_model"]["g_converter"])[0], w)
    wanted = scaled.down(w).expand(n, -1)
    targets = devices.converter.to_conductances(wanted)

    def seen(t: float | None) -> Tensor:
        life, read = f"weights {t}", []
        for device, target in enumerate(targets):
            programmed = devices.program(target, life, device)
            read.append(programmed[0] if t is None else devices.at(programmed, t, life, device))
        return scaled.up(devices.converter.recover(torch.stack(read), wanted))

    return moments("w_prog", seen(None)) | moments("w_fresh", torch.stack([seen(float(t)) for t in case["times_fresh"]]))


def noise_models(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the statistics of conductances, drift exponents and weights over as many repetitions as the reference has."""
    devices, n = Devices(case), int(case["repetitions"])
    out: Arrays = {"n": np.asarray(n)}
    return out | devices_alone(devices, case, arrays["g_target"], n) | weights(devices, case, arrays["w_target"], n)


def converters(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the conductances of W and the weights that come back."""
    plain, _ = conductance_converter(case["parameters"]["g_converter"])
    converter: ConductanceConverter = structure(plain, ConductanceConverter)
    w = arrays["W"].to(torch.float64)
    scaled = Scaled(plain, w)
    g = converter.to_conductances(scaled.down(w))
    return {"G": g.numpy(), "W_back": scaled.up(converter.recover(g, scaled.down(w))).numpy()}


def programmed_chip(case: Mapping[str, Any], w: Tensor, engine: str, instances: int) -> Chip:
    """Return a layer of weights w on chips, as a case's parameters describe them."""
    stated = case["parameters"]
    if abs(float(w.abs().max()) - 1.0) > 1e-6 and not stated["forward"]["is_perfect"]:
        raise ConfigError(f"the noise of the read-out is relative to weights up to 1, and W reaches {float(w.abs().max()):g}")
    tile = {
        "type": "inference",
        "forward": analog_pass(stated["forward"], []),
        "noise_model": noise_model(stated["noise_model"])[0],
        "conductance_converter": conductance_converter(stated["noise_model"]["g_converter"])[0],
        "drift_compensation": drift_compensation({"__class__": case["classes"]["drift_compensation"]})[0],
    }
    layer = nn.Linear(w.shape[1], w.shape[0], bias=False)
    layer.weight.data = w.clone()
    config = {"tile": tile, "mapping": {"scales": "tilewise", "max_in": 0, "max_out": 0}, "engine": engine}
    return ohmlet.program(ohmlet.convert(layer, config).model, instances, seed=key("replay", str(case["id"])) % 2**31)


def drift_compensations(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the mean factors at each time, and how far ideal products with the compensated weights are off."""
    instances, w = int(case["repetitions"]), arrays["W"].to(torch.float32)
    chip = programmed_chip(case, w, engine, instances)
    x = Stream(torch.tensor(key("replay", "inputs"))).normal("x", torch.empty(64, w.shape[1]))
    exact = x @ w.mT
    factors, errors = [], []
    for t in case["times"]:
        (state,) = chip.at(float(t)).states.values()
        (mapped,), (factor,) = state.weights, state.factors
        assert factor is not None
        factors.append(factor.to(torch.float64).mean(0).squeeze())
        off = factor * (x @ (mapped.w * mapped.scale).mT) - exact
        errors.append((off.norm(dim=(-2, -1)) / exact.norm()).to(torch.float64).mean())
    return {"n": np.asarray(instances), "alpha_mean": torch.stack(factors).numpy(), "mvm_error_mean": torch.stack(errors).numpy()}


KINDS = {"noise_model": noise_models, "converter": converters, "drift_compensation": drift_compensations}


def replay(case: Mapping[str, Any], arrays: Mapping[str, Tensor], engine: str) -> Arrays:
    """Return the own arrays of a case of group F by their short names, and the number `n` of own repetitions where chance plays a part."""
    return KINDS[str(case["kind"])](case, arrays, engine)
