"""`ohmlet explain`: a config as the equations it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["explain_command", "settings"]

settings = click.option(
    "--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change a value, such as tile.forward.adc.bits=6; may be repeated."
)


@click.command("explain")
@click.argument("config")
@settings
def explain_command(config: str, changes: Sequence[str]) -> None:
    """Print CONFIG (a file, an experiment's file, or a preset's name) as equations with its values and units.

    Of a comparison, every variant is printed; of a sweep, what it starts from.
    """
    from ohmlet.config import files
    from ohmlet.config.analog import AnalogConfig, load_config
    from ohmlet.config.dotted import assignment, with_paths
    from ohmlet.experiment.comparison import Comparison
    from ohmlet.experiment.schema import is_experiment
    from ohmlet.experiment.sweep import Swept, load
    from ohmlet.explanation import explain

    paths = dict(assignment(change) for change in changes)
    if Path(config).suffix:
        content = files.read(config)
        if is_experiment(content):
            found = load(config, paths)
            experiment = found.base if isinstance(found, Swept) else found
            if not isinstance(experiment, Comparison):
                click.echo(explain(experiment.hardware))
                return
            for variant in experiment.compare:
                click.echo(f"variant {variant}\n{explain(experiment.of(variant))}\n")
            return
        click.echo(explain(AnalogConfig.parse(with_paths(content, paths), config)))
        return
    click.echo(explain(load_config(config).override(paths)))
