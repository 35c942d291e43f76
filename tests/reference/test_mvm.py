"""Matrix-vector products, weight noise and clipping of the established simulator, where Ohmlet has the same parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet_kernels.analog_mvm import MVM
from ohmlet_kernels.analog_mvm.reference import analog_mvm
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.clip import FixedValue, LayerGaussian
from ohmlet_tiles.modifiers import AddNormal
from tests.reference.cases import Case

INF = float("inf")


def settings(io: dict[str, Any]) -> MVM:
    """Return the source's settings of one pass as Ohmlet's."""
    assert io["mv_type"] == "AnalogMVType.ONE_PASS"
    assert not any(
        io[name]
        for name in (
            "inp_noise",
            "inp_asymmetry",
            "out_asymmetry",
            "out_noise_std",
            "ir_drop",
            "out_nonlinearity",
            "r_series",
            "v_offset_std",
        )
    )
    assert io["w_noise_type"] in {"WeightNoiseType.NONE", "WeightNoiseType.ADDITIVE_CONSTANT"}
    assert io["out_scale"] == 1.0
    if io["is_perfect"]:
        return MVM()

    def step(resolution: float, bound: float) -> float:
        return 0.0 if resolution <= 0 else 2 * bound * (1 / resolution if resolution > 1 else resolution)

    return MVM(
        step(io["inp_res"], io["inp_bound"]),
        io["inp_bound"] if io["inp_bound"] > 0 else INF,
        io["inp_sto_round"],
        io["out_noise"],
        io["w_noise"] if io["w_noise_type"].endswith("ADDITIVE_CONSTANT") else 0.0,
        step(io["out_res"], io["out_bound"]),
        io["out_bound"] if io["out_bound"] > 0 else INF,
        io["out_sto_round"],
    )


def scale(io: dict[str, Any], x: Tensor) -> Tensor | None:
    management = io["noise_management"]
    if io["is_perfect"] or management == "NoiseManagementType.NONE":
        return None
    if management == "NoiseManagementType.CONSTANT":
        return torch.tensor(io["nm_thres"] if io["nm_thres"] > 0 else 1.0)
    assert management == "NoiseManagementType.ABS_MAX"
    assert io["nm_thres"] <= 0
    largest = x.abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, largest, 1.0)


def product(io: dict[str, Any], x: Tensor, w: Tensor, ordinals: Tensor | None = None) -> Tensor:
    """Return the products of vectors [batch, in] with w [out, in]."""
    noise = Stream(torch.tensor(12), torch.arange(len(x)) if ordinals is None else ordinals)
    y = analog_mvm(x[:, None], w, scale(io, x[:, None]), settings(io), noise)[:, 0]
    if io["bound_management"] != "BoundManagementType.NONE" and not io["is_perfect"]:
        # Then bound management never had anything to do, and it has nothing to do here.
        by = scale(io, x)
        assert float((y if by is None else y / by).abs().max()) < io["out_bound"] * (1 - 1e-6)
    return y


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("name", ["A01", "A02", "A03", "A04", "A05", "A06", "A07", "A09", "A10", "A35", "A36", "A37"])
def test_products_without_noise_agree(name: str, direction: str, dtype: torch.dtype) -> None:
    case = Case(name)
    io = case.parameters["config"][direction] if "config" in case.parameters else case.parameters[direction]
    if direction == "backward":
        io = {**io, "bound_management": "BoundManagementType.NONE"}  # the source never uses it there
    vectors, w, result = ("X", case.array("W"), "Y_fwd") if direction == "forward" else ("D", case.array("W").T, "Y_bwd")
    y = product(io, torch.from_numpy(case.array(vectors)).to(dtype), torch.from_numpy(w.copy()).to(dtype))
    case.agrees(result, y.numpy())


REPETITIONS = 12_000


@pytest.mark.parametrize("name", ["B01", "B03", "B05", "B06", "B10"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_noise_of_products_agrees(name: str, direction: str) -> None:
    case = Case(name)
    io = case.parameters["config"][direction] if "config" in case.parameters else case.parameters[direction]
    vectors, w, result = ("X", case.array("W"), "Y_fwd") if direction == "forward" else ("D", case.array("W").T, "Y_bwd")
    x = torch.from_numpy(case.array(vectors)).float()
    repeated = x.repeat(REPETITIONS, 1)
    y = product(io, repeated, torch.from_numpy(w.copy()).float()).double().view(REPETITIONS, len(x), -1).numpy()
    case.agrees(f"{result}_mean", y.mean(0), REPETITIONS)
    case.agrees(f"{result}_std", y.std(0, ddof=1), REPETITIONS)
    if direction == "forward":
        case.agrees("Y_fwd_cov", np.stack([np.cov(y[:, vector].T) for vector in range(len(x))]), REPETITIONS)


def test_weight_noise_relative_to_the_largest_weight_agrees() -> None:
    case = Case("I01")
    w = torch.from_numpy(case.array("W"))
    modifier = AddNormal(std=case.parameters["modifier"]["std_dev"])
    drawn = [modifier.modify(w, Stream(torch.tensor(4), None, torch.tensor([step]))) for step in range(6000)]
    noisy = torch.stack(drawn).numpy()
    case.agrees("W_mod_mean", noisy.mean(0), 6000)
    case.agrees("W_mod_std", noisy.std(0, ddof=1), 6000)


@pytest.mark.parametrize("name", ["I40", "I41"])
def test_clipped_weights_agree(name: str) -> None:
    case = Case(name)
    stated = case.parameters["clip"]
    clip = FixedValue(value=stated["fixed_value"]) if name == "I40" else LayerGaussian(sigma=stated["sigma"])
    case.agrees("W_out", clip.constrain(torch.from_numpy(case.array("W"))).numpy())
