"""`ohmlet fit`: a device or noise model from measurements, with a table, a picture and a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ohmlet.fitting import Fit

__all__ = ["fit_command"]


@click.command("fit")
@click.argument("measurements", type=click.Path())
@click.option("--device", "devices", multiple=True, metavar="NAME", help="A device, preset or file of one; several are ranked.")
@click.option("--noise-model", "models", multiple=True, metavar="NAME", help="A noise model, for drift and programming errors.")
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Where a setting starts or stays, such as up_down=0.")
@click.option("--free", metavar="NAMES", help="Settings to fit, separated by commas; all that the step depends on unless given.")
@click.option("--window", metavar="LOW,HIGH", help="Conductances in uS that are weights of -1 and 1; those of the reads unless given.")
@click.option(
    "--estimator", default="filter", show_default=True, type=click.Choice(["filter", "trajectory"]), help="See the documentation."
)
@click.option("--read-noise", type=float, help="Standard deviation of a read where it is known, in uS or as a weight.")
@click.option("--starts", default=8, show_default=True, type=click.IntRange(1, 64), help="Beginnings of the search.")
@click.option("--out", metavar="FILE", help="The spec, .yaml; the picture beside it. MEASUREMENTS.fit.yaml here unless given.")
def fit_command(
    measurements: str,
    devices: Sequence[str],
    models: Sequence[str],
    changes: Sequence[str],
    free: str | None,
    window: str | None,
    estimator: str,
    read_noise: float | None,
    starts: int,
    out: str | None,
) -> None:
    """Fit devices or noise models to MEASUREMENTS, a file of pulse responses, drift or programming errors.

    Writes the spec of the best one, ready for a config, and a picture of measurements and model. Ctrl-C ends the search with what is
    best until then.
    """
    from ohmlet.config.dotted import assignment, with_paths
    from ohmlet.config.structure import structure
    from ohmlet.errors import ConfigError
    from ohmlet.fitting import fit, ranking, read
    from ohmlet.fitting.plot import draw
    from ohmlet.interfaces.device import UnitCell
    from ohmlet.interfaces.noise_model import NoiseModel

    if not devices and not models:
        raise ConfigError("name what to fit: --device soft_bounds, say, or --noise-model pcm")
    target = Path(out) if out else Path(f"{Path(measurements).stem}.fit.yaml")
    if target.suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"--out {target} is no spec: end it in .yaml")
    if not target.parent.is_dir():
        raise ConfigError(f"--out {target}: there is no folder {target.parent}")
    # The command line before the file, which may be wrong as well.
    limits = _pair(window)
    settings = dict(assignment(change) for change in changes)
    kinds: list[tuple[str, Any]] = [*((name, UnitCell) for name in devices), *((name, NoiseModel) for name in models)]
    specs = [(name, structure(with_paths(_content(name), settings), kind, name)) for name, kind in kinds]
    found, fits = read(measurements), []
    with _Progress() as progress:
        for name, spec in specs:
            fits.append(
                fit(
                    found,
                    spec,
                    free=None if free is None else [each.strip() for each in free.split(",") if each.strip()],
                    window=limits,
                    estimator=estimator,
                    read_noise=read_noise,
                    starts=starts,
                    said=lambda words, name=name: progress.say(f"{name}: {words}"),  # type: ignore[misc]
                )
            )
            if fits[-1].interrupted:
                break
    ranked = ranking(fits)
    if len(fits) > 1:
        _show_ranking(ranked)
    best = ranked[0][0]
    _show(best)
    best.save(target)
    picture = target.with_suffix(".png")
    draw(best, picture)
    click.echo(f"written: {target}, {picture}")
    if best.interrupted:
        click.echo("interrupted: these are the best values until then", err=True)


def _content(name: str) -> dict[str, Any]:
    from ohmlet.config import files

    return files.read(name) if Path(name).suffix in files.FORMATS else {"type": name}


def _pair(window: str | None) -> tuple[float, float] | None:
    from ohmlet.errors import ConfigError

    if window is None:
        return None
    try:
        low, high = (float(each) for each in window.split(","))
    except ValueError:
        raise ConfigError(f"--window {window} is no pair of conductances: write two numbers in uS, such as 1,25") from None
    return low, high


class _Progress:
    """One line that is written over, where somebody watches."""

    def __init__(self) -> None:
        import sys

        self.shown, self.stream = sys.stderr.isatty(), sys.stderr

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.shown:
            self.stream.write("\r\x1b[K")

    def say(self, words: str) -> None:
        """Show what is going on."""
        if self.shown:
            self.stream.write(f"\r\x1b[K{words[:100]}")
            self.stream.flush()


def _show(fit: Fit) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{fit.name} fitted to {Path(fit.source).name}", title_justify="left")
    for column in ("setting", "value", "std", "95 % confidence", "note"):
        table.add_column(column, justify="left" if column in {"setting", "note"} else "right", no_wrap=column != "note")
    for each in fit.estimates:
        if each.determined:
            table.add_row(each.name, f"{each.value:.4g}", f"{each.std:.2g}", f"{each.low:.4g} .. {each.high:.4g}", each.note)
        else:
            table.add_row(each.name, "undetermined", "", "", each.why.removeprefix("undetermined").strip(" ;()").replace(");", ";"))
    console = Console()
    console.print(table)
    console.print(", ".join(f"{name} {value:.4g}" for name, value in fit.figures.items()), soft_wrap=True, highlight=False)
    for note in fit.notes:
        console.print(note, soft_wrap=True, highlight=False)


def _show_ranking(ranked: list[tuple[Fit, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="ranking, the best first", title_justify="left")
    for column in ("fitted", "AIC", "above the best", "rmse", "R^2"):
        table.add_column(column, justify="left" if column == "fitted" else "right")
    for each, above in ranked:
        row = (f"{each.figures.get(name, float('nan')):.4g}" for name in ("rmse", "r2"))
        table.add_row(each.name, f"{each.figures['aic']:.1f}", f"{above:.1f}", *row)
    Console().print(table)
