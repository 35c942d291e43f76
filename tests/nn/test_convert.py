from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, ConversionError, OrderError
from ohmlet.nn import LAYERS, AnalogConv2d, AnalogLinear

IDEAL = {"tile": "ideal"}
NOISY = {"tile": {"type": "inference", "forward": {"out_noise": 0.2}}, "seed": 1}


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down, self.norm = nn.Linear(width, 2 * width), nn.Linear(2 * width, width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.down(torch.relu(self.up(x))))  # type: ignore[no-any-return]


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 8), nn.Sequential(Block(8), Block(8)), nn.Linear(8, 4))


X = torch.linspace(-1, 1, 5 * 16).view(5, 1, 4, 4)


def test_nested_models_become_analog_in_place_and_compute_the_same() -> None:
    model = network()
    expected = copy.deepcopy(model)(X)
    report = ohmlet.convert(model, IDEAL)
    assert report.model is model
    assert [type(m).__name__ for m in model.modules() if type(m) in LAYERS.values()] == ["AnalogConv2d"] + 6 * ["AnalogLinear"]
    assert torch.allclose(model(X), expected, atol=1e-5)


def test_the_report_has_a_row_for_every_module_and_says_why() -> None:
    report = ohmlet.convert(network(), {**IDEAL, "mapping": {"max_in": 8, "max_out": 4}}, {"5": "digital"})
    rows = {row.name: row for row in report.rows}
    assert rows["0"].kind == "analog"
    assert rows["0"].reason == "a crossbar layer"
    assert rows["0"].shape == (3, 1, 3, 3)
    assert rows["0"].crossbars == 2
    assert rows["4.0.up"].crossbars == 4
    assert (rows["5"].kind, rows["5"].reason) == ("digital", "rules['5']")
    assert (rows["1"].kind, rows["1"].reason) == ("digital", "no parameters")
    assert rows["4.1.norm"].reason == "element-wise parameters"
    assert {row.name for row in report.of("analog")} == {"0", "3", "4.0.up", "4.0.down", "4.1.up", "4.1.down"}
    text = str(report)
    assert text.splitlines()[0].split() == ["module", "class", "becomes", "matrix", "crossbars", "why"]
    assert text.splitlines()[1].split() == ["0", "Conv2d", "analog", "3x1x3x3", "2", "a", "crossbar", "layer"]
    assert text.splitlines()[-1] == "6 analog layers on 22 crossbars, 0 left digital for want of one"


def bits_of(model: Any, name: str) -> Any:
    layer = model.get_submodule(name)
    return layer.config.tile.forward.adc.bits if hasattr(layer, "config") else "digital"


@pytest.mark.parametrize(
    ("rules", "bits"),
    [
        ({}, {"0": 8, "3": 8, "4.0.up": 8, "5": 8}),
        ({"4.*": "digital"}, {"0": 8, "3": 8, "4.0.up": "digital", "5": 8}),
        ({"type:Conv2d": "digital"}, {"0": "digital", "3": 8, "5": 8}),
        ({nn.Linear: {"tile.forward.adc.bits": 6}}, {"0": 8, "3": 6, "4.0.up": 6, "5": 6}),
        (
            {"[35]": {"tile.forward.adc.bits": 6, "tile.forward.dac.bits": 4}, "4.?.up": {"tile.forward.adc.bits": 3}},
            {"0": 8, "3": 6, "4.0.up": 3, "5": 6},
        ),
        ({"3": "analog", nn.Linear: "digital"}, {"0": 8, "3": 8, "4.0.up": "digital", "5": "digital"}),
        ({"0": "pcm_inference", "3": {"preset": "pcm_inference", "tile": {"forward": {"adc": {"bits": 5}}}}}, {"0": 8, "3": 5, "5": 8}),
    ],
    ids=str,
)
def test_the_first_rule_that_matches_counts(rules: dict[Any, Any], bits: dict[str, Any]) -> None:
    model = network()
    ohmlet.convert(model, "pcm_inference", rules)
    assert {name: bits_of(model, name) for name in bits} == bits


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"4.0.upp": "digital"}, r"rules\['4.0.upp'\] matches no module that an earlier rule leaves; did you mean '4.0.up'"),
        ({"type:Conv3d": "digital"}, r"rules\['type:Conv3d'\] matches no module"),
        ({nn.Conv1d: "digital"}, r"rules\[Conv1d\] matches no module"),
        ({"0": "digital", "type:Conv2d": "analog"}, r"rules\['type:Conv2d'\] matches no module that an earlier rule leaves"),
        ({"*": "digital"}, "nothing became analog"),
    ],
    ids=str,
)
def test_rules_without_effect_are_refused_and_leave_the_model_as_it_was(rules: dict[Any, Any], words: str) -> None:
    model = network()
    with pytest.raises(ConversionError, match=words):
        ohmlet.convert(model, IDEAL, rules)
    assert not any(type(module) in LAYERS.values() for module in model.modules())


@pytest.mark.parametrize("value", ["digitl", 3, {"tile.forward.adc.bitz": 3}, {"tyle": "ideal"}], ids=str)
def test_a_rule_that_makes_no_sense_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(ConfigError):
        ohmlet.convert(network(), "pcm_inference", {"0": value})


@pytest.mark.parametrize(
    ("rules", "words"),
    [(["0"], "rules is a mapping from modules to what becomes of them, not a list"), ({3: "digital"}, r"rules\[3\]: a rule is for")],
)
def test_rules_of_another_kind_are_refused(rules: Any, words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        ohmlet.convert(network(), IDEAL, rules)


def test_a_rules_error_names_the_rule() -> None:
    with pytest.raises(ConfigError, match=r"rules\['0'\]"):
        ohmlet.convert(network(), IDEAL, {"0": {"tyle": "ideal"}})


class MyLinear(nn.Linear):
    pass


def test_a_subclass_stays_digital_and_is_reported() -> None:
    model: Any = nn.Sequential(MyLinear(3, 4), nn.Linear(4, 2))
    report = ohmlet.convert(model, IDEAL)
    assert type(model[0]) is MyLinear
    (row,) = report.of("missing")
    assert row.name == "0"
    assert "a subclass of Linear, which may compute something else; register it in ohmlet.nn.LAYERS" in row.reason


def test_a_registered_subclass_becomes_analog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYERS, MyLinear, AnalogLinear)
    model: Any = nn.Sequential(MyLinear(3, 4))
    assert ohmlet.convert(model, IDEAL).of("missing") == ()
    assert type(model[0]) is AnalogLinear


class Own(nn.Module):
    """A module with a matrix of its own, which nothing can know how to lay on crossbars."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix


def test_strict_refuses_matrices_that_stay_digital_without_a_rule() -> None:
    model: Any = nn.Sequential(Own(), nn.Linear(3, 2), nn.BatchNorm1d(2))
    with pytest.raises(ConversionError, match=r"1 modules with matrices would stay digital: 0 \(Own\): no analog layer exists for Own"):
        ohmlet.convert(model, IDEAL, strict=True)
    assert type(model[1]) is nn.Linear
    report = ohmlet.convert(model, IDEAL, {"0": "digital"}, strict=True)
    assert report.of("missing") == ()


def test_the_matrices_of_attention_are_analog_or_reported_as_missing() -> None:
    model: Any = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2), "out": nn.Linear(8, 2)})
    kinds = {row.name: row.kind for row in ohmlet.convert(model, IDEAL).rows}
    assert {kinds["attention"], kinds["attention.out_proj"]} <= {"analog", "missing"}


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_torchs_fused_encoder_path_does_not_read_weights_past_the_crossbars(padded: bool, norm_first: bool) -> None:
    torch.manual_seed(0)
    nested = not norm_first
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=norm_first)
    ideal = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).eval()
    noisy = copy.deepcopy(ideal)
    x = torch.randn(3, 5, 8)
    padding = torch.arange(5) >= torch.tensor([[5], [3], [2]]) if padded else None
    with torch.no_grad():
        digital = copy.deepcopy(ideal)
        digital.enable_nested_tensor = digital.use_nested_tensor = False
        expected = digital(x, src_key_padding_mask=padding)
        report = ohmlet.convert(ideal, IDEAL)
        ohmlet.convert(noisy, NOISY)
        assert torch.allclose(ideal(x, src_key_padding_mask=padding), expected, atol=1e-5)
        found = noisy(x, src_key_padding_mask=padding)
    assert float((found - expected).abs().mean()) > 0.01
    assert "its fused path" in next(row.reason for row in report.rows if row.module == "TransformerEncoderLayer")


def test_the_fused_path_is_switched_off_even_where_a_rule_keeps_the_encoder_layer_itself_digital() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 1).eval()
    x = torch.randn(3, 5, 8)
    with torch.no_grad():
        expected = model(x)
        ohmlet.convert(model, NOISY, {"type:TransformerEncoderLayer": "digital"})
        assert float((model(x) - expected).abs().mean()) > 0.01


def test_a_model_that_is_itself_a_layer_is_returned_in_the_report() -> None:
    digital = nn.Linear(3, 2)
    report = ohmlet.convert(digital, IDEAL)
    assert type(report.model) is AnalogLinear
    assert report.model.weight is digital.weight
    assert "(model)" in str(report)
    assert ohmlet.to_digital(report.model).weight is digital.weight


def test_converting_twice_is_refused() -> None:
    model = network()
    ohmlet.convert(model, IDEAL)
    with pytest.raises(OrderError, match=r"has analog layers already; ohmlet.retarget"):
        ohmlet.convert(model, IDEAL)


@pytest.mark.parametrize("model", [None, "model", 3, nn.Parameter(torch.zeros(2, 2))], ids=str)
def test_something_that_is_no_module_is_refused(model: Any) -> None:
    with pytest.raises(ConversionError, match=r"convert takes a torch\.nn\.Module, got"):
        ohmlet.convert(model, IDEAL)


def test_a_model_without_matrices_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"nothing became analog: the model has no .*Conv2d, .*Linear"):
        ohmlet.convert(nn.Sequential(nn.ReLU()), IDEAL)


def test_a_lazy_layer_without_a_size_is_refused() -> None:
    model: Any = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))
    with pytest.raises(ConversionError, match=r"module '0' \(LazyLinear\) has parameters without a size yet; run the model once"):
        ohmlet.convert(model, IDEAL)
    model(torch.zeros(1, 3))
    assert len(ohmlet.convert(model, IDEAL).of("analog")) == 2


def test_a_weight_that_a_hook_computes_is_reported_as_missing() -> None:
    model: Any = nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 2))
    expected = [name for name, _ in model.named_parameters()]
    (row,) = ohmlet.convert(model, IDEAL).of("missing")
    assert row.name == "0"
    assert "computed from other parameters by a hook" in row.reason
    assert [name for name, _ in model.named_parameters()] == expected
    nn.utils.remove_spectral_norm(model[0])
    model = nn.Sequential(model[0])
    assert len(ohmlet.convert(model, IDEAL).of("analog")) == 1


def test_parametrized_weights_are_reported_as_missing() -> None:
    model: Any = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 2))
    assert "0" in {row.name for row in ohmlet.convert(model, IDEAL).of("missing")}


def test_a_module_that_is_used_twice_becomes_one_analog_layer_everywhere() -> None:
    shared = nn.Linear(4, 4)
    model: Any = nn.Sequential(shared, nn.ReLU(), shared, nn.Sequential(shared))
    expected = copy.deepcopy(model)(torch.ones(2, 4))
    report = ohmlet.convert(model, IDEAL)
    assert len(report.of("analog")) == 1
    assert model[0] is model[2] is model[3][0]
    assert torch.allclose(model(torch.ones(2, 4)), expected, atol=1e-5)
    ohmlet.to_digital(model)
    assert type(model[2]) is nn.Linear
    assert model[0] is model[2] is model[3][0]


def test_tied_weights_stay_tied_and_are_reported() -> None:
    model: Any = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(4, 3), "embedding": nn.Embedding(3, 4)})
    model["b"].weight = model["a"].weight
    model["embedding"].weight = model["a"].weight
    report = ohmlet.convert(model, IDEAL)
    assert model["a"].weight is model["b"].weight is model["embedding"].weight
    assert "weight tied with a" in next(row.reason for row in report.rows if row.name == "b")
    model["a"].weight.data.fill_(2.0)
    assert torch.allclose(model["b"](torch.ones(1, 4)), 8.0 + model["b"].bias, atol=1e-5)


def test_an_optimizer_built_before_conversion_keeps_working() -> None:
    model = network()
    before = dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ohmlet.convert(model, NOISY)
    after = dict(model.named_parameters())
    assert list(before) == list(after)
    assert all(after[name] is parameter for name, parameter in before.items())
    value = model[3].weight.detach().clone()
    model(X).sum().backward()
    optimizer.step()
    assert not torch.equal(model[3].weight, value)
    assert int(model[3].array.steps) == 1


@pytest.mark.parametrize("training", [True, False])
def test_training_mode_and_frozen_parameters_stay_as_they_were(training: bool) -> None:
    model = network().train(training)
    model[3].weight.requires_grad_(False)
    ohmlet.convert(model, IDEAL)
    assert {module.training for module in model.modules()} == {training}
    assert not model[3].weight.requires_grad
    ohmlet.to_digital(model)
    assert {module.training for module in model.modules()} == {training}


def test_back_to_digital_computes_with_the_same_parameters() -> None:
    model, untouched = network(), network()
    parameters = dict(model.named_parameters())
    ohmlet.convert(model, NOISY)
    assert ohmlet.to_digital(model) is model
    assert str(model) == str(untouched)
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    assert model.state_dict().keys() == untouched.state_dict().keys()
    assert torch.equal(model(X), untouched(X))


def test_retarget_gives_other_hardware_to_the_same_parameters() -> None:
    model = network()
    ohmlet.convert(model, {**IDEAL, "seed": 1})
    parameters = dict(model.named_parameters())
    ohmlet.retarget(model, {"tile": "inference", "mapping": {"max_in": 5}, "seed": 2})
    assert model[3].config.mapping.max_in == 5
    assert len(model[3].array.blocks) == 3
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    assert torch.allclose(model(X), network()(X), atol=1e-5)


def test_retarget_takes_dotted_changes_to_each_layers_own_config() -> None:
    model = network()
    ohmlet.convert(model, "pcm_inference", {"5": {"tile.forward.dac.bits": 4}})
    ohmlet.retarget(model, {"tile.forward.adc.bits": 6})
    assert bits_of(model, "0") == bits_of(model, "5") == 6
    assert model[5].config.tile.forward.dac.bits == 4
    assert model[0].config.tile.forward.dac.bits == 8


def test_retarget_keeps_learned_ranges_and_counters_where_they_still_mean_something() -> None:
    config = {"tile": {"type": "inference", "forward": {"dac": {"bits": 8}, "input_range": "learned"}}, "seed": 1}
    model: Any = nn.Sequential(nn.Linear(4, 3))
    ohmlet.convert(model, config)
    model(torch.randn(20, 4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ohmlet.retarget(model, {"tile.forward.dac.bits": 4})
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    ohmlet.retarget(model, {"mapping.max_in": 2})
    (start,) = {float(value) for name, value in model.state_dict().items() if name.endswith("start")}
    assert start == 3.0


@pytest.mark.parametrize(
    "call",
    [
        lambda m: ohmlet.retarget(m, IDEAL),
        ohmlet.to_digital,
        lambda m: ohmlet.save(m, "x.pt"),
        lambda m: ohmlet.load(m, __file__),
        ohmlet.program,
    ],
)
@pytest.mark.parametrize("model", [nn.Sequential(nn.Linear(3, 2)), "model"], ids=["digital", "text"])
def test_what_needs_an_analog_model_says_so(call: Any, model: Any) -> None:
    with pytest.raises(OrderError, match=r"(needs a model with analog layers; ohmlet.convert\(model, config\) makes them|torch.nn.Module)"):
        call(model)


def test_a_retarget_that_fails_leaves_every_layer_as_it_was() -> None:
    model = network()
    ohmlet.convert(model, "pcm_inference", {"5": IDEAL})
    before = [module.array for module in model.modules() if hasattr(module, "array")]
    with pytest.raises(ConfigError):
        ohmlet.retarget(model, {"tile.forward.adc.bits": 6})
    assert [module.array for module in model.modules() if hasattr(module, "array")] == before


def test_convolutions_become_analog_convolutions() -> None:
    model: Any = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2))
    ohmlet.convert(model, IDEAL)
    assert type(model[0]) is AnalogConv2d
