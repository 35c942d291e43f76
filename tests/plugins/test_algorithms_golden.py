"""Update algorithms against the golden vectors of deterministic updates that an established simulator computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_optimizers.agad import AGAD
from ohmlet_optimizers.c_ttv2 import ChoppedTTv2
from ohmlet_optimizers.mixed_precision import MixedPrecision
from ohmlet_optimizers.sgd import SGD
from ohmlet_optimizers.tiki_taka import TikiTaka
from ohmlet_optimizers.ttv2 import TTv2
from tests.plugins.in_memory import IMPLICIT, built, plain_step, site, train, vectors

XS, DS, MORE_XS, MORE_DS = vectors()
A, C = plain_step(0.01), plain_step(0.005)
PAIR: dict[str, Any] = {"fast": A, "slow": C, "gradient_granularity": "mean"}
ONE = PulsedUpdate(**{"desired_bl": 1, "update_management": False, "update_bl_management": False, **IMPLICIT})
TOLERANCE = 3e-5


def equal(own: torch.Tensor, golden: list[list[float]]) -> None:
    """Raise unless equal to the digits that are stated."""
    torch.testing.assert_close(own, torch.tensor(golden), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("settings", "w"),
    [
        ({}, [[0.09, -0.12, 0.16], [-0.06, -0.02, 0.07]]),
        ({"desired_bl": 5}, [[0.08, -0.1, 0.13], [-0.04, 0.0, 0.05]]),
        ({"update_bl_management": False}, [[0.09, -0.12, 0.16], [-0.06, -0.02, 0.07]]),
        ({"update_bl_management": False, "update_management": False}, [[0.09, -0.12, 0.16], [-0.06, -0.02, 0.07]]),
        (
            {"desired_bl": 5, "fixed_bl": False, "update_bl_management": False, "update_management": False},
            [[0.09, -0.12, 0.16], [-0.06, -0.02, 0.07]],
        ),
        ({"desired_bl": 3, "um_grad_scale": 0.5}, [[0.05, -0.09, 0.07], [-0.03, 0.0, 0.04]]),
    ],
)
def test_sgd(settings: dict[str, Any], w: list[list[float]]) -> None:
    """Counts of pulses of the deterministic type."""
    at = site(2, 3)
    module = built(SGD(device=A), at, PulsedUpdate(**IMPLICIT, **settings))
    train(module, at, XS, DS, 0.1)
    equal(module.weights(), w)


@pytest.mark.parametrize(
    ("settings", "slow", "w"),
    [
        ({"transfer_every": 2.0, "transfer_lr": 0.5}, [[0.0, -0.005, 0.015], [-0.005, 0.005, 0.01]], None),
        ({"transfer_columns": False}, [[0.015, -0.025, 0.06], [-0.045, 0.005, 0.035]], None),
        ({"transfer_every": 2.0, "n_reads_per_transfer": 2}, [[0.005, -0.03, 0.05], [-0.025, -0.005, 0.02]], None),
        (
            {"transfer_every": 2.0, "transfer_lr": 0.5, "gamma": 0.1},
            [[0.0, -0.005, 0.015], [-0.005, 0.005, 0.01]],
            [[0.014, -0.018, 0.035], [-0.016, 0.003, 0.017]],
        ),
    ],
)
def test_tiki_taka(settings: dict[str, Any], slow: list[list[float]], w: list[list[float]] | None) -> None:
    """Fast array, slow array and weights after 12 vectors."""
    at = site(2, 3)
    module = built(TikiTaka(**PAIR, transfer_update=PulsedUpdate(**IMPLICIT), **settings), at, PulsedUpdate(**IMPLICIT))
    train(module, at, XS, DS, 0.1)
    equal(module.arrays["fast"].weights(), [[0.14, -0.13, 0.2], [-0.11, -0.02, 0.07]])
    equal(module.arrays["slow"].weights(), slow)
    equal(module.weights(), slow if w is None else w)


@pytest.mark.parametrize(
    ("settings", "buffer", "slow"),
    [
        ({}, [[0.0008, -0.00128, 0.00222], [-0.00103, 0.0007, 0.00079]], [[0.005, -0.01, 0.015], [-0.01, 0.005, 0.015]]),
        (
            {"transfer_columns": False, "momentum": 0.5, "forget_buffer": False},
            [[0.013, -0.0205, 0.0475], [-0.034, -0.0025, 0.03]],
            [[0.0, -0.015, 0.015], [-0.02, 0.005, 0.02]],
        ),
        ({"thres_scale": 0.5, "momentum": 0.0}, [[0.0, -0.0, 0.0], [-0.0, 0.0, 0.0]], [[0.0, -0.01, 0.015], [-0.015, 0.01, 0.015]]),
    ],
)
def test_ttv2(settings: dict[str, Any], buffer: list[list[float]], slow: list[list[float]]) -> None:
    """Buffer and slow array after 12 vectors."""
    at = site(2, 3)
    module = built(TTv2(**PAIR, transfer_update=ONE, **settings), at, PulsedUpdate(**IMPLICIT))
    train(module, at, XS, DS, 0.1)
    equal(module.arrays["fast"].weights(), [[0.14, -0.13, 0.2], [-0.11, -0.02, 0.07]])
    equal(module.buffer[0], buffer)
    equal(module.arrays["slow"].weights(), slow)


AUTO: dict[str, Any] = {"auto_scale": True, "fast_lr": 0.05, "auto_granularity": 20.0}
FAST, SCALED_FAST = [[0.05, 0.56, -0.49], [0.72, 0.2, 0.83]], [[-0.13, 0.11, -0.03], [0.07, 0.06, 0.06]]


@pytest.mark.parametrize(
    ("settings", "batch", "fast", "buffer", "slow"),
    [
        ({}, 1, FAST, [[0.37, -0.0, 0.888], [-0.0, -0.0, -0.962]], [[0.0, -0.015, -0.005], [0.01, 0.0, 0.01]]),
        (
            {"forget_buffer": False, "momentum": 0.2},
            1,
            FAST,
            [[0.694, 0.929, 0.763], [-0.494, 4.343, 0.204]],
            [[0.01, -0.025, -0.005], [0.035, 0.005, 0.02]],
        ),
        (
            {"transfer_columns": False, "transfer_every": 2.0},
            1,
            [[-0.77, -0.33, 0.27], [0.09, 0.2, -0.13]],
            [[-0.0, -0.999, -0.296], [0.333, 0.074, -0.481]],
            [[-0.005, -0.01, 0.0], [-0.01, 0.015, -0.015]],
        ),
        (AUTO, 1, SCALED_FAST, [[0.0111, 0.0, 0.01665], [0.0222, 0.02775, 0.06105]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        (
            {**AUTO, "correct_gradient_magnitudes": True},
            1,
            SCALED_FAST,
            [[0.0, -0.0, 0.37311], [-0.0, -0.0, -0.72433]],
            [[-0.005, -0.005, 0.0], [0.005, 0.0, 0.01]],
        ),
        (
            {"transfer_every": 0.5, "units_in_mbatch": True},
            4,
            [[-0.64, -0.86, -1.0], [0.72, -1.0, -0.01]],
            [[0.0, 0.0, 0.0], [-0.0, 0.0, 0.0]],
            [[0.005, 0.0, -0.01], [0.0, 0.005, 0.005]],
        ),
        (
            {"no_buffer": True, "buffer_granularity": 0.2},
            1,
            FAST,
            [[-0.92499, -0.0, 0.0], [-0.0, -0.0, -0.0]],
            [[0.0, -0.02, -0.005], [0.015, 0.0, 0.015]],
        ),
        # The source puts the signs of a visible fast array onto wrong cells; arrays and buffer do not depend on them.
        (
            {"gamma": 0.3},
            1,
            FAST,
            [[0.444, -0.555, -0.0999], [-0.7992, -0.5106, -0.5772]],
            [[0.0, -0.005, 0.0], [0.01, 0.005, 0.005]],
        ),
    ],
)
def test_c_ttv2(settings: dict[str, Any], batch: int, fast: Any, buffer: Any, slow: Any) -> None:
    """Arrays and buffer after 40 vectors with regular choppers."""
    at = site(2, 3)
    spec = ChoppedTTv2(
        **PAIR, transfer_update=ONE, transfer_lr=0.37, in_chop_prob=0.3, in_chop_random=False, scale_transfer_lr=True, **settings
    )
    module = built(spec, at, PulsedUpdate(**IMPLICIT))
    train(module, at, MORE_XS, MORE_DS, 0.1, batch)
    equal(module.arrays["fast"].weights(), fast)
    equal(module.buffer, buffer)
    equal(module.arrays["slow"].weights(), slow)


MEAN, REFERENCE = [[0.05, 0.5, -0.18], [0.72, 0.46, 0.52]], [[0.13, 0.82, 0.15], [0.47, 0.89, 0.26]]


@pytest.mark.parametrize(
    ("settings", "fast", "buffer", "mean", "reference", "slow"),
    [
        ({}, FAST, [[0.0, 0.0, 0.0], [-0.0, 0.0, -0.0]], MEAN, REFERENCE, [[0.02, -0.02, 0.01], [-0.01, 0.01, 0.02]]),
        (
            {"forget_buffer": False, "buffer_cap": 2.0},
            FAST,
            [[2.0, 2.0, 2.0], [-2.0, 2.0, -2.0]],
            MEAN,
            REFERENCE,
            [[0.015, -0.03, 0.01], [0.0, 0.01, 0.025]],
        ),
        (
            {"transfer_columns": False, "in_chop_prob": 0.5},
            [[-0.3, 0.28, 0.27], [0.72, -0.56, 1.0]],
            [[0.0, 0.0, 0.0], [-0.0, 0.0, -0.0]],
            [[-0.02, 0.42, -0.04], [0.72, -0.56, 1.0]],
            [[0.2, 1.0, 0.2], [0.47, -0.18, 0.75]],
            [[0.015, -0.015, -0.005], [-0.045, 0.015, 0.025]],
        ),
        (
            AUTO,
            SCALED_FAST,
            [[0.15411, -0.07706, 0.23117], [0.15411, 0.07705, -0.23117]],
            [[-0.13, 0.09, 0.0], [0.07, 0.07, 0.04]],
            [[-0.12, 0.11, 0.03], [0.01, 0.09, 0.01]],
            [[0.005, -0.005, 0.005], [0.0, -0.005, 0.005]],
        ),
        (
            {"correct_accumulation": True},
            FAST,
            [[0.0, 0.0, 0.0], [-0.0, 0.0, 0.0]],
            MEAN,
            REFERENCE,
            [[0.025, -0.02, 0.015], [0.0, 0.01, 0.025]],
        ),
    ],
)
def test_agad(settings: dict[str, Any], fast: Any, buffer: Any, mean: Any, reference: Any, slow: Any) -> None:
    """Arrays, buffer, running mean and reference after 40 vectors."""
    at = site(2, 3)
    spec = AGAD(**{**PAIR, "transfer_update": ONE, "transfer_lr": 5.137, "in_chop_prob": 0.3, **settings})
    module = built(spec, at, PulsedUpdate(**IMPLICIT))
    train(module, at, MORE_XS, MORE_DS, 0.1)
    for own, golden in (
        (module.arrays["fast"].weights(), fast),
        (module.buffer, buffer),
        (module.mean, mean),
        (module.reference, reference),
        (module.arrays["slow"].weights(), slow),
    ):
        equal(own, golden)


@pytest.mark.parametrize(
    ("settings", "batch", "w", "chi"),
    [
        ({}, 1, [[0.09, -0.1, 0.15], [-0.09, -0.02, 0.05]], [[-0.00701, 0.00078, -0.00188], [-0.0022, 0.00126, -0.00234]]),
        (
            {"transfer_every": 2},
            1,
            [[0.09, -0.09, 0.15], [-0.1, 0.02, 0.05]],
            [[-0.00701, 0.01078, -0.00188], [-0.0122, 0.04126, -0.00234]],
        ),
        ({}, 4, [[0.02, -0.08, 0.15], [-0.13, 0.0, 0.05]], [[-0.07701, 0.02078, -0.00188], [-0.0422, 0.02126, -0.00234]]),
        (
            {"n_rows_per_transfer": 1},
            1,
            [[0.09, -0.1, 0.15], [-0.1, 0.02, 0.05]],
            [[-0.00701, 0.00078, -0.00188], [-0.0122, 0.04126, -0.00234]],
        ),
        ({"granularity": 0.02}, 1, [[0.08, -0.1, 0.14], [-0.08, -0.02, 0.06]], [[-0.01701, 0.00078, -0.01188], [0.0078, 0.00126, 0.00766]]),
        (
            {"n_x_bins": 5, "n_d_bins": 7},
            1,
            [[0.11, -0.08, 0.14], [-0.09, -0.01, 0.05]],
            [[-0.00025, 0.00491, -0.00965], [0.00754, 0.00996, 0.00785]],
        ),
    ],
)
def test_mixed_precision(settings: dict[str, Any], batch: int, w: list[list[float]], chi: list[list[float]]) -> None:
    """Weights and digital matrix after 12 vectors."""
    at = site(2, 3)
    module = built(MixedPrecision(device=A, transfer_phase="first", **settings), at, PulsedUpdate(**IMPLICIT))
    train(module, at, XS, DS, 0.1, batch)
    equal(module.weights(), w)
    equal(module.chi, chi)
