"""What the parts of the engine kit share: the operations there are, their definitions, and where an engine runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any
from unittest import SkipTest

import torch

from ohmlet.interfaces.engine import Engine
from ohmlet.testing.streams import stream
from ohmlet_kernels.noise import Stream

__all__ = ["OPERATIONS", "device_of", "reference", "stream_on"]

OPERATIONS = {
    "analog_mvm": "analog_mvm",
    "crossbar_solve": "crossbar_solve",
    "mapped_mvm": "mapped_mvm",
    "time_coded_mvm": "time_coded_mvm",
    "pulse_bits": "pulsed_update",
    "pulsed_update": "pulsed_update",
}
"""Operations and the folders of `ohmlet_kernels` with the references that define them."""


def reference(operation: str) -> Callable[..., Any]:
    """Return the function that defines an operation."""
    found: Callable[..., Any] = getattr(import_module(f"ohmlet_kernels.{OPERATIONS[operation]}.reference"), operation)
    return found


def device_of(engine: Engine) -> str:
    """Return a torch device type that the engine runs on here; raises SkipTest when there is none."""
    reason = engine.unavailable()
    if reason:
        raise SkipTest(reason)
    for device_type, present in (("cpu", True), ("cuda", torch.cuda.is_available())):
        if present and engine.preference(device_type) is not None:
            return device_type
    raise SkipTest("this machine has no device that the engine runs on")


def stream_on(device: str, *shape: int, samples: int) -> Stream:
    """Return a stream whose tensors are on a device."""
    noise = stream(*shape)
    return Stream(noise.key.to(device), torch.arange(samples, device=device), torch.tensor([3], device=device))
