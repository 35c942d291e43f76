"""Conductance converters against scalar ones in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet_noise_models.custom_pair import CustomPair
from ohmlet_noise_models.dual_pair import DualPair
from ohmlet_noise_models.n_pair import NPair
from ohmlet_noise_models.sign_magnitude import SignMagnitude
from ohmlet_noise_models.single_device import SingleDevice
from ohmlet_noise_models.single_pair import SinglePair
from tests.oracle import converters as oracle

W = torch.linspace(-1, 1, 41, dtype=torch.float64).view(1, 41)
BENT = ((5.0, 5.0, 2.5, 15.0, 25.0), (25.0, 15.0, 2.5, 5.0, 5.0))
UNEVEN = ((1.0, 1.0, 1.0, 10.0, 10.0), (10.0, 10.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0, 8.0), (8.0, 1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize(("factors", "g_min", "g_max"), [((1.0, 3.0), 0.0, 25.0), ((1.0, 2.0, 3.0), 0.2, 5.0), ((4.0,), 3.0, 25.0)])
def test_pairs_fill_one_after_the_other(factors: tuple[float, ...], g_min: float, g_max: float) -> None:
    pairs = NPair(factors=factors, g_min_uS=g_min, g_max_uS=g_max)
    g = pairs.to_conductances(W)
    assert len(g) == pairs.devices == 2 * len(factors)
    for j, w in enumerate(W[0].tolist()):
        assert g[:, 0, j].tolist() == pytest.approx(oracle.n_pair(w, factors, g_min, g_max), rel=1e-12)
    assert torch.allclose(pairs.to_weights(g), W, atol=1e-14)


def test_one_pair_of_any_factor_is_a_single_pair() -> None:
    assert torch.allclose(NPair(factors=(7.0,), g_min_uS=2.0).to_conductances(W), SinglePair(g_min_uS=2.0).to_conductances(W))


def test_an_error_counts_by_the_factor_of_its_pair() -> None:
    pairs = DualPair(factors=(1.0, 3.0), g_max_uS=10.0)
    shifted = pairs.to_weights(torch.tensor([[[1.0]], [[0.0]], [[1.0]], [[0.0]]]))
    assert float(shifted) == pytest.approx((1 * 1 + 3 * 1) / (10 * 4))


def test_a_single_device_spans_the_window() -> None:
    device = SingleDevice()
    g = device.to_conductances(W)
    assert g[0, 0].tolist() == pytest.approx([oracle.single_device(w, 9.0, 88.2) for w in W[0].tolist()], rel=1e-12)
    assert torch.allclose(device.to_weights(g), W, atol=1e-14)
    # A common loss of conductance shifts every weight, where a pair would cancel it.
    assert torch.allclose(device.to_weights(g - 7.92), W - 0.2, atol=1e-14)


def test_signs_are_kept_beside_the_array() -> None:
    converter = SignMagnitude()
    g = converter.to_conductances(W)
    assert g.shape == (1, 1, 41)
    assert torch.allclose(g[0], 40.0 * W.abs())
    assert torch.allclose(converter.recover(g, W), W)
    assert torch.allclose(converter.recover(g + 2.0, W), W + 0.05 * W.sign())
    assert torch.allclose(converter.to_weights(g), W.abs())


@pytest.mark.parametrize("scales", ["columnwise", "tilewise"])
def test_a_chip_of_signed_magnitudes_computes_with_the_right_signs(scales: str) -> None:
    layer = nn.Linear(6, 5, bias=False)
    tile = {
        "type": "inference",
        "forward": {"input_range": "none"},
        "conductance_converter": "sign_magnitude",
        "noise_model": {"type": "pcm", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0},
        "drift_compensation": "global",
    }
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    expected = layer(x)
    chip = ohmlet.program(ohmlet.convert(layer, {"tile": tile, "mapping": {"scales": scales}, "seed": 3}).model, 2)
    assert torch.allclose(chip.at("1 d")(x), expected.expand(2, 4, 5), atol=1e-5)


def test_a_table_is_read_along_straight_lines() -> None:
    table = CustomPair(conductances=BENT, g_min_uS=2.5)
    g = table.to_conductances(W)
    for j, w in enumerate(W[0].tolist()):
        assert g[:, 0, j].tolist() == pytest.approx([oracle.lines(w, [-1.0, -0.5, 0.0, 0.5, 1.0], list(row)) for row in BENT])
    assert torch.allclose(table.to_weights(g), W, atol=1e-14)
    assert table.differences == (-20.0, -10.0, 0.0, 10.0, 20.0)


def test_weights_come_back_from_an_uneven_table_unless_its_states_are_called_even() -> None:
    settings: dict[str, Any] = {"factors": (1.0, 3.0), "conductances": UNEVEN, "g_max_uS": 10.0, "g_min_uS": 1.0}
    read, even = CustomPair(**settings), CustomPair(**settings, nodes="even")
    assert read.differences == (-30.0, -9.0, 0.0, 9.0, 30.0)
    assert torch.allclose(read.to_weights(read.to_conductances(W)), W, atol=1e-14)
    back = even.to_weights(even.to_conductances(W))
    assert back[0].tolist() == pytest.approx(
        [oracle.lines(w, [-1, -0.5, 0, 0.5, 1], [-1, -0.3, 0, 0.3, 1]) for w in W[0].tolist()], abs=1e-12
    )


def test_the_default_table_is_a_single_pair() -> None:
    assert torch.allclose(CustomPair().to_conductances(W), SinglePair().to_conductances(W), atol=1e-14)


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("n_pair", {"factors": []}, "needs at least 1 numbers"),
    ("n_pair", {"factors": [1.0, 0.0]}, "'factors' must be > 0"),
    ("n_pair", {"g_min_uS": 30.0}, "'g_min_uS' must be below 'g_max_uS': 30.0 >= 25.0"),
    ("dual_pair", {"factors": [1.0, 2.0, 4.0]}, "dual_pair has two 'factors'"),
    ("single_device", {"g_max_uS": 9.0}, "'g_min_uS' must be below 'g_max_uS': 9.0 >= 9.0"),
    ("custom_pair", {"g_min_uS": 25.0}, "must be below"),
    ("custom_pair", {"factors": [1.0, 2.0]}, r"needs 4 rows \(two per factor\) of one length, at least 2; it has rows of 3, 3"),
    ("custom_pair", {"conductances": [[0.0, 1.0], [0.0]]}, "it has rows of 2, 1"),
    ("custom_pair", {"conductances": [[0.0, 30.0], [25.0, 0.0]]}, r"leave 0 to 25 uS: \[30.0\]"),
    ("custom_pair", {"conductances": [[1.0, 1.0], [1.0, 1.0]]}, "amount to zero in every state"),
    ("custom_pair", {"conductances": [[0.0, 20.0], [25.0, 0.0]]}, "from -25 to 25 uS; correct 'conductances', or set nodes: even"),
    ("custom_pair", {"conductances": [[0.0, 5.0, 5.0, 25.0], [25.0, 0.0, 0.0, 0.0]]}, "does not ascend"),
    ("custom_pair", {"nodes": "odd"}, "'nodes' must be one of read, even"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        structure({"type": name, **settings}, ConductanceConverter)


def test_all_devices_of_a_weight_are_programmed() -> None:
    layer = nn.Linear(6, 5, bias=False)
    tile = {"type": "inference", "noise_model": "pcm", "conductance_converter": {"type": "n_pair", "factors": [1.0, 2.0, 4.0]}}
    chip = ohmlet.program(ohmlet.convert(layer, {"tile": tile, "seed": 3}).model, 2)
    (programmed,) = chip.layers.values()
    g = programmed.crossbars[0].g
    assert g.shape == (6, 2, 5, 6)
    flat = np.asarray(g.flatten(1))
    assert len({row.tobytes() for row in flat}) == 6


def test_an_empty_window_is_refused_wherever_it_comes_from() -> None:
    with pytest.raises(ConfigError, match=r"'g_min_uS' must be below 'g_max_uS': 25\.0 >= 5\.0"):
        ConductanceWindow(25.0, 5.0)
