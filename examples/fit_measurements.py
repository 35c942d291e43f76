"""From a bench to a config: reads of eight ReRAM-like devices as a CSV, soft bounds and exponential steps fitted to them, and ranked.

The devices are simulated here: soft bounds that differ from device to device, reads with noise, one read in ten missed.
"""

from __future__ import annotations

import csv
from pathlib import Path

import click
import numpy as np

from ohmlet.fitting import fit, ranking, read

COLUMNS = ("device", "pulse", "direction", "conductance_uS")


def measure(path: Path, devices: int, pulses: int) -> None:
    """Write the reads of devices that are pulsed up and down."""
    random = np.random.default_rng(1)
    rows: list[tuple[object, ...]] = []
    for device in range(devices):
        up, down = 0.03 * (1 + 0.2 * random.normal()) * np.array([1.1, 0.9])
        top, bottom = 1 + 0.15 * random.normal(), -1 + 0.15 * random.normal()
        w = -0.5
        for pulse in range(2 * pulses + 1):
            rising = pulse <= pulses
            if pulse:
                step = up * (1 - w / top) if rising else -down * (1 - w / bottom)
                w = min(max(w + step * (1 + 0.3 * random.normal()), bottom), top)
            seen = f"{20 + 10 * (w + 0.02 * random.normal()):.4f}" if pulse == 0 or random.random() > 0.1 else ""
            rows.append((f"D{device + 1}", pulse, "" if not pulse else "up" if rising else "down", seen))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


@click.command()
@click.option("--devices", default=8, show_default=True, type=click.IntRange(2), help="How many devices.")
@click.option("--pulses", default=120, show_default=True, type=click.IntRange(10), help="Pulses up, and then down.")
@click.option("--out", default="runs/fit_measurements", show_default=True, type=click.Path(path_type=Path), help="Folder of the results.")
def main(devices: int, pulses: int, out: Path) -> None:
    """Write measurements, fit two devices to them, and print what came out; the true values are beside it."""
    from ohmlet.fitting.plot import draw

    out.mkdir(parents=True, exist_ok=True)
    measure(out / "measurements.csv", devices, pulses)
    found = read(out / "measurements.csv")
    fits = [fit(found, name, window=(10.0, 30.0), starts=2) for name in ("soft_bounds", "constant_step")]
    for each, above in ranking(fits):
        click.echo(f"{each.name:<14} AIC {each.figures['aic']:9.1f}  ({above:.1f} above the best)  rmse {each.figures['rmse']:.4f}")
    best = ranking(fits)[0][0]
    true = {"dw_min": 0.03, "up_down": 0.1, "w_max": 1, "w_min": -1, "dw_min_dtod": 0.2, "w_max_dtod": 0.15, "dw_min_std": 0.3}
    for estimate in best.estimates:
        click.echo(f"{estimate}{f'   true: {true[estimate.name]:g}' if estimate.name in true else ''}")
    best.save(out / "device.yaml")
    draw(best, out / "device.png")
    click.echo(f"written: {out / 'device.yaml'}, {out / 'device.png'}")


if __name__ == "__main__":
    main()
