"""The picture of a fit: measurements with the model, device by device, and what is left over."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ohmlet.errors import ConfigError
from ohmlet.fitting.result import Curve, Fit

__all__ = ["draw"]

MOST = 12
"""Devices that get a picture of their own."""

MARK = "ohmlet fit"
"""What a picture says of where it comes from, in its metadata; a later fit may overwrite it."""


def _panel(axis: Any, curve: Curve, fit: Fit) -> None:
    axis.plot(curve.x, curve.measured, ".", color="tab:blue", markersize=3, alpha=0.6, label="measured")
    axis.plot(curve.x, curve.model, color="tab:orange", linewidth=1.4, label="model")
    axis.set_title(curve.title if len(fit.curves) == 1 else f"device {curve.title}", fontsize="small")
    axis.set_xlabel(fit.axes[0], fontsize="small")
    axis.set_ylabel(fit.axes[1], fontsize="small")
    if fit.axes[0].startswith("time"):
        axis.set_xscale("log")


def _overwritable(path: Path) -> None:
    if path.exists() and MARK.encode() not in path.read_bytes():
        raise ConfigError(f"{path} is there and was not drawn by a fit: choose another name, or move it away")


def draw(fit: Fit, path: str | Path) -> None:
    """Write the picture of a fit to a .png file; raises ConfigError for another ending or a file that no fit drew."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix != ".png":
        raise ConfigError(f"{path}: the picture of a fit ends in .png")
    _overwritable(path)
    shown = fit.curves[:MOST]
    columns = min(len(shown) + 1, 4)
    rows = math.ceil((len(shown) + 1) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, curve in zip(axes, shown, strict=False):
        _panel(axis, curve, fit)
    axes[0].legend(fontsize="small")
    left = axes[len(shown)]
    for curve in shown:
        left.plot(curve.x, curve.residual, ".", markersize=2, alpha=0.5)
    for sigma in (-2, 0, 2):
        left.axhline(sigma, color="grey", linewidth=0.6, linestyle="-" if sigma == 0 else ":")
    reach = max(
        (float(np.nanmax(np.abs(curve.residual), initial=0.0)) for curve in shown if np.isfinite(curve.residual).any()), default=0.0
    )
    left.set_ylim(-max(4.0, 1.05 * reach), max(4.0, 1.05 * reach))
    left.set_title("residuals in units of their spread", fontsize="small")
    left.set_xlabel(fit.axes[0], fontsize="small")
    for axis in axes[len(shown) + 1 :]:
        axis.set_axis_off()
    for axis in axes[: len(shown) + 1]:
        axis.grid(alpha=0.3)
    more = f", {MOST} of {len(fit.curves)} devices" if len(fit.curves) > MOST else ""
    figure.suptitle(f"{fit.name} fitted to {Path(fit.source).name}{more}")
    new = path.with_name(f"{path.stem}.new.png")
    figure.savefig(new, dpi=110, metadata={"Software": None, "Description": MARK})
    new.replace(path)
