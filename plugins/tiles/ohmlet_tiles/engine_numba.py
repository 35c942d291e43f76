"""Engine `numba`: compiled loops for the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from attrs import frozen

from ohmlet.interfaces.engine import Engine

__all__ = ["NumbaEngine"]


@frozen(kw_only=True)
class NumbaEngine(Engine):
    """Kernels compiled by numba, parallel and cached between processes; settings without a compiled loop run on the reference."""

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Return the compiled kernels."""
        from ohmlet_kernels.analog_mvm.numba import analog_mvm
        from ohmlet_kernels.crossbar_solve.numba import crossbar_solve
        from ohmlet_kernels.mapped_mvm.numba import mapped_mvm
        from ohmlet_kernels.pulsed_update.numba import pulse_bits, pulsed_update
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
        """Return a higher preference than the reference on a CPU, and nothing elsewhere."""
        return 10 if device_type == "cpu" else None

    def unavailable(self) -> str | None:
        """Return what to install when numba is absent."""
        return None if find_spec("numba") else "numba is not installed: pip install numba"
