"""Configs as files: three formats, what each can hold, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ohmlet.config import files
from ohmlet.errors import ConfigError

FORMS = ("yaml", "toml", "json")
CONTENT = {
    "a": 1,
    "b": {"c": 2.5, "d": "text", "e": True, "f": [1, 2, 3]},
    "g": 1e-7,
    "h": "1e-3",
    "i": "yes",
    "j": "null",
    "k": "",
    "l": 1e300,
}


@pytest.mark.parametrize("form", FORMS)
def test_content_survives(form: str) -> None:
    assert files.parse(files.dumps(CONTENT, form), form) == CONTENT


@pytest.mark.parametrize("ending", [".yaml", ".yml", ".toml", ".json", ".YAML", ".Json"])
def test_ending_states_the_format(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"config{ending}"
    files.write(CONTENT, path)
    assert files.read(path) == CONTENT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mark", ["\n", "\t", "\x85", "\u2028", "\ufeff", "ö", "😀", "\x7f", '"', "'", "#", ": ", "---"])
def test_text_with_special_marks_survives(mark: str, form: str) -> None:
    assert files.parse(files.dumps({"a": mark, "b": f"x{mark}y", f"c{mark}": 1}, form), form) == {
        "a": mark,
        "b": f"x{mark}y",
        f"c{mark}": 1,
    }


def test_yaml_leaves_umlauts_readable() -> None:
    assert files.dumps({"a": "größe"}, "yaml") == "a: größe\n"


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_empty_values_survive(form: str) -> None:
    assert files.parse(files.dumps({"a": None, "b": {"c": None}}, form), form) == {"a": None, "b": {"c": None}}


def test_toml_leaves_empty_values_out() -> None:
    assert files.parse(files.dumps({"a": None, "b": {"c": None, "d": 1}, "e": [1, None]}, "toml"), "toml") == {"b": {"d": 1}, "e": [1]}


def test_toml_names_no_preset_that_would_fill_what_is_left_out() -> None:
    content = {"preset": "whole", "b": {"type": "x", "preset": "part", "c": {"d": None}}, "e": {"preset": "kept", "f": 1}}
    with pytest.warns(UserWarning, match="config: from preset 'whole', not named: what is null here would be the preset's"):
        text = files.dumps(content, "toml")
    assert text.startswith("# config: from preset 'whole', not named")
    assert files.parse(text, "toml") == {"b": {"type": "x", "preset": "part", "c": {}}, "e": {"preset": "kept", "f": 1}}


@pytest.mark.parametrize(("form", "expected"), [("yaml", math.inf), ("toml", math.inf), ("json", "inf")])
def test_infinity_is_written(form: str, expected: Any) -> None:
    assert files.parse(files.dumps({"a": math.inf}, form), form) == {"a": expected}


def test_json_is_json_to_others() -> None:
    assert json.loads(files.dumps({"a": -math.inf, "b": [1.0]}, "json"), parse_constant=pytest.fail) == {"a": "-inf", "b": [1.0]}


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", "0.001", ".001"])
def test_yaml_number_is_a_number(number: str) -> None:
    assert files.parse(f"a: {number}", "yaml") == {"a": 1e-3}


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "n", "NO"])
def test_yaml_word_is_a_word(word: str) -> None:
    assert files.parse(f"a: {word}", "yaml") == {"a": word}


def test_yaml_keeps_the_order() -> None:
    assert files.dumps({"b": 1, "a": 2}, "yaml") == "b: 1\na: 2\n"


def test_yaml_aliases_and_merges_are_read() -> None:
    assert files.parse("a: &x {b: 1, c: 2}\nd: *x\ne: {<<: *x, c: 3}", "yaml") == {
        "a": {"b": 1, "c": 2},
        "d": {"b": 1, "c": 2},
        "e": {"b": 1, "c": 3},
    }


def test_yaml_name_may_be_given_anew() -> None:
    assert files.parse("a: &x 1\nb: &x 2\nc: *x", "yaml") == {"a": 1, "b": 2, "c": 2}


@pytest.mark.parametrize("form", FORMS)
def test_byte_order_mark_is_skipped(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"config.{form}"
    path.write_bytes(b"\xef\xbb\xbf" + files.dumps({"a": 1}, form).encode())
    assert files.read(path) == {"a": 1}


@pytest.mark.parametrize("form", FORMS)
def test_windows_line_ends_are_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"config.{form}"
    path.write_bytes(files.dumps({"a": 1, "b": {"c": 2}}, form).replace("\n", "\r\n").encode())
    assert files.read(path) == {"a": 1, "b": {"c": 2}}


@pytest.mark.parametrize("name", ["config.txt", "config", "config.yaml.bak", "config.py", ".yaml"])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}: a config file ends in \.yaml, \.yml, \.toml, \.json$"):
        files.read(name)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file$"):
        files.read(tmp_path / "nowhere.yaml")


def test_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"config\.yaml: a folder, not a file$"):
        files.read(tmp_path / "config.yaml")


def test_folder_on_the_way_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere/config\.yaml: cannot be written: No such file or directory$"):
        files.write({}, tmp_path / "nowhere" / "config.yaml")


def test_writing_asks_for_a_known_ending(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.txt: a config file ends in "):
        files.write({}, tmp_path / "config.txt")


def test_unknown_format_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^unknown format 'xml'; known: json, toml, yaml$"):
        files.dumps({}, "xml")
