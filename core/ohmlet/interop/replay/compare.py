"""The rules by which an own array is held against a reference; every tolerance comes from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen

from ohmlet.interop.replay.case import Case

__all__ = ["Verdict", "compare"]

SIGMAS = 5.0
"""The standard errors that rule `z` allows, as the data's description states: a group has some ten thousand elements."""


@frozen
class Verdict:
    """How one case came out: its worst array, how far it is off in units of what is allowed, and the rule."""

    case: str
    statistic: str
    figure: float
    tolerance: str
    passed: bool
    note: str = ""

    def __str__(self) -> str:
        figure = "-" if math.isnan(self.figure) else f"{self.figure:.3g}"
        outcome = "pass" if self.passed else "FAIL"
        return f"{self.case:<6} {self.statistic:<18} {figure:>9} of allowed  {self.tolerance:<44} {outcome}  {self.note}".rstrip()


def allowed(rule: Mapping[str, Any], case: Case, reference: np.ndarray[Any, Any], own_n: float) -> tuple[np.ndarray[Any, Any], str]:
    """Return the deviation that each element may have, and the rule in words."""
    atol, rtol = float(rule.get("atol", 0.0)), float(rule.get("rtol", 0.0))
    if rule["rule"] == "abs":
        return atol + rtol * np.abs(reference), f"{atol:.3g} + {rtol:.3g} |ref|"
    if rule["rule"] != "z":
        raise ValueError(f"unknown rule {rule['rule']!r}")
    error = case.arrays[rule["se"]].astype(np.float64)
    n = float(rule["n"])
    words = f"{SIGMAS:g} se sqrt(1 + {n:g}/{own_n:g}) + {atol:.3g} + {rtol:.3g} |ref|"
    return SIGMAS * error * math.sqrt(1.0 + n / own_n) + atol + rtol * np.abs(reference), words


def compare(case: Case, own: Mapping[str, np.ndarray[Any, Any]]) -> Verdict:
    """Return the verdict on a case from its own arrays, which must all be there, with at least the reference's repetitions."""
    own_n = float(own.get("n", np.asarray(math.inf)))
    worst = Verdict(case.id, "-", 0.0, "-", True)
    failed = False
    for name in case.compared:
        rule = case.data["arrays"][name]["compare"]
        if name not in own:
            return Verdict(case.id, name, math.nan, "-", False, "missing: nothing was computed")
        if rule["rule"] == "z" and own_n < float(rule["n"]):
            return Verdict(case.id, name, math.nan, "-", False, f"{own_n:g} own repetitions, the reference has {rule['n']}")
        reference, mine = case.arrays[name].astype(np.float64), np.asarray(own[name], dtype=np.float64)
        if mine.shape != reference.shape:
            return Verdict(case.id, name, math.nan, "-", False, f"shape {mine.shape}, the reference has {reference.shape}")
        tolerance, words = allowed(rule, case, reference, own_n)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(mine - reference) / tolerance
        ratio = np.where((mine == reference) | (np.isnan(mine) & np.isnan(reference)), 0.0, ratio)
        ratio = np.where(np.isnan(ratio), np.inf, ratio)
        beyond, figure = int((ratio > 1).sum()), float(ratio.max()) if ratio.size else 0.0
        share = float(rule.get("allowed_fraction_beyond", 0.0))
        excused = 0 < beyond <= share * ratio.size and float(np.abs(mine - reference).max()) <= float(rule.get("atol_beyond", 0.0))
        ok = beyond == 0 or excused
        note = f"{beyond} of {ratio.size} beyond" + (", which the data allow" if excused else "") if beyond else ""
        if (not ok, figure) >= (failed, worst.figure):
            worst = Verdict(case.id, name, figure, words, ok, note)
        failed = failed or not ok
    return worst
