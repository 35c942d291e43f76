"""Engine `reference`: every kernel in plain torch, on any device and in any float type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from ohmlet.interfaces.engine import Engine

__all__ = ["ReferenceEngine"]


@frozen(kw_only=True)
class ReferenceEngine(Engine):
    """The definition of every kernel in plain torch; the others are tested against it."""

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Return the reference kernels."""
        from ohmlet_kernels.analog_mvm.reference import analog_mvm
        from ohmlet_kernels.crossbar_solve.reference import crossbar_solve
        from ohmlet_kernels.mapped_mvm.reference import mapped_mvm
        from ohmlet_kernels.pulsed_update.reference import pulse_bits, pulsed_update
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
        """Return the lowest preference on every device."""
        return 0
