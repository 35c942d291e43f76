"""Reads the reference data beside this file and applies its two rules of comparison, which data/README.md states."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"
SIGMAS = 5.0


@functools.cache
def group(letter: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the cases of a group by id, and its arrays; raises FileNotFoundError where the data are missing."""
    found = sorted(DATA.glob(f"{letter}_*.json"))
    if len(found) != 1:
        raise FileNotFoundError(f"no reference data of group {letter} in {DATA}: this folder belongs to every copy of the repository")
    described = json.loads(found[0].read_text(encoding="utf-8"))
    with np.load(DATA / described["npz"]) as arrays:
        return {case["id"]: case for case in described["cases"]}, dict(arrays)


class Case:
    """One case: its parameters, its arrays and what its results must agree with."""

    def __init__(self, name: str) -> None:
        cases, self._values = group(name[0])
        self.name, self.described = name, cases[name]
        self.parameters: dict[str, Any] = self.described["parameters"]

    def array(self, name: str) -> np.ndarray:
        """Return an array in float64."""
        return np.asarray(self._values[self.described["arrays"][name]["key"]], np.float64)

    def worst(self, name: str, own: np.ndarray, n_own: int = 1) -> float:
        """Return the largest deviation as a fraction of what the rule allows."""
        rule, reference = self.described["arrays"][name]["compare"], self.array(name)
        assert own.shape == reference.shape
        allowed = rule["atol"] + rule.get("rtol", 0.0) * np.abs(reference)
        if rule["rule"] == "z":
            allowed = allowed + SIGMAS * self.array(rule["se"]) * np.sqrt(1.0 + rule["n"] / n_own)
        else:
            assert rule["rule"] == "abs"
        return float((np.abs(own - reference) / allowed).max())

    def agrees(self, name: str, own: Any, n_own: int = 1) -> None:
        """Raise AssertionError when a result deviates by more than the rule allows."""
        worst = self.worst(name, np.asarray(own, np.float64), n_own)
        assert worst <= 1.0, f"{self.name} {name}: the largest deviation is {worst:.2f} times the allowed one"
