"""A discrete Fourier transform on crossbars whose conductances are off in proportion: what pairs of devices gain over an offset.

    python examples/dft.py

The matrix of a transform has large entries everywhere, so errors in proportion to conductance meet it at its worst. A pair of devices
holds a weight w at |w| of its range; a single device with an offset holds (w + 1)/2, half of the range for a weight of zero, and its error
counts double. The script programs the complex matrix several times for each relative error, compares what the cells hold and a spectrum
that they compute, and draws both. The setting (64 points, relative error 0.25) is that of the tutorial of CrossSim (Sandia National
Laboratories), whose published errors of the weights are 0.216 for pairs and 0.342 for an offset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import ohmlet
from ohmlet.experiment.checkpoint import whole
from ohmlet.experiment.progress import Bars

G_MAX = 25.0
CONVERTERS = {"pair": "single_pair", "offset": "single_device"}
ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.25)


class Errors(NamedTuple):
    """Of one way to hold weights at one relative error of conductances, one number for each programming."""

    weights: list[float]
    """Mean of |W' - W|, where |W| = 1."""
    spectrum: list[float]
    """Norm of the spectrum's error, relative to that of the spectrum."""


def transform(points: int) -> NDArray[np.complex128]:
    """Return the matrix exp(-2 pi i j k / n)."""
    k = np.arange(points)
    return np.asarray(np.exp(-2j * np.pi * np.outer(k, k) / points))


def signal(points: int, seed: int) -> NDArray[np.float64]:
    """Return three tones of unequal size in a little noise."""
    t = np.arange(points) / points
    tones = sum(size * np.sin(2 * np.pi * f * points * t + f) for size, f in ((1.0, 0.11), (0.5, 0.23), (0.25, 0.37)))
    return np.asarray(tones + 0.05 * np.random.default_rng(seed).standard_normal(points))


def config(converter: str, alpha: float) -> dict[str, Any]:
    """Return a crossbar with exact converters whose devices are programmed to g (1 + alpha xi)."""
    return {
        "tile": {
            "type": "inference",
            "conductance_converter": {"type": converter, "g_max_uS": G_MAX, "g_min_uS": 0.0},
            "noise_model": {
                "type": "state_independent",
                "prog_coeff": [0.0, alpha * G_MAX],
                "drift_nu_mean": 0.0,
                "drift_nu_std": 0.0,
                "read_noise_scale": 0.0,
            },
        },
        "mapping": {"scales": "tilewise"},
    }


def measured(points: int, converter: str, alpha: float, seeds: range) -> Errors:
    """Return the errors of so many programmings."""
    matrix, x = transform(points), signal(points, 0)
    exact, errors = np.fft.fft(x), Errors([], [])
    for seed in seeds:
        analog = ohmlet.array(matrix, config(converter, alpha), seed=seed)
        # One of the two copies of each part, as the tutorial compares; A.read() would be their mean.
        cells = analog.cells()[:, :points]
        errors.weights.append(float(np.abs(cells[:points] + 1j * cells[points:] - matrix).mean()))
        errors.spectrum.append(float(np.linalg.norm(analog @ x - exact) / np.linalg.norm(exact)))
    return errors


def draw(found: dict[tuple[str, float], Errors], points: int, path: Path) -> None:
    """Write both errors over alpha, and the spectra at the largest one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name in CONVERTERS:
        alphas = [alpha for each, alpha in found if each == name]
        for kind, style in (("weights", "-"), ("spectrum", "--")):
            values = [getattr(found[name, alpha], kind) for alpha in alphas]
            left.errorbar(alphas, np.mean(values, 1), np.std(values, 1), fmt=f"o{style}", markersize=4, label=f"{name}, {kind}")
        analog = ohmlet.array(transform(points), config(CONVERTERS[name], alphas[-1]), seed=0)
        right.plot(np.abs(analog @ signal(points, 0))[: points // 2], label=f"{name}, alpha {alphas[-1]:g}")
    right.plot(np.abs(np.fft.fft(signal(points, 0)))[: points // 2], "k:", label="exact")
    left.set(xscale="log", yscale="log", xlabel="relative error alpha of a conductance", ylabel="error")
    right.set(xlabel="frequency bin", ylabel="|spectrum|")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as new:
        figure.savefig(new, dpi=120, metadata={"Software": None})


@click.command(help=__doc__.partition("\n")[0])
@click.option("--points", type=click.IntRange(2), default=64, show_default=True, help="Of the transform.")
@click.option("--seeds", type=click.IntRange(1), default=12, show_default=True, help="Programmings of each kind.")
@click.option("--alpha", "alphas", type=float, multiple=True, default=ALPHAS, show_default=True, help="Relative errors.")
@click.option("--plot", type=click.Path(path_type=Path), default=Path("runs/dft.png"), show_default=True, help="Where the plot goes.")
def main(points: int, seeds: int, alphas: tuple[float, ...], plot: Path) -> None:
    """Program the transform with pairs and with an offset, and compare."""
    console, found = Console(), {}
    with Bars(console).stage("programming", len(CONVERTERS) * len(alphas)) as stage:
        for name, converter in CONVERTERS.items():
            for alpha in alphas:
                found[name, alpha] = measured(points, converter, alpha, range(seeds))
                stage.advance()
    table = Table("weights held by", "alpha", "error of weights", "error of the spectrum")
    for (name, alpha), errors in found.items():
        table.add_row(name, f"{alpha:g}", *(f"{np.mean(each):.4f} ± {np.std(each):.4f}" for each in errors))
    console.print(table)
    draw(found, points, plot)
    console.print(f"written: {plot}", highlight=False)


if __name__ == "__main__":
    main()
