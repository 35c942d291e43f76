"""What an analog layer is made of: its tile, how weights map onto crossbars, the engine and the seed."""

from __future__ import annotations

import math
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any, ClassVar

from attrs import evolve, field, frozen

from ohmlet.config import files
from ohmlet.config.dotted import with_paths
from ohmlet.config.structure import merged, part, plain, preset_of, presets_giving, shortened, structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import Tile
from ohmlet.registry import KINDS, did_you_mean, registry
from ohmlet.spec import integer, number, one_of

__all__ = ["SCHEMA", "AnalogConfig", "Mapping", "load_config"]

SCHEMA = 1
"""Version of the config's form; raised when an old file would mean something else."""


@frozen(kw_only=True)
class Mapping:
    """How a layer's weight matrix is laid onto crossbars.

    A matrix larger than a crossbar is split as evenly as possible; the parts along the inputs are summed digitally. A crossbar holds
    w = W omega / max|W|, the maximum taken over the crossbar (`tilewise`) or over each output (`columnwise`); `none` leaves w = W.
    Outputs are scaled back digitally, with `learned_scales` also by a trained factor: y_i = f_i s_i (w x)_i, with f = exp(g) or, with
    `learned_form: linear`, f = 1 + g of a parameter g that starts at zero.
    """

    max_in: int = integer(512, "largest number of inputs of a crossbar; 0 is no limit", ge=0)
    max_out: int = integer(512, "largest number of outputs of a crossbar; 0 is no limit", ge=0)
    omega: float = number(1.0, "largest |weight| on a crossbar as a fraction of its range", gt=0.0, le=1.0)
    scales: str = one_of("columnwise", ("none", "tilewise", "columnwise"), "over what the largest weight is taken")
    max_scale_range: float = number(math.inf, "largest over smallest column-wise scale of a crossbar", ge=1.0, infinite=True)
    learned_scales: str = one_of("none", ("none", "tilewise", "columnwise"), "what has a trained output factor of its own")
    learned_form: str = one_of(
        "exponential", ("exponential", "linear"), "trained factors are exp(g), which keep their sign, or 1 + g, which grow more slowly"
    )
    bias: str = one_of("digital", ("digital", "analog"), "added digitally, or a further crossbar column driven by 1")

    def __attrs_post_init__(self) -> None:
        if self.learned_form != "exponential" and self.learned_scales == "none":
            raise ConfigError(f"learned_form {self.learned_form} has no effect without learned_scales: set it, or leave learned_form out")
        if self.omega < 1.0 and self.scales == "none":
            raise ConfigError(f"omega {self.omega:g} has no effect with scales none: set scales to columnwise or tilewise, or leave it out")
        if self.max_scale_range < math.inf and self.scales != "columnwise":
            raise ConfigError(f"max_scale_range {self.max_scale_range!r} has no effect with scales {self.scales}: leave it out")


def _scales_for(tile: Any) -> str:
    """Return the scales that suit a tile, as a config names it."""
    named = tile.get("type") if isinstance(tile, AnyMapping) else tile
    if isinstance(named, str) and named in registry("tile"):
        named = registry("tile").get(named)
    return str(getattr(named, "scales", Tile.scales))


def _known_engine(_: object, __: object, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"'engine' is a name: {value!r}")
    if value != "auto":
        registry("engine").find(value)


@frozen(kw_only=True)
class AnalogConfig:
    """The hardware behind an analog layer; every part is given as an object, a name or a mapping with `type`.

    Raises ConfigError listing every problem with its path. `override` returns a changed copy; nothing changes in place.
    """

    tile: Tile = part(Tile, "the crossbar and its periphery", "inference")
    mapping: Mapping = part(Mapping, "how weights are laid onto crossbars")
    engine: str = field(default="auto", validator=_known_engine, metadata={"doc": "the kernels; auto picks by device"})
    seed: int | None = integer(None, "of all noise; drawn from torch's generator at conversion unless given", ge=0)
    preset: str | None = field(default=None, eq=False, repr=False, metadata={"doc": "the preset these values came from"})

    kind: ClassVar[str] = "config"

    @mapping.default
    def _suited(self) -> Mapping:
        return Mapping(scales=self.tile.scales)

    def __attrs_post_init__(self) -> None:
        pinned = self.tile.engine
        if pinned is not None and self.engine not in {"auto", pinned}:
            raise ConfigError(f"engine '{self.engine}' conflicts with the tile, which runs on '{pinned}'; leave engine out")

    @classmethod
    def parse(cls, value: Any, path: str = "config") -> AnalogConfig:
        """Return a config from a config, a preset's name or a mapping; raises ConfigError with every problem and its path."""
        return structure(value, cls, path)

    @classmethod
    def prepare_plain(cls, value: Any) -> Any:
        """Return the mapping to read: a preset's with its changes, the schema's version checked and taken out."""
        if isinstance(value, str):
            value = {"preset": value}
        if not isinstance(value, AnyMapping):
            raise TypeError(f"expected a mapping (tile, mapping, engine, seed) or a preset's name, got {shortened(value)}")
        value = dict(value)
        schema = value.pop("schema", SCHEMA)
        if schema != SCHEMA or isinstance(schema, bool):
            raise TypeError(
                f"this config is written for schema {schema!r}, and this Ohmlet reads schema {SCHEMA}; install the matching version"
            )
        if isinstance(value.get("preset"), str):
            if value["preset"] not in registry("preset"):
                raise TypeError(f"unknown preset {shortened(value['preset'])}; {did_you_mean(value['preset'], presets_giving('config'))}")
            given = preset_of(value["preset"], "config")
            if not isinstance(given, AnyMapping | AnalogConfig):
                kind = registry("preset").get(value["preset"]).gives
                words = f"; for training in memory write ohmlet.build(device='{value['preset']}')" if kind == "device" else ""
                raise TypeError(f"preset '{value['preset']}' is a {kind.replace('_', ' ')}, no whole config{words}")
            value = merged(plain(given), value)
        if isinstance(value.get("mapping"), AnyMapping) and "scales" not in value["mapping"]:
            value["mapping"] = {"scales": _scales_for(value.get("tile")), **value["mapping"]}
        return value

    def override(self, changes: AnyMapping[str, Any]) -> AnalogConfig:
        """Return a copy with values at dotted paths replaced: `config.override({"tile.forward.adc.bits": 6})`."""
        if not isinstance(changes, AnyMapping):
            raise ConfigError(f"expected a mapping of dotted paths to values, got {shortened(changes)}")
        if "preset" in changes:
            raise ConfigError("'preset' is what a config starts from: parse the other preset instead of overriding it")
        # The preset is not named to `parse`, which would fill its values in again where a change leaves them out.
        base = plain(self)
        base.pop("preset", None)
        return evolve(self.parse(with_paths(base, changes)), preset=self.preset)

    def to_plain(self) -> dict[str, Any]:
        """Return the whole config as plain data, every part expanded, with the schema's version."""
        return {"schema": SCHEMA, **plain(self)}

    def dumps(self, form: str = "yaml") -> str:
        """Return the config as a text in "yaml", "toml" or "json"."""
        return files.dumps(self.to_plain(), form)

    def save(self, path: str | Path) -> None:
        """Write the config to a file ending in .yaml, .toml or .json."""
        files.write(self.to_plain(), path)


def load_config(source: str | Path) -> AnalogConfig:
    """Return the config in a file, or a preset's config by name; raises ConfigError with every problem and its path."""
    if isinstance(source, str) and not Path(source).suffix:
        if source not in registry("preset"):
            kind = next((kind for kind in KINDS if source in registry(kind)), None)
            if kind is not None:
                article = "an" if kind[0] in "aeiou" else "a"
                raise ConfigError(
                    f"'{source}' names {article} {kind.replace('_', ' ')}, which is a part of a config and no whole one: "
                    f"`ohmlet show {kind} {source}` tells of it"
                )
            known = did_you_mean(source, presets_giving("config"))
            raise ConfigError(f"{shortened(source)} is neither a config file ({', '.join(files.FORMATS)}) nor a preset; {known}")
        return AnalogConfig.parse(source)
    return AnalogConfig.parse(files.read(source), str(source))
