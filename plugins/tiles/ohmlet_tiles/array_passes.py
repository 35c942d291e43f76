"""Periphery of single arrays: what a tile's `io` says of the passes of one array of an update algorithm, in place of the tile's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import Attribute, evolve, field, frozen
from torch import nn

from ohmlet.config import part, structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.tile import Site
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.registry import did_you_mean
from ohmlet_tiles.analog_pass import AnalogPass
from ohmlet_tiles.input_range import Fixed, Learned
from ohmlet_tiles.pass_module import PassModule

__all__ = ["PASSES", "ArrayIO", "ArrayPasses", "array_io", "array_modules", "check_array_io"]

PASSES = ("forward", "backward", "read")


@frozen(kw_only=True)
class ArrayPasses:
    """The passes over one array, with converters and a size of their own; one that is left out is as the tile's.

    Raises ConfigError for ranges that nothing would set: `ohmlet.calibrate` and gradients reach the tile's forward pass only.
    """

    forward: AnalogPass | None = part(AnalogPass | None, "products with the array; as the tile's `forward` if left out", None)
    backward: AnalogPass | None = part(AnalogPass | None, "transposed products; as the tile's `backward` if left out", None)
    read: AnalogPass | None = part(AnalogPass | None, "what the algorithm reads for itself; as the tile's `read` if left out", None)

    def __attrs_post_init__(self) -> None:
        if not self.given():
            raise ConfigError("an array in io without forward, backward or read has no effect: leave it out")
        for name, settings in self.given().items():
            scaling = settings.input_range
            if isinstance(scaling, Learned) or (isinstance(scaling, Fixed) and scaling.value is None):
                raise ConfigError(
                    f"{name}.input_range {scaling.type_name} of a single array is set by nothing, for ohmlet.calibrate and gradients reach "
                    "the tile's forward pass only: use abs_max, average_abs_max, or fixed with a value"
                )
            if settings.adc is not None and settings.adc.bound == "calibrated":
                raise ConfigError(f"{name}.adc of a single array needs a number as bound: ohmlet.calibrate sees tile.forward only")

    def given(self) -> dict[str, AnalogPass]:
        """Return the passes that are not as the tile's."""
        return {name: settings for name in PASSES if (settings := getattr(self, name)) is not None}


class ArrayIO(Mapping[str, ArrayPasses]):
    """The passes of arrays by name; as configs are, it cannot be changed and can be hashed."""

    def __init__(self, arrays: Mapping[str, ArrayPasses]) -> None:
        self._arrays = tuple(sorted(arrays.items()))

    def __getitem__(self, name: str) -> ArrayPasses:
        return dict(self._arrays)[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __hash__(self) -> int:
        return hash(self._arrays)

    def __repr__(self) -> str:
        return repr(dict(self._arrays))


def array_io(doc: str) -> Any:
    """Return an attrs field for an `ArrayIO`, given as a mapping from arrays to their passes, or left out."""

    def convert(value: Any) -> Any:
        if value is None or isinstance(value, ArrayIO):
            return value
        return ArrayIO(structure(value, Mapping[str, ArrayPasses], "io")) or None

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        del attribute, value  # the converter has refused everything else

    return field(default=None, converter=convert, validator=check, metadata={"doc": doc})


def check_array_io(io: Mapping[str, ArrayPasses], algorithm: UpdateAlgorithm, read: AnalogPass | None) -> None:
    """Raise ConfigError for arrays that an algorithm does not have, and for passes that do not read one of them by itself.

    `read` is the tile's, which must not be given where every array that is read has one of its own.
    """
    rule, own = type(algorithm).__name__, algorithm.own_passes()
    for name, passes in io.items():
        if name not in own:
            raise ConfigError(f"tile.io has no array '{name}' of {rule}; {did_you_mean(name, own)}")
        for which in passes.given():
            if which not in own[name]:
                only = f"only in {' and '.join(own[name])} passes" if own[name] else "in no pass"
                raise ConfigError(
                    f"tile.io.{name}.{which} has no effect: as it is set, {rule} reads {name} by itself {only}; leave it out, and say what "
                    f"there is to say in tile.{which}"
                )
    readers = [name for name in own if "read" in own[name]]
    if read is not None and readers and all(name in io and io[name].read is not None for name in readers):
        raise ConfigError(
            f"tile.read has no effect: io gives {' and '.join(readers)}, which alone are read, one of their own; leave it out"
        )


def array_modules(
    io: Mapping[str, ArrayPasses], shapes: Mapping[str, tuple[int, int]], site: Site, converter: ConductanceConverter
) -> nn.ModuleDict:
    """Return the modules of the passes of arrays that have these shapes, at a crossbar's site, by `array_pass`, such as up_forward."""
    made = nn.ModuleDict()
    for name, passes in io.items():
        rows, columns = shapes[name]
        for which, settings in passes.given().items():
            # Algorithms read an array both ways.
            inputs = max(rows, columns) if which == "read" else columns
            made[f"{name}_{which}"] = PassModule(settings, evolve(site, out_features=rows, in_features=inputs), which, converter)
    return made
