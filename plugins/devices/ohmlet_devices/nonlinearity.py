"""The nonlinearity label of pulse responses, the shape that it stands for, and the linear steps that retrace it, exactly."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.errors import ConfigError

__all__ = ["LARGEST_LABEL", "LinearSteps", "label_of_shape", "labels_of_steps", "linear_steps", "shape_of_label", "shapes_of_labels"]

PER_DEVIATION = 10.10152
"""Label per largest deviation of the normalised curve from a straight line, as published tables have it."""

LARGEST_LABEL = 9.5
"""Beyond it a single pulse covers almost the whole range."""

LINEAR = 1e-3
"""Labels below it: the deviation is that of a parabola, 1 / (8 A), to more digits than a difference of large numbers has."""

STRAIGHT = 1e-9
"""Labels below it are none: the response is a straight line."""

SHAPES = (9e-3, 2e3)
"""Between these lie the shapes of all labels from LINEAR to LARGEST_LABEL."""


class LinearSteps(NamedTuple):
    """Steps up `dw_up (1 - gamma_up w)` and down `dw_down (1 + gamma_down w)` of a weight w in [-1, 1]."""

    dw_up: float
    gamma_up: float
    dw_down: float
    gamma_down: float


def label_of_shape(shape: float) -> float:
    """Return the size of the label of a response with shape A.

    A train of P pulses leads from one end of the range, g = 0, to the other, g = 1, on the curve

        g(p) = (1 - exp(-x / A)) / (1 - exp(-1 / A)),  x = p / P

    and the label is 10.10152 max_x |g(x) - x| = 10.10152 (B - A + A ln(A / B)), B = 1 / (1 - exp(-1 / A)). Raises ConfigError for a
    shape that is not positive. Source: Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """
    if not shape > 0:
        raise ConfigError(f"shape = {shape!r} of a pulse response must be positive: a straight line is the limit of a large one")
    if shape > SHAPES[1]:
        return PER_DEVIATION / (8 * shape)
    height = -1 / math.expm1(-1 / shape)
    return PER_DEVIATION * (height - shape + shape * math.log(shape / height))


def shapes_of_labels(labels: Tensor) -> Tensor:
    """Return the shapes A of the sizes of labels, float64, infinite for a straight line; labels beyond `LARGEST_LABEL` count as that."""
    size = labels.to(torch.float64).abs().clamp_max(LARGEST_LABEL)
    low, high = (torch.full_like(size, math.log(end)) for end in SHAPES)
    for _ in range(60):
        middle = (low + high) / 2
        shape = middle.exp()
        height = -1 / torch.expm1(-1 / shape)
        above = PER_DEVIATION * (height - shape + shape * (shape / height).log()) > size
        low, high = middle.where(above, low), high.where(above, middle)
    shape = torch.where(size < LINEAR, PER_DEVIATION / (8 * size), ((low + high) / 2).exp())
    return torch.where(size < STRAIGHT, math.inf, shape)


def shape_of_label(label: float) -> float:
    """Return the shape A of a label, whose sign does not matter; infinite for 0. Raises ConfigError beyond `LARGEST_LABEL`."""
    if not abs(label) <= LARGEST_LABEL:
        raise ConfigError(f"label {label!r} is none of a pulse response: they lie within +-{LARGEST_LABEL:g}")
    return float(shapes_of_labels(torch.tensor(label, dtype=torch.float64)))


def linear_steps(nl_up: float, nl_down: float, pulses_up: float, pulses_down: float) -> LinearSteps:
    """Return the steps whose trains of that many pulses lead from -1 to 1 and back on curves of these labels.

    Positive `nl_up`, and a negative `nl_down`, start fast and slow down, as soft bounds do; a positive `nl_down` retraces a
    curve up of the same label, slow at the top, and makes `gamma_down` negative. Raises ConfigError for labels beyond
    `LARGEST_LABEL`, a negative `nl_up`, or trains of less than one pulse.
    """
    if nl_up < 0:
        raise ConfigError(
            f"nl_up = {nl_up:g} is negative: labels of pulses up are positive, the sign of nl_down tells the two ways down apart"
        )
    for name, pulses in (("pulses_up", pulses_up), ("pulses_down", pulses_down)):
        if not pulses >= 1:
            raise ConfigError(f"{name} = {pulses!r} must be at least 1")
    up, down = _steps(nl_up, pulses_up, retraces=False), _steps(nl_down, pulses_down, retraces=nl_down > 0)
    return LinearSteps(*up, *down)


def _steps(label: float, pulses: float, *, retraces: bool) -> tuple[float, float]:
    shape = shape_of_label(label)
    if math.isinf(shape):
        return 2 / pulses, 0.0
    # 2 B - 1 = coth(1 / (2 A)).
    width = 1 / math.tanh(1 / (2 * shape))
    part = math.expm1(1 / (shape * pulses)) if retraces else -math.expm1(-1 / (shape * pulses))
    return part * width, (-1 if retraces else 1) / width


def labels_of_steps(steps: LinearSteps) -> tuple[float, float, float, float]:
    """Return nl_up, nl_down, pulses_up and pulses_down of linear steps over [-1, 1]: the inverse of `linear_steps`.

    Raises ConfigError for steps that are not positive, |gamma| of 1 and more, which never lead from end to end, and steps up that grow.
    """
    if steps.gamma_up < 0:
        raise ConfigError(f"gamma_up = {steps.gamma_up:g}: steps up that grow have no label")
    (nl_up, pulses_up), (nl_down, pulses_down) = _label(steps.dw_up, steps.gamma_up), _label(steps.dw_down, steps.gamma_down)
    return nl_up, math.copysign(nl_down, -steps.gamma_down), pulses_up, pulses_down


def _label(dw: float, gamma: float) -> tuple[float, float]:
    if not dw > 0:
        raise ConfigError(f"a step of {dw!r} at w = 0 leads nowhere: it must be positive")
    if not abs(gamma) < 1:
        raise ConfigError(f"gamma = {gamma!r}: steps that vanish within the range never lead from end to end")
    if gamma == 0:
        return 0.0, 2 / dw
    shape, part = 1 / (2 * math.atanh(abs(gamma))), dw * abs(gamma)
    return label_of_shape(shape), 1 / (shape * (-math.log1p(-part) if gamma > 0 else math.log1p(part)))
