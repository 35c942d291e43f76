"""Updates coded in pulses and in-memory training agree with the numbers of an established simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.algorithm import update_algorithm
from ohmlet.interop.aihwkit.algorithm_config import training_config
from ohmlet.interop.aihwkit.report import ImportRow
from ohmlet.interop.replay.case import Case, read_cases
from ohmlet.interop.replay.verdicts import verdict

DATA = Path(__file__).parent / "data"
CASES = {case.id: case for case in read_cases(DATA) if case.group[0] in "EG"}
FAST = ("E01", "E06", "E15", "E17", "E19", "E20")


def test_the_data_are_all_here() -> None:
    assert len([id_ for id_ in CASES if id_.startswith("E")]) == 21
    assert len([id_ for id_ in CASES if id_.startswith("G")]) == 33


@pytest.mark.parametrize("id_", FAST)
def test_an_update_agrees(id_: str) -> None:
    result = verdict(CASES[id_], "auto")
    assert result.passed, str(result)


@pytest.mark.slow
@pytest.mark.parametrize("id_", sorted(set(CASES) - set(FAST)))
def test_the_others_agree(id_: str) -> None:
    result = verdict(CASES[id_], "auto")
    assert result.passed, str(result)


def test_another_setting_is_told_apart() -> None:
    """Trains of other length with the same mean have another covariance."""
    case = CASES["E01"]
    stated = case.data["parameters"]
    changed = {**stated, "update": {**stated["update"], "desired_bl": 10}}
    assert not verdict(attrs.evolve(case, data={**case.data, "parameters": changed}), "auto").passed


@pytest.mark.parametrize("case", [case for id_, case in CASES.items() if id_.startswith("G")], ids=lambda case: case.id)
def test_every_job_is_read(case: Case) -> None:
    """The config of each training job is an Ohmlet config, and what was dropped on the way is told."""
    rows: list[ImportRow] = []
    config = AnalogConfig.parse(training_config(case.data["parameters"]["rpu_config"], rows))
    assert AnalogConfig.parse(config.to_plain()) == config
    assert all(str(row) for row in rows)


def job(id_: str) -> dict[str, Any]:
    """Return the device of a training job, free to change."""
    copied: dict[str, Any] = json.loads(json.dumps(CASES[id_].data["parameters"]["rpu_config"]["device"]))
    return copied


def test_what_the_source_ignores_becomes_a_row() -> None:
    rows: list[ImportRow] = []
    made = update_algorithm({**job("G17"), "out_chop_prob": 0.1, "buffer_cap": 3.0, "transfer_every": -0.5}, rows)
    told = {row.setting for row in rows}
    assert told >= {"out_chop_prob", "buffer_cap", "transfer_every"}
    assert made["units_in_states"]
    assert made["transfer_every"] == 0.5


def test_conventions_are_stated() -> None:
    chain = update_algorithm(job("G26"), [])
    assert (chain["stage_ratio"], chain["gradient_granularity"], len(chain["between"])) == ("width", "mean", 1)
    assert update_algorithm(job("G21"), [])["transfer_phase"] == "first"
    slow = update_algorithm({**job("G05"), "fast_lr": 0.0, "scale_fast_lr": False}, [])
    assert (slow["fast_lr"], slow["scale_fast_lr"]) == (1.0, True)


@pytest.mark.parametrize(
    ("id_", "changes", "message"),
    [
        ("G05", {"no_self_transfer": False}, "adds the last device to itself"),
        ("G05", {"unit_cell_devices": []}, "takes at least two unit_cell_devices, got 0"),
        ("G13", {"n_reads_per_transfer": 2}, "n_reads_per_transfer 2 is for unchopped transfers"),
        ("G13", {"transfer_lr_vec": [1.0, 1.0]}, "transfer_lr_vec of a chopped transfer is not read"),
    ],
)
def test_what_has_no_counterpart_is_refused(id_: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        update_algorithm({**job(id_), **changes}, [])
