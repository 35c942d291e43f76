"""Weight-programming optimisation: the split of each weight over its pairs of devices that errs least over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.chip.moments import Moments, weight_errors
from ohmlet.chip.split_search import BETWEEN, SplitSearch
from ohmlet.chip.targets import targets_of
from ohmlet.config.structure import plain, structure
from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError, shortened
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.units import seconds
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key

__all__ = ["WeightProgramming", "optimize_weight_programming"]

TIMES = ("1 s", "1 h", "1 day", "1 month", "1 year")
USES = (1.0, 0.7)
"""Parts of the pairs' full range that a weight of 1 may use."""


@frozen
class WeightProgramming:
    """An optimised split as a conductance converter, `custom_pair`, and what it gains over filling one pair after the other."""

    converter: ConductanceConverter
    times: tuple[float, ...]
    """Seconds after the first read-out."""
    errors: tuple[float, ...]
    """Mean square error of the weights at each time, of the optimised split."""
    default_errors: tuple[float, ...]
    """The same of `n_pair` with the factors given first."""

    @property
    def gain(self) -> float:
        """How many times smaller the mean square error over weights and times has become."""
        return sum(self.default_errors) / sum(self.errors)

    def to_plain(self) -> dict[str, Any]:
        """Return the converter as a config holds it."""
        return dict(plain(self.converter))


def optimize_weight_programming(
    weights: Tensor | nn.Module,
    noise_model: Any,
    *,
    factors: Sequence[float] | Sequence[Sequence[float]] = (1.0, 3.0),
    g_max_uS: float = 25.0,
    g_min_uS: float = 0.0,
    times: Sequence[float | str] = TIMES,
    compensated: bool = True,
    levels: int = 21,
    seed: int = 0,
) -> WeightProgramming:
    """Return the split of weights over pairs of devices with the least error over time under a noise model.

    A weight is w = sum_k f_k (g_k+ - g_k-) / full, and many splits amount to the same w; they err differently. For `levels` evenly
    spaced magnitudes the splits are chosen, among all that stay in the window and amount to the weight, with the least

        mean over weights and times of E[(alpha_t w_read(t) - w)^2],    alpha_t = sum E[w w_read(t)] / sum E[w_read(t)^2] over weights

    where alpha_t, the factor with the least error, stands for a global drift compensation (1 when `compensated` is false). Weights
    between levels are interpolated, which the criterion counts; negative weights mirror. `full` is the all that the pairs can amount to,
    or 70 % of it where that is better. `weights` [out, in] in [-1, 1], or a converted model, say which magnitudes are frequent;
    `noise_model` is a spec, a name or a mapping; `factors` is one set of factors or several to choose from.

    The conductances' moments are tabulated from the noise model's own methods, the splits of each level found by differential evolution
    and the path through them by dynamic programming, all addressed by `seed`. Raises ConfigError for weights beyond 1 and settings that
    make no sense.

    References: Mackin et al., Nat. Commun. 13, 3765 (2022), doi:10.1038/s41467-022-31405-1.
    """
    model: NoiseModel = structure(noise_model, NoiseModel, "noise_model")
    w = _weights(weights)
    sets = _factor_sets(factors)
    at = tuple(seconds(time) for time in times)
    if not at:
        raise ConfigError("'times' needs at least one time")
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 2:
        raise ConfigError(f"'levels' must be a whole number of at least 2: {levels!r}")
    window = ConductanceWindow(float(g_min_uS), float(g_max_uS))
    moments = Moments.of(model, window, at, seed)
    nodes = torch.linspace(0.0, 1.0, levels, dtype=torch.float64)
    share = torch.histc(w.abs().flatten(), bins=(levels - 1) * BETWEEN, min=0.0, max=1.0).view(-1, BETWEEN) / w.numel()
    found = []
    for number, chosen in enumerate(sets):
        for use in USES:
            key = torch.tensor(stream_key(seed, "weight programming", number, use), dtype=torch.int64)
            search = SplitSearch(moments, chosen, use, nodes, share, compensated, Stream(key, path="search"))
            found.append((*search(), chosen))
    _, splits, chosen = min(found, key=lambda each: each[0])
    states = torch.cat((_mirrored(splits[1:]).flip(0), splits)).T.round(decimals=6)
    common = {"g_max_uS": float(g_max_uS), "g_min_uS": float(g_min_uS)}
    split = structure({"type": "custom_pair", "factors": [*chosen], "conductances": states.tolist(), **common}, ConductanceConverter)
    usual = structure({"type": "n_pair", "factors": [*sets[0]], **common}, ConductanceConverter)
    # Not the draws that the moments were made of.
    errors = [weight_errors(each, model, w, at, compensated=compensated, seed=seed + 1).tolist() for each in (split, usual)]
    return WeightProgramming(split, at, tuple(errors[0]), tuple(errors[1]))


def _mirrored(splits: Tensor) -> Tensor:
    """Return the splits of the negative weights: the devices of each pair exchanged."""
    mirrored: Tensor = splits.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return mirrored


def _weights(weights: Tensor | nn.Module) -> Tensor:
    if isinstance(weights, nn.Module):
        layers = analog_layers(weights, "optimize_weight_programming")
        held = [target.w.flatten() for name, layer in layers.items() for target in targets_of(name, layer)]
        w = torch.cat(held)[None]
    else:
        w = weights.detach() if weights.ndim == 2 else weights.detach().reshape(1, -1)
    w = w.cpu().double()
    if not w.numel() or not bool(torch.isfinite(w).all()) or float(w.abs().max()) > 1.0 + 1e-6 or not bool(w.any()):
        raise ConfigError(f"weights must be finite numbers in [-1, 1], not all 0; these have shape {tuple(w.shape)} and {_range(w)}")
    return w


def _range(w: Tensor) -> str:
    return f"reach from {float(w.min()):g} to {float(w.max()):g}" if w.numel() else "are none"


def _factor_sets(factors: Sequence[float] | Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    given = [*factors]
    sets: list[Any] = given if given and all(isinstance(each, list | tuple) for each in given) else [given]
    for each in sets:
        if not each or any(isinstance(f, bool) or not isinstance(f, int | float) or not 0.0 < f < float("inf") for f in each):
            raise ConfigError(f"'factors' are numbers above 0, one per pair of devices, or several such lists: {shortened(factors)}")
    return [tuple(float(f) for f in each) for each in sets]
