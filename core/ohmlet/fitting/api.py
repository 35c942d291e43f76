"""`fit`: measurements in, a spec with the confidence of its parameters out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.fitting.drift import fit_drift
from ohmlet.fitting.measurements import DriftTraces, Measurements, ProgrammingErrors, PulseTraces, read
from ohmlet.fitting.programming import fit_programming
from ohmlet.fitting.pulses import fit_pulses
from ohmlet.fitting.result import Fit
from ohmlet.interfaces.device import Device, UnitCell
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.registry import registry

__all__ = ["fit", "ranking"]


def spec_of(given: Any) -> Device | NoiseModel:
    """Return a device or noise model given as an object, a name or a mapping; raises ConfigError for anything else.

    A name that both a device and a noise model have must be given as an object.
    """
    if isinstance(given, Device | NoiseModel):
        return given
    name = given if isinstance(given, str) else given.get("type") if isinstance(given, Mapping) else None
    if isinstance(name, str) and name in registry("noise_model"):
        return structure(given, NoiseModel, "noise model")
    made = structure(given, UnitCell, "device")
    if not isinstance(made, Device):
        raise ConfigError(f"{name} is made of several devices or takes no pulses: fit the device that it is made of")
    return made


def fit(
    measurements: Measurements | str | Path,
    device: Any,
    *,
    free: Sequence[str] | Mapping[str, tuple[float, float, float]] | None = None,
    window: tuple[float, float] | None = None,
    estimator: str = "filter",
    read_noise: float | None = None,
    starts: int = 8,
    said: Callable[[str], None] = lambda words: None,
) -> Fit:
    """Return a device or noise model fitted to measurements, with confidence and goodness of fit.

    `measurements` are what `ohmlet.fitting.read` returns, or the path of a file. `device` is a device or noise model as an object, a name
    or a mapping; its settings are where the search starts, and stay where the measurements do not tell them. For pulse responses:

    free        settings to look for, or a mapping of each to (start, lowest, highest); all that the step depends on unless given
    window      conductances [uS] that are weights of -1 and 1; the smallest and the largest that was read unless given
    estimator   filter: noise of steps and of reads told apart by a Kalman filter; trajectory: least squares of noise-free trajectories
                from the first read, which takes all scatter for noise of reads
    read_noise  standard deviation of a read where it is known, in the unit of the reads
    starts      how many beginnings of the search, of each of two kinds

    Ctrl-C ends the search with what was best until then. Raises ConfigError for measurements or settings that make no sense together.
    """
    found = measurements if not isinstance(measurements, str | Path) else read(measurements)
    spec = spec_of(device)
    if not isinstance(found, PulseTraces):
        given = {"free": free, "read_noise": read_noise, "estimator": None if estimator == "filter" else estimator}
        for name, value in given.items():
            if value is not None:
                raise ConfigError(f"{name} has no effect on {type(found).__name__}, which are no pulse responses: leave it out")
    if isinstance(found, PulseTraces):
        if not isinstance(spec, Device):
            raise ConfigError(f"{found.source} holds pulse responses, which noise models say nothing of: name a device")
        return fit_pulses(found, spec, free=free, window=window, estimator=estimator, read_noise=read_noise, starts=starts, said=said)
    if isinstance(found, DriftTraces):
        if window is not None and isinstance(spec, NoiseModel):
            raise ConfigError("window has no effect on a noise model, whose conductances are in uS: leave it out")
        return fit_drift(found, spec, window=window)
    assert isinstance(found, ProgrammingErrors)
    if not isinstance(spec, NoiseModel):
        raise ConfigError(f"{found.source} holds programming errors, which belong to a noise model: name one with prog_coeff, such as pcm")
    if window is not None:
        raise ConfigError("window has no effect on programming errors, whose conductances are in uS: leave it out")
    return fit_programming(found, spec)


def ranking(fits: Sequence[Fit]) -> list[tuple[Fit, float]]:
    """Return fits to the same measurements, the most credible first, each with what its AIC is above the best.

    Source: Akaike, IEEE Trans. Autom. Control 19, 716 (1974), doi:10.1109/TAC.1974.1100705.
    """
    order = sorted(fits, key=lambda each: each.figures["aic"])
    best = order[0].figures["aic"]
    return [(each, each.figures["aic"] - best) for each in order]
