"""AnalogConfig: composed by name, strict, frozen, written and read back."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from attrs import fields, has

import ohmlet
from ohmlet.config import files
from ohmlet.config.analog import SCHEMA, AnalogConfig, Mapping, load_config
from ohmlet.config.structure import plain, structure
from ohmlet.errors import ConfigError
from ohmlet.registry import registry
from ohmlet.spec import Spec

from . import plugins
from .conftest import built_in, problems

Register = Callable[[str, type], type]
parse = AnalogConfig.parse
FORMS = ("yaml", "toml", "json")
PARTS = built_in("preset")
NAMED = {name: registry("preset").get(name).gives for kind, name in built_in() if kind == "preset"}
PRESETS = [name for name, gives in NAMED.items() if gives == "config"]
DEVICES = [name for name, gives in NAMED.items() if gives == "device"]


def at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


@pytest.fixture
def whole(register: Register) -> None:
    register("quiet", plugins.Quiet)
    register("whole", plugins.Whole)


def test_nothing_given_is_the_default() -> None:
    assert parse({}) == AnalogConfig()


def test_default_is_a_noiseless_inference_tile() -> None:
    config = AnalogConfig()
    assert registry("tile").name_of(type(config.tile)) == "inference"
    assert (config.engine, config.seed, config.mapping) == ("auto", None, Mapping())


@pytest.mark.parametrize("tile", ["ideal", {"type": "ideal"}, "ohmlet:ideal"])
def test_tile_is_given_by_name(tile: Any) -> None:
    assert registry("tile").name_of(type(parse({"tile": tile}).tile)) == "ideal"


def test_config_is_taken_as_it_is() -> None:
    config = AnalogConfig()
    assert parse(config) is config


@pytest.mark.parametrize("form", ["yaml", "toml", "json"])
@pytest.mark.parametrize("name", DEVICES)
def test_preset_of_a_device_survives_a_file_within_a_config(name: str, form: str, tmp_path: Path) -> None:
    config = parse({"tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": name}}})
    assert at(config, "tile.update_algorithm.device").preset == name
    config.save(tmp_path / f"config.{form}")
    again = load_config(tmp_path / f"config.{form}")
    assert again == config
    assert at(again, "tile.update_algorithm.device").preset == name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PRESETS)
def test_config_of_a_preset_survives_a_file_with_its_name(name: str, form: str, tmp_path: Path) -> None:
    config = parse(name).override({"mapping.max_in": 100})
    config.save(tmp_path / f"config.{form}")
    again = load_config(tmp_path / f"config.{form}")
    assert again == config
    assert again.preset == name


def test_toml_says_so_where_a_preset_would_undo_a_null(tmp_path: Path) -> None:
    config = parse("pcm_inference").override({"tile.noise_model": None, "tile.drift_compensation": "none"})
    with pytest.warns(UserWarning, match="config: from preset 'pcm_inference', not named"):
        config.save(tmp_path / "config.toml")
    again = load_config(tmp_path / "config.toml")
    assert again == config
    assert again.preset is None
    assert (tmp_path / "config.toml").read_text().startswith("# config: from preset 'pcm_inference'")


@pytest.mark.parametrize("name", PRESETS)
def test_preset_by_name_and_by_key_are_the_same(name: str) -> None:
    assert parse(name) == parse({"preset": name}) == load_config(name)


def test_config_says_which_preset_it_came_from() -> None:
    assert parse("pcm_inference").preset == "pcm_inference"


@pytest.mark.usefixtures("whole")
def test_values_beside_a_preset_replace_its_own() -> None:
    config = parse({"preset": "whole", "tile": {"forward": {"out_noise": 0.25}}, "seed": 8})
    assert at(config, "tile.forward.out_noise") == 0.25
    assert at(config, "tile.forward.adc.bits") == 6
    assert config.seed == 8


@pytest.mark.usefixtures("whole")
def test_fields_of_a_part_that_a_preset_only_names() -> None:
    assert (
        parse({"preset": "whole", "tile": {"noise_model": {"sigma": 4.0}}}).tile
        == parse("whole").override({"tile.noise_model.sigma": 4.0}).tile
    )


@pytest.mark.usefixtures("whole")
def test_null_beside_a_preset_takes_a_part_away() -> None:
    assert at(parse({"preset": "whole", "tile": {"noise_model": None}}), "tile.noise_model") is None


@pytest.mark.usefixtures("whole")
def test_another_tile_beside_a_preset_replaces_the_whole_tile() -> None:
    assert parse({"preset": "whole", "tile": "ideal"}) == parse({"tile": "ideal", "seed": 7})


@pytest.mark.parametrize("value", ["pcm_infernce", {"preset": "pcm_infernce"}])
def test_unknown_preset_brings_up_the_nearest(value: Any) -> None:
    assert problems(lambda: parse(value)) == ["unknown preset 'pcm_infernce'; did you mean 'pcm_inference'? @ config"]


def test_preset_of_a_part_is_no_config(register: Register) -> None:
    register("mild", plugins.Mild)
    assert problems(lambda: parse("mild")) == ["preset 'mild' is a noise model, no whole config @ config"]


@pytest.mark.parametrize("value", [None, 3, [], [("tile", "ideal")], True, 1.5])
def test_config_is_a_mapping_or_a_name(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^expected a mapping \(tile, mapping, engine, seed\) or a preset's name, got .* @ config$"):
        parse(value)


def test_all_problems_come_at_once() -> None:
    value = {
        "tile": {"type": "inference", "forward": {"adc": {"bits": 8.0, "bond": 3}, "out_noise": "0.1"}, "noise_model": "pcn"},
        "mapping": {"omega": True, "max_in": 512},
        "maping": {},
        "seed": 2.5,
    }
    assert sorted(problems(lambda: parse(value))) == [
        "expected a number, got '0.1'; write it without quotes @ config.tile.forward.out_noise",
        "expected a number, got True @ config.mapping.omega",
        "expected a whole number, got 2.5 @ config.seed",
        "expected a whole number, got 8.0 @ config.tile.forward.adc.bits",
        "unknown key 'bond', did you mean 'bound'? @ config.tile.forward.adc",
        "unknown key 'maping', did you mean 'mapping'? @ config",
        "unknown noise_model 'pcn'; did you mean 'pcm'? @ config.tile.noise_model",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"mapping": {"omega": 0}}, "'omega' must be > 0: 0.0 @ config.mapping"),
        ({"mapping": {"omega": 1.5}}, "'omega' must be <= 1: 1.5 @ config.mapping"),
        (
            {"mapping": {"omega": 0.3, "scales": "none"}},
            "omega 0.3 has no effect with scales none: set scales to columnwise or tilewise, or leave it out @ config.mapping",
        ),
        ({"mapping": {"scales": "rowwise"}}, "'scales' must be one of none, tilewise, columnwise: 'rowwise' @ config.mapping"),
        ({"mapping": {"max_in": -1}}, "'max_in' must be >= 0: -1 @ config.mapping"),
        ({"seed": -1}, "'seed' must be >= 0: -1 @ config"),
        ({"seed": 2**63}, "'seed' must be <= 9223372036854775807: 9223372036854775808 @ config"),
        ({"engine": "referense"}, "unknown engine 'referense'; did you mean 'reference'? @ config"),
        ({"engine": 3}, "expected text, got 3 @ config.engine"),
        ({"tile": "inferense"}, "unknown tile 'inferense'; did you mean 'inference'? @ config.tile"),
        ({"tile": {"type": "ideal", "forward": {}}}, "unknown key 'forward', none is known @ config.tile"),
        (
            {"tile": {"type": "inference", "forward": {"adc": {"bits": 8, "levels": 254}}}},
            "'bits' and 'levels' both state the resolution (8 bits are 254 levels): give one of them @ config.tile.forward.adc",
        ),
        (
            {"tile": {"type": "inference", "conductance_converter": {"type": "single_pair", "g_min_uS": 30}}},
            "'g_min_uS' must be below 'g_max_uS': 30.0 >= 25.0 @ config.tile.conductance_converter",
        ),
    ],
)
def test_wrong_value_is_told_with_its_path(value: Any, words: str) -> None:
    assert problems(lambda: parse(value)) == [words]


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "1", True, None, [1]])
def test_other_schema_is_refused(schema: Any) -> None:
    with pytest.raises(
        ConfigError, match=rf"^this config is written for schema .*, and this Ohmlet reads schema {SCHEMA}; install the matching version"
    ):
        parse({"schema": schema})


def test_schema_may_be_left_out() -> None:
    assert parse({"schema": SCHEMA}) == parse({})


def test_dump_states_the_schema() -> None:
    assert AnalogConfig().to_plain()["schema"] == SCHEMA


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_a_file(tmp_path: Path, name: str, form: str) -> None:
    config = load_config(name)
    config.save(tmp_path / f"config.{form}")
    assert load_config(tmp_path / f"config.{form}") == config


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_built_in_part_survives_a_file(tmp_path: Path, kind: str, name: str, form: str) -> None:
    spec = registry(kind).get(name)()
    files.write(plain(spec), tmp_path / f"part.{form}")
    assert structure(files.read(tmp_path / f"part.{form}"), registry(kind).base()) == spec


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("whole")
def test_infinite_and_absent_values_survive_a_file(form: str) -> None:
    config = parse({"tile": {"type": "inference", "noise_model": {"type": "quiet", "limit": math.inf}, "forward": {"dac": {"bound": 2.0}}}})
    assert parse(files.parse(config.dumps(form), form)) == config


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("whole")
def test_part_taken_away_from_a_preset_stays_away(form: str) -> None:
    config = parse("whole").override({"tile.noise_model": None, "tile.forward.adc": None})
    with pytest.warns(UserWarning, match="not named") if form == "toml" else nullcontext():
        text = config.dumps(form)
    assert parse(files.parse(text, form)) == config


def test_dump_of_a_preset_names_it() -> None:
    assert parse("pcm_inference").to_plain()["preset"] == "pcm_inference"


def test_dump_without_a_preset_names_none() -> None:
    assert "preset" not in AnalogConfig().to_plain()


def test_override_reaches_a_nested_value() -> None:
    assert at(parse("pcm_inference").override({"tile.forward.adc.bits": 6}), "tile.forward.adc.bits") == 6


def test_override_goes_through_a_name() -> None:
    config = parse({"tile": {"type": "inference", "noise_model": "pcm"}})
    assert at(config.override({"tile.noise_model.prog_noise_scale": 4.0}), "tile.noise_model.prog_noise_scale") == 4.0


def test_override_takes_a_part_away() -> None:
    away = {"tile.noise_model": None, "tile.drift_compensation": "none"}
    assert at(parse("pcm_inference").override(away), "tile.noise_model") is None


def test_override_leaves_the_config_as_it_is() -> None:
    config = parse("pcm_inference")
    before = plain(config)
    config.override({"tile.forward.adc.bits": 6})
    assert plain(config) == before


def test_override_with_nothing_is_the_same_config() -> None:
    config = parse("pcm_inference")
    assert config.override({}) == config


def test_override_keeps_the_presets_name() -> None:
    assert parse("pcm_inference").override({"seed": 3}).preset == "pcm_inference"


@pytest.mark.parametrize("tile", ["inference", {"type": "inference"}])
def test_override_replaces_a_part_whole(tile: Any) -> None:
    assert parse("pcm_inference").override({"tile": tile}).tile == AnalogConfig().tile


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tile.forward.adc.bitz": 6}, "unknown key 'bitz', did you mean 'bits'? @ config.tile.forward.adc"),
        ({"tile.fowrard.adc.bits": 6}, "unknown key 'fowrard', did you mean 'forward'? @ config.tile"),
        ({"": 6}, "unknown key '', known: engine, mapping, seed, tile @ config"),
        ({"tile.forward.adc.bits": "6"}, "expected a whole number, got '6' @ config.tile.forward.adc.bits"),
        ({"mapping.omega.x": 6}, "'mapping.omega' has no parts, so 'mapping.omega.x' cannot be set"),
        ({"preset": "pcm_inference"}, "'preset' is what a config starts from: parse the other preset instead of overriding it"),
    ],
)
def test_override_of_what_is_not_there_is_refused(changes: dict[str, Any], words: str) -> None:
    assert problems(lambda: parse("pcm_inference").override(changes)) == [words]


@pytest.mark.parametrize("changes", [None, 3, "tile=ideal", [("seed", 1)]])
def test_override_takes_a_mapping(changes: Any) -> None:
    with pytest.raises(ConfigError, match=r"^expected a mapping of dotted paths to values, got "):
        AnalogConfig().override(changes)


def test_equal_configs_hash_alike() -> None:
    assert len({parse("pcm_inference"), parse("pcm_inference"), parse({})}) == 2


@pytest.mark.parametrize("name", [attribute.name for attribute in fields(AnalogConfig)])
def test_config_is_frozen(name: str) -> None:
    with pytest.raises(AttributeError, match="can't set attribute"):
        setattr(AnalogConfig(), name, None)


def test_config_survives_pickle() -> None:
    config = parse("pcm_inference")
    assert pickle.loads(pickle.dumps(config)) == config


def test_error_survives_pickle() -> None:
    error = pickle.loads(pickle.dumps(ConfigError("first", "second")))
    assert error.problems == ("first", "second")


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_engine_that_the_tile_pins_may_be_named(register: Register, engine: str) -> None:
    register("pinned", plugins.PinnedTile)
    assert parse({"tile": "pinned", "engine": engine}).engine == engine


def test_engine_that_conflicts_with_the_tile_is_refused(register: Register) -> None:
    register("pinned_elsewhere", plugins.ElsewhereTile)
    words = "engine 'reference' conflicts with the tile, which runs on 'elsewhere'; leave engine out @ config"
    assert problems(lambda: parse({"tile": "pinned_elsewhere", "engine": "reference"})) == [words]


def test_file_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("tile: ideal\nseed: 3\n", "utf-8")
    assert ohmlet.load_config(tmp_path / "mine.yaml") == parse({"tile": "ideal", "seed": 3})


def test_problem_in_a_file_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("mapping: {omega: '0.1'}\nsed: 3\n", "utf-8")
    assert problems(lambda: load_config("mine.yaml")) == [
        "expected a number, got '0.1'; write it without quotes @ mine.yaml: mapping.omega",
        "unknown key 'sed', did you mean 'seed'? @ mine.yaml",
    ]


def test_misspelt_preset_is_not_taken_for_a_file() -> None:
    words = "'pcm_infernce' is neither a config file (.yaml, .yml, .toml, .json) nor a preset; did you mean 'pcm_inference'?"
    assert problems(lambda: load_config("pcm_infernce")) == [words]


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_built_in_part_documents_each_field(kind: str, name: str) -> None:
    def undocumented(cls: type) -> list[str]:
        missing = [f"{cls.__name__}.{field.name}" for field in fields(cls) if not field.metadata.get("doc")]
        inner = [getattr(cls(), field.name) for field in fields(cls)]
        settings = [type(part) for part in inner if has(type(part)) and not isinstance(part, Spec)]
        return missing + [line for each in settings for line in undocumented(each)]

    assert undocumented(registry(kind).get(name)) == []
