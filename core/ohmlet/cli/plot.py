"""`ohmlet plot`: how a device answers pulses, as a picture and a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ohmlet.interfaces.device import UnitCell

__all__ = ["plot_command"]

PICTURES = (".png", ".pdf", ".svg")


@click.command("plot")
@click.argument("device")
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change a parameter, such as dw_min=0.002; may be repeated.")
@click.option("--out", metavar="FILE", help="The picture, .png, .pdf or .svg; DEVICE.png here unless given.")
@click.option("--devices", default=24, show_default=True, type=click.IntRange(2, 1000), help="How many devices.")
@click.option("--sweep", "swept", metavar="LOW:HIGH", help="Draw the hysteresis of a memristor between two voltages; 'auto' for its own.")
@click.option("--period", type=float, help="Seconds of one cycle of the sweep; 400 times the width of a set pulse unless given.")
@click.option("--cycles", type=click.IntRange(1, 1000), help="Cycles of the sweep; 2 unless given.")
@click.option(
    "--pulses-at", "trains", multiple=True, metavar="VOLTS:SECONDS[:COUNT]", help="Draw a train of pulses of a memristor; may be repeated."
)
@click.option("--start", "start", type=float, metavar="uS", help="Conductance that a memristor starts at; mid-window unless given.")
@click.option("--pulses", type=click.IntRange(8, 1_000_000), help="Pulses in a train; as many as saturate the devices unless given.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the devices and of their noise.")
def plot_command(
    device: str,
    changes: Sequence[str],
    out: str | None,
    devices: int,
    swept: str | None,
    period: float | None,
    cycles: int | None,
    trains: Sequence[str],
    start: float | None,
    pulses: int | None,
    seed: int,
) -> None:
    """Draw the pulse response of DEVICE: the name of a device or of a preset, or a file that says `type` and parameters.

    Fresh devices are pulsed up, down, and up and down in turn from both ends of their window, with their spread from device to device
    and from pulse to pulse. Prints what was seen; nothing of it comes from the settings but the stated step. With --sweep or --pulses-at
    a memristor is driven by voltages instead.
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
    title = f"{device}: {', '.join(changes)}" if changes else device
    rows, ending = _voltages(cell, target, title, swept, period, cycles, trains, start, pulses, devices, seed), ""
    if rows is None:
        response = measure(cell, devices=devices, pulses=pulses, seed=seed)
        with whole(target) as path:
            draw(response, title, path)
        rows, ending = response.summary(), "; weights are normalised"
    width = max(map(len, rows))
    for words, value in rows.items():
        click.echo(f"{words:<{width}}  {value}")
    click.echo(f"mean ± standard deviation over devices{ending}")
    click.echo(f"written: {target}")


def _voltages(
    cell: UnitCell,
    target: Path,
    title: str,
    swept: str | None,
    period: float | None,
    cycles: int | None,
    trains: Sequence[str],
    start: float | None,
    pulses: int | None,
    devices: int,
    seed: int,
) -> dict[str, str] | None:
    """Draw a sweep or trains and return the table; None when neither is asked for."""
    from ohmlet import voltage_plot, voltage_response
    from ohmlet.errors import ConfigError
    from ohmlet.experiment.checkpoint import whole

    for option, given, needs, there in (
        ("--period", period, "--sweep", swept),
        ("--cycles", cycles, "--sweep", swept),
        ("--start", start, "--sweep or --pulses-at", swept or trains),
    ):
        if given is not None and not there:
            raise ConfigError(f"{option} has no effect without {needs}: give both or neither")
    if not swept and not trains:
        return None
    if swept and trains:
        raise ConfigError("--sweep and --pulses-at are two pictures: draw them one after the other")
    if pulses is not None:
        raise ConfigError("--pulses is for trains of write pulses; say how many after the second colon of --pulses-at")
    found: voltage_response.Sweep | voltage_response.Trains
    if swept:
        low, high = (None, None) if swept == "auto" else _numbers("--sweep", swept, 2, 2)
        found = voltage_response.sweep(
            cell, low=low, high=high, period=period, cycles=2 if cycles is None else cycles, devices=devices, start_uS=start, seed=seed
        )
        with whole(target) as path:
            voltage_plot.draw_sweep(found, title, path)
    else:
        made = []
        for each in trains:
            volts, seconds, count = (*_numbers("--pulses-at", each, 2, 3), 50.0)[:3]
            made.append(voltage_response.Train(volts=volts, seconds=seconds, count=int(count)))
        found = voltage_response.trains(cell, made, devices=devices, start_uS=start, seed=seed)
        with whole(target) as path:
            voltage_plot.draw_trains(found, title, path)
    return found.summary()


def _numbers(option: str, words: str, least: int, most: int) -> tuple[float, ...]:
    """Return the numbers between colons; raises ConfigError for anything else."""
    from ohmlet.errors import ConfigError

    try:
        found = tuple(float(word) for word in words.split(":"))
    except ValueError:
        found = ()
    if not least <= len(found) <= most:
        example = "-1.2:1.0" if most == 2 else "1.0:5e-4:50"
        raise ConfigError(
            f"{option} {words} is not {least}{'' if least == most else f' or {most}'} numbers with colons between: such as {example}"
        )
    return found
