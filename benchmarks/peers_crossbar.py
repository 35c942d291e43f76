"""The peers of benchmarks/crossbar.py, in an environment of their own: they solve the crossbar that each line of JSON names."""

from __future__ import annotations

import json
import logging
import sys
import time

import badcrossbar
import numpy as np

GAMMA = {64: 1.0, 128: 0.6, 256: 0.22, 512: 0.06}
"""Steps of the fixed-point iteration, near the largest that converge for each size."""
R = 2.0


def exact(resistance: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return badcrossbar's output currents, without the parts that it can leave out."""
    solution = badcrossbar.compute(v, resistance, R, node_voltages=False, all_currents=False)
    return solution.currents.output[0]


def fixed_point(resistance: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the output currents of CrossSim's iteration on the cell voltages, to 1e-6 of the largest voltage.

    dV <- dV + gamma (V - drops(G dV) - dV), the drops by cumulative sums along both lines.
    """
    g, gamma = 1 / resistance, GAMMA[len(v)]
    start = np.broadcast_to(v, g.shape)
    voltage, largest = start.copy(), 1e-6 * np.abs(v).max()
    while True:
        current = g * voltage
        along_row = np.cumsum(np.cumsum(current[:, ::-1], 1)[:, ::-1], 1)
        along_column = np.cumsum(np.cumsum(current, 0)[::-1], 0)[::-1]
        miss = start - R * (along_row + along_column) - voltage
        if not np.isfinite(miss).all():
            raise ArithmeticError(f"the iteration diverged at gamma {gamma}")
        if np.abs(miss).max() < largest:
            return current.sum(0)
        voltage += gamma * miss


def main() -> None:
    """Answer each line, a name and a size, with wall and processor time in ms and the output currents."""
    logging.disable()
    for line in sys.stdin:
        name, n = json.loads(line)
        generator = np.random.default_rng(0)
        resistance, v = generator.uniform(1e3, 1e5, (n, n)), generator.uniform(0, 0.2, (n, 1))
        start, begun = time.perf_counter(), time.process_time()
        output = {"badcrossbar": exact, "fixed_point": fixed_point}[name](resistance, v)
        times = 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - begun)
        print(json.dumps([*times, output.tolist()]), flush=True)


if __name__ == "__main__":
    main()
