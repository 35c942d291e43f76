"""Settings of a tile that would do nothing beside its other ones."""

from __future__ import annotations

from ohmlet.errors import ConfigError
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.registry import registry

__all__ = ["check_uncoded", "check_undriven"]

UNPULSED = (PulsedUpdate(), PulsedUpdate(pulse_type="none"))
"""What `update` may be where nothing is pulsed: left out, or saying so."""


def check_undriven(noise_model: NoiseModel | None, compensation: DriftCompensation) -> None:
    """Raise ConfigError for a drift compensation where nothing drifts."""
    if noise_model is None and (name := registry(compensation.kind).name_of(type(compensation))) != "none":
        raise ConfigError(
            f"drift_compensation {name} has no effect without a noise_model, which says what drifts: add one, for example "
            "noise_model: pcm, or set drift_compensation to none"
        )


def check_uncoded(update: PulsedUpdate, algorithm: UpdateAlgorithm) -> None:
    """Raise ConfigError for pulses of updates that no cell takes."""
    if update not in UNPULSED and not algorithm.pulsed:
        cells = ", ".join(dict.fromkeys(registry(cell.kind).name_of(type(cell)) for cell in algorithm.arrays().values()))
        raise ConfigError(
            f"tile.update has no effect: updates of {registry(algorithm.kind).name_of(type(algorithm))} with cells {cells} are exact sums "
            "and no pulses; leave it out, or take a device with steps, such as soft_bounds"
        )
