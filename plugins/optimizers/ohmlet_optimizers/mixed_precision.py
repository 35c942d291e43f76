"""Update algorithm `mixed_precision`: gradients gather in a digital matrix, whole steps of which are written to the devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from ohmlet.cells import CellArray, DeviceArray
from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.spec import boolean, integer, number, one_of
from ohmlet_kernels.noise import Stream
from ohmlet_optimizers.planned import Planned
from ohmlet_optimizers.transfers import due, run

__all__ = ["MixedPrecision", "quantised"]


@frozen(kw_only=True)
class MixedPrecision(UpdateAlgorithm):
    """Mixed-precision training: the gradient is added up in a digital matrix chi, whole device steps of which are pulsed.

        chi <- chi + lr q(d) q(x)^T                           every vector
        m = trunc(chi_i / g); chi_i <- chi_i - m g            every `transfer_every` mini-batches, row by row
        w_i <- w_i - transfer_lr g m                          in pulses; g = `granularity`, the device's own unless given
        q(v) = round(v / b) b, at most n // 2 steps, b = max|v| / (n // 2), n = n_x_bins, n_d_bins; 0 bins: q(v) = v

    Pulses are coded as the tile's `update` says, always with update_management and update_bl_management. Raises ConfigError for
    settings without effect.

    References: Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406.
    """

    device: UnitCell = part(UnitCell, "the cells", "constant_step")
    transfer_every: int = integer(1, "mini-batches (calls of update) between transfers", ge=1)
    transfer_phase: str = one_of(
        "last", ("last", "first"), "when a transfer is made: after a period's last vector, or after the first of the next one"
    )
    n_rows_per_transfer: int | None = integer(None, "rows that a transfer writes, all unless given", ge=1)
    random_row: bool = boolean(False, "start each transfer at a random row, not where the last one ended")
    granularity: float | None = number(None, "step of the digital matrix, the device's mean step unless given", gt=0)
    transfer_lr: float = number(1.0, "factor on what is written", gt=0)
    n_x_bins: int = integer(0, "levels of inputs, half of them on each side of zero; 0 for no rounding", ge=0)
    n_d_bins: int = integer(0, "levels of errors; 0 for no rounding", ge=0)
    stoc_round_x: bool = boolean(False, "round inputs up or down at random")
    stoc_round_d: bool = boolean(False, "round errors up or down at random")

    def __attrs_post_init__(self) -> None:
        for line in ("x", "d"):
            bins, name = getattr(self, f"n_{line}_bins"), f"n_{line}_bins"
            if bins == 1:
                raise ConfigError(f"{name} 1 leaves no level beside zero: take at least 2, or 0 for no rounding")
            if getattr(self, f"stoc_round_{line}") and not bins:
                raise ConfigError(f"stoc_round_{line} has no effect without {name}: set one or leave it out")
        if self.random_row and self.n_rows_per_transfer is None:
            raise ConfigError("random_row has no effect while all rows are written: set n_rows_per_transfer, or leave it out")

    def arrays(self) -> Mapping[str, UnitCell]:
        """Return the one array."""
        return {"device": self.device}

    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module of one crossbar."""
        if pulses.pulse_type.startswith("none"):
            raise ConfigError(f"pulse_type {pulses.pulse_type} has no steps that mixed_precision could count: choose one with pulses")
        return MixedPrecisionModule(self, site, arrays, pulses)

    def equations(self) -> tuple[str, ...]:
        """Return the updates with their values."""
        g = "g" if self.granularity is None else f"{self.granularity:g}"
        rows = "all rows" if self.n_rows_per_transfer is None else f"{self.n_rows_per_transfer} rows"
        return (
            "chi <- chi + lr q(d) q(x)^T",
            f"m = trunc(chi / {g}), chi <- chi - m {g}",
            f"w <- w - {self.transfer_lr:g} {g} m, {rows} every {self.transfer_every} mini-batches",
        )


def quantised(v: Tensor, bins: int, noise: Stream | None) -> Tensor:
    """Return vectors [S, n] rounded to `bins` levels between -max|v| and max|v| of each, at random with `noise`; 0 bins: as they are."""
    if not bins:
        return v
    half = bins // 2
    width = v.abs().amax(-1, keepdim=True) / half
    steps = v / torch.where(width > 0, width, 1.0)
    if noise is not None:
        steps = steps + noise.uniform("rounding", steps[:, None]).squeeze(-2) - 0.5
    return steps.round().clamp(-half, half) * width


class MixedPrecisionModule(Planned):
    """One array, the digital matrix `chi` [out, in] and how far transfers have come."""

    def __init__(self, spec: MixedPrecision, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> None:
        super().__init__()
        rows = site.rows if spec.n_rows_per_transfer is None else spec.n_rows_per_transfer
        if rows > site.rows:
            raise ConfigError(f"n_rows_per_transfer {rows} writes more than the crossbar's {site.rows} rows")
        self.spec, self.rows = spec, rows
        self.pulses = evolve(pulses, update_management=True, update_bl_management=True)
        self.arrays = nn.ModuleDict(arrays)
        self.step = self.array.granularity if spec.granularity is None else spec.granularity
        self.chi: Tensor
        self.vectors: Tensor
        self.current: Tensor
        self.register_buffer("chi", torch.zeros((site.rows, site.columns), device=site.key.device))
        self.register_buffer("vectors", torch.zeros(1, dtype=torch.int64, device=site.key.device))
        self.register_buffer("current", torch.zeros(1, dtype=torch.int64, device=site.key.device))

    @property
    def array(self) -> CellArray:
        """The cells."""
        # Not by attribute, which modules look up in three places.
        return self._modules["arrays"]._modules["device"]  # type: ignore[return-value, union-attr]

    def weights(self) -> Tensor:
        """Return the weights [out, in] that reads see."""
        return self.array.weights()

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Bring the weights to w [out, in] as far as the devices can; the digital matrix and counters start anew."""
        self.array.set_weights(w, noise)
        for state in (self.chi, self.vectors, self.current):
            state.zero_()

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        """Add the gradient of inputs x [S, in] and errors d [S, out] to the digital matrix, and write what is due."""
        if lr == 0 or not len(x):
            return
        spec, assigned = self.spec, noise.ordinals
        assert assigned is not None
        q_x = quantised(x.to(self.chi.dtype), spec.n_x_bins, noise.child("x") if spec.stoc_round_x else None)
        q_d = quantised(d.to(self.chi.dtype), spec.n_d_bins, noise.child("d") if spec.stoc_round_d else None)
        before, late, done = int(self.vectors), spec.transfer_phase == "first", 0
        for after in due(before - late, len(x), spec.transfer_every * len(x)):
            if before + after - late <= 0:
                continue
            self.chi.add_(q_d[done:after].mT @ q_x[done:after], alpha=lr)
            self.transfer(noise.child("transfer").at(assigned[after - 1 : after]))
            done = after
        self.chi.add_(q_d[done:].mT @ q_x[done:], alpha=lr)
        self.vectors.add_(len(x))

    def rates(self, samples: int, lr: float) -> tuple[float]:
        """Return the learning rate."""
        return (lr,)

    def made(self, views: Any, samples: int, lr: float, path: str) -> Any:
        """Return the engine's plan of an update, or None for settings that it does not know."""
        spec, chi, array = self.spec, self.chi, self.array
        if spec.n_x_bins or spec.n_d_bins or spec.transfer_phase != "last" or self.rows != len(chi):
            return None
        assert isinstance(array, DeviceArray)
        # An engine with views of cells has this, too.
        return array.kernel("pulsed_update", "cpu").gathered(
            chi, self.vectors, views[0], samples, lr, self.step, spec.transfer_every * samples, self.pulses, self.step * spec.transfer_lr,
            array.granularity, path,
        )  # fmt: skip

    def transfer(self, noise: Stream) -> None:
        """Write whole steps of the next rows; each row is a vector of its own, numbered after the transfer's."""
        total, ordinals = len(self.chi), noise.ordinals
        assert ordinals is not None
        start = int(self.current)
        if self.spec.random_row:
            start = min(int(float(noise.uniform("row", self.chi.new_zeros((1, 1, 1), dtype=torch.float64))) * total), total - 1)
        rows = [(start + i) % total for i in range(self.rows)]
        self.current.fill_((start + self.rows) % total)
        at = run(rows)
        m = (self.chi[at] / self.step).trunc()
        self.chi[at] -= m * self.step
        driven = torch.arange(rows[0], rows[-1] + 1, device=m.device) if isinstance(at, slice) else torch.tensor(rows, device=m.device)
        array = self.array
        if isinstance(array, DeviceArray) and not array.noisy:
            # Rows without a whole step have no pulses; cells with write noise, or composed ones, may count the update all the same.
            whole = m.any(-1).nonzero().flatten()
            m, driven = m[whole], driven[whole]
        lines = torch.nn.functional.one_hot(driven, total).to(m.dtype)
        array.pulse(m, lines, self.step * self.spec.transfer_lr, self.pulses, noise.at(ordinals * total + driven))
