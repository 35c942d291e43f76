"""`ohmlet plot`: how a device answers pulses, as a picture and a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["plot_command"]

PICTURES = (".png", ".pdf", ".svg")


@click.command("plot")
@click.argument("device")
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change a parameter, such as dw_min=0.002; may be repeated.")
@click.option("--out", metavar="FILE", help="The picture, .png, .pdf or .svg; DEVICE.png here unless given.")
@click.option("--devices", default=24, show_default=True, type=click.IntRange(2, 1000), help="How many devices.")
@click.option("--pulses", type=click.IntRange(8, 1_000_000), help="Pulses in a train; as many as saturate the devices unless given.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the devices and of their noise.")
def plot_command(device: str, changes: Sequence[str], out: str | None, devices: int, pulses: int | None, seed: int) -> None:
    """Draw the pulse response of DEVICE: the name of a device or of a preset, or a file that says `type` and parameters.

    Fresh devices are pulsed up, down, and up and down in turn from both ends of their window, with their spread from device to device
    and from pulse to pulse. Prints what was seen; nothing of it comes from the settings but the stated step.
    """
    from ohmlet.config import files
    from ohmlet.config.dotted import assignment, with_paths
    from ohmlet.config.structure import structure
    from ohmlet.errors import ConfigError
    from ohmlet.experiment.checkpoint import whole
    from ohmlet.interfaces.device import UnitCell
    from ohmlet.response import measure
    from ohmlet.response_plot import draw

    is_file = Path(device).suffix in files.FORMATS
    target = Path(out) if out else Path(f"{Path(device).stem if is_file else device.replace(':', '_')}.png")
    if target.suffix not in PICTURES:
        raise ConfigError(f"--out {target} is no picture: end it in {', '.join(PICTURES)}")
    if not target.parent.is_dir():
        raise ConfigError(f"--out {target}: there is no folder {target.parent}")
    content = files.read(device) if is_file else {"type": device}
    cell = structure(with_paths(content, dict(assignment(change) for change in changes)), UnitCell, device)
    response = measure(cell, devices=devices, pulses=pulses, seed=seed)
    with whole(target) as path:
        draw(response, f"{device}: {', '.join(changes)}" if changes else device, path)
    rows = response.summary()
    width = max(map(len, rows))
    for words, value in rows.items():
        click.echo(f"{words:<{width}}  {value}")
    click.echo("mean ± standard deviation over devices; weights are normalised")
    click.echo(f"written: {target}")
