"""LR-TT refuses settings without effect, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet_optimizers.lrtt import LRTT
from tests.plugins.in_memory import site
from tests.plugins.test_lrtt import made


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reinit_gain": 0.0}, "reinit_gain 0.0 makes down zero, and up starts at zero"),
        ({"rank_chunk": 5}, "rank_chunk 5 is above rank 4"),
        ({"transfer_every": 0, "transfer_lr": 0.5}, r"transfer_lr 0.5 has no effect without transfers \(transfer_every 0\)"),
        ({"transfer_every": 0, "unit": "sample"}, "unit 'sample' has no effect without transfers"),
        ({"transfer_every": 0, "transfer_micro_steps": 2}, "transfer_micro_steps 2 has no effect without transfers"),
        ({"transfer_every": 0, "update_c": {"desired_bl": 5}}, "update_c .* has no effect without transfers"),
        ({"transfer_every": 0, "reset_timing": "next_update"}, "reset_timing 'next_update' has no effect without transfers"),
        ({"transfer_lr_mode": "alpha", "transfer_lr": 0.5}, "transfer_lr 0.5 has no effect with transfer_lr_mode alpha"),
        ({"forward_inject": False, "lr_times_alpha": False, "alpha": 2.0}, "alpha 2.0 has no effect where neither passes nor"),
        ({"forward_inject": False, "periphery": "shared"}, "periphery 'shared' has no effect where passes read core alone"),
        ({"transfer_write": "set", "transfer_micro_steps": 2}, "transfer_micro_steps 2 has no effect with transfer_write set"),
        ({"transfer_write": "set", "update_c": {"desired_bl": 5}}, "update_c .* has no effect with transfer_write set and reinit_write"),
        ({"update_c": {"pulse_type": "none"}, "transfer_micro_steps": 2}, "transfer_micro_steps 2 has no effect with update_c.pulse_type"),
        ({"verify_steps": 3}, "verify_steps 3 has no effect without program_verify or reinit_write pulsed"),
        ({"reinit_mode": "none", "reinit_write": "pulsed"}, "reinit_write 'pulsed' has no effect with reinit_mode none"),
        ({"reinit_decay": 0.5}, "reinit_decay 0.5 has no effect with reinit_mode standard"),
        ({"reinit_mode": "orthogonal_zero", "down_init": "uniform"}, "down_init 'uniform' has no effect with reinit_mode orthogonal_zero"),
    ],
)
def test_settings_without_effect(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        structure({"type": "lrtt", **settings}, UpdateAlgorithm)


def test_two_codings_of_gradients_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"tile\.update has no effect beside update_ab of lrtt"):
        made(LRTT(update_ab=PulsedUpdate(desired_bl=5)), site(5, 5), PulsedUpdate(desired_bl=7))
    assert made(LRTT(update_ab=PulsedUpdate(desired_bl=5)), site(5, 5), PulsedUpdate()).pulses.desired_bl == 5
    assert made(LRTT(), site(5, 5), PulsedUpdate(desired_bl=7)).pulses.desired_bl == 7
