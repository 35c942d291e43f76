"""Drift compensations: the factors, hand-computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet_noise_models.compensation_global import GlobalCompensation
from ohmlet_noise_models.compensation_per_column import PerColumnCompensation

BEFORE = torch.tensor([[0.5, -0.5, 1.0, 0.0], [0.2, 0.2, -0.2, -0.2]], dtype=torch.float64)
AFTER = BEFORE * torch.tensor([[0.5], [0.8]], dtype=torch.float64)


def mvm(w: Tensor, inputs: Tensor) -> Tensor:
    return inputs @ w.mT


def test_per_column_undoes_the_drift_of_each_output() -> None:
    compensation = PerColumnCompensation()
    reference, now = (compensation.read_out(lambda inputs, w=w: mvm(w, inputs), 4, w) for w in (BEFORE, AFTER))  # type: ignore[misc]
    assert reference.flatten().tolist() == pytest.approx([0.5, 0.2])
    factor = compensation.factor(reference, now)
    assert factor.shape == (1, 2)
    assert factor.flatten().tolist() == pytest.approx([2.0, 1.25])


def test_an_output_that_reads_nothing_is_not_compensated_without_end() -> None:
    compensation = PerColumnCompensation()
    zero = compensation.read_out(lambda inputs: inputs @ torch.zeros(4, 2), 4, torch.zeros(2, 4))
    assert zero.flatten().tolist() == pytest.approx([1e-4, 1e-4])


@pytest.mark.parametrize(("reference", "expected"), [("programmed", 0.24), ("exact", 0.35)])
def test_the_reference_of_the_global_factor(reference: str, expected: float) -> None:
    """Mean |w|: 0.35 of BEFORE, (0.5 / 2 + 0.2 * 0.8) / 2 = 0.205 of AFTER, 0.24 of 1.2 times a tenth of twos."""
    programmed = torch.full((2, 4), 0.24, dtype=torch.float64)
    compensation = GlobalCompensation(reference=reference)
    kept = compensation.reference_read_out(lambda x: mvm(programmed, x), lambda x: mvm(BEFORE, x), 4, BEFORE)
    assert kept.flatten().tolist() == pytest.approx([expected])
    now = compensation.read_out(lambda x: mvm(AFTER, x), 4, AFTER)
    assert compensation.factor(kept, now).flatten().tolist() == pytest.approx([expected / 0.205])


def chip(compensation: object, scales: str = "none") -> tuple[ohmlet.chip.Chip, Tensor]:
    layer = nn.Linear(8, 6, bias=False)
    layer.weight.data = torch.rand(6, 8, generator=torch.Generator().manual_seed(1)) + 0.5
    layer.weight.data /= layer.weight.data.max()
    drift = {"type": "state_independent", "prog_coeff": [0.5], "read_noise_scale": 0.0, "drift_nu_std": 0.0}
    tile = {"type": "inference", "forward": {"input_range": "none"}, "noise_model": drift, "drift_compensation": compensation}
    model = ohmlet.convert(layer, {"tile": tile, "mapping": {"scales": scales}, "seed": 5}).model
    return ohmlet.program(model, 3), layer.weight.detach()


def test_an_exact_reference_makes_the_mean_that_of_the_weights_asked_for() -> None:
    made, w = chip({"type": "global", "reference": "exact"})
    (state,) = made.at("1 d").states.values()
    (factor,) = state.factors
    assert factor is not None
    assert factor.shape == (3, 1, 1)
    means = (factor * state.weights[0].w).mean((-2, -1))
    assert torch.allclose(means, w.mean().expand(3), rtol=1e-5)
    programmed, _ = chip("global")
    (state,) = programmed.at("1 d").states.values()
    (factor,) = state.factors
    # Without spread of the exponents all of it is one power law: (t + t_0) / t_0 to the power 0.1.
    assert torch.allclose(factor, torch.full_like(factor, (86420 / 20) ** 0.1), rtol=1e-5)  # type: ignore[arg-type]


def test_a_chip_is_compensated_output_by_output() -> None:
    made, _ = chip("per_column")
    (state,) = made.at("1 d").states.values()
    (factor,) = state.factors
    assert factor is not None
    assert factor.shape == (3, 1, 6)
    x = torch.eye(8)
    assert torch.allclose(made.at("1 d")(x), made.at(0.0)(x), rtol=1e-4)
