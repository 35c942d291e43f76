"""Paths of sweeps: into variants, with stars, to the places that there are and to no others."""

from __future__ import annotations

from typing import Any

import pytest

from ohmlet.config.structure import plain
from ohmlet.errors import ConfigError
from ohmlet.experiment.comparison import Comparison
from ohmlet.experiment.schema import Experiment
from ohmlet.experiment.sweep_paths import changed, places
from tests.experiment.sweep_small import SMALL, STEP

CHIPS: dict[str, Any] = {
    "hardware": "pcm_inference",
    "evaluation": {"variants": {"4": {}, "4.5": {"tile.noise_model.prog_noise_scale": 4.5}}},
}


def paths(content: dict[str, Any], where: str) -> list[str]:
    return [place.path for place in places(content, where, "file")]


def test_a_star_is_every_place_that_has_the_rest() -> None:
    assert paths(SMALL, STEP) == [
        "compare.sgd.tile.update_algorithm.device.dw_min",
        "compare.tiki_taka.tile.update_algorithm.fast.dw_min",
        "compare.tiki_taka.tile.update_algorithm.slow.dw_min",
    ]
    assert paths(SMALL, "compare.tiki*.tile.update_algorithm.transfer_every") == ["compare.tiki_taka.tile.update_algorithm.transfer_every"]
    assert paths(SMALL, "hardware.tile.forward.out_*ise") == ["hardware.tile.forward.out_noise"]


def test_a_star_is_within_one_name() -> None:
    found = paths(SMALL, "compare.sgd.tile.update_algorithm.device.w_m*_dtod")
    assert [path.rpartition(".")[2] for path in found] == ["w_max_dtod", "w_min_dtod"]


def test_what_stands_there_is_told() -> None:
    found = places(SMALL, "compare.sgd.tile.update_algorithm.device.w_m*_dtod", "file")
    assert [place.value for place in found] == [0.2, 0.1]
    assert places(SMALL, "training.batch_size", "file", looked_up=True)[0].value == 30


def test_a_change_arrives_in_every_variant_and_nothing_else_changes() -> None:
    before = Comparison.parse({name: value for name, value in SMALL.items() if name != "sweep"})
    made = changed(SMALL, {STEP: 0.007}, "file")
    after = Comparison.parse({name: value for name, value in made.items() if name != "sweep"})
    for name, parts in (("sgd", ["device"]), ("tiki_taka", ["fast", "slow"])):
        old, new = (plain(each.of(name).tile)["update_algorithm"] for each in (before, after))
        for part in parts:
            assert new[part].pop("dw_min") == 0.007
            assert old[part].pop("dw_min") == 0.05
        assert old == new
    assert SMALL["compare"]["sgd"] == {
        "tile.update_algorithm": {"type": "sgd", "device": SMALL["compare"]["sgd"]["tile.update_algorithm"]["device"]}
    }


def test_a_later_change_of_the_same_place_wins() -> None:
    path = "compare.sgd.tile.update_algorithm.device.dw_min"
    made = changed(changed(SMALL, {path: 0.1}, "file"), {"compare.sgd.tile.update_algorithm.device": {"type": "ideal"}, path: 0.2}, "file")
    assert list(made["compare"]["sgd"])[-2:] == ["tile.update_algorithm.device", "tile.update_algorithm.device.dw_min"]
    assert made["compare"]["sgd"]["tile.update_algorithm.device.dw_min"] == 0.2


def test_variants_of_an_evaluation_and_names_with_dots() -> None:
    made = changed(CHIPS, {"evaluation.variants.4.5.tile.forward.out_noise": 0.1, "evaluation.variants.*.tile.forward.adc.bits": 5}, "file")
    assert made["evaluation"]["variants"] == {
        "4": {"tile.forward.adc.bits": 5},
        "4.5": {"tile.noise_model.prog_noise_scale": 4.5, "tile.forward.out_noise": 0.1, "tile.forward.adc.bits": 5},
    }
    Experiment.parse(made)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("compare.*.tile.update_algorithm.*.dw_mim", "nothing in 'tile.update_algorithm.*' is called 'dw_mim', did you mean 'dw_min'?"),
        ("compare.sdg.tile.forward.out_noise", "no variant 'sdg', did you mean 'sgd'?"),
        ("trainig.*", "nothing is called 'trainig', did you mean 'training'?"),
        ("training.*.bits", "nothing in 'training.*' is called 'bits'"),
    ],
)
def test_a_path_that_fits_nothing_is_refused_with_the_nearest_name(where: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        places(SMALL, where, "file")
    assert words in str(error.value)
