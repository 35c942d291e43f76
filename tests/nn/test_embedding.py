from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.errors import ConversionError
from ohmlet.nn import AnalogEmbedding
from tests.nn.agreement import IDEAL, MAPPINGS, agree, analog

RULE = {"type:Embedding": "analog"}


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
@pytest.mark.parametrize("padding_idx", [None, 0, 8])
@pytest.mark.parametrize("shape", [(6,), (3, 4), (2, 3, 4), ()], ids=str)
def test_on_ideal_crossbars_it_equals_the_digital_layer(shape: tuple[int, ...], padding_idx: int | None, mapping: dict[str, Any]) -> None:
    digital = nn.Embedding(9, 5, padding_idx)
    agree(digital, analog(digital, RULE, **mapping), torch.randint(9, shape))


def test_the_entry_of_the_padding_index_gets_no_gradient() -> None:
    layer = analog(nn.Embedding(9, 5, padding_idx=2), RULE)
    layer(torch.tensor([1, 2, 2, 3])).sum().backward()
    assert torch.equal(layer.weight.grad.sum(1), torch.tensor([0.0, 5, 0, 5, 0, 0, 0, 0, 0]))


@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        ({}, "digital"),
        ({"type:Embedding": "analog"}, "analog"),
        ({nn.Embedding: {"mapping.max_in": 4}}, "analog"),
        ({"tokens": {"mapping.max_in": 4}}, "analog"),
        ({"tok*": "analog"}, "analog"),
        ({"*": {"mapping.max_in": 4}}, "digital"),
        ({"tokens": "digital"}, "digital"),
    ],
    ids=str,
)
def test_only_a_rule_that_means_it_puts_it_on_crossbars(rules: Any, kind: str) -> None:
    model: Any = nn.ModuleDict({"tokens": nn.Embedding(9, 5), "out": nn.Linear(5, 9)})
    report = ohmlet.convert(model, IDEAL, rules, strict=True)
    row = next(row for row in report.rows if row.name == "tokens")
    assert row.kind == kind
    assert isinstance(model["tokens"], AnalogEmbedding) == (kind == "analog")
    if not rules:
        assert row.reason == "a look-up, which needs no product; the rule 'analog' puts it on crossbars"


@pytest.mark.parametrize("option", [{"max_norm": 1.0}, {"sparse": True}, {"scale_grad_by_freq": True}], ids=str)
def test_what_a_crossbar_cannot_do_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ConversionError, match=f"an Embedding with {next(iter(option))} cannot be put on crossbars; keep it digital"):
        ohmlet.convert(nn.Embedding(9, 5, **option), IDEAL, RULE)
