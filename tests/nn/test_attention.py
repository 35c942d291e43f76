from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConversionError
from ohmlet.nn import AnalogLinear, AnalogMultiheadAttention
from tests.nn.agreement import IDEAL, MAPPINGS, SPLIT, agree, analog

OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"kdim": 5, "vdim": 3},
    {"kdim": 5, "bias": False},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
    {"add_bias_kv": True, "add_zero_attn": True, "vdim": 3},
]


def inputs(digital: Any, queries: int = 4, keys: int = 5, batch: int = 3) -> list[Tensor]:
    q, k, v = (torch.randn(batch, n, width) for n, width in ((queries, digital.embed_dim), (keys, digital.kdim), (keys, digital.vdim)))
    return [x if digital.batch_first else x.transpose(0, 1) for x in (q, k, v)]


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_on_ideal_crossbars_it_equals_the_digital_layer(options: dict[str, Any], batch_first: bool, mapping: dict[str, Any]) -> None:
    digital = nn.MultiheadAttention(8, 2, batch_first=batch_first, **options)
    for parameter in digital.parameters():
        parameter.data.normal_(0, 0.4)  # torch starts with biases of zero
    other = analog(digital, **mapping)
    for weights in ({"need_weights": False}, {}, {"average_attn_weights": False}):
        agree(digital, other, *inputs(digital), **weights)
    agree(digital, other, *(x[0] if batch_first else x[:, 0] for x in inputs(digital)))


BLOCKED = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 1]], dtype=torch.bool)
PADDED = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]], dtype=torch.bool)
MASKS: list[dict[str, Tensor]] = [
    {"attn_mask": BLOCKED},
    {"attn_mask": torch.linspace(-2, 2, 20).view(4, 5)},
    {"attn_mask": BLOCKED.repeat(6, 1, 1)},
    {"key_padding_mask": PADDED},
    {"key_padding_mask": torch.zeros(3, 5).masked_fill(PADDED, -torch.inf), "attn_mask": torch.linspace(-2, 2, 120).view(6, 4, 5)},
    {"attn_mask": BLOCKED, "key_padding_mask": PADDED},
]


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("masks", MASKS, ids=lambda masks: "+".join(f"{k}{list(v.shape)}{v.dtype}" for k, v in masks.items()))
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"add_bias_kv": True, "add_zero_attn": True}], ids=str)
def test_masks_equal_torchs(options: dict[str, Any], masks: dict[str, Tensor], need_weights: bool) -> None:
    digital = nn.MultiheadAttention(8, 2, **options)
    agree(digital, analog(digital), *inputs(digital), need_weights=need_weights, **masks)


def test_masks_of_one_sequence() -> None:
    digital = nn.MultiheadAttention(8, 2, batch_first=True)
    x = [x[0] for x in inputs(digital)]
    agree(digital, analog(digital), *x, key_padding_mask=PADDED[1], attn_mask=BLOCKED)
    agree(digital, analog(digital), *x, attn_mask=BLOCKED.repeat(2, 1, 1))


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_causal_hint_equals_torchs_and_needs_its_mask(need_weights: bool) -> None:
    digital = nn.MultiheadAttention(8, 2, batch_first=True)
    x, mask = torch.randn(3, 5, 8), nn.Transformer.generate_square_subsequent_mask(5)
    agree(digital, analog(digital), x, x, x, attn_mask=mask, is_causal=True, need_weights=need_weights)
    with pytest.raises(ValueError, match="is_causal is a hint about attn_mask: give attn_mask, too"):
        analog(digital)(x, x, x, is_causal=True)


def test_dropout_acts_in_training_only() -> None:
    digital = nn.MultiheadAttention(8, 2, dropout=0.5)
    layer, x = analog(digital), torch.randn(5, 3, 8)
    for need_weights in (False, True):
        assert not torch.equal(layer(x, x, x, need_weights=need_weights)[0], layer(x, x, x, need_weights=need_weights)[0])
    agree(digital.eval(), layer.eval(), x, x, x)


def test_it_is_four_matrices_of_which_the_last_is_a_layer_that_rules_can_name() -> None:
    model: Any = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2)})
    report = ohmlet.convert(model, "pcm_inference", {"*.out_proj": {"tile.forward.adc.bits": 6}}, strict=True)
    rows = {row.name: row for row in report.rows}
    assert (rows["attention"].kind, rows["attention"].crossbars, rows["attention"].shape) == ("analog", 3, (24, 8))
    assert (rows["attention.out_proj"].kind, rows["attention.out_proj"].crossbars) == ("analog", 1)
    layer = model["attention"]
    assert list(layer.arrays()) == ["q", "k", "v"]
    assert layer.config.tile.forward.adc.bits == 8
    assert layer.out_proj.config.tile.forward.adc.bits == 6


def test_a_rule_may_keep_only_the_output_projection_digital() -> None:
    model: Any = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2)})
    expected = copy.deepcopy(model["attention"])
    ohmlet.convert(model, IDEAL, {"attention.out_proj": "digital"})
    assert not isinstance(model["attention"].out_proj, AnalogLinear)
    agree(expected, model["attention"], *inputs(expected))


def test_attention_that_stays_digital_keeps_its_output_projection_and_says_why() -> None:
    class Mine(nn.MultiheadAttention):
        pass

    model = nn.ModuleDict({"a": nn.MultiheadAttention(8, 2), "b": Mine(8, 2), "c": nn.Linear(8, 2)})
    report = ohmlet.convert(model, IDEAL, {"a": "digital"})
    rows = {row.name: row for row in report.rows}
    assert (rows["a.out_proj"].kind, rows["a.out_proj"].reason) == ("digital", "rules['a']")
    assert rows["b.out_proj"].kind == "missing"
    assert rows["b.out_proj"].reason.startswith("its weight is read by Mine 'b'")
    assert {row.name for row in report.of("missing")} == {"b", "b.out_proj"}
    assert isinstance(report.model, nn.ModuleDict)
    with pytest.raises(ConversionError, match="2 modules with matrices would stay digital"):
        ohmlet.convert(nn.ModuleDict({"b": Mine(8, 2), "c": nn.Linear(8, 2)}), IDEAL, strict=True)


def test_it_is_built_like_attention() -> None:
    torch.manual_seed(0)
    layer = AnalogMultiheadAttention(8, 2, batch_first=True, config=IDEAL)
    torch.manual_seed(0)
    digital = nn.MultiheadAttention(8, 2, batch_first=True)
    assert isinstance(layer.out_proj, AnalogLinear)
    assert layer.head_dim == digital.head_dim
    agree(digital, layer, *inputs(digital))


class Encoder(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, **options)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, 0.0, **options), 1)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return self.decoder(target, self.encoder(x), tgt_mask=nn.Transformer.generate_square_subsequent_mask(4))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("batch_first", "norm_first", "training"), list(itertools.product([False, True], repeat=3)))
def test_torchs_encoders_and_decoders_become_wholly_analog(batch_first: bool, norm_first: bool, training: bool) -> None:
    torch.manual_seed(0)
    digital = Encoder(batch_first=batch_first, norm_first=norm_first).train(training)
    other = analog(digital, **SPLIT)
    x, target = torch.randn(3, 5, 8), torch.randn(3, 4, 8)
    agree(digital, other, *((x, target) if batch_first else (x.transpose(0, 1), target.transpose(0, 1))))
    report = ohmlet.convert(digital, IDEAL, strict=True)
    assert len(report.of("analog")) == 2 * 4 + 6
