"""What a run at circuit level says in numbers: of the programming, of the wires, of what was computed."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ohmlet.circuit import Bias, Lines, Tuned, biased
from ohmlet.circuit.pulsing import voltages
from ohmlet.experiment.circuit import CircuitExperiment
from ohmlet_kernels.crossbar_solve import Power

__all__ = ["Programmed", "crossbar_row", "full_scale", "lost_reading", "lost_writing", "variant_row"]


class Programmed(NamedTuple):
    """A crossbar after programming, as it lies on its lines."""

    name: str
    lines: Lines
    volts: Tensor
    """Of the word lines when all inputs are full scale, [rows]."""
    tuned: Tuned
    stuck: Tensor | None
    """[..., rows, columns]"""


def crossbar_row(programmed: Programmed) -> dict[str, Any]:
    """Return what programming a crossbar took and left."""
    tuned, stuck = programmed.tuned, programmed.stuck
    error = 1e6 * (tuned.read - tuned.target)
    healthy = torch.ones_like(tuned.accepted) if stuck is None else ~stuck.expand_as(tuned.accepted)
    return {
        "crossbar": programmed.name,
        "cells": tuned.g.numel(),
        "word_lines": tuned.g.shape[-2],
        "bit_lines": tuned.g.shape[-1],
        "stuck": int((~healthy).sum()),
        "within_tolerance": float(tuned.accepted.double().mean()),
        "error_rms_uS": float(error.square().mean().sqrt()),
        "error_rms_healthy_uS": float(error[healthy].square().mean().sqrt()) if bool(healthy.any()) else None,
        "sweeps": len(tuned.history) - 1,
        "pulses": int(tuned.pulses.sum()),
        "pulses_per_cell": float(tuned.pulses.double().mean()),
        "pulses_most": int(tuned.pulses.max()),
        "disturbed_uS": 1e6 * float(tuned.disturb.mean()),
        "energy_J": float(tuned.energy.sum()),
        "pulse_time_s": tuned.seconds,
        "conductance_mean_uS": 1e6 * float(tuned.g.mean()),
    }


def reading(programmed: Programmed) -> tuple[Tensor, Power]:
    """Return what cells lack of their word line's voltage, [..., rows, columns], and the power, when all inputs are full scale."""
    lines, g = programmed.lines, programmed.lines.g
    bias = Bias(programmed.volts.expand(g.shape[:-1]), g.new_zeros((*g.shape[:-2], g.shape[-1])))
    v, power, _ = voltages(lines.memristor, g, lines.cell, bias, lines.wires)
    return 1 - v / programmed.volts[:, None], power


def first(t: Tensor) -> Tensor:
    """Return the values [rows, columns] of the first of several crossbars."""
    return t.reshape(-1, *t.shape[-2:])[0]


def lost_reading(programmed: Programmed) -> Tensor:
    """Return the part of the voltage that cells do not see, [rows, columns], when all inputs are full scale; of the first crossbar."""
    return first(reading(programmed)[0])


def lost_writing(programmed: Programmed, experiment: CircuitExperiment) -> Tensor:
    """Return the part of the voltage that cells do not see, [rows, columns], when all cells of their word line are written at once."""
    lines, tuning = programmed.lines, experiment.programming.tuning
    g, cell = first(lines.g), {name: first(value).unsqueeze(-3) for name, value in lines.cell.items()}
    rows = torch.arange(g.shape[-2])
    volts = tuning.start(lines.memristor, up=True)
    bias = biased(tuning.scheme, g.shape[-2], rows, torch.full_like(g, volts))
    v, _, _ = voltages(lines.memristor, g.unsqueeze(-3), cell, bias, lines.wires)
    return 1 - v[rows, rows] / volts


def full_scale(programmed: Programmed) -> dict[str, Any]:
    """Return what a crossbar draws and loses with full scale on all word lines, the most that an input can ask of it."""
    lost, power = reading(programmed)
    return {
        "crossbar": programmed.name,
        "voltage_V": float(programmed.volts.abs().max()),
        "lost_mean": float(lost.mean()),
        "lost_most": float(lost.max()),
        "power_W": float(power.delivered.sum()),
        "power_in_cells_W": float(power.cells.sum()),
    }


def variant_row(name: str, answers: dict[str, Any], labels: Tensor) -> dict[str, Any]:
    """Return a variant's accuracy, and of each layer how far its products are from the exact ones and what factor brings them closest.

    error = |y - w x| / |w x| over all samples and outputs, gain = <y, w x> / <y, y>, and the error of gain y.
    """
    layers = []
    for layer, found in answers["layers"].items():
        got, exact = found["product"].double(), found["exact"].double()
        size = exact.norm()
        gain = (got * exact).sum() / got.square().sum()
        layers.append(
            {
                "layer": layer,
                "error": float((got - exact).norm() / size),
                "gain": float(gain),
                "error_rescaled": float((gain * got - exact).norm() / size),
            }
        )
    right = answers["outputs"].argmax(-1) == labels
    return {"variant": name, "accuracy": int(right.sum()) / len(labels), "layers": layers}
