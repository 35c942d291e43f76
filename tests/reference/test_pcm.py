"""Programming, drift, read noise, conductances and drift compensation of the established simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.pcm import PCM
from ohmlet_noise_models.single_pair import SinglePair
from tests.reference.cases import Case

REPETITIONS = 10_000
# F03 has programming coefficients of its own, which the model does not take.
NOISE_MODELS = ["F01", "F02", "F04", "F05", "F06"]


def model_of(case: Case) -> tuple[PCM, SinglePair]:
    stated: dict[str, Any] = case.parameters["noise_model"]
    assert stated["prog_coeff"] == [0.26348, 1.965, -1.1731]
    names = ("t_0", "t_read", "prog_noise_scale", "read_noise_scale", "drift_scale")
    pair = SinglePair(g_max_uS=stated["g_converter"]["g_max"], g_min_uS=stated["g_converter"]["g_min"])
    return PCM(**{name: stated[name] for name in names}), pair


def stream(device: int, purpose: str = "") -> Stream:
    return Stream(torch.tensor(6), None, torch.tensor([device]), purpose)


def moments(case: Case, name: str, own: Tensor) -> None:
    case.agrees(f"{name}_mean", own.mean(-2).numpy(), REPETITIONS)
    case.agrees(f"{name}_std", own.std(-2).numpy(), REPETITIONS)


@pytest.mark.parametrize("name", NOISE_MODELS)
def test_single_conductances_agree(name: str) -> None:
    case = Case(name)
    model, pair = model_of(case)
    target = torch.from_numpy(case.array("g_target")).expand(REPETITIONS, -1)
    g = model.program(target, pair.window, stream(0))
    nu = model.drift_coefficients(target, pair.window, stream(0))
    moments(case, "g_prog", g)
    moments(case, "nu", nu)
    quantiles = torch.quantile(nu, torch.tensor(case.described["quantile_levels"], dtype=nu.dtype), dim=0).T
    case.agrees("nu_q", quantiles.numpy(), REPETITIONS)
    times = case.described["times"]
    drifted = [model.read(model.drift(g, nu, t, pair.window), g, t, pair.window, stream(0, f"{t}")) for t in times]
    moments(case, "g_drift", torch.stack(drifted))


@pytest.mark.parametrize("name", NOISE_MODELS)
def test_weights_of_pairs_agree(name: str) -> None:
    case = Case(name)
    model, pair = model_of(case)
    target = pair.to_conductances(torch.from_numpy(case.array("w_target")).expand(REPETITIONS, -1))

    def programmed(path: str) -> Tensor:
        return torch.stack([model.program(g, pair.window, stream(device, path)) for device, g in enumerate(target)])

    moments(case, "w_prog", pair.to_weights(programmed("")))
    fresh = []
    for t in case.described["times_fresh"]:
        read = []
        for device, g in enumerate(programmed(f"{t}")):
            nu = model.drift_coefficients(target[device], pair.window, stream(device, f"{t}"))
            read.append(model.read(model.drift(g, nu, t, pair.window), g, t, pair.window, stream(device, f"{t}")))
        fresh.append(pair.to_weights(torch.stack(read)))
    moments(case, "w_fresh", torch.stack(fresh))


@pytest.mark.parametrize("name", ["F50", "F51"])
def test_pairs_of_conductances_agree(name: str) -> None:
    case = Case(name)
    stated = case.parameters["g_converter"]
    pair = SinglePair(g_max_uS=stated["g_max"], g_min_uS=stated["g_min"])
    w = torch.from_numpy(case.array("W"))
    largest = w.abs().max()
    g = pair.to_conductances(w / largest)
    case.agrees("G", g.numpy())
    case.agrees("W_back", (pair.to_weights(g) * largest).numpy())
    assert case.described["scale_ratio"] == pytest.approx(float((stated["g_max"] - stated["g_min"]) / largest), rel=1e-6)
    assert pair.window == ConductanceWindow(stated["g_min"], stated["g_max"])


@pytest.mark.parametrize(
    ("name", "forward"),
    [("F70", {"input_range": "none"}), ("F71", {"dac": {"levels": 126}, "adc": {"levels": 510, "bound": 12.0}, "out_noise": 0.06})],
)
def test_the_factors_of_global_compensation_agree(name: str, forward: dict[str, Any]) -> None:
    case, instances = Case(name), 24
    weight = torch.from_numpy(case.array("W")).float()
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    tile = {"type": "inference", "forward": forward, "noise_model": "pcm", "drift_compensation": "global"}
    model = ohmlet.convert(layer, {"tile": tile, "mapping": {"scales": "none"}}).model
    chip = ohmlet.program(model, instances, seed=5)
    x = torch.randn(64, weight.shape[1], generator=torch.Generator().manual_seed(3))
    exact = x @ weight.T
    factors, errors = [], []
    for t in case.described["times"]:
        state = next(iter(chip.at(t).states.values()))
        factor = state.factors[0]
        assert factor is not None
        factors.append(float(factor.mean()))
        off = factor * (x @ state.weights[0].w.mT) - exact
        errors.append(float((off.norm(dim=(-2, -1)) / exact.norm()).mean()))
    case.agrees("alpha_mean", np.array(factors), instances)
    if "mvm_error_mean" in case.described["arrays"]:
        case.agrees("mvm_error_mean", np.array(errors), instances)
