"""A sweep whose points take a tenth of a second, and what stops one."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ohmlet.experiment.progress import Quiet, Stage
from ohmlet.experiment.sweep import Swept

DEVICE = {"type": "soft_bounds_reference", "dw_min": 0.05, "w_max_dtod": 0.2, "w_min_dtod": 0.1}
STEP = "compare.*.tile.update_algorithm.*.dw_min"
SMALL: dict[str, Any] = {
    "name": "small",
    "seeds": [3, 4],
    "data": {"type": "digits", "test_fraction": 0.97},
    "model": {"type": "mlp", "hidden": [4]},
    "training": {"epochs": 1, "batch_size": 30, "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.0}},
    "hardware": {"tile": "in_memory", "engine": "reference"},
    "compare": {
        "sgd": {"tile.update_algorithm": {"type": "sgd", "device": DEVICE}},
        "tiki_taka": {"tile.update_algorithm": {"type": "tiki_taka", "fast": DEVICE, "slow": DEVICE}},
    },
    "sweep": {"over": {"states": {"set": STEP, "divide": 2.0, "values": [4, 40, 400]}}},
}


def content(**changes: Any) -> dict[str, Any]:
    """Return the small sweep with parts replaced; `over`, `sampler` and the like are those of `sweep`."""
    made = copy.deepcopy(SMALL)
    for name, value in changes.items():
        if name in {"over", "sampler", "trials", "objective", "processes", "seed"}:
            made["sweep"][name] = value
        else:
            made[name] = value
    return made


def small(**changes: Any) -> Swept:
    return Swept.parse(content(**changes))


class Interrupting(Quiet):
    """Sends the process a real Ctrl-C after some points, or at some word of a run."""

    def __init__(self, points: int = -1, words: int = -1) -> None:
        self.points, self.words = points, words

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
        del name, total, done
        yield _Interrupting(self)


class _Interrupting(Stage):
    def __init__(self, after: Interrupting) -> None:
        self.after = after

    def advance(self, count: int = 1) -> None:
        self.after.points -= count
        if self.after.points == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def note(self, words: str) -> None:
        del words
        self.after.words -= 1
        if self.after.words == 0:
            os.kill(os.getpid(), signal.SIGINT)
