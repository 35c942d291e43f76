"""Which of a thousand random processes are correlated? Phase-change devices find out by accumulating pulses.

    python examples/correlation.py

Each process is one device. At every time step a device whose process fires gets set pulses, the more the more processes fire at the same
time, above a threshold: the collective momentum. Devices of correlated processes are up when the momentum is large, so they crystallise
further, and the answer is read off the conductances; nothing else is stored. Sebastian et al., Nat. Commun. 8, 1115 (2017),
doi:10.1038/s41467-017-01481-9.

The paper gives one pulse whose amplitude is the momentum, and a device melts or crystallises only above a threshold; here the mean number
of equal pulses is the momentum above a threshold. The devices' steps, spread, noise and saturation are those of the preset, a few steps
of unequal size from one end to the other: coarse, as the exact sums beside them show.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import ohmlet
from ohmlet.experiment.checkpoint import whole
from ohmlet.experiment.progress import Bars

Values = NDArray[np.float64]


class Found(NamedTuple):
    """What has been accumulated, for each process."""

    exact: Values
    """The sum over time of X_j max(M - threshold, 0), worked out in float64."""
    devices: Values
    """What the devices hold, the mean of a process's own."""


def processes(count: int, correlated: int, c: float, rate: float, steps: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return binary processes [steps, count] of one rate, the first `correlated` of them with correlation coefficient c.

    These follow a hidden process R: they fire with probability p + sqrt(c) (1 - p) where it does and p (1 - sqrt(c)) where it does not.
    """
    hidden = rng.random(steps) < rate
    root = np.sqrt(c)
    following = np.where(hidden, rate + root * (1 - rate), rate * (1 - root))
    probability = np.full((steps, count), rate)
    probability[:, :correlated] = following[:, None]
    return rng.random((steps, count)) < probability


def accumulate(x: NDArray[np.bool_], device: str, copies: int, threshold: float, gain: float, seed: int, bars: Bars) -> Found:
    """Return what devices and digital sums make of processes x [steps, count]; `gain` is the weight that each excess process adds."""
    steps, count = x.shape
    pulsed = {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": device}}
    held = ohmlet.array(np.zeros((copies, count)), {"tile": pulsed}, seed=seed)
    total = x.sum(1)
    momentum = np.maximum(total - total.mean() - threshold * total.std(), 0.0)
    with bars.stage("time steps", steps) as stage:
        for firing, m in zip(x, momentum, strict=True):
            if m > 0:
                held.add_outer(np.full(copies, gain * m), firing)
            stage.advance()
    return Found(momentum @ x, held.read().mean(0))


def told_apart(values: Values, correlated: int) -> float:
    """Return the probability that a correlated process has a larger value than another one (the area under the ROC curve)."""
    yes, no = values[:correlated, None], values[correlated:]
    return float(((yes > no) + 0.5 * (yes == no)).mean())


def draw(found: Found, correlated: int, path: Path) -> None:
    """Write histograms of the devices' states, and the states over the exact sums."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    bins = np.linspace(found.devices.min(), found.devices.max(), 40)
    for name, part in (("uncorrelated", slice(correlated, None)), ("correlated", slice(correlated))):
        left.hist(found.devices[part], bins, alpha=0.6, density=True, label=name)
        right.plot(found.exact[part], found.devices[part], ".", markersize=3, alpha=0.6, label=name)
    left.set(xlabel="state of the device (normalised)", ylabel="density")
    right.set(xlabel="exact sum", ylabel="state of the device (normalised)")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as new:
        figure.savefig(new, dpi=120, metadata={"Software": None})


@click.command(help=__doc__.partition("\n")[0])
@click.option("--count", type=click.IntRange(2), default=1000, show_default=True, help="Processes.")
@click.option("--correlated", type=click.IntRange(1), default=100, show_default=True, help="Of them.")
@click.option("--coefficient", type=click.FloatRange(0.0, 1.0), default=0.1, show_default=True, help="Correlation of each pair of these.")
@click.option("--rate", type=click.FloatRange(0.0, 1.0), default=0.05, show_default=True, help="Probability that a process fires.")
@click.option("--steps", type=click.IntRange(1), default=600, show_default=True, help="Of time.")
@click.option("--device", default="pcm", show_default=True, help="A device or preset with pulses.")
@click.option("--copies", type=click.IntRange(1), default=1, show_default=True, help="Devices for each process, read as their mean.")
@click.option("--threshold", type=float, default=1.0, show_default=True, help="Of the momentum above its mean, in standard deviations.")
@click.option("--gain", type=float, default=0.01, show_default=True, help="Weight that each process above the threshold adds.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--plot", type=click.Path(path_type=Path), default=Path("runs/correlation.png"), show_default=True, help="Where the plot goes."
)
def main(
    count: int,
    correlated: int,
    coefficient: float,
    rate: float,
    steps: int,
    device: str,
    copies: int,
    threshold: float,
    gain: float,
    seed: int,
    plot: Path,
) -> None:
    """Accumulate, then tell correlated and uncorrelated processes apart."""
    if correlated >= count:
        raise click.BadParameter(f"{correlated} of {count} processes leave no uncorrelated one", param_hint="--correlated")
    console = Console()
    x = processes(count, correlated, coefficient, rate, steps, np.random.default_rng(seed))
    found = accumulate(x, device, copies, threshold, gain, seed, Bars(console))
    for name, values in (("exact sums", found.exact), ("devices", found.devices)):
        yes, no = values[:correlated], values[correlated:]
        largest = np.argsort(values)[-correlated:]
        console.print(
            f"{name:10} correlated {yes.mean():.3g} ± {yes.std():.2g}, others {no.mean():.3g} ± {no.std():.2g}; told apart "
            f"{told_apart(values, correlated):.1%}; of the {correlated} largest {np.mean(largest < correlated):.1%} are correlated",
            highlight=False,
            soft_wrap=True,
        )
    draw(found, correlated, plot)
    console.print(f"written: {plot}", highlight=False)


if __name__ == "__main__":
    main()
