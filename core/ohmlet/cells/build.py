"""From what a config says of a crosspoint to the array of its cells."""

from __future__ import annotations

from ohmlet.cells.array import CellArray, DeviceArray
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, CompositeCell, Device, UnitCell
from ohmlet_kernels.noise import key as stream_key

__all__ = ["build_array"]


def build_array(cell: UnitCell, site: ArraySite, *path: str) -> CellArray:
    """Return the array of a unit cell, its parts fabricated each with a key of its own below the site's.

    Raises ConfigError for a unit cell that is neither a Device nor a CompositeCell.
    """
    if isinstance(cell, Device):
        return DeviceArray(cell, site)
    if isinstance(cell, CompositeCell):
        arrays = {name: build_array(part, keyed(site, name), *path, name) for name, part in cell.parts().items()}
        made = cell.compose(site, arrays)
        if not isinstance(made, CellArray):
            raise ConfigError(f"{type(cell).__name__}.compose must return an ohmlet.cells.CellArray, got {type(made).__name__}")
        return made
    raise ConfigError(f"{type(cell).__name__} is neither a Device nor a CompositeCell: subclass one of them")


def keyed(site: ArraySite, name: str) -> ArraySite:
    """Return the site of a part, with a key of its own."""
    key = stream_key(int(site.key), name)
    return site._replace(key=site.key.new_tensor(key))
