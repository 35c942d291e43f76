"""From settings of single devices to those of their kind: means, and the settings that spread devices."""

from __future__ import annotations

import math

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray

from ohmlet.fitting.population import Population, population
from ohmlet.fitting.residuals import Residuals
from ohmlet.fitting.settings import numeric_settings, setting, with_settings
from ohmlet.fitting.step_model import StepModel
from ohmlet.interfaces.device import Device
from ohmlet_kernels.noise import Stream

__all__ = ["Spreads", "own_settings", "spread_settings", "spreads", "without_spread"]

Array = NDArray[np.float64]

NUDGE = 1e-5


def spread_settings(device: Device) -> dict[str, tuple[str, float]]:
    """Return the settings that state how devices differ: setting -> (cell parameter, spread of that per unit of the setting)."""
    before, out = device.cells(), {}
    for name in numeric_settings(device):
        value = setting(device, name)
        try:
            after = with_settings(device, {name: value + 0.01}).cells()
        except (ValueError, ArithmeticError):
            continue
        moved = [cell for cell in after if cell in before and after[cell].spread != before[cell].spread]
        if len(moved) == 1:
            out[name] = (moved[0], (after[moved[0]].spread - before[moved[0]].spread) / 0.01)
    return out


def without_spread(device: Device) -> Device:
    """Return the nominal device: all settings that spread devices at zero."""
    return with_settings(device, dict.fromkeys(spread_settings(device), 0.0))


class _Cells:
    """What the step of a device reads when its cell parameters are off their means."""

    def __init__(self, model: StepModel, device: Device) -> None:
        self.model, self.device, self.parameters = model, device, device.cells()
        self.names = tuple(self.parameters)

    def inputs(self, off: Array) -> Array:
        """Return the step's inputs with cell parameters this much off their means."""
        one = torch.zeros((1, 1), dtype=torch.float64)
        drawn = {name: self.parameters[name].values(one) + float(by) for name, by in zip(self.names, off, strict=True)}
        cell = self.device.derive(drawn, Stream(torch.tensor(0)).child("fit"))
        made = self.model.inputs(self.device)
        made[: len(self.model.names[0])] = [float(cell[name]) for name in self.model.names[0]]
        return made

    def slopes(self, off: Array | None = None) -> Array:
        """Return the derivatives [inputs, cell parameters] this much off the means."""
        at = np.zeros(len(self.names)) if off is None else off
        columns = []
        for place in range(len(self.names)):
            by = np.zeros(len(self.names))
            by[place] = NUDGE * (abs(float(self.parameters[self.names[place]].mean)) or 1.0)
            columns.append((self.inputs(at + by) - self.inputs(at - by)) / (2 * by[place]))
        return np.stack(columns, 1) if columns else np.zeros((len(self.inputs(at)), 0))


def own_settings(residuals: Residuals, t: Array) -> NDArray[np.bool_]:
    """Return which coordinates [p] devices can have each of their own: a cell parameter, or several, do what the setting does."""
    slopes = residuals.input_slopes(t)
    cells = _Cells(residuals.model, with_settings(residuals.device, residuals.settings(t))).slopes()
    size = np.abs(slopes).max(1, initial=0.0) + np.abs(cells).max(1, initial=0.0)
    scale = 1 / np.where(size > 0, size, 1.0)
    slopes, cells = slopes * scale[:, None], cells * scale[:, None]
    if not cells.shape[1]:
        return np.zeros(len(t), dtype=np.bool_)
    left = slopes - cells @ np.linalg.lstsq(cells, slopes, rcond=1e-9)[0]
    own: NDArray[np.bool_] = np.linalg.norm(left, axis=0) < 1e-4 * np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    return own


@frozen(eq=False)
class Spreads:
    """How devices differ: mean settings, and for each setting that spreads devices what the population says."""

    means: dict[str, Population]
    spreads: dict[str, Population]
    device: Device
    """The kind: nominal settings and spreads."""


def spreads(residuals: Residuals, t: Array, covariance: Array, own: NDArray[np.bool_], spreading: dict[str, tuple[str, float]]) -> Spreads:
    """Return mean and spread over devices of their own settings, at coordinates [B, p] with covariances [B, p, p].

    Each device's settings are turned into the cell parameters that its kind draws, whose distribution the spread is part of.
    """
    coordinates = residuals.coordinates
    values = np.array([[each.value(float(at)) for each, at in zip(coordinates, row, strict=True)] for row in t])
    slopes = np.array([[each.slope(float(at)) for each, at in zip(coordinates, row, strict=True)] for row in t])
    means = {}
    for place, each in enumerate(coordinates):
        if own[place]:
            errors = np.abs(slopes[:, place]) * np.sqrt(covariance[:, place, place])
            known = errors < 3 * max(float(np.abs(values[:, place]).max()), 0.3)
            means[each.path] = population(np.where(known, values[:, place], np.nan), errors)
    usable = {path: made.mean for path, made in means.items() if math.isfinite(made.mean)}
    middle = np.array([each.at(usable.get(each.path, each.value(float(np.median(t[:, place]))))) for place, each in enumerate(coordinates)])
    cells = _Cells(residuals.model, with_settings(residuals.device, residuals.settings(middle)))
    by_cell, nominal = cells.slopes(), residuals.inputs(middle)
    assert nominal is not None
    weight = 1 / np.maximum(np.abs(nominal), 1e-6)

    def inverted(slopes: Array) -> Array:
        """Return the derivatives of cell parameters by inputs."""
        made: Array = np.linalg.pinv(slopes * weight[:, None], rcond=1e-8) * weight
        return made

    inverse = inverted(by_cell)
    # A direction that no input shows belongs to no cell parameter.
    visible = np.abs(np.diag(inverse @ by_cell) - 1) < 1e-4
    drawn, errors = [], []
    for row, covered in zip(t, covariance, strict=True):
        off, wanted = np.zeros(len(cells.names)), residuals.inputs(row)
        assert wanted is not None
        for _ in range(6):
            inverse = inverted(cells.slopes(off))
            off = off + inverse @ (wanted - cells.inputs(off))
        change = inverse @ residuals.input_slopes(row)
        change[:, ~own] = 0.0
        finite = np.where(np.isfinite(covered), covered, 1e6)
        drawn.append(off)
        errors.append(np.sqrt(np.maximum(np.einsum("cp,pq,cq->c", change, finite, change), 0.0)))
    offs, errs = np.array(drawn), np.array(errors)
    made = {}
    for name, (cell, rate) in spreading.items():
        place = cells.names.index(cell)
        if not visible[place] or not (errs[:, place] > 0).any():
            continue
        parameter = cells.parameters[cell]
        middle_value = float(parameter.mean)
        xi, error = offs[:, place], errs[:, place]
        if parameter.distribution == "lognormal":
            xi, error = np.log1p(np.maximum(xi / middle_value, -0.999)), error / np.abs(middle_value + xi)
        elif parameter.distribution == "normal_relative":
            if not middle_value:
                continue
            xi, error = xi / abs(middle_value), error / abs(middle_value)
        found = population(np.where(error < 3, xi, np.nan), error)
        made[name] = Population(
            found.mean, found.mean_std, found.spread / rate, found.spread_low / rate, found.spread_high / rate, found.devices
        )
    widths = {name: found.spread for name, found in made.items() if math.isfinite(found.spread)}
    kind = with_settings(residuals.device, widths)
    # What a cell parameter is with a normal of zero: its mean, or the median of a lognormal.
    typical = np.zeros(len(cells.names))
    for place, cell in enumerate(cells.names):
        parameter, known = cells.parameters[cell], errs[:, place] > 0
        if not visible[place] or not known.any():
            continue
        if parameter.distribution == "lognormal":
            typical[place] = math.expm1(population(np.log1p(np.maximum(offs[:, place], -0.999)), errs[:, place]).mean)
        else:
            typical[place] = population(offs[:, place], errs[:, place]).mean
    return Spreads(means, made, _settled(evolve(residuals, device=kind, known={}), middle, own, cells.inputs(typical)))


def _settled(residuals: Residuals, t: Array, own: NDArray[np.bool_], wanted: Array) -> Device:
    """Return the device whose nominal inputs come nearest to those wanted, from coordinates [p] on, changing its own settings."""
    weight = 1 / np.maximum(np.abs(wanted), 1e-6)
    for _ in range(5 if own.any() else 0):
        here = residuals.inputs(t)
        if here is None:
            break
        slopes = residuals.input_slopes(t)[:, own] * weight[:, None]
        new = t.copy()
        new[own] += np.linalg.lstsq(slopes, (wanted - here) * weight, rcond=1e-8)[0]
        if residuals.inputs(new) is None:
            break
        t = new
    return with_settings(residuals.device, residuals.settings(t))
