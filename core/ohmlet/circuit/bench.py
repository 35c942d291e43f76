"""A crossbar while it is tuned: reads, sweeps of pulses over its word lines, and their accounts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ohmlet.circuit.bias import biased
from ohmlet.circuit.pulsing import hold, ideal, voltages
from ohmlet.circuit.tuning import Progress, Tuned, Tuning
from ohmlet.errors import ConfigError
from ohmlet.interfaces.memristor import Memristor
from ohmlet_kernels.crossbar_solve import Solution, Wires
from ohmlet_kernels.noise import Stream

__all__ = ["Bench", "read"]

AT_ONCE = 2**22
"""Cells times word lines whose voltages are worked out together."""


def read(memristor: Memristor, g: Tensor, cell: Mapping[str, Tensor], tuning: Tuning) -> Tensor:
    """Return the conductances [S] that an exact read of each cell sees, without the wires."""
    v = torch.full_like(g, tuning.v_read)
    return memristor.current(v, g, cell) / tuning.v_read


class Bench:
    """A crossbar while it is pulsed, and its accounts."""

    def __init__(
        self,
        memristor: Memristor,
        g: Tensor,
        cell: Mapping[str, Tensor],
        tuning: Tuning,
        wires: Wires,
        noise: Stream | None,
        stuck: Tensor | None = None,
    ) -> None:
        self.stuck = stuck
        self.memristor, self.g, self.cell, self.tuning, self.wires, self.noise = memristor, g, cell, tuning, wires, noise
        self.pulses = torch.zeros(g.shape, dtype=torch.int64, device=g.device)
        self.disturb, self.energy, self.seconds, self.events = torch.zeros_like(g), g.new_zeros(g.shape[:-2], dtype=torch.float64), 0.0, 0
        self.disturbed = False
        self.solved: dict[tuple[bool, int], Solution | None] = {}

    def event(self) -> Stream | None:
        """Return the stream of the next pulse or read."""
        self.events += 1
        return None if self.noise is None else self.noise._replace(event=torch.tensor([self.events], device=self.g.device))

    def read(self) -> Tensor:
        """Return the conductances [S] that an exact read at v_read sees, of each cell without the wires."""
        return read(self.memristor, self.g, self.cell, self.tuning)

    def seen(self) -> Tensor:
        """Return what a read sees, with the device's noise if there is a bandwidth."""
        v = torch.full_like(self.g, self.tuning.v_read)
        current = self.memristor.current(v, self.g, self.cell)
        if self.tuning.read_bandwidth is not None:
            std = self.memristor.read_noise(v, self.g, self.cell, self.tuning.read_bandwidth)
            if std is None:
                raise ConfigError(f"{type(self.memristor).__name__} has no read noise, so read_bandwidth has no effect: leave it out")
            stream = self.event()
            if stream is None:
                raise ConfigError("read noise needs a stream of noise: give `noise`, or leave read_bandwidth out")
            current = current + std * stream.normal("verify", current)
        return current / self.tuning.v_read

    def sweep(self, chosen: Tensor, volts: Tensor, seconds: float, up: bool) -> None:
        """Pulse the chosen cells, word line by word line, with voltages of their own and one sign."""
        wanted = torch.where(chosen, volts, 0.0)
        rows = chosen.any(-1).reshape(-1, chosen.shape[-2]).any(0).nonzero().flatten()
        if not len(rows):
            return
        self.pulses += chosen
        self.seconds += seconds * len(rows)
        together = self.tuning.order == "at_once" or (ideal(self.wires) and not self.disturbed)
        if together and self._at_once(wanted, chosen, rows, seconds):
            return
        for row in rows.tolist():
            bias = biased(self.tuning.scheme, self.g.shape[-2], row, wanted[..., row, :])
            written = hold(self.memristor, self.g, self.cell, bias, seconds, self.wires, self.event(), self.solved.get((up, row)))
            selected, moved = torch.zeros_like(chosen), self._held(written.g)
            selected[..., row, :] = chosen[..., row, :]
            self.disturb += (moved - self.g).abs().masked_fill(selected, 0.0)
            self.g, self.energy = moved, self.energy + written.energy
            self.solved[up, row] = written.solution

    def _at_once(self, wanted: Tensor, chosen: Tensor, rows: Tensor, seconds: float) -> bool:
        """Pulse all word lines at the states of the beginning; does nothing and returns False where that moves cells not selected."""
        across, most, energy = torch.zeros_like(wanted), 0.0, self.energy
        cell = {name: value.unsqueeze(-3) for name, value in self.cell.items()}
        for some in rows.split(max(AT_ONCE // self.g.numel(), 1)):
            bias = biased(self.tuning.scheme, self.g.shape[-2], some, wanted[..., some, :])
            v, power, _ = voltages(self.memristor, self.g.unsqueeze(-3), cell, bias, self.wires)
            energy = energy + seconds * power.delivered.sum(-1)
            own = torch.zeros_like(v, dtype=torch.bool)
            number = torch.arange(len(some), device=v.device)
            own[..., number, some, :] = chosen[..., some, :]
            across[..., some, :] = v[..., number, some, :] * chosen[..., some, :]
            most = max(most, float(v.masked_fill(own, 0.0).abs().amax()))
        w = self.memristor.weight(self.g)
        for sign in (1.0, -1.0):
            if not bool((self.memristor.stepped(w, torch.full_like(w, sign * most), seconds, self.cell) == w).all()):
                if self.tuning.order == "at_once":
                    raise ConfigError(
                        "order 'at_once' is for cells that are not moved by pulses to others, and "
                        f"{type(self.memristor).__name__} moves at the {most:.3g} V that they see: take order 'in_turn', or another scheme"
                    )
                self.disturbed = True
                return False
        self.g, self.energy = self._held(self.memristor.applied(self.g, across, seconds, self.cell, self.event())), energy
        return True

    def _held(self, moved: Tensor) -> Tensor:
        """Return the states after a pulse, those of stuck devices as they were."""
        return moved if self.stuck is None else torch.where(self.stuck, self.g, moved)

    def tuned(self, target: Tensor, accepted: Tensor, history: list[Progress]) -> Tuned:
        """Return the accounts."""
        return Tuned(self.g, self.read(), target, accepted, self.pulses, self.disturb, self.energy, self.seconds, tuple(history))

    def progress(self, sweep: int, target: Tensor, pending: Tensor) -> Progress:
        """Return how far it is."""
        off = 1e6 * (self.read() - target)
        return Progress(sweep, float(pending.double().mean()), float((off * off).mean().sqrt()), float(self.pulses.double().mean()))
