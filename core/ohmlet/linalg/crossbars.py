"""A real matrix as it was put on crossbars: what was asked for, what the cells came to, and writing parts of it anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.chip.programming import ProgrammedLayer, program_layer
from ohmlet.chip.targets import Target, crossbar_name
from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError, OrderError
from ohmlet.interfaces.tile import ProgrammableTile
from ohmlet.linalg.cells import Programmed, rewritten
from ohmlet.linalg.reading import Reading
from ohmlet.nn import AnalogLinear
from ohmlet.nn.array import AnalogArray, Block, Mapped
from ohmlet.nn.layer import drawn_seed
from ohmlet.nn.mapping import weight_scales
from ohmlet.nn.read_out import read_back
from ohmlet_kernels.noise import Stream

__all__ = ["Crossbars"]


class Crossbars(nn.Module):
    """A matrix [out, in] on the crossbars of one layer.

    Scales are chosen when the matrix is first written, from it and from `largest`, and stay: what is written later has to fit, and cells
    that are not written are not touched. Buffers: `asked`, the matrix that was asked for; `samples`, how many vectors were multiplied;
    `writes`, how many blocks were written; of each crossbar what `Programmed` holds, unless the tile owns its cells.
    """

    def __init__(self, matrix: Tensor, config: AnalogConfig, name: str, seed: int | None, largest: float | None) -> None:
        super().__init__()
        with torch.device("meta"):
            linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
        linear.weight = nn.Parameter(matrix.clone(), requires_grad=False)
        chosen = config.seed if seed is None else seed
        self.seed = drawn_seed() if chosen is None else chosen
        self.layer = AnalogLinear.from_digital(linear.eval(), config, name, self.seed)
        self.layer.requires_grad_(False)
        if any(getattr(crossbar, "adjustable", False) for crossbar in self.array.crossbars):
            raise ConfigError(
                "tile.forward.input_range is learned or calibrated in a network, and a matrix is in none: set it to abs_max, which scales "
                "each vector by its largest value, or {type: fixed, value: ...}"
            )
        self.asked: Tensor
        self.samples: Tensor
        self.writes: Tensor
        self.register_buffer("asked", matrix.clone())
        for counter in ("samples", "writes"):
            self.register_buffer(counter, torch.zeros(1, dtype=torch.int64, device=matrix.device))
        self.cells = nn.ModuleList()
        self.seen: Reading | None = None
        if self.array.in_situ is None:
            self._place(largest)
        elif largest is not None:
            raise ConfigError(
                f"largest {largest:g} has no effect: the cells of tile {type(config.tile).__name__} hold what their bounds allow; "
                "set mapping.scales and mapping.omega instead"
            )

    @property
    def array(self) -> AnalogArray:
        """The layer's crossbars."""
        return self.layer.array

    @property
    def tile(self) -> Any:
        """The tile that the crossbars are of."""
        return self.layer.config.tile

    @torch.no_grad()
    def _place(self, largest: float | None) -> None:
        """Choose the scales and write every crossbar for the first time."""
        mapping = self.layer.config.mapping
        if largest is not None and mapping.scales == "none":
            raise ConfigError(f"largest {largest:g} has no effect with mapping.scales none: leave it out")
        for index, block in enumerate(self.array.blocks):
            part = self.asked[block.first_out : block.last_out, block.first_in : block.last_in]
            scale = weight_scales(part, mapping.scales, mapping.omega, mapping.max_scale_range)
            if largest is not None:
                scale = scale.clamp_min(largest / mapping.omega)
            w = part / scale
            self._check(part, w, scale)
            keys = self._target(index, w, scale).keys(1, self.seed)[0]
            self.cells.append(Programmed(w, scale, keys))
            self._write(index, w, None, "program")

    def _target(self, index: int, w: Tensor, scale: Tensor) -> Target:
        programmable = isinstance(self.tile, ProgrammableTile)
        g = self.tile.conductance_converter.to_conductances(w) if programmable else w[None]
        return Target(crossbar_name(self.layer.name, index), self.layer.name, self.array, index, w, scale, g)

    def _write(self, index: int, w: Tensor, mask: Tensor | None, path: str) -> None:
        cells = self.cells[index]
        assert isinstance(cells, Programmed)
        cells.write(self.tile, self._target(index, w, cells.scale), mask, path)

    def _check(self, values: Tensor, w: Tensor, scale: Tensor) -> None:
        """Raise ValueError for values that are beyond the range of the cells."""
        over = w.abs() > 1.0 + 1e-6
        if isinstance(self.tile, ProgrammableTile) and bool(over.any()):
            first = tuple(over.nonzero()[0].tolist())
            worst, bound = values[first], scale.expand_as(w)[first]
            remedy = (
                "set mapping.scales to columnwise or tilewise"
                if self.layer.config.mapping.scales == "none"
                else "scales stay as they were when the matrix was put on crossbars; say then in ohmlet.array(..., largest=...) how large "
                "values will become"
            )
            raise ConfigError(f"the value {float(worst):.6g} is beyond what its cell holds, {float(bound):.6g}: {remedy}")

    def now(self) -> Reading:
        """Return the crossbars as they are at the first read-out; those that own their cells, as these are."""
        array = self.array
        if array.in_situ is not None:
            # Cells may be pulsed between two products.
            weights = [Mapped(each.weights(), array.in_situ.scale(k)) for k, each in enumerate(array.crossbars)]  # type: ignore[operator]
            return Reading(array, weights, [None] * len(weights), list(array.keys[:, 0]), "evaluation", own=True)
        if self.seen is None:
            if self.tile_drifts():
                self.seen = self.at(0.0, compensated=True)
            else:
                weights = [Mapped(cells.w, cells.scale) for cells in self.cells]  # type: ignore[arg-type]
                self.seen = Reading(array, weights, [None] * len(weights), list(array.keys[:, 0]), "evaluation", own=False)
        return self.seen

    def tile_drifts(self) -> bool:
        """Whether the tile has a noise model."""
        return isinstance(self.tile, ProgrammableTile) and self.tile.noise_model is not None

    @torch.no_grad()
    def at(self, t: float, compensated: bool) -> Reading:
        """Return the crossbars `t` seconds after the first read-out; raises ConfigError for a tile without a noise model."""
        if not self.tile_drifts():
            raise ConfigError(
                "this matrix cannot be seen at another time: its tile has no noise_model; state one in the config, such as pcm"
            )
        if self.array.in_situ is not None:
            programmed, _ = program_layer(self.layer.name, self.layer, 1, self.seed)
        else:
            crossbars = [
                cells.crossbar(self._target(index, cells.w, cells.scale))  # type: ignore[operator, arg-type]
                for index, cells in enumerate(self.cells)
            ]
            programmed = ProgrammedLayer(self.layer, self.tile, crossbars, 1)
        (state,) = programmed.at(t, compensated).values()
        weights = [Mapped(each.w[0], each.scale, None if each.g is None else each.g[:, 0]) for each in state.weights]
        factors = [None if factor is None else factor[0] for factor in state.factors]
        return Reading(self.array, weights, factors, [key[0] for key in state.keys], state.path, own=False)

    def _parts(self, rows: Tensor, columns: Tensor) -> Iterator[tuple[int, Block, Tensor, Tensor]]:
        """Yield each crossbar that holds some of the rows and columns, with which of these it holds."""
        for index, block in enumerate(self.array.blocks):
            own_rows = ((rows >= block.first_out) & (rows < block.last_out)).nonzero()[:, 0]
            own_columns = ((columns >= block.first_in) & (columns < block.last_in)).nonzero()[:, 0]
            if len(own_rows) and len(own_columns):
                yield index, block, own_rows, own_columns

    @torch.no_grad()
    def write(self, rows: Tensor, columns: Tensor, values: Tensor) -> None:
        """Write values [rows, columns] into the cells of these lines; raises ConfigError for values that they cannot hold.

        Nothing is written unless everything can be.
        """
        in_situ, jobs = self.array.in_situ, []
        for index, block, own_rows, own_columns in self._parts(rows, columns):
            scale = in_situ.scale(index) if in_situ is not None else self.cells[index].scale
            assert isinstance(scale, Tensor)
            at = rows[own_rows] - block.first_out, columns[own_columns] - block.first_in
            size = block.last_out - block.first_out, block.last_in - block.first_in
            part = values[own_rows][:, own_columns]
            wanted = torch.zeros(size, dtype=values.dtype, device=values.device)
            mask = torch.zeros(size, dtype=torch.bool, device=values.device)
            wanted[at[0][:, None], at[1]] = part
            mask[at[0][:, None], at[1]] = True
            if in_situ is None:
                self._check(wanted, wanted / scale, scale)
            jobs.append((index, wanted / scale, mask))
        for index, w, mask in jobs:
            path = f"write {int(self.writes)}"
            if in_situ is not None:
                noise = Stream(self.array.keys[index, 0], None, self.writes.clone(), "write")
                rewritten(self.array.crossbars[index], w, mask, noise)
                in_situ._tell(w[mask], self.array.crossbars[index].weights()[mask], self.layer.name)  # type: ignore[operator]
            else:
                self._write(index, torch.where(mask, w, self.cells[index].w), mask, path)  # type: ignore[arg-type]
        self.asked[rows[:, None], columns] = values
        self.writes.add_(1)
        self._settle()

    @torch.no_grad()
    def pulse(self, rows: Tensor, columns: Tensor, u: Tensor, v: Tensor) -> None:
        """Add u v^T to the cells of these lines in pulses, u [V, rows] and v [V, columns], vector after vector.

        Raises OrderError for a tile that does not learn in memory.
        """
        in_situ = self.array.in_situ
        if in_situ is None:
            raise OrderError(
                "only a tile that learns in memory can add an outer product in pulses, such as in_memory; write values instead: A[...] ="
            )
        count = torch.arange(len(u), device=u.device)
        for index, block, own_rows, own_columns in self._parts(rows, columns):
            scale = in_situ.scale(index)
            d = u.new_zeros((len(u), block.last_out - block.first_out))
            x = u.new_zeros((len(u), block.last_in - block.first_in))
            d[:, rows[own_rows] - block.first_out] = -u[:, own_rows]
            x[:, columns[own_columns] - block.first_in] = v[:, own_columns]
            noise = Stream(self.array.keys[index, 0], in_situ.vectors + count, in_situ.vectors.clone(), "update")
            self.array.crossbars[index].update(x.float(), (d / scale.mT).float(), 1.0, noise)  # type: ignore[operator]
        in_situ.vectors.add_(len(u))
        self.asked[rows[:, None], columns] += (u.mT @ v).to(self.asked.dtype)
        self._settle()

    def _settle(self) -> None:
        """Forget what was read before, and show in the layer's weight what it is now."""
        self.seen = None
        if self.layer.held:
            read_back(self.layer)
        else:
            self.layer.weight.copy_(self.asked)

    def multiply(self, x: Tensor, rows: Tensor, columns: Tensor, transposed: bool) -> Tensor:
        """Return the product of some rows and columns with vectors x [S, ...] as `Reading.multiply` does."""
        y = self.now().multiply(x, rows, columns, transposed, int(self.samples))
        self.samples.add_(len(x))
        return y
