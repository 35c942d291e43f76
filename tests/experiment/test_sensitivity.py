"""Layer-wise sensitivity: one layer on chips at a time, by another way of building the same model."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, OrderError
from ohmlet.experiment.sensitivity import LayerLoss, Sensitivity, sensitivity

LOUD = {"preset": "pcm_inference", "tile": {"noise_model": {"type": "pcm", "prog_noise_scale": 4.0}}, "seed": 5}
QUIET = {
    "tile": {"type": "inference", "noise_model": {"type": "pcm", "prog_noise_scale": 0, "read_noise_scale": 0, "drift_scale": 0}},
    "seed": 5,
}
X = torch.linspace(-1, 1, 12 * 6).view(12, 6).sin()


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4)).eval()


def output(view: ohmlet.ChipView) -> Tensor:
    """Return minus the mean square of the outputs, one value per chip."""
    outputs: Tensor = view(X)
    return -(outputs**2).mean((-2, -1))


def test_a_layer_alone_costs_what_a_model_with_only_this_layer_converted_costs() -> None:
    model = network()
    digital = -float((model(X).detach() ** 2).mean())
    found = sensitivity(ohmlet.convert(copy.deepcopy(model), LOUD).model, output, t="1 h", instances=4, seed=3)
    assert found.digital == pytest.approx(digital, rel=1e-6)
    assert [row.name for row in found.rows] == ["0", "2"]
    for row, other in zip(found.rows, ("2", "0"), strict=True):
        only = ohmlet.convert(copy.deepcopy(model), LOUD, {other: "digital"}).model
        expected = digital - output(ohmlet.program(only, 4, seed=3).at(3600.0)).double()
        assert row.losses == pytest.approx(expected.tolist(), abs=1e-6)
        assert row.std > 0
    everything = output(ohmlet.program(ohmlet.convert(copy.deepcopy(model), LOUD).model, 4, seed=3).at(3600.0)).double()
    assert found.all_layers.losses == pytest.approx((digital - everything).tolist(), abs=1e-6)


def test_hardware_without_errors_costs_nothing() -> None:
    found = sensitivity(ohmlet.convert(network(), QUIET).model, output, t="1 year", instances=2, seed=0)
    for row in (*found.rows, found.all_layers):
        assert row.losses == pytest.approx([0.0, 0.0], abs=1e-6)


def test_the_model_stays_what_it_was() -> None:
    model = ohmlet.convert(network(), LOUD).model
    before, layers = {key: value.clone() for key, value in model.state_dict().items()}, [type(layer) for layer in model.modules()]
    sensitivity(model, output, instances=2, seed=0)
    assert [type(layer) for layer in model.modules()] == layers
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_weights_are_counted_and_a_layer_inside_another_belongs_to_it() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = x[:, None].expand(-1, 3, -1)
            return self.head(self.attention(y, y, y, need_weights=False)[0]).mean(1)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    found = sensitivity(ohmlet.convert(Attending(), LOUD).model, output, instances=2, seed=0)
    assert [(row.name, row.weights) for row in found.rows] == [("attention", 4 * 36), ("head", 18)]
    assert found.all_layers.weights == 4 * 36 + 18
    assert all(row.std > 0 for row in found.rows)


def test_a_model_that_is_one_layer_costs_alone_what_it_costs() -> None:
    torch.manual_seed(0)
    found = sensitivity(ohmlet.convert(nn.Linear(6, 4), LOUD).model, output, instances=3, seed=0)
    assert [row.name for row in found.rows] == ["(model)"]
    assert found.rows[0].losses == found.all_layers.losses


def test_mean_spread_and_error_are_those_of_the_chips() -> None:
    values = (0.5, -0.25, 1.0, 2.0)
    row = LayerLoss("l", 3, values)
    assert (row.mean, row.std) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert row.error == pytest.approx(np.std(values, ddof=1) / 2)
    assert LayerLoss("l", 3, (1.0,)).std == 0.0


def test_what_is_no_value_per_chip_is_refused() -> None:
    model = ohmlet.convert(network(), LOUD).model
    with pytest.raises(ConfigError, match=r"a tensor \[1\], but for the digital model it returned \(1, 12, 4\)"):
        sensitivity(model, lambda view: view(X), instances=2)
    with pytest.raises(ConfigError, match=r"for the digital model it returned float"):
        sensitivity(model, lambda view: 3.0, instances=2)  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigError, match=r"returned \[nan, nan\] for layer '0' alone"):
        sensitivity(model, lambda view: output(view) * (1.0 if view.instances == 1 else torch.nan), instances=2)
    with pytest.raises(OrderError, match="needs a model with analog layers"):
        sensitivity(network(), output)


def test_the_table_and_the_plot_show_every_layer(tmp_path: Path) -> None:
    rows = (LayerLoss("first", 30, (1.0, 2.0)), LayerLoss("second", 10, (0.0, 0.5)))
    found = Sensitivity("accuracy in %", 3600.0, 97.0, rows, LayerLoss("all layers", 40, (3.0, 4.0)))
    written = io.StringIO()
    Console(width=100, file=written).print(found)
    lines = written.getvalue().splitlines()
    assert "loss of accuracy in % at 1 h; digital: 97" in lines[0]
    assert lines[2].split() == ["first", "30", "75.0%", "1.5", "0.707", "0.5"]
    assert lines[4].split()[:5] == ["all", "layers", "40", "100.0%", "3.5"]
    found.draw(tmp_path / "plot.png")
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
    assert (tmp_path / "plot.png").stat().st_size > 5_000
