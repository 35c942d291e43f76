"""Plugins as a notebook would define them: registered by the tests that need them, never installed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen

from ohmlet.config import part
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.interfaces.preset import Preset
from ohmlet.interfaces.tile import Site, Tile
from ohmlet.spec import boolean, integer, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


@frozen(kw_only=True)
class Burst:
    """Noise in bursts."""

    type_name: ClassVar[str] = "burst"
    length: int = integer(3, "length", unit="bit", ge=1)


@frozen(kw_only=True)
class Steady:
    """Noise all the time."""

    type_name: ClassVar[str] = "steady"


@frozen(kw_only=True)
class Quiet(NoiseModel):
    """A noise model with one field of each sort."""

    sigma: float = number(0.5, "spread", unit="uS", ge=0.0)
    limit: float = number(math.inf, "largest conductance", unit="uS", gt=0.0, infinite=True)
    clipped: bool = boolean(True, "whether conductances stay positive")
    shape: Burst | Steady = part(Burst | Steady, "when it is noisy", "steady")
    maybe: Burst | None = part(Burst | None, "further bursts", None)
    inner: NoiseModel | None = part(NoiseModel | None, "a second model", None)

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Any) -> Tensor:
        return g_target

    def equations(self) -> tuple[str, ...]:
        return (f"g = g_target + {self.sigma:g} xi uS",)


@frozen(kw_only=True)
class Unreadable(NoiseModel):
    """Its field's type is there for type checkers only."""

    table: Sequence[float] = ()

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Any) -> Tensor:
        return g_target


@frozen(kw_only=True)
class PinnedTile(Tile):
    """A tile that runs on one engine."""

    engine: ClassVar[str | None] = "reference"

    def build(self, site: Site) -> nn.Module:
        raise NotImplementedError


@frozen(kw_only=True)
class ElsewhereTile(Tile):
    """A tile that runs on an engine that is not installed."""

    engine: ClassVar[str | None] = "elsewhere"

    def build(self, site: Site) -> nn.Module:
        raise NotImplementedError


class Mild(Preset):
    """A preset of a part."""

    gives: ClassVar[str] = "noise_model"
    source: ClassVar[str] = "nowhere"
    status: ClassVar[str] = "illustrative"

    def build(self) -> Any:
        return Quiet(sigma=0.25, shape=Burst(length=7))


class MildMapping(Preset):
    """A preset of a part, given as plain data."""

    gives: ClassVar[str] = "noise_model"
    source: ClassVar[str] = "nowhere"
    status: ClassVar[str] = "illustrative"

    def build(self) -> Any:
        return {"type": "quiet", "sigma": 0.125}


class Whole(Preset):
    """A preset of a whole config."""

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = "nowhere"
    status: ClassVar[str] = "illustrative"

    def build(self) -> Any:
        return {"tile": {"type": "inference", "noise_model": "quiet", "forward": {"out_noise": 0.5, "adc": {"bits": 6}}}, "seed": 7}


class Failing(Preset):
    """A preset whose author made a mistake."""

    gives: ClassVar[str] = "noise_model"
    source: ClassVar[str] = "nowhere"
    status: ClassVar[str] = "illustrative"

    def build(self) -> Any:
        raise KeyError("missing")


class Circular(Preset):
    """A preset that builds itself."""

    gives: ClassVar[str] = "noise_model"
    source: ClassVar[str] = "nowhere"
    status: ClassVar[str] = "illustrative"

    def build(self) -> Any:
        return "circular"
