"""A crossbar with resistive wires as a list of branches, solved densely by modified nodal analysis, one array and one input at a time.

Unknowns are the voltage of every node and the current of every branch, so resistances of zero need no special case; closed loops of
ideal wires leave only their circulating current open, and the least-norm solution takes none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import fsolve

UNIT = 1e4
"""Ohm that resistances are counted in, so that numbers of one system of equations are of one size."""
Array = np.ndarray[Any, np.dtype[np.float64]]
Node = tuple[str, int, int]


@dataclass
class Crossbar:
    """Conductances g [rows, columns], volts v [rows] and v_bit [columns], resistances in ohm."""

    g: Array
    v: Array
    v_bit: Array
    r_word: float = 0.0
    r_bit: float = 0.0
    r_source: float = 0.0
    r_sense: float = 0.0
    drive: str = "single"
    sense: str = "single"
    r_access: float = 0.0
    wires: list[tuple[Node, Node, float]] = field(default_factory=list)
    fixed: dict[Node, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, columns = self.g.shape
        for i in range(rows):
            self.fixed["source", i, 0] = self.v[i]
            self.wires.append((("source", i, 0), ("word", i, 0), self.r_source))
            self.wires += [(("word", i, j), ("word", i, j + 1), self.r_word) for j in range(columns - 1)]
            if self.drive == "double":
                self.wires.append((("source", i, 0), ("word", i, columns - 1), self.r_source))
        for j in range(columns):
            self.fixed["sense", 0, j] = self.v_bit[j]
            self.wires.append((("bit", rows - 1, j), ("sense", 0, j), self.r_sense))
            self.wires += [(("bit", i, j), ("bit", i + 1, j), self.r_bit) for i in range(rows - 1)]
            if self.sense == "double":
                self.wires.append((("bit", 0, j), ("sense", 0, j), self.r_sense))
            self.wires += [(("device", i, j), ("bit", i, j), self.r_access) for i in range(rows)]
        self.nodes = list(dict.fromkeys(node for a, b, _ in self.wires for node in (a, b)))
        self.number = {node: k for k, node in enumerate(self.nodes)}

    def equations(self) -> tuple[Array, Array]:
        """Return matrix and right-hand side without the devices: Kirchhoff's current law per node, Ohm's law per wire."""
        nodes, count = len(self.nodes), len(self.nodes) + len(self.wires)
        matrix, right = np.zeros((count, count)), np.zeros(count)
        for k, (a, b, r) in enumerate(self.wires):
            matrix[self.number[a], nodes + k] += 1
            matrix[self.number[b], nodes + k] -= 1
            matrix[nodes + k, self.number[a]] = 1
            matrix[nodes + k, self.number[b]] = -1
            matrix[nodes + k, nodes + k] = -r / UNIT
        for node, value in self.fixed.items():
            matrix[self.number[node]] = 0
            matrix[self.number[node], self.number[node]] = 1
            right[self.number[node]] = value
        return matrix, right

    def solve(self, current: Callable[[Array, Array], Array] | None = None) -> dict[str, Array]:
        """Return output, cell voltages and currents, word and bit voltages; `current(v, g)` makes the devices nonlinear."""
        rows, columns = self.g.shape
        matrix, right = self.equations()
        word, device = (np.array([[self.number[name, i, j] for j in range(columns)] for i in range(rows)]) for name in ("word", "device"))
        linear = matrix.copy()
        for i in range(rows):
            for j in range(columns):
                for a, sign in ((word[i, j], 1), (device[i, j], -1)):
                    linear[a, word[i, j]] += sign * UNIT * self.g[i, j]
                    linear[a, device[i, j]] -= sign * UNIT * self.g[i, j]
        looped = min(self.r_word, self.r_bit, self.r_source, self.r_sense) == 0
        x = np.linalg.lstsq(linear, right, rcond=1e-15)[0] if looped else np.linalg.solve(linear, right)
        if current is not None:

            def miss(x: Array) -> Array:
                flow = UNIT * current(x[word] - x[device], self.g)
                rest = matrix @ x - right
                np.add.at(rest, word, flow)
                np.add.at(rest, device, -flow)
                return np.asarray(rest)

            x, _, found, message = fsolve(miss, x, xtol=1e-14, full_output=True)
            assert np.abs(miss(x)).max() < 1e-11, (found, message)
        across = x[word] - x[device]
        flow = self.g * across if current is None else current(across, self.g)
        bit = np.array([[x[self.number["bit", i, j]] for j in range(columns)] for i in range(rows)])
        return {"output": flow.sum(0), "cell_voltage": across, "cell_current": flow, "word_voltage": x[word], "bit_voltage": bit}
