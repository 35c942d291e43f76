"""Files that no one wrote in good faith: each is answered by one or few lines, quickly, as a ConfigError."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ohmlet.config.analog import AnalogConfig, load_config
from ohmlet.config.dotted import assignment
from ohmlet.errors import ConfigError

LONGEST = 2.0
"""Seconds of processor time that an answer may take."""


def bomb(entry: str, *, levels: int = 12) -> str:
    """Return YAML in which each line refers ten times to the one before; `entry` is how a line holds them."""
    lines = ["a0: &a0 {k: 1}"] + [f"a{n}: &a{n} " + entry.replace("...", ",".join([f"*a{n - 1}"] * 10)) for n in range(1, levels)]
    return "\n".join(lines)


TEXTS: dict[str, tuple[str, str | bytes, str]] = {
    # id: (ending, content, what the answer says)
    "empty yaml": ("yaml", "", "empty"),
    "empty toml": ("toml", " \n", "empty"),
    "empty json": ("json", "", "empty"),
    "comment only": ("yaml", "# nothing\n", "expected a mapping at the top, got nothing"),
    "null": ("json", "null", "expected a mapping at the top, got nothing"),
    "list at the top": ("yaml", "- a\n- b\n", r"expected a mapping at the top, got \['a', 'b'\]"),
    "list at the top of json": ("json", "[1]", r"expected a mapping at the top, got \[1\]"),
    "text at the top": ("yaml", "tile ideal", "expected a mapping at the top, got 'tile ideal'"),
    "not utf-8": ("yaml", b"\xff\xfe\x00t", r"not UTF-8 text \(byte 0xff at position 0\)"),
    "latin-1": ("toml", "# größe\n".encode("latin-1"), r"not UTF-8 text \(byte 0xf6 at position 4\)"),
    "binary": ("yaml", b"tile: \x00\x01", "not YAML: unacceptable character #x0000"),
    "control character in json": ("json", b'{"seed": "\x00"}', "not JSON: Invalid control character"),
    "control character in toml": ("toml", b"seed = '\x00'", "not TOML: Found invalid character"),
    "ten megabytes": ("yaml", "x: " + "a" * 10_000_000, "10000 kB is no config; at most 131 kB are read"),
    "ten megabytes of json": ("json", '{"x": "' + "a" * 10_000_000 + '"}', "10000 kB is no config"),
    "tab": ("yaml", "tile:\n\ttype: inference\n", "not YAML: line 2, column 1: found a tab: indent with spaces"),
    "open bracket": ("yaml", "tile: [1, 2", "not YAML: line 1, column 12: "),
    "bad indentation": ("yaml", "tile:\n  type: ideal\n seed: 3\n", "not YAML: line 3, column 2: "),
    "two documents": ("yaml", "seed: 1\n---\nseed: 2\n", "not YAML: line 2, column 1: but found another document"),
    "unknown alias": ("yaml", "tile: *x", "not YAML: line 1, column 7: found undefined alias 'x'"),
    "key twice in yaml": ("yaml", "seed: 1\nseed: 2\n", 'not YAML: line 2, column 1: found duplicate key "seed"'),
    "key twice in toml": ("toml", "seed = 1\nseed = 2\n", r"not TOML: Cannot overwrite a value \(at line 2, column 9\)"),
    "key twice in json": ("json", '{"seed": 1, "seed": 2}', "key 'seed' stands twice"),
    "nested key twice in json": ("json", '{"mapping": {"omega": 1, "omega": 2}}', "key 'omega' stands twice"),
    "cyclic alias": ("yaml", "tile: &t\n  type: inference\n  forward: *t\n", "an alias refers to a mapping or list that contains it"),
    "cyclic list": ("yaml", "tile: &t [1, *t]\n", "an alias refers to a mapping or list that contains it"),
    "alias bomb": ("yaml", bomb("[...]"), "more than 100000 values, those of aliases included"),
    "merge bomb": ("yaml", bomb("{<<: [...]}"), "more than 100000 values, those of aliases included"),
    "key bomb": ("yaml", bomb("[...]") + "\n? *a11\n: 1", "line 12, column 6: keys are text: a sequence"),
    "python object": ("yaml", "tile: !!python/object/apply:os.system ['true']", "the tag '!!python/object/apply:os.system' is not read"),
    "python object at the top": (
        "yaml",
        "!!python/object:os.system {}",
        "line 1, column 1: the tag '!!python/object:os.system' is not read",
    ),
    "own tag": ("yaml", "tile: !mine ideal", "line 1, column 7: the tag '!mine' is not read"),
    "set": ("yaml", "tile: !!set {a, b}", "the tag '!!set' is not read"),
    "binary tag": ("yaml", "tile: !!binary YQ==", "the tag '!!binary' is not read"),
    "bool tag on a word": ("yaml", "tile: !!bool maybe", "not YAML: 'maybe'"),
    "int tag on a word": ("yaml", "seed: !!int abc", "not YAML: invalid literal for int"),
    "old yaml": ("yaml", "%YAML 1.1\n---\nseed: 1\n", "not YAML 1.2: leave the %YAML line out"),
    "whole number as a key": ("yaml", "1: 2\n", "line 1, column 1: keys are text: '1'"),
    "nothing as a key": ("yaml", "? \n: 2\n", "keys are text: ''"),
    "list as a key": ("yaml", "? [1, 2]\n: 2\n", "keys are text: a sequence"),
    "mapping as a key": ("yaml", "{{a: 1}: 2}", "keys are text: a mapping"),
    "nan in yaml": ("yaml", "mapping: {omega: .nan}", r"expected a number, got nan @ .*config\.yaml: mapping\.omega"),
    "nan in toml": ("toml", "mapping = {omega = nan}", r"expected a number, got nan @ .*config\.toml: mapping\.omega"),
    "nan in json": ("json", '{"mapping": {"omega": NaN}}', r"expected a number, got nan @ .*config\.json: mapping\.omega"),
    "nan for a whole number": ("yaml", "seed: .nan", "expected a whole number, got nan"),
    "nan for a part": ("yaml", "tile: .nan", "expected a tile name or a mapping with 'type', got nan"),
    "nan for text": ("yaml", "engine: .nan", "expected text, got nan"),
    "infinite weight": ("yaml", "mapping: {omega: .inf}", "'omega' must be finite: inf"),
    "infinite seed": ("yaml", "seed: .inf", "expected a whole number, got inf"),
    "number of 400 digits": ("yaml", "mapping: {omega: " + "9" * 400 + "}", "expected a number, got one beyond 1e308"),
    "number of 400 digits in json": ("json", '{"mapping": {"omega": ' + "9" * 400 + "}}", "expected a number, got one beyond 1e308"),
    "seed of 400 digits": ("yaml", "seed: " + "9" * 400, r"'seed' must be <= 9223372036854775807: 9{80}\.\.\. \(int\)"),
    "seed of 5000 digits in yaml": ("yaml", "seed: " + "9" * 5000, r"not YAML: Exceeds the limit \(4300 digits\)"),
    "seed of 5000 digits in toml": ("toml", "seed = " + "9" * 5000, r"not TOML: Exceeds the limit \(4300 digits\)"),
    "seed of 5000 digits in json": ("json", '{"seed": ' + "9" * 5000 + "}", r"not JSON: Exceeds the limit \(4300 digits\)"),
    "seed of 5000 hexadecimal digits": (
        "yaml",
        "seed: 0x" + "f" * 5000,
        r"'seed' must be <= 9223372036854775807: \(int too large to show\)",
    ),
    "engine of 5000 hexadecimal digits": ("toml", "engine = 0x" + "f" * 5000, r"expected text, got \(int too large to show\)"),
    "date": ("yaml", "seed: 2001-01-01", r"expected a whole number, got datetime.date\(2001, 1, 1\)"),
    "time in toml": ("toml", "tile = 10:00:00", "expected a tile name or a mapping with 'type', got datetime.time"),
    "lone surrogate": ("json", '{"seed": "\\ud800"}', r"expected a whole number, got '\\ud800'"),
    "lone surrogate as a key": ("json", '{"\\ud800": 1}', r"unknown key '\\ud800', known: engine, mapping, seed, tile"),
    "line break in a name": ("json", '{"tile": "a\\nb"}', r"unknown tile 'a\\nb'; known: "),
    "long name": ("yaml", "tile: " + "a" * 100_000, r"unknown tile 'a{79}\.\.\. \(str\); known: "),
    "long engine": ("yaml", "engine: " + "a" * 100_000, r"unknown engine 'a{79}\.\.\. \(str\); known: "),
    "long key": ("yaml", "x" * 1000 + ": 1", r"unknown key 'x{79}\.\.\. \(str\), known: "),
    "many keys": ("json", json.dumps({f"k{n}": n for n in range(8000)}), "7992 further unknown keys"),
    "many keys twice": ("json", "{" + ",".join(f'"k{n}": 1' for n in range(8000)) + ', "k0": 2}', "key 'k0' stands twice"),
    "deep yaml": ("yaml", "a: " + "[" * 50_000, "nested too deeply"),
    "deep closed yaml": ("yaml", "a: " + "{b: " * 150 + "1" + "}" * 150, "nested more than 40 deep"),
    "deep block yaml": ("yaml", "- " * 60_000, "nested too deeply"),
    "deep keys": ("yaml", "? " * 60_000, "nested too deeply"),
    "deep json": ("json", '{"a":' + "[" * 60_000 + "]" * 60_000 + "}", "nested too deeply"),
    "deep open json": ("json", '{"a":' + "[" * 120_000, "nested too deeply"),
    "deep toml": ("toml", "a = " + "[" * 60_000 + "]" * 60_000, "nested too deeply"),
    "deep toml table": ("toml", "[" + ".".join(["a"] * 60_000) + "]", "a key or a text of more than 1000 dots"),
    "deep toml key": ("toml", ".".join(["a"] * 60_000) + " = 1", "a key or a text of more than 1000 dots"),
    "toml keys as deep as they get": ("toml", "\n".join(".".join([f"a{n}"] * 900) + " = 1" for n in range(36)), "nested more than 40 deep"),
    "wide list": ("yaml", "tile: [" + ",".join(["1"] * 12_000) + "]", "expected a tile name or a mapping with 'type', got"),
}


@pytest.mark.parametrize(("ending", "content", "words"), TEXTS.values(), ids=TEXTS)
def test_hostile_file_is_answered(tmp_path: Path, ending: str, content: str | bytes, words: str) -> None:
    path = tmp_path / f"config.{ending}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    AnalogConfig()  # plugins are imported before the clock starts
    start = time.process_time()
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(path)
    assert time.process_time() - start < LONGEST
    lines = str(caught.value).splitlines()
    assert len(lines) < 10
    assert max(map(len, lines)) < 400
    assert all(str(path) in line for line in lines)


@pytest.mark.parametrize("name", ["con\0fig.yaml", "a" * 5000 + ".yaml", "nowhere/config.yaml"])
def test_impossible_file_name_is_answered(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no such file|cannot be read: File name too long"):
        load_config(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match=r"config\.yaml: a device, not a file$"):
        load_config(tmp_path / "config.yaml")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="every file is readable to this user")
def test_unreadable_file_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.touch()
    path.chmod(0)
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: Permission denied$"):
        load_config(path)


def endless_list() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


def cyclic_mapping() -> Any:
    value: dict[str, Any] = {"type": "inference"}
    value["forward"] = value
    return value


@pytest.mark.parametrize("build", [endless_list, cyclic_mapping])
@pytest.mark.parametrize(
    "place",
    [
        lambda value: value,
        lambda value: {"tile": value},
        lambda value: {"seed": value},
        lambda value: {"preset": "pcm_inference", "tile": value},
    ],
)
def test_hostile_python_data_is_answered(build: Callable[[], Any], place: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigError, match=r"^(expected|unknown key|nested too deeply)") as caught:
        AnalogConfig.parse(place(build()))
    assert max(map(len, caught.value.problems)) < 400


@pytest.mark.parametrize("value", ["[" * 50_000, "!!python/object/apply:os.system ['true']", "9" * 5000, "&x [*x]"])
def test_hostile_assignment_is_answered(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set seed: "):
        assignment(f"seed={value}")
