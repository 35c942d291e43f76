"""Input ranges measured from data."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, OrderError


def config(input_range: Any, mapping: dict[str, Any] | None = None, **tile: Any) -> dict[str, Any]:
    forward = {"dac": {"bits": 8}, "adc": {"bits": 8, "bound": 10.0}, "input_range": input_range, "out_noise": 0.05}
    return {"tile": {"type": "inference", "forward": forward, **tile}, "mapping": mapping or {}, "seed": 1}


def perceptron(input_range: Any = "learned", mapping: dict[str, Any] | None = None, **tile: Any) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, 4))
    ohmlet.convert(model, config(input_range, mapping, **tile))
    return model


def data(batches: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(50, 12, generator=generator) * (1 + index) for index in range(batches)]


def quantile(x: Tensor, q: float) -> float:
    return float(x.detach().abs().flatten().double().quantile(q, interpolation="higher"))


@pytest.mark.parametrize("input_range", ["learned", "fixed"])
def test_each_range_becomes_the_quantile_of_its_own_inputs_in_the_exact_network(input_range: str) -> None:
    model = perceptron(input_range, {"max_in": 7})
    x = torch.cat(data())
    hidden = torch.relu(nn.functional.linear(x, model[0].weight, model[0].bias))
    report = ohmlet.calibrate(model, data(), quantile=1.0)
    expected = {"0.block0": x[:, :6], "0.block1": x[:, 6:], "3.block0": hidden[:, :5], "3.block1": hidden[:, 5:]}
    assert [row.crossbar for row in report.rows] == list(expected)
    crossbars = [crossbar for layer in (model[0], model[3]) for crossbar in layer.array.crossbars]
    for row, crossbar, inputs in zip(report.rows, crossbars, expected.values(), strict=True):
        assert row.after == pytest.approx(quantile(inputs, 1.0), rel=1e-5)
        assert float(crossbar.full_scale()) == pytest.approx(row.after, rel=1e-6)
        assert row.before == (3.0 if input_range == "learned" else None)
        assert (row.values, row.clipped) == (inputs.numel(), 0.0)


def test_exact_and_streaming_agree_to_their_stated_error() -> None:
    model, x = perceptron(), torch.cat(data())
    once = ohmlet.calibrate(model, data(), quantile=0.9).rows
    twice = ohmlet.calibrate(model, data(), quantile=0.9, exact=True).rows
    assert twice[0].after == sorted(x.abs().flatten().tolist())[int(0.9 * x.numel()) - 1]
    assert twice[0].clipped == pytest.approx(0.1, abs=1e-9)
    for streamed, exact in zip(once, twice, strict=True):
        assert exact.after <= streamed.after <= exact.after * (1 + 2**-8)


def test_a_fraction_beyond_the_range_clips_in_the_next_pass() -> None:
    model = perceptron("fixed")
    (row, _) = ohmlet.calibrate(model, data(), quantile=0.9, exact=True).rows
    codes = torch.cat(data()).abs() > row.after
    assert float(codes.double().mean()) == row.clipped


def test_nothing_else_changes() -> None:
    model = perceptron(training={"modifier": {"type": "add_normal", "std": 0.1}}, noise_model="pcm")
    model[3].eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    calls: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ohmlet.calibrate(model, [(x, None) for x in data()], progress=calls.append)
    assert calls == [1, 2, 3, 4]
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    changed = {name.rpartition(".")[2] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"start", "batches"}
    assert "mvm" not in vars(model[0].array.crossbars[0])


class Named(nn.Module):
    """Takes a keyword, runs a recurrent layer and has one that it does not always use."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.conv, self.spare = nn.LSTM(6, 5, batch_first=True), nn.Conv1d(4, 4, 3, groups=2), nn.Linear(5, 2)

    def forward(self, x: Tensor, spare: bool = True) -> Any:
        y = self.reader(self.conv(x))[0]
        return self.spare(y) if spare else y


def test_recurrent_and_grouped_layers_are_calibrated_from_mappings() -> None:
    torch.manual_seed(0)
    model = Named()
    ohmlet.convert(model, config("fixed"))
    x = torch.randn(3, 4, 8)
    report = ohmlet.calibrate(model, [{"x": x}], quantile=1.0)
    rows = {row.crossbar: row for row in report.rows}
    assert list(rows) == ["reader.ih_l0.block0", "reader.hh_l0.block0", "conv.block0", "spare.block0"]
    assert rows["conv.block0"].after == float(x.abs().max())
    assert rows["conv.block0"].values == 3 * 6 * (4 // 2 * 3) * 2
    # A hidden state of an LSTM is below 1.
    assert 0 < rows["reader.hh_l0.block0"].after < 1
    assert bool(model(x).isfinite().all())
    assert "reader.hh_l0.block0" in str(report)


def test_a_layer_without_data_is_named_and_no_range_changes() -> None:
    model: Any = Named()
    ohmlet.convert(model, config("learned"))
    with pytest.raises(OrderError, match=r"no batch reached spare\.block0"):
        ohmlet.calibrate(model, [{"x": torch.randn(3, 4, 8), "spare": False}])
    assert float(model.conv.array.crossbars[0].full_scale()) == 3.0
    with pytest.raises(OrderError, match="no batch reached"):
        ohmlet.calibrate(model, [])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_name_their_layer(bad: float) -> None:
    model = perceptron()
    x = torch.randn(5, 12)
    x[2, 3] = bad
    with pytest.raises(ConfigError, match=r"the inputs of 0\.block0: 1 of 60 values are not finite"):
        ohmlet.calibrate(model, [x])
    assert "mvm" not in vars(model[0].array.crossbars[0])
    assert model.training


def test_a_range_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0\.block0 is zero \(all of its inputs are zero\)"):
        ohmlet.calibrate(perceptron(), [torch.zeros(5, 12)])
    x = torch.zeros(5, 12)
    x[0, 0] = 2.0
    with pytest.raises(ConfigError, match=r"the 0\.5 quantile of 0\.block0 is zero \(its largest input is 2\)"):
        ohmlet.calibrate(perceptron(), [x], quantile=0.5)


@pytest.mark.parametrize("input_range", ["abs_max", {"type": "fixed", "value": 2.0}, "average_abs_max"], ids=str)
def test_a_config_without_such_ranges_is_refused(input_range: Any) -> None:
    with pytest.raises(ConfigError, match=r"no crossbar has an input range that can be calibrated"):
        ohmlet.calibrate(perceptron(input_range), data())
    with pytest.raises(OrderError, match="calibrate needs a model with analog layers"):
        ohmlet.calibrate(nn.Linear(2, 2), data())


def test_layers_without_a_range_of_their_own_are_reported() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 9), nn.Linear(9, 4))
    ohmlet.convert(model, config("learned"), {"1": {"tile.forward.input_range": "abs_max"}})
    report = ohmlet.calibrate(model, data())
    assert report.skipped == ("1.block0",)
    assert "left as they are: 1.block0" in str(report)


@pytest.mark.parametrize("q", [0.0, 1.5, -1.0, float("nan"), True, "0.9"])
def test_a_quantile_outside_is_refused(q: Any) -> None:
    with pytest.raises(ConfigError, match="quantile must be above 0 and at most 1"):
        ohmlet.calibrate(perceptron(), data(), quantile=q)


def test_two_passes_need_batches_that_repeat() -> None:
    with pytest.raises(ConfigError, match="can be used up"):
        ohmlet.calibrate(perceptron(), iter(data()), exact=True)

    class Shrinking(list[Tensor]):
        def __iter__(self) -> Any:
            self.pop()
            return super().__iter__()

    with pytest.raises(OrderError, match="another number of inputs"):
        ohmlet.calibrate(perceptron(), Shrinking(data()), exact=True)


def test_a_fixed_range_without_value_says_that_it_must_be_calibrated() -> None:
    model = perceptron("fixed").eval()
    with pytest.raises(OrderError, match=r"call ohmlet\.calibrate"):
        model(data()[0])
    ohmlet.calibrate(model, data())
    y = model(data()[0])
    again = perceptron("fixed").eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(data()[0])[..., :0], y[..., :0])
    ranges = {name: value for name, value in model.state_dict().items() if name.endswith("calibrated.value")}
    ohmlet.retarget(model, {"tile.forward.adc.bits": 6})
    assert len(ranges) == 2
    assert all(torch.equal(model.state_dict()[name], value) for name, value in ranges.items())
    with pytest.raises(ConfigError, match=r"backward\.input_range fixed needs a value"):
        perceptron(backward={"input_range": "fixed"})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiled_model_is_calibrated() -> None:
    torch.compiler.reset()
    model = perceptron()
    compiled: Any = torch.compile(model, backend="aot_eager")
    compiled(data()[0])
    report = ohmlet.calibrate(compiled, data())
    assert report.rows[0].values == 4 * 50 * 12


@pytest.mark.parametrize("quiet_batches", [0, 12])
@pytest.mark.parametrize("calibrated", [True, False])
def test_training_after_calibration_stays_finite_even_when_a_layer_begins_with_zeros(quiet_batches: int, calibrated: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    ohmlet.convert(model, config({"type": "learned", "init_batches": 10}, training={"modifier": {"type": "add_normal", "std": 0.1}}))
    x, target = torch.randn(64, 12), torch.randn(64, 4)
    if calibrated:
        rows = ohmlet.calibrate(model, [x]).rows
        assert all(row.after > 0 for row in rows)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for step in range(50):
        optimizer.zero_grad()
        loss = (model(x * (step >= quiet_batches)) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    assert losses[-1] < losses[quiet_batches]
