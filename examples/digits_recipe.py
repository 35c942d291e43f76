"""Chooses the recipe of digits_4x.yaml on validation images, and measures its gain on the test images over several seeds.

    python examples/digits_recipe.py choose     a grid of weight noise and clip, 5 to 10 minutes
    python examples/digits_recipe.py margins    five seeds of both networks, 3 to 4 minutes

`choose` trains on 60 % of the images, looks at a validation fifth, and uses seeds that `margins` does not; the test fifth stays untouched.
Every run is kept below --out, so that either command goes on where Ctrl-C stopped it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ohmlet.experiment.checkpoint import Interrupted
from ohmlet.experiment.progress import Quiet
from ohmlet.experiment.run import Run
from ohmlet.experiment.schema import Experiment

HERE = Path(__file__).parent
NETWORKS: dict[str, dict[str, Any]] = {
    "cnn": {"model": {"type": "cnn", "channels": [8, 16]}},
    "mlp": {"model": {"type": "mlp", "hidden": [64, 64]}},
}
NOISES = (0.2, 0.4, 0.6)
CLIPS = (None, 2.5, 1.5, 1.0)
ONE_YEAR = 365 * 86400.0


def clip_of(sigma: float | None) -> dict[str, Any] | None:
    """Return a clip's settings; None is no clip."""
    return None if sigma is None else {"type": "layer_gaussian", "sigma": sigma}


def at_one_year(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the mean accuracy in % after a year, by variant and training."""
    found: dict[str, dict[str, float]] = {}
    for row in results["accuracy_on_chips"]:
        if row["time_s"] == ONE_YEAR:
            found.setdefault(row["variant"], {})[row["training"]] = 100 * row["mean"]
    return found


def done(jobs: dict[str, dict[str, Any]], out: Path) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    """Run what is left of the jobs, name -> dotted changes, and yield each one's accuracies after a year."""
    for number, (name, changes) in enumerate(jobs.items(), 1):
        began = time.monotonic()
        accuracies = at_one_year(Run.finished(Experiment.load(HERE / "digits_4x.yaml", changes), out / name, Quiet()))
        words = ", ".join(f"{variant} {' '.join(f'{a:.1f}' for a in by.values())}" for variant, by in accuracies.items())
        click.echo(f"[{number}/{len(jobs)}] {name}: {words}  ({time.monotonic() - began:.0f} s)")
        yield name, accuracies


def shortened(epochs: int | None) -> dict[str, Any]:
    """Return the changes that make both trainings `epochs` long."""
    return {} if epochs is None else {f"training.{phase}.epochs": epochs for phase in ("digital", "hardware_aware")}


def choices(networks: tuple[str, ...], seeds: tuple[int, ...], epochs: int | None) -> dict[str, dict[str, Any]]:
    """Return the grid: choose/RECIPE/NETWORK_SEED -> what differs from digits_4x.yaml."""
    jobs = {}
    for noise in NOISES:
        for sigma in CLIPS:
            recipe = f"weight_noise_{noise:g}_clip_{'none' if sigma is None else f'{sigma:g}_sigma'}"
            for network in networks:
                for seed in seeds:
                    jobs[f"choose/{recipe}/{network}_{seed}"] = {
                        **NETWORKS[network],
                        **shortened(epochs),
                        "seed": seed,
                        "data.validation_fraction": 0.2,
                        "evaluation.on": "validation",
                        "evaluation.instances": 10,
                        "evaluation.times": ["1 year"],
                        "evaluation.direct": False,
                        "hardware.tile.training.modifier.std": noise,
                        "hardware.tile.training.clip": clip_of(sigma),
                    }
    return jobs


def repetitions(networks: tuple[str, ...], seeds: tuple[int, ...], epochs: int | None) -> dict[str, dict[str, Any]]:
    """Return digits_4x.yaml once for each network and seed: margins/NETWORK_SEED -> what differs."""
    return {f"margins/{n}_{seed}": {**NETWORKS[n], **shortened(epochs), "seed": seed} for n in networks for seed in seeds}


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else math.nan
    return mean, spread / math.sqrt(len(values))


@click.group(help=__doc__.partition("\n")[0])
def main() -> None:
    """Hold the two commands."""


out_option = click.option("--out", type=click.Path(path_type=Path), default=Path("runs/digits_recipe"), show_default=True)
network_option = click.option("--network", "networks", type=click.Choice(tuple(NETWORKS)), multiple=True, default=tuple(NETWORKS))
epochs_option = click.option("--epochs", type=click.IntRange(1), default=None, help="Of both trainings, to try the script out.")


@main.command()
@out_option
@network_option
@epochs_option
@click.option("--seed", "seeds", type=int, multiple=True, default=(100, 101), show_default=True)
def choose(out: Path, networks: tuple[str, ...], epochs: int | None, seeds: tuple[int, ...]) -> None:
    """Try the grid on the validation images and print the recipes, best first."""
    scores: dict[str, list[float]] = {}
    for name, accuracies in done(choices(networks, seeds, epochs), out):
        scores.setdefault(name.partition("/")[2].rpartition("/")[0], []).extend(by["hardware_aware"] for by in accuracies.values())
    click.echo("\nvalidation accuracy after a year in %, mean over networks, noises and seeds")
    for recipe, values in sorted(scores.items(), key=lambda item: -sum(item[1])):
        click.echo(f"  {recipe:30}  {sum(values) / len(values):.1f}")


@main.command()
@out_option
@network_option
@epochs_option
@click.option("--seed", "seeds", type=int, multiple=True, default=(0, 1, 2, 3, 4), show_default=True)
def margins(out: Path, networks: tuple[str, ...], epochs: int | None, seeds: tuple[int, ...]) -> None:
    """Repeat digits_4x.yaml with several seeds and print what hardware-aware training gains on the test images."""
    found = dict(done(repetitions(networks, seeds, epochs), out))
    click.echo(f"\ntest accuracy after a year in %, mean and standard error of {len(seeds)} seeds")
    for network in networks:
        runs = [found[f"margins/{network}_{seed}"] for seed in seeds]
        for variant in runs[0]:
            direct, aware = ([run[variant][training] for run in runs] for training in ("direct", "hardware_aware"))
            gains = [a - d for a, d in zip(aware, direct, strict=True)]
            columns = "  ".join(
                f"{words} {mean:5.1f} ± {error:.1f}"
                for words, (mean, error) in zip(("direct", "hw-aware", "gain"), map(mean_and_error, (direct, aware, gains)), strict=True)
            )
            click.echo(f"  {network} {variant}: {columns}, each seed {', '.join(f'{gain:+.1f}' for gain in gains)}")


if __name__ == "__main__":
    try:
        main()
    except Interrupted:
        click.echo("stopped; the same command goes on from here")
        sys.exit(130)
