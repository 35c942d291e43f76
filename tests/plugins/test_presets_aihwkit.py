"""Presets against the parameters of the established simulator that has them too, field by field, as its own numbers state them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ohmlet.config import plain, structure
from ohmlet.config.analog import AnalogConfig
from ohmlet.interfaces.device import UnitCell
from ohmlet.interop.aihwkit.algorithm_config import mapping, training_config
from ohmlet.interop.aihwkit.device_cells import device
from ohmlet.interop.aihwkit.io import analog_pass
from ohmlet.interop.aihwkit.noise import conductance_converter, drift_compensation, noise_model
from ohmlet.registry import registry

SOURCE: dict[str, Any] = json.loads((Path(__file__).parents[1] / "reference/data/presets.json").read_text("utf-8"))["presets"]

DEVICES = {
    "reram_es": "ReRamESPresetDevice",
    "reram_sb": "ReRamSBPresetDevice",
    "reram_array_om": "ReRamArrayOMPresetDevice",
    "reram_array_hfo2": "ReRamArrayHfO2PresetDevice",
    "capacitor": "CapacitorPresetDevice",
    "ecram": "EcRamPresetDevice",
    "ecram_mo": "EcRamMOPresetDevice",
    "idealized": "IdealizedPresetDevice",
    "gokmen_vlasov": "GokmenVlasovPresetDevice",
    "pcm": "PCMPresetDevice",
    "pcm_pair": "PCMPresetUnitCell",
}
STEMS = {
    "reram_es": "ReRamES",
    "reram_sb": "ReRamSB",
    "capacitor": "Capacitor",
    "ecram": "EcRam",
    "ecram_mo": "EcRamMO",
    "idealized": "Idealized",
}
CONFIGS = {
    f"{name}_{ours}": theirs.format(stem)
    for name, stem in STEMS.items()
    for ours, theirs in (
        ("sgd", "{}Preset"),
        ("sgd_2", "{}2Preset"),
        ("sgd_4", "{}4Preset"),
        ("tiki_taka", "TikiTaka{}Preset"),
        ("ttv2", "TTv2{}Preset"),
        ("c_ttv2", "ChoppedTTv2{}Preset"),
        ("agad", "AGAD{}Preset"),
        ("mixed_precision", "MixedPrecision{}Preset"),
    )
} | {
    "gokmen_vlasov_sgd": "GokmenVlasovPreset",
    "gokmen_vlasov_mixed_precision": "MixedPrecisionGokmenVlasovPreset",
    "pcm_sgd": "PCMPreset",
    "pcm_mixed_precision": "MixedPrecisionPCMPreset",
}

CONVENTIONS = {
    "granularity_form": "which step pulse probabilities are worked out with: the mean of the device here, one direction or node there",
    "set_bounds": "weights that are set clip to what pulses can reach here, to the device's bounds there",
    "reset_form": "a reset is stated as reads see it here, on top of the symmetry point there",
    "preset": "where the numbers came from",
}
"""Fields in which the source has a convention of its own (peculiarities 1 to 7), which its presets do not set."""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a config says, by dotted path, without conventions."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name not in CONVENTIONS:
                yield from leaves(each, f"{path}.{name}")
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for index, each in enumerate(value):
            yield from leaves(each, f"{path}[{index}]")
    else:
        yield path, value


def compared(ours: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """Return where two specs differ; the form of a number that is zero means nothing."""
    own, other = dict(leaves(plain(ours))), dict(leaves(plain(theirs)))
    for path in [path for path in own if path.endswith((".up_down_form", ".reset_dtod_form"))]:
        if own.get(path.removesuffix("_form")) == other.get(path.removesuffix("_form")) == 0.0:
            other[path] = own[path]
    found = {}
    for path in own.keys() | other.keys():
        a, b = own.get(path), other.get(path)
        if a != (pytest.approx(b, rel=1e-12) if isinstance(b, float) else b):
            found[path] = (a, b)
    return found


def base(record: Mapping[str, Any], ending: str) -> dict[str, Any]:
    """Return the parameters of a preset under the class that it derives from."""
    name = next(name for name in (record["base_class"], *record["bases"]) if name.endswith(ending))
    return {**record["parameters"], "__class__": name}


def test_every_preset_of_the_source_is_here() -> None:
    theirs = {name for name, record in SOURCE.items() if record["kind"] != "io_or_update"}
    assert theirs == {*DEVICES.values(), *CONFIGS.values(), "StandardHWATrainingPreset", "FloatingPointPreset"}


@pytest.mark.parametrize("name", DEVICES)
def test_device_has_the_numbers_of_the_source(name: str) -> None:
    theirs = structure(device(SOURCE[DEVICES[name]]["parameters"], []), UnitCell)
    assert not compared(registry("preset").get(name)().build(), theirs)


@pytest.mark.parametrize("name", CONFIGS)
def test_config_has_the_numbers_of_the_source(name: str) -> None:
    theirs = AnalogConfig.parse(training_config(base(SOURCE[CONFIGS[name]], "RPUConfig"), []))
    assert not compared(AnalogConfig.parse(name), theirs)


def test_hardware_aware_training_has_the_numbers_of_the_source() -> None:
    theirs = SOURCE["StandardHWATrainingPreset"]["parameters"]
    tile = {
        "type": "inference",
        "forward": {**analog_pass(theirs["forward"], []), "input_range": ranges(theirs["pre_post"]["input_range"])},
        "conductance_converter": conductance_converter(theirs["noise_model"]["g_converter"])[0],
        "noise_model": noise_model(theirs["noise_model"])[0],
        "drift_compensation": drift_compensation(theirs["drift_compensation"])[0],
    }
    expected = AnalogConfig.parse({"tile": tile, "mapping": mapping(theirs["mapping"])})
    assert not compared(AnalogConfig.parse("hwa_standard"), expected)
    # Of normalised weights, which column-wise scales keep within it: nothing to set.
    assert theirs["clip"]["type"].endswith("FIXED_VALUE")
    assert theirs["clip"]["fixed_value"] == theirs["remap"]["remapped_wmax"] == 1.0
    assert theirs["modifier"]["type"].endswith("NONE")


def ranges(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a learned range by the source's names."""
    assert theirs["enable"]
    assert theirs["learn_input_range"]
    return {
        "type": "learned",
        "init": theirs["init_value"],
        "init_batches": theirs["init_from_data"],
        "init_std": theirs["init_std_alpha"],
        "decay": theirs["decay"],
        "min_unclipped": theirs["input_min_percentage"],
    }


def test_floating_point_has_the_numbers_of_the_source() -> None:
    theirs = SOURCE["FloatingPointPreset"]["parameters"]
    assert theirs["forward"]["is_perfect"]
    assert not theirs["pre_post"]["input_range"]["enable"]
    assert not compared(AnalogConfig.parse("floating_point").mapping, AnalogConfig.parse({"mapping": mapping(theirs["mapping"])}).mapping)
    exact: Any = AnalogConfig.parse({"tile": {"type": "inference", "forward": {"input_range": "none"}}}).tile
    ours: Any = AnalogConfig.parse("floating_point").tile
    assert ours.forward == exact.forward


def test_learned_factors_are_linear_as_those_of_the_source() -> None:
    theirs = SOURCE["FloatingPointPreset"]["parameters"]["mapping"] | {"learn_out_scaling": True, "out_scaling_columnwise": True}
    made = mapping(theirs)
    assert (made["learned_scales"], made["learned_form"]) == ("columnwise", "linear")


LEARNED = {"learned_scales": "tilewise", "learned_form": "linear"}
WEB = {"omega": 1.0, "scales": "columnwise", "bias": "digital", "max_in": 512, "max_out": 512}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web_composer", WEB | LEARNED),
        ("web_composer_old", WEB | {"bias": "analog", "max_in": 0, "max_out": 0, "learned_scales": "none"}),
    ],
)
def test_web_composer_lays_weights_out_as_tabulated(name: str, expected: dict[str, Any]) -> None:
    config = AnalogConfig.parse(name)
    found = plain(config.mapping)
    assert {key: found[key] for key in expected} == expected
    forward = SOURCE["PresetIOParameters"]["parameters"]
    expected_tile: Any = AnalogConfig.parse({"tile": {"type": "inference", "forward": analog_pass(forward, [])}}).tile
    tile: Any = config.tile
    assert not compared(tile.forward, expected_tile.forward)
