"""A config as equations: every value is there, with its unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ohmlet import explain
from ohmlet.config.analog import AnalogConfig, load_config
from ohmlet.config.build import build
from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.registry import registry
from ohmlet.spec import Spec

from . import plugins
from .conftest import built_in

Register = Callable[[str, type], type]
PARTS = built_in("preset")


def lines(config: Any) -> list[str]:
    return [" ".join(line.split()) for line in explain(config).splitlines()]


def equations(tile: str, settings: Any) -> tuple[str, ...]:
    return AnalogConfig.parse({"tile": {"type": tile, **settings}}).tile.equations()


def test_title_names_the_preset() -> None:
    assert lines("pcm_inference")[0] == "config from preset pcm_inference"


def test_title_without_a_preset() -> None:
    assert lines({})[0] == "config"


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_part_is_titled_with_its_name_and_first_sentence(kind: str, name: str) -> None:
    spec = registry(kind).get(name)()
    assert lines(spec)[0] == f"{name} {(type(spec).__doc__ or '').splitlines()[0]}"


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in PARTS if (kind, name) != ("drift_compensation", "none")])
def test_part_with_behaviour_has_equations(kind: str, name: str) -> None:
    if kind != "engine":
        assert registry(kind).get(name)().equations()


def test_config_shows_every_value_with_its_unit_and_meaning() -> None:
    shown = lines("pcm_inference")
    for line in (
        "g_max_uS = 25 uS conductance of the largest weight",
        "t_0 = 20 s time between programming and the first read-out",
        "t_read = 2.5e-07 s width of a read pulse",
        "max_in = 512 largest number of inputs of a crossbar; 0 is no limit",
        "bits = 8 bit resolution; 8 bits are 254 steps over the range",
        "engine = auto the kernels; auto picks by device",
    ):
        assert line in shown


def test_absent_part_is_shown_as_none() -> None:
    assert any(line.startswith("noise_model = none ") for line in lines({}))


@pytest.mark.parametrize(("value", "shown"), [(0.123456789, "0.123456789"), (1234567.0, "1234567"), (1e-20, "1e-20")])
def test_values_are_not_rounded(value: float, shown: str) -> None:
    assert any(line.startswith(f"out_scale = {shown} ") for line in lines({"tile": {"type": "inference", "forward": {"out_scale": value}}}))


def test_ideal_tile_is_one_equation() -> None:
    assert lines({"tile": "ideal"})[2] == "y_i = sum_j w_ij x_j"


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"forward": {"input_range": {"type": "fixed", "value": 2.625}}}, "2.625"),
        ({"forward": {"dac": {"bits": 8, "bound": 1.27}}}, "0.01"),  # the step, 2 x 1.27 / 254
        ({"forward": {"dac": {"levels": 4, "bound": 1.5}}}, "0.75"),
        ({"forward": {"dac": {"levels": 4, "rounding": "stochastic"}}}, "stochastic"),
        ({"forward": {"dac": {"bound": 2.375}}}, "2.375"),
        ({"forward": {"out_noise": 0.0475}}, "0.0475"),
        ({"forward": {"weight_noise": {"type": "additive_constant", "std": 0.0175}}}, "0.0175"),
        ({"forward": {"adc": {"bits": 3, "bound": 12.75}}}, "12.75"),
        ({"forward": {"adc": {"bits": 3, "bound": 12.75}}}, "4.25"),  # the step, 2 x 12.75 / 6
        ({"training": {"modifier": {"type": "add_normal", "std": 0.0325}}}, "0.0325"),
        ({"training": {"clip": {"type": "layer_gaussian", "sigma": 2.125}}}, "2.125"),
        ({"training": {"clip": {"type": "fixed_value", "value": 0.875}}}, "0.875"),
    ],
)
def test_equations_of_the_inference_tile_hold_its_values(settings: Any, shown: str) -> None:
    with_it, without = "\n".join(equations("inference", settings)), "\n".join(equations("inference", {}))
    assert shown in with_it
    assert shown not in without


@pytest.mark.parametrize("value", ["t_0", "t_read", "prog_noise_scale", "read_noise_scale", "drift_scale"])
def test_equations_of_pcm_hold_its_values(value: str) -> None:
    assert "0.0375" in "\n".join(structure({"type": "pcm", value: 0.0375}, NoiseModel).equations())


def test_single_pair_states_its_values() -> None:
    spec = structure({"type": "single_pair", "g_max_uS": 30.0, "g_min_uS": 5.0}, ConductanceConverter)
    assert spec.equations() == ("g± = 5 + 25 max(±w, 0) uS, w = (g+ - g-) / 25 uS",)


def test_plugin_of_a_notebook_is_explained(register: Register) -> None:
    register("quiet", plugins.Quiet)
    shown = lines(plugins.Quiet(sigma=0.75, clipped=False))
    assert shown[0] == "quiet A noise model with one field of each sort."
    assert "g = g_target + 0.75 xi uS" in shown
    assert "clipped = false whether conductances stay positive" in shown
    assert "limit = inf uS largest conductance" in shown
    assert "shape: steady Noise all the time." in shown


def test_preset_of_a_part_is_named(register: Register) -> None:
    register("quiet", plugins.Quiet)
    register("mild", plugins.Mild)
    shown = lines({"tile": {"type": "inference", "noise_model": "mild"}})
    assert any(line.startswith("noise_model: quiet (from preset mild)") for line in shown)
    assert "length = 7 bit length" in shown


def test_wrong_config_is_refused_before_it_is_explained() -> None:
    with pytest.raises(ConfigError, match="unknown preset 'pcn'"):
        explain("pcn")


def test_explaining_a_spec_takes_what_configs_take() -> None:
    spec = AnalogConfig().tile
    assert isinstance(spec, Spec)
    assert explain(spec).splitlines()[0].startswith("inference")


@pytest.mark.parametrize("algorithm", ["sgd", "tiki_taka", "agad", "mixed_precision"])
def test_equations_of_an_update_are_shown_once(algorithm: str) -> None:
    shown = lines(build(algorithm, "soft_bounds_reference"))
    rule: Any = build(algorithm, "soft_bounds_reference").tile
    for line in rule.update_algorithm.equations():
        assert len([each for each in shown if " ".join(line.split()) in each]) == 1, line
    assert len([each for each in shown if each.startswith("update: pulses stochastic_compressed")]) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("soft_bounds", "'soft_bounds' names a device, which is a part of a config and no whole one: `ohmlet show device soft_bounds`"),
        ("ttv2", "'ttv2' names an update algorithm, which is a part"),
        ("ecrm_sgd", "neither a config file .* nor a preset; did you mean 'ecram_sgd'"),
        ("reram_e", "neither a config file .* nor a preset; did you mean 'reram_es_"),
    ],
)
def test_only_whole_configs_are_offered_where_one_is_needed(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(name)


def test_only_presets_of_the_kind_are_offered_for_a_part() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ecram_mo'"):
        AnalogConfig.parse({"tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": "ecram_m"}}})
    with pytest.raises(ConfigError) as caught:
        AnalogConfig.parse({"tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": "ecram_mo_sgdx"}}})
    assert "ecram_mo_sgd'" not in str(caught.value)
