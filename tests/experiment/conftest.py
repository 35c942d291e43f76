"""A small experiment that runs in about a second."""

from __future__ import annotations

from typing import Any

import pytest

from ohmlet.experiment.schema import Experiment

SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "data": {"type": "digits", "test_fraction": 0.1},
    "model": {"type": "mlp", "hidden": [12]},
    "training": {
        "digital": {"epochs": 2, "batch_size": 200, "optimizer": {"type": "sgd", "lr": 0.2}},
        "hardware_aware": {"epochs": 1, "batch_size": 200, "optimizer": {"type": "adamw"}},
    },
    "hardware": {
        "preset": "pcm_inference",
        "tile": {"forward": {"input_range": {"type": "learned", "init_batches": 3}}, "training": {"modifier": {"type": "add_normal"}}},
    },
    "evaluation": {
        "instances": 3,
        "times": [0, "1 h"],
        "variants": {"nominal": {}, "loud": {"tile.noise_model.prog_noise_scale": 4.0}},
    },
}


@pytest.fixture
def small() -> Experiment:
    return Experiment.parse(SMALL)
