"""From cases to verdicts, one after the other or in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any

from ohmlet.errors import OhmletError
from ohmlet.interop.replay.case import Case
from ohmlet.interop.replay.compare import Verdict, compare

__all__ = ["REPLAYS", "verdict", "verdicts"]

REPLAYS = {
    "mvm_deterministic": "ohmlet.interop.replay.mvm:deterministic",
    "mvm_irdrop_t": "ohmlet.interop.replay.mvm:time_coded",
    "mvm_stochastic": "ohmlet.interop.replay.mvm:stochastic",
    "pulse_response_deterministic": "ohmlet.interop.replay.responses:deterministic",
    "pulse_response_c2c": "ohmlet.interop.replay.responses:cycle_noise",
    "pulse_response_d2d": "ohmlet.interop.replay.responses:device_variation",
    "decay": "ohmlet.interop.replay.responses:decay",
    "diffusion": "ohmlet.interop.replay.responses:diffusion",
    "reset": "ohmlet.interop.replay.responses:reset",
    "drift": "ohmlet.interop.replay.responses:drift",
    "outer_product_update": "ohmlet.interop.replay.updates:outer_product",
    "training": "ohmlet.interop.replay.training:training",
    "noise_model": "ohmlet.interop.replay.inference:replay",
    "converter": "ohmlet.interop.replay.inference:replay",
    "drift_compensation": "ohmlet.interop.replay.inference:replay",
    "weight_modifier": "ohmlet.interop.replay.weights:modifier",
    "weight_clip": "ohmlet.interop.replay.weights:clip",
    "weight_remap": "ohmlet.interop.replay.weights:remap",
    "measurement": "ohmlet.interop.replay.fitting:measurement",
    "piecewise_from_histogram": "ohmlet.interop.replay.fitting:histogram",
    "fit": "ohmlet.interop.replay.fitting:fitted",
}

JUDGED = {"measurement", "piecewise_from_histogram", "fit"}
"""Kinds whose replay gives the verdict itself: what they are held against is no array of the case."""


def verdict(case: Case, engine: str) -> Verdict:
    """Return the verdict on one case; a kind that nothing replays yet, and an error, are failures with their reason."""
    if case.kind not in REPLAYS:
        return Verdict(case.id, "-", float("nan"), "-", False, f"kind '{case.kind}' is not replayed yet")
    module, _, name = REPLAYS[case.kind].partition(":")
    try:
        replay: Callable[..., Any] = getattr(import_module(module), name)
        if case.kind in JUDGED:
            found: Verdict = replay(case, engine)
            return found
        return compare(case, replay(case.data, case.inputs(), engine))
    except (OhmletError, ArithmeticError, KeyError, ValueError, RuntimeError, ImportError) as error:
        return Verdict(case.id, "-", float("nan"), "-", False, f"{type(error).__name__}: {error}")


def _one_thread() -> None:
    """Leave the other cores to the other processes."""
    import torch

    torch.set_num_threads(1)


def verdicts(cases: Iterable[Case], engine: str, jobs: int) -> Iterator[tuple[Case, Verdict]]:
    """Yield every case with its verdict, in order, worked out by as many processes."""
    if jobs == 1:
        for case in cases:
            yield case, verdict(case, engine)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _one_thread) as pool:
        started = [(case, pool.submit(verdict, case, engine)) for case in cases]
        for case, result in started:
            yield case, result.result()
