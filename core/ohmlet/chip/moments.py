"""What a noise model makes of a conductance over time, on average, and what it makes of a matrix of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key

__all__ = ["Moments", "best_factor", "weight_errors"]

NODES = 129
"""Conductances at which moments are tabulated; straight lines between."""
SAMPLES = 2000
"""Devices that each of them is averaged over, the same draws for all."""
INSTANCES = 8
"""Programmings that the error of a matrix is averaged over."""


def at_times(
    model: NoiseModel, g: Tensor, window: ConductanceWindow, noise: Stream, times: Sequence[float]
) -> list[Tensor]:  # one tensor per time, as each may be broadcast
    """Return what targets (uS) of one device per weight conduct at each time."""
    programmed = model.program(g, window, noise)
    nu = model.drift_coefficients(g, window, noise)
    return [model.read(model.drift(programmed, nu, t, window), programmed, t, window, noise.child(f"read {t.hex()}")) for t in times]


class Moments(NamedTuple):
    """Mean and variance of a device's conductance over its target, [nodes, times] in uS and uS^2."""

    window: ConductanceWindow
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, model: NoiseModel, window: ConductanceWindow, times: Sequence[float], seed: int) -> Moments:
        """Tabulate a noise model."""
        g = torch.linspace(window.g_min, window.g_max, NODES, dtype=torch.float64)[:, None, None].expand(-1, SAMPLES, 1)
        noise = Stream(torch.tensor(stream_key(seed, "moments"), dtype=torch.int64), path="moments")
        held = torch.stack([each.expand(g.shape) for each in at_times(model, g, window, noise, times)], -1)
        variance, mean = torch.var_mean(held, dim=(1, 2))
        return cls(window, mean, variance)

    def at(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance [..., times] for targets g [...] within the window."""
        place = (g - self.window.g_min) * ((NODES - 1) / (self.window.g_max - self.window.g_min))
        below = place.floor().clamp(0, NODES - 2)
        part, below = (place - below).unsqueeze(-1), below.long()
        mean, variance = (table[below] + part * (table[below + 1] - table[below]) for table in (self.mean, self.variance))
        return mean, variance


def best_factor(asked: Tensor, held: Tensor, share: Tensor | float = 1.0) -> Tensor:
    """Return the factor on `held` that fits `asked` best, sum(share asked held) / sum(share held^2) over the first size."""
    return (share * asked * held).sum(0) / (share * held.square()).sum(0).clamp_min(1e-30)


def weight_errors(
    converter: ConductanceConverter, model: NoiseModel, w: Tensor, times: Sequence[float], *, compensated: bool = True, seed: int = 0
) -> Tensor:
    """Return the mean square error [times] of weights [out, in] in [-1, 1] that are programmed, drift and are read.

    With `compensated` the error is that after the best factor for each time. Eight programmings, addressed by `seed`.
    """
    keys = torch.tensor([stream_key(seed, "weight errors", i) for i in range(INSTANCES)], dtype=torch.int64, device=w.device)
    held = [
        at_times(model, g, converter.window, Stream(keys, None, torch.tensor([device], device=w.device), "program"), times)
        for device, g in enumerate(converter.to_conductances(w))
    ]
    errors = []
    for at_t in zip(*held, strict=True):
        seen = converter.recover(torch.stack([g.expand(INSTANCES, *w.shape) for g in at_t]), w).flatten()
        asked = w.expand(INSTANCES, *w.shape).flatten()
        errors.append(((best_factor(asked, seen) if compensated else 1.0) * seen - asked).square().mean())
    return torch.stack(errors)
