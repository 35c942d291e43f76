"""What the cells of one crossbar were asked for and came to, and how some of them are written while the others stay."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ohmlet.chip.programming import ProgrammedCrossbar, reference_read_out
from ohmlet.chip.targets import Target
from ohmlet.errors import ConfigError
from ohmlet.interfaces.tile import ProgrammableTile
from ohmlet_kernels.noise import Stream

__all__ = ["Programmed", "rewritten"]


class Programmed(nn.Module):
    """The cells of one crossbar: weights w [out, in] that were asked for, their scale, and with a noise model what they came to.

    Buffers: `g` and `coefficients` [devices, 1, out, in], conductances in uS and drift exponents; `reference`, the read-out that a drift
    compensation compares later ones with; `keys`, of the noise.
    """

    def __init__(self, w: Tensor, scale: Tensor, keys: Tensor) -> None:
        super().__init__()
        self.w: Tensor
        self.scale: Tensor
        self.keys: Tensor
        self.g: Tensor | None
        self.coefficients: Tensor | None
        self.reference: Tensor | None
        self.register_buffer("w", w.clone())
        self.register_buffer("scale", scale)
        self.register_buffer("keys", keys.reshape(1).clone())
        for name in ("g", "coefficients", "reference"):
            self.register_buffer(name, None)

    def write(self, tile: object, target: Target, mask: Tensor | None, path: str) -> None:
        """Write the cells where mask [out, in] is true, all of them without one, with the noise of this path."""
        if isinstance(tile, ProgrammableTile) and mask is not None and target.g.shape[-2:] != mask.shape[-2:]:
            raise ConfigError(
                f"{type(tile).__name__} has columns that all outputs share, so parts cannot be written: put the matrix on anew"
            )
        self.w = target.w.clone()
        if not isinstance(tile, ProgrammableTile) or tile.noise_model is None:
            return
        window, model = tile.conductance_converter.window, tile.noise_model
        programmed, drawn = [], []
        for device, g in enumerate(target.g):
            noise = Stream(self.keys, None, torch.full((1,), device, dtype=torch.int64, device=g.device), path)
            programmed.append(model.program(g, window, noise).expand(1, *g.shape))
            exponents = model.drift_coefficients(g, window, noise)
            if exponents is not None:
                drawn.append(exponents.expand(1, *g.shape))
        self.g = _kept(torch.stack(programmed), self.g, mask)
        self.coefficients = _kept(torch.stack(drawn), self.coefficients, mask) if drawn else None
        # What a compensation compares with is measured when the crossbar is as it will stay.
        self.reference = reference_read_out(tile, target, self.g, self.keys)

    def crossbar(self, target: Target) -> ProgrammedCrossbar:
        """Return the cells as a chip of one instance has them."""
        assert self.g is not None
        return ProgrammedCrossbar(self.w, target.g, self.g, self.coefficients, self.scale, self.keys, self.reference, target.name)


def _kept(new: Tensor, old: Tensor | None, mask: Tensor | None) -> Tensor:
    return new.clone() if old is None or mask is None else torch.where(mask, new, old)


def rewritten(crossbar: nn.Module, w: Tensor, mask: Tensor, noise: Stream) -> None:
    """Bring the cells of a crossbar that owns them to w where mask [out, in] is true; all others keep every state that they have.

    Raises ConfigError where states are not laid out cell by cell.
    """
    before = {name: value.clone() for name, value in crossbar.named_buffers() if value.ndim >= 2}
    other = [name for name, value in before.items() if value.shape[-2:] != mask.shape]
    if other:
        raise ConfigError(f"a part of this crossbar cannot be written alone: its {other[0]} is not laid out cell by cell")
    crossbar.set_weights(torch.where(mask, w.to(crossbar.weights().dtype), crossbar.weights()), noise)  # type: ignore[operator]
    for name, value in crossbar.named_buffers():
        if name in before:
            value.copy_(torch.where(mask, value, before[name]))
