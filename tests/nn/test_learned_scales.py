"""Trained factors on the outputs of crossbars."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, ConversionError
from ohmlet.nn import AnalogLayer, AnalogLinear
from tests.nn.agreement import IDEAL
from tests.nn.test_every_layer import CASES, EVERY, digital, layers

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

KINDS = pytest.mark.parametrize("kind", ["tilewise", "columnwise"])


def config(kind: str, tile: Any = "ideal", **mapping: Any) -> dict[str, Any]:
    return {"tile": tile, "mapping": {"learned_scales": kind, "max_in": 5, "max_out": 3, **mapping}}


def disturbed(model: nn.Module) -> Any:
    """Give every learned scale a value of its own."""
    generator = torch.Generator().manual_seed(1)
    for layer in layers(model):
        for array in layer.arrays().values():
            assert array.learned_scales is not None
            for parameter in array.learned_scales:
                parameter.data.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def scaled_weight(layer: AnalogLinear) -> Tensor:
    """Return the weight [out, in] with each block multiplied by its factor."""
    weight, scales = layer.weight.detach().clone(), layer.array.learned_scales
    assert scales is not None
    for block, g in zip(layer.array.blocks, scales, strict=True):
        weight[block.first_out : block.last_out, block.first_in : block.last_in] *= g.detach().exp()
    return weight


@KINDS
@pytest.mark.parametrize("scales", ["none", "tilewise", "columnwise"])
def test_outputs_of_each_crossbar_are_multiplied_by_its_factor(kind: str, scales: str) -> None:
    torch.manual_seed(0)
    layer: Any = AnalogLinear(8, 7, config=config(kind, scales=scales), dtype=torch.float64)
    x = torch.randn(4, 8, dtype=torch.float64)
    assert torch.allclose(layer(x), x @ layer.weight.T + layer.bias)
    disturbed(layer)
    assert layer.array.learned_scales is not None
    rows = [block.last_out - block.first_out if kind == "columnwise" else 1 for block in layer.array.blocks]
    assert [tuple(g.shape) for g in layer.array.learned_scales] == [(count, 1) for count in rows]
    assert torch.allclose(layer(x), x @ scaled_weight(layer).T + layer.bias, atol=1e-7)


def test_gradients_are_those_of_the_product_with_scaled_weights() -> None:
    torch.manual_seed(0)
    layer = disturbed(AnalogLinear(8, 3, config=config("columnwise", max_in=0), dtype=torch.float64))
    x, d = torch.randn(4, 8, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    layer(x).backward(d)
    (g,) = layer.array.learned_scales
    f = g.detach().exp().double()
    assert torch.allclose(layer.weight.grad, f * (d.T @ x))
    # df/dg = f, and y = f (W x).
    expected = (d * (x @ layer.weight.detach().T)).sum(0)[:, None] * f
    assert torch.allclose(g.grad.double(), expected, atol=1e-5)


@KINDS
def test_linear_factors_are_one_and_the_parameter(kind: str) -> None:
    torch.manual_seed(0)
    layer: Any = AnalogLinear(8, 3, bias=False, config=config(kind, max_in=0, max_out=0, learned_form="linear"), dtype=torch.float64)
    x, d = torch.randn(4, 8, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    exact = x @ layer.weight.detach().T
    assert torch.allclose(layer(x), exact)
    disturbed(layer)
    (g,) = layer.array.learned_scales
    y = layer(x)
    assert torch.allclose(y, (1 + g.detach().double().reshape(-1)) * exact, atol=1e-7)
    y.backward(d)
    # y = (1 + g) W x, so dy/dg = W x.
    expected = (d * exact).sum(0)[:, None]
    assert torch.allclose(g.grad.double(), expected if kind == "columnwise" else expected.sum().reshape(1, 1), atol=1e-5)
    model: Any = nn.Sequential(layer)
    ohmlet.to_digital(model)
    assert torch.allclose(model[0](x), y, atol=1e-7)


def test_a_form_without_learned_scales_is_refused() -> None:
    with pytest.raises(ConfigError, match="learned_form linear has no effect without learned_scales"):
        ohmlet.AnalogConfig.parse({"mapping": {"learned_form": "linear"}})


@KINDS
@pytest.mark.parametrize(("optimizer", "lr"), [(torch.optim.SGD, 0.3), (torch.optim.AdamW, 0.05), (torch.optim.RMSprop, 0.02)])
def test_any_optimizer_finds_the_scales_of_a_teacher(kind: str, optimizer: Any, lr: float) -> None:
    torch.manual_seed(0)
    layer = AnalogLinear(8, 3, bias=False, config=config(kind, max_in=0, max_out=0))
    factor = torch.tensor([[0.5], [1.5], [2.0]]) if kind == "columnwise" else torch.tensor(1.7)
    teacher = layer.weight.detach() * factor
    layer.weight.requires_grad_(False)
    x = torch.randn(64, 8)
    trained = [each for each in layer.parameters() if each.requires_grad]
    chosen = optimizer(trained, lr=lr, weight_decay=0.0)
    for _ in range(400):
        chosen.zero_grad()
        (layer(x) - x @ teacher.T).square().mean().backward()
        chosen.step()
    assert layer.array.learned_scales is not None
    assert torch.allclose(layer.array.learned_scales.factor(0), factor, rtol=0.05)
    # Noise of hardware-aware training is drawn anew for who trains scales alone.
    assert int(layer.array.steps) == 400


def test_weight_decay_pulls_a_factor_to_one() -> None:
    layer = disturbed(AnalogLinear(4, 3, config=config("columnwise")))
    optimizer = torch.optim.SGD(layer.array.learned_scales.parameters(), lr=0.1, weight_decay=1.0)
    for g in layer.array.learned_scales:
        g.grad = torch.zeros_like(g)
    for _ in range(200):
        optimizer.step()
    assert torch.allclose(layer.array.learned_scales.factor(0), torch.ones(3, 1), atol=1e-6)


@KINDS
@EVERY
def test_the_way_back_to_digital_takes_the_factors_along(case: str, kind: str) -> None:
    rules = {"type:Embedding": "analog"} if case == "embedding" else None
    mapping = {"max_in": 3, "max_out": 4, "bias": "digital" if "transpose" in case else "analog", "scales": "tilewise", "omega": 0.4}
    model = disturbed(ohmlet.convert(digital(case), config(kind, **mapping), rules, strict=True).model).eval()
    inputs = CASES[case][1](2)
    expected = model(*inputs)
    parameters = [id(each) for layer in layers(model) for each in layer.parameters(recurse=False)]
    back = ohmlet.to_digital(model)
    assert not any(isinstance(module, AnalogLayer) for module in back.modules())
    assert torch.allclose(back(*inputs), expected, atol=1e-5)
    assert set(parameters) <= {id(each) for each in back.parameters()}
    assert all(each.requires_grad for each in back.parameters())


@KINDS
def test_crossbars_hold_the_same_after_factors_of_the_kind_of_the_scales_have_gone_into_the_weights(kind: str) -> None:
    torch.manual_seed(0)
    layer = disturbed(AnalogLinear(8, 7, config=config(kind, scales=kind), dtype=torch.float64))
    before = [mapped.w for mapped in layer.array.mapped_blocks(layer.flat_weight(), layer.bias)]
    weight = scaled_weight(layer)
    layer.to_digital()
    assert torch.allclose(layer.weight, weight)
    assert all(bool((g == 0).all()) for g in layer.array.learned_scales)
    for old, new in zip(before, layer.array.mapped_blocks(layer.flat_weight(), layer.bias), strict=True):
        assert torch.allclose(old, new.w)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"tile.forward.out_noise": 0.0, "tile.forward.input_range": "none"}, True),
        ({"mapping.omega": 0.5}, True),
        ({"mapping.learned_scales": "none"}, False),
        ({"mapping.max_in": 4}, False),
        ({"mapping.learned_scales": "tilewise"}, False),
        ({"mapping.bias": "analog"}, False),
    ],
    ids=str,
)
def test_other_hardware_keeps_the_product(changes: dict[str, Any], kept: bool) -> None:
    torch.manual_seed(0)
    tile = {"type": "inference", "forward": {"input_range": "none"}}
    model: Any = nn.Sequential(disturbed(AnalogLinear(8, 7, config=config("columnwise", tile))))
    x = torch.randn(4, 8)
    expected = model(x)
    ohmlet.retarget(model, changes)
    assert torch.allclose(model(x), expected, atol=1e-5)
    scales = model[0].array.learned_scales
    if scales is not None:
        assert any(bool((g != 0).any()) for g in scales) == kept


def test_a_weight_that_others_share_cannot_take_factors() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model: Any = disturbed(ohmlet.convert(nn.Sequential(first, second), config("columnwise")).model)
    before = model[0].weight.detach().clone()
    for call in (lambda: ohmlet.to_digital(model), lambda: ohmlet.retarget(model, {"mapping.learned_scales": "none"})):
        with pytest.raises(ConversionError, match=r"layers 0, 1 share one weight"):
            call()
    assert torch.equal(model[0].weight, before)
    ohmlet.retarget(model, {"mapping.omega": 0.5})


def test_a_padding_entry_that_is_not_zero_cannot_take_factors() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(6, 3, padding_idx=1)
    model: Any = ohmlet.convert(nn.Sequential(table), config("columnwise"), {"0": "analog"}).model
    model[0].weight.data[1] = 1.0
    before = disturbed(model)[0].weight.detach().clone()
    with pytest.raises(ConversionError, match="kept from training or read twice"):
        ohmlet.to_digital(model)
    assert torch.equal(model[0].weight, before)


def test_chips_are_programmed_with_the_factors() -> None:
    torch.manual_seed(0)
    tile = {"type": "inference", "forward": {"input_range": "none"}, "noise_model": "pcm", "drift_compensation": "global"}
    model: Any = nn.Sequential(disturbed(AnalogLinear(8, 7, config=config("columnwise", tile)))).eval()
    plain = copy.deepcopy(model)
    factors = [g.detach().exp() for g in plain[0].array.learned_scales]
    for g in plain[0].array.learned_scales:
        g.data.zero_()
    x = torch.randn(4, 8)
    chips = [ohmlet.program(each, 3, seed=5).at("1 day") for each in (model, plain)]
    for block, (first, second, f) in enumerate(zip(*[chip.states["0"].weights for chip in chips], factors, strict=True)):
        assert torch.equal(first.w, second.w), block
        assert torch.allclose(first.scale, second.scale * f)
    assert chips[0](x).shape == (3, 4, 7)
    assert not torch.allclose(chips[0](x), chips[1](x))


def test_state_is_plain_and_a_digital_state_still_loads() -> None:
    torch.manual_seed(0)
    source = nn.Sequential(nn.Linear(4, 3))
    state = {name: value.clone() for name, value in source.state_dict().items()}
    model = disturbed(ohmlet.convert(source, config("columnwise")).model)
    names = {name for name in model.state_dict() if "learned_scales" in name}
    assert names == {"0.array.learned_scales.0"}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert names <= set(missing)
    assert not unexpected
    again = ohmlet.convert(nn.Sequential(nn.Linear(4, 3)), config("columnwise")).model
    again.load_state_dict(model.state_dict())
    x = torch.randn(2, 4)
    assert torch.equal(again(x), model(x))


def test_without_them_there_is_no_state() -> None:
    model: Any = ohmlet.convert(nn.Sequential(nn.Linear(4, 3)), IDEAL).model
    assert model[0].array.learned_scales is None
    assert not any("learned_scales" in name for name in model.state_dict())


def test_groups_have_factors_of_their_own() -> None:
    torch.manual_seed(0)
    layer = disturbed(ohmlet.convert(nn.Conv1d(4, 6, 2, groups=2, bias=False), config("columnwise", max_in=0, max_out=0)).model)
    (g,) = layer.array.learned_scales
    assert g.shape == (2, 3, 1)
    x = torch.randn(2, 4, 5)
    plain = nn.functional.conv1d(x, layer.weight, groups=2)
    assert torch.allclose(layer(x), plain * g.exp().reshape(6, 1), atol=1e-6)


def test_cells_that_learn_in_memory_keep_what_they_hold_and_their_scale_takes_the_factor() -> None:
    tile = {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": "ideal"}}
    torch.manual_seed(0)
    model = disturbed(ohmlet.convert(nn.Sequential(nn.Linear(8, 7)), config("columnwise", tile, scales="columnwise")).model).eval()
    x, array = torch.randn(4, 8), model[0].array
    cells = [crossbar.weights().clone() for crossbar in array.crossbars]
    expected = model(x).detach()
    back = ohmlet.to_digital(model)
    assert all(torch.equal(crossbar.weights(), held) for crossbar, held in zip(array.crossbars, cells, strict=True))
    assert torch.allclose(back(x), expected, atol=1e-5)

    model = disturbed(ohmlet.convert(nn.Sequential(nn.Linear(8, 7)), config("columnwise", tile, scales="tilewise")).model)
    with pytest.raises(ConversionError, match="cells have one scale per crossbar"):
        ohmlet.to_digital(model)


@pytest.mark.slow
def test_they_compile_into_one_graph() -> None:
    torch.compiler.reset()
    layer = disturbed(AnalogLinear(8, 7, config=config("columnwise")))
    other, x = copy.deepcopy(layer), torch.randn(4, 8)
    compiled: Any = torch.compile(other, backend="aot_eager", fullgraph=True)
    compiled(x).square().sum().backward()
    layer(x).square().sum().backward()
    for p, q in zip(layer.parameters(), other.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.allclose(p.grad, q.grad, atol=1e-5)
    assert math.isfinite(float(other.array.learned_scales[0].grad.sum()))
