"""Engine `triton`: products and updates compiled for GPUs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from attrs import frozen

from ohmlet.interfaces.engine import Engine

__all__ = ["TritonEngine"]


def interpreted() -> bool:
    """Return whether Triton's interpreter stands in for a GPU."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in {"1", "true", "yes", "on", "y"}


@frozen(kw_only=True)
class TritonEngine(Engine):
    """Products, pulse trains and updates as Triton kernels; settings without a kernel run on the reference.

    With `TRITON_INTERPRET=1` in the environment Triton interprets the kernels on CPU tensors: for tests, it is slow.
    """

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Return the kernels."""
        from ohmlet_kernels.analog_mvm.triton import analog_mvm
        from ohmlet_kernels.crossbar_solve.reference import crossbar_solve
        from ohmlet_kernels.mapped_mvm.triton import mapped_mvm
        from ohmlet_kernels.pulsed_update.triton import pulse_bits, pulsed_update
        from ohmlet_kernels.time_coded_mvm.reference import time_coded_mvm

        return {
            "analog_mvm": analog_mvm,
            "crossbar_solve": crossbar_solve,
            "mapped_mvm": mapped_mvm,
            "time_coded_mvm": time_coded_mvm,
            "pulse_bits": pulse_bits,
            "pulsed_update": pulsed_update,
        }

    def preference(self, device_type: str) -> int | None:
        """Return a higher preference than the reference on a GPU; on a CPU none, but for interpreted kernels the lowest."""
        if device_type == "cpu":
            return -1 if interpreted() else None
        return 10 if device_type == "cuda" and not interpreted() else None

    def unavailable(self) -> str | None:
        """Return what to install when Triton is absent, or that there is no GPU."""
        if find_spec("triton") is None:
            return "triton is not installed: pip install 'ohmlet[triton]'"
        import torch

        if not interpreted() and not torch.cuda.is_available():
            return "torch finds no GPU: engine numba serves CPUs, and TRITON_INTERPRET=1 lets Triton interpret its kernels there"
        return None
