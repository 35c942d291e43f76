"""aihwkit's weight modifier with a draw for each sample."""

from __future__ import annotations

from typing import Any

import pytest

import ohmlet
from ohmlet.interop.aihwkit.report import ImportRow
from ohmlet.interop.aihwkit.weights import training

MODIFIER: dict[str, Any] = {
    "type": "ADD_NORMAL", "std_dev": 0.1, "per_batch_sample": True, "res": 0.1, "sto_round": False, "dorefa_clip": 0.6, "pdrop": 0.0,
    "enable_during_test": False, "rel_to_actual_wmax": True, "assumed_wmax": 1.0, "copy_last_column": False,
    "coeffs": [0.01], "g_max": 25.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "per_sample"),
    [
        ({}, True),
        ({"per_batch_sample": False}, False),
        ({"type": "DISCRETIZE"}, False),
        ({"type": "DISCRETIZE", "sto_round": True}, True),
        ({"type": "DOREFA", "pdrop": 0.1}, True),
        ({"type": "NONE", "std_dev": 0.0}, False),
    ],
    ids=str,
)
def test_a_draw_per_sample_is_read_and_reported_where_it_means_nothing(changes: dict[str, Any], per_sample: bool) -> None:
    rows: list[ImportRow] = []
    given = {**MODIFIER, **changes}
    config = ohmlet.AnalogConfig.parse({"tile": {"type": "inference", "training": training({"modifier": given}, rows)}})
    assert config.tile.training.per_sample == per_sample  # type: ignore[attr-defined]
    assert [row.setting for row in rows] == (["per_batch_sample"] if given["per_batch_sample"] and not per_sample else [])
