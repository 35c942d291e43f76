"""The whole analog pass against the slow oracle, over many random settings; and what the settings refuse."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch

from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Site, Tile
from ohmlet.nn.kernels import kernels_of
from ohmlet_kernels.analog_mvm import Variation
from ohmlet_kernels.noise import Stream
from tests.oracle.full_mvm import read

INF = math.inf


def random_case(seed: int) -> tuple[dict[str, Any], dict[str, Any], int, int]:
    """Return (tile's forward, the oracle's settings, outputs, inputs); levels are odd multiples so that ties are no matter of rounding."""
    r = random.Random(seed)
    outs, ins = r.choice([1, 3, 8]), r.choice([1, 5, 16])
    in_levels = r.choice([None, 62.6, 126.2, 254.4])
    bound = r.choice([INF, 0.7, 2.0, 6.0])
    out_levels = r.choice([None, 126.3, 509.7]) if bound < INF else None
    scaling = r.choice(["none", "abs_max", "max", "fixed", "abs_max_sum"])
    management = r.choice([None, None, "iterative", "iterative_worst_case"]) if bound < INF else None
    if scaling == "none" and management == "iterative_worst_case":
        management = "iterative"
    limit = r.choice([INF, 0.8]) if scaling in {"abs_max", "max", "abs_max_sum"} else INF
    s: dict[str, Any] = {
        "scaling": scaling, "limit": limit, "value": 1.3, "assumed_w_max": 0.6, "max_in_resolution": r.choice([0.25, 10.0]),
        "in_step": 2.0 / in_levels if in_levels else 0.0, "in_bound": 1.0 if in_levels else INF, "in_asymmetry": r.choice([0.0, 0.1, -0.2]),
        "out_bound": bound, "out_step": 2 * bound / out_levels if out_levels else 0.0, "out_asymmetry": r.choice([0.0, 0.07]),
        "out_scale": r.choice([1.0, 1.7]), "management": management, "max_reduction": r.choice([2.0, 1000.0]),
        "test_negative": r.choice([True, False]) if management else True, "passes": r.choice(["one", "one", "analog", "digital"]),
        "ir_drop": r.choice([0.0, 1.0, 5.0]), "g_ratio": r.choice([571428.0, 1000.0]),
        "r_series": r.choice([0.0, 0.05]), "reference_w": r.choice([0.0, -1.0]), "slope": r.choice([0.0, 0.5]),
    }  # fmt: skip
    rng = np.random.default_rng(seed)
    s["offsets"] = np.maximum(rng.normal(0, 0.1, outs), 0) if r.random() < 0.4 else np.zeros(outs)
    strong = r.random() < 0.5
    s["strengths"] = np.abs(rng.normal(0.1, 0.05, outs)) if strong else np.zeros(outs)
    s["nonlinear"] = strong or s["r_series"] > 0
    s["cells"] = 1 + 0.1 * rng.normal(size=(outs, ins)) if s["passes"] != "one" and r.random() < 0.5 else np.ones((outs, ins))
    forward: dict[str, Any] = {
        "input_range": {"type": scaling, **({"limit": limit} if limit < INF else {})},
        "in_asymmetry": s["in_asymmetry"], "out_asymmetry": s["out_asymmetry"], "out_scale": s["out_scale"],
    }  # fmt: skip
    if scaling == "fixed":
        forward["input_range"]["value"] = 1.3
    if scaling == "abs_max_sum":
        forward["input_range"]["max_in_resolution"] = s["max_in_resolution"]
    if in_levels:
        forward["dac"] = {"levels": in_levels, "bound": 1.0}
    if bound < INF:
        forward["adc"] = {"bound": bound, **({"levels": out_levels} if out_levels else {})}
    if management:
        names = ("max_reduction", "max_in_resolution", "test_negative")
        forward["bound_management"] = {"type": management, **{name: s[name] for name in names}}
    if s["passes"] != "one":
        forward["passes"] = {"type": "separate", "sum": s["passes"], "w_asymmetry": 0.1}
    if s["ir_drop"]:
        forward["ir_drop"] = {"type": "quadratic", "scale": s["ir_drop"], "g_ratio": s["g_ratio"]}
    if s["r_series"] or s["offsets"].any():
        forward["voltage_drop"] = {"offset_std": 0.1, "r_series": s["r_series"], "reference_w": s["reference_w"]}
    if s["nonlinear"] and (strong or s["slope"]):
        forward["nonlinearity"] = {"strength": 0.1 if strong else 0.0, "slope_calibration": s["slope"]}
    elif not s["nonlinear"]:
        s["slope"] = 0.0
    return forward, s, outs, ins


@pytest.mark.parametrize("seed", range(150))
def test_a_random_pass_equals_the_oracle(seed: int) -> None:
    forward, s, outs, ins = random_case(seed)
    rng = np.random.default_rng(1000 + seed)
    w, x = rng.uniform(-1, 1, (outs, ins)), rng.normal(0, 0.8, (6, ins))
    x[2] = 0.0
    tile = structure({"type": "inference", "forward": forward}, Tile)
    crossbar: Any = tile.build(Site(out_features=outs, in_features=ins, kernel=kernels_of("reference"))).eval()
    module = crossbar.forward_pass
    tensors = [torch.from_numpy(np.asarray(s[name])) for name in ("strengths", "offsets", "cells")]
    module.variation = Variation(None, tensors[0], tensors[1] if s["offsets"].any() else None, tensors[2])
    # One vector at a time: a sum of many in one product may round the other way where the oracle adds in order.
    y = module(torch.from_numpy(x)[:, None], torch.from_numpy(w), Stream(torch.tensor(1)).at(torch.arange(6))).squeeze(1)
    expected = np.stack([read(row, w, s) for row in x])
    assert np.allclose(y.numpy(), expected, rtol=1e-9, atol=1e-9), (seed, forward)


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        ({"bound_management": "iterative"}, "bound_management has no effect without an adc of finite bound"),
        ({"out_noise_spread": 0.3}, "out_noise_spread 0.3 has no effect without out_noise"),
        ({"voltage_drop": {}}, "a voltage_drop without offset_std and r_series has no effect"),
        ({"nonlinearity": {"strength": 0}}, "a nonlinearity without strength and slope_calibration has no effect"),
        ({"passes": "bit_wise"}, "passes bit_wise belong to ir_drop time_dependent"),
        ({"ir_drop": "time_dependent"}, "needs a dac with bits or levels and bound 1"),
        (
            {"ir_drop": "time_dependent", "dac": {"bits": 8}, "weight_noise": "pcm_read", "in_asymmetry": 0.1},
            "has no in_asymmetry, weight_noise",
        ),
        ({"ir_drop": "time_dependent", "dac": {"levels": 100}, "passes": "split"}, "need a dac of 2\\^bits - 2 levels, not 100"),
        (
            {"ir_drop": {"type": "time_dependent", "segments": 7}, "dac": {"bits": 8}},
            "'segments' must divide 'rows': 7 does not divide 512",
        ),
        (
            {"adc": {"bits": 8}, "input_range": "none", "bound_management": "iterative_worst_case"},
            "replaces the input scale, and input_range none has none",
        ),
    ],
)
def test_settings_without_effect_are_refused(forward: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        structure({"type": "inference", "forward": forward}, Tile)


def test_what_differs_between_outputs_is_fixed_for_a_crossbar_and_differs_between_chips() -> None:
    forward = {
        "out_noise": 0.1, "out_noise_spread": 0.3, "nonlinearity": {"strength": 0.2, "spread": 0.3}, "adc": {"bound": 5.0},
        "voltage_drop": {"offset_std": 0.1}, "passes": {"type": "separate", "w_asymmetry": 0.1},
    }  # fmt: skip
    tile: Any = structure({"type": "inference", "forward": forward}, Tile)
    w = torch.zeros(400, 30)
    both = tile.forward.variation(w, torch.tensor([3, 4]), "forward", False)
    again = tile.forward.variation(w, torch.tensor(3), "forward", False)
    for name in Variation._fields:
        drawn, one = getattr(both, name), getattr(again, name)
        assert torch.equal(drawn[0], one), name
        assert not torch.equal(drawn[0], drawn[1]), name
    assert abs(float(again.out_noise.std()) / 0.03 - 1) < 5 / math.sqrt(800)
    assert abs(float(again.nonlinearity.mean()) / (0.2 / 5.0) - 1) < 5 * 0.3 / math.sqrt(400)
    assert float(again.v_offset.min()) == 0.0
    turned = tile.forward.variation(w.mT, torch.tensor(3), "backward", True)
    assert torch.equal(turned.w_asymmetry, again.w_asymmetry.mT)  # the same cells


def test_the_transposed_pass_makes_the_input_gradient_and_leaves_that_of_the_weights_exact() -> None:
    def gradients(backward: dict[str, Any] | None) -> tuple[torch.Tensor, torch.Tensor]:
        tile = structure({"type": "inference", "forward": {}, "backward": backward}, Tile)
        crossbar: Any = tile.build(Site(out_features=4, in_features=6, kernel=kernels_of("reference")))
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(5, 1, 6, generator=generator, requires_grad=True)
        w = torch.randn(4, 6, generator=generator, requires_grad=True)
        d = torch.randn(5, 1, 4, generator=generator)
        crossbar.mvm(x, w, Stream(torch.tensor(5)).at(torch.arange(5))).backward(d)
        assert x.grad is not None
        assert w.grad is not None
        return x.grad, w.grad

    exact_x, exact_w = gradients(None)
    ideal_x, ideal_w = gradients({})
    assert torch.allclose(ideal_x, exact_x, atol=1e-6)
    assert torch.allclose(ideal_w, exact_w, atol=1e-6)
    noisy_x, noisy_w = gradients({"out_noise": 0.1})
    assert torch.allclose(noisy_w, exact_w, atol=1e-6)
    assert 0.01 < float((noisy_x - exact_x).std()) < 1.0


def test_time_dependent_ir_drop_without_wires_is_the_exact_product_of_codes() -> None:
    forward = {"dac": {"bits": 8}, "ir_drop": {"type": "time_dependent", "r_wire": 0.0, "v_read": 0.4, "rows": 16}}
    x, w = torch.randn(7, 1, 12, dtype=torch.float64), torch.rand(5, 12, dtype=torch.float64) * 2 - 1
    results = []
    for passes in (None, "split", "bit_wise"):
        tile = structure({"type": "inference", "forward": {**forward, "passes": passes}}, Tile)
        crossbar: Any = tile.build(Site(out_features=5, in_features=12, kernel=kernels_of("reference")))
        results.append(crossbar.mvm(x, w, Stream(torch.tensor(5)).at(torch.arange(7))))
    plain = structure({"type": "inference", "forward": {"dac": {"bits": 8}}}, Tile)
    exact: Any = plain.build(Site(out_features=5, in_features=12, kernel=kernels_of("reference")))
    for result in results:
        assert torch.allclose(result, exact.mvm(x, w, Stream(torch.tensor(5)).at(torch.arange(7))), atol=1e-9)


def test_time_dependent_ir_drop_passes_gradients_to_inputs_and_weights() -> None:
    tile = structure({"type": "inference", "forward": {"dac": {"bits": 8}, "ir_drop": "time_dependent", "passes": "bit_wise"}}, Tile)
    crossbar: Any = tile.build(Site(out_features=5, in_features=12, kernel=kernels_of("reference")))
    x, w = torch.randn(7, 1, 12, requires_grad=True), torch.empty(5, 12).uniform_(-1, 1).requires_grad_()
    crossbar.mvm(x, w, Stream(torch.tensor(5)).at(torch.arange(7))).sum().backward()
    assert x.grad is not None
    assert w.grad is not None
    # The lines take about a tenth; the gradient is that of the product otherwise.
    assert torch.allclose(x.grad[:, 0], w.detach().sum(0).expand(7, -1), atol=0.6)
    assert float(w.grad.abs().sum()) > 0
