"""Settings of tiles that would do nothing, or that are per cent where shares are meant: refused, with what to write instead."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.chip import export_targets
from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.weights import training

parse = AnalogConfig.parse


def tile(name: str, **settings: Any) -> Any:
    return parse({"tile": {"type": name, **settings}}).tile


@pytest.mark.parametrize("name", ["inference", "in_memory"])
@pytest.mark.parametrize(("given", "words"), [("learned", "learned learns nothing.*average_abs_max"), ("fixed", "fixed needs a value")])
def test_a_range_that_nothing_would_set_is_refused_for_the_backward_pass(name: str, given: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"backward.input_range {words}"):
        tile(name, backward={"input_range": given})
    tile(name, backward={"input_range": "average_abs_max"})
    tile(name, forward={"input_range": given})


def test_and_for_the_read_out_of_transfers() -> None:
    with pytest.raises(ConfigError, match=r"read\.input_range learned learns nothing"):
        tile("in_memory", update_algorithm="tiki_taka", read={"input_range": "learned"})


@pytest.mark.parametrize("name", ["inference", "in_memory"])
@pytest.mark.parametrize("compensation", ["global", "per_column"])
def test_drift_compensation_without_drift_is_refused(name: str, compensation: str) -> None:
    words = f"drift_compensation {compensation} has no effect without a noise_model.*noise_model: pcm, or set drift_compensation to none"
    with pytest.raises(ConfigError, match=words):
        tile(name, drift_compensation=compensation)
    tile(name, drift_compensation=compensation, noise_model="pcm")
    tile(name, drift_compensation="none")


def test_a_converter_says_what_targets_are_exported_also_without_a_noise_model(tmp_path: Path) -> None:
    found = []
    for g_max in (20.0, 40.0):
        model: Any = nn.Sequential(nn.Linear(3, 2, bias=False))
        nn.init.constant_(model[0].weight, 0.5)
        ohmlet.convert(model, {"tile": {"type": "inference", "conductance_converter": {"type": "single_pair", "g_max_uS": g_max}}})
        export_targets(model, tmp_path / str(g_max))
        (file,) = (tmp_path / str(g_max)).glob("*.npz")
        found.append(float(np.load(file)["g_uS"].max()))
    assert found == [20.0, 40.0]


@pytest.mark.parametrize(
    ("algorithm", "refused"),
    [
        ({"type": "sgd", "device": "ideal"}, True),
        ({"type": "mixed_precision", "device": "ideal"}, True),
        ({"type": "tiki_taka", "fast": "ideal", "slow": "soft_bounds"}, True),
        ({"type": "ttv2", "fast": "soft_bounds", "slow": "ideal"}, False),
        ({"type": "agad", "fast": "ideal", "slow": "soft_bounds"}, True),
        ({"type": "agad", "fast": "ideal", "slow": "soft_bounds", "auto_scale": True}, False),
        ({"type": "lrtt", "rank": 2, "up": "ideal", "down": "ideal", "core": "soft_bounds"}, True),
        ({"type": "lrtt", "rank": 2, "up": "ideal", "down": "soft_bounds", "core": "ideal"}, False),
        ({"type": "sgd", "device": "vector"}, False),
    ],
    ids=str,
)
def test_pulses_are_refused_where_no_gradient_is_pulsed(algorithm: dict[str, Any], refused: bool) -> None:
    words = r"tile.update has no effect: updates of \w+ with cells ideal.*are exact sums.*take a device with steps"
    with pytest.raises(ConfigError, match=words) if refused else nullcontext():
        tile("in_memory", update_algorithm=algorithm, update={"desired_bl": 7})
    for silent in ({}, {"pulse_type": "none"}) if refused else ({},):
        tile("in_memory", update_algorithm=algorithm, update=silent)


@pytest.mark.parametrize("kind", ["add_normal", "mult_normal", "poly", "prog_noise", "pcm_noise"])
def test_a_modifier_of_no_strength_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"std 0\.0 .*leave the modifier out \(null\)"):
        tile("inference", training={"modifier": {"type": kind, "std": 0.0}})


def test_rounding_without_noise_has_a_modifier_of_its_own() -> None:
    with pytest.raises(ConfigError, match=r"std 0\.0 adds no noise to the rounding: take modifier discretize"):
        tile("inference", training={"modifier": {"type": "discretize_add_normal", "std": 0.0}})


def test_failures_and_drift_are_a_modifier_also_without_programming_noise() -> None:
    tile("inference", training={"modifier": {"type": "pcm_noise", "std": 0.0, "prob_at_reset": 0.1}})
    tile("inference", training={"modifier": {"type": "pcm_noise", "std": 0.0, "t_inference": 100.0}})
    with pytest.raises(ConfigError, match=r"zero_threshold 2 counts in programming errors, of which std 0\.0 leaves none"):
        tile("inference", training={"modifier": {"type": "pcm_noise", "std": 0.0, "t_inference": 100.0, "zero_threshold": 2.0}})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"training": {"modifier": {"type": "add_normal", "std": 30.0}}}, r"std 30 is 30 times the crossbar's largest weight.*write 0\.3 "),
        ({"training": {"modifier": {"type": "mult_normal", "std": 8.0}}}, r"std 8 is 8 times the weight.*for 8 % write 0\.08 "),
        ({"training": {"modifier": {"type": "discretize_add_normal", "std": 8.0}}}, r"for 8 % write 0\.08 "),
        ({"forward": {"in_noise": 3.0}}, r"in_noise 3 is 3 times the full scale of the inputs.*write 0\.03 "),
        ({"forward": {"weight_noise": {"type": "pcm_read", "std": 1.75}}}, r"weight_noise.std 1\.75 is .*largest weight.*write 0\.0175 "),
    ],
    ids=str,
)
def test_per_cent_is_told_from_shares(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tile("inference", **settings)


def test_output_noise_above_a_full_product_is_told() -> None:
    # A sum of many products may well be larger than one of them, so this is no error.
    with pytest.warns(UserWarning, match=r"out_noise 4 is 4 times the product of one full input and one full weight.*write 0\.04"):
        tile("in_memory", forward={"out_noise": 4.0})
    tile("in_memory", forward={"out_noise": 1.5})


def test_noise_relative_to_a_small_weight_may_be_large() -> None:
    tile("inference", training={"modifier": {"type": "add_normal", "std": 2.0, "w_max": 0.2}})


AIHWKIT = {
    "std_dev": 0.0, "rel_to_actual_wmax": True, "assumed_wmax": 1.0, "res": 0.05, "sto_round": False, "pdrop": 0.0,
    "coeffs": [0.1], "g_max": 25.0, "copy_last_column": False, "enable_during_test": False,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "expected"), [("ADD_NORMAL", None), ("POLY", None), ("DISCRETIZE_ADD_NORMAL", "discretize")])
def test_what_aihwkit_ignores_becomes_a_row(kind: str, expected: str | None) -> None:
    rows: list[Any] = []
    made = training({"modifier": {**AIHWKIT, "type": f"WeightModifierType.{kind}"}}, rows)
    assert (made["modifier"] or {}).get("type") == expected
    assert [row.setting for row in rows] == ["type"]
    parse({"tile": {"type": "inference", "training": made}})


def test_a_range_that_follows_the_gradients_serves_the_backward_pass() -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(4, 3))
    ohmlet.convert(model, {"tile": {"type": "inference", "backward": {"input_range": "average_abs_max"}}})
    x = torch.randn(5, 4, requires_grad=True)
    model(x).square().sum().backward()
    assert float(model[0].array.crossbars[0].backward_pass.running.average) > 0
